#include "base/sync/mutex.h"

namespace moat {

namespace {
thread_local int t_locks_held = 0;
}

void NoteLockTaken() { ++t_locks_held; }
void NoteLockDropped() { --t_locks_held; }
int LocksHeld() { return t_locks_held; }

void CondVar::Wait(Mutex& mu) {
  std::unique_lock<std::mutex> lock(mu.mu_, std::adopt_lock);
  cv_.wait(lock);
  lock.release();
}
void CondVar::NotifyOne() { cv_.notify_one(); }
void CondVar::NotifyAll() { cv_.notify_all(); }

}  // namespace moat
