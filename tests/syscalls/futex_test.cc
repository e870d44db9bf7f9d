// futex(2) without priority inheritance: waiting, waking, requeueing, and how words are matched.
#include <linux/futex.h>
#include <sys/mman.h>

#include <atomic>
#include <memory>
#include <vector>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

using Word = std::atomic<uint32_t>;

long Futex(void* word, int op, uint32_t value, const void* timeout = nullptr, void* word2 = nullptr,
           uint32_t value3 = 0) {
  return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}
// For the operations whose fourth argument is a number.
long FutexN(void* word, int op, uint32_t value, uint64_t value2, void* word2, uint32_t value3 = 0) {
  return syscall(SYS_futex, word, op, value, value2, word2, value3);
}

// Threads that wait on one word each and count their wake-ups.
class Waiters {
 public:
  void Add(Word& word, uint32_t bitset = ~0u, int op = FUTEX_WAIT_BITSET_PRIVATE) {
    threads_.push_back(std::make_unique<ScopedThread>([this, &word, bitset, op] {
      if (Futex(&word, op, word, nullptr, nullptr, bitset) == 0) ++woken_;
      ++ended_;
    }));
    threads_.back()->WaitUntilAsleep();
  }
  int woken() const { return woken_; }
  bool WokenWillBe(int count) {
    return Eventually([&] { return woken_ == count; });
  }

 private:
  std::atomic<int> woken_{0}, ended_{0};
  std::vector<std::unique_ptr<ScopedThread>> threads_;
};

TEST(FutexWaitTest, OtherValueIsEagain) {
  Word word{5};
  EXPECT_THAT(Futex(&word, FUTEX_WAIT, 4), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(Futex(&word, FUTEX_WAIT_PRIVATE, 6), SyscallFailsWithErrno(EAGAIN));
}

TEST(FutexWaitTest, RelativeTimeoutElapses) {
  Word word{0};
  const timespec timeout = {0, 10000000};
  const long start = MonotonicNs();
  EXPECT_THAT(Futex(&word, FUTEX_WAIT, 0, &timeout), SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_GE(MonotonicNs() - start, 10000000);
}

TEST(FutexWaitTest, ZeroTimeoutElapsesAtOnce) {
  Word word{0};
  const timespec zero = {};
  EXPECT_THAT(Futex(&word, FUTEX_WAIT, 0, &zero), SyscallFailsWithErrno(ETIMEDOUT));
}

TEST(FutexWaitTest, BitsetTimeoutIsAbsoluteOnEitherClock) {
  Word word{0};
  for (int clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
    const int op = FUTEX_WAIT_BITSET | (clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0);
    timespec deadline;
    clock_gettime(clock, &deadline);
    EXPECT_THAT(Futex(&word, op, 0, &deadline, nullptr, ~0u), SyscallFailsWithErrno(ETIMEDOUT));
    deadline.tv_nsec += 10000000;
    if (deadline.tv_nsec >= 1000000000) deadline.tv_nsec -= 1000000000, ++deadline.tv_sec;
    EXPECT_THAT(Futex(&word, op, 0, &deadline, nullptr, ~0u), SyscallFailsWithErrno(ETIMEDOUT));
    timespec now;
    clock_gettime(clock, &now);
    EXPECT_TRUE(now.tv_sec > deadline.tv_sec ||
                (now.tv_sec == deadline.tv_sec && now.tv_nsec >= deadline.tv_nsec));
  }
}

TEST(FutexWaitTest, BadTimeoutIsEinval) {
  Word word{0};
  const timespec negative = {-1, 0}, large = {0, 1000000000};
  EXPECT_THAT(Futex(&word, FUTEX_WAIT, 0, &negative), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Futex(&word, FUTEX_WAIT, 0, &large), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Futex(&word, FUTEX_WAIT, 0, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(FutexTest, UnalignedWordIsEinval) {
  alignas(8) char bytes[8] = {};
  EXPECT_THAT(Futex(bytes + 1, FUTEX_WAIT, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Futex(bytes + 2, FUTEX_WAKE, 1), SyscallFailsWithErrno(EINVAL));
}

TEST(FutexTest, UnreadableWordIsEfault) {
  EXPECT_THAT(Futex(BadPointer(), FUTEX_WAIT, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Futex(BadPointer(), FUTEX_WAIT_PRIVATE, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Futex(BadPointer(), FUTEX_WAKE, 1), SyscallFailsWithErrno(EFAULT));
}

TEST(FutexTest, PrivateWakeNeedsNoMemory) {
  EXPECT_THAT(Futex(BadPointer(), FUTEX_WAKE_PRIVATE, 1), SyscallSucceedsWithValue(0));
}

TEST(FutexTest, UnknownOperationIsEnosys) {
  Word word{0};
  EXPECT_THAT(Futex(&word, 100, 0), SyscallFailsWithErrno(ENOSYS));
  EXPECT_THAT(Futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0), SyscallFailsWithErrno(ENOSYS));
}

TEST(FutexTest, EmptyBitsetIsEinval) {
  Word word{0};
  EXPECT_THAT(Futex(&word, FUTEX_WAIT_BITSET, 0, nullptr, nullptr, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_BITSET, 1, nullptr, nullptr, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(FutexWakeTest, WithoutWaitersWakesNone) {
  Word word{0};
  EXPECT_THAT(Futex(&word, FUTEX_WAKE, 10), SyscallSucceedsWithValue(0));
}

TEST(FutexWakeTest, WakesAsManyAsAsked) {
  Word word{0};
  Waiters waiters;
  for (int i = 0; i < 4; ++i) waiters.Add(word);
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_PRIVATE, 1), SyscallSucceedsWithValue(1));
  EXPECT_TRUE(waiters.WokenWillBe(1));
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_PRIVATE, 2), SyscallSucceedsWithValue(2));
  EXPECT_TRUE(waiters.WokenWillBe(3));
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_PRIVATE, INT32_MAX), SyscallSucceedsWithValue(1));
}

TEST(FutexWakeTest, CountZeroStillWakesOne) {
  Word word{0};
  Waiters waiters;
  waiters.Add(word);
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_PRIVATE, 0), SyscallSucceedsWithValue(1));
}

TEST(FutexWakeTest, BitsetsSelectWaiters) {
  Word word{0};
  Waiters waiters;
  waiters.Add(word, 0b0011);
  waiters.Add(word, 0b0100);
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, nullptr, nullptr, 0b1000),
              SyscallSucceedsWithValue(0));
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, nullptr, nullptr, 0b0110),
              SyscallSucceedsWithValue(2));
}

TEST(FutexWakeTest, PrivateAndSharedOperationsDoNotMeetOnPrivateMemory) {
  Word word{0};
  Waiters waiters;
  waiters.Add(word, ~0u, FUTEX_WAIT_BITSET);  // keyed by memory object even for private memory
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_PRIVATE, 1), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Futex(&word, FUTEX_WAKE, 1), SyscallSucceedsWithValue(1));
}

TEST(FutexRequeueTest, MovesWaitersToTheOtherWord) {
  Word a{0}, b{0};
  Waiters waiters;
  for (int i = 0; i < 3; ++i) waiters.Add(a);
  EXPECT_THAT(FutexN(&a, FUTEX_REQUEUE_PRIVATE, 1, 10, &b), SyscallSucceedsWithValue(3));
  EXPECT_TRUE(waiters.WokenWillBe(1));
  EXPECT_THAT(Futex(&a, FUTEX_WAKE_PRIVATE, 10), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Futex(&b, FUTEX_WAKE_PRIVATE, 10), SyscallSucceedsWithValue(2));
}

TEST(FutexRequeueTest, ComparesTheFirstWord) {
  Word a{7}, b{0};
  EXPECT_THAT(FutexN(&a, FUTEX_CMP_REQUEUE_PRIVATE, 1, 1, &b, 8), SyscallFailsWithErrno(EAGAIN));
  Waiters waiters;
  waiters.Add(a);
  waiters.Add(a);
  EXPECT_THAT(FutexN(&a, FUTEX_CMP_REQUEUE_PRIVATE, 0, 1, &b, 7), SyscallSucceedsWithValue(1));
  EXPECT_THAT(Futex(&b, FUTEX_WAKE_PRIVATE, 10), SyscallSucceedsWithValue(1));
  EXPECT_THAT(Futex(&a, FUTEX_WAKE_PRIVATE, 10), SyscallSucceedsWithValue(1));
}

TEST(FutexRequeueTest, NegativeCountsAreEinval) {
  Word a{0}, b{0};
  EXPECT_THAT(FutexN(&a, FUTEX_REQUEUE_PRIVATE, -1, 1, &b), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(FutexN(&a, FUTEX_REQUEUE_PRIVATE, 1, static_cast<uint64_t>(-1), &b),
              SyscallFailsWithErrno(EINVAL));
}

TEST(FutexWakeOpTest, ChangesTheSecondWordAndWakesByItsOldValue) {
  Word a{0}, b{5};
  Waiters on_a, on_b;
  on_a.Add(a);
  on_b.Add(b);
  const uint32_t op = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5);
  EXPECT_THAT(FutexN(&a, FUTEX_WAKE_OP_PRIVATE, 1, 1, &b, op), SyscallSucceedsWithValue(2));
  EXPECT_EQ(b, 8u);
}

TEST(FutexWakeOpTest, FailedComparisonWakesOnlyTheFirst) {
  Word a{0}, b{5};
  Waiters on_a, on_b;
  on_a.Add(a);
  on_b.Add(b);
  const uint32_t op = FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_GT, 5);
  EXPECT_THAT(FutexN(&a, FUTEX_WAKE_OP_PRIVATE, 1, 1, &b, op), SyscallSucceedsWithValue(1));
  EXPECT_EQ(b, 9u);
  EXPECT_THAT(Futex(&b, FUTEX_WAKE_PRIVATE, 1), SyscallSucceedsWithValue(1));
}

TEST(FutexWakeOpTest, EveryOperation) {
  Word a{0};
  const struct {
    uint32_t op, argument, before, after;
  } kCases[] = {
      {FUTEX_OP_SET, 7, 1, 7},     {FUTEX_OP_ADD, 2, 40, 42}, {FUTEX_OP_OR, 6, 1, 7},
      {FUTEX_OP_ANDN, 3, 15, 12},  {FUTEX_OP_XOR, 5, 12, 9},  {FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 4, 1, 17},
      {FUTEX_OP_ADD, 0xfff, 5, 4},  // a negative argument: twelve bits with a sign
  };
  for (const auto& c : kCases) {
    Word b{c.before};
    EXPECT_THAT(FutexN(&a, FUTEX_WAKE_OP_PRIVATE, 0, 0, &b, FUTEX_OP(c.op, c.argument, FUTEX_OP_CMP_EQ, 0)),
                SyscallSucceedsWithValue(0));
    EXPECT_EQ(b, c.after) << c.op;
  }
}

TEST(FutexWakeOpTest, UnknownComparisonIsEnosysAndBadMemoryEfault) {
  Word a{0}, b{0};
  EXPECT_THAT(FutexN(&a, FUTEX_WAKE_OP_PRIVATE, 0, 0, &b, FUTEX_OP(FUTEX_OP_SET, 0, 9, 0)),
              SyscallFailsWithErrno(ENOSYS));
  EXPECT_THAT(FutexN(&a, FUTEX_WAKE_OP_PRIVATE, 0, 0, &b, FUTEX_OP(7, 0, FUTEX_OP_CMP_EQ, 0)),
              SyscallFailsWithErrno(ENOSYS));
  EXPECT_THAT(FutexN(&a, FUTEX_WAKE_OP_PRIVATE, 0, 0, BadPointer(), 0), SyscallFailsWithErrno(EFAULT));
}

TEST(FutexSharedTest, AnonymousSharedMemoryMeetsAcrossFork) {
  Mapping map(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  auto* word = reinterpret_cast<Word*>(map.data());
  ScopedChild child([&]() -> int {
    while (*word == 0) Futex(word, FUTEX_WAIT, 0);
    return 5;
  });
  WaitUntilAsleep(child.pid());
  *word = 1;
  EXPECT_THAT(Futex(word, FUTEX_WAKE, 1), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(5));
}

TEST(FutexSharedTest, FileIsMatchedThroughDifferentMappings) {
  TempFile file(std::string(8192, '\0'));
  FileDescriptor fd = file.Open();
  Mapping one(8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  Mapping two(4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 4096);
  Waiters waiters;
  waiters.Add(*reinterpret_cast<Word*>(one.data() + 4096 + 64), ~0u, FUTEX_WAIT_BITSET);
  EXPECT_THAT(Futex(two.data() + 60, FUTEX_WAKE, 1), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Futex(two.data() + 64, FUTEX_WAKE, 1), SyscallSucceedsWithValue(1));
}

TEST(FutexSharedTest, ReadOnlyMappingCanBeWaitedOn) {
  TempFile file(std::string(4096, '\0'));
  FileDescriptor fd = file.Open();
  Mapping map(4096, PROT_READ, MAP_SHARED, fd.get());
  const timespec zero = {};
  EXPECT_THAT(Futex(map.data(), FUTEX_WAIT, 0, &zero), SyscallFailsWithErrno(ETIMEDOUT));
}

TEST(FutexSharedTest, PrivateMemoryDoesNotMeetAcrossFork) {
  static Word word;
  word = 0;
  ScopedChild child([&]() -> int { return static_cast<int>(Futex(&word, FUTEX_WAIT, 0)); });
  WaitUntilAsleep(child.pid());
  EXPECT_THAT(Futex(&word, FUTEX_WAKE, 1), SyscallSucceedsWithValue(0));
}

// futex_waitv, which this libc has no header for.
struct WaitV {
  uint64_t val, uaddr;
  uint32_t flags, reserved;
};
constexpr long kFutexWaitv = 449;
constexpr uint32_t kSize32 = 2, kPrivate = 128;

WaitV Entry(Word& word, uint32_t value) {
  return {value, reinterpret_cast<uint64_t>(&word), kSize32 | kPrivate, 0};
}

TEST(FutexWaitvTest, ReturnsTheIndexOfTheWokenWord) {
  Word words[3] = {0, 0, 0};
  ScopedThread waker([&, tid = gettid()] {
    WaitUntilAsleep(getpid(), tid);
    EXPECT_TRUE(Eventually([&] { return Futex(&words[2], FUTEX_WAKE_PRIVATE, 1) == 1; }));
  });
  WaitV list[3] = {Entry(words[0], 0), Entry(words[1], 0), Entry(words[2], 0)};
  EXPECT_THAT(syscall(kFutexWaitv, list, 3, 0, nullptr, CLOCK_MONOTONIC), SyscallSucceedsWithValue(2));
}

TEST(FutexWaitvTest, OtherValueIsEagainAndPassedDeadlineEtimedout) {
  Word words[2] = {0, 1};
  WaitV list[2] = {Entry(words[0], 0), Entry(words[1], 0)};
  EXPECT_THAT(syscall(kFutexWaitv, list, 2, 0, nullptr, CLOCK_MONOTONIC), SyscallFailsWithErrno(EAGAIN));
  words[1] = 0;
  const timespec past = {};
  EXPECT_THAT(syscall(kFutexWaitv, list, 2, 0, &past, CLOCK_MONOTONIC), SyscallFailsWithErrno(ETIMEDOUT));
}

TEST(FutexWaitvTest, BadArguments) {
  Word word{0};
  WaitV list[1] = {Entry(word, 0)};
  EXPECT_THAT(syscall(kFutexWaitv, list, 0, 0, nullptr, CLOCK_MONOTONIC), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(kFutexWaitv, list, 129, 0, nullptr, CLOCK_MONOTONIC), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(kFutexWaitv, list, 1, 1, nullptr, CLOCK_MONOTONIC), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(kFutexWaitv, BadPointer(), 1, 0, nullptr, CLOCK_MONOTONIC),
              SyscallFailsWithErrno(EFAULT));
  list[0].reserved = 1;
  EXPECT_THAT(syscall(kFutexWaitv, list, 1, 0, nullptr, CLOCK_MONOTONIC), SyscallFailsWithErrno(EINVAL));
  list[0] = Entry(word, 0);
  list[0].flags = 0x40000000;
  EXPECT_THAT(syscall(kFutexWaitv, list, 1, 0, nullptr, CLOCK_MONOTONIC), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace moat::test
