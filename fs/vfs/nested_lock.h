// A second sleeping lock of a rank that is held already. The caller says why the order holds.
#pragma once

#include "base/sync/task_mutex.h"

namespace moat {

class MOAT_SCOPED_CAPABILITY NestedTaskLock {
 public:
  explicit NestedTaskLock(TaskMutex& mu) MOAT_ACQUIRE(mu) : mu_(mu) { mu_.LockNested(); }
  ~NestedTaskLock() MOAT_RELEASE() { mu_.Unlock(); }
  NestedTaskLock(const NestedTaskLock&) = delete;

 private:
  TaskMutex& mu_;
};

}  // namespace moat
