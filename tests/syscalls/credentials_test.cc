// User and group ids: who may set what, what changes with it, and what exec does.
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

struct Ids {
  uid_t real = 0, effective = 0, saved = 0;
  bool operator==(const Ids&) const = default;
};
void PrintTo(const Ids& ids, std::ostream* os) {
  *os << ids.real << "," << ids.effective << "," << ids.saved;
}

Ids Uids() {
  Ids ids;
  EXPECT_THAT(getresuid(&ids.real, &ids.effective, &ids.saved), SyscallSucceeds());
  return ids;
}
Ids Gids() {
  Ids ids;
  EXPECT_THAT(getresgid(&ids.real, &ids.effective, &ids.saved), SyscallSucceeds());
  return ids;
}
// The fourth, that no call returns without setting it.
uid_t FsUid() { return static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1))); }
gid_t FsGid() { return static_cast<gid_t>(setfsgid(static_cast<gid_t>(-1))); }

// libc's wrappers change all threads by signals; these tests are about the calls.
long RawSetresuid(uid_t r, uid_t e, uid_t s) { return syscall(SYS_setresuid, r, e, s); }
long RawSetresgid(gid_t r, gid_t e, gid_t s) { return syscall(SYS_setresgid, r, e, s); }
constexpr uid_t kKeep = static_cast<uid_t>(-1);

// Prints real, effective and saved uid and gid.
MOAT_TEST_ROLE(PrintIds) {
  const Ids u = Uids(), g = Gids();
  dprintf(1, "%u %u %u %u %u %u", u.real, u.effective, u.saved, g.real, g.effective, g.saved);
  return 0;
}

class CredentialsTest : public testing::Test {
 protected:
  void SetUp() override { SKIP_IF_NOT_ROOT(); }
};

TEST_F(CredentialsTest, RootsSetuidSetsAllIds) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setuid(1000), SyscallSucceeds());
                EXPECT_EQ(Uids(), (Ids{1000, 1000, 1000}));
                EXPECT_EQ(FsUid(), 1000u);
                EXPECT_THAT(setuid(0), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(setuid(1000), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, UsersSetuidSetsTheEffectiveIdOnly) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(RawSetresuid(1000, 1000, 1001), SyscallSucceeds());
                EXPECT_THAT(syscall(SYS_setuid, 1001), SyscallSucceeds());
                EXPECT_EQ(Uids(), (Ids{1000, 1001, 1001}));
                EXPECT_THAT(syscall(SYS_setuid, 1002), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, SeteuidCanComeBack) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(seteuid(1000), SyscallSucceeds());
                EXPECT_EQ(Uids(), (Ids{0, 1000, 0}));
                EXPECT_THAT(seteuid(2000), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(seteuid(0), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, SetresuidAllowsOnlyTheOwnIdsToUsers) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(RawSetresuid(1, 2, 3), SyscallSucceeds());
                EXPECT_EQ(Uids(), (Ids{1, 2, 3}));
                EXPECT_THAT(RawSetresuid(3, 1, 2), SyscallSucceeds());
                EXPECT_EQ(Uids(), (Ids{3, 1, 2}));
                EXPECT_THAT(RawSetresuid(4, kKeep, kKeep), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(RawSetresuid(kKeep, 4, kKeep), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(RawSetresuid(kKeep, kKeep, 4), SyscallFailsWithErrno(EPERM));
                EXPECT_EQ(Uids(), (Ids{3, 1, 2}));
                EXPECT_THAT(RawSetresuid(kKeep, kKeep, kKeep), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, SetreuidUpdatesTheSavedId) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(syscall(SYS_setreuid, 1000, 1001), SyscallSucceeds());
                EXPECT_EQ(Uids(), (Ids{1000, 1001, 1001}));
                EXPECT_THAT(syscall(SYS_setreuid, 1001, 1000), SyscallSucceeds());
                EXPECT_EQ(Uids(), (Ids{1001, 1000, 1000}));
                EXPECT_THAT(syscall(SYS_setreuid, 5, kKeep), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, GroupCallsFollowTheSameRules) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(RawSetresgid(10, 20, 30), SyscallSucceeds());
                ASSERT_THAT(RawSetresuid(1, 1, 1), SyscallSucceeds());
                EXPECT_EQ(Gids(), (Ids{10, 20, 30}));
                EXPECT_THAT(RawSetresgid(30, 10, 20), SyscallSucceeds());
                EXPECT_THAT(RawSetresgid(99, kKeep, kKeep), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(syscall(SYS_setgid, 99), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(syscall(SYS_setgid, 20), SyscallSucceeds());
                EXPECT_EQ(Gids(), (Ids{30, 20, 20}));
                EXPECT_THAT(syscall(SYS_setregid, 99, kKeep), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, MinusOneIsNoId) {
  EXPECT_THAT(syscall(SYS_setuid, kKeep), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_setgid, kKeep), SyscallFailsWithErrno(EINVAL));
}

TEST_F(CredentialsTest, FsuidFollowsTheEffectiveIdAndCanDiffer) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_EQ(setfsuid(1000), 0);
                EXPECT_EQ(FsUid(), 1000u);
                EXPECT_EQ(geteuid(), 0u);
                ASSERT_THAT(RawSetresuid(kKeep, 2000, kKeep), SyscallSucceeds());
                EXPECT_EQ(FsUid(), 2000u);
                EXPECT_EQ(setfsuid(3000), 2000);  // refused: none of the own ids
                EXPECT_EQ(FsUid(), 2000u);
                EXPECT_EQ(setfsuid(0), 2000);
                EXPECT_EQ(FsUid(), 0u);
                EXPECT_EQ(setfsgid(500), 0);
                EXPECT_EQ(FsGid(), 0u);  // without CAP_SETGID and no own id
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, FsuidDecidesOwnershipAndAccess) {
  TempDir dir(0777);
  const std::string secret = dir.CreateFile("secret", "s", 0600);
  EXPECT_THAT(RunInChild([&] {
                setfsuid(4321);
                FileDescriptor fd = Open(dir.Path("made"), O_CREAT | O_WRONLY, 0600);
                struct stat st;
                ASSERT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
                EXPECT_EQ(st.st_uid, 4321u);
                EXPECT_THAT(open(secret.c_str(), O_RDONLY), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, SupplementaryGroupsAreSetAndRead) {
  EXPECT_THAT(RunInChild([] {
                const std::vector<gid_t> groups = {7, 3, 100000};
                ASSERT_THAT(setgroups(groups.size(), groups.data()), SyscallSucceeds());
                EXPECT_THAT(getgroups(0, nullptr), SyscallSucceedsWithValue(3));
                std::vector<gid_t> got(3);
                ASSERT_THAT(getgroups(3, got.data()), SyscallSucceedsWithValue(3));
                std::sort(got.begin(), got.end());
                EXPECT_EQ(got, (std::vector<gid_t>{3, 7, 100000}));
                EXPECT_THAT(getgroups(2, got.data()), SyscallFailsWithErrno(EINVAL));
                EXPECT_THAT(syscall(SYS_getgroups, -1, got.data()), SyscallFailsWithErrno(EINVAL));
                EXPECT_THAT(syscall(SYS_getgroups, 3, BadPointer()), SyscallFailsWithErrno(EFAULT));
                ASSERT_THAT(setgroups(0, nullptr), SyscallSucceeds());
                EXPECT_THAT(getgroups(0, nullptr), SyscallSucceedsWithValue(0));
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, SetgroupsErrors) {
  EXPECT_THAT(syscall(SYS_setgroups, 65537, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_setgroups, 1, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(
      RunAsUser([] { EXPECT_THAT(syscall(SYS_setgroups, 0, nullptr), SyscallFailsWithErrno(EPERM)); }),
      ExitedWith(0));
}

TEST_F(CredentialsTest, SupplementaryGroupGivesAccess) {
  TempDir dir(0755);
  const std::string path = dir.CreateFile("f", "x", 0640);
  ASSERT_THAT(chown(path.c_str(), 0, 777), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&] {
                const gid_t group = 777;
                ASSERT_THAT(setgroups(1, &group), SyscallSucceeds());
                ASSERT_THAT(RawSetresgid(10, 10, 10), SyscallSucceeds());
                ASSERT_THAT(RawSetresuid(10, 10, 10), SyscallSucceeds());
                EXPECT_THAT(open(path.c_str(), O_RDONLY), SyscallSucceeds());
                EXPECT_THAT(open(path.c_str(), O_RDWR), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(open(path.c_str(), O_RDONLY), SyscallFailsWithErrno(EACCES)); }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, IdsAreInheritedByFork) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(RawSetresgid(4, 5, 6), SyscallSucceeds());
                ASSERT_THAT(RawSetresuid(1, 2, 3), SyscallSucceeds());
                EXPECT_THAT(RunInChild([] {
                              EXPECT_EQ(Uids(), (Ids{1, 2, 3}));
                              EXPECT_EQ(Gids(), (Ids{4, 5, 6}));
                            }),
                            ExitedWith(0));
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, RawCallsChangeOneThreadAndLibcsChangeAll) {
  EXPECT_THAT(RunInChild([] {
                Gate check;
                std::atomic<uid_t> seen{99};
                ScopedThread thread([&] {
                  check.Wait();
                  seen = static_cast<uid_t>(syscall(SYS_geteuid));
                  check.Wait();
                  seen = static_cast<uid_t>(syscall(SYS_geteuid));
                });
                ASSERT_THAT(RawSetresuid(kKeep, 1000, kKeep), SyscallSucceeds());
                check.Open();
                EXPECT_TRUE(Eventually([&] { return seen != 99; }));
                EXPECT_EQ(seen, 0u);
                ASSERT_THAT(RawSetresuid(kKeep, 0, kKeep), SyscallSucceeds());
                ASSERT_THAT(seteuid(2000), SyscallSucceeds());
                check.Open();
                EXPECT_TRUE(Eventually([&] { return seen == 2000; }));
              }),
              ExitedWith(0));
}

TEST_F(CredentialsTest, StatusShowsAllFourIds) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(RawSetresuid(11, 12, 13), SyscallSucceeds());
                EXPECT_EQ(StatusField(gettid(), "Uid"), "11\t12\t13\t12");
              }),
              ExitedWith(0));
}

// What PrintIds says when the file `path` is executed by `uid`.
std::string IdsAfterExec(const std::string& path, uid_t uid, bool no_new_privs = false) {
  int fds[2];
  EXPECT_THAT(pipe2(fds, O_CLOEXEC), SyscallSucceeds());
  EXPECT_THAT(RunAsUser(
                  [&] {
                    if (no_new_privs) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                    dup2(fds[1], 1);
                    ExecRole("PrintIds", {"x"}, {}, path);
                    _exit(127);
                  },
                  uid, uid),
              ExitedWith(0));
  close(fds[1]);
  char text[128] = {};
  EXPECT_GT(read(fds[0], text, sizeof(text) - 1), 0);
  close(fds[0]);
  return text;
}

class SetIdExecTest : public CredentialsTest {
 protected:
  std::string Program(mode_t mode) {
    const std::string path = dir_.CreateFile("p", Slurp("/proc/self/exe"), 0755);
    EXPECT_THAT(chown(path.c_str(), 555, 666), SyscallSucceeds());
    EXPECT_THAT(chmod(path.c_str(), mode), SyscallSucceeds());
    return path;
  }
  TempDir dir_{0755};
};

TEST_F(SetIdExecTest, SetUserIdBitSetsEffectiveAndSavedId) {
  EXPECT_EQ(IdsAfterExec(Program(04755), 1000), "1000 555 555 1000 1000 1000");
}

TEST_F(SetIdExecTest, SetGroupIdBitSetsEffectiveAndSavedId) {
  EXPECT_EQ(IdsAfterExec(Program(02755), 1000), "1000 1000 1000 1000 666 666");
}

TEST_F(SetIdExecTest, SetGroupIdBitWithoutGroupExecuteDoesNothing) {
  EXPECT_EQ(IdsAfterExec(Program(02745), 1000), "1000 1000 1000 1000 1000 1000");
}

TEST_F(SetIdExecTest, NoNewPrivilegesDisablesBoth) {
  EXPECT_EQ(IdsAfterExec(Program(06755), 1000, true), "1000 1000 1000 1000 1000 1000");
}

TEST_F(SetIdExecTest, PlainExecCopiesTheEffectiveIdToTheSaved) {
  const std::string path = Program(0755);
  int fds[2];
  ASSERT_THAT(pipe2(fds, O_CLOEXEC), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&]() -> int {
                RawSetresuid(1, 2, 3);
                dup2(fds[1], 1);
                ExecRole("PrintIds", {"x"}, {}, path);
                return 127;
              }),
              ExitedWith(0));
  char text[128] = {};
  EXPECT_GT(read(fds[0], text, sizeof(text) - 1), 0);
  EXPECT_EQ(std::string(text), "1 2 2 0 0 0");
  close(fds[0]);
  close(fds[1]);
}

TEST_F(CredentialsTest, ResidCallsCheckTheirPointers) {
  uid_t id;
  EXPECT_THAT(syscall(SYS_getresuid, BadPointer(), &id, &id), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_getresuid, &id, BadPointer(), &id), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_getresgid, &id, &id, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
