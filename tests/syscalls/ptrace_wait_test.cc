// ptrace(2) and wait(2): who hears of a tracee's stops and end, and what remains when a tracer goes.
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/util/fd.h"
#include "tests/util/signals.h"
#include "tests/util/tracee.h"

namespace moat::test {
namespace {

int PauseForEver() {
  for (;;) pause();
}

// A sibling process that traces `pid` with these requests' help.
class OtherTracer {
 public:
  explicit OtherTracer(pid_t pid, int request = PTRACE_SEIZE, long options = 0)
      : child_([=, this]() -> int {
          if (Ptrace(request, pid, nullptr, Number(options)) != 0) return 1;
          if (request == PTRACE_ATTACH && NextStop(pid) >> 8 != SIGSTOP) return 2;
          attached_.Open();
          release_.Wait();
          return 0;
        }) {
    attached_.Wait();
  }
  // It exits without another word to its tracee.
  void Exit() {
    release_.Open();
    EXPECT_THAT(child_.Wait(), ExitedWith(0));
  }
  pid_t pid() const { return child_.pid(); }

 private:
  Gate attached_, release_;
  ScopedChild child_;
};

TEST(PtraceWaitTest, WnowaitLeavesTheStopAndWaitTakesItOnce) {
  ScopedChild child([]() -> int {
    Ptrace(PTRACE_TRACEME, 0);
    raise(SIGSTOP);
    return 0;
  });
  siginfo_t info = {};
  EXPECT_THAT(waitid(P_PID, child.pid(), &info, WSTOPPED | WNOWAIT), SyscallSucceeds());
  EXPECT_EQ(info.si_signo, SIGCHLD);
  EXPECT_EQ(info.si_code, CLD_TRAPPED);
  EXPECT_EQ(info.si_pid, child.pid());
  EXPECT_EQ(info.si_status, SIGSTOP);
  EXPECT_THAT(NextStop(child.pid()), StoppedBy(SIGSTOP));
  EXPECT_THAT(waitpid(child.pid(), nullptr, WNOHANG | WUNTRACED), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(PtraceWaitTest, StopsSendSigchldToTheTracer) {
  ScopedSignalMask mask(SIG_BLOCK, {SIGCHLD});
  TracedChild tracee([] { return raise(SIGUSR1); });
  DrainSignals({SIGCHLD});
  tracee.Cont();
  const sigset_t set = SignalSet({SIGCHLD});
  siginfo_t info = {};
  EXPECT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGCHLD));
  EXPECT_EQ(info.si_code, CLD_TRAPPED);
  EXPECT_EQ(info.si_pid, tracee.pid());
  EXPECT_EQ(info.si_status, SIGUSR1);
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(0));
  DrainSignals({SIGCHLD});
}

TEST(PtraceWaitTest, NocldstopHidesTheSignalNotTheStop) {
  ScopedSignalMask mask(SIG_BLOCK, {SIGCHLD});
  ScopedSigaction action(SIGCHLD, SIG_DFL, SA_NOCLDSTOP);
  DrainSignals({SIGCHLD});
  TracedChild tracee([] { return raise(SIGUSR1); });
  tracee.Cont();
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  sigset_t pending;
  sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGCHLD));
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(0));
  DrainSignals({SIGCHLD});
}

TEST(PtraceWaitTest, ParentHearsOfTheExitAfterTheTracer) {
  ScopedChild child(PauseForEver);
  Gate traced, collect;
  ScopedChild tracer([&]() -> int {
    if (Ptrace(PTRACE_SEIZE, child.pid()) != 0) return 1;
    traced.Open();
    collect.Wait();
    int status;
    if (waitpid(child.pid(), &status, __WALL) != child.pid()) return 2;
    return DiedOf(status, SIGKILL) ? 0 : 3;
  });
  traced.Wait();
  kill(child.pid(), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return ProcessState(child.pid()) == 'Z'; }));
  EXPECT_THAT(waitpid(child.pid(), nullptr, WNOHANG), SyscallSucceedsWithValue(0));
  collect.Open();
  EXPECT_THAT(tracer.Wait(), ExitedWith(0));
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
}

TEST(PtraceWaitTest, TracersDeathGivesAZombieToItsParent) {
  ScopedChild child(PauseForEver);
  OtherTracer tracer(child.pid());
  kill(child.pid(), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return ProcessState(child.pid()) == 'Z'; }));
  EXPECT_THAT(waitpid(child.pid(), nullptr, WNOHANG), SyscallSucceedsWithValue(0));
  tracer.Exit();
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
}

TEST(PtraceWaitTest, AnothersTraceStopsAreNotTheParents) {
  ScopedChild child(PauseForEver);
  OtherTracer tracer(child.pid(), PTRACE_ATTACH);
  EXPECT_EQ(ProcessState(child.pid()), 't');
  EXPECT_THAT(waitpid(child.pid(), nullptr, WNOHANG | WUNTRACED), SyscallSucceedsWithValue(0));
  EXPECT_EQ(StatusField(child.pid(), "TracerPid"), std::to_string(tracer.pid()));
  EXPECT_EQ(StatusField(child.pid(), "PPid"), std::to_string(getpid()));
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(Ptrace(PTRACE_SEIZE, child.pid()), SyscallFailsWithErrno(EPERM));
}

TEST(PtraceWaitTest, TracersExitLetsAStoppedTraceeGoOn) {
  ScopedChild child(PauseForEver);
  {
    OtherTracer tracer(child.pid(), PTRACE_ATTACH);
    tracer.Exit();
  }
  EXPECT_TRUE(Eventually([&] { return ProcessState(child.pid()) == 'S'; }));
  EXPECT_EQ(StatusField(child.pid(), "TracerPid"), "0");
  EXPECT_THAT(Ptrace(PTRACE_SEIZE, child.pid()), SyscallSucceeds());
}

TEST(PtraceWaitTest, ExitkillOfASeizedTracee) {
  ScopedChild child(PauseForEver);
  OtherTracer tracer(child.pid(), PTRACE_SEIZE, PTRACE_O_EXITKILL);
  tracer.Exit();
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
}

TEST(PtraceWaitTest, TracerNeedNotBeTheParentToWait) {
  ScopedChild child([]() -> int {
    Gate gate;
    const pid_t grandchild = ForkAndRun([&]() -> int {
      gate.Wait();
      return 6;
    });
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return 1;
    EXPECT_THAT(RunInChild([&]() -> int {
                  if (Ptrace(PTRACE_SEIZE, grandchild) != 0) return 1;
                  gate.Open();
                  return NextStop(grandchild) == 6 << 8 ? 0 : 2;
                }),
                ExitedWith(0));
    return WaitForChild(grandchild) == 6 << 8 ? 0 : 3;
  });
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(PtraceWaitTest, OnlyTheTracingThreadMayMakeRequestsButAllMayWait) {
  TracedChild tracee([] { return raise(SIGUSR1); });
  ScopedThread([&] {
    user_regs_struct regs;
    EXPECT_THAT(Ptrace(PTRACE_GETREGS, tracee.pid(), nullptr, &regs), SyscallFailsWithErrno(ESRCH));
  }).Join();
  tracee.Cont();
  ScopedThread([&] {
    int status;
    EXPECT_THAT(waitpid(tracee.pid(), &status, __WALL | __WNOTHREAD), SyscallFailsWithErrno(ECHILD));
    EXPECT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  }).Join();
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(0));
}

TEST(PtraceWaitTest, TracingThreadsEndDetaches) {
  ScopedChild child(PauseForEver);
  ScopedThread([&] {
    EXPECT_THAT(Ptrace(PTRACE_ATTACH, child.pid()), SyscallSucceeds());
    EXPECT_THAT(NextStop(child.pid()), StoppedBy(SIGSTOP));
  }).Join();
  EXPECT_TRUE(Eventually([&] { return ProcessState(child.pid()) == 'S'; }));
  EXPECT_EQ(StatusField(child.pid(), "TracerPid"), "0");
}

TEST(PtraceWaitTest, StoppedChildOfAGroupShowsTwiceToNobody) {
  TracedChild tracee([] { return 3; });
  tracee.Cont(SIGSTOP);
  EXPECT_THAT(waitpid(tracee.pid(), nullptr, WUNTRACED), SyscallSucceedsWithValue(tracee.pid()));
  EXPECT_THAT(waitpid(tracee.pid(), nullptr, WUNTRACED | WNOHANG), SyscallSucceedsWithValue(0));
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(3));
}

TEST(PtraceWaitTest, LeaderIsReportedAfterItsThreads) {
  TracedChild tracee([]() -> int {
    ScopedThread thread([] { PauseForEver(); });
    _exit(12);
  });
  tracee.SetOptions(PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedForEvent(PTRACE_EVENT_CLONE));
  TraceeHandle thread(static_cast<pid_t>(tracee.Message()));
  ASSERT_THAT(thread.Next(), StoppedBy(SIGSTOP));
  thread.Cont();
  tracee.Cont();
  EXPECT_TRUE(Eventually([&] { return !Silent(thread.pid()); }));
  EXPECT_TRUE(Silent(tracee.pid()));
  EXPECT_THAT(thread.Next(), ExitedWith(12));
  EXPECT_THAT(tracee.Wait(), ExitedWith(12));
}

// A process of two threads that both pause; the second one's id goes into the pipe.
int PauseWithThread(Pipe& tid_pipe) {
  ScopedThread thread([&] {
    const pid_t tid = gettid();
    EXPECT_THAT(write(tid_pipe.writer.get(), &tid, sizeof(tid)), SyscallSucceedsWithValue(sizeof(tid)));
    PauseForEver();
  });
  return PauseForEver();
}

pid_t ThreadOf(Pipe& tid_pipe) {
  pid_t tid = 0;
  EXPECT_THAT(read(tid_pipe.reader.get(), &tid, sizeof(tid)), SyscallSucceedsWithValue(sizeof(tid)));
  return tid;
}

TEST(PtraceWaitTest, ParentHearsOfAProcessAfterItsTracedThreads) {
  Pipe tid_pipe;
  ScopedChild child([&] { return PauseWithThread(tid_pipe); });
  const pid_t tid = ThreadOf(tid_pipe);
  Gate traced, collect;
  ScopedChild tracer([&]() -> int {
    if (Ptrace(PTRACE_SEIZE, tid) != 0) return 1;
    traced.Open();
    collect.Wait();
    return DiedOf(NextStop(tid), SIGKILL) ? 0 : 2;
  });
  traced.Wait();
  kill(child.pid(), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return ProcessState(child.pid()) == 'Z'; }));
  EXPECT_THAT(waitpid(child.pid(), nullptr, WNOHANG), SyscallSucceedsWithValue(0));
  collect.Open();
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
  EXPECT_THAT(tracer.Wait(), ExitedWith(0));
}

TEST(PtraceWaitTest, TracersDeathForgetsItsEndedThreads) {
  Pipe tid_pipe;
  ScopedChild child([&] { return PauseWithThread(tid_pipe); });
  const pid_t tid = ThreadOf(tid_pipe);
  OtherTracer tracer(tid);
  kill(child.pid(), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return ProcessState(child.pid()) == 'Z'; }));
  tracer.Exit();
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
}

// --- Who may. ---

TEST(PtraceWaitTest, BadAttachments) {
  ScopedChild child(PauseForEver);
  EXPECT_THAT(Ptrace(PTRACE_SEIZE, child.pid(), nullptr, Number(1 << 30)), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_SEIZE, getpid()), SyscallFailsWithErrno(EPERM));
  ScopedThread([&] { EXPECT_THAT(Ptrace(PTRACE_ATTACH, getpid()), SyscallFailsWithErrno(EPERM)); }).Join();
  EXPECT_THAT(Ptrace(PTRACE_INTERRUPT, child.pid()), SyscallFailsWithErrno(ESRCH));
  kill(child.pid(), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return ProcessState(child.pid()) == 'Z'; }));
  EXPECT_THAT(Ptrace(PTRACE_SEIZE, child.pid()), SyscallFailsWithErrno(EPERM));
}

TEST(PtraceWaitTest, UsersMayTraceTheirOwnUnlessTheseAreNotDumpable) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                // Another user's identity makes a process not dumpable.
                Gate ready;
                ScopedChild child([&]() -> int {
                  prctl(PR_SET_DUMPABLE, 0);
                  ready.Open();
                  return PauseForEver();
                });
                ready.Wait();
                EXPECT_THAT(Ptrace(PTRACE_SEIZE, child.pid()), SyscallFailsWithErrno(EPERM));
                Gate other_ready;
                ScopedChild other([&]() -> int {
                  prctl(PR_SET_DUMPABLE, 1);
                  other_ready.Open();
                  return PauseForEver();
                });
                other_ready.Wait();
                EXPECT_THAT(Ptrace(PTRACE_SEIZE, other.pid()), SyscallSucceeds());
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
