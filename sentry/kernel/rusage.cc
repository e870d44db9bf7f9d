#include "sentry/kernel/rusage.h"

namespace moat {

namespace {
abi::Timeval ToTimeval(uint64_t ns) {
  return {static_cast<int64_t>(ns / 1'000'000'000), static_cast<int64_t>(ns % 1'000'000'000 / 1000)};
}
}  // namespace

abi::Rusage ToRusage(const Usage& u) {
  abi::Rusage r{};
  r.ru_utime = ToTimeval(u.user_ns);
  r.ru_stime = ToTimeval(u.system_ns);
  r.ru_maxrss = static_cast<int64_t>(u.max_rss_kb);
  r.ru_minflt = static_cast<int64_t>(u.minor_faults);
  r.ru_majflt = static_cast<int64_t>(u.major_faults);
  r.ru_inblock = static_cast<int64_t>(u.in_blocks);
  r.ru_oublock = static_cast<int64_t>(u.out_blocks);
  r.ru_nvcsw = static_cast<int64_t>(u.voluntary_switches);
  r.ru_nivcsw = static_cast<int64_t>(u.involuntary_switches);
  return r;
}

}  // namespace moat
