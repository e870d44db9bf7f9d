// Children that this process traces (ptrace(2)).
#pragma once

#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <string>
#include <utility>

#include "tests/util/process.h"

namespace moat::test {

inline long Ptrace(int request, pid_t pid, void* address = nullptr, void* data = nullptr) {
  return ptrace(static_cast<__ptrace_request>(request), pid, address, data);
}
inline void* Number(long value) { return reinterpret_cast<void*>(value); }

// The next wait status of `pid`, a process or a thread of one.
inline int NextStop(pid_t pid) {
  int status = 0;
  EXPECT_THAT(waitpid(pid, &status, __WALL), SyscallSucceedsWithValue(pid));
  return status;
}
// True if `pid` has nothing to report now.
inline bool Silent(pid_t pid) {
  siginfo_t info = {};
  EXPECT_THAT(waitid(P_PID, pid, &info, __WALL | WEXITED | WSTOPPED | WNOHANG | WNOWAIT), SyscallSucceeds());
  return info.si_pid == 0;
}

MATCHER_P(StoppedBy, sig, "") { return WIFSTOPPED(arg) && arg >> 8 == sig; }
MATCHER_P(StoppedForEvent, event, "") { return WIFSTOPPED(arg) && arg >> 8 == (SIGTRAP | event << 8); }
// A group-stop of a seized tracee.
MATCHER_P(GroupStoppedBy, sig, "") { return WIFSTOPPED(arg) && arg >> 8 == (sig | PTRACE_EVENT_STOP << 8); }
inline auto SyscallStopped() { return StoppedBy(SIGTRAP | 0x80); }

// What can be asked of a tracee by its pid or tid.
class TraceeHandle {
 public:
  explicit TraceeHandle(pid_t pid) : pid_(pid) {}
  pid_t pid() const { return pid_; }
  int Next() const { return NextStop(pid_); }
  // Lets it go on.
  void Cont(int sig = 0) const { Go(PTRACE_CONT, sig); }
  void Go(int request, int sig = 0) const { EXPECT_THAT(Ptrace(request, pid_, nullptr, Number(sig)), SyscallSucceeds()); }
  user_regs_struct Regs() const {
    user_regs_struct regs = {};
    EXPECT_THAT(Ptrace(PTRACE_GETREGS, pid_, nullptr, &regs), SyscallSucceeds());
    return regs;
  }
  void SetRegs(user_regs_struct regs) const {
    EXPECT_THAT(Ptrace(PTRACE_SETREGS, pid_, nullptr, &regs), SyscallSucceeds());
  }
  siginfo_t Info() const {
    siginfo_t info = {};
    EXPECT_THAT(Ptrace(PTRACE_GETSIGINFO, pid_, nullptr, &info), SyscallSucceeds());
    return info;
  }
  unsigned long Message() const {
    unsigned long message = 0;
    EXPECT_THAT(Ptrace(PTRACE_GETEVENTMSG, pid_, nullptr, &message), SyscallSucceeds());
    return message;
  }
  void SetOptions(long options) const {
    EXPECT_THAT(Ptrace(PTRACE_SETOPTIONS, pid_, nullptr, Number(options)), SyscallSucceeds());
  }
  char State() const { return ProcessState(pid_); }
  // Runs to the next stop of system call `nr`, at its entry or its exit.
  void RunToCall(long nr) const {
    do {
      Go(PTRACE_SYSCALL);
      ASSERT_THAT(Next(), SyscallStopped());
    } while (static_cast<long>(Regs().orig_rax) != nr);
  }

 protected:
  pid_t pid_;
};

// A traced child, stopped by SIGSTOP before it runs `body`; options SYSGOOD and EXITKILL.
class TracedChild : public TraceeHandle {
 public:
  template <typename Body>
  explicit TracedChild(Body&& body)
      : TraceeHandle(0), child_([&]() -> int {
          Ptrace(PTRACE_TRACEME, 0);
          raise(SIGSTOP);
          return body();
        }) {
    pid_ = child_.pid();
    EXPECT_THAT(Next(), StoppedBy(SIGSTOP));
    SetOptions(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  }
  int Wait() { return child_.Wait(); }

 private:
  ScopedChild child_;
};

// A child that was seized while it ran `body`.
class SeizedChild : public TraceeHandle {
 public:
  template <typename Body>
  explicit SeizedChild(Body&& body, long options = 0) : TraceeHandle(0), child_(std::forward<Body>(body)) {
    pid_ = child_.pid();
    EXPECT_THAT(Ptrace(PTRACE_SEIZE, pid_, nullptr, Number(options)), SyscallSucceeds());
  }
  int Wait() { return child_.Wait(); }
  void Interrupt() const { EXPECT_THAT(Ptrace(PTRACE_INTERRUPT, pid_), SyscallSucceeds()); }

 private:
  ScopedChild child_;
};

}  // namespace moat::test
