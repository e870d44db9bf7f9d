// memfd_create(2) and file seals.
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

FileDescriptor Sealable(std::string_view data = "0123456789") {
  FileDescriptor fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_TRUE(fd.valid());
  WriteAll(fd.get(), data);
  return fd;
}
int Seal(const FileDescriptor& fd, int seals) { return fcntl(fd.get(), F_ADD_SEALS, seals); }

TEST(Memfd, IsAnUnlinkedRegularFile) {
  FileDescriptor fd(memfd_create("name", 0));
  struct stat st;
  ASSERT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  EXPECT_TRUE(S_ISREG(st.st_mode));
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_EQ(st.st_size, 0);
  EXPECT_EQ(fcntl(fd.get(), F_GETFL) & O_ACCMODE, O_RDWR);
  EXPECT_TRUE(WriteAll(fd.get(), "data"));
  char buf[4];
  EXPECT_THAT(pread(fd.get(), buf, 4, 0), SyscallSucceedsWithValue(4));
  ASSERT_THAT(ftruncate(fd.get(), 100000), SyscallSucceeds());
  EXPECT_THAT(lseek(fd.get(), 0, SEEK_END), SyscallSucceedsWithValue(100000));
}

TEST(Memfd, NameShowsInProcAndNeedNotBeUnique) {
  FileDescriptor a(memfd_create("twin", 0)), b(memfd_create("twin", 0));
  char buf[64];
  const std::string link = "/proc/self/fd/" + std::to_string(a.get());
  const ssize_t n = readlink(link.c_str(), buf, sizeof(buf));
  ASSERT_THAT(n, SyscallSucceeds());
  EXPECT_EQ(std::string(buf, static_cast<size_t>(n)), "/memfd:twin (deleted)");
}

TEST(Memfd, BadArguments) {
  EXPECT_THAT(memfd_create("x", 0x8000), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(memfd_create(std::string(250, 'x').c_str(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(memfd_create(BadPointer<char>(), 0), SyscallFailsWithErrno(EFAULT));
  FileDescriptor longest(memfd_create(std::string(249, 'x').c_str(), 0));
  EXPECT_TRUE(longest.valid());
}

TEST(Memfd, CloexecFlag) {
  FileDescriptor a(memfd_create("x", MFD_CLOEXEC)), b(memfd_create("x", 0));
  EXPECT_THAT(fcntl(a.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(fcntl(b.get(), F_GETFD), SyscallSucceedsWithValue(0));
}

TEST(Seals, WithoutAllowSealingTheyAreSealedThemselves) {
  FileDescriptor fd(memfd_create("x", 0));
  EXPECT_THAT(fcntl(fd.get(), F_GET_SEALS), SyscallSucceedsWithValue(F_SEAL_SEAL));
  EXPECT_THAT(Seal(fd, F_SEAL_WRITE), SyscallFailsWithErrno(EPERM));
}

TEST(Seals, AddUpAndCannotBeRemoved) {
  FileDescriptor fd = Sealable();
  EXPECT_THAT(fcntl(fd.get(), F_GET_SEALS), SyscallSucceedsWithValue(0));
  ASSERT_THAT(Seal(fd, F_SEAL_GROW), SyscallSucceeds());
  ASSERT_THAT(Seal(fd, F_SEAL_SHRINK), SyscallSucceeds());
  EXPECT_THAT(fcntl(fd.get(), F_GET_SEALS), SyscallSucceedsWithValue(F_SEAL_GROW | F_SEAL_SHRINK));
  ASSERT_THAT(Seal(fd, F_SEAL_SEAL), SyscallSucceeds());
  EXPECT_THAT(Seal(fd, F_SEAL_WRITE), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(Seal(fd, 0), SyscallFailsWithErrno(EPERM));
}

TEST(Seals, ShrinkSealKeepsTheSize) {
  FileDescriptor fd = Sealable();
  ASSERT_THAT(Seal(fd, F_SEAL_SHRINK), SyscallSucceeds());
  EXPECT_THAT(ftruncate(fd.get(), 5), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(ftruncate(fd.get(), 20), SyscallSucceeds());
  EXPECT_THAT(pwrite(fd.get(), "x", 1, 0), SyscallSucceedsWithValue(1));
}

TEST(Seals, GrowSealStopsEveryExtension) {
  FileDescriptor fd = Sealable();
  ASSERT_THAT(Seal(fd, F_SEAL_GROW), SyscallSucceeds());
  EXPECT_THAT(ftruncate(fd.get(), 20), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(fallocate(fd.get(), 0, 0, 8192), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(pwrite(fd.get(), "x", 1, 8192), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(pwrite(fd.get(), "x", 1, 3), SyscallSucceedsWithValue(1));
  EXPECT_THAT(ftruncate(fd.get(), 5), SyscallSucceeds());
}

TEST(Seals, WriteSealFreezesTheContents) {
  FileDescriptor fd = Sealable();
  ASSERT_THAT(Seal(fd, F_SEAL_WRITE), SyscallSucceeds());
  EXPECT_THAT(pwrite(fd.get(), "x", 1, 0), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
              SyscallFailsWithErrno(EPERM));
  Mapping writable(4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  EXPECT_EQ(errno, EPERM);
  EXPECT_FALSE(writable.valid());
  Mapping readable(4096, PROT_READ, MAP_SHARED, fd.get());
  ASSERT_TRUE(readable.valid());
  EXPECT_EQ(readable[3], '3');
  EXPECT_THAT(mprotect(readable.data(), 4096, PROT_READ | PROT_WRITE), SyscallFailsWithErrno(EACCES));
  Mapping copy(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get());
  ASSERT_TRUE(copy.valid());
  copy[0] = 'z';
  EXPECT_EQ(readable[0], '0');
}

TEST(Seals, WriteSealWaitsForWritableMappings) {
  FileDescriptor fd = Sealable();
  Mapping map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  ASSERT_TRUE(map.valid());
  EXPECT_THAT(Seal(fd, F_SEAL_WRITE), SyscallFailsWithErrno(EBUSY));
  map.Reset();
  EXPECT_THAT(Seal(fd, F_SEAL_WRITE), SyscallSucceeds());
}

TEST(Seals, FutureWriteSealKeepsExistingMappings) {
  FileDescriptor fd = Sealable();
  Mapping map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  ASSERT_TRUE(map.valid());
  ASSERT_THAT(Seal(fd, F_SEAL_FUTURE_WRITE), SyscallSucceeds());
  map[0] = 'z';
  char c;
  EXPECT_THAT(pread(fd.get(), &c, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(c, 'z');
  EXPECT_THAT(pwrite(fd.get(), "x", 1, 0), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(mmap(nullptr, 4096, PROT_WRITE, MAP_SHARED, fd.get(), 0), SyscallFailsWithErrno(EPERM));
}

TEST(Seals, BelongToTheFileNotTheDescriptor) {
  FileDescriptor fd = Sealable();
  FileDescriptor again = Open("/proc/self/fd/" + std::to_string(fd.get()), O_RDWR);
  ASSERT_THAT(Seal(fd, F_SEAL_WRITE), SyscallSucceeds());
  EXPECT_THAT(pwrite(again.get(), "x", 1, 0), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(fcntl(again.get(), F_GET_SEALS), SyscallSucceedsWithValue(F_SEAL_WRITE));
}

TEST(Seals, NeedAWritableDescriptorOfASealableFile) {
  FileDescriptor fd = Sealable();
  FileDescriptor reader = Open("/proc/self/fd/" + std::to_string(fd.get()), O_RDONLY);
  EXPECT_THAT(Seal(reader, F_SEAL_WRITE), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(Seal(fd, 0x1000), SyscallFailsWithErrno(EINVAL));
  Pipe pipe;
  EXPECT_THAT(fcntl(pipe.reader.get(), F_GET_SEALS), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace moat::test
