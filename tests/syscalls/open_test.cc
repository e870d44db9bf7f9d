// open(2), openat(2), creat(2): flags, creation and errors.
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/resource.h>
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

struct stat StatOf(const std::string& path) {
  struct stat st = {};
  EXPECT_THAT(lstat(path.c_str(), &st), SyscallSucceeds());
  return st;
}

TEST(Open, TakesTheLowestFreeDescriptor) {
  TempFile file;
  FileDescriptor a = file.Open(), b = file.Open(), c = file.Open();
  const int freed = b.get();
  b.Reset();
  FileDescriptor d = file.Open();
  EXPECT_EQ(d.get(), freed);
  EXPECT_GT(c.get(), d.get());
}

TEST(Open, OfMissingFileFails) {
  TempDir dir;
  EXPECT_THAT(open(dir.Path("none").c_str(), O_RDONLY), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(open(dir.Path("none/deeper").c_str(), O_RDONLY | O_CREAT, 0600), SyscallFailsWithErrno(ENOENT));
}

TEST(Open, BelowAFileFails) {
  TempFile file;
  EXPECT_THAT(open((file.path() + "/x").c_str(), O_RDONLY), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(open((file.path() + "/").c_str(), O_RDONLY), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(open((file.path() + "/.").c_str(), O_RDONLY), SyscallFailsWithErrno(ENOTDIR));
}

TEST(Open, BadPathPointerFaults) {
  EXPECT_THAT(open(BadPointer<char>(), O_RDONLY), SyscallFailsWithErrno(EFAULT));
  GuardedPage page;
  EXPECT_THAT(open(page.PutLast("/tmp"), O_RDONLY), SyscallFailsWithErrno(EFAULT));
}

TEST(Open, PathThatEndsAtAFaultingPageWorks) {
  GuardedPage page;
  FileDescriptor fd(open(page.PutLast(std::string_view("/dev/null\0", 10)), O_RDONLY));
  EXPECT_TRUE(fd.valid());
}

TEST(Open, EmptyPathIsMissing) {
  EXPECT_THAT(open("", O_RDONLY), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(open("", O_RDWR | O_CREAT, 0600), SyscallFailsWithErrno(ENOENT));
}

TEST(Open, CreatHonoursModeAndUmask) {
  TempDir dir;
  const mode_t old = umask(027);
  FileDescriptor a = Open(dir.Path("a"), O_CREAT | O_WRONLY, 0666);
  FileDescriptor b = Open(dir.Path("b"), O_CREAT | O_WRONLY, 07777);
  umask(old);
  EXPECT_EQ(StatOf(dir.Path("a")).st_mode, S_IFREG | 0640u);
  EXPECT_EQ(StatOf(dir.Path("b")).st_mode & 0777, 0750u);
}

TEST(Open, CreateWithReadOnlyModeStillGivesAWritableDescriptor) {
  TempDir dir;
  FileDescriptor fd = Open(dir.Path("a"), O_CREAT | O_EXCL | O_RDWR, 0400);
  EXPECT_THAT(write(fd.get(), "abc", 3), SyscallSucceedsWithValue(3));
  EXPECT_THAT(pread(fd.get(), std::string(3, '\0').data(), 3, 0), SyscallSucceedsWithValue(3));
}

TEST(Open, CreatLeavesAnExistingFilesModeAlone) {
  TempFile file("data", 0604);
  FileDescriptor fd = Open(file.path(), O_CREAT | O_WRONLY, 0777);
  EXPECT_EQ(StatOf(file.path()).st_mode & 07777, 0604u);
  EXPECT_EQ(StatOf(file.path()).st_size, 4);
}

TEST(Open, CreatCallTruncates) {
  TempFile file("data");
  FileDescriptor fd(creat(file.path().c_str(), 0600));
  ASSERT_TRUE(fd.valid());
  EXPECT_EQ(StatOf(file.path()).st_size, 0);
  char c;
  EXPECT_THAT(read(fd.get(), &c, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(
      fcntl(fd.get(), F_GETFL),
      SyscallSucceedsWithValue(testing::Truly([](long flags) { return (flags & O_ACCMODE) == O_WRONLY; })));
}

TEST(Open, ExclRefusesWhateverExists) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  const std::string sub = dir.CreateDir("dir");
  const std::string good = dir.CreateSymlink("good", file);
  const std::string dangling = dir.CreateSymlink("dangling", dir.Path("none"));
  for (const std::string& path : {file, sub, good, dangling}) {
    EXPECT_THAT(open(path.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600), SyscallFailsWithErrno(EEXIST)) << path;
  }
  EXPECT_THAT(access(dir.Path("none").c_str(), F_OK), SyscallFailsWithErrno(ENOENT));
}

TEST(Open, CreatThroughDanglingSymlinkCreatesItsTarget) {
  TempDir dir;
  const std::string link = dir.CreateSymlink("link", "target");
  FileDescriptor fd = Open(link, O_CREAT | O_WRONLY, 0600);
  EXPECT_TRUE(S_ISREG(StatOf(dir.Path("target")).st_mode));
  EXPECT_TRUE(S_ISLNK(StatOf(link).st_mode));
}

TEST(Open, CreatWithATrailingSlashIsEisdir) {
  TempDir dir;
  EXPECT_THAT(open(dir.Path("new/").c_str(), O_CREAT | O_WRONLY, 0600), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(access(dir.Path("new").c_str(), F_OK), SyscallFailsWithErrno(ENOENT));
}

TEST(Open, DirectoriesOpenOnlyForReading) {
  TempDir dir;
  FileDescriptor fd = Open(dir.path(), O_RDONLY);
  EXPECT_THAT(open(dir.path().c_str(), O_WRONLY), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(open(dir.path().c_str(), O_RDWR), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(open(dir.path().c_str(), O_RDONLY | O_TRUNC), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(open(dir.path().c_str(), O_RDONLY | O_CREAT, 0600), SyscallFailsWithErrno(EISDIR));
  char c;
  EXPECT_THAT(read(fd.get(), &c, 1), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(pread(fd.get(), &c, 1, 0), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(write(fd.get(), &c, 1), SyscallFailsWithErrno(EBADF));
}

TEST(Open, DirectoryFlagRefusesOtherFiles) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  const std::string to_dir = dir.CreateSymlink("to_dir", dir.path());
  EXPECT_THAT(open(file.c_str(), O_RDONLY | O_DIRECTORY), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_TRUE(Open(to_dir, O_RDONLY | O_DIRECTORY).valid());
  EXPECT_THAT(open(to_dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW), SyscallFailsWithErrno(ENOTDIR));
}

TEST(Open, DirectoryTogetherWithCreatIsInvalid) {
  TempDir dir;
  EXPECT_THAT(open(dir.Path("new").c_str(), O_CREAT | O_DIRECTORY, 0600), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(access(dir.Path("new").c_str(), F_OK), SyscallFailsWithErrno(ENOENT));
}

TEST(Open, NofollowRefusesOnlyALastSymlink) {
  TempDir dir;
  dir.CreateDir("real");
  dir.CreateFile("real/file");
  const std::string link = dir.CreateSymlink("link", "real/file");
  dir.CreateSymlink("dirlink", "real");
  EXPECT_THAT(open(link.c_str(), O_RDONLY | O_NOFOLLOW), SyscallFailsWithErrno(ELOOP));
  EXPECT_TRUE(Open(dir.Path("dirlink/file"), O_RDONLY | O_NOFOLLOW).valid());
  EXPECT_THAT(open(dir.CreateSymlink("gone", "none").c_str(), O_CREAT | O_NOFOLLOW | O_RDWR, 0600),
              SyscallFailsWithErrno(ELOOP));
}

TEST(Open, TruncEmptiesTheFile) {
  TempFile file("0123456789");
  FileDescriptor fd = Open(file.path(), O_WRONLY | O_TRUNC);
  EXPECT_EQ(StatOf(file.path()).st_size, 0);
}

TEST(Open, AppendWritesAtTheEndWhateverTheOffset) {
  TempFile file("0123");
  FileDescriptor a = file.Open(O_RDWR | O_APPEND);
  FileDescriptor b = file.Open(O_RDWR | O_APPEND);
  EXPECT_THAT(lseek(a.get(), 0, SEEK_SET), SyscallSucceedsWithValue(0));
  EXPECT_THAT(write(a.get(), "aa", 2), SyscallSucceedsWithValue(2));
  EXPECT_THAT(write(b.get(), "bb", 2), SyscallSucceedsWithValue(2));
  EXPECT_THAT(write(a.get(), "cc", 2), SyscallSucceedsWithValue(2));
  EXPECT_THAT(lseek(a.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(10));
  EXPECT_EQ(ReadFile(file.path()), "0123aabbcc");
  // On Linux a positional write to an appending file appends too, and moves nothing.
  EXPECT_THAT(pwrite(a.get(), "dd", 2, 0), SyscallSucceedsWithValue(2));
  EXPECT_EQ(ReadFile(file.path()), "0123aabbccdd");
  EXPECT_THAT(lseek(a.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(10));
}

TEST(Open, AccessModeLimitsReadingAndWriting) {
  TempFile file("data");
  char c = 'x';
  FileDescriptor reader = file.Open(O_RDONLY), writer = file.Open(O_WRONLY);
  EXPECT_THAT(write(reader.get(), &c, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(pwrite(reader.get(), &c, 1, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(ftruncate(reader.get(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(read(writer.get(), &c, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(pread(writer.get(), &c, 1, 0), SyscallFailsWithErrno(EBADF));
}

TEST(Open, TmpfileHasNoNameAndCanBeLinked) {
  TempDir dir;
  FileDescriptor fd(open(dir.path().c_str(), O_TMPFILE | O_RDWR, 0640));
  if (!fd.valid() && errno == EOPNOTSUPP) GTEST_SKIP() << "the file system has no O_TMPFILE";
  ASSERT_TRUE(fd.valid()) << ErrnoText(errno);
  struct stat st;
  ASSERT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_TRUE(S_ISREG(st.st_mode));
  EXPECT_TRUE(WriteAll(fd.get(), "hidden"));
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  const std::string name = dir.Path("named");
  EXPECT_THAT(linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW), SyscallSucceeds());
  EXPECT_EQ(ReadFile(name), "hidden");
  ASSERT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_nlink, 1u);
}

TEST(Open, TmpfileNeedsWriteAccessAndADirectory) {
  TempFile file;
  EXPECT_THAT(open(file.dir().path().c_str(), O_TMPFILE | O_RDONLY, 0600), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(open(file.path().c_str(), O_TMPFILE | O_RDWR, 0600), SyscallFailsWithErrno(ENOTDIR));
}

TEST(Open, PathDescriptorsOnlyName) {
  TempFile file("data");
  FileDescriptor fd = file.Open(O_PATH);
  char c = 0;
  EXPECT_THAT(read(fd.get(), &c, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(write(fd.get(), &c, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(lseek(fd.get(), 0, SEEK_SET), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(ftruncate(fd.get(), 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fchmod(fd.get(), 0600), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fsync(fd.get()), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(mmap(nullptr, 1, PROT_READ, MAP_PRIVATE, fd.get(), 0), SyscallFailsWithErrno(EBADF));
  struct stat st;
  EXPECT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_size, 4);
  FileDescriptor copy(dup(fd.get()));
  EXPECT_TRUE(copy.valid());
  EXPECT_THAT(fcntl(fd.get(), F_GETFL),
              SyscallSucceedsWithValue(testing::Truly([](long flags) { return (flags & O_PATH) != 0; })));
}

TEST(Open, PathDescriptorNeedsNoPermissionOnTheFile) {
  SKIP_IF_NOT_ROOT();
  TempFile file("secret", 0000);
  ASSERT_THAT(chmod(file.dir().path().c_str(), 0755), SyscallSucceeds());
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(open(file.path().c_str(), O_RDONLY), SyscallFailsWithErrno(EACCES));
                EXPECT_TRUE(Open(file.path(), O_PATH).valid());
              }),
              ExitedWith(0));
}

TEST(Open, PathNofollowOpensTheSymlinkItself) {
  TempDir dir;
  const std::string link = dir.CreateSymlink("link", "target text");
  FileDescriptor fd = Open(link, O_PATH | O_NOFOLLOW);
  struct stat st;
  ASSERT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  EXPECT_TRUE(S_ISLNK(st.st_mode));
  char buf[64];
  EXPECT_THAT(readlinkat(fd.get(), "", buf, sizeof(buf)), SyscallSucceedsWithValue(11));
  EXPECT_EQ(std::string(buf, 11), "target text");
}

TEST(Open, UnknownFlagsAreIgnored) {
  TempFile file;
  FileDescriptor fd(static_cast<int>(syscall(SYS_open, file.path().c_str(), O_RDONLY | 0x40000000, 0)));
  EXPECT_TRUE(fd.valid());
}

TEST(Open, CloexecShowsInTheDescriptorFlags) {
  TempFile file;
  FileDescriptor with = Open(file.path(), O_RDONLY | O_CLOEXEC), without = Open(file.path(), O_RDONLY);
  EXPECT_THAT(fcntl(with.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(fcntl(without.get(), F_GETFD), SyscallSucceedsWithValue(0));
  // It belongs to the descriptor, not to the description.
  EXPECT_EQ(fcntl(with.get(), F_GETFL) & O_CLOEXEC, 0);
}

TEST(Open, CreatedFileBelongsToTheCaller) {
  SKIP_IF_NOT_ROOT();
  TempDir dir(0777);
  EXPECT_THAT(RunAsUser([&] { EXPECT_TRUE(Open(dir.Path("mine"), O_CREAT | O_WRONLY, 0600).valid()); }),
              ExitedWith(0));
  EXPECT_EQ(StatOf(dir.Path("mine")).st_uid, kOtherUid);
  EXPECT_EQ(StatOf(dir.Path("mine")).st_gid, kOtherGid);
}

TEST(Openat, ResolvesBelowTheDirectoryUnlessAbsolute) {
  TempDir dir;
  dir.CreateFile("file", "here");
  FileDescriptor base = Open(dir.path(), O_RDONLY | O_DIRECTORY);
  FileDescriptor fd(openat(base.get(), "file", O_RDONLY));
  EXPECT_EQ(ReadAll(fd.get()), "here");
  FileDescriptor abs(openat(-1, dir.Path("file").c_str(), O_RDONLY));
  EXPECT_TRUE(abs.valid());
}

TEST(Openat, BadDirectoryDescriptors) {
  TempFile file;
  FileDescriptor fd = file.Open();
  EXPECT_THAT(openat(fd.get(), "x", O_RDONLY), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(openat(-1, "x", O_RDONLY), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(openat(9999, "x", O_RDONLY), SyscallFailsWithErrno(EBADF));
}

TEST(Openat, WorksBelowARemovedAndAMovedDirectory) {
  TempDir dir;
  const std::string sub = dir.CreateDir("sub");
  dir.CreateFile("sub/file");
  FileDescriptor base = Open(sub, O_PATH | O_DIRECTORY);
  ASSERT_THAT(rename(sub.c_str(), dir.Path("moved").c_str()), SyscallSucceeds());
  FileDescriptor fd(openat(base.get(), "file", O_RDONLY));
  EXPECT_TRUE(fd.valid());
  ASSERT_THAT(unlink(dir.Path("moved/file").c_str()), SyscallSucceeds());
  ASSERT_THAT(rmdir(dir.Path("moved").c_str()), SyscallSucceeds());
  EXPECT_THAT(openat(base.get(), "new", O_CREAT | O_RDWR, 0600), SyscallFailsWithErrno(ENOENT));
}

TEST(Open, FileStaysUsableAfterUnlink) {
  TempFile file("kept");
  FileDescriptor fd = file.Open();
  ASSERT_THAT(unlink(file.path().c_str()), SyscallSucceeds());
  EXPECT_EQ(ReadAll(fd.get()), "kept");
  EXPECT_TRUE(WriteAll(fd.get(), "more"));
  struct stat st;
  ASSERT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_EQ(st.st_size, 8);
}

TEST(Open, SocketFilesRefuse) {
  TempDir dir;
  ASSERT_THAT(mknod(dir.Path("sock").c_str(), S_IFSOCK | 0600, 0), SyscallSucceeds());
  EXPECT_THAT(open(dir.Path("sock").c_str(), O_RDWR), SyscallFailsWithErrno(ENXIO));
  EXPECT_TRUE(Open(dir.Path("sock"), O_PATH).valid());
}

TEST(Open, NumberOfDescriptorsIsLimited) {
  EXPECT_THAT(RunInChild([] {
                rlimit limit = {32, 32};
                ASSERT_THAT(setrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
                int fd;
                while ((fd = open("/dev/null", O_RDONLY)) >= 0) ASSERT_LT(fd, 32);
                EXPECT_EQ(errno, EMFILE);
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
