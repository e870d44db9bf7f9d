// Usage as getrusage(2) and wait4(2) show it.
#pragma once

#include "abi/rlimit.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

abi::Rusage ToRusage(const Usage& usage);

}  // namespace moat
