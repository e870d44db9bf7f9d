// Files without a name: pipes, event counters, timers, signals, inotify, memory.
#include "abi/capability.h"
#include "abi/epoll.h"
#include "abi/fcntl.h"
#include "abi/inotify.h"
#include "abi/rlimit.h"
#include "abi/signal.h"
#include "abi/time.h"
#include "fs/eventfd/eventfd.h"
#include "fs/pipe/pipe_file.h"
#include "fs/timerfd/timerfd.h"
#include "fs/tmpfs/memfd.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/inotify.h"
#include "fs/vfs/path_walk.h"
#include "fs/vfs/permissions.h"
#include "sentry/kernel/signalfd.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/timeouts.h"

namespace moat {
namespace {

ErrorOr<uint64_t> InstallFile(Task& t, Ref<FileDescription> file, bool cloexec) {
  return TRY(t.fds().Install(std::move(file), cloexec, t.group().Limit(abi::kRLIMIT_NOFILE)));
}

// --- Pipes. ---

ErrorOr<void> SysPipe2(Task& t, UserAddr fds_addr, uint32_t flags) {
  if (flags & ~(abi::kO_CLOEXEC | abi::kO_DIRECT | abi::kO_NONBLOCK)) return kEINVAL;
  PipeEnds ends = MakePipe(flags, t.creds().fsuid, t.creds().fsgid);
  bool cloexec = (flags & abi::kO_CLOEXEC) != 0;
  int fds[2];
  fds[0] = static_cast<int>(TRY(InstallFile(t, std::move(ends.read), cloexec)));
  ErrorOr<uint64_t> second = InstallFile(t, std::move(ends.write), cloexec);
  if (!second.ok()) {
    t.fds().Remove(fds[0]);
    return second.error();
  }
  fds[1] = static_cast<int>(*second);
  ErrorOr<void> written = t.mm().CopyOut(fds_addr, fds, sizeof fds);
  if (!written.ok()) {
    t.fds().Remove(fds[0]);
    t.fds().Remove(fds[1]);
  }
  return written;
}
ErrorOr<void> SysPipe(Task& t, UserAddr fds) { return SysPipe2(t, fds, 0); }

// --- eventfd. ---

ErrorOr<uint64_t> SysEventfd2(Task& t, uint32_t initial, uint32_t flags) {
  if (flags & ~(abi::kEFD_CLOEXEC | abi::kEFD_NONBLOCK | abi::kEFD_SEMAPHORE)) return kEINVAL;
  return InstallFile(t, EventFd::Create(initial, flags), (flags & abi::kEFD_CLOEXEC) != 0);
}
ErrorOr<uint64_t> SysEventfd(Task& t, uint32_t initial) { return SysEventfd2(t, initial, 0); }

// --- timerfd. ---

ErrorOr<uint64_t> SysTimerfdCreate(Task& t, int clock, uint32_t flags) {
  if (flags & ~(abi::kTFD_CLOEXEC | abi::kTFD_NONBLOCK)) return kEINVAL;
  bool alarm = clock == abi::kCLOCK_REALTIME_ALARM || clock == abi::kCLOCK_BOOTTIME_ALARM;
  if (alarm && !t.creds().Has(abi::kCAP_WAKE_ALARM)) return kEPERM;
  return InstallFile(t, TRY(TimerFd::Create(clock, flags)), (flags & abi::kTFD_CLOEXEC) != 0);
}

ErrorOr<Ref<TimerFd>> GetTimerFd(Task& t, int fd) {
  Ref<TimerFd> timer = RefCast<TimerFd>(TRY(t.fds().Get(fd)));
  if (!timer) return kEINVAL;
  return timer;
}

abi::Itimerspec ToItimerspec(const TimerFd::Setting& s) {
  return {.it_interval = {s.interval_ns / kNsPerSecond, s.interval_ns % kNsPerSecond},
          .it_value = {s.value_ns / kNsPerSecond, s.value_ns % kNsPerSecond}};
}

ErrorOr<void> SysTimerfdSettime(Task& t, int fd, uint32_t flags, UserAddr wanted_addr, UserAddr old_addr) {
  abi::Itimerspec wanted = TRY(t.mm().Read<abi::Itimerspec>(wanted_addr));
  if (flags & ~(abi::kTFD_TIMER_ABSTIME | abi::kTFD_TIMER_CANCEL_ON_SET)) return kEINVAL;
  TimerFd::Setting setting{.value_ns = TRY(ToNs(wanted.it_value)), .interval_ns = TRY(ToNs(wanted.it_interval))};
  Ref<TimerFd> timer = TRY(GetTimerFd(t, fd));
  TimerFd::Setting old = timer->Set((flags & abi::kTFD_TIMER_ABSTIME) != 0, setting, flags);
  if (old_addr) TRY(t.mm().Write(old_addr, ToItimerspec(old)));
  return {};
}

ErrorOr<void> SysTimerfdGettime(Task& t, int fd, UserAddr now_addr) {
  Ref<TimerFd> timer = TRY(GetTimerFd(t, fd));
  return t.mm().Write(now_addr, ToItimerspec(timer->Get()));
}

// --- signalfd. ---

ErrorOr<uint64_t> SysSignalfd4(Task& t, int fd, UserAddr set_addr, uint64_t size, uint32_t flags) {
  if (size != sizeof(abi::SigSet)) return kEINVAL;
  abi::SigSet set = TRY(t.mm().Read<abi::SigSet>(set_addr));
  if (flags & ~(abi::kSFD_CLOEXEC | abi::kSFD_NONBLOCK)) return kEINVAL;
  if (fd == -1) {
    return InstallFile(t, MakeRef<SignalFd>(t.group_ref(), set, flags), (flags & abi::kSFD_CLOEXEC) != 0);
  }
  Ref<SignalFd> file = RefCast<SignalFd>(TRY(t.fds().Get(fd)));
  if (!file) return kEINVAL;
  file->SetMask(set);
  return static_cast<uint64_t>(fd);
}
ErrorOr<uint64_t> SysSignalfd(Task& t, int fd, UserAddr set, uint64_t size) { return SysSignalfd4(t, fd, set, size, 0); }

// --- inotify. ---

ErrorOr<uint64_t> SysInotifyInit1(Task& t, uint32_t flags) {
  if (flags & ~(abi::kIN_CLOEXEC | abi::kIN_NONBLOCK)) return kEINVAL;
  Ref<InotifyInstance> instance = InotifyInstance::Create(flags & abi::kIN_NONBLOCK);
  return InstallFile(t, std::move(instance), (flags & abi::kIN_CLOEXEC) != 0);
}
ErrorOr<uint64_t> SysInotifyInit(Task& t) { return SysInotifyInit1(t, 0); }

ErrorOr<Ref<InotifyInstance>> GetInotify(Task& t, int fd) {
  Ref<InotifyInstance> instance = RefCast<InotifyInstance>(TRY(t.fds().Get(fd)));
  if (!instance) return kEINVAL;
  return instance;
}

ErrorOr<uint64_t> SysInotifyAddWatch(Task& t, int fd, UserAddr path_addr, uint32_t mask) {
  if (!(mask & (abi::kIN_ALL_EVENTS | abi::kIN_ONLYDIR | abi::kIN_DONT_FOLLOW | abi::kIN_EXCL_UNLINK | abi::kIN_MASK_ADD |
                abi::kIN_ISDIR | abi::kIN_ONESHOT | abi::kIN_UNMOUNT | abi::kIN_Q_OVERFLOW | abi::kIN_IGNORED))) {
    return kEINVAL;
  }
  Ref<InotifyInstance> instance;
  {
    ErrorOr<Ref<FileDescription>> file = t.fds().Get(fd);
    if (!file.ok()) return file.error();
    if ((mask & abi::kIN_MASK_ADD) && (mask & abi::kIN_MASK_CREATE)) return kEINVAL;
    instance = RefCast<InotifyInstance>(*file);
    if (!instance) return kEINVAL;
  }
  std::string name = TRY(t.mm().ReadPath(path_addr));
  Path start = TRY(StartOf(t, abi::kAT_FDCWD, name));
  WalkContext walk = t.WalkView();
  Path path = TRY(Walk(walk, start, name,
                       {.follow = !(mask & abi::kIN_DONT_FOLLOW), .directory = (mask & abi::kIN_ONLYDIR) != 0}));
  TRY(PathPermission(t.creds(), path, kMayRead));
  return static_cast<uint64_t>(TRY(instance->AddWatch(path, mask)));
}

ErrorOr<void> SysInotifyRmWatch(Task& t, int fd, int wd) { return TRY(GetInotify(t, fd))->RemoveWatch(wd); }

// --- memfd. ---

ErrorOr<uint64_t> SysMemfdCreate(Task& t, UserAddr name_addr, uint32_t flags) {
  constexpr size_t kLongestName = 249;  // NAME_MAX less "memfd:"
  constexpr uint32_t kHugeBits = abi::kMFD_HUGE_MASK << abi::kMFD_HUGE_SHIFT;
  constexpr uint32_t kKnown = abi::kMFD_CLOEXEC | abi::kMFD_ALLOW_SEALING | abi::kMFD_NOEXEC_SEAL | abi::kMFD_EXEC;
  bool huge = (flags & abi::kMFD_HUGETLB) != 0;
  if (flags & ~(kKnown | abi::kMFD_HUGETLB | (huge ? kHugeBits : 0))) return kEINVAL;
  if ((flags & abi::kMFD_EXEC) && (flags & abi::kMFD_NOEXEC_SEAL)) return kEINVAL;
  ErrorOr<std::string> name = t.mm().ReadString(name_addr, kLongestName + 1);
  if (!name.ok()) return name.error() == kENAMETOOLONG ? kEINVAL : name.error();
  Ref<FileDescription> file =
      TRY(CreateMemfd(*name, flags & ~abi::kMFD_CLOEXEC, t.creds().fsuid, t.creds().fsgid));
  return InstallFile(t, std::move(file), (flags & abi::kMFD_CLOEXEC) != 0);
}

constexpr SyscallRow kRows[] = {
    CALL(pipe, SysPipe, "ptr"),
    CALL(pipe2, SysPipe2, "ptr flags:open"),
    CALL(eventfd, SysEventfd, "uint"),
    CALL(eventfd2, SysEventfd2, "uint hex"),
    CALL(timerfd_create, SysTimerfdCreate, "int hex"),
    CALL(timerfd_settime, SysTimerfdSettime, "fd hex ptr ptr"),
    CALL(timerfd_gettime, SysTimerfdGettime, "fd ptr"),
    CALL(signalfd, SysSignalfd, "int sigset u64"),
    CALL(signalfd4, SysSignalfd4, "int sigset u64 hex"),
    CALL(inotify_init, SysInotifyInit, ""),
    CALL(inotify_init1, SysInotifyInit1, "hex"),
    CALL(inotify_add_watch, SysInotifyAddWatch, "fd path hex"),
    CALL(inotify_rm_watch, SysInotifyRmWatch, "fd int"),
    CALL_PARTIAL(memfd_create, SysMemfdCreate, "str hex", "no huge pages"),
};

}  // namespace

const SyscallFamily kEventCalls = {"files without a name", kRows};

}  // namespace moat
