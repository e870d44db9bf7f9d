// eventfd(2), timerfd_create(2), signalfd(2).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

short Revents(const FileDescriptor& fd, short events = POLLIN | POLLOUT) {
  pollfd pfd = {fd.get(), events, 0};
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceeds());
  return pfd.revents;
}
ssize_t Put(const FileDescriptor& fd, uint64_t value) { return write(fd.get(), &value, sizeof(value)); }
// The counter read, or ~0 if the read failed.
uint64_t Take(const FileDescriptor& fd) {
  uint64_t value = 0;
  return read(fd.get(), &value, sizeof(value)) == sizeof(value) ? value : ~uint64_t{0};
}

TEST(Eventfd, AddsUpAndResetsWhenRead) {
  FileDescriptor fd(eventfd(3, EFD_NONBLOCK));
  EXPECT_THAT(Put(fd, 4), SyscallSucceedsWithValue(8));
  EXPECT_THAT(Put(fd, 0), SyscallSucceedsWithValue(8));
  EXPECT_EQ(Take(fd), 7u);
  uint64_t value;
  EXPECT_THAT(read(fd.get(), &value, 8), SyscallFailsWithErrno(EAGAIN));
}

TEST(Eventfd, SemaphoreModeCountsDownByOne) {
  FileDescriptor fd(eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE));
  EXPECT_EQ(Take(fd), 1u);
  EXPECT_EQ(Take(fd), 1u);
  uint64_t value;
  EXPECT_THAT(read(fd.get(), &value, 8), SyscallFailsWithErrno(EAGAIN));
}

TEST(Eventfd, FullCounterDoesNotOverflow) {
  FileDescriptor fd(eventfd(0, EFD_NONBLOCK));
  const uint64_t max = ~uint64_t{0} - 1;
  EXPECT_THAT(Put(fd, ~uint64_t{0}), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Put(fd, max), SyscallSucceedsWithValue(8));
  EXPECT_THAT(Put(fd, 1), SyscallFailsWithErrno(EAGAIN));
  EXPECT_EQ(Revents(fd), POLLIN);
  EXPECT_EQ(Take(fd), max);
}

TEST(Eventfd, ReadinessFollowsTheCounter) {
  FileDescriptor fd(eventfd(0, 0));
  EXPECT_EQ(Revents(fd), POLLOUT);
  Put(fd, 1);
  EXPECT_EQ(Revents(fd), POLLIN | POLLOUT);
}

TEST(Eventfd, BuffersNeedEightBytes) {
  FileDescriptor fd(eventfd(1, 0));
  char buf[16];
  EXPECT_THAT(read(fd.get(), buf, 7), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(write(fd.get(), buf, 7), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(read(fd.get(), buf, 16), SyscallSucceedsWithValue(8));
  EXPECT_THAT(pread(fd.get(), buf, 8, 0), SyscallFailsWithErrno(ESPIPE));
}

TEST(Eventfd, BlockedReaderAndWriterWake) {
  FileDescriptor fd(eventfd(0, 0));
  {
    ScopedThread reader([&] { EXPECT_EQ(Take(fd), 5u); });
    reader.WaitUntilAsleep();
    Put(fd, 5);
  }
  Put(fd, ~uint64_t{0} - 1);
  ScopedThread writer([&] { EXPECT_THAT(Put(fd, 3), SyscallSucceedsWithValue(8)); });
  writer.WaitUntilAsleep();
  EXPECT_EQ(Take(fd), ~uint64_t{0} - 1);
  writer.Join();
  EXPECT_EQ(Take(fd), 3u);
}

TEST(Eventfd, FlagsAreChecked) {
  EXPECT_THAT(eventfd(0, 1 << 20), SyscallFailsWithErrno(EINVAL));
  FileDescriptor fd(eventfd(0, EFD_CLOEXEC));
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
}

itimerspec Spec(long first_ns, long interval_ns = 0) {
  return {{interval_ns / 1000000000, interval_ns % 1000000000},
          {first_ns / 1000000000, first_ns % 1000000000}};
}

TEST(Timerfd, ReportsOneExpiration) {
  FileDescriptor fd(timerfd_create(CLOCK_MONOTONIC, 0));
  const itimerspec spec = Spec(10000000);
  const long start = MonotonicNs();
  ASSERT_THAT(timerfd_settime(fd.get(), 0, &spec, nullptr), SyscallSucceeds());
  EXPECT_EQ(Revents(fd), 0);
  EXPECT_EQ(Take(fd), 1u);
  EXPECT_GE(MonotonicNs() - start, 10000000);
  EXPECT_EQ(Revents(fd), 0);
}

TEST(Timerfd, CountsMissedIntervals) {
  FileDescriptor fd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  const itimerspec spec = Spec(1000000, 5000000);
  ASSERT_THAT(timerfd_settime(fd.get(), 0, &spec, nullptr), SyscallSucceeds());
  SleepMs(30);
  EXPECT_GE(Take(fd), 5u);
}

TEST(Timerfd, AbsoluteTimeInThePastExpiresAtOnce) {
  FileDescriptor fd(timerfd_create(CLOCK_MONOTONIC, 0));
  const itimerspec spec = Spec(1);
  ASSERT_THAT(timerfd_settime(fd.get(), TFD_TIMER_ABSTIME, &spec, nullptr), SyscallSucceeds());
  EXPECT_EQ(Take(fd), 1u);
}

TEST(Timerfd, GettimeCountsDownAndDisarmingStops) {
  FileDescriptor fd(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
  itimerspec now = {};
  ASSERT_THAT(timerfd_gettime(fd.get(), &now), SyscallSucceeds());
  EXPECT_EQ(now.it_value.tv_sec, 0);
  const itimerspec spec = Spec(1000000000000, 7000000000);
  ASSERT_THAT(timerfd_settime(fd.get(), 0, &spec, nullptr), SyscallSucceeds());
  ASSERT_THAT(timerfd_gettime(fd.get(), &now), SyscallSucceeds());
  EXPECT_EQ(now.it_interval.tv_sec, 7);
  EXPECT_LE(now.it_value.tv_sec, 1000);
  EXPECT_GT(now.it_value.tv_sec, 900);
  const itimerspec off = {};
  itimerspec old = {};
  ASSERT_THAT(timerfd_settime(fd.get(), 0, &off, &old), SyscallSucceeds());
  EXPECT_EQ(old.it_interval.tv_sec, 7);
  ASSERT_THAT(timerfd_gettime(fd.get(), &now), SyscallSucceeds());
  EXPECT_EQ(now.it_value.tv_sec, 0);
  uint64_t value;
  EXPECT_THAT(read(fd.get(), &value, 8), SyscallFailsWithErrno(EAGAIN));
}

TEST(Timerfd, RearmingForgetsOldExpirations) {
  FileDescriptor fd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  itimerspec spec = Spec(1);
  ASSERT_THAT(timerfd_settime(fd.get(), 0, &spec, nullptr), SyscallSucceeds());
  SleepMs(5);
  EXPECT_EQ(Revents(fd), POLLIN);
  spec = Spec(1000000000000);
  ASSERT_THAT(timerfd_settime(fd.get(), 0, &spec, nullptr), SyscallSucceeds());
  EXPECT_EQ(Revents(fd), 0);
}

TEST(Timerfd, BadArguments) {
  EXPECT_THAT(timerfd_create(77, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(timerfd_create(CLOCK_MONOTONIC, 1 << 20), SyscallFailsWithErrno(EINVAL));
  FileDescriptor fd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  itimerspec spec = Spec(1);
  spec.it_value.tv_nsec = 1000000000;
  EXPECT_THAT(timerfd_settime(fd.get(), 0, &spec, nullptr), SyscallFailsWithErrno(EINVAL));
  spec = Spec(1);
  EXPECT_THAT(timerfd_settime(fd.get(), 1 << 20, &spec, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(timerfd_settime(fd.get(), 0, BadPointer<itimerspec>(), nullptr), SyscallFailsWithErrno(EFAULT));
  Pipe pipe;
  EXPECT_THAT(timerfd_settime(pipe.reader.get(), 0, &spec, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(timerfd_gettime(-1, &spec), SyscallFailsWithErrno(EBADF));
  char small[4];
  EXPECT_THAT(read(fd.get(), small, 4), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(write(fd.get(), &spec, 8), SyscallFailsWithErrno(EINVAL));
}

class Signalfd : public testing::Test {
 protected:
  FileDescriptor Make(std::initializer_list<int> signals, int flags = SFD_NONBLOCK) {
    const sigset_t set = SignalSet(signals);
    FileDescriptor fd(signalfd(-1, &set, flags));
    EXPECT_TRUE(fd.valid());
    return fd;
  }
  void TearDown() override { DrainSignals({SIGUSR1, SIGUSR2, SIGRTMIN}); }
  ScopedSignalMask block_{SIG_BLOCK, {SIGUSR1, SIGUSR2, SIGRTMIN}};
};

TEST_F(Signalfd, ReadsPendingSignalsWithTheirOrigin) {
  FileDescriptor fd = Make({SIGUSR1});
  EXPECT_EQ(Revents(fd), 0);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(Revents(fd), POLLIN);
  signalfd_siginfo info = {};
  EXPECT_THAT(read(fd.get(), &info, sizeof(info)), SyscallSucceedsWithValue(128));
  EXPECT_EQ(info.ssi_signo, static_cast<uint32_t>(SIGUSR1));
  EXPECT_EQ(info.ssi_code, SI_USER);
  EXPECT_EQ(info.ssi_pid, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(info.ssi_uid, getuid());
  EXPECT_THAT(read(fd.get(), &info, sizeof(info)), SyscallFailsWithErrno(EAGAIN));
}

TEST_F(Signalfd, QueuedValuesArriveInOrder) {
  FileDescriptor fd = Make({SIGRTMIN});
  for (int i = 1; i <= 3; ++i)
    ASSERT_THAT(sigqueue(getpid(), SIGRTMIN, sigval{.sival_int = i}), SyscallSucceeds());
  signalfd_siginfo infos[4] = {};
  EXPECT_THAT(read(fd.get(), infos, sizeof(infos)), SyscallSucceedsWithValue(3 * 128));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(infos[i].ssi_int, i + 1);
}

TEST_F(Signalfd, TakesOnlyItsOwnSignals) {
  FileDescriptor fd = Make({SIGUSR1});
  raise(SIGUSR2);
  EXPECT_EQ(Revents(fd), 0);
  signalfd_siginfo info;
  EXPECT_THAT(read(fd.get(), &info, sizeof(info)), SyscallFailsWithErrno(EAGAIN));
}

TEST_F(Signalfd, MaskCanBeReplaced) {
  FileDescriptor fd = Make({SIGUSR1});
  raise(SIGUSR2);
  const sigset_t set = SignalSet({SIGUSR2});
  EXPECT_THAT(signalfd(fd.get(), &set, 0), SyscallSucceedsWithValue(fd.get()));
  EXPECT_EQ(Revents(fd), POLLIN);
}

TEST_F(Signalfd, BlockedReaderWakes) {
  FileDescriptor fd = Make({SIGUSR1}, 0);
  ScopedThread reader([&] {
    signalfd_siginfo info = {};
    EXPECT_THAT(read(fd.get(), &info, sizeof(info)), SyscallSucceedsWithValue(128));
    EXPECT_EQ(info.ssi_signo, static_cast<uint32_t>(SIGUSR1));
  });
  reader.WaitUntilAsleep();
  kill(getpid(), SIGUSR1);
}

TEST_F(Signalfd, BadArguments) {
  const sigset_t set = SignalSet({SIGUSR1});
  EXPECT_THAT(signalfd(-1, &set, 1 << 20), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(signalfd(0x7ffffff, &set, 0), SyscallFailsWithErrno(EBADF));
  Pipe pipe;
  EXPECT_THAT(signalfd(pipe.reader.get(), &set, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_signalfd4, -1, &set, 4, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_signalfd4, -1, BadPointer(), 8, 0), SyscallFailsWithErrno(EFAULT));
  FileDescriptor fd = Make({SIGUSR1});
  char small[100];
  EXPECT_THAT(read(fd.get(), small, sizeof(small)), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace moat::test
