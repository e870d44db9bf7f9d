// Linux's membarrier(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kMEMBARRIER_CMD_QUERY = 0;
inline constexpr int kMEMBARRIER_CMD_GLOBAL = 1;
inline constexpr int kMEMBARRIER_CMD_GLOBAL_EXPEDITED = 2;
inline constexpr int kMEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 4;
inline constexpr int kMEMBARRIER_CMD_PRIVATE_EXPEDITED = 8;
inline constexpr int kMEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 16;
inline constexpr int kMEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 32;
inline constexpr int kMEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 64;
inline constexpr int kMEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 128;
inline constexpr int kMEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 256;
inline constexpr int kMEMBARRIER_CMD_GET_REGISTRATIONS = 512;
inline constexpr int kMEMBARRIER_CMD_SHARED = 1;
inline constexpr uint32_t kMEMBARRIER_CMD_FLAG_CPU = 1;

}  // namespace moat::abi
