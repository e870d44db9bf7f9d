// The sleeping lock: may be held across a park, a gofer trip or a host call that waits. FIFO, owned by a fiber.
//
// Ranks: a fiber takes TaskMutexes in rising rank only (same rank: the caller says why it cannot deadlock, by address or
// ancestry, with LockNested). Debug builds check it.
#pragma once

#include <cstdint>

#include "base/sync/mutex.h"
#include "base/util/intrusive_list.h"

namespace moat {

class Fiber;

enum class LockRank : int { kRename = 10, kDirectory = 20, kInode = 30, kFilePosition = 5, kMemoryMap = 40, kLeaf = 50 };

class MOAT_CAPABILITY("task mutex") TaskMutex {
 public:
  explicit TaskMutex(LockRank rank) : rank_(rank) {}
  TaskMutex(const TaskMutex&) = delete;
  TaskMutex& operator=(const TaskMutex&) = delete;

  void Lock() MOAT_ACQUIRE();
  void LockNested() MOAT_ACQUIRE();  // the same rank is held already
  bool TryLock() MOAT_TRY_ACQUIRE(true);
  void Unlock() MOAT_RELEASE();
  bool held_by_me() const;

 private:
  struct Sleeper {
    Fiber* fiber;
    bool granted = false;
    ListNode node;
  };
  const LockRank rank_;
  Mutex mu_;
  bool locked_ MOAT_GUARDED_BY(mu_) = false;
  Fiber* owner_ = nullptr;
  IntrusiveList<Sleeper, &Sleeper::node> sleepers_ MOAT_GUARDED_BY(mu_);
};

class MOAT_SCOPED_CAPABILITY TaskMutexLock {
 public:
  explicit TaskMutexLock(TaskMutex& mu) MOAT_ACQUIRE(mu) : mu_(mu) { mu_.Lock(); }
  ~TaskMutexLock() MOAT_RELEASE() { mu_.Unlock(); }
  TaskMutexLock(const TaskMutexLock&) = delete;

 private:
  TaskMutex& mu_;
};

}  // namespace moat
