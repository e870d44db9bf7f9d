// Host threads of our own, started before the seccomp lock-down: offload pools, watchers, workers.
#pragma once

#include <functional>

namespace moat {

// Starts a detached thread with a small stack and every signal blocked that runs `body`. `name` (at most 15 characters) shows in
// ps. Aborts if the host refuses: that is start-up, and fail closed. Does not wait for it, so that several start at once.
void StartHostThread(const char* name, std::function<void()> body);

// Returns when the bodies of all threads started so far have begun: libc's own part of a thread's start makes calls that a
// seccomp list refuses, so it must be over before one is installed.
void AwaitHostThreads();

}  // namespace moat
