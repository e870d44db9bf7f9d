// The short lock: held for a few instructions, never across a fiber's park or a host call that can wait (a debug build
// counts and aborts). absl::Mutex inside, std::mutex under TSan, which does not know Debian's uninstrumented Abseil.
#pragma once

#include "base/sync/thread_annotations.h"
#include "base/util/sanitizers.h"

#ifdef MOAT_TSAN
#include <condition_variable>
#include <mutex>
#else
#include "absl/synchronization/mutex.h"
#endif

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
#ifdef MOAT_TSAN
    mu_.lock();
#else
    mu_.Lock();
#endif
#ifndef NDEBUG
    NoteLockTaken();
#endif
  }
  void Unlock() MOAT_RELEASE() MOAT_NO_THREAD_SAFETY_ANALYSIS {
#ifndef NDEBUG
    NoteLockDropped();
#endif
#ifdef MOAT_TSAN
    mu_.unlock();
#else
    mu_.Unlock();
#endif
  }

 private:
  friend class CondVar;
#ifdef MOAT_TSAN
  std::mutex mu_;
#else
  absl::Mutex mu_;
#endif
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
#ifdef MOAT_TSAN
  std::condition_variable cv_;
#else
  absl::CondVar cv_;
#endif
};

}  // namespace moat
