// Interval timers (setitimer, alarm) and POSIX timers (timer_create and its family).
#include <sys/time.h>
#include <time.h>

#include <atomic>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

constexpr long kMs = 1000000;

void BurnCpuMs(int ms) {
  timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  const long until = ts.tv_sec * 1000 + ts.tv_nsec / kMs + ms;
  do {
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  } while (ts.tv_sec * 1000 + ts.tv_nsec / kMs < until);
}

itimerval Micros(long first, long interval = 0) {
  return {{interval / 1000000, interval % 1000000}, {first / 1000000, first % 1000000}};
}

void DisarmAll() {
  for (auto which : {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}) {
    const itimerval off = {};
    setitimer(which, &off, nullptr);
  }
}

class ItimerTest : public testing::Test {
 protected:
  ~ItimerTest() override { DisarmAll(); }
};

TEST_F(ItimerTest, RealTimerFiresOnce) {
  SignalCounter counter(SIGALRM);
  const itimerval timer = Micros(5000);
  ASSERT_THAT(setitimer(ITIMER_REAL, &timer, nullptr), SyscallSucceeds());
  EXPECT_TRUE(Eventually([&] { return counter.count() == 1; }));
  SleepMs(20);
  EXPECT_EQ(counter.count(), 1);
}

TEST_F(ItimerTest, IntervalRepeats) {
  SignalCounter counter(SIGALRM, SA_RESTART);
  const itimerval timer = Micros(2000, 2000);
  ASSERT_THAT(setitimer(ITIMER_REAL, &timer, nullptr), SyscallSucceeds());
  EXPECT_TRUE(Eventually([&] { return counter.count() >= 5; }));
  DisarmAll();  // while the handler is still there
}

TEST_F(ItimerTest, ReadingShowsTheRemainder) {
  const itimerval timer = Micros(100000000, 7000000);
  ASSERT_THAT(setitimer(ITIMER_REAL, &timer, nullptr), SyscallSucceeds());
  itimerval got = {};
  ASSERT_THAT(getitimer(ITIMER_REAL, &got), SyscallSucceeds());
  EXPECT_GT(got.it_value.tv_sec, 50);
  EXPECT_LE(got.it_value.tv_sec, 100);
  EXPECT_EQ(got.it_interval.tv_sec, 7);
  itimerval old = {};
  const itimerval off = {};
  ASSERT_THAT(setitimer(ITIMER_REAL, &off, &old), SyscallSucceeds());
  EXPECT_GT(old.it_value.tv_sec, 50);
  ASSERT_THAT(getitimer(ITIMER_REAL, &got), SyscallSucceeds());
  EXPECT_EQ(got.it_value.tv_sec, 0);
  EXPECT_EQ(got.it_value.tv_usec, 0);
}

TEST_F(ItimerTest, VirtualAndProfilingTimersCountCpuTime) {
  SignalCounter virt(SIGVTALRM, SA_RESTART), prof(SIGPROF, SA_RESTART);
  const itimerval timer = Micros(10000);
  ASSERT_THAT(setitimer(ITIMER_VIRTUAL, &timer, nullptr), SyscallSucceeds());
  ASSERT_THAT(setitimer(ITIMER_PROF, &timer, nullptr), SyscallSucceeds());
  EXPECT_TRUE(Eventually([&] {
    BurnCpuMs(2);
    return virt.count() == 1 && prof.count() == 1;
  }));
}

TEST_F(ItimerTest, CpuTimersStandStillWhileSleeping) {
  SignalCounter prof(SIGPROF);
  const itimerval timer = Micros(40000);
  ASSERT_THAT(setitimer(ITIMER_PROF, &timer, nullptr), SyscallSucceeds());
  SleepMs(60);
  EXPECT_EQ(prof.count(), 0);
  DisarmAll();  // while the handler is still there
}

TEST_F(ItimerTest, BadArguments) {
  itimerval timer = Micros(1);
  EXPECT_THAT(syscall(SYS_setitimer, 3, &timer, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_getitimer, -1, &timer), SyscallFailsWithErrno(EINVAL));
  timer.it_value.tv_usec = 1000000;
  EXPECT_THAT(syscall(SYS_setitimer, ITIMER_REAL, &timer, nullptr), SyscallFailsWithErrno(EINVAL));
  timer.it_value = {-1, 0};
  EXPECT_THAT(syscall(SYS_setitimer, ITIMER_REAL, &timer, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_setitimer, ITIMER_REAL, BadPointer(), nullptr), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_getitimer, ITIMER_REAL, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST_F(ItimerTest, AlarmReturnsTheSecondsLeft) {
  EXPECT_EQ(alarm(100), 0u);
  const unsigned left = alarm(50);
  EXPECT_GE(left, 90u);
  EXPECT_LE(left, 100u);
  EXPECT_GE(alarm(0), 40u);
  EXPECT_EQ(alarm(0), 0u);
}

TEST_F(ItimerTest, AlarmAndTheRealTimerAreOne) {
  alarm(100);
  itimerval got = {};
  ASSERT_THAT(getitimer(ITIMER_REAL, &got), SyscallSucceeds());
  EXPECT_GT(got.it_value.tv_sec, 90);
}

TEST_F(ItimerTest, UnhandledAlarmKills) {
  EXPECT_THAT(RunInChild([]() -> int {
                signal(SIGALRM, SIG_DFL);
                const itimerval timer = Micros(1000);
                setitimer(ITIMER_REAL, &timer, nullptr);
                for (;;) pause();
              }),
              KilledBy(SIGALRM));
}

// A POSIX timer of the raw interface, deleted at the end of the scope.
class Timer {
 public:
  explicit Timer(int notify, int sig = 0, clockid_t clock = CLOCK_MONOTONIC, pid_t tid = 0) {
    sigevent event = {};
    event.sigev_notify = notify;
    event.sigev_signo = sig;
    event.sigev_value.sival_int = 0x77;
    event._sigev_un._tid = tid;
    EXPECT_THAT(syscall(SYS_timer_create, clock, &event, &id_), SyscallSucceeds());
  }
  ~Timer() { Delete(); }
  int id() const { return id_; }
  long Delete() { return syscall(SYS_timer_delete, id_); }
  long Set(long first_ns, long interval_ns = 0, int flags = 0, itimerspec* old = nullptr) {
    const itimerspec spec = {{interval_ns / 1000000000, interval_ns % 1000000000},
                             {first_ns / 1000000000, first_ns % 1000000000}};
    return syscall(SYS_timer_settime, id_, flags, &spec, old);
  }
  itimerspec Get() {
    itimerspec spec = {};
    EXPECT_THAT(syscall(SYS_timer_gettime, id_, &spec), SyscallSucceeds());
    return spec;
  }
  long Overrun() { return syscall(SYS_timer_getoverrun, id_); }

 private:
  int id_ = -1;
};

TEST(PosixTimerTest, SignalCarriesValueAndTimerId) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  Timer timer(SIGEV_SIGNAL, SIGUSR1);
  ASSERT_THAT(timer.Set(kMs), SyscallSucceeds());
  siginfo_t info = {};
  const sigset_t set = SignalSet({SIGUSR1});
  ASSERT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_EQ(info.si_code, SI_TIMER);
  EXPECT_EQ(info.si_value.sival_int, 0x77);
  EXPECT_EQ(info.si_timerid, timer.id());
  EXPECT_EQ(info.si_overrun, 0);
}

TEST(PosixTimerTest, DefaultEventIsSigalrmWithTheIdAsValue) {
  ScopedSignalMask block(SIG_BLOCK, {SIGALRM});
  int id = -1;
  ASSERT_THAT(syscall(SYS_timer_create, CLOCK_MONOTONIC, nullptr, &id), SyscallSucceeds());
  const itimerspec spec = {{0, 0}, {0, kMs}};
  ASSERT_THAT(syscall(SYS_timer_settime, id, 0, &spec, nullptr), SyscallSucceeds());
  siginfo_t info = {};
  const sigset_t set = SignalSet({SIGALRM});
  ASSERT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGALRM));
  EXPECT_EQ(info.si_value.sival_int, id);
  EXPECT_THAT(syscall(SYS_timer_delete, id), SyscallSucceeds());
}

TEST(PosixTimerTest, ThreadIdDirectsTheSignal) {
  static std::atomic<pid_t> handled_by;
  handled_by = 0;
  ScopedSigaction handler(
      SIGUSR1, [](int) { handled_by = gettid(); }, SA_RESTART);
  std::atomic<bool> stop{false};
  ScopedThread thread([&] {
    while (!stop) SleepMs(1);
  });
  Timer timer(SIGEV_THREAD_ID, SIGUSR1, CLOCK_MONOTONIC, thread.tid());
  ASSERT_THAT(timer.Set(kMs), SyscallSucceeds());
  EXPECT_TRUE(Eventually([&] { return handled_by == thread.tid(); }));
  stop = true;
}

TEST(PosixTimerTest, NoneOnlyCounts) {
  Timer timer(SIGEV_NONE);
  ASSERT_THAT(timer.Set(100000 * kMs), SyscallSucceeds());
  const itimerspec left = timer.Get();
  EXPECT_GT(left.it_value.tv_sec, 50);
  ASSERT_THAT(timer.Set(kMs), SyscallSucceeds());
  EXPECT_TRUE(Eventually([&] {
    const itimerspec now = timer.Get();
    return now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0;
  }));
}

TEST(PosixTimerTest, MissedExpirationsAreCountedAsOverrun) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  Timer timer(SIGEV_SIGNAL, SIGUSR1);
  ASSERT_THAT(timer.Set(kMs, kMs), SyscallSucceeds());
  SleepMs(20);
  siginfo_t info = {};
  const sigset_t set = SignalSet({SIGUSR1});
  ASSERT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_GE(info.si_overrun, 10);
  EXPECT_GE(timer.Overrun(), 10);
  timer.Delete();
  DrainSignals({SIGUSR1});
}

TEST(PosixTimerTest, OnlyOneSignalIsPendingPerTimer) {
  const int sig = SIGRTMIN + 2;
  ScopedSignalMask block(SIG_BLOCK, {sig});
  Timer timer(SIGEV_SIGNAL, sig);
  ASSERT_THAT(timer.Set(kMs, kMs), SyscallSucceeds());
  SleepMs(10);
  ASSERT_THAT(timer.Set(0), SyscallSucceeds());
  const sigset_t set = SignalSet({sig});
  const timespec zero = {};
  int taken = 0;
  while (sigtimedwait(&set, nullptr, &zero) == sig) ++taken;
  EXPECT_LE(taken, 1);  // disarming may also discard the pending one
}

TEST(PosixTimerTest, AbsoluteTimeInThePastFiresAtOnce) {
  SignalCounter counter(SIGUSR1);
  Timer timer(SIGEV_SIGNAL, SIGUSR1);
  ASSERT_THAT(timer.Set(1, 0, TIMER_ABSTIME), SyscallSucceeds());
  EXPECT_TRUE(Eventually([&] { return counter.count() == 1; }));
}

TEST(PosixTimerTest, SetReturnsTheFormerSetting) {
  Timer timer(SIGEV_SIGNAL, SIGUSR1);
  ASSERT_THAT(timer.Set(100000 * kMs, 3000 * kMs), SyscallSucceeds());
  itimerspec old = {};
  ASSERT_THAT(timer.Set(0, 0, 0, &old), SyscallSucceeds());
  EXPECT_GT(old.it_value.tv_sec, 50);
  EXPECT_EQ(old.it_interval.tv_sec, 3);
  EXPECT_EQ(timer.Get().it_value.tv_sec, 0);
}

TEST(PosixTimerTest, CpuClockTimersFireByCpuTime) {
  SignalCounter counter(SIGUSR1, SA_RESTART);
  Timer timer(SIGEV_SIGNAL, SIGUSR1, CLOCK_PROCESS_CPUTIME_ID);
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  ASSERT_THAT(timer.Set(20 * kMs), SyscallSucceeds());
  EXPECT_TRUE(Eventually([&] { return BurnCpuMs(2), counter.count() == 1; }));
}

TEST(PosixTimerTest, CreateErrors) {
  sigevent event = {};
  int id;
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = 0;
  EXPECT_THAT(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), SyscallFailsWithErrno(EINVAL));
  event.sigev_signo = 65;
  EXPECT_THAT(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), SyscallFailsWithErrno(EINVAL));
  event.sigev_signo = SIGUSR1;
  EXPECT_THAT(syscall(SYS_timer_create, 99, &event, &id), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_timer_create, CLOCK_MONOTONIC_COARSE, &event, &id),
              SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, BadPointer()),
              SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_timer_create, CLOCK_MONOTONIC, BadPointer(), &id), SyscallFailsWithErrno(EFAULT));
  event.sigev_notify = 77;
  EXPECT_THAT(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), SyscallFailsWithErrno(EINVAL));
  event.sigev_notify = SIGEV_THREAD_ID;
  event._sigev_un._tid = 0x3ffffff;
  EXPECT_THAT(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), SyscallFailsWithErrno(EINVAL));
}

TEST(PosixTimerTest, UseAfterDeleteIsEinval) {
  Timer timer(SIGEV_NONE);
  ASSERT_THAT(timer.Delete(), SyscallSucceeds());
  EXPECT_THAT(timer.Delete(), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(timer.Set(1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(timer.Overrun(), SyscallFailsWithErrno(EINVAL));
  itimerspec spec;
  EXPECT_THAT(syscall(SYS_timer_gettime, timer.id(), &spec), SyscallFailsWithErrno(EINVAL));
}

TEST(PosixTimerTest, BadTimesAreEinval) {
  Timer timer(SIGEV_NONE);
  itimerspec spec = {{0, 0}, {0, 1000000000}};
  EXPECT_THAT(syscall(SYS_timer_settime, timer.id(), 0, &spec, nullptr), SyscallFailsWithErrno(EINVAL));
  spec = {{0, 0}, {-1, 0}};
  EXPECT_THAT(syscall(SYS_timer_settime, timer.id(), 0, &spec, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_timer_settime, timer.id(), 0, nullptr, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_timer_settime, timer.id(), 0, BadPointer(), nullptr),
              SyscallFailsWithErrno(EFAULT));
}

TEST(PosixTimerTest, ChildrenDoNotInheritTimers) {
  Timer timer(SIGEV_NONE);
  EXPECT_THAT(RunInChild([&] { EXPECT_THAT(timer.Set(1), SyscallFailsWithErrno(EINVAL)); }), ExitedWith(0));
  EXPECT_THAT(timer.Set(0), SyscallSucceeds());
}

TEST(PosixTimerTest, IdsAreDistinct) {
  Timer a(SIGEV_NONE), b(SIGEV_NONE), c(SIGEV_NONE);
  EXPECT_NE(a.id(), b.id());
  EXPECT_NE(b.id(), c.id());
  EXPECT_NE(a.id(), c.id());
}

}  // namespace
}  // namespace moat::test
