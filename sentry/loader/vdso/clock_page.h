// The page through which the sentry tells guests the time. Shared by the sentry, which writes it, and the vDSO (vdso.cc
// beside this), which reads it in guest mode: plain data, no library.
#pragma once

#include <stdint.h>

namespace moat::vdso {

// What the clocks show while the time stamp counter is in [base_tsc, base_tsc + valid_ticks).
struct ClockParameters {
  uint64_t base_tsc = 0;
  uint64_t valid_ticks = 0;     // 0: never valid, every reader makes the system call
  uint64_t rate = 0;            // ns a tick, fixed point with kRateShift fraction bits
  int64_t monotonic_ns = 0;     // CLOCK_MONOTONIC at base_tsc
  int64_t realtime_offset = 0;  // CLOCK_REALTIME - CLOCK_MONOTONIC, ns
};

inline constexpr int kRateShift = 48;

// CLOCK_MONOTONIC, `ticks` after base_tsc.
inline int64_t MonotonicAfter(const ClockParameters& p, uint64_t ticks) {
  auto ns = static_cast<uint64_t>((static_cast<unsigned __int128>(ticks) * p.rate) >> kRateShift);
  return p.monotonic_ns + static_cast<int64_t>(ns);
}

struct ClockPage {
  uint32_t sequence;  // odd while the sentry changes the rest
  uint32_t has_rdtscp;
  ClockParameters parameters;
};

}  // namespace moat::vdso
