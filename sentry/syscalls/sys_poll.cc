// Waiting for many files: poll, select, epoll.
#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

#include "abi/epoll.h"
#include "abi/fcntl.h"
#include "abi/limits.h"
#include "abi/poll.h"
#include "abi/rlimit.h"
#include "abi/time.h"
#include "base/host/time.h"
#include "fs/epoll/epoll.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/temporary_mask.h"
#include "sentry/syscalls/timeouts.h"

namespace moat {
namespace {

// One file that a call waits for.
struct Watched {
  Ref<FileDescription> file;  // null: skipped
  EventMask wanted = 0;
  EventMask ready = 0;
};

size_t Look(std::span<Watched> watched) {
  size_t count = 0;
  for (Watched& w : watched) {
    if (!w.file) continue;
    w.ready = w.file->Readiness() & w.wanted;
    count += w.ready != 0;
  }
  return count;
}

// Sleeps until a file is ready; how many are. 0 at the deadline; kERESTARTSYS if interrupted. Deadline 0: only looks.
ErrorOr<size_t> WaitForAny(Task& t, std::span<Watched> watched, int64_t deadline_ns) {
  size_t count = Look(watched);
  if (count > 0 || deadline_ns == 0) return count;
  std::deque<TaskWaiter> waiters;
  std::deque<ScopedWait> waits;
  for (Watched& w : watched) {
    WaitQueue* queue = w.file ? w.file->wait_queue() : nullptr;
    if (!queue) continue;
    waiters.emplace_back(t, w.wanted);
    waits.emplace_back(*queue, waiters.back());
  }
  for (;;) {
    count = Look(watched);
    if (count > 0) return count;
    ErrorOr<void> r = t.Block(deadline_ns);
    if (r.ok()) continue;
    if (r.error() != kETIMEDOUT) return r.error();
    return Look(watched);
  }
}

// --- Timeouts. ---

// A timeout in milliseconds, negative for none, as a deadline; 0 for a mere look.
int64_t MsDeadline(int timeout_ms) {
  if (timeout_ms < 0) return kForever;
  return timeout_ms == 0 ? 0 : DeadlineAfter(timeout_ms * abi::kNSEC_PER_MSEC);
}

// A relative timeout in guest memory that the call counts down.
struct Timeout {
  enum class Form : uint8_t { kTimespec, kTimeval } form;
  UserAddr addr = 0;  // 0: wait forever
  int64_t deadline_ns = kForever;

  ErrorOr<void> Read(Task& t) {
    if (!addr) return {};
    abi::Timespec ts;
    if (form == Form::kTimeval) {
      abi::Timeval tv = TRY(t.mm().Read<abi::Timeval>(addr));
      if (tv.tv_usec < 0) return kEINVAL;
      ts = {tv.tv_sec + tv.tv_usec / abi::kUSEC_PER_SEC, tv.tv_usec % abi::kUSEC_PER_SEC * abi::kNSEC_PER_USEC};
    } else {
      ts = TRY(t.mm().Read<abi::Timespec>(addr));
    }
    int64_t ns = TRY(ToNs(ts));
    deadline_ns = ns == 0 ? 0 : DeadlineAfter(ns);
    return {};
  }
  // Writes the time left back. A timeout in read-only memory is not an error, but the call can not be restarted.
  bool WriteBack(Task& t) const {
    if (!addr || deadline_ns == 0 || deadline_ns == kForever) return true;
    int64_t left = std::max<int64_t>(deadline_ns - host::NowMonotonicNs(), 0);
    if (form == Form::kTimeval) {
      abi::Timeval tv{left / kNsPerSecond, left % kNsPerSecond / abi::kNSEC_PER_USEC};
      return t.mm().Write(addr, tv).ok();
    }
    return t.mm().Write(addr, abi::Timespec{left / kNsPerSecond, left % kNsPerSecond}).ok();
  }
};

// The result of a call with a counted-down timeout: interrupted, it is made again unless a handler runs.
ErrorOr<uint64_t> Finish(Task& t, const Timeout& timeout, TemporaryMask& mask, ErrorOr<uint64_t> r) {
  bool interrupted = !r.ok() && r.error() == kERESTARTNOHAND;
  mask.End(interrupted);
  bool written = timeout.WriteBack(t);
  if (interrupted && !written) return kEINTR;
  return r;
}

// --- poll. ---

ErrorOr<uint64_t> PollOnce(Task& t, UserAddr fds, uint32_t count, int64_t deadline_ns) {
  if (count > t.group().Limit(abi::kRLIMIT_NOFILE)) return kEINVAL;
  std::vector<abi::Pollfd> polled = TRY(t.mm().ReadArray<abi::Pollfd>(fds, count, count));
  std::vector<Watched> watched(count);
  size_t invalid = 0;
  for (uint32_t i = 0; i < count; ++i) {
    polled[i].revents = 0;
    if (polled[i].fd < 0) continue;
    ErrorOr<Ref<FileDescription>> file = t.fds().Get(polled[i].fd);
    if (!file.ok()) {
      polled[i].revents = abi::kPOLLNVAL;
      ++invalid;
      continue;
    }
    watched[i].file = std::move(*file);
    watched[i].wanted = static_cast<uint16_t>(polled[i].events) | abi::kPOLLERR | abi::kPOLLHUP;
  }
  size_t ready = TRY(WaitForAny(t, watched, invalid ? 0 : deadline_ns));
  for (uint32_t i = 0; i < count; ++i) {
    if (watched[i].file) polled[i].revents = static_cast<int16_t>(watched[i].ready);
  }
  if (count) TRY(t.mm().CopyOut(fds, polled.data(), count * sizeof(abi::Pollfd)));
  return ready + invalid;
}

ErrorOr<uint64_t> PollUntil(Task& t, UserAddr fds, uint32_t count, int64_t deadline_ns) {
  ErrorOr<uint64_t> r = PollOnce(t, fds, count, deadline_ns);
  if (r.ok() || r.error() != kERESTARTSYS) return r;
  t.SetRestart([=](Task& again) { return PollUntil(again, fds, count, deadline_ns); });
  return kERESTART_RESTARTBLOCK;
}

ErrorOr<uint64_t> SysPoll(Task& t, UserAddr fds, uint32_t count, int timeout_ms) {
  return PollUntil(t, fds, count, MsDeadline(timeout_ms));
}

ErrorOr<uint64_t> SysPpoll(Task& t, UserAddr fds, uint32_t count, UserAddr timeout_addr, UserAddr set, uint64_t size) {
  Timeout timeout{Timeout::Form::kTimespec, timeout_addr};
  TRY(timeout.Read(t));
  TemporaryMask mask(t);
  TRY(mask.Apply(set, size));
  ErrorOr<uint64_t> r = PollOnce(t, fds, count, timeout.deadline_ns);
  if (!r.ok() && r.error() == kERESTARTSYS) r = kERESTARTNOHAND;
  return Finish(t, timeout, mask, r);
}

// --- select. ---

constexpr EventMask kSelectIn = abi::kPOLLRDNORM | abi::kPOLLRDBAND | abi::kPOLLIN | abi::kPOLLHUP | abi::kPOLLERR;
constexpr EventMask kSelectOut = abi::kPOLLWRBAND | abi::kPOLLWRNORM | abi::kPOLLOUT | abi::kPOLLERR;
constexpr EventMask kSelectExcept = abi::kPOLLPRI;
constexpr EventMask kSelectMasks[3] = {kSelectIn, kSelectOut, kSelectExcept};

// The three sets of select(2), as words of 64 bits.
struct FdSets {
  UserAddr addr[3];
  std::vector<uint64_t> bits[3];

  ErrorOr<void> Read(Task& t, size_t words) {
    for (int s = 0; s < 3; ++s) {
      if (addr[s]) {
        bits[s] = TRY(t.mm().ReadArray<uint64_t>(addr[s], words, words));
      } else {
        bits[s].resize(words);
      }
    }
    return {};
  }
  ErrorOr<void> Write(Task& t) {
    for (int s = 0; s < 3; ++s) {
      if (addr[s] && !bits[s].empty()) TRY(t.mm().CopyOut(addr[s], bits[s].data(), bits[s].size() * sizeof(uint64_t)));
    }
    return {};
  }
  bool Has(int s, size_t fd) const { return (bits[s][fd / 64] >> (fd % 64) & 1) != 0; }
  void Clear(int s, size_t fd) { bits[s][fd / 64] &= ~(uint64_t{1} << (fd % 64)); }
};

ErrorOr<uint64_t> SelectOnce(Task& t, int n, FdSets& sets, int64_t deadline_ns) {
  if (n < 0) return kEINVAL;
  size_t count = std::min<size_t>(static_cast<size_t>(n), t.fds().capacity());
  TRY(sets.Read(t, (count + 63) / 64));
  std::vector<Watched> watched;
  std::vector<size_t> numbers;
  for (size_t fd = 0; fd < count; ++fd) {
    EventMask wanted = 0;
    for (int s = 0; s < 3; ++s) wanted |= sets.Has(s, fd) ? kSelectMasks[s] : 0;
    if (!wanted) continue;
    Ref<FileDescription> file = TRY(t.fds().Get(static_cast<int>(fd)));
    watched.push_back({std::move(file), wanted});
    numbers.push_back(fd);
  }
  TRY(WaitForAny(t, watched, deadline_ns));
  uint64_t ready = 0;
  for (size_t i = 0; i < watched.size(); ++i) {
    for (int s = 0; s < 3; ++s) {
      if (!sets.Has(s, numbers[i])) continue;
      if (watched[i].ready & kSelectMasks[s]) {
        ++ready;
      } else {
        sets.Clear(s, numbers[i]);
      }
    }
  }
  TRY(sets.Write(t));
  return ready;
}

ErrorOr<uint64_t> SelectWith(Task& t, int n, FdSets sets, Timeout timeout, TemporaryMask& mask) {
  ErrorOr<uint64_t> r = SelectOnce(t, n, sets, timeout.deadline_ns);
  if (!r.ok() && r.error() == kERESTARTSYS) r = kERESTARTNOHAND;
  return Finish(t, timeout, mask, r);
}

ErrorOr<uint64_t> SysSelect(Task& t, int n, UserAddr in, UserAddr out, UserAddr except, UserAddr timeout_addr) {
  Timeout timeout{Timeout::Form::kTimeval, timeout_addr};
  TRY(timeout.Read(t));
  TemporaryMask mask(t);
  return SelectWith(t, n, FdSets{{in, out, except}, {}}, timeout, mask);
}

ErrorOr<uint64_t> SysPselect6(Task& t, int n, UserAddr in, UserAddr out, UserAddr except, UserAddr timeout_addr,
                              UserAddr set_addr) {
  abi::Sigset6 set{};
  if (set_addr) set = TRY(t.mm().Read<abi::Sigset6>(set_addr));
  Timeout timeout{Timeout::Form::kTimespec, timeout_addr};
  TRY(timeout.Read(t));
  TemporaryMask mask(t);
  TRY(mask.Apply(set.ss, set.ss_len));
  return SelectWith(t, n, FdSets{{in, out, except}, {}}, timeout, mask);
}

// --- epoll. ---

ErrorOr<uint64_t> SysEpollCreate1(Task& t, uint32_t flags) {
  if (flags & ~abi::kEPOLL_CLOEXEC) return kEINVAL;
  return TRY(t.fds().Install(Epoll::Create(), (flags & abi::kEPOLL_CLOEXEC) != 0, t.group().Limit(abi::kRLIMIT_NOFILE)));
}
ErrorOr<uint64_t> SysEpollCreate(Task& t, int size) {
  if (size <= 0) return kEINVAL;
  return SysEpollCreate1(t, 0);
}

ErrorOr<void> SysEpollCtl(Task& t, int epfd, int op, int fd, UserAddr event_addr) {
  abi::EpollEvent event{};
  if (op != abi::kEPOLL_CTL_DEL) event = TRY(t.mm().Read<abi::EpollEvent>(event_addr));
  Ref<FileDescription> holder = TRY(t.fds().Get(epfd));
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (!file->pollable()) return kEPERM;
  Ref<Epoll> epoll = RefCast<Epoll>(holder);
  if (!epoll || file == holder) return kEINVAL;
  switch (op) {
    case abi::kEPOLL_CTL_ADD: return epoll->Add(*file, fd, event);
    case abi::kEPOLL_CTL_MOD: return epoll->Modify(*file, fd, event);
    case abi::kEPOLL_CTL_DEL: return epoll->Remove(*file, fd);
    default: return kEINVAL;
  }
}

// Sleepers are woken one at a time: an event is for one of them.
ErrorOr<size_t> CollectOrSleep(Task& t, Epoll& epoll, std::span<abi::EpollEvent> out, int64_t deadline_ns) {
  bool last_look = deadline_ns == 0;
  for (;;) {
    size_t n = epoll.Collect(out);
    if (n > 0 || last_look) return n;
    ErrorOr<void> slept;
    {
      TaskWaiter waiter(t, abi::kPOLLIN, true);
      ScopedWait wait(epoll.sleepers(), waiter);
      if (!epoll.MaybeReady()) slept = t.Block(deadline_ns);
    }
    if (slept.ok()) continue;
    if (slept.error() == kETIMEDOUT) {
      last_look = true;
      continue;
    }
    // This sleeper may have been the one that was woken.
    if (epoll.MaybeReady()) epoll.sleepers().Wake(abi::kPOLLIN, 1);
    return kEINTR;
  }
}

ErrorOr<uint64_t> EpollWait(Task& t, int epfd, UserAddr events, int max, int64_t deadline_ns) {
  if (max <= 0 || max > abi::kEP_MAX_EVENTS) return kEINVAL;
  uint64_t size = static_cast<uint64_t>(max) * sizeof(abi::EpollEvent);
  uint64_t end = t.mm().platform_info().task_size;
  if (size > end || events > end - size) return kEFAULT;
  Ref<FileDescription> file = TRY(t.fds().Get(epfd));
  Ref<Epoll> epoll = RefCast<Epoll>(file);
  if (!epoll) return kEINVAL;
  constexpr size_t kAtOnce = 1024;  // bounds what the kernel holds for the call; the rest comes with the next one
  std::vector<abi::EpollEvent> buffer(std::min<size_t>(static_cast<size_t>(max), kAtOnce));
  size_t n = TRY(CollectOrSleep(t, *epoll, buffer, deadline_ns));
  if (n) TRY(t.mm().CopyOut(events, buffer.data(), n * sizeof(abi::EpollEvent)));
  return n;
}

ErrorOr<uint64_t> EpollWaitMasked(Task& t, int epfd, UserAddr events, int max, int64_t deadline_ns, UserAddr set,
                                  uint64_t size) {
  TemporaryMask mask(t);
  TRY(mask.Apply(set, size));
  ErrorOr<uint64_t> r = EpollWait(t, epfd, events, max, deadline_ns);
  mask.End(!r.ok() && r.error() == kEINTR);
  return r;
}

ErrorOr<uint64_t> SysEpollWait(Task& t, int epfd, UserAddr events, int max, int timeout_ms) {
  return EpollWait(t, epfd, events, max, MsDeadline(timeout_ms));
}
ErrorOr<uint64_t> SysEpollPwait(Task& t, int epfd, UserAddr events, int max, int timeout_ms, UserAddr set, uint64_t size) {
  return EpollWaitMasked(t, epfd, events, max, MsDeadline(timeout_ms), set, size);
}
ErrorOr<uint64_t> SysEpollPwait2(Task& t, int epfd, UserAddr events, int max, UserAddr timeout, UserAddr set,
                                 uint64_t size) {
  int64_t deadline = kForever;
  if (timeout) {
    int64_t ns = TRY(ToNs(TRY(t.mm().Read<abi::Timespec>(timeout))));
    deadline = ns == 0 ? 0 : DeadlineAfter(ns);
  }
  return EpollWaitMasked(t, epfd, events, max, deadline, set, size);
}

constexpr SyscallRow kRows[] = {
    CALL(poll, SysPoll, "ptr uint int"),
    CALL(ppoll, SysPpoll, "ptr uint timespec sigset u64"),
    CALL(select, SysSelect, "int fdset fdset fdset ptr"),
    CALL(pselect6, SysPselect6, "int fdset fdset fdset timespec ptr"),
    CALL(epoll_create, SysEpollCreate, "int"),
    CALL(epoll_create1, SysEpollCreate1, "flags:open"),
    CALL(epoll_ctl, SysEpollCtl, "fd int fd ptr"),
    CALL(epoll_wait, SysEpollWait, "fd ptr int int"),
    CALL(epoll_pwait, SysEpollPwait, "fd ptr int int sigset u64"),
    CALL(epoll_pwait2, SysEpollPwait2, "fd ptr int timespec sigset u64"),
};

}  // namespace

const SyscallFamily kPollCalls = {"waiting for files", kRows};

}  // namespace moat
