// clone(2), fork and vfork: a new task.
#include <utility>

#include "abi/capability.h"
#include "abi/clone.h"
#include "abi/fcntl.h"
#include "abi/rlimit.h"
#include "base/fiber/fiber.h"
#include "base/host/time.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/clone.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/ipc/ipc_namespace.h"
#include "sentry/kernel/ipc/semaphore.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pidfd.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/kernel/timers.h"

namespace moat {

namespace {

constexpr uint64_t kUnsupportedNamespaces = abi::kCLONE_NEWCGROUP | abi::kCLONE_NEWUTS | abi::kCLONE_NEWIPC |
                                            abi::kCLONE_NEWUSER | abi::kCLONE_NEWPID | abi::kCLONE_NEWNET |
                                            abi::kCLONE_NEWTIME | abi::kCLONE_INTO_CGROUP;

// The combinations that clone(2) names as EINVAL; new namespaces but those of mounts need a privilege that no task has here: EPERM.
ErrorOr<void> CheckFlags(const CloneRequest& r) {
  uint64_t f = r.flags;
  if ((f & abi::kCLONE_SIGHAND) && !(f & abi::kCLONE_VM)) return kEINVAL;
  if ((f & abi::kCLONE_THREAD) && !(f & abi::kCLONE_SIGHAND)) return kEINVAL;
  if ((f & abi::kCLONE_NEWNS) && (f & abi::kCLONE_FS)) return kEINVAL;
  if ((f & abi::kCLONE_NEWIPC) && (f & abi::kCLONE_SYSVSEM)) return kEINVAL;
  if ((f & (abi::kCLONE_NEWPID | abi::kCLONE_NEWUSER)) && (f & abi::kCLONE_THREAD)) return kEINVAL;
  if ((f & abi::kCLONE_CLEAR_SIGHAND) && (f & abi::kCLONE_SIGHAND)) return kEINVAL;
  if ((f & abi::kCLONE_PIDFD) && (f & (abi::kCLONE_DETACHED | abi::kCLONE_THREAD))) return kEINVAL;
  if (f & kUnsupportedNamespaces) return kEPERM;
  return {};
}

}  // namespace

// Builds the child step by step; what was made is dropped with it if a step fails.
struct TaskCloner {
  Task& parent;
  const CloneRequest& request;
  Kernel& kernel = parent.kernel();
  Ref<MemoryManager> mm{};
  std::unique_ptr<GuestThread> thread{};
  Ref<FsContext> fs{};
  Ref<Task> child{};
  Ref<PidFd> pidfd{};
  int pidfd_number = -1;
  int event = TraceEvent();  // PTRACE_EVENT_* to stop with, or 0

  bool Has(uint64_t flag) const { return (request.flags & flag) != 0; }

  int TraceEvent() const {
    if (!TracedBy(parent) || Has(abi::kCLONE_UNTRACED)) return 0;
    int wanted = Has(abi::kCLONE_VFORK)                 ? abi::kPTRACE_EVENT_VFORK
                 : request.exit_signal == abi::kSIGCHLD ? abi::kPTRACE_EVENT_FORK
                                                        : abi::kPTRACE_EVENT_CLONE;
    return parent.tracing()->OptionOn(uint64_t{1} << wanted) ? wanted : 0;
  }

  // The descriptor and its number come first: a bad pointer must leave no child.
  ErrorOr<void> ReservePidfd() {
    if (!Has(abi::kCLONE_PIDFD)) return {};
    pidfd = MakeRef<PidFd>(nullptr, abi::kO_RDWR);
    pidfd_number = TRY(parent.fds().Install(pidfd, true, parent.group().Limit(abi::kRLIMIT_NOFILE)));
    ErrorOr<void> told = parent.mm().Write<int>(request.pidfd, pidfd_number);
    if (!told.ok()) DropPidfd();
    return told;
  }
  void DropPidfd() {
    if (pidfd_number >= 0) (void)parent.fds().Remove(std::exchange(pidfd_number, -1));
  }

  ErrorOr<void> MakeMemory() {
    if (Has(abi::kCLONE_VM)) {
      mm = parent.mm_ref();
      thread = TRY(mm->space().NewThread(parent.thread()));
      return {};
    }
    MemoryManager::Forked forked = TRY(parent.mm().Fork(parent.thread()));
    mm = std::move(forked.mm);
    thread = std::move(forked.thread);
    return {};
  }

  ErrorOr<void> MakeFs() {
    fs = Has(abi::kCLONE_FS) ? parent.fs_ref() : parent.fs().Copy();
    if (!Has(abi::kCLONE_NEWNS)) return {};
    if (!parent.creds().Has(abi::kCAP_SYS_ADMIN)) return kEPERM;
    return fs->EnterCopy();
  }

  void SetRegisters() {
    abi::UserRegs regs = parent.GetRegs();
    regs.rax = 0;
    if (request.stack) regs.rsp = request.stack + request.stack_size;
    if (Has(abi::kCLONE_SETTLS)) regs.fs_base = request.tls;
    thread->SetRegs(regs);
  }

  Ref<SignalActions> ChildActions() {
    MutexLock lock(parent.group().signal_lock);
    if (Has(abi::kCLONE_SIGHAND)) return parent.group().actions;
    Ref<SignalActions> copy = MakeRef<SignalActions>(*parent.group().actions);
    if (Has(abi::kCLONE_CLEAR_SIGHAND)) copy->ResetForExec();
    return copy;
  }

  void FillTask() {
    child->mm_ = std::move(mm);
    child->thread_ = std::move(thread);
    child->thread_->set_owner(child.get());
    child->fds_ = Has(abi::kCLONE_FILES) ? parent.fds_ref() : parent.fds().Copy();
    child->fs_ = std::move(fs);
    child->creds_ = parent.creds_ref();
    child->comm_ = parent.comm_;
    child->blocked_.store(parent.work_.load() & kWorkRestoreMask ? parent.saved_mask_ : parent.blocked());
    // A new stack has no use for the parent's alternate one; fork and vfork keep it (sigaltstack(2)).
    if (!Has(abi::kCLONE_VM) || Has(abi::kCLONE_VFORK)) child->alt_stack = parent.alt_stack;
    if (Has(abi::kCLONE_SYSVSEM)) {
      if (!parent.sem_undo) parent.sem_undo = MakeRef<SemUndoList>(kernel.ipc().sem(), parent.tgid());
      child->sem_undo = parent.sem_undo;
    }
    child->no_new_privs = parent.no_new_privs;
    child->seccomp_strict = parent.seccomp_strict;
    child->thp_disabled = parent.thp_disabled;
    child->timer_slack_ns = parent.timer_slack_ns;
    child->cpu_mask = parent.cpu_mask;
    child->nice = parent.nice;
    child->numa_policy = parent.numa_policy;
    child->numa_nodes = parent.numa_nodes;
    child->policy = parent.policy;
    child->rt_priority = parent.rt_priority;
    child->personality = parent.personality;
    if (Has(abi::kCLONE_CHILD_CLEARTID)) child->clear_child_tid = request.child_tid;
    if (!Has(abi::kCLONE_VM)) {  // fork keeps the registration, a thread starts without (rseq(2))
      child->rseq_area = parent.rseq_area;
      child->rseq_length = parent.rseq_length;
      child->rseq_signature = parent.rseq_signature;
    }
  }

  Ref<ThreadGroup> MakeGroup(int pid) {
    ThreadGroup& from = parent.group();
    Ref<ThreadGroup> group = MakeRef<ThreadGroup>(kernel, pid);
    MutexLock lock(from.signal_lock);
    group->rlimits = from.rlimits;
    group->oom_score_adj = from.oom_score_adj;
    return group;
  }

  // Under tasks_lock: pid, group membership, parent. kEAGAIN at a limit; the task must not be visible half-made.
  ErrorOr<void> Publish(const Ref<SignalActions>& actions) MOAT_REQUIRES(kernel.tasks_lock) {
    int pid = TRY(kernel.AllocatePid(request.wanted_pid));
    ThreadGroup& from = parent.group();
    bool is_thread = Has(abi::kCLONE_THREAD);
    Ref<ThreadGroup> group = is_thread ? parent.group_ref() : MakeGroup(pid);
    child = kernel.NewTask(pid, group);
    FillTask();
    if (!is_thread) {
      group->leader = child.get();
      group->process_group = from.process_group;
      group->exit_signal = Has(abi::kCLONE_PARENT) ? from.exit_signal : request.exit_signal;
      child->exit_signal = group->exit_signal;
      group->parent = Has(abi::kCLONE_PARENT) ? from.parent : &from;
      group->parent_task = Has(abi::kCLONE_PARENT) ? from.parent_task : Ref<Task>(&parent);
      group->start_time_ns = child->start_time_ns;
      if (group->parent) group->parent->children.push_back(group.get());
    }
    MutexLock lock(group->signal_lock);
    if (group->group_exiting) return kERESTARTNOINTR;  // a kill came in meanwhile
    if (!is_thread) group->actions = actions;
    group->tasks.PushBack(*child);
    ++group->live_tasks;
    if (group->stopping) child->work_.fetch_or(kWorkStop);
    kernel.AddTask(child);
    if (event || Has(abi::kCLONE_PTRACE)) Tracing::LinkChild(parent, *child);
    return {};
  }
};

void Task::Unshare(bool fs, bool files) {
  if (fs && fs_->ref_count() > 1) fs_ = fs_->Copy();
  if (files && fds_->ref_count() > 1) fds_ = fds_->Copy();
}

// Up to the child's visibility; on failure nothing is left.
static ErrorOr<void> MakeChild(TaskCloner& cloner) {
  TRY(CheckProcessLimit(cloner.parent));
  TRY(cloner.MakeFs());
  TRY(cloner.MakeMemory());
  cloner.SetRegisters();
  Ref<SignalActions> actions = cloner.ChildActions();
  MutexLock lock(cloner.kernel.tasks_lock);
  return cloner.Publish(actions);
}

ErrorOr<uint64_t> CloneTask(Task& parent, const CloneRequest& request) {
  TRY(CheckFlags(request));
  TaskCloner cloner{parent, request};
  TRY(cloner.ReservePidfd());
  ErrorOr<void> made = MakeChild(cloner);
  if (!made.ok()) {
    cloner.DropPidfd();
    return made.error();
  }
  Task& child = *cloner.child;
  if (cloner.pidfd) cloner.pidfd->Bind(child.group_ref());
  bool cpu_limited = child.group().Limit(abi::kRLIMIT_CPU) != abi::kRLIM64_INFINITY;
  if (cpu_limited && !cloner.Has(abi::kCLONE_THREAD)) ProcessTimers::Of(child.group()).OnCpuLimit();
  parent.kernel().forks.fetch_add(1, std::memory_order_relaxed);
  int pid = child.tid();
  if (cloner.Has(abi::kCLONE_PARENT_SETTID)) (void)parent.mm().Write<int>(request.parent_tid, pid);
  if (cloner.Has(abi::kCLONE_CHILD_SETTID)) (void)child.mm().Write<int>(request.child_tid, pid);
  if (cloner.Has(abi::kCLONE_VFORK)) {
    Ref<VforkDone> done = MakeRef<VforkDone>();
    child.vfork_done = done;
    child.Start();
    if (cloner.event) parent.tracing()->Event(cloner.event, static_cast<uint64_t>(pid));
    // Until the child exits or execs; a kill of the parent ends the wait early (the child goes on).
    TaskWaiter waiter(parent, ~0u);
    ScopedWait wait(done->queue, waiter);
    while (!done->done.load(std::memory_order_acquire)) {
      if (!parent.BlockKillable().ok()) break;
    }
    if (Tracing* traced = TracedBy(parent)) traced->Event(abi::kPTRACE_EVENT_VFORK_DONE, static_cast<uint64_t>(pid));
  } else {
    child.Start();
    if (cloner.event) parent.tracing()->Event(cloner.event, static_cast<uint64_t>(pid));
  }
  return static_cast<uint64_t>(pid);
}

}  // namespace moat
