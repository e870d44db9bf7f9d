// stat(2), lstat(2), fstat(2), fstatat(2), statx(2), statfs(2) and the times that calls update.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

struct stat Stat(const std::string& path) {
  struct stat st = {};
  EXPECT_THAT(stat(path.c_str(), &st), SyscallSucceeds()) << path;
  return st;
}

bool Before(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

TEST(Stat, DescribesARegularFile) {
  TempFile file("12345", 0640);
  const struct stat st = Stat(file.path());
  EXPECT_EQ(st.st_mode, S_IFREG | 0640u);
  EXPECT_EQ(st.st_size, 5);
  EXPECT_EQ(st.st_nlink, 1u);
  EXPECT_EQ(st.st_uid, geteuid());
  EXPECT_GT(st.st_blksize, 0);
  EXPECT_NE(st.st_ino, 0u);
  EXPECT_EQ(st.st_dev, Stat(file.dir().path()).st_dev);
}

TEST(Stat, AllFormsAgree) {
  TempFile file("12345");
  FileDescriptor fd = file.Open(), dir = Open(file.dir().path(), O_PATH);
  const struct stat by_path = Stat(file.path());
  struct stat by_fd = {}, by_at = {}, by_empty = {};
  ASSERT_THAT(fstat(fd.get(), &by_fd), SyscallSucceeds());
  ASSERT_THAT(fstatat(dir.get(), "file", &by_at, 0), SyscallSucceeds());
  ASSERT_THAT(fstatat(fd.get(), "", &by_empty, AT_EMPTY_PATH), SyscallSucceeds());
  for (const struct stat& st : {by_fd, by_at, by_empty}) {
    EXPECT_EQ(st.st_ino, by_path.st_ino);
    EXPECT_EQ(st.st_dev, by_path.st_dev);
    EXPECT_EQ(st.st_mode, by_path.st_mode);
    EXPECT_EQ(st.st_size, by_path.st_size);
    EXPECT_EQ(st.st_ctim.tv_nsec, by_path.st_ctim.tv_nsec);
  }
}

TEST(Stat, LstatSeesTheLink) {
  TempDir dir;
  dir.CreateFile("file", "12345");
  const std::string link = dir.CreateSymlink("link", "file");
  struct stat st;
  ASSERT_THAT(lstat(link.c_str(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_mode, S_IFLNK | 0777u);
  EXPECT_EQ(st.st_size, 4);
  EXPECT_EQ(Stat(link).st_size, 5);
  ASSERT_THAT(fstatat(AT_FDCWD, link.c_str(), &st, AT_SYMLINK_NOFOLLOW), SyscallSucceeds());
  EXPECT_TRUE(S_ISLNK(st.st_mode));
  // A trailing slash follows, and then wants a directory.
  EXPECT_THAT(lstat((link + "/").c_str(), &st), SyscallFailsWithErrno(ENOTDIR));
}

TEST(Stat, BadArguments) {
  TempFile file;
  struct stat st;
  EXPECT_THAT(stat(file.dir().Path("none").c_str(), &st), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(stat("", &st), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(stat(BadPointer<char>(), &st), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_stat, file.path().c_str(), BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_fstat, -1, &st), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fstatat(AT_FDCWD, file.path().c_str(), &st, 0x8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fstatat(-1, "file", &st, 0), SyscallFailsWithErrno(EBADF));
}

TEST(Stat, FileTypes) {
  TempDir dir;
  EXPECT_TRUE(S_ISDIR(Stat(dir.path()).st_mode));
  const struct stat null = Stat("/dev/null");
  EXPECT_TRUE(S_ISCHR(null.st_mode));
  EXPECT_EQ(null.st_rdev, makedev(1, 3));
  EXPECT_EQ(Stat("/dev/zero").st_rdev, makedev(1, 5));
  ASSERT_THAT(mkfifo(dir.Path("fifo").c_str(), 0600), SyscallSucceeds());
  EXPECT_TRUE(S_ISFIFO(Stat(dir.Path("fifo")).st_mode));
  Pipe pipe;
  struct stat st;
  ASSERT_THAT(fstat(pipe.reader.get(), &st), SyscallSucceeds());
  EXPECT_TRUE(S_ISFIFO(st.st_mode));
  const ino_t ino = st.st_ino;
  ASSERT_THAT(fstat(pipe.writer.get(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_ino, ino);
}

TEST(Stat, DirectoryLinkCountFollowsItsSubdirectories) {
  TempDir dir;
  const nlink_t before = Stat(dir.path()).st_nlink;
  dir.CreateDir("a");
  dir.CreateFile("b");
  const nlink_t after = Stat(dir.path()).st_nlink;
  // Two of its own plus one for each subdirectory; file systems that do not count say 1.
  EXPECT_TRUE((before == 2 && after == 3) || (before == 1 && after == 1)) << before << " " << after;
}

TEST(Stat, BlocksGrowWithData) {
  TempFile file;
  EXPECT_EQ(Stat(file.path()).st_blocks, 0);
  WriteFile(file.path(), std::string(100000, 'x'));
  FileDescriptor fd = file.Open();
  ASSERT_THAT(fsync(fd.get()), SyscallSucceeds());
  EXPECT_GE(Stat(file.path()).st_blocks, 100000 / 512);
}

TEST(Times, WriteUpdatesModificationAndChangeOnly) {
  TempFile file("abc");
  const struct stat before = Stat(file.path());
  SleepMs(20);
  FileDescriptor fd = file.Open();
  EXPECT_TRUE(WriteAll(fd.get(), "x"));
  const struct stat after = Stat(file.path());
  EXPECT_TRUE(Before(before.st_mtim, after.st_mtim));
  EXPECT_TRUE(Before(before.st_ctim, after.st_ctim));
  EXPECT_FALSE(Before(before.st_atim, after.st_atim));
}

TEST(Times, ChmodUpdatesChangeOnly) {
  TempFile file("abc");
  const struct stat before = Stat(file.path());
  SleepMs(20);
  ASSERT_THAT(chmod(file.path().c_str(), 0600), SyscallSucceeds());
  const struct stat after = Stat(file.path());
  EXPECT_TRUE(Before(before.st_ctim, after.st_ctim));
  EXPECT_FALSE(Before(before.st_mtim, after.st_mtim));
}

TEST(Times, EntryChangesUpdateTheDirectory) {
  TempDir dir;
  struct stat before = Stat(dir.path());
  SleepMs(20);
  dir.CreateFile("new");
  struct stat after = Stat(dir.path());
  EXPECT_TRUE(Before(before.st_mtim, after.st_mtim));
  EXPECT_TRUE(Before(before.st_ctim, after.st_ctim));
  before = after;
  SleepMs(20);
  ASSERT_THAT(rename(dir.Path("new").c_str(), dir.Path("newer").c_str()), SyscallSucceeds());
  after = Stat(dir.path());
  EXPECT_TRUE(Before(before.st_mtim, after.st_mtim));
  before = after;
  SleepMs(20);
  ASSERT_THAT(unlink(dir.Path("newer").c_str()), SyscallSucceeds());
  EXPECT_TRUE(Before(before.st_mtim, Stat(dir.path()).st_mtim));
}

TEST(Times, LinkingUpdatesTheChangeTime) {
  TempFile file;
  const struct stat before = Stat(file.path());
  SleepMs(20);
  ASSERT_THAT(link(file.path().c_str(), file.dir().Path("other").c_str()), SyscallSucceeds());
  EXPECT_TRUE(Before(before.st_ctim, Stat(file.path()).st_ctim));
}

TEST(Statx, AgreesWithStat) {
  TempFile file("12345", 0604);
  const struct stat st = Stat(file.path());
  struct statx stx;
  memset(&stx, 0xaa, sizeof(stx));
  ASSERT_THAT(statx(AT_FDCWD, file.path().c_str(), 0, STATX_BASIC_STATS, &stx), SyscallSucceeds());
  EXPECT_EQ(stx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  EXPECT_EQ(stx.stx_mode, st.st_mode);
  EXPECT_EQ(stx.stx_size, 5u);
  EXPECT_EQ(stx.stx_ino, st.st_ino);
  EXPECT_EQ(stx.stx_nlink, 1u);
  EXPECT_EQ(makedev(stx.stx_dev_major, stx.stx_dev_minor), st.st_dev);
  EXPECT_EQ(stx.stx_mtime.tv_sec, st.st_mtim.tv_sec);
  EXPECT_EQ(stx.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
}

TEST(Statx, EmptyPathAndNofollow) {
  TempDir dir;
  const std::string link = dir.CreateSymlink("link", "nowhere");
  FileDescriptor fd = Open(dir.path(), O_PATH);
  struct statx stx;
  ASSERT_THAT(statx(fd.get(), "", AT_EMPTY_PATH, STATX_TYPE, &stx), SyscallSucceeds());
  EXPECT_TRUE(S_ISDIR(stx.stx_mode));
  ASSERT_THAT(statx(fd.get(), "link", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &stx), SyscallSucceeds());
  EXPECT_TRUE(S_ISLNK(stx.stx_mode));
  EXPECT_THAT(statx(fd.get(), "link", 0, STATX_TYPE, &stx), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(statx(fd.get(), "", 0, STATX_TYPE, &stx), SyscallFailsWithErrno(ENOENT));
}

TEST(Statx, BadArguments) {
  TempFile file;
  struct statx stx;
  const char* path = file.path().c_str();
  EXPECT_THAT(statx(AT_FDCWD, path, 0x40000000, STATX_BASIC_STATS, &stx), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(statx(AT_FDCWD, path, 0, 0x80000000u, &stx), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &stx),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_statx, AT_FDCWD, path, 0, STATX_BASIC_STATS, BadPointer()),
              SyscallFailsWithErrno(EFAULT));
}

TEST(Statfs, DescribesTheFileSystem) {
  TempFile file;
  FileDescriptor fd = file.Open();
  struct statfs by_path = {}, by_fd = {};
  ASSERT_THAT(statfs(file.path().c_str(), &by_path), SyscallSucceeds());
  ASSERT_THAT(fstatfs(fd.get(), &by_fd), SyscallSucceeds());
  EXPECT_EQ(by_path.f_type, by_fd.f_type);
  EXPECT_GT(by_path.f_bsize, 0);
  EXPECT_EQ(by_path.f_namelen, 255);
  EXPECT_LE(by_path.f_bfree, by_path.f_blocks);
  ASSERT_THAT(statfs("/proc", &by_path), SyscallSucceeds());
  EXPECT_EQ(by_path.f_type, 0x9fa0);
}

TEST(Statfs, BadArguments) {
  struct statfs st;
  EXPECT_THAT(statfs("/none/here", &st), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(statfs("/", BadPointer<struct statfs>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(fstatfs(-1, &st), SyscallFailsWithErrno(EBADF));
}

}  // namespace
}  // namespace moat::test
