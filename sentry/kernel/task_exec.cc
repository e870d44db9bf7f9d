// execve(2): a new program in an old task.
#include "abi/capability.h"
#include "abi/prctl.h"
#include "abi/stat.h"
#include "base/util/check.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/path_walk.h"
#include "sentry/kernel/clone.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/futex.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/limits.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/kernel/timers.h"
#include "sentry/loader/loader.h"

namespace moat {

namespace {

// Set-user-ID and set-group-ID bits of `program` (execve(2)): not on nosuid mounts, where images and host files are, and not
// under no_new_privs.
ErrorOr<void> ApplySetId(Task& task, const Path& program, Credentials& c) {
  if (task.no_new_privs || !program.mount || (program.mount->flags() & kMountNoSuid)) return {};
  Attr attr = TRY(program.dentry->inode()->GetAttr());
  if (attr.mode & abi::kS_ISUID) c.euid = attr.uid;
  constexpr uint32_t kSetGroup = abi::kS_ISGID | abi::kS_IXGRP;  // without x it once marked mandatory locking
  if ((attr.mode & kSetGroup) == kSetGroup) c.egid = attr.gid;
  return {};
}

// Credentials of `program` when `task` runs it (capabilities(7), "Transformation of capabilities during execve()"); file
// capabilities are not honoured.
ErrorOr<ProgramIdentity> IdentityAfterExec(Task& task, const Path& program) {
  const Credentials& old = task.creds();
  Ref<Credentials> c = MakeRef<Credentials>(old);
  TRY(ApplySetId(task, program, *c));
  bool set_id = c->euid != old.euid || c->egid != old.egid;
  bool root_magic = !(c->securebits & abi::kSECBIT_NOROOT) && (c->uid == 0 || c->euid == 0);
  if (root_magic) {
    c->permitted = c->bounding | c->inheritable;
    c->effective = c->euid == 0 ? c->permitted : 0;
    c->ambient = 0;
  } else {
    if (set_id) c->ambient = 0;
    c->permitted = c->ambient;
    c->effective = c->ambient;
  }
  c->suid = c->fsuid = c->euid;
  c->sgid = c->fsgid = c->egid;
  c->securebits &= ~static_cast<uint32_t>(abi::kSECBIT_KEEP_CAPS);
  bool secure = c->euid != c->uid || c->egid != c->gid || (c->uid != 0 && (c->effective & ~c->ambient));
  return ProgramIdentity{.creds = std::move(c), .secure = secure};
}

}  // namespace

struct TaskExecer {
  Task& task;
  ThreadGroup& group = task.group();
  Kernel& kernel = task.kernel();

  // Ends the other threads and takes over the leader's identity. kERESTARTSYS if the group is being killed.
  ErrorOr<void> BecomeOnlyThread() {
    {
      MutexLock lock(group.signal_lock);
      if (group.group_exiting || group.exec_task) return kERESTARTSYS;
      group.exec_task = &task;
      for (Task& t : group.tasks) {
        if (&t != &task) t.AddWork(kWorkKill);
      }
    }
    TaskWaiter waiter(task, ~0u);
    ScopedWait wait(group.thread_exit_event, waiter);
    ErrorOr<void> result;
    for (;;) {
      {
        MutexLock lock(kernel.tasks_lock);
        if (group.live_tasks == 1) break;
      }
      result = task.BlockKillable();
      if (!result.ok()) break;
    }
    {
      MutexLock lock(group.signal_lock);
      group.exec_task = nullptr;
    }
    return result;
  }

  // A non-leader that execs becomes the leader: same task object, the group's pid (de_thread).
  void TakeLeadership() {
    MutexLock lock(kernel.tasks_lock);
    if (group.leader == &task) return;
    kernel.RenameTask(group.leader, &task);
    group.leader = &task;
    task.exit_signal = group.exit_signal;
  }

  void ReplaceMemory(LoadedProgram& program) {
    group.cpu_exec_base_ns = group.CpuNs();
    task.ReleaseMemory();  // robust futexes, clear_child_tid, vfork parent; the old host thread ends
    task.thread_ = std::move(program.thread);
    task.thread_->set_owner(&task);
    task.mm_ = std::move(program.mm);
    task.thread_->SetAffinity(task.cpu_mask);
  }

  void ResetState(LoadedProgram& program) {
    {
      MutexLock lock(group.signal_lock);
      if (group.actions->ref_count() > 1) group.actions = MakeRef<SignalActions>(*group.actions);
      group.actions->ResetForExec();
    }
    task.alt_stack = {};
    task.alt_stack.ss_flags = static_cast<int32_t>(abi::kSS_DISABLE);
    task.robust_list = 0;
    task.clear_child_tid = 0;
    task.rseq_area = 0;
    task.did_exec = true;
    group.did_exec = true;
    task.exit_signal = group.exit_signal = abi::kSIGCHLD;
    if (program.identity.secure) task.parent_death_signal = 0;
    task.set_creds(std::move(program.identity.creds));
    if (group.timers) group.timers->OnExec();
    if (task.fds_->ref_count() > 1) task.fds_ = task.fds_->Copy();
    task.fds_->CloseOnExec();
    if (task.fs_->ref_count() > 1) task.fs_ = task.fs_->Copy();
  }
};

ErrorOr<uint64_t> ExecTask(Task& task, const ExecRequest& request) {
  WalkContext walk = task.WalkView();
  MemoryLimits limits = MemoryLimitsOf(task);
  LoadRequest load{.platform = task.kernel().platform(),
                   .clock = task.kernel().clock(),
                   .walk = walk,
                   .file = request.file,
                   .filename = request.filename,
                   .argv = request.argv,
                   .envp = request.envp,
                   .stack_limit = limits.stack,
                   .identify = [&task](const Path& program) { return IdentityAfterExec(task, program); },
                   .fd_path_cloexec = request.fd_path_cloexec,
                   .limits = limits,
                   .personality = task.personality};
  LoadedProgram program = TRY(LoadProgram(load));
  TaskExecer exec{task};
  TRY(exec.BecomeOnlyThread());
  const int old_tid = task.tid();
  exec.TakeLeadership();
  exec.ReplaceMemory(program);
  exec.ResetState(program);
  task.set_comm(std::move(program.comm));
  task.MarkRegistersComplete();
  if (Tracing* traced = TracedBy(task)) traced->OnExec(old_tid);
  return uint64_t{0};
}

}  // namespace moat
