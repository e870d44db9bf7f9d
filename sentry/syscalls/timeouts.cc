#include "sentry/syscalls/timeouts.h"

#include "base/host/time.h"
#include "sentry/kernel/task.h"

namespace moat {

ErrorOr<int64_t> ToNs(const abi::Timespec& ts) {
  if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec >= kNsPerSecond) return kEINVAL;
  int64_t ns;
  if (__builtin_mul_overflow(ts.tv_sec, kNsPerSecond, &ns) || __builtin_add_overflow(ns, ts.tv_nsec, &ns)) {
    return INT64_MAX;
  }
  return ns;
}

int64_t DeadlineAfter(int64_t ns) {
  int64_t deadline;
  if (__builtin_add_overflow(host::NowMonotonicNs(), ns, &deadline)) return kForever;
  return deadline;
}

ErrorOr<int64_t> ReadTimeout(Task& t, UserAddr addr) {
  return DeadlineAfter(TRY(ToNs(TRY(t.mm().Read<abi::Timespec>(addr)))));
}

}  // namespace moat
