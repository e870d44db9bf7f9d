// Who may do what: access(2), mode bits by user and group, capabilities, sticky and set-group-ID directories.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

// Everything here compares root with other users.
class Permission : public testing::Test {
 protected:
  void SetUp() override { SKIP_IF_NOT_ROOT(); }

  // A file of the given owner, group and mode.
  std::string File(const std::string& name, uid_t uid, gid_t gid, mode_t mode) {
    const std::string path = dir_.CreateFile(name, "data");
    EXPECT_THAT(chown(path.c_str(), uid, gid), SyscallSucceeds());
    EXPECT_THAT(chmod(path.c_str(), mode), SyscallSucceeds());
    return path;
  }
  std::string Dir(const std::string& name, uid_t uid, gid_t gid, mode_t mode) {
    const std::string path = dir_.CreateDir(name);
    EXPECT_THAT(chown(path.c_str(), uid, gid), SyscallSucceeds());
    EXPECT_THAT(chmod(path.c_str(), mode), SyscallSucceeds());
    return path;
  }
  static bool CanOpen(const std::string& path, int flags) {
    return FileDescriptor(open(path.c_str(), flags)).valid();
  }

  TempDir dir_{0755};
};

TEST_F(Permission, OwnerBitsDecideForTheOwnerAlone) {
  const std::string path = File("a", kOtherUid, kOtherGid, 0077);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(open(path.c_str(), O_RDONLY), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(open(path.c_str(), O_WRONLY), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
}

TEST_F(Permission, GroupBitsDecideForTheGroup) {
  const std::string no = File("no", 0, kOtherGid, 0707), yes = File("yes", 0, kOtherGid, 0060);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_FALSE(CanOpen(no, O_RDONLY));
                EXPECT_TRUE(CanOpen(yes, O_RDWR));
              }),
              ExitedWith(0));
}

TEST_F(Permission, SupplementaryGroupsCount) {
  const std::string path = File("a", 0, 7777, 0040);
  EXPECT_THAT(RunInChild([&] {
                const gid_t groups[] = {1111, 7777};
                ASSERT_THAT(setgroups(2, groups), SyscallSucceeds());
                ASSERT_THAT(setresgid(kOtherGid, kOtherGid, kOtherGid), SyscallSucceeds());
                ASSERT_THAT(setresuid(kOtherUid, kOtherUid, kOtherUid), SyscallSucceeds());
                EXPECT_TRUE(CanOpen(path, O_RDONLY));
                EXPECT_FALSE(CanOpen(path, O_WRONLY));
              }),
              ExitedWith(0));
}

TEST_F(Permission, OtherBitsDecideForTheRest) {
  const std::string path = File("a", 0, 0, 0774);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_TRUE(CanOpen(path, O_RDONLY));
                EXPECT_FALSE(CanOpen(path, O_RDWR));
                EXPECT_THAT(open(path.c_str(), O_RDONLY | O_TRUNC), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
}

TEST_F(Permission, RootReadsAndWritesAnything) {
  const std::string path = File("a", kOtherUid, kOtherGid, 0000);
  EXPECT_TRUE(CanOpen(path, O_RDWR));
  EXPECT_THAT(access(path.c_str(), R_OK | W_OK), SyscallSucceeds());
  EXPECT_THAT(access(path.c_str(), X_OK), SyscallFailsWithErrno(EACCES));
  ASSERT_THAT(chmod(path.c_str(), 0001), SyscallSucceeds());
  EXPECT_THAT(access(path.c_str(), X_OK), SyscallSucceeds());
}

TEST_F(Permission, RootWithoutCapabilitiesIsAnOrdinaryUser) {
  const std::string path = File("a", kOtherUid, kOtherGid, 0600);
  EXPECT_THAT(RunInChild([&] {
                __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
                __user_cap_data_struct none[2] = {};
                ASSERT_THAT(syscall(SYS_capset, &header, none), SyscallSucceeds());
                EXPECT_EQ(geteuid(), 0u);
                EXPECT_THAT(open(path.c_str(), O_RDONLY), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(chmod(path.c_str(), 0777), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST_F(Permission, SearchNeedsExecuteOnEveryDirectory) {
  const std::string closed = Dir("closed", 0, 0, 0766);
  dir_.CreateFile("closed/file", "x", 0777);
  EXPECT_THAT(RunAsUser([&] {
                struct stat st;
                EXPECT_THAT(stat((closed + "/file").c_str(), &st), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(stat((closed + "/none").c_str(), &st), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(stat((closed + "/..").c_str(), &st), SyscallFailsWithErrno(EACCES));
                // Reading its names is another right.
                EXPECT_TRUE(CanOpen(closed, O_RDONLY | O_DIRECTORY));
              }),
              ExitedWith(0));
}

TEST_F(Permission, ListingNeedsReadOnTheDirectory) {
  const std::string dark = Dir("dark", 0, 0, 0711);
  dir_.CreateFile("dark/file", "x", 0644);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_FALSE(CanOpen(dark, O_RDONLY | O_DIRECTORY));
                EXPECT_EQ(ReadFile(dark + "/file"), "x");
              }),
              ExitedWith(0));
}

TEST_F(Permission, ChangingEntriesNeedsWriteAndSearch) {
  const std::string readonly = Dir("readonly", 0, 0, 0755);
  dir_.CreateFile("readonly/file", "x", 0666);
  EXPECT_THAT(RunAsUser([&] {
                const std::string file = readonly + "/file", fresh = readonly + "/fresh";
                EXPECT_THAT(unlink(file.c_str()), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(open(fresh.c_str(), O_CREAT | O_RDWR, 0600), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(mkdir(fresh.c_str(), 0700), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(symlink("x", fresh.c_str()), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(mkdir(file.c_str(), 0700), SyscallFailsWithErrno(EEXIST));
                // Opening what exists with O_CREAT changes no entry.
                EXPECT_TRUE(CanOpen(file, O_CREAT | O_RDWR));
              }),
              ExitedWith(0));
}

TEST_F(Permission, StickyDirectoryProtectsOthersFiles) {
  const std::string sticky = Dir("sticky", 0, 0, 01777);
  const std::string theirs = File("sticky/theirs", 0, 0, 0666);
  const std::string mine = File("sticky/mine", kOtherUid, 0, 0600);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(unlink(theirs.c_str()), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(rename(theirs.c_str(), (sticky + "/x").c_str()), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(rename(mine.c_str(), theirs.c_str()), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(rename(mine.c_str(), (sticky + "/y").c_str()), SyscallSucceeds());
                EXPECT_THAT(unlink((sticky + "/y").c_str()), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST_F(Permission, StickyDirectorysOwnerMayRemoveAnything) {
  const std::string sticky = Dir("sticky", kOtherUid, 0, 01777);
  const std::string theirs = File("sticky/theirs", 0, 0, 0600);
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(unlink(theirs.c_str()), SyscallSucceeds()); }), ExitedWith(0));
}

TEST_F(Permission, SetgidDirectoryPassesItsGroupOn) {
  const std::string shared = Dir("shared", 0, 4242, 02777);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_TRUE(Open(shared + "/file", O_CREAT | O_RDWR, 0640).valid());
                EXPECT_THAT(mkdir((shared + "/dir").c_str(), 0755), SyscallSucceeds());
              }),
              ExitedWith(0));
  struct stat st;
  ASSERT_THAT(stat((shared + "/file").c_str(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_gid, 4242u);
  EXPECT_EQ(st.st_uid, kOtherUid);
  ASSERT_THAT(stat((shared + "/dir").c_str(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_gid, 4242u);
  EXPECT_NE(st.st_mode & S_ISGID, 0u);
}

TEST_F(Permission, AccessUsesTheRealIdsAndOpenTheEffective) {
  const std::string path = File("a", kOtherUid, 0, 0600);
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(setresuid(kOtherUid + 1, kOtherUid, 0), SyscallSucceeds());
                EXPECT_TRUE(CanOpen(path, O_RDWR));
                EXPECT_THAT(access(path.c_str(), R_OK), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST_F(Permission, FsuidAloneDecidesAboutFiles) {
  const std::string path = File("a", kOtherUid, 0, 0600);
  EXPECT_THAT(RunInChild([&] {
                setfsuid(kOtherUid + 1);
                EXPECT_FALSE(CanOpen(path, O_RDONLY));
                setfsuid(kOtherUid);
                EXPECT_TRUE(CanOpen(path, O_RDONLY));
              }),
              ExitedWith(0));
}

TEST_F(Permission, DescriptorsKeepWhatTheyWereOpenedWith) {
  const std::string path = File("a", 0, 0, 0600);
  FileDescriptor fd = Open(path, O_RDWR);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_EQ(ReadAll(fd.get()), "data");
                EXPECT_TRUE(WriteAll(fd.get(), "more"));
                EXPECT_THAT(fchmod(fd.get(), 0666), SyscallFailsWithErrno(EPERM));
                // Opening it again through /proc is a new check.
                const std::string again = "/proc/self/fd/" + std::to_string(fd.get());
                EXPECT_THAT(open(again.c_str(), O_RDWR), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
}

TEST_F(Permission, SymlinkModesDoNotMatter) {
  const std::string file = File("a", 0, 0, 0604);
  const std::string link = dir_.CreateSymlink("link", "a");
  EXPECT_THAT(RunAsUser([&] { EXPECT_TRUE(CanOpen(link, O_RDONLY)); }), ExitedWith(0));
}

TEST(Access, ChecksExistenceAndModes) {
  TempFile file("", 0600);
  const char* path = file.path().c_str();
  EXPECT_THAT(access(path, F_OK), SyscallSucceeds());
  EXPECT_THAT(access(path, R_OK | W_OK), SyscallSucceeds());
  EXPECT_THAT(access(path, X_OK), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(access(file.dir().Path("none").c_str(), F_OK), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(access((file.path() + "/x").c_str(), F_OK), SyscallFailsWithErrno(ENOTDIR));
}

TEST(Access, BadArguments) {
  TempFile file;
  EXPECT_THAT(access(file.path().c_str(), 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(access(BadPointer<char>(), F_OK), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_faccessat2, AT_FDCWD, file.path().c_str(), F_OK, 0x8),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_faccessat, -1, "x", F_OK), SyscallFailsWithErrno(EBADF));
}

TEST(Access, Faccessat2KnowsLinksAndDescriptors) {
  TempDir dir;
  const std::string dangling = dir.CreateSymlink("dangling", "none");
  EXPECT_THAT(syscall(SYS_faccessat2, AT_FDCWD, dangling.c_str(), F_OK, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(syscall(SYS_faccessat2, AT_FDCWD, dangling.c_str(), F_OK, AT_SYMLINK_NOFOLLOW),
              SyscallSucceeds());
  FileDescriptor fd = Open(dir.path(), O_PATH);
  EXPECT_THAT(syscall(SYS_faccessat2, fd.get(), "", R_OK, AT_EMPTY_PATH), SyscallSucceeds());
  EXPECT_THAT(syscall(SYS_faccessat2, fd.get(), "", R_OK, 0), SyscallFailsWithErrno(ENOENT));
}

}  // namespace
}  // namespace moat::test
