// Linux's scatter-gather I/O: readv(2), process_vm_readv(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kUIO_FASTIOV = 8;
inline constexpr int kUIO_MAXIOV = 1024;

struct Iovec {
  uint64_t iov_base;
  uint64_t iov_len;
};
static_assert(sizeof(Iovec) == 16);

// Most bytes that one read or write moves.
inline constexpr uint64_t kMAX_RW_COUNT = 0x7ffff000;

}  // namespace moat::abi
