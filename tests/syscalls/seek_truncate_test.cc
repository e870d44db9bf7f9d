// lseek(2) with SEEK_DATA and SEEK_HOLE, truncate(2), ftruncate(2), fallocate(2).
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

struct stat Stat(const FileDescriptor& fd) {
  struct stat st = {};
  EXPECT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  return st;
}

TEST(Lseek, SetCurAndEnd) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(lseek(fd.get(), 4, SEEK_SET), SyscallSucceedsWithValue(4));
  EXPECT_THAT(lseek(fd.get(), -1, SEEK_CUR), SyscallSucceedsWithValue(3));
  EXPECT_EQ(ReadAll(fd.get(), 2), "34");
  EXPECT_THAT(lseek(fd.get(), -3, SEEK_END), SyscallSucceedsWithValue(7));
  EXPECT_THAT(lseek(fd.get(), 100, SEEK_END), SyscallSucceedsWithValue(110));
  EXPECT_EQ(ReadAll(fd.get()), "");
}

TEST(Lseek, NegativeResultsAreInvalidAndKeepTheOffset) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  ASSERT_THAT(lseek(fd.get(), 5, SEEK_SET), SyscallSucceeds());
  EXPECT_THAT(lseek(fd.get(), -1, SEEK_SET), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(lseek(fd.get(), -6, SEEK_CUR), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(lseek(fd.get(), -11, SEEK_END), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(lseek(fd.get(), 0, 99), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(lseek(fd.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(5));
}

TEST(Lseek, PipesAndSocketsCannotSeek) {
  Pipe pipe;
  EXPECT_THAT(lseek(pipe.reader.get(), 0, SEEK_CUR), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(lseek(-1, 0, SEEK_SET), SyscallFailsWithErrno(EBADF));
}

TEST(Lseek, DataAndHoleOfADenseFile) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(lseek(fd.get(), 3, SEEK_DATA), SyscallSucceedsWithValue(3));
  EXPECT_THAT(lseek(fd.get(), 3, SEEK_HOLE), SyscallSucceedsWithValue(10));
  EXPECT_THAT(lseek(fd.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(10));
}

TEST(Lseek, DataAndHoleBeyondTheEndAreEnxio) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(lseek(fd.get(), 10, SEEK_DATA), SyscallFailsWithErrno(ENXIO));
  EXPECT_THAT(lseek(fd.get(), 10, SEEK_HOLE), SyscallFailsWithErrno(ENXIO));
  EXPECT_THAT(lseek(fd.get(), -1, SEEK_DATA), SyscallFailsWithErrno(ENXIO));
}

TEST(Lseek, HolesAreSkippedOrReportedAsData) {
  constexpr off_t kData = 1 << 20;
  TempFile file;
  FileDescriptor fd = file.Open();
  ASSERT_THAT(pwrite(fd.get(), "data", 4, kData), SyscallSucceeds());
  // A file system may treat holes as data; one that knows them finds the data's page.
  EXPECT_THAT(lseek(fd.get(), 0, SEEK_DATA), SyscallSucceedsWithValue(testing::AnyOf(0, kData)));
  EXPECT_THAT(lseek(fd.get(), 0, SEEK_HOLE), SyscallSucceedsWithValue(testing::AnyOf(0, kData + 4)));
  EXPECT_THAT(lseek(fd.get(), kData, SEEK_DATA), SyscallSucceedsWithValue(kData));
  EXPECT_THAT(lseek(fd.get(), kData, SEEK_HOLE), SyscallSucceedsWithValue(kData + 4));
}

TEST(Truncate, ShrinksAndGrowsWithZeros) {
  TempFile file("0123456789");
  ASSERT_THAT(truncate(file.path().c_str(), 4), SyscallSucceeds());
  EXPECT_EQ(ReadFile(file.path()), "0123");
  ASSERT_THAT(truncate(file.path().c_str(), 6), SyscallSucceeds());
  EXPECT_EQ(ReadFile(file.path()), std::string("0123\0\0", 6));
}

TEST(Truncate, OldDataDoesNotComeBack) {
  TempFile file(std::string(10000, 'x'));
  FileDescriptor fd = file.Open();
  ASSERT_THAT(ftruncate(fd.get(), 5000), SyscallSucceeds());
  ASSERT_THAT(ftruncate(fd.get(), 10000), SyscallSucceeds());
  EXPECT_EQ(ReadAll(fd.get()), std::string(5000, 'x') + std::string(5000, '\0'));
}

TEST(Truncate, LeavesTheOffsetWhereItWas) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  ASSERT_THAT(lseek(fd.get(), 8, SEEK_SET), SyscallSucceeds());
  ASSERT_THAT(ftruncate(fd.get(), 2), SyscallSucceeds());
  EXPECT_THAT(lseek(fd.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(8));
  EXPECT_EQ(ReadAll(fd.get()), "");
}

TEST(Truncate, BadArguments) {
  TempFile file("abc");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(truncate(file.path().c_str(), -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(ftruncate(fd.get(), -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(truncate(file.dir().path().c_str(), 0), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(truncate(file.dir().Path("none").c_str(), 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(truncate(BadPointer<char>(), 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(ftruncate(-1, 0), SyscallFailsWithErrno(EBADF));
  Pipe pipe;
  EXPECT_THAT(ftruncate(pipe.writer.get(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_EQ(ReadFile(file.path()), "abc");
}

TEST(Truncate, NeedsWritePermissionUnlessByDescriptor) {
  SKIP_IF_NOT_ROOT();
  TempFile file("abcdef", 0644);
  FileDescriptor fd = file.Open();
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(truncate(file.path().c_str(), 2), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(ftruncate(fd.get(), 3), SyscallSucceeds());
              }),
              ExitedWith(0));
  EXPECT_EQ(ReadFile(file.path()), "abc");
}

TEST(Truncate, UpdatesModificationTimeOnlyWhenItSucceeds) {
  TempFile file("abc");
  FileDescriptor fd = file.Open();
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  ASSERT_THAT(futimens(fd.get(), old), SyscallSucceeds());
  EXPECT_THAT(ftruncate(fd.get(), -5), SyscallFailsWithErrno(EINVAL));
  EXPECT_EQ(Stat(fd).st_mtim.tv_sec, 1000);
  ASSERT_THAT(ftruncate(fd.get(), 1), SyscallSucceeds());
  EXPECT_GT(Stat(fd).st_mtim.tv_sec, 1000);
}

TEST(Fallocate, ExtendsTheFileWithZeros) {
  TempFile file("ab");
  FileDescriptor fd = file.Open();
  const int result = fallocate(fd.get(), 0, 0, 5000);
  if (result < 0 && errno == EOPNOTSUPP) GTEST_SKIP() << "no fallocate here";
  ASSERT_EQ(result, 0) << ErrnoText(errno);
  EXPECT_EQ(Stat(fd).st_size, 5000);
  EXPECT_EQ(ReadAll(fd.get()), "ab" + std::string(4998, '\0'));
}

TEST(Fallocate, KeepSizeKeepsTheSize) {
  TempFile file("ab");
  FileDescriptor fd = file.Open();
  const int result = fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, 50000);
  if (result < 0 && errno == EOPNOTSUPP) GTEST_SKIP() << "no fallocate here";
  ASSERT_EQ(result, 0) << ErrnoText(errno);
  EXPECT_EQ(Stat(fd).st_size, 2);
}

TEST(Fallocate, PunchHoleReadsAsZeros) {
  TempFile file(std::string(3 * 4096, 'x'));
  FileDescriptor fd = file.Open();
  const int result = fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 8000);
  if (result < 0 && errno == EOPNOTSUPP) GTEST_SKIP() << "no hole punching here";
  ASSERT_EQ(result, 0) << ErrnoText(errno);
  EXPECT_EQ(ReadAll(fd.get()),
            std::string(100, 'x') + std::string(8000, '\0') + std::string(3 * 4096 - 8100, 'x'));
}

TEST(Fallocate, BadArguments) {
  TempFile file("ab");
  FileDescriptor fd = file.Open(), reader = file.Open(O_RDONLY);
  EXPECT_THAT(fallocate(fd.get(), 0, 0, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fallocate(fd.get(), 0, -1, 10), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fallocate(fd.get(), 0, 0, -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE, 0, 1), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(fallocate(fd.get(), 0, LONG_MAX - 1, 100), SyscallFailsWithErrno(EFBIG));
  EXPECT_THAT(fallocate(reader.get(), 0, 0, 10), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fallocate(-1, 0, 0, 10), SyscallFailsWithErrno(EBADF));
  Pipe pipe;
  EXPECT_THAT(fallocate(pipe.writer.get(), 0, 0, 10), SyscallFailsWithErrno(ESPIPE));
}

}  // namespace
}  // namespace moat::test
