// Interrupted system calls: which fail with EINTR, which start again under SA_RESTART, and which go on by
// themselves.
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <functional>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

// A blocking call that never completes by itself.
struct BlockingCall {
  const char* name;
  std::function<long(int pipe_read_end, const TempDir& dir)> call;
};

void PrintTo(const BlockingCall& call, std::ostream* os) { *os << call.name; }

class BlockingCallTest : public testing::TestWithParam<BlockingCall> {
 protected:
  BlockingCallTest() { EXPECT_THAT(pipe(fds_), SyscallSucceeds()); }
  ~BlockingCallTest() override {
    close(fds_[0]);
    close(fds_[1]);
  }
  int fds_[2];
  TempDir dir_;
};

int futex_word = 0;

using InterruptedWithoutRestart = BlockingCallTest;
TEST_P(InterruptedWithoutRestart, FailsWithEintrAfterAHandler) {
  SignalCounter counter(SIGUSR1, 0);
  Nudger nudger(SIGUSR1);
  EXPECT_THAT(GetParam().call(fds_[0], dir_), SyscallFailsWithErrno(EINTR));
  EXPECT_GE(counter.count(), 1);
}

using NeverRestarted = BlockingCallTest;
TEST_P(NeverRestarted, FailsWithEintrEvenUnderRestart) {
  SignalCounter counter(SIGUSR1, SA_RESTART);
  Nudger nudger(SIGUSR1);
  EXPECT_THAT(GetParam().call(fds_[0], dir_), SyscallFailsWithErrno(EINTR));
  EXPECT_GE(counter.count(), 1);
}

const BlockingCall kRestartable[] = {
    {"read",
     [](int fd, const TempDir&) -> long {
       char byte;
       return read(fd, &byte, 1);
     }},
    {"futex_wait",
     [](int, const TempDir&) { return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, nullptr, nullptr, 0); }},
    {"futex_wait_bitset",
     [](int, const TempDir&) {
       return syscall(SYS_futex, &futex_word, FUTEX_WAIT_BITSET, 0, nullptr, nullptr, ~0u);
     }},
    {"accept",
     [](int, const TempDir& dir) -> long {
       FileDescriptor listener(socket(AF_UNIX, SOCK_STREAM, 0));
       sockaddr address = {AF_UNIX, {}};
       bind(listener.get(), &address, sizeof(sa_family_t));  // an address of the kernel's choice
       listen(listener.get(), 1);
       return accept(listener.get(), nullptr, nullptr);
     }},
    {"recv",
     [](int, const TempDir& dir) -> long {
       int pair[2];
       socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
       FileDescriptor a(pair[0]), b(pair[1]);
       char byte;
       return recv(a.get(), &byte, 1, 0);
     }},
    {"flock",
     [](int, const TempDir& dir) -> long {
       const std::string path = dir.CreateFile("locked");
       FileDescriptor holder = Open(path, O_RDWR), waiter = Open(path, O_RDWR);
       flock(holder.get(), LOCK_EX);
       return flock(waiter.get(), LOCK_EX);
     }},
    {"fcntl_setlkw",
     [](int, const TempDir& dir) -> long {
       const std::string path = dir.CreateFile("locked");
       FileDescriptor holder = Open(path, O_RDWR), waiter = Open(path, O_RDWR);
       struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0, .l_pid = 0};
       fcntl(holder.get(), F_OFD_SETLK, &lock);
       return fcntl(waiter.get(), F_SETLKW, &lock);
     }},
    {"open_fifo",
     [](int, const TempDir& dir) -> long {
       mkfifo(dir.Path("fifo").c_str(), 0600);
       return open(dir.Path("fifo").c_str(), O_RDONLY);
     }},
};

const BlockingCall kNotRestartable[] = {
    {"nanosleep",
     [](int, const TempDir& dir) -> long {
       const timespec ts = {100, 0};
       return nanosleep(&ts, nullptr);
     }},
    {"clock_nanosleep",
     [](int, const TempDir& dir) -> long {
       const timespec ts = {100, 0};
       errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, nullptr);
       return errno ? -1 : 0;
     }},
    {"poll",
     [](int fd, const TempDir&) -> long {
       pollfd p = {fd, POLLIN, 0};
       return poll(&p, 1, -1);
     }},
    {"ppoll",
     [](int fd, const TempDir&) -> long {
       pollfd p = {fd, POLLIN, 0};
       return ppoll(&p, 1, nullptr, nullptr);
     }},
    {"select",
     [](int fd, const TempDir&) -> long {
       fd_set set;
       FD_ZERO(&set);
       FD_SET(fd, &set);
       return select(fd + 1, &set, nullptr, nullptr, nullptr);
     }},
    {"epoll_wait",
     [](int, const TempDir& dir) -> long {
       FileDescriptor epoll(epoll_create1(0));
       epoll_event event;
       return epoll_wait(epoll.get(), &event, 1, -1);
     }},
    {"pause", [](int, const TempDir&) -> long { return pause(); }},
    {"futex_wait_with_timeout",
     [](int, const TempDir& dir) -> long {
       const timespec ts = {100, 0};
       return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, &ts, nullptr, 0);
     }},
    {"recv_with_timeout",
     [](int, const TempDir& dir) -> long {
       int pair[2];
       socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
       FileDescriptor a(pair[0]), b(pair[1]);
       const timeval timeout = {100, 0};
       setsockopt(a.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
       char byte;
       return recv(a.get(), &byte, 1, 0);
     }},
};

std::string CallName(const testing::TestParamInfo<BlockingCall>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Restartable, InterruptedWithoutRestart, testing::ValuesIn(kRestartable), CallName);
INSTANTIATE_TEST_SUITE_P(Others, InterruptedWithoutRestart, testing::ValuesIn(kNotRestartable), CallName);

// A futex wait with a relative timeout restarts through restart_syscall, which a handler without SA_RESTART,
// and with it, turns into EINTR: it belongs to the calls that a handler always ends.
INSTANTIATE_TEST_SUITE_P(Calls, NeverRestarted, testing::ValuesIn(kNotRestartable), CallName);

// Runs `complete` on another thread once the handler of SIGUSR1 has run while this thread slept, and it
// sleeps again.
class CompleteAfterSignal {
 public:
  CompleteAfterSignal(const SignalCounter& counter, std::function<void()> complete)
      : thread_([&counter, complete, tid = gettid()] {
          WaitUntilAsleep(getpid(), tid);
          TgKill(getpid(), tid, SIGUSR1);
          (void)Eventually([&] { return counter.count() > 0; });
          WaitUntilAsleep(getpid(), tid);
          complete();
        }) {}

 private:
  ScopedThread thread_;
};

TEST(RestartTest, ReadGoesOnUnderRestart) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  SignalCounter counter(SIGUSR1, SA_RESTART);
  CompleteAfterSignal later(counter, [&] { EXPECT_EQ(write(fds[1], "ab", 2), 2); });
  char buffer[4];
  EXPECT_THAT(read(fds[0], buffer, 4), SyscallSucceedsWithValue(2));
  EXPECT_EQ(counter.count(), 1);
  close(fds[0]);
  close(fds[1]);
}

TEST(RestartTest, WriteToAFullPipeGoesOnUnderRestart) {
  int fds[2];
  ASSERT_THAT(pipe2(fds, O_NONBLOCK), SyscallSucceeds());
  const std::string filler(65536, 'f');
  while (write(fds[1], filler.data(), filler.size()) > 0) {
  }
  fcntl(fds[1], F_SETFL, 0);
  SignalCounter counter(SIGUSR1, SA_RESTART);
  CompleteAfterSignal later(counter, [&] {
    std::string sink(1 << 20, 0);
    EXPECT_THAT(read(fds[0], sink.data(), sink.size()), SyscallSucceeds());
  });
  EXPECT_THAT(write(fds[1], "x", 1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(counter.count(), 1);
  close(fds[0]);
  close(fds[1]);
}

TEST(RestartTest, WriteThatHasMovedBytesReturnsTheirNumber) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  SignalCounter counter(SIGUSR1, SA_RESTART);
  Nudger nudger(SIGUSR1);
  const std::string big(1 << 20, 'x');
  EXPECT_THAT(write(fds[1], big.data(), big.size()),
              SyscallSucceedsWithValue(testing::AllOf(testing::Gt(0), testing::Lt(1 << 20))));
  close(fds[0]);
  close(fds[1]);
}

TEST(RestartTest, WaitGoesOnUnderRestart) {
  Gate finish;
  const pid_t pid = ForkAndRun([&]() -> int {
    finish.Wait();
    return 3;
  });
  SignalCounter counter(SIGUSR1, SA_RESTART);
  CompleteAfterSignal later(counter, [&] { finish.Open(); });
  int status;
  EXPECT_THAT(waitpid(pid, &status, 0), SyscallSucceedsWithValue(pid));
  EXPECT_THAT(status, ExitedWith(3));
  EXPECT_EQ(counter.count(), 1);
}

TEST(RestartTest, FutexWaitGoesOnUnderRestart) {
  static std::atomic<int> word;
  word = 0;
  SignalCounter counter(SIGUSR1, SA_RESTART);
  CompleteAfterSignal later(counter, [&] {
    word = 1;
    syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  });
  const long result = syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0);
  EXPECT_TRUE(result == 0 || errno == EAGAIN);
  EXPECT_EQ(word, 1);
  EXPECT_EQ(counter.count(), 1);
}

TEST(RestartTest, IgnoredSignalsDoNotInterrupt) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  ScopedSigaction ignore(SIGUSR1, SIG_IGN);
  ScopedThread sender([&, tid = gettid()] {
    for (int i = 0; i < 5; ++i) {
      WaitUntilAsleep(getpid(), tid);
      TgKill(getpid(), tid, SIGUSR1);
    }
    EXPECT_EQ(write(fds[1], "x", 1), 1);
  });
  char byte;
  EXPECT_THAT(read(fds[0], &byte, 1), SyscallSucceedsWithValue(1));
  close(fds[0]);
  close(fds[1]);
}

TEST(RestartTest, NanosleepReportsTheTimeLeft) {
  SignalCounter counter(SIGUSR1);
  Nudger nudger(SIGUSR1);
  const timespec request = {100, 0};
  timespec left = {};
  EXPECT_THAT(nanosleep(&request, &left), SyscallFailsWithErrno(EINTR));
  EXPECT_LT(left.tv_sec, 100);
  EXPECT_GT(left.tv_sec, 50);
}

TEST(RestartTest, SleepIsNotCutShortByAnIgnoredSignal) {
  ScopedSigaction ignore(SIGUSR1, SIG_IGN);
  Nudger nudger(SIGUSR1);
  const timespec request = {0, 80000000};
  const long start = MonotonicNs();
  EXPECT_THAT(nanosleep(&request, nullptr), SyscallSucceeds());
  EXPECT_GE(MonotonicNs() - start, 80000000);
}

TEST(RestartTest, PollAfterStopAndContinueGoesOn) {
  Gate ready;
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  const pid_t pid = ForkAndRun([&]() -> int {
    pollfd p = {fds[0], POLLIN, 0};
    return poll(&p, 1, -1) == 1 ? 0 : errno;
  });
  WaitUntilAsleep(pid);
  kill(pid, SIGSTOP);
  int status;
  EXPECT_THAT(waitpid(pid, &status, WUNTRACED), SyscallSucceedsWithValue(pid));
  kill(pid, SIGCONT);
  EXPECT_THAT(write(fds[1], "x", 1), SyscallSucceedsWithValue(1));
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  close(fds[0]);
  close(fds[1]);
}

TEST(RestartTest, EpollWaitAfterStopAndContinueIsEintr) {
  const pid_t pid = ForkAndRun([&]() -> int {
    FileDescriptor epoll(epoll_create1(0));
    epoll_event event;
    return epoll_wait(epoll.get(), &event, 1, 20000) == -1 && errno == EINTR ? 0 : 1;
  });
  // Until it ends: a stop that comes before the call leaves no trace in it.
  int status = 0;
  EXPECT_TRUE(Eventually([&] {
    WaitUntilAsleep(pid);
    kill(pid, SIGSTOP);
    if (waitpid(pid, &status, WUNTRACED) == pid && !WIFSTOPPED(status)) return true;
    kill(pid, SIGCONT);
    SleepMs(5);
    return waitpid(pid, &status, WNOHANG) == pid;
  }));
  EXPECT_THAT(status, ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
