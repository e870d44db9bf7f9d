// The arithmetic of the vDSO's clock: how fast the time stamp counter runs, and what to promise guests until when.
#pragma once

#include <cstdint>

#include "sentry/loader/vdso/clock_page.h"

namespace moat {

// The counter and the host's clocks, read at one moment.
struct ClockSample {
  uint64_t tsc;
  int64_t monotonic_ns;
  // CLOCK_REALTIME - CLOCK_MONOTONIC lies in [offset_low, offset_high].
  int64_t offset_low, offset_high;
};

// Not thread-safe.
class ClockModel {
 public:
  explicit ClockModel(const ClockSample& start);

  // What holds from `now` on. CLOCK_MONOTONIC continues where the last parameters ended or later, whatever the host's clock
  // says; CLOCK_REALTIME is at a constant distance from it unless somebody set the host's clock.
  //
  // The promise is short at first, about 1 ms, and twice as long each time, at most 1 s, as the rate gets better known; short
  // again when the host's clock went away from it.
  vdso::ClockParameters Refresh(const ClockSample& now);

  const vdso::ClockParameters& parameters() const { return parameters_; }

 private:
  void Learn(const ClockSample& now);
  void UpdateRate(const ClockSample& now);
  // How far, ns, the host's clock would be from the last promise at the end of an interval like the next.
  int64_t Drift(const ClockSample& now) const;
  int64_t RealtimeOffset(const ClockSample& now) const;

  ClockSample anchor_;       // the rate is measured from here
  ClockSample next_anchor_;  // takes its place, so that an old rate is forgotten
  ClockSample last_;
  uint64_t rate_ = 0;        // 0: not known yet
  int64_t interval_ns_;
  vdso::ClockParameters parameters_;
};

}  // namespace moat
