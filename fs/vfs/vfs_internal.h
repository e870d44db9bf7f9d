// Pieces shared by the vfs_*.cc files.
#pragma once

#include "base/sync/task_mutex.h"
#include "fs/vfs/dentry.h"

namespace moat::vfs {

// A second lock of the same rank (ancestor first, or under the rename lock).
class MOAT_SCOPED_CAPABILITY NestedTaskLock {
 public:
  explicit NestedTaskLock(TaskMutex& mu) MOAT_ACQUIRE(mu) : mu_(mu) { mu_.LockNested(); }
  ~NestedTaskLock() MOAT_RELEASE() { mu_.Unlock(); }
  NestedTaskLock(const NestedTaskLock&) = delete;

 private:
  TaskMutex& mu_;
};

// After a name of `victim` was removed: inotify's view of the inode behind it.
void AfterNameRemoved(Dentry& victim);

}  // namespace moat::vfs
