// Process groups and sessions: setpgid, getpgid, setsid, getsid and the rules that guard them.
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

[[noreturn]] int Pause() {
  for (;;) pause();
}

MOAT_TEST_ROLE(Pause) { return Pause(); }

TEST(ProcessGroupTest, ChildInheritsGroupAndSession) {
  const pid_t group = getpgrp();
  const pid_t session = getsid(0);
  EXPECT_THAT(RunInChild([&] {
                EXPECT_EQ(getpgrp(), group);
                EXPECT_EQ(getsid(0), session);
              }),
              ExitedWith(0));
}

TEST(ProcessGroupTest, ProcessCanLeadANewGroup) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_THAT(setpgid(0, 0), SyscallSucceeds());
                EXPECT_EQ(getpgrp(), getpid());
                EXPECT_THAT(setpgid(0, 0), SyscallSucceeds());  // again is fine
                EXPECT_THAT(getpgid(0), SyscallSucceedsWithValue(getpid()));
              }),
              ExitedWith(0));
}

TEST(ProcessGroupTest, ParentMovesItsChild) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpgid(0, 0), SyscallSucceeds());
                ScopedChild child(Pause);
                EXPECT_THAT(setpgid(child.pid(), child.pid()), SyscallSucceeds());
                EXPECT_THAT(getpgid(child.pid()), SyscallSucceedsWithValue(child.pid()));
                EXPECT_THAT(setpgid(child.pid(), getpgrp()), SyscallSucceeds());
                EXPECT_THAT(getpgid(child.pid()), SyscallSucceedsWithValue(getpgrp()));
              }),
              ExitedWith(0));
}

TEST(ProcessGroupTest, ChildJoinsItsSiblingsGroup) {
  ScopedChild leader(Pause);
  ScopedChild member(Pause);
  ASSERT_THAT(setpgid(leader.pid(), 0), SyscallSucceeds());
  EXPECT_THAT(setpgid(member.pid(), leader.pid()), SyscallSucceeds());
  EXPECT_THAT(getpgid(member.pid()), SyscallSucceedsWithValue(leader.pid()));
}

TEST(ProcessGroupTest, GroupOutlivesItsLeader) {
  ScopedChild leader(Pause);
  ScopedChild member(Pause);
  ASSERT_THAT(setpgid(leader.pid(), 0), SyscallSucceeds());
  ASSERT_THAT(setpgid(member.pid(), leader.pid()), SyscallSucceeds());
  const pid_t group = leader.pid();
  kill(leader.pid(), SIGKILL);
  leader.Wait();
  EXPECT_THAT(getpgid(member.pid()), SyscallSucceedsWithValue(group));
  EXPECT_THAT(kill(-group, SIGTERM), SyscallSucceeds());
  EXPECT_THAT(member.Wait(), KilledBy(SIGTERM));
  EXPECT_THAT(kill(-group, 0), SyscallFailsWithErrno(ESRCH));
}

TEST(ProcessGroupTest, NegativeGroupIsEinval) { EXPECT_THAT(setpgid(0, -1), SyscallFailsWithErrno(EINVAL)); }

TEST(ProcessGroupTest, UnknownAndUnrelatedProcessesAreEsrch) {
  EXPECT_THAT(setpgid(0x3ffffff, 0), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(getpgid(0x3ffffff), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(getpgid(-1), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(getsid(0x3ffffff), SyscallFailsWithErrno(ESRCH));
  const pid_t parent = getpid();
  EXPECT_THAT(RunInChild([&] { EXPECT_THAT(setpgid(parent, parent), SyscallFailsWithErrno(ESRCH)); }),
              ExitedWith(0));
}

TEST(ProcessGroupTest, JoiningAGroupThatDoesNotExistIsEperm) {
  EXPECT_THAT(RunInChild([] { EXPECT_THAT(setpgid(0, 0x3ffffff), SyscallFailsWithErrno(EPERM)); }),
              ExitedWith(0));
}

TEST(ProcessGroupTest, JoiningAGroupOfAnotherSessionIsEperm) {
  Gate ready;
  ScopedChild other([&]() -> int {
    setsid();
    ready.Open();
    return Pause();
  });
  ready.Wait();
  EXPECT_THAT(RunInChild([&] { EXPECT_THAT(setpgid(0, other.pid()), SyscallFailsWithErrno(EPERM)); }),
              ExitedWith(0));
}

TEST(ProcessGroupTest, MovingAChildOfAnotherSessionIsEperm) {
  Gate ready;
  ScopedChild child([&]() -> int {
    setsid();
    ready.Open();
    return Pause();
  });
  ready.Wait();
  EXPECT_THAT(setpgid(child.pid(), child.pid()), SyscallFailsWithErrno(EPERM));
}

TEST(ProcessGroupTest, SessionLeaderCannotChangeItsGroup) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setsid(), SyscallSucceeds());
                EXPECT_THAT(setpgid(0, 0), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(ProcessGroupTest, ChildThatHasExecutedCannotBeMoved) {
  ScopedChild child([]() -> int { return ExecRole("Pause", {"paused"}); });
  ASSERT_TRUE(Eventually([&] {
    return Slurp("/proc/" + std::to_string(child.pid()) + "/cmdline") == std::string("paused\0", 7);
  }));
  EXPECT_THAT(setpgid(child.pid(), child.pid()), SyscallFailsWithErrno(EACCES));
}

TEST(ProcessGroupTest, ZombieStillHasAGroup) {
  const pid_t pid = ForkAndRun([] {});
  ASSERT_TRUE(Eventually([&] { return ProcessState(pid) == 'Z'; }));
  EXPECT_THAT(getpgid(pid), SyscallSucceedsWithValue(getpgrp()));
  EXPECT_THAT(getsid(pid), SyscallSucceedsWithValue(getsid(0)));
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
}

TEST(SessionTest, SetsidMakesSessionAndGroupLeader) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_THAT(setsid(), SyscallSucceedsWithValue(getpid()));
                EXPECT_EQ(getsid(0), getpid());
                EXPECT_EQ(getpgrp(), getpid());
              }),
              ExitedWith(0));
}

TEST(SessionTest, GroupLeaderCannotMakeOne) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpgid(0, 0), SyscallSucceeds());
                EXPECT_THAT(setsid(), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(SessionTest, SecondSetsidIsEperm) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setsid(), SyscallSucceeds());
                EXPECT_THAT(setsid(), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(SessionTest, IdWhoseGroupStillHasMembersCannotBeTaken) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpgid(0, 0), SyscallSucceeds());
                ScopedChild member(Pause);
                // Leave the group of our own id behind, then try to lead a session of that id.
                ASSERT_THAT(setpgid(0, getpgid(getppid())), SyscallSucceeds());
                ASSERT_THAT(getpgid(member.pid()), SyscallSucceedsWithValue(getpid()));
                EXPECT_THAT(setsid(), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(SessionTest, ThreadsShareIt) {
  EXPECT_THAT(RunInChild([] {
                pid_t made = 0;
                {
                  ScopedThread thread([&] { made = setsid(); });
                }
                EXPECT_EQ(made, getpid());
                EXPECT_EQ(getsid(0), getpid());
              }),
              ExitedWith(0));
}

TEST(SessionTest, IdsAreShownInProcStat) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setsid(), SyscallSucceeds());
                const std::string stat = Slurp("/proc/self/stat");
                char state;
                int ppid, pgrp, session;
                ASSERT_EQ(
                    sscanf(stat.c_str() + stat.rfind(')') + 2, "%c %d %d %d", &state, &ppid, &pgrp, &session),
                    4);
                EXPECT_EQ(ppid, getppid());
                EXPECT_EQ(pgrp, getpid());
                EXPECT_EQ(session, getpid());
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
