// read(2), write(2) and their positional and vectored forms on regular files.
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

iovec Vec(void* base, size_t len) { return {base, len}; }

off_t Offset(const FileDescriptor& fd) { return lseek(fd.get(), 0, SEEK_CUR); }

TEST(Read, StopsAtTheEndOfTheFile) {
  TempFile file("abc");
  FileDescriptor fd = file.Open();
  char buf[10];
  EXPECT_THAT(read(fd.get(), buf, sizeof(buf)), SyscallSucceedsWithValue(3));
  EXPECT_THAT(read(fd.get(), buf, sizeof(buf)), SyscallSucceedsWithValue(0));
  EXPECT_EQ(Offset(fd), 3);
}

TEST(Read, OfNothingReturnsZeroButChecksTheDescriptor) {
  TempFile file("abc");
  FileDescriptor fd = file.Open(), writer = file.Open(O_WRONLY);
  EXPECT_THAT(read(fd.get(), nullptr, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(read(-1, nullptr, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(read(writer.get(), nullptr, 0), SyscallFailsWithErrno(EBADF));
}

TEST(Read, IntoBadMemoryFaultsAndKeepsTheOffset) {
  TempFile file("abc");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(read(fd.get(), BadPointer<char>(), 3), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(Offset(fd), 0);
}

TEST(Read, IntoPartlyBadMemoryStopsAtTheFault) {
  TempFile file(std::string(8192, 'x'));
  FileDescriptor fd = file.Open();
  GuardedPage page;
  const ssize_t n = read(fd.get(), page.Last(100), 200);
  // Linux copies what fits; it may stop earlier, but never claims more.
  ASSERT_THAT(n, SyscallSucceedsWithValue(testing::AllOf(testing::Gt(0), testing::Le(100))));
  EXPECT_EQ(Offset(fd), n);
  EXPECT_EQ(page.Last(100)[0], 'x');
}

TEST(Read, IntoReadOnlyMemoryFaults) {
  TempFile file("abc");
  FileDescriptor fd = file.Open();
  Mapping readonly(PageSize(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  EXPECT_THAT(read(fd.get(), readonly.data(), 3), SyscallFailsWithErrno(EFAULT));
}

TEST(Write, ExtendsAndOverwrites) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  ASSERT_THAT(lseek(fd.get(), 8, SEEK_SET), SyscallSucceeds());
  EXPECT_THAT(write(fd.get(), "abcd", 4), SyscallSucceedsWithValue(4));
  EXPECT_EQ(ReadFile(file.path()), "01234567abcd");
}

TEST(Write, BeyondTheEndLeavesAHoleOfZeros) {
  TempFile file("ab");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(pwrite(fd.get(), "z", 1, 6), SyscallSucceedsWithValue(1));
  EXPECT_EQ(ReadFile(file.path()), std::string("ab\0\0\0\0z", 7));
}

TEST(Write, FromBadMemoryFaultsAndChangesNothing) {
  TempFile file("abc");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(write(fd.get(), BadPointer<char>(), 3), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(Offset(fd), 0);
  EXPECT_EQ(ReadFile(file.path()), "abc");
}

TEST(Write, OfNothingDoesNotMoveOrExtend) {
  TempFile file("abc");
  FileDescriptor fd = file.Open();
  ASSERT_THAT(lseek(fd.get(), 100, SEEK_SET), SyscallSucceeds());
  EXPECT_THAT(write(fd.get(), "", 0), SyscallSucceedsWithValue(0));
  EXPECT_EQ(ReadFile(file.path()), "abc");
}

TEST(Write, HugeCountsAreCutNotRefused) {
  FileDescriptor null = Open("/dev/null", O_WRONLY);
  // At most 2^31 - 4096 bytes are moved by one call.
  Mapping big(size_t{1} << 32, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
  ASSERT_TRUE(big.valid());
  EXPECT_THAT(write(null.get(), big.data(), size_t{1} << 32), SyscallSucceedsWithValue(0x7ffff000L));
}

TEST(Write, CountsWithTheSignBitAreRefused) {
  TempFile file("abc");
  FileDescriptor fd = file.Open();
  char c = 'x';
  EXPECT_THAT(syscall(SYS_write, fd.get(), &c, ~size_t{0}),
              SyscallFailsWithErrno(testing::AnyOf(EINVAL, EFAULT)));
  EXPECT_THAT(syscall(SYS_read, fd.get(), &c, ~size_t{0}),
              SyscallFailsWithErrno(testing::AnyOf(EINVAL, EFAULT)));
}

TEST(Write, BeyondTheFileSizeLimitSignals) {
  EXPECT_THAT(RunInChild([] {
                TempFile file;
                FileDescriptor fd = file.Open();
                const rlimit limit = {1000, RLIM_INFINITY};
                ASSERT_THAT(setrlimit(RLIMIT_FSIZE, &limit), SyscallSucceeds());
                SignalCounter xfsz(SIGXFSZ);
                const std::string data(2000, 'x');
                EXPECT_THAT(write(fd.get(), data.data(), data.size()), SyscallSucceedsWithValue(1000));
                EXPECT_EQ(xfsz.count(), 0);
                EXPECT_THAT(write(fd.get(), "y", 1), SyscallFailsWithErrno(EFBIG));
                EXPECT_EQ(xfsz.count(), 1);
                EXPECT_THAT(ftruncate(fd.get(), 2000), SyscallFailsWithErrno(EFBIG));
                EXPECT_EQ(xfsz.count(), 2);
              }),
              ExitedWith(0));
}

TEST(Pread, LeavesTheOffsetAlone) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  char buf[4];
  EXPECT_THAT(pread(fd.get(), buf, 4, 3), SyscallSucceedsWithValue(4));
  EXPECT_EQ(std::string(buf, 4), "3456");
  EXPECT_EQ(Offset(fd), 0);
  EXPECT_THAT(pread(fd.get(), buf, 4, 8), SyscallSucceedsWithValue(2));
  EXPECT_THAT(pread(fd.get(), buf, 4, 10), SyscallSucceedsWithValue(0));
  EXPECT_THAT(pread(fd.get(), buf, 4, 1L << 40), SyscallSucceedsWithValue(0));
}

TEST(Pread, NegativeOffsetIsInvalidAndPipesCannotSeek) {
  TempFile file("abc");
  FileDescriptor fd = file.Open();
  char c;
  EXPECT_THAT(pread(fd.get(), &c, 1, -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pwrite(fd.get(), &c, 1, -1), SyscallFailsWithErrno(EINVAL));
  Pipe pipe;
  EXPECT_THAT(pread(pipe.reader.get(), &c, 1, 0), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(pwrite(pipe.writer.get(), &c, 1, 0), SyscallFailsWithErrno(ESPIPE));
}

TEST(Pwrite, LeavesTheOffsetAlone) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(pwrite(fd.get(), "ab", 2, 5), SyscallSucceedsWithValue(2));
  EXPECT_EQ(Offset(fd), 0);
  EXPECT_EQ(ReadFile(file.path()), "01234ab789");
}

TEST(Readv, FillsTheBuffersInOrder) {
  TempFile file("abcdefgh");
  FileDescriptor fd = file.Open();
  char a[3], b[1], c[10];
  const iovec iov[] = {Vec(a, 3), Vec(nullptr, 0), Vec(b, 1), Vec(c, 10)};
  EXPECT_THAT(readv(fd.get(), iov, 4), SyscallSucceedsWithValue(8));
  EXPECT_EQ(std::string(a, 3) + std::string(b, 1) + std::string(c, 4), "abcdefgh");
}

TEST(Writev, GathersAtomicallyInOrder) {
  TempFile file;
  FileDescriptor fd = file.Open();
  char a[] = "one", b[] = "two";
  const iovec iov[] = {Vec(a, 3), Vec(b, 3), Vec(a, 1)};
  EXPECT_THAT(writev(fd.get(), iov, 3), SyscallSucceedsWithValue(7));
  EXPECT_EQ(ReadFile(file.path()), "onetwoo");
}

TEST(Writev, VectorCountIsChecked) {
  TempFile file;
  FileDescriptor fd = file.Open();
  char c = 'x';
  std::vector<iovec> iov(IOV_MAX + 1, Vec(&c, 1));
  EXPECT_THAT(writev(fd.get(), iov.data(), 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(writev(fd.get(), iov.data(), IOV_MAX), SyscallSucceedsWithValue(IOV_MAX));
  EXPECT_THAT(syscall(SYS_writev, fd.get(), iov.data(), IOV_MAX + 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_writev, fd.get(), iov.data(), -1), SyscallFailsWithErrno(EINVAL));
}

TEST(Writev, VectorPointersAndLengthsAreChecked) {
  TempFile file;
  FileDescriptor fd = file.Open();
  char c = 'x';
  iovec iov[] = {Vec(&c, 1), Vec(&c, ~size_t{0} >> 1)};
  EXPECT_THAT(writev(fd.get(), BadPointer<iovec>(), 1), SyscallFailsWithErrno(EFAULT));
  iov[1].iov_len = ~size_t{0};
  EXPECT_THAT(writev(fd.get(), iov, 2), SyscallFailsWithErrno(EINVAL));
  iov[0] = Vec(BadPointer(), 1);
  EXPECT_THAT(writev(fd.get(), iov, 1), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(ReadFile(file.path()), "");
}

TEST(Writev, StopsBeforeAFaultingBuffer) {
  TempFile file;
  FileDescriptor fd = file.Open();
  char a[] = "good";
  const iovec iov[] = {Vec(a, 4), Vec(BadPointer(), 4)};
  EXPECT_THAT(writev(fd.get(), iov, 2), SyscallSucceedsWithValue(4));
  EXPECT_EQ(ReadFile(file.path()), "good");
}

TEST(Preadv, ReadsAtAnOffset) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  char a[2], b[2];
  const iovec iov[] = {Vec(a, 2), Vec(b, 2)};
  EXPECT_THAT(preadv(fd.get(), iov, 2, 5), SyscallSucceedsWithValue(4));
  EXPECT_EQ(std::string(a, 2) + std::string(b, 2), "5678");
  EXPECT_EQ(Offset(fd), 0);
  EXPECT_THAT(preadv(fd.get(), iov, 2, -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pwritev(fd.get(), iov, 2, -1), SyscallFailsWithErrno(EINVAL));
}

TEST(Preadv2, OffsetMinusOneUsesTheFileOffset) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  char a[4];
  const iovec iov[] = {Vec(a, 4)};
  EXPECT_THAT(preadv2(fd.get(), iov, 1, -1, 0), SyscallSucceedsWithValue(4));
  EXPECT_EQ(Offset(fd), 4);
  EXPECT_THAT(preadv2(fd.get(), iov, 1, 0, 0), SyscallSucceedsWithValue(4));
  EXPECT_EQ(Offset(fd), 4);
  EXPECT_THAT(preadv2(fd.get(), iov, 1, -2, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(Preadv2, UnknownFlagsAreRefused) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  char a[4];
  const iovec iov[] = {Vec(a, 4)};
  EXPECT_THAT(preadv2(fd.get(), iov, 1, 0, 1 << 30), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(pwritev2(fd.get(), iov, 1, 0, 1 << 30), SyscallFailsWithErrno(EOPNOTSUPP));
}

TEST(Pwritev2, AppendFlagAppendsOnce) {
  TempFile file("0123");
  FileDescriptor fd = file.Open();
  char a[] = "ab";
  const iovec iov[] = {Vec(a, 2)};
  EXPECT_THAT(pwritev2(fd.get(), iov, 1, 0, RWF_APPEND), SyscallSucceedsWithValue(2));
  EXPECT_EQ(ReadFile(file.path()), "0123ab");
  EXPECT_THAT(pwritev2(fd.get(), iov, 1, 0, RWF_SYNC | RWF_DSYNC), SyscallSucceedsWithValue(2));
  EXPECT_EQ(ReadFile(file.path()), "ab23ab");
}

TEST(ReadWrite, ConcurrentAppendersLoseNothing) {
  TempFile file;
  constexpr int kRounds = 200;
  auto append = [&](char c) {
    FileDescriptor fd = file.Open(O_WRONLY | O_APPEND);
    const std::string line = std::string(15, c) + "\n";
    for (int i = 0; i < kRounds; ++i) WriteAll(fd.get(), line);
  };
  {
    ScopedThread a([&] { append('a'); });
    ScopedThread b([&] { append('b'); });
  }
  const std::string data = ReadFile(file.path());
  ASSERT_EQ(data.size(), 2u * kRounds * 16);
  for (size_t i = 0; i < data.size(); i += 16) {
    EXPECT_EQ(data.substr(i, 16), std::string(15, data[i]) + "\n") << i;
  }
}

TEST(ReadWrite, ThreadsSharingAnOffsetReadEveryByteOnce) {
  TempFile file(std::string(4000, 'x'));
  FileDescriptor fd = file.Open();
  std::atomic<int> total{0};
  auto drain = [&] {
    char buf[7];
    ssize_t n;
    while ((n = read(fd.get(), buf, sizeof(buf))) > 0) total += static_cast<int>(n);
  };
  {
    ScopedThread a(drain);
    ScopedThread b(drain);
  }
  EXPECT_EQ(total, 4000);
}

}  // namespace
}  // namespace moat::test
