// close(2), close_range(2), dup(2), dup2(2), dup3(2).
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

int CloseRange(unsigned first, unsigned last, unsigned flags) {
  return static_cast<int>(syscall(SYS_close_range, first, last, flags));
}

TEST(Close, MakesTheDescriptorInvalid) {
  const int fd = open("/dev/null", O_RDONLY);
  ASSERT_THAT(fd, SyscallSucceeds());
  EXPECT_THAT(close(fd), SyscallSucceeds());
  EXPECT_THAT(close(fd), SyscallFailsWithErrno(EBADF));
}

TEST(Close, OfUnusedNumbersFails) {
  EXPECT_THAT(close(-1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(close(INT_MAX), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(close(INT_MIN), SyscallFailsWithErrno(EBADF));
}

TEST(Close, LeavesOtherCopiesWorking) {
  Pipe pipe;
  FileDescriptor copy(dup(pipe.writer.get()));
  pipe.writer.Reset();
  EXPECT_TRUE(WriteAll(copy.get(), "x"));
  copy.Reset();
  EXPECT_EQ(ReadAll(pipe.reader.get()), "x");
}

TEST(CloseRange, ClosesExactlyTheRange) {
  EXPECT_THAT(RunInChild([] {
                for (int fd = 100; fd < 110; ++fd) ASSERT_THAT(dup2(0, fd), SyscallSucceedsWithValue(fd));
                ASSERT_THAT(CloseRange(102, 105, 0), SyscallSucceeds());
                for (int fd = 100; fd < 110; ++fd) EXPECT_EQ(IsOpen(fd), fd < 102 || fd > 105) << fd;
              }),
              ExitedWith(0));
}

TEST(CloseRange, ToTheEndIgnoresGaps) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(dup2(0, 100), SyscallSucceeds());
                ASSERT_THAT(dup2(0, 200), SyscallSucceeds());
                ASSERT_THAT(CloseRange(100, ~0u, 0), SyscallSucceeds());
                EXPECT_FALSE(IsOpen(100));
                EXPECT_FALSE(IsOpen(200));
                EXPECT_TRUE(IsOpen(0));
              }),
              ExitedWith(0));
}

TEST(CloseRange, CloexecOnlyMarks) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(dup2(0, 100), SyscallSucceeds());
                ASSERT_THAT(dup2(0, 101), SyscallSucceeds());
                ASSERT_THAT(CloseRange(100, 100, CLOSE_RANGE_CLOEXEC), SyscallSucceeds());
                EXPECT_THAT(fcntl(100, F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
                EXPECT_THAT(fcntl(101, F_GETFD), SyscallSucceedsWithValue(0));
              }),
              ExitedWith(0));
}

TEST(CloseRange, UnshareLeavesTheSharedTableAlone) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(dup2(0, 100), SyscallSucceeds());
                alignas(16) static char stack[65536];
                auto child = [](void*) -> int {
                  if (CloseRange(100, 100, CLOSE_RANGE_UNSHARE) != 0) return 1;
                  return IsOpen(100) ? 2 : 0;
                };
                const pid_t pid = clone(child, stack + sizeof(stack), CLONE_FILES | SIGCHLD, nullptr);
                ASSERT_THAT(pid, SyscallSucceeds());
                EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
                EXPECT_TRUE(IsOpen(100));
              }),
              ExitedWith(0));
}

TEST(CloseRange, BadArguments) {
  EXPECT_THAT(CloseRange(20, 10, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(CloseRange(5000, 5001, 1u << 30), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(CloseRange(5000, 5001, 0), SyscallSucceeds());
}

TEST(Dup, SharesTheOffsetAndStatusFlags) {
  TempFile file("0123456789");
  FileDescriptor a = file.Open();
  FileDescriptor b(dup(a.get()));
  EXPECT_EQ(ReadAll(a.get(), 3), "012");
  EXPECT_EQ(ReadAll(b.get(), 3), "345");
  ASSERT_THAT(fcntl(b.get(), F_SETFL, O_APPEND | O_NONBLOCK), SyscallSucceeds());
  EXPECT_EQ(fcntl(a.get(), F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
}

TEST(Dup, ClearsCloseOnExec) {
  FileDescriptor a = Open("/dev/null", O_RDONLY | O_CLOEXEC);
  FileDescriptor b(dup(a.get()));
  EXPECT_THAT(fcntl(b.get(), F_GETFD), SyscallSucceedsWithValue(0));
  EXPECT_THAT(fcntl(a.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
}

TEST(Dup, SeparateOpensDoNotShareTheOffset) {
  TempFile file("0123456789");
  FileDescriptor a = file.Open(), b = file.Open();
  EXPECT_EQ(ReadAll(a.get(), 3), "012");
  EXPECT_EQ(ReadAll(b.get(), 3), "012");
}

TEST(Dup, OfAnUnusedNumberFails) {
  EXPECT_THAT(dup(-1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(dup(12345), SyscallFailsWithErrno(EBADF));
}

TEST(Dup2, ReplacesWhatWasThere) {
  TempFile one("one"), two("two");
  FileDescriptor a = one.Open(), b = two.Open();
  EXPECT_THAT(dup2(a.get(), b.get()), SyscallSucceedsWithValue(b.get()));
  EXPECT_EQ(ReadAll(b.get()), "one");
}

TEST(Dup2, ClosesTheReplacedDescription) {
  Pipe pipe;
  FileDescriptor null = Open("/dev/null", O_RDONLY);
  ASSERT_THAT(dup2(null.get(), pipe.writer.get()), SyscallSucceeds());
  EXPECT_EQ(ReadAll(pipe.reader.get()), "");
}

TEST(Dup2, OntoItselfKeepsEverything) {
  FileDescriptor a = Open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_THAT(dup2(a.get(), a.get()), SyscallSucceedsWithValue(a.get()));
  EXPECT_THAT(fcntl(a.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(dup2(9999, 9999), SyscallFailsWithErrno(EBADF));
}

TEST(Dup2, FromABadDescriptorLeavesTheTargetOpen) {
  FileDescriptor a = Open("/dev/null", O_RDONLY);
  EXPECT_THAT(dup2(-1, a.get()), SyscallFailsWithErrno(EBADF));
  EXPECT_TRUE(IsOpen(a.get()));
}

TEST(Dup2, TargetBeyondTheLimitFails) {
  rlimit limit;
  ASSERT_THAT(getrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
  EXPECT_THAT(dup2(0, static_cast<int>(limit.rlim_cur)), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(dup2(0, -1), SyscallFailsWithErrno(EBADF));
}

TEST(Dup2, BeyondALoweredLimitFailsWhileOldOnesStay) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(dup2(0, 60), SyscallSucceeds());
                const rlimit limit = {50, 50};
                ASSERT_THAT(setrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
                EXPECT_TRUE(IsOpen(60));
                EXPECT_THAT(dup2(0, 60), SyscallFailsWithErrno(EBADF));
                EXPECT_THAT(fcntl(0, F_DUPFD, 50), SyscallFailsWithErrno(EINVAL));
                EXPECT_THAT(dup2(0, 49), SyscallSucceedsWithValue(49));
              }),
              ExitedWith(0));
}

TEST(Dup3, SetsCloseOnExec) {
  FileDescriptor a = Open("/dev/null", O_RDONLY), b = Open("/dev/null", O_RDONLY);
  EXPECT_THAT(dup3(a.get(), b.get(), O_CLOEXEC), SyscallSucceedsWithValue(b.get()));
  EXPECT_THAT(fcntl(b.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(fcntl(a.get(), F_GETFD), SyscallSucceedsWithValue(0));
}

TEST(Dup3, EqualDescriptorsAndUnknownFlagsAreInvalid) {
  FileDescriptor a = Open("/dev/null", O_RDONLY), b = Open("/dev/null", O_RDONLY);
  EXPECT_THAT(dup3(a.get(), a.get(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(dup3(a.get(), b.get(), O_NONBLOCK), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(dup3(-1, b.get(), 0), SyscallFailsWithErrno(EBADF));
}

TEST(Dup, TableIsCopiedByFork) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(RunInChild([&] {
                EXPECT_EQ(ReadAll(fd.get(), 4), "0123");
                close(fd.get());
              }),
              ExitedWith(0));
  // The description, and so the offset, is shared with the child; the table is not.
  EXPECT_EQ(ReadAll(fd.get(), 2), "45");
}

}  // namespace
}  // namespace moat::test
