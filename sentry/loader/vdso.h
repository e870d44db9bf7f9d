// The vDSO of ours that every program gets: clock_gettime, gettimeofday, time and getcpu without a system call.
#pragma once

#include <cstdint>

#include "base/util/error.h"
#include "sentry/mm/memory_manager.h"

namespace moat {

// Maps the vDSO's image and its clock page into a fresh space and sets layout.vdso; leaves it 0 where the host's clock cannot
// be read without a call (no invariant TSC): programs then make the calls.
ErrorOr<void> MapVdso(MemoryManager& mm, const MemoryLimits& limits);

// AT_HWCAP: CPUID.1:EDX.
uint64_t HardwareCapabilities();

}  // namespace moat
