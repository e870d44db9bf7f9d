// Stopping and continuing processes, and what happens to stopped groups that become orphans.
#include <sys/prctl.h>

#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

[[noreturn]] int Pause() {
  for (;;) pause();
}

int WaitStopped(pid_t pid) {
  int status = 0;
  EXPECT_THAT(waitpid(pid, &status, WUNTRACED), SyscallSucceedsWithValue(pid));
  return WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
}

// A child in a process group of its own, so that the group is not orphaned while this process lives. Whatever
// this program was started with, the child has the default dispositions of the stop signals.
class Job {
 public:
  template <typename Body>
  explicit Job(Body&& body) : child_([&]() -> int { return SetUp(), body(); }) {
    EXPECT_THAT(setpgid(child_.pid(), child_.pid()), SyscallSucceeds());
    ready_.Open();
  }
  pid_t pid() const { return child_.pid(); }
  int Wait() { return child_.Wait(); }

 private:
  void SetUp() {
    for (int sig : {SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGHUP}) signal(sig, SIG_DFL);
    ready_.Wait();
  }

  Gate ready_;
  ScopedChild child_;
};

TEST(JobControlTest, EveryStopSignalStops) {
  for (int sig : {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU}) {
    Job job(Pause);
    kill(job.pid(), sig);
    EXPECT_EQ(WaitStopped(job.pid()), sig);
    EXPECT_EQ(ProcessState(job.pid()), 'T');
  }
}

TEST(JobControlTest, TerminalStopSignalsCanBeHandledOrIgnoredButSigstopCannot) {
  Job job([]() -> int {
    signal(SIGTSTP, SIG_IGN);
    signal(SIGTTIN, [](int) {});
    raise(SIGTSTP);
    raise(SIGTTIN);
    return signal(SIGSTOP, SIG_IGN) == SIG_ERR && errno == EINVAL ? 0 : 1;
  });
  EXPECT_THAT(job.Wait(), ExitedWith(0));
}

TEST(JobControlTest, ContinueResumesEvenWhenIgnoredOrBlocked) {
  Gate ready;
  Job job([&]() -> int {
    signal(SIGCONT, SIG_IGN);
    ScopedSignalMask block(SIG_BLOCK, {SIGCONT});
    raise(SIGSTOP);
    ready.Open();
    return 3;
  });
  EXPECT_EQ(WaitStopped(job.pid()), SIGSTOP);
  kill(job.pid(), SIGCONT);
  ready.Wait();
  EXPECT_THAT(job.Wait(), ExitedWith(3));
}

TEST(JobControlTest, ContinueHandlerRuns) {
  Job job([]() -> int {
    SignalCounter counter(SIGCONT);
    raise(SIGSTOP);
    return counter.count();
  });
  EXPECT_EQ(WaitStopped(job.pid()), SIGSTOP);
  kill(job.pid(), SIGCONT);
  EXPECT_THAT(job.Wait(), ExitedWith(1));
}

TEST(JobControlTest, StoppedProcessHandlesSignalsOnlyAfterContinuing) {
  Job job([]() -> int {
    SignalCounter counter(SIGUSR1);
    raise(SIGSTOP);
    while (counter.count() == 0) SleepMs(1);
    return 4;
  });
  EXPECT_EQ(WaitStopped(job.pid()), SIGSTOP);
  kill(job.pid(), SIGUSR1);
  SleepMs(20);
  EXPECT_EQ(ProcessState(job.pid()), 'T');
  kill(job.pid(), SIGCONT);
  EXPECT_THAT(job.Wait(), ExitedWith(4));
}

TEST(JobControlTest, SigkillEndsAStoppedProcess) {
  Job job(Pause);
  kill(job.pid(), SIGSTOP);
  EXPECT_EQ(WaitStopped(job.pid()), SIGSTOP);
  kill(job.pid(), SIGKILL);
  EXPECT_THAT(job.Wait(), KilledBy(SIGKILL));
}

TEST(JobControlTest, FatalSignalTakesEffectOnContinue) {
  Job job([]() -> int {
    signal(SIGTERM, SIG_DFL);
    return Pause();
  });
  kill(job.pid(), SIGSTOP);
  EXPECT_EQ(WaitStopped(job.pid()), SIGSTOP);
  kill(job.pid(), SIGTERM);
  EXPECT_EQ(waitpid(job.pid(), nullptr, WNOHANG), 0);
  kill(job.pid(), SIGCONT);
  EXPECT_THAT(job.Wait(), KilledBy(SIGTERM));
}

TEST(JobControlTest, StopDiscardsAPendingContinueAndTheOtherWayRound) {
  EXPECT_THAT(RunInChild([] {
                ScopedSigaction handler(
                    SIGCONT, [](int) {}, 0);
                ScopedSignalMask block(SIG_BLOCK, {SIGCONT, SIGTSTP});
                sigset_t pending;
                raise(SIGTSTP);
                raise(SIGCONT);
                sigpending(&pending);
                EXPECT_FALSE(sigismember(&pending, SIGTSTP));
                EXPECT_TRUE(sigismember(&pending, SIGCONT));
                raise(SIGTSTP);
                sigpending(&pending);
                EXPECT_TRUE(sigismember(&pending, SIGTSTP));
                EXPECT_FALSE(sigismember(&pending, SIGCONT));
                DrainSignals({SIGTSTP});
              }),
              ExitedWith(0));
}

TEST(JobControlTest, AllThreadsStop) {
  int fds[2];
  ASSERT_THAT(pipe2(fds, O_NONBLOCK), SyscallSucceeds());
  Gate started;
  Job job([&]() -> int {
    std::thread([&] {
      started.Open();
      char byte = 0;
      for (;;) {
        if (write(fds[1], &byte, 1) < 0) SleepMs(1);
      }
    }).detach();
    return Pause();
  });
  started.Wait();
  kill(job.pid(), SIGSTOP);
  EXPECT_EQ(WaitStopped(job.pid()), SIGSTOP);
  char buffer[4096];
  while (read(fds[0], buffer, sizeof(buffer)) > 0) {
  }
  SleepMs(30);
  EXPECT_THAT(read(fds[0], buffer, sizeof(buffer)), SyscallFailsWithErrno(EAGAIN));
  close(fds[0]);
  close(fds[1]);
}

TEST(JobControlTest, StopAndContinueDoNotInterruptASleep) {
  Job job([]() -> int {
    timespec ts = {0, 100000000};
    return nanosleep(&ts, nullptr) == 0 ? 0 : 1;
  });
  kill(job.pid(), SIGSTOP);
  EXPECT_EQ(WaitStopped(job.pid()), SIGSTOP);
  kill(job.pid(), SIGCONT);
  EXPECT_THAT(job.Wait(), ExitedWith(0));
}

TEST(OrphanedGroupTest, StoppedGroupThatStaysConnectedIsLeftAlone) {
  // The subreaper is in the same session and another group: the group is not orphaned, and the test must wake
  // it.
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(prctl(PR_SET_CHILD_SUBREAPER, 1), SyscallSucceeds());
                const pid_t self = getpid();
                ASSERT_THAT(setsid(), SyscallSucceeds());
                ASSERT_EQ(self, getsid(0));
                int fds[2];
                ASSERT_THAT(pipe(fds), SyscallSucceeds());
                const pid_t middle = ForkAndRun([&] {
                  const pid_t orphan = ForkAndRun([]() -> int {
                    setpgid(0, 0);
                    raise(SIGSTOP);
                    return 23;
                  });
                  waitpid(orphan, nullptr, WUNTRACED);
                  EXPECT_THAT(write(fds[1], &orphan, sizeof(orphan)), SyscallSucceeds());
                });
                pid_t orphan = 0;
                ASSERT_THAT(read(fds[0], &orphan, sizeof(orphan)), SyscallSucceeds());
                EXPECT_THAT(WaitForChild(middle), ExitedWith(0));
                EXPECT_EQ(ProcessState(orphan), 'T');
                kill(orphan, SIGCONT);
                EXPECT_THAT(WaitForChild(orphan), ExitedWith(23));
              }),
              ExitedWith(0));
}

TEST(OrphanedGroupTest, StoppedGroupGetsHangupAndContinueWhenItIsOrphaned) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(prctl(PR_SET_CHILD_SUBREAPER, 1), SyscallSucceeds());
                int fds[2];
                ASSERT_THAT(pipe(fds), SyscallSucceeds());
                // `middle` leads a session of its own, so its exit leaves the child's group without a parent
                // in it.
                const pid_t middle = ForkAndRun([&] {
                  setsid();
                  const pid_t orphan = ForkAndRun([]() -> int {
                    setpgid(0, 0);
                    SignalCounter hangup(SIGHUP);
                    SignalCounter cont(SIGCONT);
                    raise(SIGSTOP);
                    while (hangup.count() == 0 || cont.count() == 0) SleepMs(1);
                    return 24;
                  });
                  waitpid(orphan, nullptr, WUNTRACED);
                  EXPECT_THAT(write(fds[1], &orphan, sizeof(orphan)), SyscallSucceeds());
                });
                pid_t orphan = 0;
                ASSERT_THAT(read(fds[0], &orphan, sizeof(orphan)), SyscallSucceeds());
                EXPECT_THAT(WaitForChild(middle), ExitedWith(0));
                EXPECT_THAT(WaitForChild(orphan), ExitedWith(24));
              }),
              ExitedWith(0));
}

TEST(OrphanedGroupTest, HangupKillsByDefault) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(prctl(PR_SET_CHILD_SUBREAPER, 1), SyscallSucceeds());
                int fds[2];
                ASSERT_THAT(pipe(fds), SyscallSucceeds());
                const pid_t middle = ForkAndRun([&] {
                  setsid();
                  const pid_t orphan = ForkAndRun([]() -> int {
                    setpgid(0, 0);
                    signal(SIGHUP, SIG_DFL);
                    raise(SIGSTOP);
                    return Pause();
                  });
                  waitpid(orphan, nullptr, WUNTRACED);
                  EXPECT_THAT(write(fds[1], &orphan, sizeof(orphan)), SyscallSucceeds());
                });
                pid_t orphan = 0;
                ASSERT_THAT(read(fds[0], &orphan, sizeof(orphan)), SyscallSucceeds());
                EXPECT_THAT(WaitForChild(middle), ExitedWith(0));
                EXPECT_THAT(WaitForChild(orphan), KilledBy(SIGHUP));
              }),
              ExitedWith(0));
}

TEST(OrphanedGroupTest, TerminalStopSignalsDoNotStopAMember) {
  EXPECT_THAT(RunInChild([]() -> int {
                setsid();  // the parent is in another session, so this group is orphaned
                raise(SIGTSTP);
                raise(SIGTTIN);
                raise(SIGTTOU);
                return 25;
              }),
              ExitedWith(25));
}

}  // namespace
}  // namespace moat::test
