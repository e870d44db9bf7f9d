// Record locks (fcntl(2): POSIX and open file description locks) and flock(2) locks of an inode.
//
// Set never sleeps: kEAGAIN when another owner's lock is in the way. A call that may wait hangs a Waiter on queue() first, then
// repeats; for POSIX locks it passes a LockWait, through which deadlocks are seen (kEDEADLK).
#pragma once

#include <cstdint>
#include <list>
#include <optional>

#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "base/util/error.h"

namespace moat {

class FileDescription;

// Owners are compared by address: the FdTable for POSIX locks, the FileDescription for OFD locks and flocks.
using LockOwner = const void*;

struct FileRange {
  int64_t start = 0;
  int64_t end = INT64_MAX;  // inclusive
};
// From struct flock's l_start (made absolute by the caller) and l_len. kEINVAL, kEOVERFLOW.
ErrorOr<FileRange> MakeFileRange(int64_t start, int64_t length);

struct RecordLock {
  FileRange range;
  bool exclusive = false;
  LockOwner owner = nullptr;
  int pid = 0;  // what F_GETLK reports; -1 for OFD locks
};

// A task's wait for a POSIX lock, as the deadlock check sees it. Lives as long as the wait.
class LockWait {
 public:
  LockWait() = default;
  ~LockWait() { Clear(); }
  LockWait(const LockWait&) = delete;

 private:
  friend class FileLocks;
  void Clear();
  // kEDEADLK if `blocker` (transitively) waits for `owner`.
  ErrorOr<void> Enter(LockOwner owner, LockOwner blocker);
  bool entered_ = false;
  std::list<std::pair<LockOwner, LockOwner>>::iterator edge_;
};

// Locks of one inode beyond which setting gives kENOLCK.
inline constexpr size_t kMaxLocksPerInode = 8192;

class FileLocks {
 public:
  // Sets a lock, replacing, splitting and joining the owner's own. kEAGAIN, kENOLCK, kEDEADLK (with `wait` only).
  ErrorOr<void> Set(const RecordLock& lock, LockWait* wait = nullptr);
  // Removes the owner's locks in `range`.
  ErrorOr<void> Unlock(LockOwner owner, FileRange range);
  // F_GETLK: a lock that stops `lock`, if any.
  std::optional<RecordLock> Test(const RecordLock& lock) const;
  // flock(2). Converting drops the old lock first. kEAGAIN.
  ErrorOr<void> Flock(LockOwner owner, bool exclusive, int pid = 0);
  void FlockUnlock(LockOwner owner);
  // Drops every lock of `owner`, of either kind.
  void ReleaseOwner(LockOwner owner);

  WaitQueue& queue() { return queue_; }
  // Every lock, for /proc/locks.
  struct Entry {
    RecordLock lock;
    bool flock;
  };
  std::list<Entry> List() const;

 private:
  const RecordLock* FindConflict(const RecordLock& lock) const MOAT_REQUIRES(mu_);
  bool RemoveRange(LockOwner owner, FileRange range) MOAT_REQUIRES(mu_);

  mutable Mutex mu_;
  std::list<RecordLock> records_ MOAT_GUARDED_BY(mu_);  // by start
  std::list<RecordLock> flocks_ MOAT_GUARDED_BY(mu_);
  WaitQueue queue_;  // POLLIN is woken when a lock goes
};

}  // namespace moat
