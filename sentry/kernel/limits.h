// Resource limits as their users need them.
#pragma once

#include "base/util/error.h"
#include "sentry/mm/memory_manager.h"

namespace moat {

class Task;

// RLIMIT_AS, DATA, STACK, MEMLOCK and CAP_IPC_LOCK of `task`.
MemoryLimits MemoryLimitsOf(Task& task);

}  // namespace moat
