// Watches a running sandbox until it ends: relays signals, keeps the time limit, reports the end.
#pragma once

#include <cstdint>

#include "base/util/unique_fd.h"
#include "runtime/sandbox/launch.h"

namespace moat {

// Blocks SIGCHLD and every signal that is relayed to the command, but for those the caller ignores; a
// signalfd that reads them. Call before Launch.
UniqueFd TakeSignals(const Caller& caller);

// Returns the status for the shell: the command's exit code, 128 + n if signal n ended it, kExitTimeout after
// `timeout_s` (0: no limit), kExitNotFound or kExitCannotExecute. Throws Failure if the sandbox itself
// failed. Neither child runs any more afterwards.
int Supervise(Sandbox& sandbox, const UniqueFd& signals, const Caller& caller, double timeout_s);

}  // namespace moat
