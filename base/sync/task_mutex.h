// The sleeping lock: may be held across a park, a gofer trip or a host call that waits. FIFO, owned by a fiber.
//
// Ranks: a fiber takes TaskMutexes in rising rank only (same rank: the caller says why it cannot deadlock, by address or
// ancestry, with LockNested). Debug builds check it.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/sync/mutex.h"
#include "base/util/intrusive_list.h"

namespace moat {

class Fiber;

enum class LockRank : int {
  kFilePosition = 5, kPipe = 8, kRename = 10, kDirectory = 20, kInode = 30, kMemoryMap = 40, kLeaf = 50
};

class MOAT_CAPABILITY("task mutex") TaskMutex {
 public:
  explicit TaskMutex(LockRank rank) : rank_(rank) {}
  TaskMutex(const TaskMutex&) = delete;
  TaskMutex& operator=(const TaskMutex&) = delete;

  // On a fiber. A bare host thread may take it too while it is certain that nobody else holds it (start-up); it aborts if it
  // would have to wait.
  void Lock() MOAT_ACQUIRE();
  void LockNested() MOAT_ACQUIRE();  // the same rank is held already
  bool TryLock() MOAT_TRY_ACQUIRE(true);
  void Unlock() MOAT_RELEASE();  // hands it to the longest waiter
  bool held_by_me() const;

 private:
  struct Sleeper {
    Fiber* fiber;
    bool granted = false;
    ListNode node;
  };
  void LockRanked(bool same_rank_is_fine);
  void NoteTaken(Fiber* fiber);
  void NoteDropped(Fiber* fiber);

  [[maybe_unused]] const LockRank rank_;  // read in debug builds
  Mutex mu_;
  bool locked_ MOAT_GUARDED_BY(mu_) = false;
  // The owner's fiber, or a token of the host thread that took it outside of any fiber (start-up); null if unlocked.
  std::atomic<const void*> owner_{nullptr};
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
