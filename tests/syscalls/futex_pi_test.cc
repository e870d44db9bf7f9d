// Priority-inheriting futexes and robust lists.
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

#include <atomic>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

using Word = std::atomic<uint32_t>;

long Futex(void* word, int op, uint32_t value = 0, const void* timeout = nullptr, void* word2 = nullptr,
           uint32_t value3 = 0) {
  return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

uint32_t Tid() { return static_cast<uint32_t>(gettid()); }

TEST(FutexPiTest, LockOfAFreeWordStoresTheThreadId) {
  Word word{0};
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
  EXPECT_EQ(word & FUTEX_TID_MASK, Tid());
  EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceeds());
  EXPECT_EQ(word & FUTEX_TID_MASK, 0u);
}

TEST(FutexPiTest, LockingTwiceIsEdeadlk) {
  Word word{Tid()};
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallFailsWithErrno(EDEADLK));
  EXPECT_THAT(Futex(&word, FUTEX_TRYLOCK_PI_PRIVATE), SyscallFailsWithErrno(EDEADLK));
}

TEST(FutexPiTest, UnlockByAnotherThreadIsEperm) {
  Word word{0};
  ASSERT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceeds());
  {
    ScopedThread thread(
        [&] { EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallFailsWithErrno(EPERM)); });
  }
  EXPECT_EQ(word & FUTEX_TID_MASK, Tid());
}

TEST(FutexPiTest, UnlockOfAFreeWordIsEperm) {
  Word word{0};
  EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallFailsWithErrno(EPERM));
}

TEST(FutexPiTest, OwnerThatDoesNotExistIsEsrch) {
  Word word{0x3ffffff0};
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallFailsWithErrno(ESRCH));
}

TEST(FutexPiTest, TrylockOfAHeldWordIsEagain) {
  Word word{0};
  ASSERT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceeds());
  ScopedThread thread(
      [&] { EXPECT_THAT(Futex(&word, FUTEX_TRYLOCK_PI_PRIVATE), SyscallFailsWithErrno(EAGAIN)); });
}

TEST(FutexPiTest, WaiterBecomesTheOwnerOnUnlock) {
  Word word{0};
  ASSERT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceeds());
  std::atomic<bool> locked{false};
  ScopedThread thread([&] {
    EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceeds());
    EXPECT_EQ(word & FUTEX_TID_MASK, Tid());
    locked = true;
    EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceeds());
  });
  EXPECT_TRUE(Eventually([&] { return (word & FUTEX_WAITERS) != 0; }));
  EXPECT_FALSE(locked);
  EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceeds());
  thread.Join();
  EXPECT_TRUE(locked);
}

TEST(FutexPiTest, TimeoutIsAbsoluteRealTime) {
  Word word{0};
  ASSERT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceeds());
  {
    ScopedThread thread([&] {
      timespec deadline;
      clock_gettime(CLOCK_REALTIME, &deadline);
      EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, &deadline), SyscallFailsWithErrno(ETIMEDOUT));
    });
  }
  EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceeds());
  EXPECT_EQ(word & FUTEX_TID_MASK, 0u);
}

TEST(FutexPiTest, BadWordIsEfaultOrEinval) {
  EXPECT_THAT(Futex(BadPointer(), FUTEX_LOCK_PI_PRIVATE), SyscallFailsWithErrno(EFAULT));
  alignas(8) char bytes[8] = {};
  EXPECT_THAT(Futex(bytes + 1, FUTEX_LOCK_PI_PRIVATE), SyscallFailsWithErrno(EINVAL));
}

TEST(FutexPiTest, PlainWaiterOnAPiWordIsNotMixed) {
  Word word{0};
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceeds());
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_PRIVATE, 1), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceeds());
}

TEST(FutexPiTest, RequeueToAPiWordHandsTheLockOver) {
  Word cond{0}, mutex{0};
  std::atomic<bool> got{false};
  ScopedThread waiter([&] {
    EXPECT_THAT(Futex(&cond, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, nullptr, &mutex), SyscallSucceeds());
    EXPECT_EQ(mutex & FUTEX_TID_MASK, Tid());
    got = true;
    EXPECT_THAT(Futex(&mutex, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceeds());
  });
  ASSERT_THAT(Futex(&mutex, FUTEX_LOCK_PI_PRIVATE), SyscallSucceeds());
  EXPECT_TRUE(Eventually(
      [&] { return syscall(SYS_futex, &cond, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, 0, &mutex, 0) == 1; }));
  EXPECT_FALSE(got);
  EXPECT_THAT(Futex(&mutex, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceeds());
  waiter.Join();
  EXPECT_TRUE(got);
}

TEST(FutexPiTest, RequeuePiWakesExactlyOneByContract) {
  Word cond{0}, mutex{0};
  EXPECT_THAT(syscall(SYS_futex, &cond, FUTEX_CMP_REQUEUE_PI_PRIVATE, 2, 0, &mutex, 0),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_futex, &cond, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, 0, &cond, 0),
              SyscallFailsWithErrno(EINVAL));
}

TEST(FutexPiTest, LibcsInheritingMutexWorks) {
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  ASSERT_EQ(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT), 0);
  pthread_mutex_t mutex;
  ASSERT_EQ(pthread_mutex_init(&mutex, &attr), 0);
  int counter = 0;
  {
    std::vector<std::unique_ptr<ScopedThread>> threads;
    for (int i = 0; i < 4; ++i) {
      threads.push_back(std::make_unique<ScopedThread>([&] {
        for (int j = 0; j < 500; ++j) {
          pthread_mutex_lock(&mutex);
          ++counter;
          pthread_mutex_unlock(&mutex);
        }
      }));
    }
  }
  EXPECT_EQ(counter, 2000);
  pthread_mutex_destroy(&mutex);
}

// A lock and its link, as a robust list wants them.
struct RobustLock {
  robust_list list;
  Word word;
};
struct RobustHead {
  robust_list_head head;
  RobustLock lock;

  void Init() {
    head.list.next = &lock.list;
    head.futex_offset = offsetof(RobustLock, word);
    head.list_op_pending = nullptr;
    lock.list.next = &head.list;
  }
};

// Shared memory, so that the parent sees what the kernel does when the child ends.
class RobustListTest : public testing::Test {
 protected:
  RobustListTest() : map_(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS) { head().Init(); }
  RobustHead& head() { return *reinterpret_cast<RobustHead*>(map_.data()); }
  Word& word() { return head().lock.word; }
  long Register() { return syscall(SYS_set_robust_list, &head().head, sizeof(robust_list_head)); }

  Mapping map_;
};

TEST_F(RobustListTest, ExitMarksOwnedWords) {
  EXPECT_THAT(RunInChild([&]() -> int {
                word() = Tid();
                return static_cast<int>(Register());
              }),
              ExitedWith(0));
  EXPECT_EQ(word(), static_cast<uint32_t>(FUTEX_OWNER_DIED));
}

TEST_F(RobustListTest, DeathBySignalMarksToo) {
  EXPECT_THAT(RunInChild([&]() -> int {
                word() = Tid();
                Register();
                raise(SIGKILL);
                return 1;
              }),
              KilledBy(SIGKILL));
  EXPECT_EQ(word(), static_cast<uint32_t>(FUTEX_OWNER_DIED));
}

TEST_F(RobustListTest, WordsOfOthersAreLeftAlone) {
  word() = 12345;
  EXPECT_THAT(RunInChild([&]() -> int { return static_cast<int>(Register()); }), ExitedWith(0));
  EXPECT_EQ(word(), 12345u);
}

TEST_F(RobustListTest, WaiterIsWoken) {
  Gate ready, die;
  ScopedChild owner([&] {
    word() = Tid() | FUTEX_WAITERS;
    Register();
    ready.Open();
    die.Wait();
  });
  ready.Wait();
  const uint32_t held = word();
  ScopedChild waiter([&]() -> int {
    while (word() == held) Futex(&word(), FUTEX_WAIT, held);
    return 8;
  });
  WaitUntilAsleep(waiter.pid());
  die.Open();
  EXPECT_THAT(owner.Wait(), ExitedWith(0));
  EXPECT_THAT(waiter.Wait(), ExitedWith(8));
  EXPECT_EQ(word(), static_cast<uint32_t>(FUTEX_OWNER_DIED | FUTEX_WAITERS));
}

TEST_F(RobustListTest, PendingOperationCountsAsOwned) {
  EXPECT_THAT(RunInChild([&]() -> int {
                word() = Tid();
                head().head.list.next = &head().head.list;
                head().head.list_op_pending = &head().lock.list;
                return static_cast<int>(Register());
              }),
              ExitedWith(0));
  EXPECT_EQ(word(), static_cast<uint32_t>(FUTEX_OWNER_DIED));
}

TEST_F(RobustListTest, EndlessListDoesNotHang) {
  EXPECT_THAT(RunInChild([&]() -> int {
                head().lock.list.next = &head().lock.list;
                return static_cast<int>(Register());
              }),
              ExitedWith(0));
}

TEST_F(RobustListTest, BadListIsSurvived) {
  EXPECT_THAT(RunInChild([&]() -> int {
                head().head.list.next = BadPointer<robust_list>();
                return static_cast<int>(Register());
              }),
              ExitedWith(0));
  EXPECT_THAT(RunInChild([&]() -> int {
                return static_cast<int>(syscall(SYS_set_robust_list, BadPointer(), sizeof(robust_list_head)));
              }),
              ExitedWith(0));
}

TEST_F(RobustListTest, LengthMustFit) {
  EXPECT_THAT(syscall(SYS_set_robust_list, &head().head, 8), SyscallFailsWithErrno(EINVAL));
}

TEST_F(RobustListTest, GetReturnsWhatWasSet) {
  EXPECT_THAT(
      RunInChild([&] {
        ASSERT_THAT(Register(), SyscallSucceeds());
        robust_list_head* got = nullptr;
        size_t length = 0;
        ASSERT_THAT(syscall(SYS_get_robust_list, 0, &got, &length), SyscallSucceeds());
        EXPECT_EQ(got, &head().head);
        EXPECT_EQ(length, sizeof(robust_list_head));
        got = nullptr;
        ASSERT_THAT(syscall(SYS_get_robust_list, gettid(), &got, &length), SyscallSucceeds());
        EXPECT_EQ(got, &head().head);
        EXPECT_THAT(syscall(SYS_get_robust_list, 0x3ffffff, &got, &length), SyscallFailsWithErrno(ESRCH));
        EXPECT_THAT(syscall(SYS_get_robust_list, 0, BadPointer(), &length), SyscallFailsWithErrno(EFAULT));
      }),
      ExitedWith(0));
}

TEST(RobustMutexTest, LibcReportsTheDeadOwner) {
  Mapping map(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  auto* mutex = reinterpret_cast<pthread_mutex_t*>(map.data());
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  ASSERT_EQ(pthread_mutex_init(mutex, &attr), 0);
  EXPECT_THAT(RunInChild([&]() -> int { return pthread_mutex_lock(mutex); }), ExitedWith(0));
  EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_consistent(mutex), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
  EXPECT_EQ(pthread_mutex_lock(mutex), 0);
}

}  // namespace
}  // namespace moat::test
