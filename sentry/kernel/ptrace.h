// ptrace(2) between guests: what a task is as a tracee and as a tracer, and where tracees stop.
//
// A tracee stops in its own handler, on its own fiber, parked in Stop(): so its registers are the kernel's to read and change.
// Its tracer's requests act on it under Kernel::tasks_lock, which a tracee takes to leave its stop: neither a kill nor a
// continue comes between. Everything here is guarded by tasks_lock but what says otherwise; stops asked for from outside
// (`asked_`) are changed under the tracee's signal_lock, and what the tracee looks at on its way is atomic.
//
// The Tracing of a task is made when it first traces or is traced and lives as long as the task. A thread that ends while traced
// stays in the pid table until its tracer waited for it, as the leader of a process does anyway.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "abi/ptrace.h"
#include "abi/signal.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "sentry/kernel/task.h"

namespace moat {

class Kernel;
class ThreadGroup;

// How a tracee goes on (PTRACE_CONT and its kin).
struct TraceResume {
  bool syscalls = false;  // stop at the next entry to or exit from a system call
  bool emulate = false;   // stop at entry and skip the call (SYSEMU)
  bool step = false;      // for one instruction
  int signo = 0;          // to deliver, 0: none
};

class Tracing {
 public:
  explicit Tracing(Task& task) : task_(task) {}
  Tracing(const Tracing&) = delete;
  // `task`'s, made if need be. tasks_lock.
  static Tracing& Of(Task& task);

  Task& task() const { return task_; }
  bool traced() const { return state_.load(std::memory_order_acquire) & kTraced; }   // any thread
  bool seized() const { return state_.load(std::memory_order_acquire) & kSeized; }   // any thread
  bool stepping() const { return mode_.load(std::memory_order_relaxed) & kStep; }

  // --- The tie between tracer and tracee. tasks_lock. ---

  // `tracer`'s tracee with thread id `tid`, in a stop that requests work on unless `running` will do; kESRCH.
  static ErrorOr<Tracing*> Find(Task& tracer, int tid, bool running = false);
  Task* tracer() const { return tracer_; }  // or null
  const std::vector<Task*>& tracees() const { return tracees_; }
  // PTRACE_TRACEME, ATTACH and SEIZE; the task must not be traced.
  void Link(Task& tracer, bool seize, uint64_t options);
  // A child of a traced task comes into being: traced from its first instruction on. Its signal_lock held.
  static void LinkChild(Task& parent, Task& child);
  // Makes it go on untraced, out of a stop with `signo`; without one, with what its tracer has not waited for yet.
  void Unlink(std::optional<int> signo = std::nullopt);
  // The end of a tracer: all its tracees are let go or, with PTRACE_O_EXITKILL, killed.
  static void OnTracerExit(Task& tracer);
  // PTRACE_O_*.
  void set_options(uint64_t options) { options_.store(options, std::memory_order_relaxed); }
  bool OptionOn(uint64_t option) const { return traced() && (options_.load(std::memory_order_relaxed) & option); }

  // --- What the tracer does. tasks_lock. ---

  bool stopped() const { return in_stop_; }
  // In a stop that requests work on.
  bool ready() const { return in_stop_ && !listening_; }
  void Resume(const TraceResume& how);
  // PTRACE_INTERRUPT (kEIO unless seized) and PTRACE_LISTEN (kEIO unless in a stop of PTRACE_EVENT_STOP).
  ErrorOr<void> Interrupt();
  ErrorOr<void> Listen();
  // Of a job-control stop that the task is in when it is attached to.
  void StopAgain();
  abi::SigInfo* info() { return info_; }  // of the stop, or null
  uint64_t message() const { return message_; }
  // The number that PTRACE_GETREGS shows as orig_rax: of the system call that the task is in, or -1.
  int64_t call() const { return task_.trap_.nr; }
  void set_call(int64_t nr) { task_.trap_.nr = nr; }
  uint32_t call_arch() const { return task_.trap_.arch; }
  // The signal mask as the program knows it, without a sigsuspend's.
  abi::SigSet mask() const;
  void set_mask(abi::SigSet mask);

  // --- What wait(2) of the tracer sees. tasks_lock. ---

  // (signal | event << 8) of a stop that was not waited for, or 0.
  int stop_to_report() const { return ready() ? exit_code_ : 0; }
  void ConsumeStop() { exit_code_ = 0; }
  // Its end: a thread's, or of a process whose threads were all waited for.
  bool exit_to_report() const;
  int exit_status() const;
  // After the exit was waited for: tells the real parent, if that is somebody else, or forgets the task.
  void ReapExit();
  // Ended threads of `group` that their tracer has not waited for yet: until then the process's own exit is not reported.
  static bool HasZombies(ThreadGroup& group);
  // A traced thread ended (FinishExit), or the whole of a process.
  void OnThreadExit(int status);
  void NotifyTracerOfExit();

  // --- What happens to the tracee, in its own handler. No locks held. ---

  // A signal is about to be delivered; returns the one to deliver instead, with `info` to match, or 0.
  int OnSignal(abi::SigInfo& info);
  // False: skip the call, the registers are what the tracer left.
  bool OnSyscallEntry();
  void OnSyscallExit(std::optional<Errno>& restart);
  // A stop that was asked for (kWorkTrap), or the group's (StopHere).
  void JobStop();
  // PTRACE_EVENT_`event` if its option is on.
  void Event(int event, uint64_t message);
  void OnExec(int old_tid);
  void OnExit(int status);
  void OnSignalFrame();  // a handler is set up: a single step ends here
  // What the tracer sees of a call that will be restarted (rax holds the restart code meanwhile), and what it made of it.
  void ShowRestart(const std::optional<Errno>& restart);
  void LearnRestart(std::optional<Errno>& restart);
  // With the signal_lock of the task's group held: a seized task learns that job control changed.
  void NoteJobControl();

 private:
  enum StateBits : uint32_t { kTraced = 1, kSeized = 2 };
  enum ModeBits : uint32_t { kSyscalls = 1, kEmulate = 2, kStep = 4 };
  enum AskedBits : uint32_t { kTrapStop = 1, kTrapNotify = 2 };

  // Stops until the tracer lets go; the signal (or 0) to go on with, or nothing if the task was killed or is not traced.
  std::optional<int> Stop(int code, int why, uint64_t message, abi::SigInfo* info);
  // A stop that is not for a signal: `code` is also the siginfo's si_code.
  std::optional<int> StopWith(int signo, int code, int why, uint64_t message);
  void SyscallStop(uint64_t message);
  void EnterStop(int code, uint64_t message, abi::SigInfo* info);
  void ForgetAsked(uint32_t bits);  // signal_lock
  bool MayLeave();
  void Ask(AskedBits bit);  // signal_lock
  void NotifyTracerOfStop(int why);
  void ForgetZombie();

  Task& task_;
  std::atomic<uint32_t> state_{0};
  std::atomic<uint32_t> mode_{0};   // changed while it is stopped only
  std::atomic<uint32_t> asked_{0};
  Task* tracer_ = nullptr;
  std::vector<Task*> tracees_;
  std::atomic<uint64_t> options_{0};

  bool in_stop_ = false, listening_ = false, resumed_ = false;
  std::optional<int> resume_signo_;
  int exit_code_ = 0;
  uint64_t message_ = 0;
  abi::SigInfo* info_ = nullptr;

  bool zombie_ = false;  // a thread other than the leader that ended
  int zombie_status_ = 0;
};

// The Tracing of `task` if it is traced now, else null.
inline Tracing* TracedBy(const Task& task) {
  Tracing* t = task.tracing();
  return t && t->traced() ? t : nullptr;
}

}  // namespace moat
