#include "sentry/kernel/kernel.h"

#include "base/fiber/fiber.h"
#include "base/host/time.h"
#include "base/kern/tunables.h"
#include "base/util/check.h"
#include "base/util/log.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/mount_namespace.h"
#include "fs/vfs/path_walk.h"
#include "sentry/kernel/clone.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/futex.h"
#include "sentry/kernel/init.h"
#include "sentry/kernel/ipc/ipc_namespace.h"
#include "sentry/kernel/limits.h"
#include "sentry/kernel/proc_source.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/timers.h"
#include "sentry/kernel/tty.h"
#include "sentry/loader/loader.h"
#include "sentry/loader/vdso_clock.h"

namespace moat {

namespace {
constexpr int kReservedPids = 300;  // where numbering starts again after a wrap (kernel/pid.c)
}  // namespace

Kernel::Kernel(std::unique_ptr<Platform> platform)
    : boot_monotonic_ns(host::NowMonotonicNs()),
      platform_(std::move(platform)),
      futexes_(std::make_unique<FutexManager>()),
      ipc_(std::make_unique<IpcNamespace>()),
      proc_source_(std::make_unique<KernelProcSource>(*this)),
      clock_(std::make_unique<VdsoClock>()) {}

Kernel::~Kernel() = default;

void Kernel::set_mounts(Ref<MountNamespace> mounts) { mounts_ = std::move(mounts); }

Verdict Kernel::OnTrap(GuestThread& thread, const Trap& trap) {
  return static_cast<Task*>(thread.owner())->OnTrap(trap);
}

void Kernel::OnDiedParked(GuestThread& thread) {
  if (thread.owner()) static_cast<Task*>(thread.owner())->group().ExitAll(abi::kSIGKILL);
}

// --- The tables. ---

ErrorOr<int> Kernel::AllocatePid(int wanted) {
  if (static_cast<int>(tasks_.size()) >= limits.max_tasks) return kEAGAIN;
  auto in_use = [this](int pid) MOAT_NO_THREAD_SAFETY_ANALYSIS {
    if (tasks_.count(pid)) return true;
    // A group or session id lives as long as it has members.
    for (auto& [tid, task] : tasks_) {
      const Ref<ProcessGroup>& pg = task->group().process_group;
      if (pg && (pg->pgid == pid || pg->session->sid == pid)) return true;
    }
    return false;
  };
  const int pid_max = static_cast<int>(g_tunables.pid_max.load(std::memory_order_relaxed));
  if (wanted) {
    if (wanted >= pid_max) return kEINVAL;
    if (in_use(wanted)) return kEEXIST;
    return wanted;
  }
  for (int tries = 0; tries < pid_max; ++tries) {
    last_pid_ = last_pid_ + 1 >= pid_max ? kReservedPids : last_pid_ + 1;
    // Group ids outlive their leader only once numbers wrapped; before that a fresh number is free.
    if (!wrapped_ && last_pid_ == kReservedPids && tries > 0) wrapped_ = true;
    if (wrapped_ ? !in_use(last_pid_) : !tasks_.count(last_pid_)) return last_pid_;
  }
  return kEAGAIN;
}

Task* Kernel::FindTask(int tid) {
  auto it = tasks_.find(tid);
  return it == tasks_.end() ? nullptr : it->second.get();
}

ThreadGroup* Kernel::FindGroup(int tgid) {
  Task* task = FindTask(tgid);
  return task && task->group().tgid() == tgid ? &task->group() : nullptr;
}

Ref<Task> Kernel::GetTask(int tid) {
  MutexLock lock(tasks_lock);
  return Ref<Task>(FindTask(tid));
}

Ref<ThreadGroup> Kernel::GetGroup(int tgid) {
  MutexLock lock(tasks_lock);
  return Ref<ThreadGroup>(FindGroup(tgid));
}

void Kernel::ForEachGroup(const std::function<void(ThreadGroup&)>& visit) {
  for (auto& [tid, task] : tasks_) {
    if (tid == task->group().tgid()) visit(task->group());
  }
}

void Kernel::ForEachTask(const std::function<void(Task&)>& visit) {
  for (auto& [tid, task] : tasks_) visit(*task);
}

Ref<Task> Kernel::NewTask(int tid, Ref<ThreadGroup> group) {
  return Ref<Task>(new Task(*this, tid, std::move(group)), AdoptRef{});
}

void Kernel::AddTask(Ref<Task> task) {
  int tid = task->tid();
  tasks_[tid] = std::move(task);
}
void Kernel::RemoveTask(int tid) {
  auto it = tasks_.find(tid);
  if (it == tasks_.end()) return;
  if (it->second->tracing()) it->second->tracing()->Unlink();
  tasks_.erase(it);
}

void Kernel::RenameTask(Task* old_leader, Task* task) {
  Ref<Task> keep_old(old_leader), keep(task);
  if (old_leader->tracing()) old_leader->tracing()->Unlink();
  tasks_.erase(task->tid_);
  task->tid_ = old_leader->tid_;
  tasks_[task->tid_] = std::move(keep);
}

void Kernel::SignalGroupLocked(ProcessGroup& group, const abi::SigInfo& info) {
  ForEachGroup([&](ThreadGroup& g) {
    if (g.process_group == &group && !g.exited) g.SendSignal(info);
  });
}

// --- The first process and the end. ---

ErrorOr<void> Kernel::StartInit(const InitArgs& args) {
  WalkContext walk{args.root, args.cwd, *args.creds, *mounts_};
  MemoryLimits memory_limits;
  memory_limits.stack = args.rlimits[abi::kRLIMIT_STACK].rlim_cur;
  LoadRequest load{.platform = *platform_,
                   .clock = *clock_,
                   .walk = walk,
                   .file = args.file,
                   .filename = args.filename,
                   .argv = args.argv,
                   .envp = args.envp,
                   .stack_limit = memory_limits.stack,
                   .identify = [&args](const Path&) { return ProgramIdentity{.creds = args.creds}; },
                   .limits = memory_limits};
  LoadedProgram program = TRY(LoadProgram(load));
  Ref<Task> task;
  {
    MutexLock lock(tasks_lock);
    int pid = TRY(AllocatePid());
    Ref<ThreadGroup> group = MakeRef<ThreadGroup>(*this, pid);
    group->rlimits = args.rlimits;
    group->start_time_ns = host::NowMonotonicNs();
    group->process_group = MakeRef<ProcessGroup>(pid, MakeRef<Session>(pid));
    for (int fd = 0; args.has_tty && fd <= 2; ++fd) {
      ErrorOr<Ref<FileDescription>> file = args.fds->Get(fd);
      if (!file.ok() || !(*file)->terminal()) continue;
      AdoptTerminal(*group, Ref<Terminal>((*file)->terminal()));
      break;
    }
    task = NewTask(pid, group);
    MutexLock signal(group->signal_lock);
    group->actions = MakeRef<SignalActions>();
    for (int signo = 1; signo <= abi::kNSIG; ++signo) {
      if (args.ignored_signals & abi::SigMask(signo)) group->actions->of(signo).sa_handler = abi::kSIG_IGN;
    }
    group->leader = task.get();
    group->tasks.PushBack(*task);
    group->live_tasks = 1;
    AddTask(task);
    init_ = group.get();
    init_ref_ = group;
  }
  task->mm_ = std::move(program.mm);
  task->thread_ = std::move(program.thread);
  task->thread_->set_owner(task.get());
  task->fds_ = args.fds;
  task->fs_ = MakeRef<FsContext>(mounts_, args.root, args.cwd, args.umask);
  task->creds_ = args.creds;
  task->nice = args.nice;
  task->comm_ = std::move(program.comm);
  task->did_exec = true;
  task->blocked_.store(args.blocked_signals & ~abi::kUNBLOCKABLE_SIGNALS);
  if (task->group().Limit(abi::kRLIMIT_CPU) != abi::kRLIM64_INFINITY) ProcessTimers::Of(task->group()).OnCpuLimit();
  task->Start();
  return {};
}

// Everything else dies with pid 1, as with a pid namespace's init.
void Kernel::EndSandbox(int status) {
  {
    MutexLock lock(tasks_lock);
    ForEachGroup([](ThreadGroup& g) { g.ExitAll(abi::kSIGKILL); });
  }
  if (on_init_exit) on_init_exit(status);
}

WalkContext Task::WalkView() const { return WalkContext{fs_->root(), fs_->cwd(), *creds_, *fs_->mounts()}; }

}  // namespace moat
