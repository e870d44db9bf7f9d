#include "base/sync/task_mutex.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/fiber/executor.h"
#include "base/fiber/fiber.h"

namespace moat {
namespace {

// The analysis cannot follow locks into closures.
#define UNCHECKED MOAT_NO_THREAD_SAFETY_ANALYSIS

TEST(TaskMutex, IsHeldByItsFiberOnly) {
  TaskMutex mutex(LockRank::kInode);
  Fiber* holder = nullptr;
  Executor::Get().Run([&]() UNCHECKED {
    mutex.Lock();
    EXPECT_TRUE(mutex.held_by_me());
    holder = Fiber::Current();
    Fiber::Park();
    EXPECT_TRUE(mutex.held_by_me());
    mutex.Unlock();
    EXPECT_FALSE(mutex.held_by_me());
  });
  EXPECT_FALSE(mutex.held_by_me());
  Executor::Get().Run([&]() UNCHECKED {
    EXPECT_FALSE(mutex.held_by_me());
    EXPECT_FALSE(mutex.TryLock());
  });
  holder->Unpark();
  Executor::Get().RunReady();
  Executor::Get().Run([&]() UNCHECKED {
    ASSERT_TRUE(mutex.TryLock());
    mutex.Unlock();
  });
}

TEST(TaskMutex, ServesSleepersInOrderAndNobodyOvertakes) {
  TaskMutex mutex(LockRank::kInode);
  std::vector<int> order;
  Fiber* holder = nullptr;
  Executor::Get().Run([&] {
    TaskMutexLock lock(mutex);
    holder = Fiber::Current();
    Fiber::Park();
  });
  for (int i = 0; i < 5; ++i) {
    Executor::Get().Run([&, i] {
      TaskMutexLock lock(mutex);
      order.push_back(i);
      Executor::Get().Run([&]() UNCHECKED { EXPECT_FALSE(mutex.TryLock()); });
    });
  }
  EXPECT_TRUE(order.empty());
  holder->Unpark();
  Executor::Get().RunReady();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(TaskMutex, SpuriousWakesDoNotGrantIt) {
  TaskMutex mutex(LockRank::kInode);
  Fiber* holder = nullptr;
  Fiber* sleeper = nullptr;
  bool inside = false;
  Executor::Get().Run([&] {
    TaskMutexLock lock(mutex);
    holder = Fiber::Current();
    Fiber::Park();
  });
  Executor::Get().Run([&] {
    sleeper = Fiber::Current();
    TaskMutexLock lock(mutex);
    inside = true;
  });
  sleeper->Unpark();
  Executor::Get().RunReady();
  EXPECT_FALSE(inside);
  holder->Unpark();
  Executor::Get().RunReady();
  EXPECT_TRUE(inside);
}

TEST(TaskMutex, BareThreadMayTakeItUncontended) {
  TaskMutex mutex(LockRank::kInode);
  TaskMutexLock lock(mutex);
  EXPECT_TRUE(mutex.held_by_me());
  bool elsewhere = true;
  std::thread([&] { elsewhere = mutex.held_by_me(); }).join();
  EXPECT_FALSE(elsewhere);
}

TEST(TaskMutexStress, ExcludesAcrossWorkersWhileHoldersPark) {
  constexpr int kFibers = 20;
  constexpr int kRounds = 100;
  TaskMutex mutex(LockRank::kInode);
  int64_t counter = 0;  // guarded by the mutex alone; TSan watches
  std::atomic<int> ended{0};
  for (int i = 0; i < kFibers; ++i) {
    Executor::Get().Post([&] {
      for (int round = 0; round < kRounds; ++round) {
        TaskMutexLock lock(mutex);
        int64_t seen = counter;
        Executor::Get().Post([self = Fiber::Current()] { self->Unpark(); });
        Fiber::Park();
        counter = seen + 1;
      }
      ++ended;
    });
  }
  auto done = [&] { return ended == kFibers; };
  std::thread other([&] { Executor::Get().RunUntil(done); });
  Executor::Get().RunUntil(done);
  other.join();
  EXPECT_EQ(counter, kFibers * kRounds);
}

#ifndef NDEBUG
using TaskMutexDeathTest = testing::Test;

TEST(TaskMutexDeathTest, FallingOrEqualRankAborts) {
  TaskMutex inode(LockRank::kInode), other_inode(LockRank::kInode), directory(LockRank::kDirectory);
  auto lock_both = [](TaskMutex& first, TaskMutex& second, bool nested) {
    Executor::Get().Run([&]() UNCHECKED {
      first.Lock();
      nested ? second.LockNested() : second.Lock();
      first.Unlock();
      second.Unlock();
    });
  };
  lock_both(directory, inode, false);
  lock_both(inode, other_inode, true);
  EXPECT_EXIT(lock_both(inode, directory, false), testing::ExitedWithCode(134), "check failed");
  EXPECT_EXIT(lock_both(inode, directory, true), testing::ExitedWithCode(134), "check failed");
  EXPECT_EXIT(lock_both(inode, other_inode, false), testing::ExitedWithCode(134), "check failed");
  lock_both(directory, inode, false);
}
#endif

}  // namespace
}  // namespace moat
