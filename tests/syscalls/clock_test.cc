// Clocks and sleeping: clock_gettime, clock_getres, nanosleep, clock_nanosleep, time, gettimeofday, times,
// getrusage.
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include <atomic>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

constexpr long kSecond = 1000000000;

long Ns(const timespec& ts) { return ts.tv_sec * kSecond + ts.tv_nsec; }
long Now(clockid_t clock) {
  timespec ts = {};
  EXPECT_THAT(clock_gettime(clock, &ts), SyscallSucceeds()) << clock;
  return Ns(ts);
}
long RawGettime(clockid_t clock, void* out) { return syscall(SYS_clock_gettime, clock, out); }
// clock_nanosleep without libc's checks; -1 and errno.
long RawSleep(clockid_t clock, int flags, const void* request, void* left = nullptr) {
  return syscall(SYS_clock_nanosleep, clock, flags, request, left);
}

class ClockTest : public testing::TestWithParam<clockid_t> {};

TEST_P(ClockTest, NeverGoesBackwards) {
  long last = Now(GetParam());
  for (int i = 0; i < 1000; ++i) {
    const long now = Now(GetParam());
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST_P(ClockTest, SystemCallAgreesWithTheVdso) {
  const long before = Now(GetParam());
  timespec ts;
  ASSERT_THAT(RawGettime(GetParam(), &ts), SyscallSucceeds());
  EXPECT_LT(ts.tv_nsec, kSecond);
  // A coarse clock may lag by a tick and the two ways may read it on either side of one.
  constexpr long kTick = 10000000;
  EXPECT_GE(Ns(ts), before - kTick);
  EXPECT_LE(Ns(ts), Now(GetParam()) + kTick);
}

TEST_P(ClockTest, ResolutionIsPositiveAndAtMostATick) {
  timespec resolution = {};
  ASSERT_THAT(clock_getres(GetParam(), &resolution), SyscallSucceeds());
  EXPECT_GT(Ns(resolution), 0);
  EXPECT_LE(Ns(resolution), 10000000);
  EXPECT_THAT(syscall(SYS_clock_getres, GetParam(), nullptr), SyscallSucceeds());
}

TEST_P(ClockTest, BadPointerIsEfault) {
  EXPECT_THAT(RawGettime(GetParam(), BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_clock_getres, GetParam(), BadPointer()), SyscallFailsWithErrno(EFAULT));
}

INSTANTIATE_TEST_SUITE_P(All, ClockTest,
                         testing::Values(CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                         CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
                                         CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI));

TEST(ClockErrorsTest, UnknownClocksAreEinval) {
  timespec ts;
  for (int clock : {12, 15, 100, 1000000}) {
    EXPECT_THAT(RawGettime(clock, &ts), SyscallFailsWithErrno(EINVAL)) << clock;
    EXPECT_THAT(syscall(SYS_clock_getres, clock, &ts), SyscallFailsWithErrno(EINVAL)) << clock;
  }
}

TEST(ClockErrorsTest, SettingNeedsPrivilegeAndASettableClock) {
  SKIP_IF_NOT_ROOT();
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  EXPECT_THAT(clock_settime(CLOCK_MONOTONIC, &now), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(RunAsUser([] {
                timespec ts;
                clock_gettime(CLOCK_REALTIME, &ts);
                EXPECT_THAT(clock_settime(CLOCK_REALTIME, &ts), SyscallFailsWithErrno(EPERM));
                const timeval tv = {ts.tv_sec, 0};
                EXPECT_THAT(settimeofday(&tv, nullptr), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(CpuClockTest, ProcessClockCountsAllThreadsAndThreadClockOne) {
  const long thread_before = Now(CLOCK_THREAD_CPUTIME_ID);
  const long process_before = Now(CLOCK_PROCESS_CPUTIME_ID);
  ScopedThread burner([] {
    const long until = Now(CLOCK_THREAD_CPUTIME_ID) + 30000000;
    while (Now(CLOCK_THREAD_CPUTIME_ID) < until) {
    }
  });
  burner.Join();
  EXPECT_GE(Now(CLOCK_PROCESS_CPUTIME_ID) - process_before, 29000000);
  EXPECT_LT(Now(CLOCK_THREAD_CPUTIME_ID) - thread_before, 29000000);
}

TEST(CpuClockTest, SleepingCostsNoCpuTime) {
  const long before = Now(CLOCK_THREAD_CPUTIME_ID);
  SleepMs(50);
  EXPECT_LT(Now(CLOCK_THREAD_CPUTIME_ID) - before, 45000000);
}

TEST(CpuClockTest, OtherProcessesClocksCanBeRead) {
  Gate burned, finish;
  ScopedChild child([&] {
    const long until = Now(CLOCK_PROCESS_CPUTIME_ID) + 20000000;
    while (Now(CLOCK_PROCESS_CPUTIME_ID) < until) {
    }
    burned.Open();
    finish.Wait();
  });
  burned.Wait();
  clockid_t clock;
  ASSERT_EQ(clock_getcpuclockid(child.pid(), &clock), 0);
  EXPECT_GE(Now(clock), 20000000);
  finish.Open();
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  timespec ts;
  EXPECT_THAT(clock_gettime(clock, &ts), SyscallFailsWithErrno(EINVAL));
}

TEST(CpuClockTest, ThreadClockOfAnotherThread) {
  std::atomic<bool> stop{false};
  ScopedThread burner([&] {
    while (!stop) {
    }
  });
  clockid_t clock;
  ASSERT_EQ(pthread_getcpuclockid(burner.handle(), &clock), 0);
  EXPECT_TRUE(Eventually([&] { return Now(clock) > 10000000; }));
  stop = true;
}

TEST(NanosleepTest, SleepsAtLeastAsLongAsAsked) {
  for (long ns : {1l, 1000000l, 20000000l}) {
    const timespec request = {0, ns};
    const long start = Now(CLOCK_MONOTONIC);
    EXPECT_THAT(nanosleep(&request, nullptr), SyscallSucceeds());
    EXPECT_GE(Now(CLOCK_MONOTONIC) - start, ns);
  }
}

TEST(NanosleepTest, BadRequests) {
  const timespec negative = {-1, 0}, negative_ns = {0, -1}, large = {0, kSecond};
  for (const timespec& request : {negative, negative_ns, large}) {
    EXPECT_THAT(nanosleep(&request, nullptr), SyscallFailsWithErrno(EINVAL));
    EXPECT_THAT(RawSleep(CLOCK_MONOTONIC, 0, &request), SyscallFailsWithErrno(EINVAL));
  }
  EXPECT_THAT(syscall(SYS_nanosleep, BadPointer(), nullptr), SyscallFailsWithErrno(EFAULT));
}

TEST(ClockNanosleepTest, AbsoluteTimeInThePastReturnsAtOnce) {
  const timespec past = {1, 0};
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI}) {
    EXPECT_THAT(RawSleep(clock, TIMER_ABSTIME, &past), SyscallSucceeds());
  }
}

TEST(ClockNanosleepTest, AbsoluteTimeIsReached) {
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME}) {
    const long deadline = Now(clock) + 10000000;
    const timespec request = {deadline / kSecond, deadline % kSecond};
    EXPECT_THAT(RawSleep(clock, TIMER_ABSTIME, &request), SyscallSucceeds());
    EXPECT_GE(Now(clock), deadline);
  }
}

TEST(ClockNanosleepTest, ClocksThatCannotSleep) {
  const timespec request = {0, 1};
  EXPECT_THAT(RawSleep(CLOCK_THREAD_CPUTIME_ID, 0, &request), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(RawSleep(CLOCK_MONOTONIC_RAW, 0, &request), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(RawSleep(CLOCK_MONOTONIC_COARSE, 0, &request), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(RawSleep(99, 0, &request), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(RawSleep(CLOCK_MONOTONIC, 0, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(ClockNanosleepTest, ProcessCpuClockWaitsForWork) {
  std::atomic<bool> stop{false};
  ScopedThread burner([&] {
    while (!stop) {
    }
  });
  const long before = Now(CLOCK_PROCESS_CPUTIME_ID);
  const timespec request = {0, 20000000};
  EXPECT_THAT(RawSleep(CLOCK_PROCESS_CPUTIME_ID, 0, &request), SyscallSucceeds());
  EXPECT_GE(Now(CLOCK_PROCESS_CPUTIME_ID) - before, 20000000);
  stop = true;
}

TEST(ClockNanosleepTest, RemainderIsWrittenForRelativeSleepsOnly) {
  SignalCounter counter(SIGUSR1);
  Nudger nudger(SIGUSR1);
  const timespec request = {100, 0};
  timespec left = {-5, -5};
  EXPECT_THAT(RawSleep(CLOCK_MONOTONIC, 0, &request, &left), SyscallFailsWithErrno(EINTR));
  EXPECT_GT(left.tv_sec, 50);
  EXPECT_LT(left.tv_sec, 100);
  left = {-5, -5};
  const long deadline = Now(CLOCK_MONOTONIC) + 100 * kSecond;
  const timespec absolute = {deadline / kSecond, deadline % kSecond};
  EXPECT_THAT(RawSleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &absolute, &left), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(left.tv_sec, -5);
}

TEST(TimeTest, TimeAndGettimeofdayAgreeWithTheRealClock) {
  const time_t before = Now(CLOCK_REALTIME) / kSecond;
  time_t stored = 0;
  const time_t now = syscall(SYS_time, &stored);
  EXPECT_EQ(now, stored);
  EXPECT_GE(now, before - 1);
  timeval tv = {};
  EXPECT_THAT(syscall(SYS_gettimeofday, &tv, nullptr), SyscallSucceeds());
  EXPECT_GE(tv.tv_sec, before);
  EXPECT_LT(tv.tv_usec, 1000000);
  EXPECT_THAT(syscall(SYS_time, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_gettimeofday, BadPointer(), nullptr), SyscallFailsWithErrno(EFAULT));
}

TEST(TimesTest, CountsOwnAndReapedTime) {
  EXPECT_THAT(RunInChild([] {
                const long until = Now(CLOCK_PROCESS_CPUTIME_ID) + 50000000;
                while (Now(CLOCK_PROCESS_CPUTIME_ID) < until) {
                }
                tms now = {};
                EXPECT_THAT(times(&now), SyscallSucceeds());
                EXPECT_GE(now.tms_utime + now.tms_stime, 4);  // hundredths of a second
                EXPECT_EQ(now.tms_cutime + now.tms_cstime, 0);
              }),
              ExitedWith(0));
  EXPECT_THAT(syscall(SYS_times, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(GetrusageTest, SelfGrowsWithWorkAndReportsMemory) {
  rusage before = {}, after = {};
  ASSERT_THAT(getrusage(RUSAGE_SELF, &before), SyscallSucceeds());
  EXPECT_GT(before.ru_maxrss, 0);
  const long until = Now(CLOCK_PROCESS_CPUTIME_ID) + 30000000;
  while (Now(CLOCK_PROCESS_CPUTIME_ID) < until) {
  }
  ASSERT_THAT(getrusage(RUSAGE_SELF, &after), SyscallSucceeds());
  auto us = [](const rusage& r) {
    return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
  };
  EXPECT_GE(us(after) - us(before), 20000);
}

TEST(GetrusageTest, BadArguments) {
  rusage usage;
  EXPECT_THAT(syscall(SYS_getrusage, 7, &usage), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_getrusage, RUSAGE_SELF, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

}  // namespace
}  // namespace moat::test
