// Where machine code calls the kernel, and how such a place is made to jump elsewhere. Pure functions on bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace moat::ptrace {

// Code of a guest around one of its call sites.
struct CodeWindow {
  uint64_t start = 0;
  std::span<const uint8_t> bytes;
};

// How far from the site PlanSite looks.
inline constexpr uint64_t kSiteReach = 144;
// Room that a trampoline takes at most, and the gateway.
inline constexpr size_t kTrampolineSize = 24, kGatewaySize = 16;

// Bytes to be put in place of others.
struct Edit {
  uint64_t addr = 0;
  uint8_t size = 0;
  std::array<uint8_t, 8> before{}, after{};
  bool Contains(uint64_t ip) const { return ip >= addr && ip < addr + size; }
};

struct SitePlan {
  std::vector<Edit> edits;          // in the order in which they are made
  std::vector<uint8_t> trampoline;  // goes to the address that PlanSite was told
};

// Plans to lead the system call instruction that ends at `ret` to a trampoline at `trampoline`, which loads rcx with `ret` and
// jumps to `gateway` (both within 2 GiB). `nr` is the number of the call that was seen there. Whoever returns to `ret`, or starts
// the call again at `ret` - 2, still does what the program meant. Two ways:
// * `mov $nr, %eax; syscall` (most sites of a C library): a jump over the mov; the syscall stays as it was.
// * A jump of two bytes over the syscall, to a long no-op near by that fills the gap behind a function, where a long jump is put.
// Nothing if neither fits.
std::optional<SitePlan> PlanSite(const CodeWindow& code, uint64_t ret, uint64_t nr, uint64_t trampoline, uint64_t gateway);

// The code of a gateway: a jump to `target`, anywhere. Clobbers r11, as a system call does.
std::vector<uint8_t> GatewayCode(uint64_t target);

// Where the bytes end that a mapping of an ELF file's code at `file_offset` is meant to show, as an offset in the mapping: the last
// page goes on, but nothing refers to the rest. `file` is the file's beginning. Nothing if it is no such file or has no such segment.
std::optional<uint64_t> CodeLength(std::span<const uint8_t> file, uint64_t file_offset, uint64_t mapped);

}  // namespace moat::ptrace
