#include "sentry/loader/vdso.h"

#include <cpuid.h>

namespace moat {

ErrorOr<void> MapVdso(MemoryManager&, const MemoryLimits&) { return {}; }

uint64_t HardwareCapabilities() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __get_cpuid(1, &a, &b, &c, &d);
  return d;
}

}  // namespace moat
