// Arithmetic and limits that the calls of memory share. For sentry/mm/*.cc.
#pragma once

#include <cstdint>

#include "abi/mman.h"
#include "base/kern/user_memory.h"

namespace moat::mm {

inline constexpr uint64_t kPage = abi::kPAGE_SIZE;
// vm.max_map_count: the host has the same for our stubs.
inline constexpr size_t kMaxMapCount = 65530;
inline constexpr int kProtMask = abi::kPROT_READ | abi::kPROT_WRITE | abi::kPROT_EXEC;

inline UserAddr PageDown(UserAddr addr) { return addr & abi::kPAGE_MASK; }
inline UserAddr PageUp(UserAddr addr) { return (addr + kPage - 1) & abi::kPAGE_MASK; }  // wraps to 0 at the very end
inline bool Aligned(UserAddr addr) { return (addr & (kPage - 1)) == 0; }

}  // namespace moat::mm
