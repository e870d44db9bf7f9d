// Blocking signals and waiting for them: rt_sigprocmask, rt_sigpending, rt_sigsuspend, rt_sigtimedwait.
#include <poll.h>
#include <sys/select.h>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

uint64_t RawMask() {
  uint64_t mask = 0;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &mask, 8);
  return mask;
}
constexpr uint64_t Bit(int sig) { return 1ull << (sig - 1); }

TEST(SigprocmaskTest, BlockUnblockAndSet) {
  ScopedSignalMask restore(SIG_SETMASK, {SIGUSR1});
  EXPECT_EQ(RawMask(), Bit(SIGUSR1));
  uint64_t set = Bit(SIGUSR2) | Bit(SIGHUP);
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, nullptr, 8), SyscallSucceeds());
  EXPECT_EQ(RawMask(), Bit(SIGUSR1) | Bit(SIGUSR2) | Bit(SIGHUP));
  set = Bit(SIGUSR1) | Bit(SIGHUP) | Bit(SIGALRM);
  uint64_t old = 0;
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, &old, 8), SyscallSucceeds());
  EXPECT_EQ(old, Bit(SIGUSR1) | Bit(SIGUSR2) | Bit(SIGHUP));
  EXPECT_EQ(RawMask(), Bit(SIGUSR2));
}

TEST(SigprocmaskTest, KillAndStopCannotBeBlocked) {
  ScopedSignalMask restore(SIG_BLOCK, {});
  uint64_t all = ~0ull;
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, 8), SyscallSucceeds());
  EXPECT_EQ(RawMask(), ~(Bit(SIGKILL) | Bit(SIGSTOP)));
}

TEST(SigprocmaskTest, BadArguments) {
  uint64_t set = 0;
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, 3, &set, nullptr, 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, -1, &set, nullptr, 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, nullptr, 4), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BadPointer(), nullptr, 8),
              SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, BadPointer(), 8),
              SyscallFailsWithErrno(EFAULT));
}

TEST(SigprocmaskTest, HowIsIgnoredWithoutASet) {
  uint64_t old;
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, 99, nullptr, &old, 8), SyscallSucceeds());
}

TEST(SigprocmaskTest, UnblockingDeliversBeforeTheCallReturns) {
  SignalCounter counter(SIGUSR1);
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  raise(SIGUSR1);
  EXPECT_EQ(counter.count(), 0);
  const sigset_t set = SignalSet({SIGUSR1});
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  EXPECT_EQ(counter.count(), 1);
}

TEST(SigpendingTest, StandardSignalsAreMerged) {
  SignalCounter counter(SIGUSR1);
  {
    ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
    for (int i = 0; i < 5; ++i) raise(SIGUSR1);
    sigset_t pending;
    ASSERT_THAT(sigpending(&pending), SyscallSucceeds());
    EXPECT_TRUE(sigismember(&pending, SIGUSR1));
    EXPECT_FALSE(sigismember(&pending, SIGUSR2));
  }
  EXPECT_EQ(counter.count(), 1);
}

TEST(SigpendingTest, SizeMayBeSmallerButNotLarger) {
  uint64_t set = ~0ull;
  EXPECT_THAT(syscall(SYS_rt_sigpending, &set, 16), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_rt_sigpending, &set, 4), SyscallSucceeds());
  EXPECT_EQ(set, 0xffffffff00000000ull);  // four bytes were written
  EXPECT_THAT(syscall(SYS_rt_sigpending, BadPointer(), 8), SyscallFailsWithErrno(EFAULT));
}

TEST(SigsuspendTest, WaitsWithTheGivenMaskAndRestoresTheOld) {
  SignalCounter counter(SIGUSR1);
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  const uint64_t before = RawMask();
  raise(SIGUSR1);
  sigset_t none;
  sigemptyset(&none);
  EXPECT_THAT(sigsuspend(&none), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(counter.count(), 1);
  EXPECT_EQ(RawMask(), before);
}

TEST(SigsuspendTest, HandlerSeesTheTemporaryMask) {
  static uint64_t seen;
  seen = 0;
  ScopedSigaction handler(
      SIGUSR1, [](int) { seen = RawMask(); }, 0);
  ScopedSignalMask block(SIG_SETMASK, {SIGUSR1, SIGHUP});
  raise(SIGUSR1);
  const sigset_t other = SignalSet({SIGUSR2});
  EXPECT_THAT(sigsuspend(&other), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(seen, Bit(SIGUSR2) | Bit(SIGUSR1));
  EXPECT_EQ(RawMask(), Bit(SIGUSR1) | Bit(SIGHUP));
}

TEST(SigsuspendTest, IsWokenByALaterSignalAndIsNeverRestarted) {
  SignalCounter counter(SIGUSR1, SA_RESTART);
  sigset_t mask;
  sigemptyset(&mask);
  Nudger nudger(SIGUSR1);
  EXPECT_THAT(sigsuspend(&mask), SyscallFailsWithErrno(EINTR));
  EXPECT_GE(counter.count(), 1);
}

TEST(SigsuspendTest, BadArguments) {
  uint64_t set = 0;
  EXPECT_THAT(syscall(SYS_rt_sigsuspend, &set, 4), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_rt_sigsuspend, BadPointer(), 8), SyscallFailsWithErrno(EFAULT));
}

TEST(PauseTest, ReturnsEintrAfterAHandler) {
  SignalCounter counter(SIGUSR1, SA_RESTART);
  Nudger nudger(SIGUSR1);
  EXPECT_THAT(pause(), SyscallFailsWithErrno(EINTR));
}

TEST(SigtimedwaitTest, TakesAPendingSignalWithoutItsHandler) {
  SignalCounter counter(SIGUSR1);
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  kill(getpid(), SIGUSR1);
  const sigset_t set = SignalSet({SIGUSR1});
  siginfo_t info = {};
  EXPECT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_EQ(info.si_signo, SIGUSR1);
  EXPECT_EQ(info.si_pid, getpid());
  EXPECT_EQ(counter.count(), 0);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGUSR1));
}

TEST(SigtimedwaitTest, ZeroTimeoutPolls) {
  const sigset_t set = SignalSet({SIGUSR2});
  const timespec zero = {};
  EXPECT_THAT(sigtimedwait(&set, nullptr, &zero), SyscallFailsWithErrno(EAGAIN));
}

TEST(SigtimedwaitTest, TimesOutNotTooEarly) {
  const sigset_t set = SignalSet({SIGUSR2});
  const timespec timeout = {0, 20000000};
  const long start = MonotonicNs();
  EXPECT_THAT(sigtimedwait(&set, nullptr, &timeout), SyscallFailsWithErrno(EAGAIN));
  EXPECT_GE(MonotonicNs() - start, 20000000);
}

TEST(SigtimedwaitTest, BadTimeoutIsEinval) {
  const sigset_t set = SignalSet({SIGUSR2});
  const timespec negative = {-1, 0}, large = {0, 1000000000};
  EXPECT_THAT(sigtimedwait(&set, nullptr, &negative), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sigtimedwait(&set, nullptr, &large), SyscallFailsWithErrno(EINVAL));
}

TEST(SigtimedwaitTest, BadPointersAreEfaultAndBadSizeEinval) {
  uint64_t set = Bit(SIGUSR1);
  const timespec zero = {};
  EXPECT_THAT(syscall(SYS_rt_sigtimedwait, BadPointer(), nullptr, &zero, 8), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_rt_sigtimedwait, &set, nullptr, BadPointer(), 8), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_rt_sigtimedwait, &set, nullptr, &zero, 4), SyscallFailsWithErrno(EINVAL));
}

TEST(SigtimedwaitTest, AnotherSignalsHandlerInterruptsIt) {
  SignalCounter counter(SIGUSR2, SA_RESTART);
  const sigset_t set = SignalSet({SIGUSR1});
  Nudger nudger(SIGUSR2);
  // libc would call again.
  EXPECT_THAT(syscall(SYS_rt_sigtimedwait, &set, nullptr, nullptr, 8), SyscallFailsWithErrno(EINTR));
}

TEST(SigtimedwaitTest, WakesForASignalToTheProcess) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  const pid_t self = getpid();
  ScopedThread sender([self] {
    WaitUntilAsleep(self);
    kill(self, SIGUSR1);
  });
  const sigset_t set = SignalSet({SIGUSR1});
  EXPECT_THAT(sigwaitinfo(&set, nullptr), SyscallSucceedsWithValue(SIGUSR1));
}

TEST(SigtimedwaitTest, TakesTheLowestSignalFirst) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1, SIGUSR2, SIGHUP});
  raise(SIGUSR2);
  raise(SIGUSR1);
  raise(SIGHUP);
  const sigset_t set = SignalSet({SIGUSR1, SIGUSR2, SIGHUP});
  EXPECT_EQ(sigwaitinfo(&set, nullptr), SIGHUP);
  EXPECT_EQ(sigwaitinfo(&set, nullptr), SIGUSR1);
  EXPECT_EQ(sigwaitinfo(&set, nullptr), SIGUSR2);
}

TEST(PpollTest, InstallsTheMaskForItsDuration) {
  SignalCounter counter(SIGUSR1);
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  raise(SIGUSR1);
  sigset_t none;
  sigemptyset(&none);
  const timespec timeout = {10, 0};
  EXPECT_THAT(ppoll(nullptr, 0, &timeout, &none), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(counter.count(), 1);
  EXPECT_NE(RawMask() & Bit(SIGUSR1), 0u);
}

TEST(PpollTest, ReadyDescriptorWinsWithoutConsumingTheSignal) {
  SignalCounter counter(SIGUSR1);
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  sigset_t same;
  sigemptyset(&same);
  sigaddset(&same, SIGUSR1);
  raise(SIGUSR1);
  pollfd poll_null = {open("/dev/null", O_RDONLY), POLLIN, 0};
  EXPECT_THAT(ppoll(&poll_null, 1, nullptr, &same), SyscallSucceedsWithValue(1));
  EXPECT_EQ(counter.count(), 0);
  close(poll_null.fd);
}

}  // namespace
}  // namespace moat::test
