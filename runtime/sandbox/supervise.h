// Watches a running sandbox until it ends: relays signals, keeps the time limit, reports the end.
#pragma once

#include <cstdint>

#include "base/util/unique_fd.h"
#include "runtime/sandbox/launch.h"

namespace moat {

// Blocks SIGCHLD and every signal that is relayed to the command, but for those the caller ignores; a
// signalfd that reads them. Call before Launch.
UniqueFd TakeSignals(const Caller& caller);

struct SuperviseLimits {
  double timeout_s = 0;       // 0: none
  uint64_t memory_bytes = 0;  // of the whole sandbox; 0: none
};

// Returns the status for the shell: the command's exit code, 128 + n if signal n ended it, kExitTimeout after
// the time limit, kExitNotFound or kExitCannotExecute. Throws Failure if the sandbox itself
// failed. Neither child runs any more afterwards.
int Supervise(Sandbox& sandbox, const UniqueFd& signals, const Caller& caller, const SuperviseLimits& limits);

}  // namespace moat
