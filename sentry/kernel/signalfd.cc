#include "sentry/kernel/signalfd.h"

#include <cstdio>

#include "abi/fcntl.h"
#include "abi/poll.h"
#include "fs/vfs/anon.h"
#include "sentry/kernel/task.h"

namespace moat {

namespace {

abi::SignalfdSiginfo ToSignalfd(const abi::SigInfo& info) {
  abi::SignalfdSiginfo s{};
  s.ssi_signo = static_cast<uint32_t>(info.si_signo);
  s.ssi_errno = info.si_errno;
  s.ssi_code = info.si_code;
  if (info.si_code == abi::kSI_TIMER) {
    s.ssi_tid = static_cast<uint32_t>(info.si_timerid);
    s.ssi_overrun = static_cast<uint32_t>(info.si_overrun);
  } else if (info.si_signo == abi::kSIGSEGV || info.si_signo == abi::kSIGBUS || info.si_signo == abi::kSIGILL ||
             info.si_signo == abi::kSIGFPE || info.si_signo == abi::kSIGTRAP) {
    if (info.si_code > 0 && info.si_code != abi::kSI_KERNEL) {
      s.ssi_addr = info.si_addr;
      s.ssi_addr_lsb = static_cast<uint16_t>(info.si_addr_lsb);
      return s;
    }
  }
  if ((info.si_code > 0 && info.si_code <= abi::kPOLL_HUP && info.si_signo != abi::kSIGCHLD) ||
      info.si_code == abi::kSI_SIGIO) {
    s.ssi_band = static_cast<uint32_t>(info.si_band);
    s.ssi_fd = info.si_fd;
    return s;
  }
  if (info.si_code != abi::kSI_TIMER) {
    s.ssi_pid = static_cast<uint32_t>(info.si_pid);
    s.ssi_uid = info.si_uid;
  }
  if (info.si_signo == abi::kSIGCHLD && info.si_code > 0) {
    s.ssi_status = info.si_status;
    s.ssi_utime = static_cast<uint64_t>(info.si_utime);
    s.ssi_stime = static_cast<uint64_t>(info.si_stime);
  } else {
    s.ssi_int = info.si_value.sival_int;
    s.ssi_ptr = info.si_value.sival_ptr;
  }
  return s;
}

}  // namespace

SignalFd::SignalFd(Ref<ThreadGroup> group, abi::SigSet mask, uint32_t flags)
    : FileDescription(MakeAnonPath("anon_inode:[signalfd]", 0), abi::kO_RDWR | (flags & abi::kSFD_NONBLOCK)),
      mask_(mask & ~abi::kUNBLOCKABLE_SIGNALS) {
  MutexLock lock(mu_);
  groups_.push_back(std::move(group));
}

// Signals that were pending before may be shown now.
void SignalFd::SetMask(abi::SigSet mask) {
  mask_.store(mask & ~abi::kUNBLOCKABLE_SIGNALS, std::memory_order_relaxed);
  WaitQueue* queue;
  {
    MutexLock lock(mu_);
    queue = &groups_.front()->signal_event;
  }
  queue->Wake(abi::kPOLLIN);
}

WaitQueue* SignalFd::wait_queue() {
  Task* task = Task::Current();
  MutexLock lock(mu_);
  if (!task) return &groups_.front()->signal_event;
  for (const Ref<ThreadGroup>& g : groups_) {
    if (g == &task->group()) return &g->signal_event;
  }
  if (groups_.size() >= kMaxGroups) return &groups_.front()->signal_event;
  groups_.push_back(task->group_ref());
  return &groups_.back()->signal_event;
}

std::string SignalFd::FdInfo() {
  char line[40];
  snprintf(line, sizeof line, "sigmask:\t%016llx\n", static_cast<unsigned long long>(mask()));
  return line;
}

EventMask SignalFd::Readiness() {
  Task* task = Task::Current();
  Ref<ThreadGroup> group;
  {
    MutexLock lock(mu_);
    group = task ? task->group_ref() : groups_.front();
  }
  MutexLock lock(group->signal_lock);
  abi::SigSet pending = group->shared_pending.set();
  if (task) pending |= task->pending().set();
  return pending & mask() ? abi::kPOLLIN : 0;
}

ErrorOr<size_t> SignalFd::TryRead(IoSink& dst, int64_t*, IoFlags) {
  if (dst.remaining() < sizeof(abi::SignalfdSiginfo)) return kEINVAL;
  Task* task = Task::Current();
  if (!task) return kEAGAIN;
  ThreadGroup& group = task->group();
  size_t done = 0;
  while (dst.remaining() >= sizeof(abi::SignalfdSiginfo)) {
    abi::SigInfo info;
    {
      MutexLock lock(group.signal_lock);
      if (!group.TakeSignal(*task, mask(), &info)) break;
      task->RecomputeSignalWork();
    }
    abi::SignalfdSiginfo s = ToSignalfd(info);
    ErrorOr<size_t> put = dst.Put(std::as_bytes(std::span(&s, 1)));
    if (!put.ok() || *put < sizeof s) return done ? ErrorOr<size_t>(done) : kEFAULT;
    done += sizeof s;
  }
  return done ? ErrorOr<size_t>(done) : kEAGAIN;
}

}  // namespace moat
