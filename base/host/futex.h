// futex(2) on words of this process or shared with its stubs.
#pragma once

#include <cstdint>

#include "abi/time.h"
#include "base/util/error.h"

namespace moat::host {

// Sleeps while *word == expected, at most until `deadline` (CLOCK_MONOTONIC, null: for ever). EAGAIN if it differed, ETIMEDOUT,
// EINTR. `shared` words lie in memory that another process maps too.
ErrorOr<void> FutexWait(const void* word, uint32_t expected, const abi::Timespec* deadline, bool shared);
// Wakes at most `count` sleepers; returns how many.
ErrorOr<int> FutexWake(const void* word, int count, bool shared);

}  // namespace moat::host
