#include "base/sync/task_mutex.h"

#include "base/fiber/fiber.h"
#include "base/util/check.h"

namespace moat {

namespace {

// Whoever locks: a fiber, or this host thread by the address of a variable of its own.
__attribute__((noinline)) const void* ThreadToken() {
  static thread_local char token;
  asm volatile("");
  return &token;
}
const void* OwnerToken(const Fiber* fiber) { return fiber ? fiber : ThreadToken(); }

}  // namespace

// The rank checks are for debug builds; the fiber keeps what it holds.
void TaskMutex::NoteTaken(Fiber* fiber) {
  owner_.store(OwnerToken(fiber), std::memory_order_relaxed);
#ifndef NDEBUG
  if (!fiber) return;
  CHECK(fiber->rank_count_ < Fiber::kMaxRanks);
  fiber->ranks_[fiber->rank_count_++] = static_cast<int>(rank_);
#endif
}

void TaskMutex::NoteDropped(Fiber* fiber) {
  CHECK(held_by_me());
  owner_.store(nullptr, std::memory_order_relaxed);
#ifndef NDEBUG
  if (!fiber) return;
  int i = fiber->rank_count_ - 1;
  while (i >= 0 && fiber->ranks_[i] != static_cast<int>(rank_)) --i;
  CHECK(i >= 0);
  for (; i + 1 < fiber->rank_count_; ++i) fiber->ranks_[i] = fiber->ranks_[i + 1];
  --fiber->rank_count_;
#endif
}

void TaskMutex::LockRanked(bool same_rank_is_fine) {
  Fiber* self = Fiber::Current();
#ifndef NDEBUG
  for (int i = 0; self && i < self->rank_count_; ++i) {
    CHECK(self->ranks_[i] < static_cast<int>(rank_) ||
          (same_rank_is_fine && self->ranks_[i] == static_cast<int>(rank_)));
  }
#endif
  Sleeper sleeper{self, false, {}};
  bool granted = false;
  {
    MutexLock lock(mu_);
    if (!locked_) {
      locked_ = granted = true;
    } else {
      CHECK(self != nullptr && !held_by_me());
      sleepers_.PushBack(sleeper);
    }
  }
  // `sleeper.granted` is read under the lock: Unlock is then done with this mutex and with the sleeper.
  while (!granted) {
    Fiber::Park();
    MutexLock lock(mu_);
    granted = sleeper.granted;
  }
  NoteTaken(self);
}

void TaskMutex::Lock() MOAT_NO_THREAD_SAFETY_ANALYSIS { LockRanked(false); }
void TaskMutex::LockNested() MOAT_NO_THREAD_SAFETY_ANALYSIS { LockRanked(true); }

bool TaskMutex::TryLock() MOAT_NO_THREAD_SAFETY_ANALYSIS {
  {
    MutexLock lock(mu_);
    if (locked_) return false;
    locked_ = true;
  }
  NoteTaken(Fiber::Current());
  return true;
}

void TaskMutex::Unlock() MOAT_NO_THREAD_SAFETY_ANALYSIS {
  NoteDropped(Fiber::Current());
  MutexLock lock(mu_);
  Sleeper* next = sleepers_.PopFront();
  if (!next) {
    locked_ = false;
    return;
  }
  // It stays locked: nobody can overtake the one it is handed to.
  next->granted = true;
  next->fiber->Unpark();
}

bool TaskMutex::held_by_me() const {
  return owner_.load(std::memory_order_relaxed) == OwnerToken(Fiber::Current());
}

}  // namespace moat
