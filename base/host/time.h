// Host clocks, sleeps and timers.
#pragma once

#include <cstdint>

#include "abi/time.h"
#include "base/util/error.h"

namespace moat::host {

// By the vDSO where the host has it: no system call for the usual clocks.
ErrorOr<abi::Timespec> ClockGettime(int clock);
ErrorOr<abi::Timespec> ClockGetres(int clock);
// CLOCK_MONOTONIC and CLOCK_REALTIME in ns.
int64_t NowMonotonicNs();
int64_t NowRealtimeNs();

// Sleeps; EINTR is returned, with the time left in `remaining` (if not null and not TIMER_ABSTIME).
ErrorOr<void> ClockNanosleep(int clock, uint32_t flags, const abi::Timespec& request,
                             abi::Timespec* remaining = nullptr);

// A POSIX timer that sends `signo` with `value` to thread `tid` of this process. Returns its id.
ErrorOr<int> TimerCreate(int clock, int tid, int signo, uint64_t value);
ErrorOr<void> TimerSettime(int timer, uint32_t flags, const abi::Itimerspec& value);
ErrorOr<void> TimerDelete(int timer);

}  // namespace moat::host
