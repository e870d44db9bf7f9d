#include "sentry/loader/clock_model.h"

#include <algorithm>
#include <cstdlib>

namespace moat {

namespace {

constexpr int64_t kFirstIntervalNs = 1'000'000;
constexpr int64_t kLastIntervalNs = 1'000'000'000;
// A sample is some 20 ns wrong: over this baseline that is 100 ppm, 100 ns at the end of the first interval.
constexpr int64_t kMinBaselineNs = 200'000;
constexpr int64_t kBaselineNs = 16'000'000'000;  // measured over one to two of it, while guests ask
constexpr int64_t kToleranceNs = 1'000;          // how far off the host's clock a promise may end
constexpr int64_t kSlewDivisor = 10;             // a clock that is ahead slows down by a tenth at most

// The last value that readers of `p` can have seen until `tsc`.
int64_t LastShown(const vdso::ClockParameters& p, uint64_t tsc) {
  // A counter below the base started again: the whole promise may have been used.
  return vdso::MonotonicAfter(p, std::min(tsc - p.base_tsc, p.valid_ticks));
}

uint64_t TicksOf(int64_t ns, uint64_t rate) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(ns) << vdso::kRateShift) / rate);
}

}  // namespace

ClockModel::ClockModel(const ClockSample& start)
    : anchor_(start), next_anchor_(start), last_(start), interval_ns_(kFirstIntervalNs) {
  parameters_.base_tsc = start.tsc;
  parameters_.monotonic_ns = start.monotonic_ns;
  parameters_.realtime_offset = start.offset_low + (start.offset_high - start.offset_low) / 2;
}

void ClockModel::UpdateRate(const ClockSample& now) {
  uint64_t ticks = now.tsc - anchor_.tsc;
  auto ns = static_cast<unsigned __int128>(now.monotonic_ns - anchor_.monotonic_ns);
  rate_ = static_cast<uint64_t>((ns << vdso::kRateShift) / ticks);
}

int64_t ClockModel::Drift(const ClockSample& now) const {
  if (parameters_.valid_ticks == 0) return 0;
  uint64_t ticks = now.tsc - parameters_.base_tsc;
  if (ticks == 0) return 0;
  int64_t off = std::abs(vdso::MonotonicAfter(parameters_, ticks) - now.monotonic_ns);
  if (ticks <= parameters_.valid_ticks) return off;
  return static_cast<int64_t>(static_cast<unsigned __int128>(off) * parameters_.valid_ticks / ticks);
}

void ClockModel::Learn(const ClockSample& now) {
  if (now.tsc <= last_.tsc || now.monotonic_ns <= last_.monotonic_ns) {
    // The counter began again (a virtual machine that moved): all that was known is void.
    if (now.tsc < last_.tsc) {
      anchor_ = next_anchor_ = last_ = now;
      rate_ = 0;
      interval_ns_ = kFirstIntervalNs;
    }
    return;
  }
  bool off = rate_ != 0 && Drift(now) > kToleranceNs;
  if (off) {
    interval_ns_ = std::max(interval_ns_ / 4, kFirstIntervalNs);
    // The host's clock runs at another rate than before: only what was seen last counts.
    if (now.monotonic_ns - last_.monotonic_ns >= kMinBaselineNs) anchor_ = next_anchor_ = last_;
  } else if (rate_ != 0) {
    interval_ns_ = std::min(interval_ns_ * 2, kLastIntervalNs);
  }
  if (now.monotonic_ns - anchor_.monotonic_ns >= kMinBaselineNs) UpdateRate(now);
  if (now.monotonic_ns - next_anchor_.monotonic_ns >= kBaselineNs) {
    anchor_ = next_anchor_;
    next_anchor_ = now;
  }
  last_ = now;
}

int64_t ClockModel::RealtimeOffset(const ClockSample& now) const {
  int64_t offset = parameters_.realtime_offset;
  bool as_before = offset >= now.offset_low && offset <= now.offset_high;
  return as_before ? offset : now.offset_low + (now.offset_high - now.offset_low) / 2;
}

vdso::ClockParameters ClockModel::Refresh(const ClockSample& now) {
  int64_t shown = LastShown(parameters_, now.tsc);
  Learn(now);
  vdso::ClockParameters p{.base_tsc = now.tsc,
                          .monotonic_ns = std::max(now.monotonic_ns, shown),
                          .realtime_offset = RealtimeOffset(now)};
  if (rate_ != 0) {
    // No longer than twice what the rate was measured over.
    int64_t interval = std::min(interval_ns_, 2 * (now.monotonic_ns - anchor_.monotonic_ns));
    interval_ns_ = std::max(interval, kFirstIntervalNs);
    p.valid_ticks = TicksOf(interval_ns_, rate_);
    // Ahead of the host's clock: slower, so that both meet at the end.
    int64_t ahead = std::min(p.monotonic_ns - now.monotonic_ns, interval_ns_ / kSlewDivisor);
    p.rate = static_cast<uint64_t>(static_cast<unsigned __int128>(rate_) * static_cast<uint64_t>(interval_ns_ - ahead) /
                                   static_cast<uint64_t>(interval_ns_));
  }
  parameters_ = p;
  return p;
}

}  // namespace moat
