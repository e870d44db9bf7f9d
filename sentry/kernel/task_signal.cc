// Sending signals and deciding what they do (kernel/signal.c).
#include "abi/poll.h"
#include "abi/syscall_nr.h"
#include "abi/wait.h"
#include "base/util/check.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/notify.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/strace.h"

namespace moat {

namespace {

constexpr abi::SigSet kStopSignals = abi::SigMask(abi::kSIGSTOP) | abi::SigMask(abi::kSIGTSTP) |
                                     abi::SigMask(abi::kSIGTTIN) | abi::SigMask(abi::kSIGTTOU);

}  // namespace

// --- Sending. ---

// Job control happens when a signal is sent, whether or not it is blocked or ignored (signal(7), prepare_signal).
bool ThreadGroup::PrepareLocked(int signo) {
  if (group_exiting) return signo == abi::kSIGKILL;
  if (signo == abi::kSIGCONT) {
    shared_pending.Discard(kStopSignals);
    for (Task& t : tasks) t.pending().Discard(kStopSignals);
    if (stopping) {
      stopping = false;
      // The first task to leave its stop tells the parent: this thread may hold other locks.
      continue_notice_ = stopped_tasks > 0 && stopped_tasks >= live_tasks ? true : continue_notice_;
      stopped_tasks = 0;
      for (Task& t : tasks) {
        t.ClearWork(kWorkStop);
        t.stop_counted_ = false;
        t.Wake();
      }
    }
    for (Task& t : tasks) {
      if (t.tracing()) t.tracing()->NoteJobControl();
    }
  } else if (abi::SigMask(signo) & kStopSignals) {
    shared_pending.Discard(abi::SigMask(abi::kSIGCONT));
    for (Task& t : tasks) t.pending().Discard(abi::SigMask(abi::kSIGCONT));
  }
  return true;
}

void ThreadGroup::QueueLocked(const abi::SigInfo& info, Task* only) {
  int signo = info.si_signo;
  if (!PrepareLocked(signo)) return;
  if (signo == abi::kSIGKILL) {
    KillLocked(abi::kSIGKILL);
    return;
  }
  abi::SigSet bit = abi::SigMask(signo);
  Task* first = only ? only : leader;
  bool blocked_somewhere = first && ((first->blocked() | first->awaited) & bit);
  if (!blocked_somewhere && !(first && TracedBy(*first)) && actions->Ignored(signo)) return;  // a tracer sees all
  PendingSignals& queue = only ? only->pending() : shared_pending;
  if (queue.size() >= kernel_.limits.max_pending_signals) return;
  if (!queue.Add(info)) return;
  auto wants = [bit](Task& t) { return !(t.blocked() & bit) || (t.awaited & bit); };
  Task* target = nullptr;
  if (only) {
    if (wants(*only)) target = only;
  } else {
    if (leader && !leader->killed() && leader->thread_ && wants(*leader)) target = leader;
    for (auto it = tasks.begin(); !target && it != tasks.end(); ++it) {
      if (it->thread_ && wants(*it)) target = &*it;
    }
  }
  if (target) {
    if (target->awaited & bit) {
      target->Wake();
    } else {
      target->AddWork(kWorkSignal);
    }
  }
  signal_event.Wake(abi::kPOLLIN);
}

void ThreadGroup::SendSignal(const abi::SigInfo& info) {
  MutexLock lock(signal_lock);
  QueueLocked(info, nullptr);
}

void Task::SendSignal(const abi::SigInfo& info) {
  MutexLock lock(group_->signal_lock);
  group_->QueueLocked(info, this);
}

// A fault: if the signal is blocked or ignored the process dies of it (force_sig_info).
void Task::ForceSignal(const abi::SigInfo& info) {
  MutexLock lock(group_->signal_lock);
  abi::SigSet bit = abi::SigMask(info.si_signo);
  abi::Sigaction& action = group_->actions->of(info.si_signo);
  if ((blocked() & bit) || action.sa_handler == abi::kSIG_IGN) {
    action.sa_handler = abi::kSIG_DFL;
    blocked_.store(blocked() & ~bit, std::memory_order_relaxed);
  }
  pending_.Add(info);
  work_.fetch_or(kWorkSignal, std::memory_order_acq_rel);
}

void ThreadGroup::KillLocked(int status) {
  if (!group_exiting) {
    group_exiting = true;
    group_exit_status = status;
  }
  stopping = false;
  for (Task& t : tasks) t.AddWork(kWorkKill);
}

void ThreadGroup::ExitAll(int status) {
  MutexLock lock(signal_lock);
  KillLocked(status);
}

bool ThreadGroup::Stopped() {
  MutexLock lock(signal_lock);
  return stopping && stopped_tasks >= live_tasks;
}

// --- Masks. ---

void Task::SetBlocked(abi::SigSet mask) {
  MutexLock lock(group_->signal_lock);
  blocked_.store(mask & ~abi::kUNBLOCKABLE_SIGNALS, std::memory_order_relaxed);
  RecomputeSignalWork();
  // Signals for the whole process that this task now blocks may be another's to take.
  abi::SigSet left = group_->shared_pending.set();
  if (left & mask) {
    for (Task& t : group_->tasks) {
      if (&t != this && (left & ~t.blocked())) t.AddWork(kWorkSignal);
    }
  }
}

void Task::SetTemporaryMask(abi::SigSet mask) {
  saved_mask_ = blocked();
  SetBlocked(mask);
  work_.fetch_or(kWorkRestoreMask, std::memory_order_acq_rel);
}

void Task::RecomputeSignalWork() {
  abi::SigSet pending = pending_.set() | group_->shared_pending.set();
  if (pending & ~blocked()) {
    work_.fetch_or(kWorkSignal, std::memory_order_acq_rel);
  } else {
    work_.fetch_and(~kWorkSignal, std::memory_order_acq_rel);
  }
}

// --- Acting on them, on the way back to guest mode. ---

namespace {

// Applies a restart code when no handler runs: the instruction is executed again.
void Restart(Task& t, Errno code) {
  constexpr uint64_t kSyscallInstructionLength = 2;
  abi::UserRegs regs = t.GetRegs();
  regs.rax = code == kERESTART_RESTARTBLOCK ? static_cast<uint64_t>(abi::kNr_restart_syscall)
                                            : static_cast<uint64_t>(t.trap().nr);
  regs.rip -= kSyscallInstructionLength;
  t.SetRegs(regs);
}

}  // namespace

bool Task::DoWork(std::optional<Errno> restart) {
  for (;;) {
    uint32_t work = work_.load(std::memory_order_acquire);
    if (work & kWorkKill) {
      Exit(group_->group_exit_status);
      return false;
    }
    if (work & kWorkStop) {
      StopHere(restart);
      continue;
    }
    if (work & kWorkTrap) {
      TrapHere(restart);
      continue;
    }
    if (work & kWorkSignal) {
      if (!DeliverSignals(restart)) return false;
      continue;
    }
    if (restart) {
      Restart(*this, *restart);
      restart.reset();
    }
    if (!(work & kWorkRestoreMask)) return true;
    ClearWork(kWorkRestoreMask);
    SetBlocked(saved_mask_);
  }
}

// Takes one signal and does what its action says. False if the task ended. Clears `restart` when a handler consumed it.
bool Task::DeliverSignals(std::optional<Errno>& restart) {
  abi::SigInfo info;
  {
    MutexLock lock(group_->signal_lock);
    bool taken = group_->TakeSignal(*this, ~blocked(), &info);
    RecomputeSignalWork();
    if (!taken) return true;
  }
  if (Tracing* traced = TracedBy(*this)) [[unlikely]] {
    TellOfContinue();  // a tracee's stop may not have ended with the process's
    traced->ShowRestart(restart);
    int signo = traced->OnSignal(info);
    traced->LearnRestart(restart);
    if (!signo) return true;
  }
  abi::Sigaction action;
  {
    MutexLock lock(group_->signal_lock);
    action = group_->actions->of(info.si_signo);
    if (action.sa_handler > abi::kSIG_IGN && (action.sa_flags & abi::kSA_RESETHAND)) {
      group_->actions->of(info.si_signo).sa_handler = abi::kSIG_DFL;
    }
  }
  if (StraceEnabled()) StraceSignal(*this, info);
  if (action.sa_handler == abi::kSIG_IGN) return true;
  if (action.sa_handler == abi::kSIG_DFL) return ActByDefault(info);
  return RunHandler(info, action, restart);
}

bool Task::ActByDefault(const abi::SigInfo& info) {
  switch (DefaultActionOf(info.si_signo)) {
    case DefaultAction::kIgnore:
    case DefaultAction::kContinue:
      return true;
    case DefaultAction::kStop: {
      // Nobody could continue a process of an orphaned group: all stop signals but SIGSTOP are dropped (POSIX).
      if (info.si_signo != abi::kSIGSTOP) {
        MutexLock lock(kernel_.tasks_lock);
        if (InOrphanedGroup(*group_)) return true;
      }
      MutexLock lock(group_->signal_lock);
      if (group_->group_exiting) return true;
      group_->stopping = true;
      group_->stop_signal = info.si_signo;
      for (Task& t : group_->tasks) {
        t.AddWork(kWorkStop);
        if (&t != this && t.tracing()) t.tracing()->NoteJobControl();
      }
      return true;
    }
    case DefaultAction::kTerminate:
    case DefaultAction::kCore:
      group_->ExitAll(abi::WaitStatusSignaled(info.si_signo, false));
      Exit(group_->group_exit_status);
      return false;
  }
  UNREACHABLE();
}

bool Task::RunHandler(const abi::SigInfo& info, const abi::Sigaction& action, std::optional<Errno>& restart) {
  if (restart) {
    bool again = *restart == kERESTARTNOINTR || (*restart == kERESTARTSYS && (action.sa_flags & abi::kSA_RESTART));
    if (again) Restart(*this, *restart);
    restart.reset();  // else rax holds -EINTR already
  }
  if (!SetUpFrame(info, action).ok()) {
    // No room for the frame: die of SIGSEGV, also if SIGSEGV has a handler that failed (signal(7)).
    if (info.si_signo == abi::kSIGSEGV) {
      MutexLock lock(group_->signal_lock);
      group_->actions->of(abi::kSIGSEGV).sa_handler = abi::kSIG_DFL;
    }
    ForceSignal(MakeSigInfo(abi::kSIGSEGV, abi::kSI_KERNEL));
    return true;
  }
  abi::SigSet mask = blocked() | action.sa_mask;
  if (!(action.sa_flags & abi::kSA_NODEFER)) mask |= abi::SigMask(info.si_signo);
  ClearWork(kWorkRestoreMask);
  SetBlocked(mask);
  if (Tracing* traced = TracedBy(*this)) [[unlikely]] traced->OnSignalFrame();
  return true;
}

// A stop that a tracer asked for.
void Task::TrapHere(std::optional<Errno>& restart) {
  Tracing* traced = TracedBy(*this);
  if (!traced) return ClearWork(kWorkTrap);
  traced->ShowRestart(restart);
  traced->JobStop();
  traced->LearnRestart(restart);
}

// Sleeps while the group is stopped. The last task to stop tells the parent, the first to go on tells it of the continue. A
// tracee stops for its tracer instead, which may let it run while the process as such is stopped.
void Task::StopHere(std::optional<Errno>& restart) {
  bool last = false;
  int signo = 0;
  Tracing* traced = nullptr;
  {
    MutexLock lock(group_->signal_lock);
    traced = TracedBy(*this);
    if (!group_->stopping || traced) ClearWork(kWorkStop);
    if (!group_->stopping) return;
    if (!std::exchange(stop_counted_, true)) last = ++group_->stopped_tasks >= group_->live_tasks;
    signo = group_->stop_signal;
  }
  if (last) NotifyParentOfStop(*group_, signo);
  if (traced) {
    traced->ShowRestart(restart);
    traced->JobStop();
    traced->LearnRestart(restart);
  }
  auto stopped = [this] { return (work_.load(std::memory_order_acquire) & (kWorkStop | kWorkTrap)) == kWorkStop; };
  while (!traced && stopped() && !killed()) (void)BlockKillable();
  TellOfContinue();
}

void Task::TellOfContinue() {
  bool tell = false;
  {
    MutexLock lock(group_->signal_lock);
    tell = std::exchange(group_->continue_notice_, false);
  }
  if (tell) NotifyParentOfContinue(*group_);
}

}  // namespace moat
