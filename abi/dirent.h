// Linux's directory records: getdents64(2) and getdents(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint8_t kDT_UNKNOWN = 0;
inline constexpr uint8_t kDT_FIFO = 1;
inline constexpr uint8_t kDT_CHR = 2;
inline constexpr uint8_t kDT_DIR = 4;
inline constexpr uint8_t kDT_BLK = 6;
inline constexpr uint8_t kDT_REG = 8;
inline constexpr uint8_t kDT_LNK = 10;
inline constexpr uint8_t kDT_SOCK = 12;
inline constexpr uint8_t kDT_WHT = 14;

// d_type of a file with st_mode `mode`.
constexpr uint8_t ModeToDirentType(uint32_t mode) { return static_cast<uint8_t>((mode >> 12) & 15); }

// The fixed head of a record; the NUL-terminated name starts right behind d_type, and d_reclen is a multiple
// of 8.
struct LinuxDirent64 {
  uint64_t d_ino;
  int64_t d_off;
  uint16_t d_reclen;
  uint8_t d_type;
  char d_name[];
};
using Dirent64 = LinuxDirent64;
inline constexpr uint64_t kDIRENT64_HEADER_SIZE = 19;
constexpr uint64_t Dirent64RecordSize(uint64_t name_length) {
  return (kDIRENT64_HEADER_SIZE + name_length + 1 + 7) & ~uint64_t{7};
}

// The old record: d_type is its last byte.
struct LinuxDirent {
  uint64_t d_ino;
  uint64_t d_off;
  uint16_t d_reclen;
  char d_name[];
};
using Dirent = LinuxDirent;
inline constexpr uint64_t kDIRENT_HEADER_SIZE = 18;
constexpr uint64_t DirentRecordSize(uint64_t name_length) {
  return (kDIRENT_HEADER_SIZE + name_length + 2 + 7) & ~uint64_t{7};
}

}  // namespace moat::abi
