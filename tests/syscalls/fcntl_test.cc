// fcntl(2): descriptor and status flags, F_DUPFD, pipe sizes, owners. Locks have files of their own.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

using testing::Ge;

TEST(Fcntl, BadDescriptorOrCommand) {
  EXPECT_THAT(fcntl(-1, F_GETFD), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fcntl(-1, F_GETFL), SyscallFailsWithErrno(EBADF));
  FileDescriptor fd = Open("/dev/null", O_RDONLY);
  EXPECT_THAT(fcntl(fd.get(), 0x7777), SyscallFailsWithErrno(EINVAL));
}

TEST(Fcntl, DupfdTakesTheLowestFromTheGivenNumber) {
  FileDescriptor fd = Open("/dev/null", O_RDONLY | O_CLOEXEC);
  FileDescriptor a(fcntl(fd.get(), F_DUPFD, 500));
  FileDescriptor b(fcntl(fd.get(), F_DUPFD, 500));
  EXPECT_EQ(a.get(), 500);
  EXPECT_EQ(b.get(), 501);
  EXPECT_THAT(fcntl(a.get(), F_GETFD), SyscallSucceedsWithValue(0));
  FileDescriptor c(fcntl(fd.get(), F_DUPFD_CLOEXEC, 400));
  EXPECT_EQ(c.get(), 400);
  EXPECT_THAT(fcntl(c.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(fcntl(fd.get(), F_DUPFD, -1), SyscallFailsWithErrno(EINVAL));
}

TEST(Fcntl, SetfdChangesOnlyThisDescriptor) {
  FileDescriptor a = Open("/dev/null", O_RDONLY);
  FileDescriptor b(dup(a.get()));
  EXPECT_THAT(fcntl(a.get(), F_SETFD, FD_CLOEXEC), SyscallSucceeds());
  EXPECT_THAT(fcntl(a.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(fcntl(b.get(), F_GETFD), SyscallSucceedsWithValue(0));
  EXPECT_THAT(fcntl(a.get(), F_SETFD, 0), SyscallSucceeds());
  EXPECT_THAT(fcntl(a.get(), F_GETFD), SyscallSucceedsWithValue(0));
}

TEST(Fcntl, SetflIgnoresAccessModeAndCreationFlags) {
  TempFile file;
  FileDescriptor fd = file.Open(O_RDONLY);
  ASSERT_THAT(fcntl(fd.get(), F_SETFL, O_RDWR | O_CREAT | O_TRUNC | O_EXCL | O_NONBLOCK), SyscallSucceeds());
  const int flags = fcntl(fd.get(), F_GETFL);
  EXPECT_EQ(flags & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(flags & (O_CREAT | O_TRUNC | O_EXCL), 0);
  EXPECT_EQ(flags & O_NONBLOCK, O_NONBLOCK);
  ASSERT_THAT(fcntl(fd.get(), F_SETFL, 0), SyscallSucceeds());
  EXPECT_EQ(fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(Fcntl, SetflCanSwitchAppend) {
  TempFile file("0123");
  FileDescriptor fd = file.Open();
  ASSERT_THAT(fcntl(fd.get(), F_SETFL, O_APPEND), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(fd.get(), "45"));
  EXPECT_EQ(ReadFile(file.path()), "012345");
  ASSERT_THAT(fcntl(fd.get(), F_SETFL, 0), SyscallSucceeds());
  ASSERT_THAT(lseek(fd.get(), 0, SEEK_SET), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(fd.get(), "ab"));
  EXPECT_EQ(ReadFile(file.path()), "ab2345");
}

TEST(Fcntl, NoatimeNeedsOwnership) {
  SKIP_IF_NOT_ROOT();
  TempFile file("x", 0644);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(open(file.path().c_str(), O_RDONLY | O_NOATIME), SyscallFailsWithErrno(EPERM));
                FileDescriptor fd = file.Open(O_RDONLY);
                EXPECT_THAT(fcntl(fd.get(), F_SETFL, O_NOATIME), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(Fcntl, NonblockIoctlIsTheSameFlag) {
  Pipe pipe;
  int on = 1;
  ASSERT_THAT(ioctl(pipe.reader.get(), FIONBIO, &on), SyscallSucceeds());
  EXPECT_EQ(fcntl(pipe.reader.get(), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  char c;
  EXPECT_THAT(read(pipe.reader.get(), &c, 1), SyscallFailsWithErrno(EAGAIN));
  EXPECT_EQ(fcntl(pipe.writer.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(Fcntl, CloexecIoctls) {
  FileDescriptor fd = Open("/dev/null", O_RDONLY);
  ASSERT_THAT(ioctl(fd.get(), FIOCLEX), SyscallSucceeds());
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  ASSERT_THAT(ioctl(fd.get(), FIONCLEX), SyscallSucceeds());
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(0));
}

TEST(PipeSize, DefaultIsSixteenPages) {
  Pipe pipe;
  EXPECT_THAT(fcntl(pipe.reader.get(), F_GETPIPE_SZ),
              SyscallSucceedsWithValue(static_cast<long>(16 * PageSize())));
  EXPECT_THAT(fcntl(pipe.writer.get(), F_GETPIPE_SZ),
              SyscallSucceedsWithValue(static_cast<long>(16 * PageSize())));
}

TEST(PipeSize, RoundsUpToAPowerOfTwoOfPages) {
  Pipe pipe;
  const long page = static_cast<long>(PageSize());
  EXPECT_THAT(fcntl(pipe.reader.get(), F_SETPIPE_SZ, 1), SyscallSucceedsWithValue(page));
  EXPECT_THAT(fcntl(pipe.reader.get(), F_SETPIPE_SZ, 2 * page + 1), SyscallSucceedsWithValue(4 * page));
  EXPECT_THAT(fcntl(pipe.writer.get(), F_GETPIPE_SZ), SyscallSucceedsWithValue(4 * page));
}

TEST(PipeSize, LimitsWhatFits) {
  Pipe pipe(O_NONBLOCK);
  const long page = static_cast<long>(PageSize());
  ASSERT_THAT(fcntl(pipe.writer.get(), F_SETPIPE_SZ, page), SyscallSucceeds());
  const std::string data(2 * PageSize(), 'x');
  EXPECT_THAT(write(pipe.writer.get(), data.data(), data.size()), SyscallSucceedsWithValue(page));
  EXPECT_THAT(write(pipe.writer.get(), "y", 1), SyscallFailsWithErrno(EAGAIN));
  ASSERT_THAT(fcntl(pipe.writer.get(), F_SETPIPE_SZ, 2 * page), SyscallSucceedsWithValue(Ge(2 * page)));
  EXPECT_THAT(write(pipe.writer.get(), data.data(), PageSize()), SyscallSucceedsWithValue(page));
}

TEST(PipeSize, CannotShrinkBelowItsContents) {
  Pipe pipe;
  const std::string data(3 * PageSize(), 'x');
  ASSERT_TRUE(WriteAll(pipe.writer.get(), data));
  EXPECT_THAT(fcntl(pipe.writer.get(), F_SETPIPE_SZ, PageSize()), SyscallFailsWithErrno(EBUSY));
  EXPECT_EQ(ReadAll(pipe.reader.get(), data.size()), data);
}

TEST(PipeSize, OfOtherFilesIsRefused) {
  TempFile file;
  FileDescriptor fd = file.Open();
  EXPECT_THAT(fcntl(fd.get(), F_GETPIPE_SZ), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fcntl(fd.get(), F_SETPIPE_SZ, 4096), SyscallFailsWithErrno(EBADF));
}

TEST(FileOwner, StartsAsNobodyAndIsRemembered) {
  Pipe pipe;
  EXPECT_THAT(fcntl(pipe.reader.get(), F_GETOWN), SyscallSucceedsWithValue(0));
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETOWN, getpid()), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.reader.get(), F_GETOWN), SyscallSucceedsWithValue(getpid()));
  f_owner_ex owner = {F_OWNER_PID, 0};
  ASSERT_THAT(fcntl(pipe.reader.get(), F_GETOWN_EX, &owner), SyscallSucceeds());
  EXPECT_EQ(owner.type, F_OWNER_PID);
  EXPECT_EQ(owner.pid, getpid());
  owner = {F_OWNER_TID, gettid()};
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETOWN_EX, &owner), SyscallSucceeds());
  owner = {};
  ASSERT_THAT(fcntl(pipe.reader.get(), F_GETOWN_EX, &owner), SyscallSucceeds());
  EXPECT_EQ(owner.type, F_OWNER_TID);
}

TEST(FileOwner, BadOwnersAreRefused) {
  Pipe pipe;
  f_owner_ex owner = {static_cast<__pid_type>(77), 0};
  EXPECT_THAT(fcntl(pipe.reader.get(), F_SETOWN_EX, &owner), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fcntl(pipe.reader.get(), F_SETOWN_EX, BadPointer<f_owner_ex>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(fcntl(pipe.reader.get(), F_SETOWN, 0x3fffffff), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(fcntl(pipe.reader.get(), F_SETSIG, 65), SyscallFailsWithErrno(EINVAL));
}

TEST(FileOwner, AsyncFilesSignalTheirOwner) {
  SignalCounter io(SIGIO);  // Outlives the sockets: closing them signals as well.
  int fds[2];
  ASSERT_THAT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), SyscallSucceeds());
  FileDescriptor a(fds[0]), b(fds[1]);
  ASSERT_THAT(fcntl(a.get(), F_SETOWN, getpid()), SyscallSucceeds());
  ASSERT_THAT(fcntl(a.get(), F_SETFL, O_ASYNC), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(b.get(), "x"));
  EXPECT_EQ(io.count(), 1);
  EXPECT_EQ(ReadAll(a.get(), 1), "x");
}

siginfo_t g_info;
void SaveInfo(int, siginfo_t* info, void*) { g_info = *info; }

TEST(FileOwner, ChosenSignalCarriesDescriptorAndBand) {
  ScopedSigaction handler(SIGUSR1, &SaveInfo, 0);
  Pipe pipe;
  g_info = {};
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETSIG, SIGUSR1), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.reader.get(), F_GETSIG), SyscallSucceedsWithValue(SIGUSR1));
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETOWN, getpid()), SyscallSucceeds());
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETFL, O_ASYNC), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_EQ(g_info.si_signo, SIGUSR1);
  EXPECT_EQ(g_info.si_code, POLL_IN);
  EXPECT_EQ(g_info.si_fd, pipe.reader.get());
}

TEST(Fionread, CountsWhatCanBeRead) {
  Pipe pipe;
  int n = -1;
  ASSERT_THAT(ioctl(pipe.reader.get(), FIONREAD, &n), SyscallSucceeds());
  EXPECT_EQ(n, 0);
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "12345"));
  ASSERT_THAT(ioctl(pipe.reader.get(), FIONREAD, &n), SyscallSucceeds());
  EXPECT_EQ(n, 5);
  EXPECT_THAT(ioctl(pipe.reader.get(), FIONREAD, BadPointer<int>()), SyscallFailsWithErrno(EFAULT));
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  ReadAll(fd.get(), 4);
  ASSERT_THAT(ioctl(fd.get(), FIONREAD, &n), SyscallSucceeds());
  EXPECT_EQ(n, 6);
}

TEST(Ioctl, UnknownRequestIsEnotty) {
  TempFile file;
  FileDescriptor fd = file.Open();
  EXPECT_THAT(ioctl(fd.get(), 0x1234), SyscallFailsWithErrno(ENOTTY));
  EXPECT_THAT(ioctl(-1, FIONREAD, nullptr), SyscallFailsWithErrno(EBADF));
  EXPECT_FALSE(isatty(fd.get()));
  EXPECT_EQ(errno, ENOTTY);
}

}  // namespace
}  // namespace moat::test
