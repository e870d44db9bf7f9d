// The stub's pages as the tracer sees them: [text r-x][scratch rw-], at one address in all stubs of a platform. The guest
// can read both and write the scratch page: what the tracer believes never depends on its contents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "abi/mman.h"

namespace moat::ptrace {

// The routines of stub_x86_64.S.
enum class StubEntry : uint8_t {
  kStart, kSyscall, kMapFd, kMapList, kSetStackLimit, kTouch, kCompareExchange, kExchange, kAdd, kOr, kAnd, kXor,
};

// What a stub takes at most in one kMapList: it has descriptors 1 to kMaxMapFds for them.
inline constexpr size_t kMaxMapList = 32, kMaxMapFds = 7;
inline constexpr uint64_t kMapListOffset = 1024;  // on the scratch page

// True if a fault inside the routine is the guest's memory's, not ours.
constexpr bool MayFault(StubEntry entry) { return entry >= StubEntry::kTouch; }

// The machine code; fits a page.
std::span<const uint8_t> StubCode();

struct StubLayout {
  uint64_t text = 0;

  uint64_t scratch() const { return text + abi::kPAGE_SIZE; }
  uint64_t end() const { return text + 2 * abi::kPAGE_SIZE; }
  uint64_t Address(StubEntry entry) const;
  // True if a thread that stopped with `ip` has just executed the int3 at a routine's end.
  bool IsEnd(uint64_t ip) const;
};

inline constexpr uint64_t kStubSize = 2 * abi::kPAGE_SIZE;

}  // namespace moat::ptrace
