// pipe(2) and pipe2(2): end of file, blocking, atomicity, errors.
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

TEST(Pipe, ReadsWhatWasWrittenInOrder) {
  Pipe pipe;
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "abc"));
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "def"));
  EXPECT_EQ(ReadAll(pipe.reader.get(), 2), "ab");
  char buf[16];
  EXPECT_THAT(read(pipe.reader.get(), buf, sizeof(buf)), SyscallSucceedsWithValue(4));
  EXPECT_EQ(std::string(buf, 4), "cdef");
}

TEST(Pipe, EndsAreOneWay) {
  Pipe pipe;
  char c = 'x';
  EXPECT_THAT(write(pipe.reader.get(), &c, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(read(pipe.writer.get(), &c, 1), SyscallFailsWithErrno(EBADF));
}

TEST(Pipe, ReadWithoutWriterIsEofAfterTheData) {
  Pipe pipe;
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  pipe.writer.Reset();
  char buf[4];
  EXPECT_THAT(read(pipe.reader.get(), buf, 4), SyscallSucceedsWithValue(1));
  EXPECT_THAT(read(pipe.reader.get(), buf, 4), SyscallSucceedsWithValue(0));
  EXPECT_THAT(read(pipe.reader.get(), buf, 4), SyscallSucceedsWithValue(0));
}

TEST(Pipe, WriteWithoutReaderSignalsAndFails) {
  SignalCounter sigpipe(SIGPIPE);
  Pipe pipe;
  pipe.reader.Reset();
  EXPECT_THAT(write(pipe.writer.get(), "x", 1), SyscallFailsWithErrno(EPIPE));
  EXPECT_EQ(sigpipe.count(), 1);
  // Nothing to write needs no reader.
  EXPECT_THAT(write(pipe.writer.get(), "", 0), SyscallSucceedsWithValue(0));
  EXPECT_EQ(sigpipe.count(), 1);
}

TEST(Pipe, SigpipeKillsByDefault) {
  EXPECT_THAT(RunInChild([] {
                Pipe pipe;
                pipe.reader.Reset();
                (void)!write(pipe.writer.get(), "x", 1);
              }),
              KilledBy(SIGPIPE));
}

TEST(Pipe, NonblockingEmptyAndFull) {
  Pipe pipe(O_NONBLOCK);
  char c;
  EXPECT_THAT(read(pipe.reader.get(), &c, 1), SyscallFailsWithErrno(EAGAIN));
  const std::string page(4096, 'x');
  long total = 0;
  ssize_t n;
  while ((n = write(pipe.writer.get(), page.data(), page.size())) > 0) total += n;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_THAT(fcntl(pipe.writer.get(), F_GETPIPE_SZ), SyscallSucceedsWithValue(total));
  int queued = 0;
  ASSERT_THAT(ioctl(pipe.reader.get(), FIONREAD, &queued), SyscallSucceeds());
  EXPECT_EQ(queued, total);
}

TEST(Pipe, SmallWriteToANearlyFullPipeIsAllOrNothing) {
  Pipe pipe(O_NONBLOCK);
  ASSERT_THAT(fcntl(pipe.writer.get(), F_SETPIPE_SZ, 4096), SyscallSucceedsWithValue(4096));
  const std::string data(4096, 'x');
  EXPECT_THAT(write(pipe.writer.get(), data.data(), 4000), SyscallSucceedsWithValue(4000));
  EXPECT_THAT(write(pipe.writer.get(), data.data(), 200), SyscallFailsWithErrno(EAGAIN));
  int queued = 0;
  ASSERT_THAT(ioctl(pipe.reader.get(), FIONREAD, &queued), SyscallSucceeds());
  EXPECT_EQ(queued, 4000);
}

TEST(Pipe, LargeNonblockingWriteIsPartial) {
  Pipe pipe(O_NONBLOCK);
  const std::string data(1 << 20, 'x');
  const long capacity = fcntl(pipe.writer.get(), F_GETPIPE_SZ);
  EXPECT_THAT(write(pipe.writer.get(), data.data(), data.size()), SyscallSucceedsWithValue(capacity));
}

TEST(Pipe, WritesUpToPipeBufDoNotInterleave) {
  Pipe pipe;
  constexpr int kWriters = 3, kRounds = 20;
  std::vector<std::unique_ptr<ScopedChild>> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.push_back(std::make_unique<ScopedChild>([&, w] {
      const std::string block(PIPE_BUF, static_cast<char>('a' + w));
      for (int i = 0; i < kRounds; ++i) {
        ASSERT_THAT(write(pipe.writer.get(), block.data(), block.size()), SyscallSucceedsWithValue(PIPE_BUF));
      }
    }));
  }
  pipe.writer.Reset();
  const std::string all = ReadAll(pipe.reader.get());
  for (auto& writer : writers) EXPECT_THAT(writer->Wait(), ExitedWith(0));
  ASSERT_EQ(all.size(), size_t{kWriters} * kRounds * PIPE_BUF);
  for (size_t i = 0; i < all.size(); i += PIPE_BUF) {
    EXPECT_EQ(all.substr(i, PIPE_BUF), std::string(PIPE_BUF, all[i])) << i;
  }
}

TEST(Pipe, BlockedReaderWakesForData) {
  Pipe pipe;
  std::string got;
  ScopedThread reader([&] { got = ReadAll(pipe.reader.get(), 2); });
  reader.WaitUntilAsleep();
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "hi"));
  reader.Join();
  EXPECT_EQ(got, "hi");
}

TEST(Pipe, BlockedReaderWakesForTheLastWriter) {
  Pipe pipe;
  ssize_t n = -2;
  ScopedThread reader([&] {
    char c;
    n = read(pipe.reader.get(), &c, 1);
  });
  reader.WaitUntilAsleep();
  pipe.writer.Reset();
  reader.Join();
  EXPECT_EQ(n, 0);
}

TEST(Pipe, BlockedWriterWakesForRoom) {
  Pipe pipe;
  const std::string data(200000, 'w');
  ScopedThread writer([&] { WriteAll(pipe.writer.get(), data); });
  writer.WaitUntilAsleep();
  EXPECT_EQ(ReadAll(pipe.reader.get(), data.size()), data);
}

TEST(Pipe, BlockedWriterFailsWhenTheReaderLeaves) {
  ScopedSigaction ignore(SIGPIPE, SIG_IGN);
  Pipe pipe;
  const std::string data(200000, 'w');
  int error = 0;
  ssize_t n = -2;
  ScopedThread writer([&] {
    n = write(pipe.writer.get(), data.data(), data.size());
    error = errno;
  });
  writer.WaitUntilAsleep();
  pipe.reader.Reset();
  writer.Join();
  // Either a short count of what went in, or the error if nothing did.
  EXPECT_TRUE((n > 0 && n < 200000) || (n == -1 && error == EPIPE)) << n << " " << error;
}

TEST(Pipe, ReadIsInterruptedOrRestartedBySignals) {
  Pipe pipe;
  ScopedChild plain([&] {
    SignalCounter usr1(SIGUSR1);
    char c;
    EXPECT_THAT(read(pipe.reader.get(), &c, 1), SyscallFailsWithErrno(EINTR));
  });
  WaitUntilAsleep(plain.pid());
  kill(plain.pid(), SIGUSR1);
  EXPECT_THAT(plain.Wait(), ExitedWith(0));

  ScopedChild restart([&] {
    SignalCounter usr1(SIGUSR1, SA_RESTART);
    char c;
    EXPECT_THAT(read(pipe.reader.get(), &c, 1), SyscallSucceedsWithValue(1));
    EXPECT_EQ(usr1.count(), 1);
  });
  WaitUntilAsleep(restart.pid());
  kill(restart.pid(), SIGUSR1);
  WaitUntilAsleep(restart.pid());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_THAT(restart.Wait(), ExitedWith(0));
}

TEST(Pipe, ZeroByteWriteMakesNothingReadable) {
  Pipe pipe(O_NONBLOCK);
  EXPECT_THAT(write(pipe.writer.get(), "", 0), SyscallSucceedsWithValue(0));
  char c;
  EXPECT_THAT(read(pipe.reader.get(), &c, 1), SyscallFailsWithErrno(EAGAIN));
}

TEST(Pipe, FaultingBuffersLoseNothing) {
  Pipe pipe(O_NONBLOCK);
  EXPECT_THAT(write(pipe.writer.get(), BadPointer<char>(), 4), SyscallFailsWithErrno(EFAULT));
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "data"));
  EXPECT_THAT(read(pipe.reader.get(), BadPointer<char>(), 4), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(ReadAll(pipe.reader.get(), 4), "data");
}

TEST(Pipe2, FlagsApplyToBothEnds) {
  Pipe pipe(O_CLOEXEC | O_NONBLOCK);
  for (int fd : {pipe.reader.get(), pipe.writer.get()}) {
    EXPECT_THAT(fcntl(fd, F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
    EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  }
  EXPECT_EQ(fcntl(pipe.reader.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(fcntl(pipe.writer.get(), F_GETFL) & O_ACCMODE, O_WRONLY);
}

TEST(Pipe2, BadArguments) {
  int fds[2];
  EXPECT_THAT(pipe2(fds, O_APPEND), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pipe2(fds, 1 << 30), SyscallFailsWithErrno(EINVAL));
  const int before = dup(0);
  close(before);
  EXPECT_THAT(syscall(SYS_pipe2, BadPointer(), 0), SyscallFailsWithErrno(EFAULT));
  // Nothing is left open by the failure.
  FileDescriptor next(dup(0));
  EXPECT_EQ(next.get(), before);
}

TEST(Pipe2, PacketModeKeepsMessageBoundaries) {
  Pipe pipe(O_DIRECT);
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "one"));
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "second"));
  char buf[16];
  EXPECT_THAT(read(pipe.reader.get(), buf, sizeof(buf)), SyscallSucceedsWithValue(3));
  // What does not fit of a packet is lost.
  EXPECT_THAT(read(pipe.reader.get(), buf, 2), SyscallSucceedsWithValue(2));
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_THAT(read(pipe.reader.get(), buf, sizeof(buf)), SyscallSucceedsWithValue(1));
}

TEST(Pipe, ReopenedThroughProcIsTheSamePipe) {
  Pipe pipe;
  FileDescriptor again = Open("/proc/self/fd/" + std::to_string(pipe.reader.get()), O_WRONLY | O_NONBLOCK);
  EXPECT_TRUE(WriteAll(again.get(), "hi"));
  EXPECT_EQ(ReadAll(pipe.reader.get(), 2), "hi");
}

TEST(Pipe, ReopenedThroughProcWaitsForNobody) {
  Pipe pipe;
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "left"));
  pipe.writer.Reset();
  FileDescriptor again = Open("/proc/self/fd/" + std::to_string(pipe.reader.get()), O_RDONLY);
  EXPECT_EQ(ReadAll(again.get()), "left");
}

}  // namespace
}  // namespace moat::test
