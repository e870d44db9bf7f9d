// A guest thread as the kernel knows it (struct task_struct).
//
// A task has no host thread: traps of its GuestThread start handlers on fibers (RunTrap). A task is in guest mode, in a
// handler, or blocked in one (Block). What must happen before it may return to guest mode is in `work_`, bits that other
// tasks set (signals, exit, stop); setting one makes the task look: it interrupts guest mode or wakes an interruptible block.
//
// References: the Kernel's pid table holds every task until it is reaped; a ThreadGroup lists its tasks; a running handler
// holds its own. Lock order: Kernel::tasks_lock > ThreadGroup::signal_lock > everything's leaf locks. Fields without a note
// belong to the task itself (only its own handler touches them).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "abi/regs.h"
#include "abi/signal.h"
#include "base/fiber/executor.h"
#include "base/kern/credentials.h"
#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "platform/platform.h"
#include "sentry/kernel/signal_queue.h"
#include "sentry/mm/memory_manager.h"

namespace moat {

// vfork(2): the parent sleeps until the child no longer uses its memory.
struct VforkDone final : RefCounted {
  std::atomic<bool> done{false};
  WaitQueue queue;
  void Finish() {
    done.store(true, std::memory_order_release);
    queue.Wake(~0u);
  }
};

class FdTable;
class FsContext;
class SemUndoList;
struct WalkContext;
class Kernel;
class ThreadGroup;
class Task;
class Tracing;

// A reference that its owner reads and changes without further ado, and others may copy at any time.
template <class T>
class OwnedRef {
 public:
  OwnedRef() = default;
  OwnedRef(const OwnedRef&) = delete;
  OwnedRef& operator=(const OwnedRef&) = delete;

  // The owner's. The old object goes without the lock.
  OwnedRef& operator=(Ref<T> p) {
    MutexLock lock(mu_);
    std::swap(p_, p);
    return *this;
  }
  T* get() const MOAT_NO_THREAD_SAFETY_ANALYSIS { return p_.get(); }
  T& operator*() const { return *get(); }
  T* operator->() const { return get(); }
  explicit operator bool() const { return get() != nullptr; }
  // Anybody's; or null.
  Ref<T> Load() const {
    MutexLock lock(mu_);
    return p_;
  }
  // What `look` (a few instructions) says of the object, or of null, without a reference: dropping what turns out to be the
  // last one can park.
  template <class F>
  auto Look(F&& look) const {
    MutexLock lock(mu_);
    return look(p_.get());
  }

 private:
  mutable Mutex mu_;
  Ref<T> p_ MOAT_GUARDED_BY(mu_);
};

inline constexpr int64_t kForever = INT64_MAX;

// Bits of Task::work: reasons not to go straight back to guest mode.
enum TaskWork : uint32_t {
  kWorkSignal = 1,   // a signal may be deliverable
  kWorkKill = 2,     // the task must exit (group exit, exec of a sibling)
  kWorkStop = 4,     // the thread group is stopped (job control)
  kWorkRestoreMask = 8,  // saved_mask holds the mask to go back to (sigsuspend, ppoll)
  kWorkRseq = 16,    // reserved for rseq fix-ups at signal delivery
  kWorkTrap = 32,    // its tracer asked for a stop (sentry/kernel/ptrace.h)
};

// Everything a system call can need: the number, arguments and where the instruction was.
struct SyscallArgs {
  int64_t nr;
  uint64_t args[6];
};

class Task final : public RefCounted {
 public:
  // How /proc shows it: R, S or D; dead() tasks wait to be reaped.
  char state_letter() const {
    State s = state_.load(std::memory_order_relaxed);
    return s == State::kBlocked ? 'S' : s == State::kBlockedKillable ? 'D' : 'R';
  }
  bool dead() const { return state_.load(std::memory_order_acquire) == State::kDead; }

  // Its part in ptrace(2), as tracer or tracee; null until it has one.
  Tracing* tracing() const { return tracing_.load(std::memory_order_acquire); }

  // Who I am.
  static Task* Current();  // whose handler runs here, or null
  int tid() const { return tid_; }
  int tgid() const;
  ThreadGroup& group() const { return *group_; }
  const Ref<ThreadGroup>& group_ref() const { return group_; }
  bool is_leader() const;
  Kernel& kernel() const { return kernel_; }

  // What I use. The plain references are for the task's own handler; everybody else takes the *_ref(), as the task may exit,
  // exec or change its credentials at any time.
  MemoryManager& mm() const { return *mm_; }
  Ref<MemoryManager> mm_ref() const { return mm_.Load(); }  // null after exit
  FdTable& fds() const { return *fds_; }
  Ref<FdTable> fds_ref() const;  // null after exit
  FsContext& fs() const { return *fs_; }
  Ref<FsContext> fs_ref() const;  // null after exit
  GuestThread& thread() const { return *thread_; }
  const Credentials& creds() const { return *creds_; }
  Ref<const Credentials> creds_ref() const { return creds_.Load(); }
  bool has_memory() const { return mm_.Look([](const MemoryManager* mm) { return mm != nullptr; }); }
  bool has_files() const { return fds_.Look([](const FdTable* fds) { return fds != nullptr; }); }
  // PR_SET_DUMPABLE's value of its memory; -1 without memory.
  int dumpable() const { return mm_.Look([](const MemoryManager* mm) { return mm ? mm->dumpable : -1; }); }
  void set_creds(Ref<const Credentials> creds) { creds_ = std::move(creds); }
  const std::string& comm() const { return comm_; }
  void set_comm(std::string comm) { comm_ = std::move(comm); }

  // --- Sleeping. On the task's own fiber only. ---

  // Parks until Wake, a deadline (CLOCK_MONOTONIC ns) or an interruption. ok: woken (re-check your condition);
  // kETIMEDOUT; kERESTARTSYS: interrupted by a signal or a kill.
  ErrorOr<void> Block(int64_t deadline_ns = kForever);
  // As Block, but only a kill interrupts.
  ErrorOr<void> BlockKillable();
  // Wakes a Block. Any thread, also from Waiter::OnWake.
  void Wake();
  // Loops `attempt` (a callable returning ErrorOr<T>) while it says kEAGAIN, sleeping on `queue` for `mask` between;
  // returns its result, kETIMEDOUT or kERESTARTSYS.
  template <class F>
  auto BlockOn(WaitQueue& queue, EventMask mask, int64_t deadline_ns, F&& attempt) -> decltype(attempt());

  // True if a Block would return at once: a deliverable signal, a stop or a kill.
  bool interrupted() const { return (work_.load(std::memory_order_acquire) & kInterrupting) != 0; }
  bool killed() const { return (work_.load(std::memory_order_acquire) & kWorkKill) != 0; }

  // A handler that returns kERESTART_RESTARTBLOCK leaves here how to go on (restart_syscall(2)).
  void SetRestart(std::function<ErrorOr<uint64_t>(Task&)> go_on) { restart_ = std::move(go_on); }
  ErrorOr<uint64_t> RunRestart();

  // --- Signals (task_signal.cc). ---

  abi::SigSet blocked() const { return blocked_.load(std::memory_order_relaxed); }
  // Changes the mask (SIGKILL and SIGSTOP are dropped from it) and looks for signals that became deliverable.
  void SetBlocked(abi::SigSet mask);
  // Sets a temporary mask until the handler's end; a delivered signal's frame restores the old one (sigsuspend, ppoll).
  void SetTemporaryMask(abi::SigSet mask);
  // Sends to this task only. A forced synchronous signal (a fault) cannot be blocked or ignored.
  void SendSignal(const abi::SigInfo& info);
  void ForceSignal(const abi::SigInfo& info);
  PendingSignals& pending() { return pending_; }  // signal_lock
  // Re-computes kWorkSignal. signal_lock held by the caller.
  void RecomputeSignalWork();
  // rt_sigreturn(2).
  ErrorOr<uint64_t> SignalReturn();
  abi::StackT alt_stack{};  // ss_flags SS_DISABLE at first; see sigaltstack(2)
  // Waiting in rt_sigtimedwait for these (signal_lock): they go to this task although blocked.
  abi::SigSet awaited = 0;

  // --- Life (task_clone.cc, task_exec.cc, task_exit.cc). ---

  // Starts running in guest mode for the first time.
  void Start();
  // Ends this task (its handler must then return kNoReturn); `status` is the wait status half that exit_group/exit set.
  void Exit(int status);
  // Leaves its address space: at exit and exec.
  void ReleaseMemory();
  // exec and sigreturn: the registers are whole, the call has no result.
  void MarkRegistersComplete() { trap_.kind = TrapKind::kInterrupted; }
  // unshare(2): own copies of the fs context and the fd table.
  void Unshare(bool fs, bool files);
  // How this task's paths are walked.
  WalkContext WalkView() const;
  // Host CPU time of this task, ns.
  uint64_t CpuTimeNs() const { return thread_cpu_base_ns + (thread_ ? thread_->CpuTimeNs() : 0); }
  uint64_t thread_cpu_base_ns = 0;  // of host threads before an exec
  // Marks for exit and makes it look. tasks_lock not needed.
  void Kill();
  // Adds work bits and makes the task look at them.
  void AddWork(uint32_t bits);
  void ClearWork(uint32_t bits) { work_.fetch_and(~bits, std::memory_order_acq_rel); }

  // The trap that is being handled, and how (called by the kernel's TrapSink).
  Verdict OnTrap(const Trap& trap);
  const Trap& trap() const { return trap_; }
  // The registers of the current trap, changed in place; written back before guest mode.
  abi::UserRegs GetRegs();
  void SetRegs(const abi::UserRegs& regs);

  // clone(2)'s and set_tid_address(2)'s: cleared and woken when the task ends.
  UserAddr clear_child_tid = 0;
  UserAddr robust_list = 0;
  int exit_signal = 17;
  Ref<VforkDone> vfork_done;  // or null
  int parent_death_signal = 0;
  Ref<SemUndoList> sem_undo;  // or null; shared by CLONE_SYSVSEM, what it holds is undone with its last task (semop(2))
  bool no_new_privs = false;
  bool thp_disabled = false;
  bool seccomp_strict = false;  // seccomp(2): only read, write, exit and sigreturn are left
  bool did_exec = false;
  uint64_t timer_slack_ns = 50'000;
  UserAddr rseq_area = 0;
  uint32_t rseq_length = 0, rseq_signature = 0;
  uint64_t cpu_mask = ~0ull;
  int nice = 0, policy = 0, rt_priority = 0, io_priority = 0;
  uint32_t personality = 0;
  int numa_policy = 0;       // set_mempolicy(2): MPOL_* with its mode flags
  uint64_t numa_nodes = 0;   // of numa_policy
  int64_t start_time_ns = 0;
  std::atomic<uint64_t> voluntary_switches{0};

 private:
  friend class Kernel;
  friend class ThreadGroup;
  friend class Tracing;
  friend struct TaskCloner;
  friend struct TaskExecer;
  Task(Kernel& kernel, int tid, Ref<ThreadGroup> group);
  ~Task() override;

  enum class State : int { kGuest, kHandler, kBlocked, kBlockedKillable, kDead };
  enum class Outcome : uint8_t { kPending, kResume, kGone };
  static constexpr uint32_t kInterrupting = kWorkSignal | kWorkKill | kWorkStop | kWorkTrap;

  void HandleTrap();                 // on a fiber
  void HandleSyscall();
  void HandleException();
  // Delivers work until none is left; false if the task ended.
  bool DoWork(std::optional<Errno> restart);
  bool DeliverSignals(std::optional<Errno>& restart);
  bool ActByDefault(const abi::SigInfo& info);
  bool RunHandler(const abi::SigInfo& info, const abi::Sigaction& action, std::optional<Errno>& restart);
  ErrorOr<void> SetUpFrame(const abi::SigInfo& info, const abi::Sigaction& action);
  ErrorOr<UserAddr> SaveXState(uint64_t sp);
  ErrorOr<void> ResetXState();
  ErrorOr<void> LoadXState(UserAddr addr);
  void StopHere(std::optional<Errno>& restart);  // group stop: sleeps until continued or killed
  void TrapHere(std::optional<Errno>& restart);
  void TellOfContinue();
  ErrorOr<void> Sleep(State state, int64_t deadline_ns);

  Kernel& kernel_;
  int tid_;  // changes once, when a non-leader execs (tasks_lock)
  Ref<ThreadGroup> group_;
  std::unique_ptr<GuestThread> thread_;
  OwnedRef<MemoryManager> mm_;
  OwnedRef<FdTable> fds_;
  OwnedRef<FsContext> fs_;
  OwnedRef<const Credentials> creds_;
  std::string comm_;

  std::atomic<uint32_t> work_{0};
  std::atomic<State> state_{State::kHandler};
  std::atomic<bool> woken_{false};
  Fiber* fiber_ = nullptr;  // while in a handler
  Trap trap_{};
  Outcome outcome_ = Outcome::kPending;
  bool inline_ = false;         // the handler still runs inside OnTrap
  GuestThread* trapped_ = nullptr;  // the thread whose trap this is (exec replaces thread_)

  std::atomic<abi::SigSet> blocked_{0};
  abi::SigSet saved_mask_ = 0;
  PendingSignals pending_;
  std::function<ErrorOr<uint64_t>(Task&)> restart_;
  std::atomic<Tracing*> tracing_{nullptr};  // owned; made under tasks_lock
  bool stop_counted_ = false;  // signal_lock: one of the group's stopped_tasks
  ListNode group_node_;
};

// Wakes a task.
class TaskWaiter final : public Waiter {
 public:
  TaskWaiter(Task& task, EventMask mask, bool exclusive = false) : Waiter(mask, exclusive), task_(task) {}
  bool OnWake(EventMask) override {
    task_.Wake();
    return true;
  }

 private:
  Task& task_;
};

// Hangs a waiter on a queue for a scope.
class ScopedWait {
 public:
  ScopedWait(WaitQueue& queue, Waiter& waiter) : queue_(queue), waiter_(waiter) { queue_.Add(waiter_); }
  ~ScopedWait() { queue_.Remove(waiter_); }
  ScopedWait(const ScopedWait&) = delete;

 private:
  WaitQueue& queue_;
  Waiter& waiter_;
};

template <class F>
auto Task::BlockOn(WaitQueue& queue, EventMask mask, int64_t deadline_ns, F&& attempt) -> decltype(attempt()) {
  auto first = attempt();
  if (first.ok() || first.error() != kEAGAIN) return first;
  TaskWaiter waiter(*this, mask);
  ScopedWait wait(queue, waiter);
  for (;;) {
    auto r = attempt();
    if (r.ok() || r.error() != kEAGAIN) return r;
    ErrorOr<void> slept = Block(deadline_ns);
    if (slept.ok()) continue;
    // As in Linux what happened comes before the signal that tells of it: a wait4 that SIGCHLD wakes returns the child.
    auto last = attempt();
    if (!last.ok() && last.error() == kEAGAIN) return slept.error();
    return last;
  }
}

}  // namespace moat
