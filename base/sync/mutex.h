// The short lock: held for a few instructions, never across a fiber's park or a host call that can wait (a debug build
// counts and aborts). std::mutex inside: no other file names it, so it can be changed here.
#pragma once

#include <condition_variable>
#include <mutex>

#include "base/sync/thread_annotations.h"


namespace moat {

// Short locks that this host thread holds now. fiber::Park checks that it is zero in debug builds.
void NoteLockTaken();
void NoteLockDropped();
int LocksHeld();

class MOAT_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() MOAT_ACQUIRE() MOAT_NO_THREAD_SAFETY_ANALYSIS {
    mu_.lock();
#ifndef NDEBUG
    NoteLockTaken();
#endif
  }
  void Unlock() MOAT_RELEASE() MOAT_NO_THREAD_SAFETY_ANALYSIS {
#ifndef NDEBUG
    NoteLockDropped();
#endif
    mu_.unlock();
  }

 private:
  friend class CondVar;
  std::mutex mu_;
};

class MOAT_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mu) MOAT_ACQUIRE(mu) : mu_(mu) { mu_.Lock(); }
  ~MutexLock() MOAT_RELEASE() { mu_.Unlock(); }
  MutexLock(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

// For host threads of ours (offload pools) only: guest tasks sleep on a WaitQueue.
class CondVar {
 public:
  void Wait(Mutex& mu) MOAT_REQUIRES(mu) MOAT_NO_THREAD_SAFETY_ANALYSIS;
  void NotifyOne();
  void NotifyAll();

 private:
  std::condition_variable cv_;
};

}  // namespace moat
