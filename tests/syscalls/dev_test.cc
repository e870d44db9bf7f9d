// The device files that every program expects: null, zero, full, urandom, random, tty.
#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <set>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"

namespace moat::test {
namespace {

TEST(DevNull, SwallowsAndGivesNothing) {
  FileDescriptor fd = Open("/dev/null", O_RDWR);
  char buf[8];
  EXPECT_THAT(write(fd.get(), "data", 4), SyscallSucceedsWithValue(4));
  EXPECT_THAT(read(fd.get(), buf, sizeof(buf)), SyscallSucceedsWithValue(0));
  EXPECT_THAT(pwrite(fd.get(), "data", 4, 1000), SyscallSucceedsWithValue(4));
  EXPECT_THAT(pread(fd.get(), buf, 4, 1000), SyscallSucceedsWithValue(0));
  // It never looks at what is written.
  EXPECT_THAT(write(fd.get(), BadPointer<char>(), 4), SyscallSucceedsWithValue(4));
  EXPECT_THAT(lseek(fd.get(), 100, SEEK_SET), SyscallSucceeds());
  EXPECT_THAT(ftruncate(fd.get(), 0), SyscallFailsWithErrno(EINVAL));
}

TEST(DevNull, CreatAndTruncateFlagsDoNoHarm) {
  FileDescriptor fd = Open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
  EXPECT_THAT(write(fd.get(), "data", 4), SyscallSucceedsWithValue(4));
  struct stat st;
  ASSERT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  EXPECT_TRUE(S_ISCHR(st.st_mode));
  EXPECT_EQ(st.st_mode & 0666, 0666u);
}

TEST(DevZero, GivesZerosAndSwallows) {
  FileDescriptor fd = Open("/dev/zero", O_RDWR);
  std::string buf(10000, 'x');
  EXPECT_THAT(read(fd.get(), buf.data(), buf.size()), SyscallSucceedsWithValue(10000));
  EXPECT_EQ(buf, std::string(10000, '\0'));
  EXPECT_THAT(write(fd.get(), "data", 4), SyscallSucceedsWithValue(4));
  EXPECT_THAT(read(fd.get(), BadPointer<char>(), 4), SyscallFailsWithErrno(EFAULT));
}

TEST(DevFull, ReadsZerosAndIsFull) {
  FileDescriptor fd = Open("/dev/full", O_RDWR);
  char buf[4] = {1, 1, 1, 1};
  EXPECT_THAT(read(fd.get(), buf, 4), SyscallSucceedsWithValue(4));
  EXPECT_EQ(std::string(buf, 4), std::string(4, '\0'));
  EXPECT_THAT(write(fd.get(), "x", 1), SyscallFailsWithErrno(ENOSPC));
}

TEST(DevUrandom, GivesDifferentBytesEveryTime) {
  for (const char* path : {"/dev/urandom", "/dev/random"}) {
    FileDescriptor fd = Open(path, O_RDONLY);
    std::set<std::string> seen;
    for (int i = 0; i < 8; ++i) seen.insert(ReadAll(fd.get(), 16));
    EXPECT_EQ(seen.size(), 8u) << path;
  }
  struct stat st;
  ASSERT_THAT(stat("/dev/urandom", &st), SyscallSucceeds());
  EXPECT_EQ(st.st_rdev, makedev(1, 9));
}

TEST(DevUrandom, AcceptsWrites) {
  FileDescriptor fd = Open("/dev/urandom", O_WRONLY);
  EXPECT_THAT(write(fd.get(), "entropy", 7), SyscallSucceedsWithValue(7));
}

TEST(DevTty, IsAbsentWithoutAControllingTerminal) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setsid(), SyscallSucceeds());
                EXPECT_THAT(open("/dev/tty", O_RDWR), SyscallFailsWithErrno(ENXIO));
              }),
              ExitedWith(0));
}

TEST(DevFiles, ArePollableAsAlwaysReady) {
  for (const char* path : {"/dev/null", "/dev/zero", "/dev/full"}) {
    FileDescriptor fd = Open(path, O_RDWR);
    pollfd pfd = {fd.get(), POLLIN | POLLOUT, 0};
    EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(1));
    EXPECT_EQ(pfd.revents, POLLIN | POLLOUT) << path;
  }
}

TEST(DevFiles, StandardLinksLeadToDescriptors) {
  Pipe pipe;
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(dup2(pipe.writer.get(), STDOUT_FILENO), SyscallSucceeds());
                FileDescriptor out = Open("/dev/stdout", O_WRONLY);
                WriteAll(out.get(), "via stdout");
              }),
              ExitedWith(0));
  EXPECT_EQ(ReadAll(pipe.reader.get(), 10), "via stdout");
}

TEST(Getrandom, FillsTheBuffer) {
  std::string a(64, '\0'), b(64, '\0');
  EXPECT_THAT(getrandom(a.data(), a.size(), 0), SyscallSucceedsWithValue(64));
  EXPECT_THAT(getrandom(b.data(), b.size(), GRND_NONBLOCK | GRND_RANDOM), SyscallSucceedsWithValue(64));
  EXPECT_NE(a, b);
  EXPECT_NE(a, std::string(64, '\0'));
  std::string big(100000, '\0');
  EXPECT_THAT(getrandom(big.data(), big.size(), 0), SyscallSucceedsWithValue(100000));
  EXPECT_THAT(getrandom(nullptr, 0, 0), SyscallSucceedsWithValue(0));
}

TEST(Getrandom, BadArguments) {
  char buf[8];
  EXPECT_THAT(getrandom(buf, sizeof(buf), 0x100), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(getrandom(buf, sizeof(buf), GRND_RANDOM | GRND_INSECURE), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(getrandom(BadPointer(), 8, 0), SyscallFailsWithErrno(EFAULT));
}

TEST(Getrandom, StopsBeforeAFaultingPage) {
  GuardedPage page;
  EXPECT_THAT(getrandom(page.Last(10), 20, 0), SyscallSucceedsWithValue(testing::Le(10)));
}

}  // namespace
}  // namespace moat::test
