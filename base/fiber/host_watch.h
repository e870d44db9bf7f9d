// Tells when a host fd becomes ready: one thread in epoll_pwait for the whole process.
#pragma once

#include <cstdint>
#include <functional>

#include "base/util/error.h"

namespace moat {

// Starts the watcher thread (before seccomp lock-down).
ErrorOr<void> StartHostWatch();

// Calls `on_ready(epoll events)` on a worker each time the edge-triggered `events` (EPOLL*) fire for `fd`; `fd` must stay
// open until Unwatch. kEPERM for a regular file (always ready), kEEXIST if it is watched, as epoll_ctl; kENXIO before
// StartHostWatch.
ErrorOr<void> WatchHostFd(int fd, uint32_t events, std::function<void(uint32_t)> on_ready);
// Called on a worker, on_ready does not start on that worker any more. Unknown fds are ignored.
void UnwatchHostFd(int fd);

}  // namespace moat
