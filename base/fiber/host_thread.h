// Host threads of our own, started before the seccomp lock-down: offload pools, watchers, workers.
#pragma once

#include <functional>

namespace moat {

// Starts a detached thread with a small stack and every signal blocked that runs `body`. `name` (at most 15 characters) shows in
// ps. Returns when `body` has begun. Aborts if the host refuses: that is start-up, and fail closed.
void StartHostThread(const char* name, std::function<void()> body);

}  // namespace moat
