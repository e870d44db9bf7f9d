// The end of processes and threads: exit and exit_group, orphans and subreapers, SIGCHLD and automatic
// reaping.
#include <pthread.h>
#include <sys/prctl.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

TEST(ExitTest, ExitOfTheOnlyThreadEndsTheProcess) {
  EXPECT_THAT(RunInChild([]() -> int { return static_cast<int>(syscall(SYS_exit, 21)); }), ExitedWith(21));
}

TEST(ExitTest, ExitGroupEndsAllThreads) {
  EXPECT_THAT(RunInChild([]() -> int {
                for (int i = 0; i < 3; ++i) std::thread([] { pause(); }).detach();
                return static_cast<int>(syscall(SYS_exit_group, 13));
              }),
              ExitedWith(13));
}

TEST(ExitTest, ExitGroupFromAnotherThreadDecidesTheCode) {
  EXPECT_THAT(RunInChild([]() -> int {
                std::thread([] { syscall(SYS_exit_group, 14); }).detach();
                for (;;) pause();
              }),
              ExitedWith(14));
}

TEST(ExitTest, ProcessLivesOnAfterItsLeaderExits) {
  Gate finish;
  const pid_t pid = ForkAndRun([&]() -> int {
    std::thread([&] {
      finish.Wait();
      _exit(5);
    }).detach();
    syscall(SYS_exit, 1);
    return 2;
  });
  ASSERT_TRUE(Eventually([&] { return ProcessState(pid) == 'Z'; }));
  EXPECT_THAT(waitpid(pid, nullptr, WNOHANG), SyscallSucceedsWithValue(0));
  EXPECT_THAT(kill(pid, 0), SyscallSucceeds());
  finish.Open();
  EXPECT_THAT(WaitForChild(pid), ExitedWith(5));
}

TEST(ExitTest, CodeOfTheLastThreadIsReportedIfNoneLeftTheGroup) {
  EXPECT_THAT(RunInChild([]() -> int {
                const pid_t self = getpid();
                std::thread([self] {
                  while (StateOf("/proc/self/task/" + std::to_string(self) + "/stat") != 'Z') SleepMs(1);
                  syscall(SYS_exit, 7);
                }).detach();
                syscall(SYS_exit, 6);
                return 2;
              }),
              ExitedWith(7));
}

TEST(ExitTest, SigkillEndsEveryThread) {
  Gate started;
  const pid_t pid = ForkAndRun([&]() -> int {
    std::thread([&] {
      started.Open();
      for (;;) pause();
    }).detach();
    for (;;) pause();
  });
  started.Wait();
  kill(pid, SIGKILL);
  EXPECT_THAT(WaitForChild(pid), KilledBy(SIGKILL));
}

TEST(ExitTest, FatalSignalToOneThreadEndsTheProcess) {
  EXPECT_THAT(RunInChild([]() -> int {
                signal(SIGTERM, SIG_DFL);
                ScopedThread thread([] {
                  for (;;) pause();
                });
                TgKill(getpid(), thread.tid(), SIGTERM);
                for (;;) pause();
              }),
              KilledBy(SIGTERM));
}

TEST(ExitTest, ClosesDescriptors) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  const pid_t pid = ForkAndRun([] {});
  close(fds[1]);
  char byte;
  EXPECT_THAT(read(fds[0], &byte, 1), SyscallSucceedsWithValue(0));
  close(fds[0]);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
}

TEST(ExitTest, OrphanGetsANewParent) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(prctl(PR_SET_CHILD_SUBREAPER, 1), SyscallSucceeds());
                Gate orphaned;
                int fds[2];
                ASSERT_THAT(pipe(fds), SyscallSucceeds());
                const pid_t self = getpid();
                const pid_t middle = ForkAndRun([&] {
                  const pid_t orphan = ForkAndRun([&]() -> int {
                    orphaned.Wait();
                    return getppid() == self ? 31 : 1;
                  });
                  EXPECT_THAT(write(fds[1], &orphan, sizeof(orphan)), SyscallSucceeds());
                });
                EXPECT_THAT(WaitForChild(middle), ExitedWith(0));
                pid_t orphan;
                ASSERT_THAT(read(fds[0], &orphan, sizeof(orphan)), SyscallSucceeds());
                orphaned.Open();
                EXPECT_THAT(WaitForChild(orphan), ExitedWith(31));
              }),
              ExitedWith(0));
}

TEST(ExitTest, SubreaperAttributeIsReadableAndNotInherited) {
  EXPECT_THAT(RunInChild([] {
                int value = -1;
                ASSERT_THAT(prctl(PR_GET_CHILD_SUBREAPER, &value), SyscallSucceeds());
                EXPECT_EQ(value, 0);
                ASSERT_THAT(prctl(PR_SET_CHILD_SUBREAPER, 5), SyscallSucceeds());
                ASSERT_THAT(prctl(PR_GET_CHILD_SUBREAPER, &value), SyscallSucceeds());
                EXPECT_EQ(value, 1);
                EXPECT_THAT(RunInChild([]() -> int {
                              int inherited = -1;
                              prctl(PR_GET_CHILD_SUBREAPER, &inherited);
                              return inherited;
                            }),
                            ExitedWith(0));
              }),
              ExitedWith(0));
}

TEST(ExitTest, ZombieOfADeadParentGoesToTheSubreaper) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(prctl(PR_SET_CHILD_SUBREAPER, 1), SyscallSucceeds());
                const pid_t middle = ForkAndRun([] {
                  const pid_t zombie = ForkAndRun([]() -> int { return 44; });
                  EXPECT_TRUE(Eventually([&] { return ProcessState(zombie) == 'Z'; }));
                });
                EXPECT_THAT(WaitForChild(middle), ExitedWith(0));
                int status;
                EXPECT_THAT(waitpid(-1, &status, 0), SyscallSucceeds());
                EXPECT_THAT(status, ExitedWith(44));
              }),
              ExitedWith(0));
}

TEST(ExitTest, ParentDeathSignalIsSent) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(prctl(PR_SET_CHILD_SUBREAPER, 1), SyscallSucceeds());
                Gate armed;
                const pid_t middle = ForkAndRun([&] {
                  ForkAndRun([&]() -> int {
                    prctl(PR_SET_PDEATHSIG, SIGKILL);
                    armed.Open();
                    for (;;) pause();
                  });
                  armed.Wait();
                });
                EXPECT_THAT(WaitForChild(middle), ExitedWith(0));
                int status;
                EXPECT_THAT(waitpid(-1, &status, 0), SyscallSucceeds());
                EXPECT_THAT(status, KilledBy(SIGKILL));
              }),
              ExitedWith(0));
}

TEST(SigchldTest, CarriesTheDetailsOfTheExit) {
  ScopedSignalMask block(SIG_BLOCK, {SIGCHLD});
  DrainSignals({SIGCHLD});
  const pid_t pid = ForkAndRun([]() -> int { return 19; });
  siginfo_t info;
  const sigset_t set = SignalSet({SIGCHLD});
  ASSERT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGCHLD));
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_EQ(info.si_status, 19);
  EXPECT_EQ(info.si_uid, getuid());
  EXPECT_THAT(WaitForChild(pid), ExitedWith(19));
}

TEST(SigchldTest, IsSentForStopsAndContinuesToo) {
  ScopedSigaction handler(
      SIGCHLD, [](int) {}, 0);
  ScopedSignalMask block(SIG_BLOCK, {SIGCHLD});
  DrainSignals({SIGCHLD});
  const pid_t pid = ForkAndRun([]() -> int {
    for (;;) pause();
  });
  siginfo_t info;
  const sigset_t set = SignalSet({SIGCHLD});
  kill(pid, SIGSTOP);
  ASSERT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGCHLD));
  EXPECT_EQ(info.si_code, CLD_STOPPED);
  EXPECT_EQ(info.si_status, SIGSTOP);
  kill(pid, SIGCONT);
  ASSERT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGCHLD));
  EXPECT_EQ(info.si_code, CLD_CONTINUED);
  kill(pid, SIGKILL);
  ASSERT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGCHLD));
  EXPECT_EQ(info.si_code, CLD_KILLED);
  EXPECT_EQ(info.si_status, SIGKILL);
  EXPECT_THAT(WaitForChild(pid), KilledBy(SIGKILL));
}

TEST(SigchldTest, NocldstopSuppressesStopsOnly) {
  SignalCounter counter(SIGCHLD, SA_NOCLDSTOP);
  ScopedSignalMask block(SIG_BLOCK, {SIGCHLD});
  DrainSignals({SIGCHLD});
  const pid_t pid = ForkAndRun([]() -> int {
    for (;;) pause();
  });
  kill(pid, SIGSTOP);
  int status;
  ASSERT_THAT(waitpid(pid, &status, WUNTRACED), SyscallSucceedsWithValue(pid));
  sigset_t pending;
  sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGCHLD));
  kill(pid, SIGKILL);
  EXPECT_THAT(WaitForChild(pid), KilledBy(SIGKILL));
  sigpending(&pending);
  EXPECT_TRUE(sigismember(&pending, SIGCHLD));
  DrainSignals({SIGCHLD});
}

TEST(SigchldTest, IgnoringItReapsChildrenAutomatically) {
  ScopedSigaction ignore(SIGCHLD, SIG_IGN);
  const pid_t pid = ForkAndRun([]() -> int { return 1; });
  EXPECT_THAT(waitpid(pid, nullptr, 0), SyscallFailsWithErrno(ECHILD));
  EXPECT_THAT(kill(pid, 0), SyscallFailsWithErrno(ESRCH));
}

TEST(SigchldTest, NocldwaitReapsButStillSignals) {
  SignalCounter counter(SIGCHLD, SA_NOCLDWAIT);
  const pid_t pid = ForkAndRun([]() -> int { return 1; });
  int result;
  do {
    result = waitpid(pid, nullptr, 0);
  } while (result == -1 && errno == EINTR);
  EXPECT_THAT(result, SyscallFailsWithErrno(ECHILD));
  EXPECT_TRUE(Eventually([&] { return counter.count() == 1; }));
}

TEST(SigchldTest, DefaultDispositionKeepsZombies) {
  ScopedSigaction standard(SIGCHLD, SIG_DFL);
  const pid_t pid = ForkAndRun([] {});
  ASSERT_TRUE(Eventually([&] { return ProcessState(pid) == 'Z'; }));
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
}

TEST(ExitTest, RobustlyReapsFiftyChildrenFromAHandler) {
  static std::atomic<int> reaped;
  reaped = 0;
  ScopedSigaction handler(
      SIGCHLD,
      [](int) {
        const int saved = errno;
        while (waitpid(-1, nullptr, WNOHANG) > 0) ++reaped;
        errno = saved;
      },
      SA_RESTART);
  for (int i = 0; i < 50; ++i) ForkAndRun([] {});
  EXPECT_TRUE(Eventually([] { return reaped == 50; }));
}

}  // namespace
}  // namespace moat::test
