// kill(2): targets, permissions and delivery.
#include <sys/prctl.h>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

[[noreturn]] int Pause() {
  for (;;) pause();
}

TEST(KillTest, SignalZeroOnlyProbes) {
  EXPECT_THAT(kill(getpid(), 0), SyscallSucceeds());
  EXPECT_THAT(kill(0, 0), SyscallSucceeds());
}

TEST(KillTest, UnknownTargetsAreEsrch) {
  EXPECT_THAT(kill(0x3ffffff, SIGTERM), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(kill(-0x3ffffff, SIGTERM), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(kill(INT32_MIN, 0), SyscallFailsWithErrno(ESRCH));
}

TEST(KillTest, BadSignalsAreEinval) {
  EXPECT_THAT(kill(getpid(), 65), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(kill(getpid(), -1), SyscallFailsWithErrno(EINVAL));
}

TEST(KillTest, ToSelfIsDeliveredBeforeTheReturn) {
  SignalCounter counter(SIGUSR1);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(counter.count(), 1);
}

TEST(KillTest, GroupZeroIsTheOwnGroup) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpgid(0, 0), SyscallSucceeds());
                SignalCounter counter(SIGUSR1);
                Gate ready;
                ScopedChild member([&]() -> int {
                  SignalCounter own(SIGUSR1);
                  ready.Open();
                  while (own.count() == 0) SleepMs(1);
                  return 7;
                });
                ready.Wait();
                EXPECT_THAT(kill(0, SIGUSR1), SyscallSucceeds());
                EXPECT_EQ(counter.count(), 1);
                EXPECT_THAT(member.Wait(), ExitedWith(7));
              }),
              ExitedWith(0));
}

TEST(KillTest, NegativePidIsAGroup) {
  ScopedChild leader(Pause);
  ScopedChild member(Pause);
  ScopedChild outsider(Pause);
  ASSERT_THAT(setpgid(leader.pid(), 0), SyscallSucceeds());
  ASSERT_THAT(setpgid(member.pid(), leader.pid()), SyscallSucceeds());
  EXPECT_THAT(kill(-leader.pid(), SIGKILL), SyscallSucceeds());
  EXPECT_THAT(leader.Wait(), KilledBy(SIGKILL));
  EXPECT_THAT(member.Wait(), KilledBy(SIGKILL));
  EXPECT_EQ(waitpid(outsider.pid(), nullptr, WNOHANG), 0);
}

TEST(KillTest, PidOfANonLeaderThreadNamesItsProcess) {
  Gate finish;
  ScopedThread thread([&] { finish.Wait(); });
  EXPECT_THAT(kill(thread.tid(), 0), SyscallSucceeds());
  finish.Open();
}

TEST(KillTest, AnotherUsersProcessIsEperm) {
  SKIP_IF_NOT_ROOT();
  ScopedChild target(Pause);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(kill(target.pid(), SIGTERM), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(kill(target.pid(), 0), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(TgKill(target.pid(), target.pid(), SIGTERM), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(KillTest, SameUserIsAllowedByRealOrSavedId) {
  SKIP_IF_NOT_ROOT();
  Gate ready;
  // Target: real 2000, saved 3000, effective 4000.
  ScopedChild target([&]() -> int {
    if (setresuid(2000, 4000, 3000) != 0) return 1;
    ready.Open();
    return Pause();
  });
  ready.Wait();
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(kill(target.pid(), 0), SyscallSucceeds()); }, 2000), ExitedWith(0));
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(kill(target.pid(), 0), SyscallSucceeds()); }, 3000), ExitedWith(0));
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(kill(target.pid(), 0), SyscallFailsWithErrno(EPERM)); }, 4000),
              ExitedWith(0));
}

TEST(KillTest, GroupWithSomePermittedMembersSucceeds) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpgid(0, 0), SyscallSucceeds());
                ScopedChild root_member(Pause);
                EXPECT_THAT(RunAsUser([&] {
                              SignalCounter counter(SIGUSR1);
                              EXPECT_THAT(kill(0, SIGUSR1), SyscallSucceeds());
                              EXPECT_EQ(counter.count(), 1);
                            }),
                            ExitedWith(0));
                EXPECT_EQ(waitpid(root_member.pid(), nullptr, WNOHANG), 0);
              }),
              ExitedWith(0));
}

TEST(KillTest, GroupWithoutPermittedMembersIsEperm) {
  SKIP_IF_NOT_ROOT();
  ScopedChild target(Pause);
  ASSERT_THAT(setpgid(target.pid(), 0), SyscallSucceeds());
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(kill(-target.pid(), SIGTERM), SyscallFailsWithErrno(EPERM)); }),
              ExitedWith(0));
}

TEST(KillTest, ContinueIsAllowedWithinTheSession) {
  SKIP_IF_NOT_ROOT();
  ScopedChild target(Pause);
  Gate ready;
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(kill(target.pid(), SIGCONT), SyscallSucceeds());
                EXPECT_THAT(setsid(), SyscallSucceeds());
                EXPECT_THAT(kill(target.pid(), SIGCONT), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(KillTest, MinusOneReachesNeitherTheCallerNorOtherUsers) {
  SKIP_IF_NOT_ROOT();
  ScopedChild root_owned(Pause);
  // A uid that nobody else on the machine has, so that the broadcast is safe.
  constexpr uid_t kPrivateUid = 61234;
  EXPECT_THAT(RunAsUser(
                  [] {
                    ScopedChild mine(Pause);
                    SignalCounter counter(SIGTERM);
                    EXPECT_THAT(kill(-1, SIGTERM), SyscallSucceeds());
                    EXPECT_EQ(counter.count(), 0);
                    EXPECT_THAT(mine.Wait(), KilledBy(SIGTERM));
                  },
                  kPrivateUid),
              ExitedWith(0));
  EXPECT_EQ(waitpid(root_owned.pid(), nullptr, WNOHANG), 0);
}

TEST(SigpipeTest, WriteWithoutReaderSignalsAndFails) {
  SignalCounter counter(SIGPIPE);
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  close(fds[0]);
  EXPECT_THAT(write(fds[1], "x", 1), SyscallFailsWithErrno(EPIPE));
  EXPECT_EQ(counter.count(), 1);
  close(fds[1]);
}

TEST(SigpipeTest, KillsByDefault) {
  EXPECT_THAT(RunInChild([]() -> int {
                signal(SIGPIPE, SIG_DFL);
                int fds[2];
                if (pipe(fds) != 0) return 1;
                close(fds[0]);
                return static_cast<int>(write(fds[1], "x", 1));
              }),
              KilledBy(SIGPIPE));
}

}  // namespace
}  // namespace moat::test
