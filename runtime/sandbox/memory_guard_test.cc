#include "runtime/sandbox/memory_guard.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace moat {
namespace {

constexpr std::string_view kStatus =
    "Name:\tmoat-sentry\nState:\tt (tracing stop)\nTgid:\t4711\nPid:\t4711\nPPid:\t4700\nNSpid:\t4711\t9\nVmRSS:\t  9999 kB\n"
    "RssAnon:\t    1000 kB\nRssFile:\t      10 kB\nRssShmem:\t     500 kB\nVmPTE:\t      40 kB\nVmSwap:\t       8 kB\nThreads:\t3\n";

TEST(ParseStatusTest, CountsWhatIsTheProcesssOwn) {
  const ProcessMemory m = ParseStatus(4711, kStatus);
  EXPECT_EQ(m.pid, 4711);
  EXPECT_EQ(m.parent, 4700);
  EXPECT_EQ(m.inner_pid, 9);
  EXPECT_EQ(m.private_bytes, 1000u << 10);
  EXPECT_EQ(m.other_bytes, (48u + 64 + 3 * 32) << 10) << "page tables, swap, and what the kernel keeps";
  EXPECT_EQ(m.weight() - m.total(), 500u << 10) << "memfds count for who is the largest only";
  EXPECT_FALSE(m.ended);
}

TEST(ParseStatusTest, ZombiesHaveNothingLeft) {
  EXPECT_TRUE(ParseStatus(1, "Name:\tx\nState:\tZ (zombie)\nPPid:\t7\nNSpid:\t1\t2\n").ended);
  EXPECT_EQ(ParseStatus(1, "Name:\tx\nState:\tZ (zombie)\n").private_bytes, 0u);
}

TEST(ParseStatusTest, NonsenseIsNoMemory) {
  const ProcessMemory m = ParseStatus(1, "");
  EXPECT_EQ(m.parent, 0);
  EXPECT_EQ(m.inner_pid, 0);
  EXPECT_EQ(m.private_bytes, 0u);
}

TEST(SpareMemoryTest, LeavesTheHostSomething) {
  EXPECT_GE(SpareMemory(), uint64_t{64} << 20);
  EXPECT_LT(SpareMemory(), uint64_t{1} << 50);
}

TEST(MemoryGuardTest, WithoutLimitItDoesNothing) {
  MemoryGuard guard(1, 0);
  const MemoryGuard::Result result = guard.Check();
  EXPECT_EQ(result.guest_bytes, 0u);
  EXPECT_FALSE(result.tight);
}

TEST(MemoryGuardTest, LooksSoonerNearTheLimit) {
  // This process is taken for the sentry: what it uses is a few MiB.
  const int pid = static_cast<int>(::getpid());
  const int64_t far = MemoryGuard(pid, uint64_t{1} << 50).Check().next_ns;
  const MemoryGuard::Result near = MemoryGuard(pid, uint64_t{64} << 20).Check();
  EXPECT_GT(far, near.next_ns);
  EXPECT_EQ(far, 1'000'000'000);
}

}  // namespace
}  // namespace moat
