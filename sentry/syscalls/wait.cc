#include "sentry/syscalls/wait.h"

#include <optional>

#include "abi/fcntl.h"
#include "abi/wait.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/notify.h"
#include "sentry/kernel/pidfd.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/rusage.h"
#include "sentry/kernel/thread_group.h"

namespace moat {
namespace {

struct WaitFor {
  int type = abi::kP_ALL;
  int id = 0;                         // pid or pgid
  Ref<ThreadGroup> group;             // P_PIDFD
  uint32_t options = 0;
};

struct WaitResult {
  int pid = 0;
  uint32_t uid = 0;
  int code = 0;         // CLD_*
  int status = 0;       // si_status
  int wait_status = 0;  // wait4's
  Usage usage;
};

// `traced`: asked by the tracer of `child`, to whom clone children and others are the same.
bool Matches(const WaitFor& w, Task& child, bool traced) {
  ThreadGroup& group = child.group();
  if (w.type == abi::kP_PID && child.tid() != w.id) return false;
  if (w.type == abi::kP_PGID && group.process_group->pgid != w.id) return false;
  if (w.type == abi::kP_PIDFD && (w.group.get() != &group || !child.is_leader())) return false;
  if (traced || (w.options & abi::kWALL)) return true;
  bool clone_child = group.exit_signal != abi::kSIGCHLD;
  return clone_child == ((w.options & abi::kWCLONE) != 0);
}

WaitResult Describe(Task& child, int code, int status, int wait_status) {
  WaitResult r{.pid = child.tid(), .code = code, .status = status, .wait_status = wait_status};
  r.uid = child.creds_ref()->uid;
  r.usage = child.group().dead_threads_usage;
  r.usage.Add(child.group().children_usage);
  return r;
}

WaitResult DescribeExit(Task& child, int wait_status) {
  abi::SigInfo info = ChildSigInfo(child.group(), wait_status);
  return Describe(child, info.si_code, info.si_status, wait_status);
}

std::optional<WaitResult> ReportContinue(const WaitFor& w, Task& child) {
  ThreadGroup& group = child.group();
  if (!group.continue_pending || !(w.options & abi::kWCONTINUED)) return std::nullopt;
  if (!(w.options & abi::kWNOWAIT)) group.continue_pending = false;
  return Describe(child, abi::kCLD_CONTINUED, abi::kSIGCONT, abi::kWAIT_STATUS_CONTINUED);
}

// What there is to report of one child now; consumes it unless WNOWAIT. An exit shows to the tracer before the parent.
std::optional<WaitResult> ReportChild(Kernel& kernel, const WaitFor& w, ThreadGroup& child) MOAT_REQUIRES(kernel.tasks_lock) {
  bool consume = !(w.options & abi::kWNOWAIT);
  Task& leader = *child.leader;
  if (child.exited) {
    if (!(w.options & abi::kWEXITED) || TracedBy(leader) || Tracing::HasZombies(child)) return std::nullopt;
    WaitResult r = DescribeExit(leader, child.exit_status);
    if (consume) kernel.Reap(child);
    return r;
  }
  if (child.stop_status && (w.options & abi::kWUNTRACED)) {
    WaitResult r = Describe(leader, abi::kCLD_STOPPED, child.stop_status, abi::WaitStatusStopped(child.stop_status));
    if (consume) child.stop_status = 0;
    return r;
  }
  return ReportContinue(w, leader);
}

// The same for the tracer: it need not ask for stops.
std::optional<WaitResult> ReportTracee(const WaitFor& w, Tracing& tracee) {
  bool consume = !(w.options & abi::kWNOWAIT);
  if (tracee.exit_to_report()) {
    if (!(w.options & abi::kWEXITED)) return std::nullopt;
    WaitResult r = DescribeExit(tracee.task(), tracee.exit_status());
    if (consume) tracee.ReapExit();
    return r;
  }
  if (int code = tracee.stop_to_report()) {
    if (consume) tracee.ConsumeStop();
    return Describe(tracee.task(), abi::kCLD_TRAPPED, code, abi::WaitStatusStopped(code));
  }
  return ReportContinue(w, tracee.task());
}

// One look: a result, kEAGAIN (children, nothing to report), kECHILD.
class Look {
 public:
  Look(Task& t, const WaitFor& w) : t_(t), kernel_(t.kernel()), w_(w) {}

  ErrorOr<WaitResult> Do() {
    MutexLock lock(kernel_.tasks_lock);
    if (std::optional<WaitResult> r = LookAtChildren()) return *r;
    for (Task& waiter : t_.group().tasks) {
      if (&waiter != &t_ && (w_.options & abi::kWNOTHREAD)) continue;
      if (!waiter.tracing()) continue;
      if (std::optional<WaitResult> r = LookAtTracees(*waiter.tracing())) return *r;
    }
    return any_ ? kEAGAIN : kECHILD;
  }

 private:
  // Of a zombie only the exit is left to hear.
  void Count(bool ended) { any_ |= !ended || (w_.options & abi::kWEXITED); }

  std::optional<WaitResult> LookAtChildren() MOAT_REQUIRES(kernel_.tasks_lock) {
    for (ThreadGroup* child : t_.group().children) {
      if ((w_.options & abi::kWNOTHREAD) && child->parent_task && child->parent_task.get() != &t_) continue;
      // A child that its own parent traces is looked at as a tracee only, so that no stop shows twice.
      Tracing* traced = TracedBy(*child->leader);
      bool ours = traced && &traced->tracer()->group() == &t_.group();
      if (!Matches(w_, *child->leader, ours)) continue;
      Count(child->exited);
      std::optional<WaitResult> r = ours ? ReportTracee(w_, *traced) : ReportChild(kernel_, w_, *child);
      if (r) return r;
    }
    return std::nullopt;
  }

  std::optional<WaitResult> LookAtTracees(Tracing& waiter) MOAT_REQUIRES(kernel_.tasks_lock) {
    for (Task* tracee : waiter.tracees()) {
      if (!Matches(w_, *tracee, true)) continue;
      Count(tracee->tracing()->exit_to_report());
      if (std::optional<WaitResult> r = ReportTracee(w_, *tracee->tracing())) return r;
    }
    return std::nullopt;
  }

  Task& t_;
  Kernel& kernel_;
  const WaitFor& w_;
  bool any_ = false;
};

ErrorOr<WaitResult> TryWait(Task& t, const WaitFor& w) { return Look(t, w).Do(); }

ErrorOr<WaitResult> Wait(Task& t, const WaitFor& w) {
  ErrorOr<WaitResult> r = (w.options & abi::kWNOHANG)
                              ? TryWait(t, w)
                              : t.BlockOn(t.group().child_events, ~0u, kForever, [&] { return TryWait(t, w); });
  if (!r.ok() && r.error() == kEAGAIN) return WaitResult{};
  return r;
}

ErrorOr<WaitFor> WaitidTarget(Task& t, int type, int id, uint32_t options) {
  WaitFor w{.type = type, .id = id, .options = options};
  switch (type) {
    case abi::kP_ALL:
      return w;
    case abi::kP_PID:
      if (id <= 0) return kEINVAL;
      return w;
    case abi::kP_PGID: {
      if (id < 0) return kEINVAL;
      MutexLock lock(t.kernel().tasks_lock);
      if (id == 0) w.id = t.group().process_group->pgid;
      return w;
    }
    case abi::kP_PIDFD: {
      if (id < 0) return kEINVAL;
      Ref<FileDescription> file = TRY(t.fds().Get(id));
      Ref<PidFd> pidfd = RefCast<PidFd>(file);
      if (!pidfd) return kEBADF;
      if (pidfd->nonblocking()) w.options |= abi::kWNOHANG;
      w.group = Ref<ThreadGroup>(&pidfd->group());
      return w;
    }
    default:
      return kEINVAL;
  }
}

}  // namespace

ErrorOr<uint64_t> SysWait4(Task& t, int pid, UserAddr status, int options, UserAddr rusage) {
  constexpr uint32_t kValid =
      abi::kWNOHANG | abi::kWUNTRACED | abi::kWCONTINUED | abi::kWNOTHREAD | abi::kWCLONE | abi::kWALL;
  uint32_t bits = static_cast<uint32_t>(options);
  if (bits & ~kValid) return kEINVAL;
  if (pid == INT32_MIN) return kESRCH;
  WaitFor w{.options = bits | abi::kWEXITED};
  if (pid > 0) {
    w.type = abi::kP_PID;
    w.id = pid;
  } else if (pid < -1) {
    w.type = abi::kP_PGID;
    w.id = -pid;
  } else if (pid == 0) {
    w.type = abi::kP_PGID;
    MutexLock lock(t.kernel().tasks_lock);
    w.id = t.group().process_group->pgid;
  }
  WaitResult r = TRY(Wait(t, w));
  if (r.pid && status) TRY(t.mm().Write<int>(status, r.wait_status));
  if (r.pid && rusage) TRY(t.mm().Write(rusage, ToRusage(r.usage)));
  return static_cast<uint64_t>(r.pid);
}

ErrorOr<uint64_t> SysWaitid(Task& t, int type, int id, UserAddr info_addr, int options, UserAddr rusage) {
  constexpr uint32_t kValid = abi::kWNOHANG | abi::kWNOWAIT | abi::kWEXITED | abi::kWSTOPPED | abi::kWCONTINUED |
                              abi::kWNOTHREAD | abi::kWCLONE | abi::kWALL;
  uint32_t bits = static_cast<uint32_t>(options);
  if (bits & ~kValid) return kEINVAL;
  if (!(bits & (abi::kWEXITED | abi::kWSTOPPED | abi::kWCONTINUED))) return kEINVAL;
  WaitFor w = TRY(WaitidTarget(t, type, id, bits));
  WaitResult r = TRY(Wait(t, w));
  if (!r.pid && type == abi::kP_PIDFD && !(bits & abi::kWNOHANG)) return kEAGAIN;
  if (r.pid && rusage) TRY(t.mm().Write(rusage, ToRusage(r.usage)));
  if (info_addr) {
    abi::SigInfo info{};
    if (r.pid) {
      info = MakeSigInfo(abi::kSIGCHLD, r.code);
      info.si_pid = r.pid;
      info.si_uid = r.uid;
      info.si_status = r.status;
    }
    TRY(t.mm().Write(info_addr, info));
  }
  return uint64_t{0};
}

}  // namespace moat
