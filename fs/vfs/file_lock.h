// Record locks (fcntl(2): POSIX and open file description locks) and flock(2) locks of an inode.
//
// Set never sleeps: kEAGAIN when another owner's lock is in the way. A call that may wait hangs a Waiter on queue() first, then
// repeats; for POSIX locks it passes a LockWait, through which deadlocks are seen (kEDEADLK).
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/intrusive_list.h"
#include "base/util/ref.h"

namespace moat {

class FileDescription;
class Inode;
class Timer;

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

// The same locks on the host, for files that its processes use too. Calls do not wait; FileLocks makes them with its lock held,
// so that the host has exactly what guests have together.
class HostLocks : public RefCounted {
 public:
  enum class Type : uint8_t { kNone, kShared, kExclusive };
  // Sets what is held of `range`. kEAGAIN: a process of the host is in the way.
  virtual ErrorOr<void> SetRange(FileRange range, Type type) = 0;
  // flock(2). kEAGAIN; what was held is lost then.
  virtual ErrorOr<void> SetFlock(Type type) = 0;
  // A lock of the host that stops `lock`, if any.
  virtual std::optional<RecordLock> Test(const RecordLock& lock) = 0;
};

// Locks of one inode beyond which setting gives kENOLCK.
inline constexpr size_t kMaxLocksPerInode = 8192;

class FileLocks {
 public:
  FileLocks();
  ~FileLocks();
  FileLocks(const FileLocks&) = delete;

  // They are `inode`'s, which outlives them: LockedInodes will find it.
  void Register(Inode& inode);
  // Inodes that somebody locked once, in that order.
  static std::vector<Ref<Inode>> LockedInodes();

  // Sets a lock, replacing, splitting and joining the owner's own. kEAGAIN, kENOLCK, kEDEADLK (with `wait` only). `host` or null:
  // where it is to be taken too if this is the first lock. The host does not tell when it lets go: while somebody waits on queue()
  // it is woken now and then. On a worker.
  ErrorOr<void> Set(const RecordLock& lock, LockWait* wait = nullptr, const Ref<HostLocks>& host = nullptr);
  // Removes the owner's locks in `range`.
  ErrorOr<void> Unlock(LockOwner owner, FileRange range);
  // F_GETLK: a lock that stops `lock`, if any.
  std::optional<RecordLock> Test(const RecordLock& lock, const Ref<HostLocks>& host = nullptr) const;
  // flock(2). Converting drops the old lock first. kEAGAIN. `host` as for Set.
  ErrorOr<void> Flock(LockOwner owner, bool exclusive, int pid = 0, const Ref<HostLocks>& host = nullptr);
  void FlockUnlock(LockOwner owner);
  // Drops every lock of `owner`, of either kind.
  void ReleaseOwner(LockOwner owner);

  WaitQueue& queue() { return queue_; }
  // Where the locks that are held are held too, or null.
  Ref<HostLocks> host() const;
  // Every lock, for /proc/locks.
  struct Entry {
    RecordLock lock;
    bool flock;
  };
  std::list<Entry> List() const;

 private:
  const RecordLock* FindConflict(const RecordLock& lock) const MOAT_REQUIRES(mu_);
  bool RemoveRange(LockOwner owner, FileRange range) MOAT_REQUIRES(mu_);
  bool Insert(const RecordLock& lock) MOAT_REQUIRES(mu_);  // true if it replaced something
  // Makes the host's locks of `range` what the records say: less than before.
  void ShrinkHost(FileRange range) MOAT_REQUIRES(mu_);
  ErrorOr<void> UpdateHostFlock() MOAT_REQUIRES(mu_);
  // Gives the host's locks up if there are none; the result is dropped after mu_.
  Ref<HostLocks> IdleHost() MOAT_REQUIRES(mu_);
  // The host was in the way: whoever waits tries again later.
  void RetryLater();

  mutable Mutex mu_;
  std::list<RecordLock> records_ MOAT_GUARDED_BY(mu_);  // by start
  std::list<RecordLock> flocks_ MOAT_GUARDED_BY(mu_);
  Ref<HostLocks> host_ MOAT_GUARDED_BY(mu_);  // or null
  HostLocks::Type host_flock_ MOAT_GUARDED_BY(mu_) = HostLocks::Type::kNone;
  std::unique_ptr<Timer> retry_ MOAT_GUARDED_BY(mu_);
  WaitQueue queue_;  // POLLIN is woken when a lock goes
  struct Registry;
  static Registry& registry();
  Inode* inode_ = nullptr;  // the registry's lock
  ListNode registry_node_;
};

}  // namespace moat
