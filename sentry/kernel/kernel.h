// The kernel of one sandbox: its tasks, names and limits.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/sync/mutex.h"
#include "platform/platform.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

class FutexManager;
class IpcNamespace;
class KernelProcSource;
class MountNamespace;
class VdsoClock;

struct KernelLimits {
  int max_tasks = 4096;               // tasks at once (fork: EAGAIN)
  uint64_t max_pending_signals = 8192;  // queued siginfos
};

class Kernel final : public TrapSink {
 public:
  explicit Kernel(std::unique_ptr<Platform> platform);
  ~Kernel();

  Platform& platform() { return *platform_; }
  FutexManager& futexes() { return *futexes_; }
  IpcNamespace& ipc() { return *ipc_; }
  VdsoClock& clock() { return *clock_; }
  KernelProcSource& proc_source() { return *proc_source_; }
  MountNamespace& mounts() { return *mounts_; }
  void set_mounts(Ref<MountNamespace> mounts);

  Verdict OnTrap(GuestThread& thread, const Trap& trap) override;
  void OnDiedParked(GuestThread& thread) override;

  // --- The tables. tasks_lock guards trees and tables; see thread_group.h. ---
  Mutex tasks_lock;
  // A pid, `wanted` if not 0 (kEEXIST); kEAGAIN at the task limit.
  ErrorOr<int> AllocatePid(int wanted = 0) MOAT_REQUIRES(tasks_lock);
  Task* FindTask(int tid) MOAT_REQUIRES(tasks_lock);
  ThreadGroup* FindGroup(int tgid) MOAT_REQUIRES(tasks_lock);  // null for a non-leader's tid
  Ref<Task> GetTask(int tid);           // or null
  Ref<ThreadGroup> GetGroup(int tgid);  // or null
  // Every process, in pid order.
  void ForEachGroup(const std::function<void(ThreadGroup&)>& visit) MOAT_REQUIRES(tasks_lock);
  void ForEachTask(const std::function<void(Task&)>& visit) MOAT_REQUIRES(tasks_lock);
  ThreadGroup* init() { return init_; }
  int task_count() MOAT_REQUIRES(tasks_lock) { return static_cast<int>(tasks_.size()); }
  int last_pid() const { return last_pid_; }

  // Starts the first process: loads argv[0] (a path) and makes it pid 1. On an exec error returns it and nothing runs. On a
  // fiber.
  struct InitArgs;
  ErrorOr<void> StartInit(const InitArgs& args);
  // Called once when pid 1 was reaped, with its wait status.
  std::function<void(int status)> on_init_exit;

  // Sends to every process of a group.
  void SignalGroupLocked(ProcessGroup& group, const abi::SigInfo& info) MOAT_REQUIRES(tasks_lock);
  // Forgets a zombie: its pid is free again, its usage goes to the parent.
  void Reap(ThreadGroup& group) MOAT_REQUIRES(tasks_lock);

  // uname(2).
  std::string hostname, domainname = "(none)";
  KernelLimits limits;
  int64_t boot_monotonic_ns = 0;
  uint64_t online_cpus = 1;  // bit n: guests may run on CPU n (at most 64)
  std::atomic<uint64_t> forks{0};

 private:
  friend class Task;
  friend class Tracing;
  friend struct TaskCloner;
  friend struct TaskExecer;
  Ref<Task> NewTask(int tid, Ref<ThreadGroup> group);
  void AddTask(Ref<Task> task) MOAT_REQUIRES(tasks_lock);
  void RemoveTask(int tid) MOAT_REQUIRES(tasks_lock);
  // exec by a non-leader: `task` takes the group's pid, the old leader is forgotten.
  void RenameTask(Task* old_leader, Task* task) MOAT_REQUIRES(tasks_lock);
  void FinishExit(Task& task, int status);
  void GiveAwayChildren(ThreadGroup& group) MOAT_REQUIRES(tasks_lock);
  void OrphanOwnGroup(ThreadGroup& group) MOAT_REQUIRES(tasks_lock);
  void NotifyExit(ThreadGroup& group) MOAT_REQUIRES(tasks_lock);
  void EndSandbox(int status);

  std::unique_ptr<Platform> platform_;
  std::unique_ptr<FutexManager> futexes_;
  std::unique_ptr<IpcNamespace> ipc_;
  std::unique_ptr<KernelProcSource> proc_source_;
  std::unique_ptr<VdsoClock> clock_;
  Ref<MountNamespace> mounts_;
  std::map<int, Ref<Task>> tasks_ MOAT_GUARDED_BY(tasks_lock);
  ThreadGroup* init_ = nullptr;
  Ref<ThreadGroup> init_ref_;  // its status outlives it
  int last_pid_ = 0;
  bool wrapped_ = false;  // pid numbers started again
};

}  // namespace moat
