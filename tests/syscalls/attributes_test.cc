// chmod(2), chown(2), umask(2), utimensat(2) and their relatives.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

struct stat Stat(const std::string& path) {
  struct stat st = {};
  EXPECT_THAT(lstat(path.c_str(), &st), SyscallSucceeds()) << path;
  return st;
}
unsigned Mode(const std::string& path) { return Stat(path).st_mode & 07777; }

TEST(Chmod, SetsAllTwelveBitsAndNoMore) {
  TempFile file;
  ASSERT_THAT(chmod(file.path().c_str(), 07777), SyscallSucceeds());
  EXPECT_EQ(Mode(file.path()), 07777u);
  ASSERT_THAT(chmod(file.path().c_str(), S_IFDIR | 0123), SyscallSucceeds());
  EXPECT_EQ(Stat(file.path()).st_mode, S_IFREG | 0123u);
}

TEST(Chmod, IgnoresTheUmask) {
  TempFile file;
  const mode_t old = umask(0777);
  EXPECT_THAT(chmod(file.path().c_str(), 0666), SyscallSucceeds());
  umask(old);
  EXPECT_EQ(Mode(file.path()), 0666u);
}

TEST(Chmod, ByDescriptorEvenReadOnly) {
  TempFile file;
  FileDescriptor fd = file.Open(O_RDONLY);
  ASSERT_THAT(fchmod(fd.get(), 0421), SyscallSucceeds());
  EXPECT_EQ(Mode(file.path()), 0421u);
  EXPECT_THAT(fchmod(-1, 0600), SyscallFailsWithErrno(EBADF));
}

TEST(Chmod, FollowsLinks) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  const std::string link = dir.CreateSymlink("link", "file");
  ASSERT_THAT(chmod(link.c_str(), 0611), SyscallSucceeds());
  EXPECT_EQ(Mode(file), 0611u);
  EXPECT_EQ(Mode(link), 0777u);
  EXPECT_THAT(chmod(dir.CreateSymlink("dangling", "none").c_str(), 0600), SyscallFailsWithErrno(ENOENT));
}

TEST(Chmod, OnlyTheOwnerMay) {
  SKIP_IF_NOT_ROOT();
  TempFile file("", 0666);
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(chmod(file.path().c_str(), 0777), SyscallFailsWithErrno(EPERM)); }),
              ExitedWith(0));
  ASSERT_THAT(chown(file.path().c_str(), kOtherUid, -1), SyscallSucceeds());
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(chmod(file.path().c_str(), 0700), SyscallSucceeds()); }),
              ExitedWith(0));
  EXPECT_EQ(Mode(file.path()), 0700u);
}

TEST(Chmod, SetgidIsDroppedForAForeignGroup) {
  SKIP_IF_NOT_ROOT();
  TempFile file;
  ASSERT_THAT(chown(file.path().c_str(), kOtherUid, 12345), SyscallSucceeds());
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(chmod(file.path().c_str(), 02775), SyscallSucceeds()); }),
              ExitedWith(0));
  EXPECT_EQ(Mode(file.path()), 0775u);
}

TEST(Chmod, BadArguments) {
  TempFile file;
  EXPECT_THAT(chmod(BadPointer<char>(), 0600), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(chmod((file.path() + "/x").c_str(), 0600), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(syscall(SYS_fchmodat, -1, "x", 0600), SyscallFailsWithErrno(EBADF));
}

TEST(Chown, ChangesUserAndGroupSeparately) {
  SKIP_IF_NOT_ROOT();
  TempFile file;
  ASSERT_THAT(chown(file.path().c_str(), 1234, -1), SyscallSucceeds());
  EXPECT_EQ(Stat(file.path()).st_uid, 1234u);
  EXPECT_EQ(Stat(file.path()).st_gid, getegid());
  ASSERT_THAT(chown(file.path().c_str(), -1, 4321), SyscallSucceeds());
  EXPECT_EQ(Stat(file.path()).st_uid, 1234u);
  EXPECT_EQ(Stat(file.path()).st_gid, 4321u);
}

TEST(Chown, LchownChangesTheLink) {
  SKIP_IF_NOT_ROOT();
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  const std::string link = dir.CreateSymlink("link", "file");
  ASSERT_THAT(lchown(link.c_str(), 77, 78), SyscallSucceeds());
  EXPECT_EQ(Stat(link).st_uid, 77u);
  EXPECT_EQ(Stat(file).st_uid, 0u);
  ASSERT_THAT(chown(link.c_str(), 79, 80), SyscallSucceeds());
  EXPECT_EQ(Stat(link).st_uid, 77u);
  EXPECT_EQ(Stat(file).st_uid, 79u);
}

TEST(Chown, ClearsSetuidAndSetgidOfExecutables) {
  SKIP_IF_NOT_ROOT();
  TempFile file("", 06755);
  ASSERT_THAT(chown(file.path().c_str(), 5, 6), SyscallSucceeds());
  EXPECT_EQ(Mode(file.path()), 0755u);
  // Set-group-ID without group execution marks something else and is kept for root.
  ASSERT_THAT(chmod(file.path().c_str(), 02644), SyscallSucceeds());
  ASSERT_THAT(chown(file.path().c_str(), 7, 8), SyscallSucceeds());
  EXPECT_EQ(Mode(file.path()), 02644u);
}

TEST(Chown, OwnersMayOnlyChooseTheirGroups) {
  SKIP_IF_NOT_ROOT();
  TempFile file;
  ASSERT_THAT(chown(file.path().c_str(), kOtherUid, kOtherGid), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&] {
                const gid_t extra = 5555;
                ASSERT_THAT(setgroups(1, &extra), SyscallSucceeds());
                ASSERT_THAT(setresgid(kOtherGid, kOtherGid, kOtherGid), SyscallSucceeds());
                ASSERT_THAT(setresuid(kOtherUid, kOtherUid, kOtherUid), SyscallSucceeds());
                const char* path = file.path().c_str();
                EXPECT_THAT(chown(path, 0, -1), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(chown(path, -1, 6666), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(chown(path, -1, 5555), SyscallSucceeds());
                EXPECT_THAT(chown(path, kOtherUid, kOtherGid), SyscallSucceeds());
                EXPECT_THAT(chown(path, -1, -1), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST(Chown, ByDescriptorAndEmptyPath) {
  SKIP_IF_NOT_ROOT();
  TempFile file;
  FileDescriptor fd = file.Open(O_RDONLY), path = file.Open(O_PATH);
  ASSERT_THAT(fchown(fd.get(), 11, 12), SyscallSucceeds());
  EXPECT_EQ(Stat(file.path()).st_uid, 11u);
  ASSERT_THAT(fchownat(path.get(), "", 13, 14, AT_EMPTY_PATH), SyscallSucceeds());
  EXPECT_EQ(Stat(file.path()).st_gid, 14u);
  EXPECT_THAT(fchown(path.get(), 1, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fchownat(AT_FDCWD, file.path().c_str(), 1, 1, 0x8), SyscallFailsWithErrno(EINVAL));
}

TEST(Umask, ReturnsTheFormerMaskOfNineBits) {
  const mode_t old = umask(0123);
  EXPECT_EQ(umask(07777), 0123u);
  EXPECT_EQ(umask(old), 0777u);
}

TEST(Umask, AppliesToEveryKindOfCreation) {
  TempDir dir;
  const mode_t old = umask(0077);
  EXPECT_THAT(mkdir(dir.Path("dir").c_str(), 0777), SyscallSucceeds());
  EXPECT_THAT(mkfifo(dir.Path("fifo").c_str(), 0666), SyscallSucceeds());
  EXPECT_THAT(mknod(dir.Path("node").c_str(), S_IFREG | 0666, 0), SyscallSucceeds());
  EXPECT_THAT(symlink("x", dir.Path("link").c_str()), SyscallSucceeds());
  umask(old);
  EXPECT_EQ(Mode(dir.Path("dir")), 0700u);
  EXPECT_EQ(Mode(dir.Path("fifo")), 0600u);
  EXPECT_EQ(Mode(dir.Path("node")), 0600u);
  EXPECT_EQ(Mode(dir.Path("link")), 0777u);
}

TEST(Umask, IsPerProcess) {
  const mode_t old = umask(022);
  EXPECT_THAT(RunInChild([] { umask(0); }), ExitedWith(0));
  EXPECT_EQ(umask(old), 022u);
}

TEST(Utimensat, SetsBothTimesToTheNanosecond) {
  TempFile file;
  const timespec times[2] = {{1000000001, 123456789}, {1000000002, 987654321}};
  ASSERT_THAT(utimensat(AT_FDCWD, file.path().c_str(), times, 0), SyscallSucceeds());
  const struct stat st = Stat(file.path());
  EXPECT_EQ(st.st_atim.tv_sec, 1000000001);
  EXPECT_EQ(st.st_atim.tv_nsec, 123456789);
  EXPECT_EQ(st.st_mtim.tv_sec, 1000000002);
  EXPECT_EQ(st.st_mtim.tv_nsec, 987654321);
  EXPECT_GT(st.st_ctim.tv_sec, 1000000002);
}

TEST(Utimensat, OmitAndNow) {
  TempFile file;
  const timespec base[2] = {{1000, 1}, {2000, 2}};
  ASSERT_THAT(utimensat(AT_FDCWD, file.path().c_str(), base, 0), SyscallSucceeds());
  const timespec mixed[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  ASSERT_THAT(utimensat(AT_FDCWD, file.path().c_str(), mixed, 0), SyscallSucceeds());
  const struct stat st = Stat(file.path());
  EXPECT_EQ(st.st_atim.tv_sec, 1000);
  EXPECT_GT(st.st_mtim.tv_sec, 2000);
  ASSERT_THAT(utimensat(AT_FDCWD, file.path().c_str(), nullptr, 0), SyscallSucceeds());
  EXPECT_GT(Stat(file.path()).st_atim.tv_sec, 2000);
}

TEST(Utimensat, OfASymlinkItself) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  const std::string link = dir.CreateSymlink("link", "file");
  const timespec times[2] = {{3000, 0}, {4000, 0}};
  ASSERT_THAT(utimensat(AT_FDCWD, link.c_str(), times, AT_SYMLINK_NOFOLLOW), SyscallSucceeds());
  EXPECT_EQ(Stat(link).st_mtim.tv_sec, 4000);
  EXPECT_GT(Stat(file).st_mtim.tv_sec, 4000);
}

TEST(Utimensat, BadArguments) {
  TempFile file;
  timespec times[2] = {{0, 1000000000}, {0, 0}};
  const char* path = file.path().c_str();
  EXPECT_THAT(utimensat(AT_FDCWD, path, times, 0), SyscallFailsWithErrno(EINVAL));
  times[0].tv_nsec = -1;
  EXPECT_THAT(utimensat(AT_FDCWD, path, times, 0), SyscallFailsWithErrno(EINVAL));
  times[0].tv_nsec = 0;
  EXPECT_THAT(utimensat(AT_FDCWD, path, times, 0x8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(utimensat(AT_FDCWD, path, BadPointer<timespec>(), 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(utimensat(AT_FDCWD, "/none", nullptr, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(futimens(-1, nullptr), SyscallFailsWithErrno(EBADF));
}

TEST(Utimensat, NowNeedsWriteAccessAndOthersOwnership) {
  SKIP_IF_NOT_ROOT();
  TempFile writable("", 0666), readable("", 0644);
  EXPECT_THAT(
      RunAsUser([&] {
        const timespec times[2] = {{1, 0}, {1, 0}};
        EXPECT_THAT(utimensat(AT_FDCWD, writable.path().c_str(), nullptr, 0), SyscallSucceeds());
        EXPECT_THAT(utimensat(AT_FDCWD, writable.path().c_str(), times, 0), SyscallFailsWithErrno(EPERM));
        EXPECT_THAT(utimensat(AT_FDCWD, readable.path().c_str(), nullptr, 0), SyscallFailsWithErrno(EACCES));
      }),
      ExitedWith(0));
}

TEST(Utimes, OldCallsSetCoarserTimes) {
  TempFile file;
  const timeval times[2] = {{100, 5}, {200, 6}};
  ASSERT_THAT(syscall(SYS_utimes, file.path().c_str(), times), SyscallSucceeds());
  EXPECT_EQ(Stat(file.path()).st_mtim.tv_nsec, 6000);
  const utimbuf buf = {300, 400};
  ASSERT_THAT(syscall(SYS_utime, file.path().c_str(), &buf), SyscallSucceeds());
  EXPECT_EQ(Stat(file.path()).st_mtim.tv_sec, 400);
  EXPECT_EQ(Stat(file.path()).st_mtim.tv_nsec, 0);
}

TEST(SetIdBits, WritingByAnUnprivilegedUserClearsThem) {
  SKIP_IF_NOT_ROOT();
  TempFile file("", 06777);
  EXPECT_THAT(RunAsUser([&] {
                FileDescriptor fd = file.Open(O_WRONLY);
                EXPECT_TRUE(WriteAll(fd.get(), "x"));
              }),
              ExitedWith(0));
  EXPECT_EQ(Mode(file.path()), 0777u);
}

TEST(SetIdBits, RootKeepsThemWhenWriting) {
  SKIP_IF_NOT_ROOT();
  TempFile file("", 06777);
  FileDescriptor fd = file.Open(O_WRONLY);
  EXPECT_TRUE(WriteAll(fd.get(), "x"));
  EXPECT_EQ(Mode(file.path()), 06777u);
}

}  // namespace
}  // namespace moat::test
