// Timeouts of blocking calls.
#pragma once

#include <cstdint>

#include "abi/time.h"
#include "base/kern/user_memory.h"
#include "base/util/error.h"

namespace moat {

class Task;

inline constexpr int64_t kNsPerSecond = 1'000'000'000;

// ns, saturated at INT64_MAX. kEINVAL: negative, or nsec out of range.
ErrorOr<int64_t> ToNs(const abi::Timespec& ts);
// Now + ns as a CLOCK_MONOTONIC deadline, saturated.
int64_t DeadlineAfter(int64_t ns);
// A relative timespec in guest memory as a CLOCK_MONOTONIC deadline.
ErrorOr<int64_t> ReadTimeout(Task& t, UserAddr addr);

}  // namespace moat
