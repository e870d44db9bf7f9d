// The end of a task and of a process (kernel/exit.c), and what parents learn of it.
#include <algorithm>

#include "abi/poll.h"
#include "abi/signal.h"
#include "abi/wait.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/futex.h"
#include "sentry/kernel/ipc/semaphore.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/notify.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/kernel/timers.h"
#include "sentry/kernel/tty.h"
#include "sentry/syscalls/strace.h"

namespace moat {

namespace {

// Who adopts the children of `dying`: the nearest living subreaper above it, or nobody (null: the kernel reaps).
ThreadGroup* Adopter(ThreadGroup& dying) {
  for (ThreadGroup* p = dying.parent; p; p = p->parent) {
    if (p->child_subreaper && !p->exited && !p->group_exiting) return p;
  }
  return nullptr;
}

}  // namespace

// What an old address space is owed before this task leaves it (mm_release): robust futexes, the tid word, a vfork parent.
void Task::ReleaseMemory() {
  if (mm_) {
    kernel_.futexes().ExitRobustList(*this);
    kernel_.futexes().ExitPi(*this);
    // Only if others still use the memory would anybody see the word.
    if (clear_child_tid && mm_->ref_count() > 1) {
      (void)mm_->Write<int>(clear_child_tid, 0);
      kernel_.futexes().WakeAddress(*mm_, clear_child_tid, 1);
    }
  }
  clear_child_tid = 0;
  robust_list = 0;
  if (thread_) {
    uint64_t cpu_ns = thread_->CpuTimeNs();
    MutexLock lock(group_->signal_lock);
    group_->dead_threads_usage.user_ns += cpu_ns;
    thread_cpu_base_ns += cpu_ns;
  }
  thread_.reset();
  mm_ = nullptr;
  if (vfork_done) {
    vfork_done->Finish();
    vfork_done = nullptr;
  }
}

// The handler returns right after it. The task object lives on until it is reaped.
void Task::Exit(int status) {
  if (state_.load(std::memory_order_relaxed) == State::kDead) return;
  if (Tracing* traced = TracedBy(*this); traced && trap_.kind != TrapKind::kDied) [[unlikely]] traced->OnExit(status);
  ThreadGroup& group = *group_;
  bool last;
  {
    MutexLock lock(group.signal_lock);
    last = group.live_tasks == 1;
  }
  if (StraceEnabled()) StraceExit(*this, status);
  if (last && group.timers) group.timers->OnExit();
  uint64_t cpu_ns = last ? group.CpuNs() : 0;
  ReleaseMemory();
  if (last) {
    MutexLock lock(group.signal_lock);
    group.dead_threads_usage.user_ns = std::max(group.dead_threads_usage.user_ns, cpu_ns);
  }
  sem_undo = nullptr;  // the last user's operations are undone here
  fds_ = nullptr;  // the last user's files close here; may park
  fs_ = nullptr;
  kernel_.FinishExit(*this, status);
  state_.store(State::kDead, std::memory_order_release);
}

// The part under tasks_lock: leaves the group; the last one makes it a zombie and hands its children over.
void Kernel::FinishExit(Task& task, int status) {
  ThreadGroup& group = task.group();
  Ref<ThreadGroup> keep(&group);
  bool init_gone = false;
  int init_status = 0;
  {
    MutexLock lock(tasks_lock);
    Tracing::OnTracerExit(task);
    std::vector<ThreadGroup*> orphans = group.children;
    for (ThreadGroup* child : orphans) {
      // A thread's end tells its own children (PR_SET_PDEATHSIG); the process's end gives them away.
      if (child->parent_task == &task) {
        int signo = child->leader ? child->leader->parent_death_signal : 0;
        if (signo) child->SendSignal(MakeSigInfo(signo, abi::kSI_USER));
        child->parent_task = group.live_tasks > 1 && group.leader != &task ? Ref<Task>(group.leader) : nullptr;
      }
    }
    {
      MutexLock signal(group.signal_lock);
      task.group_node_.Unlink();
      --group.live_tasks;
      if (std::exchange(task.stop_counted_, false)) --group.stopped_tasks;
    }
    bool leader = group.leader == &task;
    Tracing* traced = TracedBy(task);
    if (!leader && traced) traced->OnThreadExit(status);
    else if (!leader) RemoveTask(task.tid());
    if (group.live_tasks == 0) {
      {
        MutexLock signal(group.signal_lock);
        group.exited = true;
        group.exit_status = group.group_exiting ? group.group_exit_status : status;
      }
      SessionLeaderExited(group);
      GiveAwayChildren(group);
      NotifyExit(group);
      if (&group == init_) {
        init_gone = true;
        init_status = group.exit_status;
      }
    }
  }
  group.thread_exit_event.Wake(~0u);
  if (init_gone) EndSandbox(init_status);
}

void Kernel::GiveAwayChildren(ThreadGroup& group) {
  ThreadGroup* adopter = Adopter(group);
  std::vector<ThreadGroup*> children = std::move(group.children);
  group.children.clear();
  for (ThreadGroup* child : children) {
    bool was_orphaned = InOrphanedGroup(*child);
    child->parent = adopter;
    child->parent_task = nullptr;
    child->exit_signal = abi::kSIGCHLD;
    if (adopter) adopter->children.push_back(child);
    if (child->exited) {
      if (!child->leader || !TracedBy(*child->leader)) NotifyExit(*child);
    } else if (!was_orphaned && InOrphanedGroup(*child) && child->Stopped()) {
      // A newly orphaned, stopped process group is woken so that it cannot hang for ever (POSIX).
      SignalGroupLocked(*child->process_group, MakeSigInfo(abi::kSIGHUP, abi::kSI_KERNEL));
      SignalGroupLocked(*child->process_group, MakeSigInfo(abi::kSIGCONT, abi::kSI_KERNEL));
    }
  }
  OrphanOwnGroup(group);
}

// The exit of `group` may itself orphan its process group's stopped members.
void Kernel::OrphanOwnGroup(ThreadGroup& group) {
  bool any_stopped = false;
  for (auto& [tid, task] : tasks_) {
    ThreadGroup& other = task->group();
    if (&other == &group || other.exited || other.process_group != group.process_group) continue;
    if (!InOrphanedGroup(other)) return;
    any_stopped |= other.Stopped();
  }
  if (!any_stopped || !group.parent || group.parent->process_group == group.process_group ||
      group.parent->process_group->session != group.process_group->session) {
    return;
  }
  SignalGroupLocked(*group.process_group, MakeSigInfo(abi::kSIGHUP, abi::kSI_KERNEL));
  SignalGroupLocked(*group.process_group, MakeSigInfo(abi::kSIGCONT, abi::kSI_KERNEL));
}

// Tells the parent, or reaps at once when nobody will ask (no parent, SIGCHLD ignored, SA_NOCLDWAIT).
void Kernel::NotifyExit(ThreadGroup& group) {
  group.exit_event.Wake(abi::kPOLLIN);
  // The parent hears of it after the tracer did.
  if (Tracing* traced = group.leader ? TracedBy(*group.leader) : nullptr) return traced->NotifyTracerOfExit();
  if (Tracing::HasZombies(group)) return;  // told after the last of them
  ThreadGroup* parent = group.parent;
  bool autoreap = parent == nullptr;
  bool send = parent && group.exit_signal >= 1 && group.exit_signal <= abi::kNSIG;  // clone(2) takes any number below 256
  if (parent && group.exit_signal == abi::kSIGCHLD) {
    MutexLock lock(parent->signal_lock);
    abi::Sigaction& action = parent->actions->of(abi::kSIGCHLD);
    if (action.sa_handler == abi::kSIG_IGN) {
      autoreap = true;
      send = false;
    } else if (action.sa_flags & abi::kSA_NOCLDWAIT) {
      autoreap = true;
    }
  }
  if (send) {
    abi::SigInfo info = ChildSigInfo(group, group.exit_status);
    info.si_signo = group.exit_signal;
    parent->SendSignal(info);
  }
  if (autoreap && &group != init_) Reap(group);
  if (parent) parent->child_events.Wake(abi::kPOLLIN);
}

void Kernel::Reap(ThreadGroup& group) {
  if (group.reaped) return;
  group.reaped = true;
  Ref<ThreadGroup> keep(&group);
  if (group.parent) {
    std::erase(group.parent->children, &group);
    group.parent->children_usage.Add(group.dead_threads_usage);
    group.parent->children_usage.Add(group.children_usage);
  }
  group.parent = nullptr;
  group.parent_task = nullptr;
  Task* leader = group.leader;
  group.leader = nullptr;
  if (leader) RemoveTask(leader->tid());
}

}  // namespace moat
