// Pseudo-terminals and the line discipline (pty(7), termios(3)). Job control has a file of its own.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

class Pty : public testing::Test {
 protected:
  void SetUp() override {
    master_.Reset(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(master_.valid()) << ErrnoText(errno);
    int unlock = 0;
    ASSERT_THAT(ioctl(master_.get(), TIOCSPTLCK, &unlock), SyscallSucceeds());
    ASSERT_THAT(ioctl(master_.get(), TIOCGPTN, &number_), SyscallSucceeds());
    path_ = "/dev/pts/" + std::to_string(number_);
    slave_ = Open(path_, O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_TRUE(slave_.valid());
  }

  termios Get() {
    termios t = {};
    EXPECT_THAT(tcgetattr(slave_.get(), &t), SyscallSucceeds());
    return t;
  }
  void Set(const termios& t) { ASSERT_THAT(tcsetattr(slave_.get(), TCSANOW, &t), SyscallSucceeds()); }
  // Changes local flags.
  void Local(tcflag_t clear, tcflag_t set = 0) {
    termios t = Get();
    t.c_lflag = (t.c_lflag & ~clear) | set;
    Set(t);
  }
  void Raw() {
    termios t = Get();
    cfmakeraw(&t);
    Set(t);
  }
  // What one read of at most `size` bytes gives, or the errno's name when there is nothing.
  std::string ReadOnce(const FileDescriptor& fd, size_t size = 256) {
    const int old = fcntl(fd.get(), F_GETFL);
    fcntl(fd.get(), F_SETFL, old | O_NONBLOCK);
    std::string buf(size, '\0');
    const ssize_t n = read(fd.get(), buf.data(), size);
    const int error = errno;
    fcntl(fd.get(), F_SETFL, old);
    return n < 0 ? strerrorname_np(error) : buf.substr(0, static_cast<size_t>(n));
  }
  void Type(std::string_view text) { EXPECT_TRUE(WriteAll(master_.get(), text)); }
  // Input and echo pass through a worker on Linux: wait until `fd` can be read.
  std::string Await(const FileDescriptor& fd, size_t size = 256) {
    pollfd pfd = {fd.get(), POLLIN, 0};
    EXPECT_THAT(poll(&pfd, 1, 10000), SyscallSucceedsWithValue(1));
    return ReadOnce(fd, size);
  }

  FileDescriptor master_, slave_;
  unsigned number_ = 0;
  std::string path_;
};

TEST_F(Pty, SlaveIsACharacterDeviceAndATerminal) {
  struct stat st;
  ASSERT_THAT(fstat(slave_.get(), &st), SyscallSucceeds());
  EXPECT_TRUE(S_ISCHR(st.st_mode));
  EXPECT_EQ(major(st.st_rdev), 136u);
  EXPECT_EQ(minor(st.st_rdev), number_);
  EXPECT_TRUE(isatty(slave_.get()));
  EXPECT_TRUE(isatty(master_.get()));
}

TEST_F(Pty, SlaveIsLockedUntilUnlocked) {
  FileDescriptor master(open("/dev/ptmx", O_RDWR | O_NOCTTY));
  unsigned n = 0;
  ASSERT_THAT(ioctl(master.get(), TIOCGPTN, &n), SyscallSucceeds());
  EXPECT_NE(n, number_);
  const std::string path = "/dev/pts/" + std::to_string(n);
  EXPECT_THAT(open(path.c_str(), O_RDWR | O_NOCTTY), SyscallFailsWithErrno(EIO));
}

TEST_F(Pty, SlavesEntryGoesWithTheMaster) {
  EXPECT_THAT(access(path_.c_str(), F_OK), SyscallSucceeds());
  // Another process may take the number at once, so more than one try is allowed.
  EXPECT_TRUE(Eventually([&] {
    slave_.Reset();
    master_.Reset();
    const bool gone = access(path_.c_str(), F_OK) != 0 && errno == ENOENT;
    if (!gone) SetUp();
    return gone;
  }));
}

TEST_F(Pty, CanonicalInputComesLineByLine) {
  Type("one\ntwo\nunfinished");
  EXPECT_EQ(Await(slave_), "one\n");
  EXPECT_EQ(Await(slave_), "two\n");
  EXPECT_EQ(ReadOnce(slave_), "EAGAIN");
  Type("\n");
  EXPECT_EQ(Await(slave_, 4), "unfi");
  EXPECT_EQ(ReadOnce(slave_), "nished\n");
}

TEST_F(Pty, EchoReturnsInputToTheMaster) {
  Type("ab\n");
  EXPECT_EQ(Await(master_), "ab\r\n");
  Local(ECHO);
  Type("cd\n");
  EXPECT_EQ(Await(slave_), "ab\n");
  EXPECT_EQ(Await(slave_), "cd\n");
  EXPECT_EQ(ReadOnce(master_), "EAGAIN");
}

TEST_F(Pty, OutputNewlinesBecomeCrLf) {
  EXPECT_TRUE(WriteAll(slave_.get(), "x\ny"));
  EXPECT_EQ(Await(master_), "x\r\ny");
  termios t = Get();
  t.c_oflag &= ~OPOST;
  Set(t);
  EXPECT_TRUE(WriteAll(slave_.get(), "x\ny"));
  EXPECT_EQ(Await(master_), "x\ny");
}

TEST_F(Pty, CarriageReturnBecomesNewlineOnInput) {
  Type("x\r");
  EXPECT_EQ(Await(slave_), "x\n");
}

TEST_F(Pty, EraseAndKillEditTheLine) {
  Local(ECHO);
  Type("abx\177c\n");
  EXPECT_EQ(Await(slave_), "abc\n");
  Type("gone\025kept\n");
  EXPECT_EQ(Await(slave_), "kept\n");
}

TEST_F(Pty, EofCharacterEndsTheReadWithoutANewline) {
  Local(ECHO);
  Type("part\004");
  EXPECT_EQ(Await(slave_), "part");
  Type("\004");
  EXPECT_EQ(Await(slave_), "");
}

TEST_F(Pty, RawModePassesBytesUnchanged) {
  Raw();
  Type("a\r\n\003\004\177");
  EXPECT_EQ(Await(slave_), "a\r\n\003\004\177");
  EXPECT_EQ(ReadOnce(master_), "EAGAIN");
}

TEST_F(Pty, VminMakesAReadWaitForThatMany) {
  Raw();
  termios t = Get();
  t.c_cc[VMIN] = 3;
  t.c_cc[VTIME] = 0;
  Set(t);
  char buf[8];
  ssize_t n = 0;
  ScopedThread reader([&] { n = read(slave_.get(), buf, sizeof(buf)); });
  reader.WaitUntilAsleep();
  Type("ab");
  SleepMs(10);
  Type("c");
  reader.Join();
  EXPECT_EQ(n, 3);
}

TEST_F(Pty, VtimeWithoutVminIsATimeout) {
  Raw();
  termios t = Get();
  t.c_cc[VMIN] = 0;
  t.c_cc[VTIME] = 1;
  Set(t);
  char c;
  const long start = MonotonicNs();
  EXPECT_THAT(read(slave_.get(), &c, 1), SyscallSucceedsWithValue(0));
  EXPECT_GE(MonotonicNs() - start, 50000000);
}

TEST_F(Pty, AttributesAreKeptAndSharedByBothEnds) {
  termios t = Get();
  EXPECT_NE(t.c_lflag & ICANON, 0u);
  EXPECT_NE(t.c_lflag & ECHO, 0u);
  EXPECT_NE(t.c_oflag & OPOST, 0u);
  EXPECT_EQ(t.c_cc[VINTR], 3);
  t.c_cc[VINTR] = 'i';
  Set(t);
  termios from_master = {};
  ASSERT_THAT(tcgetattr(master_.get(), &from_master), SyscallSucceeds());
  EXPECT_EQ(from_master.c_cc[VINTR], 'i');
}

TEST_F(Pty, WindowSizeIsShared) {
  winsize size = {40, 120, 3, 4};
  ASSERT_THAT(ioctl(master_.get(), TIOCSWINSZ, &size), SyscallSucceeds());
  winsize got = {};
  ASSERT_THAT(ioctl(slave_.get(), TIOCGWINSZ, &got), SyscallSucceeds());
  EXPECT_EQ(got.ws_row, 40);
  EXPECT_EQ(got.ws_col, 120);
  EXPECT_THAT(ioctl(slave_.get(), TIOCGWINSZ, BadPointer<winsize>()), SyscallFailsWithErrno(EFAULT));
}

TEST_F(Pty, MasterReadsEioAfterTheLastSlaveCloses) {
  EXPECT_TRUE(WriteAll(slave_.get(), "last"));
  slave_.Reset();
  EXPECT_EQ(Await(master_), "last");
  EXPECT_EQ(ReadOnce(master_), "EIO");
  pollfd pfd = {master_.get(), POLLIN, 0};
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(pfd.revents & POLLHUP, POLLHUP);
  // A new slave brings it back.
  slave_ = Open(path_, O_RDWR | O_NOCTTY);
  EXPECT_EQ(ReadOnce(master_), "EAGAIN");
}

TEST_F(Pty, SlaveReadsEofAndCannotWriteAfterTheMasterCloses) {
  master_.Reset();
  EXPECT_EQ(ReadOnce(slave_), "");
  EXPECT_THAT(write(slave_.get(), "x", 1), SyscallFailsWithErrno(EIO));
}

TEST_F(Pty, InputQueueIsCounted) {
  Local(ECHO);
  Type("four\n");
  pollfd pfd = {slave_.get(), POLLIN, 0};
  ASSERT_THAT(poll(&pfd, 1, 10000), SyscallSucceedsWithValue(1));
  int n = 0;
  ASSERT_THAT(ioctl(slave_.get(), FIONREAD, &n), SyscallSucceeds());
  EXPECT_EQ(n, 5);
  ASSERT_THAT(tcflush(slave_.get(), TCIFLUSH), SyscallSucceeds());
  EXPECT_EQ(ReadOnce(slave_), "EAGAIN");
}

TEST_F(Pty, InterruptCharacterSignalsTheForegroundGroup) {
  Pipe ready;
  ScopedChild child([&] {
    SignalCounter sigint(SIGINT);
    ASSERT_THAT(setsid(), SyscallSucceeds());
    ASSERT_THAT(ioctl(slave_.get(), TIOCSCTTY, 0), SyscallSucceeds());
    FileDescriptor tty = Open("/dev/tty", O_RDWR);
    EXPECT_TRUE(tty.valid());
    WriteAll(ready.writer.get(), "x");
    char buf[16];
    EXPECT_THAT(read(slave_.get(), buf, sizeof(buf)), SyscallFailsWithErrno(EINTR));
    EXPECT_EQ(sigint.count(), 1);
  });
  EXPECT_EQ(ReadAll(ready.reader.get(), 1), "x");
  WaitUntilAsleep(child.pid());
  Type("\003");
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST_F(Pty, SeeksAndTruncationDoNotApply) {
  EXPECT_THAT(lseek(slave_.get(), 0, SEEK_SET), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(ftruncate(slave_.get(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(ioctl(slave_.get(), TIOCGPTN, &number_), SyscallFailsWithErrno(ENOTTY));
}

}  // namespace
}  // namespace moat::test
