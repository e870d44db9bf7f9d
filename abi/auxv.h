// The auxiliary vector that execve(2) leaves above the environment: getauxval(3).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint64_t kAT_NULL = 0;
inline constexpr uint64_t kAT_IGNORE = 1;
inline constexpr uint64_t kAT_EXECFD = 2;
inline constexpr uint64_t kAT_PHDR = 3;
inline constexpr uint64_t kAT_PHENT = 4;
inline constexpr uint64_t kAT_PHNUM = 5;
inline constexpr uint64_t kAT_PAGESZ = 6;
inline constexpr uint64_t kAT_BASE = 7;
inline constexpr uint64_t kAT_FLAGS = 8;
inline constexpr uint64_t kAT_ENTRY = 9;
inline constexpr uint64_t kAT_NOTELF = 10;
inline constexpr uint64_t kAT_UID = 11;
inline constexpr uint64_t kAT_EUID = 12;
inline constexpr uint64_t kAT_GID = 13;
inline constexpr uint64_t kAT_EGID = 14;
inline constexpr uint64_t kAT_PLATFORM = 15;
inline constexpr uint64_t kAT_HWCAP = 16;
inline constexpr uint64_t kAT_CLKTCK = 17;
inline constexpr uint64_t kAT_SECURE = 23;
inline constexpr uint64_t kAT_BASE_PLATFORM = 24;
inline constexpr uint64_t kAT_RANDOM = 25;
inline constexpr uint64_t kAT_HWCAP2 = 26;
inline constexpr uint64_t kAT_RSEQ_FEATURE_SIZE = 27;
inline constexpr uint64_t kAT_RSEQ_ALIGN = 28;
inline constexpr uint64_t kAT_HWCAP3 = 29;
inline constexpr uint64_t kAT_HWCAP4 = 30;
inline constexpr uint64_t kAT_EXECFN = 31;
inline constexpr uint64_t kAT_SYSINFO = 32;
inline constexpr uint64_t kAT_SYSINFO_EHDR = 33;
inline constexpr uint64_t kAT_MINSIGSTKSZ = 51;

inline constexpr uint64_t kHWCAP2_RING3MWAIT = 0x1;
inline constexpr uint64_t kHWCAP2_FSGSBASE = 0x2;

struct Elf64Auxv {
  uint64_t a_type;
  uint64_t a_val;
};
using AuxvEntry = Elf64Auxv;

}  // namespace moat::abi
