// Who traces whom, what tracers do to stopped tracees, and what their waits see.
#include <algorithm>

#include "abi/poll.h"
#include "abi/signal.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/notify.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

namespace {
int g_zombies = 0;  // of all processes; tasks_lock
}  // namespace

Tracing& Tracing::Of(Task& task) {
  if (!task.tracing()) task.tracing_.store(new Tracing(task), std::memory_order_release);
  return *task.tracing();
}

// --- The tie. ---

ErrorOr<Tracing*> Tracing::Find(Task& tracer, int tid, bool running) MOAT_NO_THREAD_SAFETY_ANALYSIS {
  Task* task = tracer.kernel().FindTask(tid);
  Tracing* its = task ? TracedBy(*task) : nullptr;
  if (!its || its->tracer_ != &tracer || !(running || its->ready())) return kESRCH;
  return its;
}

void Tracing::Link(Task& tracer, bool seize, uint64_t options) {
  tracer_ = &tracer;
  Of(tracer).tracees_.push_back(&task_);
  set_options(options);
  mode_.store(0, std::memory_order_relaxed);
  state_.store(kTraced | (seize ? kSeized : 0u), std::memory_order_release);
}

void Tracing::LinkChild(Task& parent, Task& child) {
  Tracing* its = TracedBy(parent);
  if (!its) return;
  Tracing& mine = Of(child);
  mine.Link(*its->tracer_, its->seized(), its->options_.load(std::memory_order_relaxed));
  if (mine.seized()) {
    mine.asked_.store(kTrapStop, std::memory_order_relaxed);
    child.work_.fetch_or(kWorkTrap, std::memory_order_acq_rel);
  } else {
    child.pending_.Add(MakeSigInfo(abi::kSIGSTOP, abi::kSI_USER));
    child.work_.fetch_or(kWorkSignal, std::memory_order_acq_rel);
  }
}

void Tracing::Unlink(std::optional<int> signo) {
  if (!tracer_) return;
  std::erase(tracer_->tracing()->tracees_, &task_);
  tracer_ = nullptr;
  set_options(0);
  mode_.store(0, std::memory_order_relaxed);
  ThreadGroup& group = task_.group();
  {
    MutexLock signal(group.signal_lock);
    state_.store(0, std::memory_order_release);
    ForgetAsked(kTrapStop | kTrapNotify);
    // Its tracer may have let it run in the middle of a stop of the whole process.
    if (group.stopping && !zombie_ && !task_.dead()) task_.AddWork(kWorkStop);
  }
  if (in_stop_) {
    resume_signo_ = signo.value_or(exit_code_);  // a tracer that dies leaves what it did not wait for
    resumed_ = true;
    task_.Wake();
  }
  // What the tracer hid from its own wait for children shows from here on.
  if (group.parent) group.parent->child_events.Wake(abi::kPOLLIN);
}

void Tracing::OnTracerExit(Task& tracer) MOAT_NO_THREAD_SAFETY_ANALYSIS {
  if (!tracer.tracing()) return;
  Kernel& kernel = tracer.kernel();
  while (!tracer.tracing()->tracees_.empty()) {
    Ref<Task> tracee(tracer.tracing()->tracees_.back());
    ThreadGroup& group = tracee->group();
    Tracing& its = *tracee->tracing();
    if (its.OptionOn(abi::kPTRACE_O_EXITKILL) && !group.exited) group.ExitAll(abi::kSIGKILL);
    its.Unlink();
    if (its.zombie_) its.ForgetZombie();
    else if (tracee->is_leader() && group.exited) kernel.NotifyExit(group);
  }
}

// --- Requests on a stopped tracee. ---

void Tracing::Resume(const TraceResume& how) {
  mode_.store((how.syscalls ? kSyscalls : 0u) | (how.emulate ? kEmulate : 0u) | (how.step ? kStep : 0u),
              std::memory_order_relaxed);
  exit_code_ = 0;
  resume_signo_ = how.signo;
  resumed_ = true;
  task_.Wake();
}

ErrorOr<void> Tracing::Interrupt() {
  if (!seized()) return kEIO;
  MutexLock signal(task_.group().signal_lock);
  Ask(kTrapStop);
  return {};
}

ErrorOr<void> Tracing::Listen() {
  if (!seized() || !info_ || info_->si_code >> 8 != abi::kPTRACE_EVENT_STOP) return kEIO;
  listening_ = true;
  task_.Wake();  // job control may have changed already
  return {};
}

void Tracing::StopAgain() {
  MutexLock signal(task_.group().signal_lock);
  if (task_.stop_counted_) Ask(kTrapStop);
}

abi::SigSet Tracing::mask() const {
  return task_.work_.load(std::memory_order_acquire) & kWorkRestoreMask ? task_.saved_mask_ : task_.blocked();
}

void Tracing::set_mask(abi::SigSet mask) {
  task_.ClearWork(kWorkRestoreMask);
  task_.SetBlocked(mask);
}

// --- Ends. ---

bool Tracing::HasZombies(ThreadGroup& group) MOAT_NO_THREAD_SAFETY_ANALYSIS {
  if (g_zombies == 0) return false;
  bool any = false;
  group.kernel().ForEachTask([&](Task& t) { any |= &t.group() == &group && t.tracing() && t.tracing()->zombie_; });
  return any;
}

bool Tracing::exit_to_report() const {
  return zombie_ || (task_.is_leader() && task_.group().exited && !HasZombies(task_.group()));
}

int Tracing::exit_status() const {
  const ThreadGroup& group = task_.group();
  if (!zombie_) return group.exit_status;
  return group.group_exiting ? group.group_exit_status : zombie_status_;
}

void Tracing::OnThreadExit(int status) {
  zombie_ = true;
  ++g_zombies;
  zombie_status_ = status;
  NotifyTracerOfExit();
}

// The process itself is heard of after the last of its threads.
void Tracing::ForgetZombie() MOAT_NO_THREAD_SAFETY_ANALYSIS {
  ThreadGroup& group = task_.group();
  Kernel& kernel = task_.kernel();
  zombie_ = false;
  --g_zombies;
  kernel.RemoveTask(task_.tid());
  if (group.exited && !group.reaped && !HasZombies(group)) kernel.NotifyExit(group);
}

void Tracing::NotifyTracerOfExit() {
  ThreadGroup& to = tracer_->group();
  ThreadGroup& group = task_.group();
  int signo = task_.is_leader() && group.parent == &to ? group.exit_signal : abi::kSIGCHLD;
  if (signo >= 1 && signo <= abi::kNSIG) {  // clone(2) takes any number below 256
    abi::SigInfo info = ChildSigInfo(group, exit_status());
    info.si_signo = signo;
    info.si_pid = task_.tid();
    to.SendSignal(info);
  }
  to.child_events.Wake(abi::kPOLLIN);
}

void Tracing::ReapExit() MOAT_NO_THREAD_SAFETY_ANALYSIS {
  Kernel& kernel = task_.kernel();
  Ref<Task> keep(&task_);
  ThreadGroup& group = task_.group();
  const bool of_parent = &tracer_->group() == group.parent;
  Unlink();
  if (zombie_) {
    ForgetZombie();
  } else if (of_parent) {
    kernel.Reap(group);
  } else {
    kernel.NotifyExit(group);
  }
}

}  // namespace moat
