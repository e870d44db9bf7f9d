// wait4(2) and waitid(2): which children a call selects, what it reports, and when it does not wait.
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

constexpr auto kPidfd = static_cast<idtype_t>(3);  // P_PIDFD

// Ends a child that only pauses.
[[noreturn]] int Pause() {
  for (;;) pause();
}

void KillAndReap(pid_t pid) {
  kill(pid, SIGKILL);
  EXPECT_THAT(WaitForChild(pid), KilledBy(SIGKILL));
}

TEST(WaitTest, WithoutChildrenIsEchild) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_THAT(waitpid(-1, nullptr, 0), SyscallFailsWithErrno(ECHILD));
                EXPECT_THAT(waitpid(-1, nullptr, WNOHANG), SyscallFailsWithErrno(ECHILD));
                siginfo_t info;
                EXPECT_THAT(waitid(P_ALL, 0, &info, WEXITED), SyscallFailsWithErrno(ECHILD));
              }),
              ExitedWith(0));
}

TEST(WaitTest, ForAProcessThatIsNotAChildIsEchild) {
  EXPECT_THAT(waitpid(getpid(), nullptr, 0), SyscallFailsWithErrno(ECHILD));
  EXPECT_THAT(waitpid(getppid(), nullptr, WNOHANG), SyscallFailsWithErrno(ECHILD));
}

TEST(WaitTest, UnknownOptionIsEinval) {
  EXPECT_THAT(syscall(SYS_wait4, -1, nullptr, 0x10000, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_wait4, -1, nullptr, WEXITED, nullptr), SyscallFailsWithErrno(EINVAL));
}

TEST(WaitTest, ForTheSmallestPidIsEsrch) {
  EXPECT_THAT(waitpid(INT32_MIN, nullptr, WNOHANG), SyscallFailsWithErrno(ESRCH));
}

TEST(WaitTest, ReportsTheExitCodesLowByte) {
  EXPECT_THAT(RunInChild([]() -> int { return 0x1ff; }), ExitedWith(0xff));
  EXPECT_THAT(RunInChild([]() -> int { return -2; }), ExitedWith(0xfe));
}

TEST(WaitTest, ReportsTheKillingSignal) {
  for (int sig : {SIGKILL, SIGTERM, SIGUSR1, SIGALRM, SIGHUP}) {
    EXPECT_THAT(RunInChild([=]() -> int {
                  signal(sig, SIG_DFL);
                  kill(getpid(), sig);
                  return 1;
                }),
                KilledBy(sig));
  }
}

TEST(WaitTest, NohangReturnsZeroWhileTheChildRuns) {
  const pid_t pid = ForkAndRun(Pause);
  int status = 77;
  EXPECT_THAT(waitpid(pid, &status, WNOHANG), SyscallSucceedsWithValue(0));
  EXPECT_EQ(status, 77);
  KillAndReap(pid);
}

TEST(WaitTest, EachChildIsReportedOnce) {
  const pid_t pid = ForkAndRun([] {});
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  EXPECT_THAT(waitpid(pid, nullptr, 0), SyscallFailsWithErrno(ECHILD));
}

TEST(WaitTest, ZombieExistsUntilItIsReaped) {
  const pid_t pid = ForkAndRun([] {});
  ASSERT_TRUE(Eventually([&] { return ProcessState(pid) == 'Z'; }));
  EXPECT_THAT(kill(pid, 0), SyscallSucceeds());
  EXPECT_THAT(kill(pid, SIGKILL), SyscallSucceeds());
  EXPECT_THAT(getpgid(pid), SyscallSucceedsWithValue(getpgrp()));
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  EXPECT_THAT(kill(pid, 0), SyscallFailsWithErrno(ESRCH));
}

TEST(WaitTest, SelectsByProcessGroup) {
  const pid_t a = ForkAndRun(Pause);
  ASSERT_THAT(setpgid(a, a), SyscallSucceeds());
  const pid_t b = ForkAndRun([]() -> int { return 2; });
  EXPECT_THAT(waitpid(-a, nullptr, WNOHANG), SyscallSucceedsWithValue(0));
  int status;
  EXPECT_THAT(waitpid(0, &status, 0), SyscallSucceedsWithValue(b));
  EXPECT_THAT(status, ExitedWith(2));
  EXPECT_THAT(waitpid(0, &status, 0), SyscallFailsWithErrno(ECHILD));
  kill(a, SIGKILL);
  EXPECT_THAT(waitpid(-a, &status, 0), SyscallSucceedsWithValue(a));
}

TEST(WaitTest, ReportsStoppedChildrenOnlyWhenAsked) {
  const pid_t pid = ForkAndRun(Pause);
  kill(pid, SIGSTOP);
  ASSERT_TRUE(Eventually([&] { return ProcessState(pid) == 'T'; }));
  EXPECT_THAT(waitpid(pid, nullptr, WNOHANG), SyscallSucceedsWithValue(0));
  int status;
  EXPECT_THAT(waitpid(pid, &status, WUNTRACED), SyscallSucceedsWithValue(pid));
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGSTOP);
  EXPECT_THAT(waitpid(pid, &status, WUNTRACED | WNOHANG), SyscallSucceedsWithValue(0));  // reported once
  KillAndReap(pid);
}

TEST(WaitTest, ReportsContinuedChildrenOnlyWhenAsked) {
  const pid_t pid = ForkAndRun(Pause);
  kill(pid, SIGSTOP);
  int status;
  ASSERT_THAT(waitpid(pid, &status, WUNTRACED), SyscallSucceedsWithValue(pid));
  kill(pid, SIGCONT);
  EXPECT_THAT(waitpid(pid, &status, WNOHANG | WUNTRACED), SyscallSucceedsWithValue(0));
  EXPECT_THAT(waitpid(pid, &status, WCONTINUED), SyscallSucceedsWithValue(pid));
  EXPECT_TRUE(WIFCONTINUED(status));
  EXPECT_EQ(status, 0xffff);
  EXPECT_THAT(waitpid(pid, &status, WNOHANG | WCONTINUED), SyscallSucceedsWithValue(0));
  KillAndReap(pid);
}

TEST(WaitTest, BadStatusPointerIsEfaultButReapsTheChild) {
  const pid_t pid = ForkAndRun([] {});
  EXPECT_THAT(syscall(SYS_wait4, pid, BadPointer(), 0, nullptr), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(waitpid(pid, nullptr, 0), SyscallFailsWithErrno(ECHILD));
}

TEST(WaitTest, ResourceUsageIsTheChilds) {
  const pid_t pid = ForkAndRun([] {
    const clock_t until = clock() + CLOCKS_PER_SEC / 50;
    while (clock() < until) {
    }
  });
  rusage usage = {};
  int status;
  EXPECT_THAT(wait4(pid, &status, 0, &usage), SyscallSucceedsWithValue(pid));
  const long us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000L + usage.ru_utime.tv_usec +
                  usage.ru_stime.tv_usec;
  EXPECT_GE(us, 10000);
}

TEST(WaitTest, ReapedChildrenCountIntoRusageChildren) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_THAT(RunInChild([] {
                              const clock_t until = clock() + CLOCKS_PER_SEC / 25;
                              while (clock() < until) {
                              }
                            }),
                            ExitedWith(0));
                rusage usage;
                ASSERT_THAT(getrusage(RUSAGE_CHILDREN, &usage), SyscallSucceeds());
                EXPECT_GE(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec, 20000);
              }),
              ExitedWith(0));
}

TEST(WaitTest, BlockedWaitIsInterruptedByAHandler) {
  const pid_t pid = ForkAndRun(Pause);
  SignalCounter counter(SIGUSR1);
  Nudger nudger(SIGUSR1);
  EXPECT_THAT(waitpid(pid, nullptr, 0), SyscallFailsWithErrno(EINTR));
  EXPECT_GE(counter.count(), 1);
  KillAndReap(pid);
}

TEST(WaitTest, AThreadMayWaitForAChildOfAnotherThread) {
  const pid_t pid = ForkAndRun([]() -> int { return 4; });
  int status = 0;
  ScopedThread thread([&] { status = WaitForChild(pid); });
  thread.Join();
  EXPECT_THAT(status, ExitedWith(4));
}

TEST(WaitTest, NoThreadOptionSkipsChildrenOfOtherThreads) {
  pid_t pid = 0;
  ScopedThread thread([&] {
    pid = ForkAndRun([] {});
    EXPECT_TRUE(Eventually([&] { return ProcessState(pid) == 'Z'; }));
    EXPECT_THAT(waitpid(pid, nullptr, __WNOTHREAD), SyscallSucceedsWithValue(pid));
  });
  thread.Join();
  ScopedThread other([&] {
    pid = ForkAndRun([] {});
    ScopedThread inner(
        [&] { EXPECT_THAT(waitpid(pid, nullptr, __WNOTHREAD), SyscallFailsWithErrno(ECHILD)); });
    inner.Join();
    EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  });
}

TEST(WaitTest, TheChildComesBeforeTheHandlerOfItsSignal) {
  SignalCounter chld(SIGCHLD);  // no SA_RESTART
  for (int i = 0; i < 20; ++i) {
    const pid_t pid = ForkAndRun([]() -> int {
      usleep(10'000);
      return 4;
    });
    int status = 0;
    EXPECT_THAT(waitpid(pid, &status, 0), SyscallSucceedsWithValue(pid));
    EXPECT_THAT(status, ExitedWith(4));
  }
}

TEST(WaitidTest, FillsInTheWholeSiginfoOfAnExit) {
  const pid_t pid = ForkAndRun([]() -> int { return 33; });
  siginfo_t info;
  memset(&info, 0xff, sizeof(info));
  EXPECT_THAT(waitid(P_PID, pid, &info, WEXITED), SyscallSucceeds());
  EXPECT_EQ(info.si_signo, SIGCHLD);
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_errno, 0);
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_EQ(info.si_uid, getuid());
  EXPECT_EQ(info.si_status, 33);
}

TEST(WaitidTest, CodesOfKilledStoppedAndContinued) {
  const pid_t pid = ForkAndRun(Pause);
  siginfo_t info = {};
  kill(pid, SIGSTOP);
  EXPECT_THAT(waitid(P_PID, pid, &info, WSTOPPED), SyscallSucceeds());
  EXPECT_EQ(info.si_code, CLD_STOPPED);
  EXPECT_EQ(info.si_status, SIGSTOP);
  kill(pid, SIGCONT);
  EXPECT_THAT(waitid(P_PID, pid, &info, WCONTINUED), SyscallSucceeds());
  EXPECT_EQ(info.si_code, CLD_CONTINUED);
  EXPECT_EQ(info.si_status, SIGCONT);
  kill(pid, SIGTERM);
  EXPECT_THAT(waitid(P_PID, pid, &info, WEXITED), SyscallSucceeds());
  EXPECT_EQ(info.si_code, CLD_KILLED);
  EXPECT_EQ(info.si_status, SIGTERM);
}

TEST(WaitidTest, NowaitLeavesTheChildWaitable) {
  const pid_t pid = ForkAndRun([]() -> int { return 3; });
  siginfo_t info = {};
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), SyscallSucceeds());
    EXPECT_EQ(info.si_status, 3);
  }
  EXPECT_THAT(WaitForChild(pid), ExitedWith(3));
}

TEST(WaitidTest, NohangWithNothingToReportZeroesPidAndSigno) {
  const pid_t pid = ForkAndRun(Pause);
  siginfo_t info;
  memset(&info, 0xff, sizeof(info));
  EXPECT_THAT(waitid(P_PID, pid, &info, WEXITED | WNOHANG), SyscallSucceeds());
  EXPECT_EQ(info.si_pid, 0);
  EXPECT_EQ(info.si_signo, 0);
  KillAndReap(pid);
}

TEST(WaitidTest, ExitsAreNotReportedUnlessAsked) {
  const pid_t pid = ForkAndRun([] {});
  ASSERT_TRUE(Eventually([&] { return ProcessState(pid) == 'Z'; }));
  siginfo_t info = {};
  EXPECT_THAT(waitid(P_PID, pid, &info, WSTOPPED | WNOHANG), SyscallFailsWithErrno(ECHILD));
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
}

TEST(WaitidTest, OptionsMustNameAtLeastOneStateAndNoUnknownOne) {
  siginfo_t info;
  EXPECT_THAT(waitid(P_ALL, 0, &info, WNOHANG), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(waitid(P_ALL, 0, &info, WEXITED | 0x100), SyscallFailsWithErrno(EINVAL));
}

TEST(WaitidTest, BadIdsAreEinval) {
  siginfo_t info;
  EXPECT_THAT(waitid(P_PID, 0, &info, WEXITED), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(waitid(P_PID, -1, &info, WEXITED), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(waitid(P_PGID, -1, &info, WEXITED), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(waitid(kPidfd, -1, &info, WEXITED), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(waitid(static_cast<idtype_t>(9), 1, &info, WEXITED), SyscallFailsWithErrno(EINVAL));
}

TEST(WaitidTest, GroupZeroIsTheCallersGroup) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpgid(0, 0), SyscallSucceeds());
                const pid_t pid = ForkAndRun([]() -> int { return 1; });
                siginfo_t info = {};
                EXPECT_THAT(waitid(P_PGID, 0, &info, WEXITED), SyscallSucceeds());
                EXPECT_EQ(info.si_pid, pid);
              }),
              ExitedWith(0));
}

TEST(WaitidTest, ByPidfd) {
  const pid_t pid = ForkAndRun([]() -> int { return 12; });
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  ASSERT_THAT(fd, SyscallSucceeds());
  siginfo_t info = {};
  EXPECT_THAT(waitid(kPidfd, fd, &info, WEXITED), SyscallSucceeds());
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_EQ(info.si_status, 12);
  EXPECT_THAT(waitid(kPidfd, fd, &info, WEXITED), SyscallFailsWithErrno(ECHILD));
  close(fd);
}

TEST(WaitidTest, NonblockingPidfdGivesEagain) {
  const pid_t pid = ForkAndRun(Pause);
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, O_NONBLOCK));
  ASSERT_THAT(fd, SyscallSucceeds());
  siginfo_t info = {};
  EXPECT_THAT(waitid(kPidfd, fd, &info, WEXITED), SyscallFailsWithErrno(EAGAIN));
  KillAndReap(pid);
  close(fd);
}

TEST(WaitidTest, DescriptorThatIsNoPidfdIsEbadf) {
  const int fd = open("/dev/null", O_RDONLY);
  siginfo_t info;
  EXPECT_THAT(waitid(kPidfd, fd, &info, WEXITED), SyscallFailsWithErrno(EBADF));
  close(fd);
}

TEST(WaitidTest, NullInfoIsAllowedAndABadOneIsEfault) {
  pid_t pid = ForkAndRun([] {});
  EXPECT_THAT(syscall(SYS_waitid, P_PID, pid, nullptr, WEXITED, nullptr), SyscallSucceeds());
  pid = ForkAndRun([] {});
  EXPECT_THAT(syscall(SYS_waitid, P_PID, pid, BadPointer(), WEXITED, nullptr), SyscallFailsWithErrno(EFAULT));
}

TEST(WaitidTest, RawCallAlsoReturnsResourceUsage) {
  const pid_t pid = ForkAndRun([] {});
  rusage usage;
  memset(&usage, 0xff, sizeof(usage));
  EXPECT_THAT(syscall(SYS_waitid, P_PID, pid, nullptr, WEXITED, &usage), SyscallSucceedsWithValue(0));
  EXPECT_GE(usage.ru_utime.tv_sec, 0);
  EXPECT_GE(usage.ru_minflt, 0);
}

}  // namespace
}  // namespace moat::test
