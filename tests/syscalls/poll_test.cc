// poll(2), ppoll(2), select(2), pselect6(2).
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

// What poll says at once of one descriptor.
short Revents(int fd, short events) {
  pollfd pfd = {fd, events, 0};
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceeds());
  return pfd.revents;
}

fd_set Set(std::initializer_list<int> fds) {
  fd_set set;
  FD_ZERO(&set);
  for (int fd : fds) FD_SET(fd, &set);
  return set;
}

TEST(Poll, PipeStates) {
  ScopedSigaction ignore(SIGPIPE, SIG_IGN);
  Pipe pipe;
  EXPECT_EQ(Revents(pipe.reader.get(), POLLIN), 0);
  EXPECT_EQ(Revents(pipe.writer.get(), POLLOUT), POLLOUT);
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_EQ(Revents(pipe.reader.get(), POLLIN | POLLRDNORM), POLLIN | POLLRDNORM);
  EXPECT_EQ(Revents(pipe.reader.get(), POLLPRI), 0);
  pipe.writer.Reset();
  EXPECT_EQ(Revents(pipe.reader.get(), POLLIN), POLLIN | POLLHUP);
  ReadAll(pipe.reader.get());
  EXPECT_EQ(Revents(pipe.reader.get(), POLLIN), POLLHUP);
  EXPECT_EQ(Revents(pipe.reader.get(), 0), POLLHUP);
}

TEST(Poll, WriterWithoutReaderIsAnError) {
  Pipe pipe;
  pipe.reader.Reset();
  EXPECT_EQ(Revents(pipe.writer.get(), POLLOUT), POLLOUT | POLLERR);
}

TEST(Poll, FullPipeIsNotWritable) {
  Pipe pipe(O_NONBLOCK);
  const std::string data(1 << 20, 'x');
  ASSERT_THAT(write(pipe.writer.get(), data.data(), data.size()), SyscallSucceeds());
  EXPECT_EQ(Revents(pipe.writer.get(), POLLOUT), 0);
}

TEST(Poll, RegularFilesAndDirectoriesAreAlwaysReady) {
  TempFile file;
  FileDescriptor fd = file.Open(), dir = Open(file.dir().path(), O_RDONLY);
  EXPECT_EQ(Revents(fd.get(), POLLIN | POLLOUT), POLLIN | POLLOUT);
  EXPECT_EQ(Revents(dir.get(), POLLIN), POLLIN);
}

TEST(Poll, BadDescriptorsAreReportedAndNegativeOnesSkipped) {
  Pipe pipe;
  pollfd pfds[] = {{-1, POLLIN, 99}, {12345, POLLIN, 0}, {pipe.writer.get(), POLLOUT, 0}};
  EXPECT_THAT(poll(pfds, 3, -1), SyscallSucceedsWithValue(2));
  EXPECT_EQ(pfds[0].revents, 0);
  EXPECT_EQ(pfds[1].revents, POLLNVAL);
  EXPECT_EQ(pfds[2].revents, POLLOUT);
  FileDescriptor path = Open("/", O_PATH);
  EXPECT_EQ(Revents(path.get(), POLLIN), POLLNVAL);
}

TEST(Poll, TimesOutWithNothing) {
  const long start = MonotonicNs();
  EXPECT_THAT(poll(nullptr, 0, 30), SyscallSucceedsWithValue(0));
  EXPECT_GE(MonotonicNs() - start, 30000000);
}

TEST(Poll, WakesForLaterData) {
  Pipe pipe;
  ScopedThread writer([&] {
    SleepMs(20);
    WriteAll(pipe.writer.get(), "x");
  });
  pollfd pfd = {pipe.reader.get(), POLLIN, 0};
  EXPECT_THAT(poll(&pfd, 1, -1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(pfd.revents, POLLIN);
}

TEST(Poll, WakesForHangupWithoutAsking) {
  Pipe pipe;
  ScopedThread closer([&] {
    SleepMs(20);
    pipe.writer.Reset();
  });
  pollfd pfd = {pipe.reader.get(), 0, 0};
  EXPECT_THAT(poll(&pfd, 1, -1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(pfd.revents, POLLHUP);
}

TEST(Poll, SocketpairHangups) {
  int fds[2];
  ASSERT_THAT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), SyscallSucceeds());
  FileDescriptor a(fds[0]), b(fds[1]);
  EXPECT_EQ(Revents(a.get(), POLLIN | POLLOUT | POLLRDHUP), POLLOUT);
  ASSERT_THAT(shutdown(b.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_EQ(Revents(a.get(), POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP);
  b.Reset();
  EXPECT_EQ(Revents(a.get(), POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
}

TEST(Poll, IsInterruptedEvenWithRestart) {
  ScopedChild child([] {
    SignalCounter usr1(SIGUSR1, SA_RESTART);
    EXPECT_THAT(poll(nullptr, 0, -1), SyscallFailsWithErrno(EINTR));
    EXPECT_EQ(usr1.count(), 1);
  });
  WaitUntilAsleep(child.pid());
  kill(child.pid(), SIGUSR1);
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(Poll, BadArguments) {
  EXPECT_THAT(poll(BadPointer<pollfd>(), 1, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(RunInChild([] {
                const rlimit limit = {20, 20};
                ASSERT_THAT(setrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
                std::vector<pollfd> many(21, pollfd{-1, 0, 0});
                EXPECT_THAT(poll(many.data(), 21, 0), SyscallFailsWithErrno(EINVAL));
                EXPECT_THAT(poll(many.data(), 20, 0), SyscallSucceedsWithValue(0));
              }),
              ExitedWith(0));
}

TEST(Ppoll, SwapsTheMaskWhileWaiting) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  SignalCounter usr1(SIGUSR1);
  raise(SIGUSR1);
  EXPECT_EQ(usr1.count(), 0);
  const sigset_t none = SignalSet({});
  EXPECT_THAT(ppoll(nullptr, 0, nullptr, &none), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(usr1.count(), 1);
  // And the former mask is back.
  raise(SIGUSR1);
  EXPECT_EQ(usr1.count(), 1);
  DrainSignals({SIGUSR1});
}

TEST(Ppoll, WritesTheRemainingTimeBack) {
  Pipe pipe;
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  pollfd pfd = {pipe.reader.get(), POLLIN, 0};
  timespec timeout = {100, 0};
  EXPECT_THAT(syscall(SYS_ppoll, &pfd, 1, &timeout, nullptr, 8), SyscallSucceedsWithValue(1));
  EXPECT_LT(timeout.tv_sec, 100);
  EXPECT_GE(timeout.tv_sec, 0);
}

TEST(Ppoll, BadArguments) {
  timespec timeout = {0, 1000000000};
  EXPECT_THAT(syscall(SYS_ppoll, nullptr, 0, &timeout, nullptr, 8), SyscallFailsWithErrno(EINVAL));
  timeout = {-1, 0};
  EXPECT_THAT(syscall(SYS_ppoll, nullptr, 0, &timeout, nullptr, 8), SyscallFailsWithErrno(EINVAL));
  timeout = {0, 0};
  const sigset_t none = SignalSet({});
  EXPECT_THAT(syscall(SYS_ppoll, nullptr, 0, &timeout, &none, 4), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_ppoll, nullptr, 0, BadPointer(), nullptr, 8), SyscallFailsWithErrno(EFAULT));
}

TEST(Select, ReportsEachSet) {
  Pipe a, b;
  EXPECT_TRUE(WriteAll(a.writer.get(), "x"));
  fd_set readable = Set({a.reader.get(), b.reader.get()});
  fd_set writable = Set({a.writer.get(), b.writer.get()});
  timeval zero = {};
  EXPECT_THAT(select(FD_SETSIZE, &readable, &writable, nullptr, &zero), SyscallSucceedsWithValue(3));
  EXPECT_TRUE(FD_ISSET(a.reader.get(), &readable));
  EXPECT_FALSE(FD_ISSET(b.reader.get(), &readable));
  EXPECT_TRUE(FD_ISSET(b.writer.get(), &writable));
}

TEST(Select, ClearsTheSetsOnTimeout) {
  Pipe pipe;
  fd_set readable = Set({pipe.reader.get()});
  timeval timeout = {0, 10000};
  EXPECT_THAT(select(FD_SETSIZE, &readable, nullptr, nullptr, &timeout), SyscallSucceedsWithValue(0));
  EXPECT_FALSE(FD_ISSET(pipe.reader.get(), &readable));
  EXPECT_EQ(timeout.tv_sec, 0);
  EXPECT_EQ(timeout.tv_usec, 0);
}

TEST(Select, LooksOnlyBelowTheCount) {
  Pipe pipe;
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  fd_set readable = Set({pipe.reader.get()});
  timeval zero = {};
  EXPECT_THAT(select(pipe.reader.get(), &readable, nullptr, nullptr, &zero), SyscallSucceedsWithValue(0));
}

TEST(Select, HangupIsReadableAndErrorWritable) {
  Pipe a, b;
  a.writer.Reset();
  b.reader.Reset();
  fd_set readable = Set({a.reader.get()}), writable = Set({b.writer.get()});
  EXPECT_THAT(select(FD_SETSIZE, &readable, &writable, nullptr, nullptr), SyscallSucceedsWithValue(2));
}

TEST(Select, BadArguments) {
  timeval zero = {};
  const int free_fd = dup(0);
  close(free_fd);
  fd_set closed = Set({free_fd});
  EXPECT_THAT(select(free_fd + 1, &closed, nullptr, nullptr, &zero), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(syscall(SYS_select, -1, nullptr, nullptr, nullptr, &zero), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_select, 10, BadPointer(), nullptr, nullptr, &zero), SyscallFailsWithErrno(EFAULT));
  timeval negative = {-1, 0};
  EXPECT_THAT(syscall(SYS_select, 0, nullptr, nullptr, nullptr, &negative), SyscallFailsWithErrno(EINVAL));
}

TEST(Pselect, SwapsTheMaskWhileWaiting) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR2});
  SignalCounter usr2(SIGUSR2);
  raise(SIGUSR2);
  const sigset_t none = SignalSet({});
  const timespec timeout = {100, 0};
  EXPECT_THAT(pselect(0, nullptr, nullptr, nullptr, &timeout, &none), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(usr2.count(), 1);
  EXPECT_EQ(timeout.tv_sec, 100);
}

}  // namespace
}  // namespace moat::test
