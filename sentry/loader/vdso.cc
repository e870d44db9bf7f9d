#include "sentry/loader/vdso.h"

#include <cpuid.h>

#include "abi/mman.h"
#include "sentry/loader/vdso_clock.h"

extern "C" const std::byte moat_vdso_image[], moat_vdso_image_end[];  // vdso_image.S

namespace moat {

std::span<const std::byte> VdsoImage() { return {moat_vdso_image, moat_vdso_image_end}; }

uint64_t VdsoImageBytes() { return (VdsoImage().size() + kVdsoPage - 1) & ~(kVdsoPage - 1); }

ErrorOr<void> MapVdso(VdsoClock& clock, MemoryManager& mm, const MemoryLimits& limits) {
  if (!clock.file()) return {};
  UserAddr base = TRY(mm.FindRoom(kVdsoPage + VdsoImageBytes()));
  constexpr int kFlags = abi::kMAP_PRIVATE | abi::kMAP_FIXED;
  TRY(mm.Mmap({.addr = base,
               .length = kVdsoPage,
               .prot = abi::kPROT_READ,
               .flags = kFlags,
               .file = clock.file(),
               .name = "[vvar]"},
              limits));
  TRY(mm.Mmap({.addr = base + kVdsoPage,
               .length = VdsoImageBytes(),
               .prot = abi::kPROT_READ | abi::kPROT_EXEC,
               .flags = kFlags,
               .file = clock.file(),
               .offset = kVdsoPage,
               .name = "[vdso]"},
              limits));
  mm.layout.vdso = base + kVdsoPage;
  return {};
}

uint64_t HardwareCapabilities() {
  // CPUID leaves a virtual machine: once is enough.
  static const uint64_t capabilities = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    __get_cpuid(1, &a, &b, &c, &d);
    return d;
  }();
  return capabilities;
}

}  // namespace moat
