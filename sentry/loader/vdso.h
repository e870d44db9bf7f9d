// The vDSO of ours that every program gets: clock_gettime, gettimeofday, time and getcpu without a system call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/util/error.h"
#include "sentry/mm/memory_manager.h"

namespace moat {

class VdsoClock;

inline constexpr uint64_t kVdsoPage = 4096;

// The shared object (vdso/vdso.cc), and its size in whole pages.
std::span<const std::byte> VdsoImage();
uint64_t VdsoImageBytes();

// Maps the clock page and the vDSO's image into a fresh space and sets layout.vdso; leaves it 0 where the host's clock cannot
// be read without a call (no invariant TSC): programs then make the calls. kENOMEM.
ErrorOr<void> MapVdso(VdsoClock& clock, MemoryManager& mm, const MemoryLimits& limits);

// AT_HWCAP: CPUID.1:EDX.
uint64_t HardwareCapabilities();

}  // namespace moat
