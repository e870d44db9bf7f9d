#include "sentry/boot/rest.h"

#include "abi/time.h"
#include "base/host/memory.h"
#include "base/host/time.h"

namespace moat {

bool RestMeter::CameToRest(int64_t now_ns, int64_t cpu_ns) {
  const int64_t elapsed = now_ns - asked_ns_;
  const bool first = asked_ns_ == 0;
  if (!first && elapsed < kShortestNs) return false;
  const int64_t used = cpu_ns - cpu_ns_;
  asked_ns_ = now_ns;
  cpu_ns_ = cpu_ns;
  if (first || used > elapsed / kRestShare || cpu_ns - rested_cpu_ns_ < kWorkNs) return false;
  rested_cpu_ns_ = cpu_ns;
  return true;
}

void GiveBackAtRest() {
  static RestMeter meter;
  const ErrorOr<abi::Timespec> cpu = host::ClockGettime(abi::kCLOCK_PROCESS_CPUTIME_ID);
  if (!cpu.ok() || !meter.CameToRest(host::NowMonotonicNs(), cpu->tv_sec * abi::kNSEC_PER_SEC + cpu->tv_nsec)) return;
  host::TrimHeap();
  host::ReleaseImagePages();
}

}  // namespace moat
