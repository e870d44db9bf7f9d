// Limits of Linux's interfaces.
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint64_t kNAME_MAX = 255;
inline constexpr uint64_t kPATH_MAX = 4096;
inline constexpr uint64_t kPIPE_BUF = 4096;
inline constexpr uint64_t kXATTR_NAME_MAX = 255;
inline constexpr uint64_t kXATTR_SIZE_MAX = 65536;
inline constexpr uint64_t kXATTR_LIST_MAX = 65536;
inline constexpr int kNGROUPS_MAX = 65536;
inline constexpr int kIOV_MAX = 1024;
inline constexpr int kHOST_NAME_MAX = 64;
inline constexpr int kLOGIN_NAME_MAX = 256;
inline constexpr int kOOM_SCORE_ADJ_MIN = -1000;
inline constexpr int kOOM_SCORE_ADJ_MAX = 1000;
// Symbolic links that one path walk follows.
inline constexpr int kMAXSYMLINKS = 40;
// Hard links of one file, as tmpfs and most file systems bound them.
inline constexpr uint32_t kLINK_MAX = 65000;
// execve(2): bytes of one string, and the number of strings.
inline constexpr uint64_t kMAX_ARG_STRLEN = 131072;
inline constexpr uint64_t kMAX_ARG_STRINGS = 0x7fffffff;
// A thread's name with its NUL.
inline constexpr uint64_t kTASK_COMM_LEN = 16;
// First line of a script that execve(2) reads.
inline constexpr uint64_t kBINPRM_BUF_SIZE = 256;
// Descriptors of pipe(2)'s buffer and the bounds of F_SETPIPE_SZ.
inline constexpr uint32_t kPIPE_DEF_BUFFERS = 16;
inline constexpr uint32_t kPIPE_MAX_SIZE = 1 << 20;
// fs.nr_open: bound of RLIMIT_NOFILE.
inline constexpr uint32_t kNR_OPEN = 1024 * 1024;
inline constexpr uint64_t kMAX_LFS_FILESIZE = 0x7fffffffffffffff;
inline constexpr int kNR_CPUS = 8192;

}  // namespace moat::abi
