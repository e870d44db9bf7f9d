#include "sentry/kernel/limits.h"

#include "abi/capability.h"
#include "abi/rlimit.h"
#include "base/kern/held.h"
#include "sentry/kernel/clone.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

MemoryLimits MemoryLimitsOf(Task& task) {
  const ThreadGroup& g = task.group();
  return MemoryLimits{.address_space = g.Limit(abi::kRLIMIT_AS),
                      .data = g.Limit(abi::kRLIMIT_DATA),
                      .stack = g.Limit(abi::kRLIMIT_STACK),
                      .memlock = g.Limit(abi::kRLIMIT_MEMLOCK),
                      .can_lock_any = task.creds().Has(abi::kCAP_IPC_LOCK)};
}

ErrorOr<void> CheckProcessLimit(Task& parent) {
  if (HeldMemory::full()) return kENOMEM;
  Kernel& kernel = parent.kernel();
  {
    // Again when the pid is taken; but without room no host process must be made: those that failed forks leave behind go when
    // the tracer comes to it, and a bomb would be faster.
    MutexLock lock(kernel.tasks_lock);
    if (kernel.task_count() >= kernel.limits.max_tasks) return kEAGAIN;
  }
  uint64_t limit = parent.group().Limit(abi::kRLIMIT_NPROC);
  const Credentials& c = parent.creds();
  if (limit == abi::kRLIM64_INFINITY || c.uid == 0 || c.Has(abi::kCAP_SYS_RESOURCE) || c.Has(abi::kCAP_SYS_ADMIN)) {
    return {};
  }
  MutexLock lock(kernel.tasks_lock);
  uint64_t mine = 0;
  kernel.ForEachTask([&](Task& t) { mine += t.creds_ref() && t.creds().uid == c.uid; });
  if (mine >= limit) return kEAGAIN;
  return {};
}

}  // namespace moat
