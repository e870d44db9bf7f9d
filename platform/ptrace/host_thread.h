// One traced host thread of a stub: its registers, and the commands it runs for us. Tracer thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "abi/regs.h"
#include "base/util/error.h"
#include "platform/platform.h"
#include "platform/ptrace/stub.h"

namespace moat::ptrace {

class Express;
class PtraceThread;
class Tracer;

// Registers of a stub routine; the others are the guest's, or 0.
struct StubArgs {
  uint64_t rax = 0, rdi = 0, rsi = 0, rdx = 0, r10 = 0, r8 = 0, r9 = 0;
  uint64_t r12 = 0, r13 = 0, r14 = 0, r15 = 0, rbx = 0, rbp = 0;
};

enum class StepMode : uint8_t { kRun, kSingleStep };

class HostThread {
 public:
  // Thread `tid` of process `tgid`, stopped.
  HostThread(Tracer& tracer, int tid, int tgid) : tracer_(tracer), tid_(tid), tgid_(tgid) {}
  HostThread(const HostThread&) = delete;
  HostThread& operator=(const HostThread&) = delete;

  int tid() const { return tid_; }
  int tgid() const { return tgid_; }
  bool leader() const { return tid_ == tgid_; }
  // Stopped, or waiting on its express page for the answer to a call that was taken there.
  bool stopped() const { return state_ == State::kStopped || state_ == State::kTaken; }
  bool taken() const { return state_ == State::kTaken; }
  bool running() const { return state_ == State::kRunning; }
  bool dead() const { return state_ == State::kDead; }
  int wait_status() const { return wait_status_; }  // after its end

  // The guest's registers. Written ones reach the host at Resume. While stopped.
  const abi::UserRegs& Regs();
  void SetRegs(const abi::UserRegs& regs);
  void SetResult(uint64_t rax);

  // Lets the guest run. If the thread is dying its end is seen later.
  void Resume(StepMode mode);
  StepMode mode() const { return mode_; }
  // What the tracer saw. `in_syscall`: the guest stopped in a system call.
  void NoteStop(bool in_syscall);
  void NoteEnd(int status);
  // Its stop is at a call that came by the express path.
  void NoteOnPath() { on_path_ = true; }
  bool on_path() const { return on_path_; }
  // The running thread's call was taken from its express page.
  void NoteTaken();
  // Stops a thread whose call was taken, which is then as after any other call. Others are left as they are.
  void Settle();
  // The trap of a thread that came to the express path without having a page, if that is what its fault means.
  std::optional<Trap> FaultedCall();
  // Since the stop nothing but SetResult was needed.
  bool simple() const { return !touched_; }

  // Runs a routine of the stub to its end, on the guest's thread but with the guest's registers put aside. Its rax, or the
  // errno in it; kEFAULT if a routine on guest memory faulted; kESRCH if the thread is dead. A stub that does not come back
  // within 5 s is killed.
  ErrorOr<uint64_t> Call(StubEntry entry, const StubArgs& args);
  ErrorOr<uint64_t> Syscall(int nr, std::span<const uint64_t> args);
  // As Syscall for clone(2); waits until the child has stopped before its first instruction. The child's tid.
  ErrorOr<int> Clone(uint64_t flags);
  // Makes the thread end and does not wait for it.
  void StartExit();

  ErrorOr<size_t> GetXState(std::span<std::byte> out);
  ErrorOr<void> SetXState(std::span<const std::byte> in);

  // The express path of the thread's space, while that may be in use; or null.
  Express* express = nullptr;
  // The guest thread that runs here; null for the zygote, parked leaders and ending threads.
  PtraceThread* owner = nullptr;
  // Its registered rseq(2) area, 0 if none.
  uint64_t rseq_area = 0;
  // What PtraceAddressSpace had mended when the thread's last fault was looked at.
  uint64_t times_mended = 0;

 private:
  enum class State : uint8_t { kStopped, kRunning, kTaken, kDead };

  void StartRoutine(StubEntry entry, const StubArgs& args);
  ErrorOr<uint64_t> Finish(StubEntry entry);
  enum class Progress : uint8_t { kContinue, kDone, kFault };
  Progress OnRoutineStop(StubEntry entry, int status, uint64_t* rax);
  void SetState(State state);
  void FinishTaken();
  void FlushRegs();
  void AbortRseq();
  void Overdue();

  Tracer& tracer_;
  const int tid_;
  const int tgid_;
  State state_ = State::kStopped;
  StepMode mode_ = StepMode::kRun;
  bool in_syscall_ = false;
  bool touched_ = false;
  bool on_path_ = false;
  bool have_regs_ = false;    // regs_ are the guest's
  bool regs_dirty_ = false;   // and the host's differ
  bool result_dirty_ = false; // only rax: in result_
  uint64_t result_ = 0;
  abi::UserRegs regs_{};
  int wait_status_ = 0;
  int new_child_ = 0;
};

}  // namespace moat::ptrace
