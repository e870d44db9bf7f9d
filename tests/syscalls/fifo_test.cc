// Named pipes (fifo(7)).
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

class Fifo : public testing::Test {
 protected:
  void SetUp() override { ASSERT_THAT(mkfifo(path_.c_str(), 0600), SyscallSucceeds()); }
  TempDir dir_;
  std::string path_ = dir_.Path("fifo");
};

TEST_F(Fifo, MkfifoRefusesExistingNames) {
  EXPECT_THAT(mkfifo(path_.c_str(), 0600), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mkfifo(dir_.Path("none/x").c_str(), 0600), SyscallFailsWithErrno(ENOENT));
}

TEST_F(Fifo, NonblockingReaderOpensAlone) {
  FileDescriptor reader = Open(path_, O_RDONLY | O_NONBLOCK);
  char c;
  // No writer yet reads as end of file; with a writer, as "try again".
  EXPECT_THAT(read(reader.get(), &c, 1), SyscallSucceedsWithValue(0));
  FileDescriptor writer = Open(path_, O_WRONLY | O_NONBLOCK);
  EXPECT_THAT(read(reader.get(), &c, 1), SyscallFailsWithErrno(EAGAIN));
  EXPECT_TRUE(WriteAll(writer.get(), "x"));
  EXPECT_THAT(read(reader.get(), &c, 1), SyscallSucceedsWithValue(1));
}

TEST_F(Fifo, NonblockingWriterNeedsAReader) {
  EXPECT_THAT(open(path_.c_str(), O_WRONLY | O_NONBLOCK), SyscallFailsWithErrno(ENXIO));
}

TEST_F(Fifo, ReadWriteOpensAtOnce) {
  FileDescriptor both = Open(path_, O_RDWR);
  EXPECT_TRUE(WriteAll(both.get(), "loop"));
  EXPECT_EQ(ReadAll(both.get(), 4), "loop");
  EXPECT_TRUE(Open(path_, O_WRONLY | O_NONBLOCK).valid());
}

TEST_F(Fifo, BlockingOpensMeet) {
  std::string got;
  ScopedThread thread([&] {
    FileDescriptor reader = Open(path_, O_RDONLY);
    got = ReadAll(reader.get());
  });
  thread.WaitUntilAsleep();
  FileDescriptor writer = Open(path_, O_WRONLY);
  EXPECT_TRUE(WriteAll(writer.get(), "met"));
  writer.Reset();
  thread.Join();
  EXPECT_EQ(got, "met");
}

TEST_F(Fifo, BlockingWriterWaitsForAReader) {
  ScopedThread thread([&] {
    FileDescriptor writer = Open(path_, O_WRONLY);
    WriteAll(writer.get(), "late");
  });
  thread.WaitUntilAsleep();
  FileDescriptor reader = Open(path_, O_RDONLY);
  EXPECT_EQ(ReadAll(reader.get()), "late");
}

TEST_F(Fifo, ReaderThatCameAndWentLetsTheWriterThrough) {
  std::atomic<bool> opened{false};
  ScopedThread thread([&] {
    FileDescriptor writer = Open(path_, O_WRONLY);
    opened = true;
  });
  thread.WaitUntilAsleep();
  Open(path_, O_RDONLY | O_NONBLOCK).Reset();
  thread.Join();
  EXPECT_TRUE(opened);
}

TEST_F(Fifo, BlockingOpenIsInterruptible) {
  ScopedChild child([&] {
    SignalCounter usr1(SIGUSR1);
    EXPECT_THAT(open(path_.c_str(), O_RDONLY), SyscallFailsWithErrno(EINTR));
  });
  WaitUntilAsleep(child.pid());
  kill(child.pid(), SIGUSR1);
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST_F(Fifo, EofRepeatsUntilAWriterComesBack) {
  FileDescriptor reader = Open(path_, O_RDONLY | O_NONBLOCK);
  for (int i = 0; i < 3; ++i) {
    FileDescriptor writer = Open(path_, O_WRONLY);
    EXPECT_TRUE(WriteAll(writer.get(), "x"));
    writer.Reset();
    EXPECT_EQ(ReadAll(reader.get()), "x");
    EXPECT_EQ(ReadAll(reader.get()), "");
  }
}

TEST_F(Fifo, HangupIsReportedOnlyAfterAWriterLeft) {
  FileDescriptor reader = Open(path_, O_RDONLY | O_NONBLOCK);
  pollfd pfd = {reader.get(), POLLIN, 0};
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(0));
  Open(path_, O_WRONLY).Reset();
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(pfd.revents, POLLHUP);
  FileDescriptor writer = Open(path_, O_WRONLY);
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(0));
}

TEST_F(Fifo, LinksAndRenamesReachTheSamePipe) {
  FileDescriptor reader = Open(path_, O_RDONLY | O_NONBLOCK);
  ASSERT_THAT(link(path_.c_str(), dir_.Path("other").c_str()), SyscallSucceeds());
  FileDescriptor a = Open(dir_.Path("other"), O_WRONLY);
  ASSERT_THAT(rename(path_.c_str(), dir_.Path("moved").c_str()), SyscallSucceeds());
  FileDescriptor b = Open(dir_.Path("moved"), O_WRONLY);
  EXPECT_TRUE(WriteAll(a.get(), "a"));
  EXPECT_TRUE(WriteAll(b.get(), "b"));
  EXPECT_EQ(ReadAll(reader.get(), 2), "ab");
}

TEST_F(Fifo, ContentsGoWithTheLastDescriptor) {
  {
    FileDescriptor both = Open(path_, O_RDWR);
    EXPECT_TRUE(WriteAll(both.get(), "lost"));
  }
  FileDescriptor both = Open(path_, O_RDWR | O_NONBLOCK);
  char c;
  EXPECT_THAT(read(both.get(), &c, 1), SyscallFailsWithErrno(EAGAIN));
}

TEST_F(Fifo, TruncateFlagIsIgnoredAndSeeksFail) {
  FileDescriptor both = Open(path_, O_RDWR);
  EXPECT_TRUE(WriteAll(both.get(), "kept"));
  FileDescriptor writer = Open(path_, O_WRONLY | O_TRUNC | O_CREAT);
  EXPECT_EQ(ReadAll(both.get(), 4), "kept");
  EXPECT_THAT(lseek(both.get(), 0, SEEK_SET), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(truncate(path_.c_str(), 0), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace moat::test
