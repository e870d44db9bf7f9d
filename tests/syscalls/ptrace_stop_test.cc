// ptrace(2): when tracees stop, what the stop looks like, and how they go on.
#include <sys/syscall.h>

#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/tracee.h"

namespace moat::test {
namespace {

constexpr int kRestartSys = 512;       // ERESTARTSYS, which only tracers see
constexpr int kRestartNoHand = 514;    // ERESTARTNOHAND
MOAT_TEST_ROLE(Exit7) { return 7; }

int PauseForEver() {
  for (;;) pause();
}

// --- Signals and job control. ---

TEST(PtraceStopTest, StoppedTraceesAreInTracingStop) {
  TracedChild tracee([] { return 0; });
  EXPECT_EQ(tracee.State(), 't');
  EXPECT_EQ(StatusField(tracee.pid(), "State"), "t (tracing stop)");
}

TEST(PtraceStopTest, IgnoredSignalsAreShownToo) {
  TracedChild tracee([] {
    ScopedSigaction ignore(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    raise(SIGCHLD);
    return 4;
  });
  tracee.Cont();
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  tracee.Cont(SIGUSR1);
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGCHLD));
  tracee.Cont(SIGCHLD);
  EXPECT_THAT(tracee.Wait(), ExitedWith(4));
}

TEST(PtraceStopTest, InjectedSignalThatIsBlockedStaysPending) {
  TracedChild tracee([] {
    ScopedSignalMask mask(SIG_BLOCK, {SIGUSR2});
    raise(SIGUSR1);
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGUSR2) ? 5 : 6;
  });
  tracee.Cont();
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  tracee.Cont(SIGUSR2);
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGUSR2));  // unblocked at last
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(5));
}

TEST(PtraceStopTest, ReplacedSignalComesFromTheTracer) {
  TracedChild tracee([] {
    static siginfo_t seen;
    ScopedSigaction action(SIGUSR2, [](int, siginfo_t* info, void*) { seen = *info; }, 0);
    raise(SIGUSR1);
    return seen.si_signo == SIGUSR2 && seen.si_code == SI_USER && seen.si_pid == getppid() ? 7 : 8;
  });
  tracee.Cont();
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  tracee.Cont(SIGUSR2);
  EXPECT_THAT(tracee.Wait(), ExitedWith(7));
}

TEST(PtraceStopTest, GroupStopOfAnAttachedTraceeHasNoSiginfo) {
  TracedChild tracee([] { return 3; });
  tracee.Cont(SIGSTOP);
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGSTOP));
  siginfo_t info;
  EXPECT_THAT(Ptrace(PTRACE_GETSIGINFO, tracee.pid(), nullptr, &info), SyscallFailsWithErrno(EINVAL));
  EXPECT_EQ(tracee.State(), 't');
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(3));
}

TEST(PtraceStopTest, GroupStopOfASeizedTraceeIsAnEventAndListenWaitsForItsEnd) {
  SeizedChild tracee(PauseForEver);
  kill(tracee.pid(), SIGSTOP);
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGSTOP));
  tracee.Cont(SIGSTOP);
  EXPECT_THAT(tracee.Next(), GroupStoppedBy(SIGSTOP));
  EXPECT_EQ(tracee.Info().si_code, SIGSTOP | PTRACE_EVENT_STOP << 8);
  tracee.Go(PTRACE_LISTEN);
  EXPECT_THAT(Ptrace(PTRACE_CONT, tracee.pid()), SyscallFailsWithErrno(ESRCH));
  EXPECT_TRUE(Silent(tracee.pid()));
  kill(tracee.pid(), SIGCONT);
  EXPECT_THAT(tracee.Next(), GroupStoppedBy(SIGTRAP));
  tracee.Cont();
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGCONT));
  tracee.Cont(SIGCONT);
  EXPECT_TRUE(Eventually([&] { return tracee.State() == 'S'; }));
}

TEST(PtraceStopTest, InterruptEndsListening) {
  SeizedChild tracee(PauseForEver);
  kill(tracee.pid(), SIGTSTP);
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGTSTP));
  tracee.Cont(SIGSTOP);
  EXPECT_THAT(tracee.Next(), GroupStoppedBy(SIGSTOP));
  tracee.Go(PTRACE_LISTEN);
  tracee.Interrupt();
  EXPECT_THAT(tracee.Next(), GroupStoppedBy(SIGSTOP));
}

TEST(PtraceStopTest, ListenIsForGroupStopsOfSeizedTraceesOnly) {
  TracedChild attached([] { return 0; });
  EXPECT_THAT(Ptrace(PTRACE_LISTEN, attached.pid()), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_INTERRUPT, attached.pid()), SyscallFailsWithErrno(EIO));
  SeizedChild seized(PauseForEver);
  kill(seized.pid(), SIGUSR1);
  EXPECT_THAT(seized.Next(), StoppedBy(SIGUSR1));
  EXPECT_THAT(Ptrace(PTRACE_LISTEN, seized.pid()), SyscallFailsWithErrno(EIO));
}

TEST(PtraceStopTest, DetachedInAGroupStopItStaysStopped) {
  TracedChild tracee([] { return 3; });
  tracee.Cont(SIGSTOP);
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGSTOP));
  EXPECT_THAT(Ptrace(PTRACE_DETACH, tracee.pid()), SyscallSucceeds());
  EXPECT_TRUE(Eventually([&] { return tracee.State() == 'T'; }));
  kill(tracee.pid(), SIGCONT);
  EXPECT_THAT(tracee.Wait(), ExitedWith(3));
}

TEST(PtraceStopTest, AttachedToAStoppedProcessStopsAtOnce) {
  ScopedChild child(PauseForEver);
  kill(child.pid(), SIGSTOP);
  int status;
  ASSERT_THAT(waitpid(child.pid(), &status, WUNTRACED), SyscallSucceedsWithValue(child.pid()));
  ASSERT_THAT(Ptrace(PTRACE_SEIZE, child.pid()), SyscallSucceeds());
  EXPECT_THAT(NextStop(child.pid()), GroupStoppedBy(SIGSTOP));
  EXPECT_EQ(ProcessState(child.pid()), 't');
}

TEST(PtraceStopTest, DetachCanDeliverASignal) {
  TracedChild tracee([] { return PauseForEver(); });
  EXPECT_THAT(Ptrace(PTRACE_DETACH, tracee.pid(), nullptr, Number(SIGTERM)), SyscallSucceeds());
  EXPECT_THAT(tracee.Wait(), KilledBy(SIGTERM));
}

TEST(PtraceStopTest, DetachedItRunsFree) {
  TracedChild tracee([] {
    SignalCounter count(SIGUSR1);
    raise(SIGUSR1);
    return count.count();
  });
  EXPECT_THAT(Ptrace(PTRACE_DETACH, tracee.pid()), SyscallSucceeds());
  EXPECT_THAT(tracee.Wait(), ExitedWith(1));
}

TEST(PtraceStopTest, KillRequestKills) {
  TracedChild tracee(PauseForEver);
  EXPECT_THAT(Ptrace(PTRACE_KILL, tracee.pid()), SyscallSucceeds());
  EXPECT_THAT(tracee.Wait(), KilledBy(SIGKILL));
}

// --- System calls. ---

TEST(PtraceStopTest, InterruptedCallGoesOnByItself) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  SeizedChild tracee([&]() -> int {
    char byte = 0;
    return read(fds[0], &byte, 1) == 1 ? byte : 100;
  });
  WaitUntilAsleep(tracee.pid());
  tracee.Interrupt();
  EXPECT_THAT(tracee.Next(), StoppedForEvent(PTRACE_EVENT_STOP));
  tracee.Cont();
  const char byte = 9;
  EXPECT_THAT(write(fds[1], &byte, 1), SyscallSucceedsWithValue(1));
  EXPECT_THAT(tracee.Wait(), ExitedWith(9));
  close(fds[0]);
  close(fds[1]);
}

TEST(PtraceStopTest, TracerSeesRestartCodes) {
  TracedChild tracee([]() -> int {
    SignalCounter count(SIGUSR1, SA_RESTART);
    int fds[2];
    if (pipe(fds) != 0) return 98;
    char byte;
    return read(fds[0], &byte, 1) == -1 ? count.count() : 99;
  });
  tracee.RunToCall(SYS_read);
  tracee.Go(PTRACE_SYSCALL);
  WaitUntilAsleep(tracee.pid());
  kill(tracee.pid(), SIGUSR1);
  ASSERT_THAT(tracee.Next(), SyscallStopped());
  EXPECT_EQ(static_cast<long>(tracee.Regs().rax), -kRestartSys);
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  EXPECT_EQ(static_cast<long>(tracee.Regs().rax), -kRestartSys);
  EXPECT_EQ(static_cast<long>(tracee.Regs().orig_rax), SYS_read);
  // No call, no restart: the program sees the error that the tracer chose.
  user_regs_struct regs = tracee.Regs();
  regs.orig_rax = static_cast<unsigned long>(-1);
  regs.rax = static_cast<unsigned long>(-EAGAIN);
  tracee.SetRegs(regs);
  tracee.Cont(SIGUSR1);
  EXPECT_THAT(tracee.Wait(), ExitedWith(1));
}

TEST(PtraceStopTest, SuspendedCallWithoutHandlerIsRestarted) {
  SeizedChild tracee([]() -> int {
    pause();
    return 9;
  }, PTRACE_O_TRACESYSGOOD);
  WaitUntilAsleep(tracee.pid());
  kill(tracee.pid(), SIGWINCH);
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGWINCH));
  EXPECT_EQ(static_cast<long>(tracee.Regs().rax), -kRestartNoHand);
  tracee.Go(PTRACE_SYSCALL, SIGWINCH);
  ASSERT_THAT(tracee.Next(), SyscallStopped());
  EXPECT_EQ(static_cast<long>(tracee.Regs().orig_rax), SYS_pause);
}

TEST(PtraceStopTest, TracerCanChangeNumberAndArguments) {
  TracedChild tracee([] { return static_cast<int>(syscall(SYS_getppid)); });
  tracee.RunToCall(SYS_getppid);
  user_regs_struct regs = tracee.Regs();
  regs.orig_rax = SYS_exit_group;
  regs.rdi = 21;
  tracee.SetRegs(regs);
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(21));
}

TEST(PtraceStopTest, SysemuSkipsTheCall) {
  TracedChild tracee([]() -> int {
    const long first = syscall(SYS_getppid);
    return first == 77 && syscall(SYS_getppid) == getppid() ? 11 : 12;
  });
  tracee.Go(PTRACE_SYSEMU);
  for (;;) {  // raise() has calls of its own left
    ASSERT_THAT(tracee.Next(), SyscallStopped());
    user_regs_struct regs = tracee.Regs();
    EXPECT_EQ(static_cast<long>(regs.rax), -ENOSYS);
    regs.rax = regs.orig_rax == SYS_getppid ? 77 : 0;
    tracee.SetRegs(regs);
    if (regs.orig_rax == SYS_getppid) break;
    tracee.Go(PTRACE_SYSEMU);
  }
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(11));
}

TEST(PtraceStopTest, SignalOfASyscallStopIsSent) {
  TracedChild tracee([] {
    SignalCounter count(SIGUSR1);
    syscall(SYS_getppid);
    return count.count();
  });
  tracee.RunToCall(SYS_getppid);
  tracee.Cont(SIGUSR1);
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  tracee.Cont(SIGUSR1);
  EXPECT_THAT(tracee.Wait(), ExitedWith(1));
}

// --- Single steps. ---

TEST(PtraceStopTest, StepOverACallTrapsBehindIt) {
  TracedChild tracee([] {
    long result = SYS_getppid;
    asm volatile("int3\n\tsyscall\n\tnop" : "+a"(result) : : "rcx", "r11", "memory");
    return result == getppid() ? 13 : 14;
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  EXPECT_EQ(tracee.Info().si_code, SI_KERNEL);
  const unsigned long start = tracee.Regs().rip;
  tracee.Go(PTRACE_SINGLESTEP);
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  EXPECT_EQ(tracee.Regs().rip, start + 2);
  EXPECT_EQ(static_cast<pid_t>(tracee.Regs().rax), getpid());
  tracee.Go(PTRACE_SINGLESTEP);
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  EXPECT_EQ(tracee.Regs().rip, start + 3);
  EXPECT_EQ(tracee.Info().si_code, TRAP_TRACE);
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(13));
}

void StepHandler(int) {}

TEST(PtraceStopTest, StepWithASignalStopsAtItsHandler) {
  TracedChild tracee([] {
    ScopedSigaction action(SIGUSR1, StepHandler);
    raise(SIGUSR1);
    return 15;
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  tracee.Go(PTRACE_SINGLESTEP, SIGUSR1);
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  EXPECT_EQ(tracee.Regs().rip, reinterpret_cast<unsigned long>(&StepHandler));
  EXPECT_EQ(tracee.Regs().rdi, static_cast<unsigned long>(SIGUSR1));
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(15));
}

TEST(PtraceStopTest, ManyStepsRunTheProgramAsIfAlone) {
  TracedChild tracee([] {
    volatile int sum = 0;
    asm volatile("int3");
    for (int i = 0; i < 50; ++i) sum = sum + i;
    asm volatile("int3");
    return static_cast<int>(sum % 100);
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  int steps = 0;
  do {
    tracee.Go(PTRACE_SINGLESTEP);
    ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
    ++steps;
  } while (tracee.Info().si_code != SI_KERNEL);
  EXPECT_GT(steps, 150);
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(1225 % 100));
}

// --- Events. ---

TEST(PtraceStopTest, ChildrenOfASeizedTraceeStopWithAnEvent) {
  SeizedChild tracee([]() -> int {
    pause();
    return RunInChild([]() -> int { return 2; }) == 2 << 8 ? 16 : 17;
  }, PTRACE_O_TRACEFORK);
  WaitUntilAsleep(tracee.pid());
  kill(tracee.pid(), SIGUSR1);
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  user_regs_struct regs = tracee.Regs();  // pause() returns
  regs.orig_rax = static_cast<unsigned long>(-1);
  regs.rax = static_cast<unsigned long>(-EINTR);
  tracee.SetRegs(regs);
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedForEvent(PTRACE_EVENT_FORK));
  TraceeHandle child(static_cast<pid_t>(tracee.Message()));
  EXPECT_THAT(child.Next(), StoppedForEvent(PTRACE_EVENT_STOP));
  EXPECT_EQ(StatusField(child.pid(), "TracerPid"), std::to_string(getpid()));
  child.Cont();
  tracee.Cont();
  EXPECT_THAT(child.Next(), ExitedWith(2));
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGCHLD));
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(16));
}

TEST(PtraceStopTest, VforkHasTwoEvents) {
  TracedChild tracee([]() -> int {
    const pid_t pid = vfork();
    if (pid == 0) _exit(5);
    return WaitForChild(pid) == 5 << 8 ? 18 : 19;
  });
  tracee.SetOptions(PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_EXITKILL);
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedForEvent(PTRACE_EVENT_VFORK));
  TraceeHandle child(static_cast<pid_t>(tracee.Message()));
  ASSERT_THAT(child.Next(), StoppedBy(SIGSTOP));
  tracee.Cont();
  EXPECT_TRUE(Silent(tracee.pid()));
  child.Cont();
  EXPECT_THAT(child.Next(), ExitedWith(5));
  int status = tracee.Next();
  if (WSTOPSIG(status) == SIGCHLD) {  // may come on either side of the event
    tracee.Cont();
    status = tracee.Next();
  }
  EXPECT_THAT(status, StoppedForEvent(PTRACE_EVENT_VFORK_DONE));
  EXPECT_EQ(static_cast<pid_t>(tracee.Message()), child.pid());
  tracee.Cont();
  status = tracee.Next();
  if (WIFSTOPPED(status)) {
    EXPECT_THAT(status, StoppedBy(SIGCHLD));
    tracee.Cont();
    status = tracee.Wait();
  }
  EXPECT_THAT(status, ExitedWith(18));
}

TEST(PtraceStopTest, ThreadsAreTracedAndTheirEndIsReported) {
  TracedChild tracee([]() -> int {
    ScopedThread thread([] { raise(SIGUSR1); });
    thread.Join();
    raise(SIGUSR2);
    return 20;
  });
  tracee.SetOptions(PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedForEvent(PTRACE_EVENT_CLONE));
  TraceeHandle thread(static_cast<pid_t>(tracee.Message()));
  tracee.Cont();
  ASSERT_THAT(thread.Next(), StoppedBy(SIGSTOP));
  EXPECT_THAT(Ptrace(PTRACE_CONT, tracee.pid()), SyscallFailsWithErrno(ESRCH));
  thread.Cont();
  ASSERT_THAT(thread.Next(), StoppedBy(SIGUSR1));
  EXPECT_EQ(StateOf("/proc/" + std::to_string(tracee.pid()) + "/task/" + std::to_string(thread.pid()) + "/stat"), 't');
  thread.Cont();
  EXPECT_THAT(thread.Next(), ExitedWith(0));
  EXPECT_THAT(tracee.Next(), StoppedBy(SIGUSR2));
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(20));
}

TEST(PtraceStopTest, ExecByAnotherThreadIsReportedAsTheLeaders) {
  TracedChild tracee([]() -> int {
    ScopedThread thread([] { ExecRole("Exit7", {"x"}); });
    return PauseForEver();
  });
  tracee.SetOptions(PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedForEvent(PTRACE_EVENT_CLONE));
  TraceeHandle thread(static_cast<pid_t>(tracee.Message()));
  tracee.Cont();
  ASSERT_THAT(thread.Next(), StoppedBy(SIGSTOP));
  thread.Cont();
  ASSERT_THAT(tracee.Next(), StoppedForEvent(PTRACE_EVENT_EXEC));
  EXPECT_EQ(static_cast<pid_t>(tracee.Message()), thread.pid());
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(7));
  EXPECT_THAT(waitpid(thread.pid(), nullptr, __WALL), SyscallFailsWithErrno(ECHILD));
}

TEST(PtraceStopTest, SeizedTraceeGetsNoTrapForExec) {
  Gate gate;
  SeizedChild tracee([&]() -> int {
    gate.Wait();
    return ExecRole("Exit7", {"x"});
  });
  gate.Open();
  EXPECT_THAT(tracee.Wait(), ExitedWith(7));
}

TEST(PtraceStopTest, KilledTraceeStopsForItsExitEvent) {
  TracedChild tracee(PauseForEver);
  tracee.SetOptions(PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL);
  tracee.Cont();
  kill(tracee.pid(), SIGKILL);
  ASSERT_THAT(tracee.Next(), StoppedForEvent(PTRACE_EVENT_EXIT));
  EXPECT_EQ(tracee.Message(), static_cast<unsigned long>(SIGKILL));
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), KilledBy(SIGKILL));
}

TEST(PtraceStopTest, EventsHaveASiginfo) {
  TracedChild tracee([] { return 9; });
  tracee.SetOptions(PTRACE_O_TRACEEXIT);
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedForEvent(PTRACE_EVENT_EXIT));
  const siginfo_t info = tracee.Info();
  EXPECT_EQ(info.si_signo, SIGTRAP);
  EXPECT_EQ(info.si_code, SIGTRAP | PTRACE_EVENT_EXIT << 8);
  EXPECT_EQ(info.si_pid, tracee.pid());
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(9));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
