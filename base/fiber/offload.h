// Host calls that can really wait (disk reads, fsync, locks) run on a small bounded pool with owned copies.
#pragma once

#include <functional>

#include "base/util/error.h"

namespace moat {

// Starts the pool's threads (before seccomp lock-down). Without it Offload runs the work inline.
void StartOffloadThreads(int count);

// Runs `work` on a pool thread while the calling fiber is parked; returns after it ended. `work` takes no sentry lock and
// touches nothing but what it owns. Inline if not on a fiber or no pool was started.
void Offload(const std::function<void()>& work);

}  // namespace moat
