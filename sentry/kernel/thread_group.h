// A process (struct signal_struct): tasks that share signals, limits, timers and an exit; and the trees it stands in.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "abi/rlimit.h"
#include "abi/signal.h"
#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "base/util/intrusive_list.h"
#include "base/util/ref.h"
#include "fs/tty/terminal.h"
#include "sentry/kernel/signal_queue.h"
#include "sentry/kernel/task.h"

namespace moat {

class Kernel;
class ProcessTimers;  // itimers, POSIX timers, CPU clocks' alarms (sentry/kernel/timers)
class Tty;

// A session and a process group; kept alive by their members. Guarded by Kernel::tasks_lock.
struct Session final : RefCounted {
  explicit Session(int id) : sid(id) {}
  const int sid;
  int foreground_pgid = 0;  // of the controlling terminal; 0: none
  bool has_tty = false;
  Ref<Terminal> tty;         // the controlling terminal, or null
};

struct ProcessGroup final : RefCounted {
  ProcessGroup(int id, Ref<Session> s) : pgid(id), session(std::move(s)) {}
  const int pgid;
  const Ref<Session> session;
};

// What a process and its waited-for children used (getrusage).
struct Usage {
  uint64_t user_ns = 0, system_ns = 0;
  uint64_t max_rss_kb = 0, minor_faults = 0, major_faults = 0, in_blocks = 0, out_blocks = 0;
  uint64_t voluntary_switches = 0, involuntary_switches = 0;
  void Add(const Usage& o);
};

class ThreadGroup final : public RefCounted {
 public:
  explicit ThreadGroup(Kernel& kernel, int tgid);

  Kernel& kernel() const { return kernel_; }
  int tgid() const { return tgid_; }

  // --- The tree; Kernel::tasks_lock. ---
  Task* leader = nullptr;                                  // stays until the group is reaped
  IntrusiveList<Task, &Task::group_node_> tasks;           // live ones (and a leader that waits for the others)
  int live_tasks = 0;
  ThreadGroup* parent = nullptr;                           // null: init
  Ref<Task> parent_task;                                   // who forked it (PR_SET_PDEATHSIG, __WNOTHREAD), or null
  std::vector<ThreadGroup*> children;
  Ref<ProcessGroup> process_group;
  bool child_subreaper = false;
  bool exited = false;        // zombie: every task ended, not yet reaped
  bool reaped = false;
  int exit_status = 0;        // as wait(2) reports it, valid when exited
  int exit_signal = 17;       // to the parent; 0: none
  bool did_exec = false;      // setpgid(2) of a child: EACCES
  // Job control events for wait: stopped (with its signal) and continued, until a wait consumed them.
  int stop_status = 0;        // signal of an unreported stop, else 0
  bool continue_pending = false;
  bool stop_reported = false;
  WaitQueue child_events;     // wait4 sleeps here
  WaitQueue exit_event;       // pidfd readiness: woken when it exits
  WaitQueue thread_exit_event;  // exec waits for its siblings here
  Usage dead_threads_usage;   // of tasks that ended
  Usage children_usage;       // of reaped children

  // --- Signals; signal_lock. ---
  Mutex signal_lock;
  PendingSignals shared_pending;
  Ref<SignalActions> actions;
  WaitQueue signal_event;     // signalfd: something became pending
  bool stopping = false;      // a stop is under way or in force
  int stop_signal = 0;
  int stopped_tasks = 0;
  bool group_exiting = false;
  int group_exit_status = 0;
  Task* exec_task = nullptr;  // the task in exec's de_thread, or null

  // --- The rest. ---
  std::array<abi::Rlimit64, 16> rlimits;  // own tasks; prlimit of others takes signal_lock
  std::unique_ptr<ProcessTimers> timers;  // made on first use
  int oom_score_adj = 0;
  int64_t start_time_ns = 0;
  bool dumpable_by_exec = true;

  // Takes the next signal for `task` out of its own queue, else the shared one; false if none is in `wanted`.
  bool TakeSignal(Task& task, abi::SigSet wanted, abi::SigInfo* out) MOAT_REQUIRES(signal_lock);
  // Sends to the process: any task that does not block it. Permission is the caller's to check.
  void SendSignal(const abi::SigInfo& info);
  // Ends the process with wait status `status` (exit code << 8 or signal | 0x80).
  void ExitAll(int status);
  // Is the group stopped by job control now?
  bool Stopped();

  uint64_t Limit(int resource) const { return rlimits[static_cast<size_t>(resource)].rlim_cur; }
  Usage CurrentUsage();  // live and dead threads; tasks_lock NOT held
  // CPU time of all its threads, ns; never goes back. tasks_lock and signal_lock NOT held.
  uint64_t CpuNs();
  uint64_t cpu_exec_base_ns = 0;  // used before the last exec

 private:
  friend class Task;
  friend class Kernel;
  ~ThreadGroup() override;
  // Takes `info` in with signal_lock held: returns whether a task should look.
  void QueueLocked(const abi::SigInfo& info, Task* only) MOAT_REQUIRES(signal_lock);
  bool PrepareLocked(int signo) MOAT_REQUIRES(signal_lock);  // stop/continue side effects; false: drop it
  void KillLocked(int status) MOAT_REQUIRES(signal_lock);

  Kernel& kernel_;
  const int tgid_;
  uint64_t last_cpu_ns_ = 0;
  bool continue_notice_ = false;  // signal_lock: the parent must hear of a continue
};

}  // namespace moat
