// The vDSO: clocks without a system call that never contradict the system calls, vdso(7).
#include <elf.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "tests/util/fork.h"
#include "tests/util/matchers.h"

namespace moat::test {
namespace {

constexpr long kSecond = 1'000'000'000, kMs = 1'000'000;

long Ns(const timespec& ts) { return ts.tv_sec * kSecond + ts.tv_nsec; }
// libc's clock_gettime is the vDSO's where there is one.
long Now(clockid_t clock) {
  timespec ts = {};
  EXPECT_THAT(clock_gettime(clock, &ts), SyscallSucceeds());
  return Ns(ts);
}
long Called(clockid_t clock) {
  timespec ts = {};
  EXPECT_THAT(syscall(SYS_clock_gettime, clock, &ts), SyscallSucceeds());
  return Ns(ts);
}

class VdsoClockTest : public testing::TestWithParam<clockid_t> {};

TEST_P(VdsoClockTest, IsInOrderWithTheSystemCall) {
  // Over intervals in which a shared clock page would be renewed.
  const long end = Now(CLOCK_MONOTONIC) + 400 * kMs;
  while (Now(CLOCK_MONOTONIC) < end) {
    const long first = Now(GetParam()), second = Called(GetParam()), third = Now(GetParam());
    ASSERT_LE(first, second);
    ASSERT_LE(second, third);
  }
}

TEST_P(VdsoClockTest, IsInOrderAcrossThreads) {
  std::atomic<long> latest{0};
  std::atomic<long> worst{0};
  std::atomic<bool> stop{false};
  auto check = [&](auto read) {
    while (!stop) {
      const long floor = latest.load();
      const long now = read(GetParam());
      if (now < floor && floor - now > worst) worst = floor - now;
      for (long seen = floor; now > seen && !latest.compare_exchange_weak(seen, now);) {
      }
    }
  };
  std::thread a([&] { check(Now); }), b([&] { check(Now); }), c([&] { check(Called); });
  usleep(500'000);
  stop = true;
  for (std::thread* t : {&a, &b, &c}) t->join();
  EXPECT_EQ(worst, 0) << "ns backwards";
}

TEST_P(VdsoClockTest, GoesOnAcrossForkAndSleep) {
  const long before = Now(GetParam());
  EXPECT_EQ(RunInChild([&]() -> int { return Now(GetParam()) >= before ? 0 : 1; }), 0);
  usleep(30'000);
  const long slept = Now(GetParam()) - before;
  EXPECT_GE(slept, 30 * kMs);
  EXPECT_LT(slept, 10 * kSecond);
}

INSTANTIATE_TEST_SUITE_P(Clocks, VdsoClockTest, testing::Values(CLOCK_MONOTONIC, CLOCK_REALTIME));

TEST(VdsoTest, TimeAndGettimeofdayAgreeWithTheClock) {
  const long before = Now(CLOCK_REALTIME);
  timeval tv = {};
  struct timezone tz = {-1, -1};
  ASSERT_THAT(gettimeofday(&tv, &tz), SyscallSucceeds());
  const long now = tv.tv_sec * kSecond + tv.tv_usec * 1000;
  EXPECT_GE(now, before - 1000);
  EXPECT_LE(now, Now(CLOCK_REALTIME));
  EXPECT_EQ(tz.tz_minuteswest, 0);
  time_t stored = 0;
  const time_t seconds = time(&stored);
  EXPECT_EQ(seconds, stored);
  EXPECT_GE(seconds, before / kSecond - 1);  // Linux's is coarse
  EXPECT_LE(seconds, Now(CLOCK_REALTIME) / kSecond);
}

TEST(VdsoTest, GetcpuNamesACpuOfTheMask) {
  cpu_set_t mask;
  ASSERT_THAT(sched_getaffinity(0, sizeof mask, &mask), SyscallSucceeds());
  const int cpu = sched_getcpu();
  ASSERT_GE(cpu, 0);
  EXPECT_TRUE(CPU_ISSET(static_cast<size_t>(cpu), &mask)) << cpu;
}

// The pages that a mapping of this name covers, from /proc/self/maps; {0, 0} if there is none.
struct Range {
  unsigned long start = 0, end = 0;
  std::string permissions;
};
Range FindMapping(const char* name) {
  Range found;
  FILE* maps = fopen("/proc/self/maps", "r");
  if (!maps) return found;
  char line[512], permissions[8];
  while (fgets(line, sizeof line, maps)) {
    unsigned long start, end;
    if (strstr(line, name) && sscanf(line, "%lx-%lx %7s", &start, &end, permissions) == 3) found = {start, end, permissions};
  }
  fclose(maps);
  return found;
}

TEST(VdsoTest, IsNamedInTheMapsAndCannotBeWritten) {
  const unsigned long base = getauxval(AT_SYSINFO_EHDR);
  if (base == 0) GTEST_SKIP() << "no vDSO here";
  const Range vdso = FindMapping("[vdso]");
  EXPECT_EQ(vdso.start, base);
  EXPECT_EQ(vdso.permissions, "r-xp");
  const Range vvar = FindMapping("[vvar]");
  ASSERT_NE(vvar.start, 0u);
  EXPECT_EQ(vvar.permissions, "r--p");
  // Whatever becomes of a clock page made writable here, other processes' clocks stay.
  const long before = Now(CLOCK_MONOTONIC);
  const int status = RunInChild([&]() -> int {
    if (mprotect(reinterpret_cast<void*>(vvar.start), vvar.end - vvar.start, PROT_READ | PROT_WRITE) != 0) return 0;
    memset(reinterpret_cast<void*>(vvar.start), 0, vvar.end - vvar.start);
    return 0;
  });
  EXPECT_TRUE(status == 0 || WIFSIGNALED(status)) << status;
  EXPECT_GE(Now(CLOCK_MONOTONIC), before);
  EXPECT_LT(Now(CLOCK_MONOTONIC) - before, 10 * kSecond);
}

}  // namespace
}  // namespace moat::test
