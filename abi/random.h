// Linux's getrandom(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint32_t kGRND_NONBLOCK = 0x1;
inline constexpr uint32_t kGRND_RANDOM = 0x2;
inline constexpr uint32_t kGRND_INSECURE = 0x4;

}  // namespace moat::abi
