#include "sentry/kernel/notify.h"

#include "abi/poll.h"
#include "abi/signal.h"
#include "abi/wait.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

namespace {

constexpr uint64_t kNsPerClockTick = 10'000'000;  // si_utime counts USER_HZ = 100

void Notify(ThreadGroup& group, int code, int status) {
  Kernel& kernel = group.kernel();
  MutexLock lock(kernel.tasks_lock);
  if (code == abi::kCLD_STOPPED) {
    group.stop_status = status;
    group.continue_pending = false;
  } else {
    group.stop_status = 0;
    group.continue_pending = true;
  }
  ThreadGroup* parent = group.parent;
  if (!parent) return;
  // A parent that traces its child hears of the stop as its tracer.
  Tracing* traced = group.leader ? TracedBy(*group.leader) : nullptr;
  if (code == abi::kCLD_STOPPED && traced && &traced->tracer()->group() == parent) return;
  bool send = false;
  {
    MutexLock signal(parent->signal_lock);
    abi::Sigaction& action = parent->actions->of(abi::kSIGCHLD);
    send = action.sa_handler != abi::kSIG_IGN && !(action.sa_flags & abi::kSA_NOCLDSTOP);
  }
  if (send) {
    abi::SigInfo info = MakeSigInfo(abi::kSIGCHLD, code);
    info.si_pid = group.tgid();
    info.si_uid = group.leader ? group.leader->creds_ref()->uid : 0;
    info.si_status = status;
    parent->SendSignal(info);
  }
  parent->child_events.Wake(abi::kPOLLIN);
}

}  // namespace

void NotifyParentOfStop(ThreadGroup& group, int signo) { Notify(group, abi::kCLD_STOPPED, signo); }
void NotifyParentOfContinue(ThreadGroup& group) { Notify(group, abi::kCLD_CONTINUED, abi::kSIGCONT); }

abi::SigInfo ChildSigInfo(ThreadGroup& group, int wait_status) {
  abi::SigInfo info = MakeSigInfo(abi::kSIGCHLD, abi::kCLD_EXITED);
  info.si_status = abi::WaitExitStatus(wait_status);
  if (abi::WaitIfSignaled(wait_status)) {
    info.si_code = abi::WaitCoreDump(wait_status) ? abi::kCLD_DUMPED : abi::kCLD_KILLED;
    info.si_status = abi::WaitTermSig(wait_status);
  }
  info.si_pid = group.tgid();
  info.si_uid = group.leader ? group.leader->creds_ref()->uid : 0;
  info.si_utime = static_cast<int64_t>(group.dead_threads_usage.user_ns / kNsPerClockTick);
  info.si_stime = static_cast<int64_t>(group.dead_threads_usage.system_ns / kNsPerClockTick);
  return info;
}

bool InOrphanedGroup(ThreadGroup& group) MOAT_NO_THREAD_SAFETY_ANALYSIS {
  bool orphaned = true;
  group.kernel().ForEachGroup([&](ThreadGroup& member) {
    if (member.process_group != group.process_group || member.exited) return;
    ThreadGroup* parent = member.parent;
    if (parent && parent->process_group != member.process_group &&
        parent->process_group->session == member.process_group->session) {
      orphaned = false;
    }
  });
  return orphaned;
}

}  // namespace moat
