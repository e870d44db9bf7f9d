// Linux's numbers of mmap(2), mprotect(2), madvise(2), mremap(2), msync(2), mlock(2), and NUMA policies.
#pragma once

#include <stdint.h>

namespace moat::abi {

// The only page size of x86-64's base pages.
inline constexpr uint64_t kPAGE_SHIFT = 12;
inline constexpr uint64_t kPAGE_SIZE = 4096;
inline constexpr uint64_t kPAGE_MASK = ~(kPAGE_SIZE - 1);
inline constexpr uint64_t kHUGE_PAGE_SIZE = uint64_t{2} << 20;
// End of the user's half with four-level page tables: the last page is not mappable.
inline constexpr uint64_t kTASK_SIZE = (uint64_t{1} << 47) - kPAGE_SIZE;

inline constexpr uint32_t kPROT_NONE = 0x0;
inline constexpr uint32_t kPROT_READ = 0x1;
inline constexpr uint32_t kPROT_WRITE = 0x2;
inline constexpr uint32_t kPROT_EXEC = 0x4;
inline constexpr uint32_t kPROT_SEM = 0x8;
inline constexpr uint32_t kPROT_GROWSDOWN = 0x1000000;
inline constexpr uint32_t kPROT_GROWSUP = 0x2000000;

inline constexpr uint32_t kMAP_SHARED = 0x1;
inline constexpr uint32_t kMAP_PRIVATE = 0x2;
inline constexpr uint32_t kMAP_SHARED_VALIDATE = 0x3;
inline constexpr uint32_t kMAP_DROPPABLE = 0x8;
inline constexpr uint32_t kMAP_TYPE = 0xf;
inline constexpr uint32_t kMAP_FIXED = 0x10;
inline constexpr uint32_t kMAP_ANONYMOUS = 0x20;
inline constexpr uint32_t kMAP_ANON = 0x20;
inline constexpr uint32_t kMAP_FILE = 0x0;
inline constexpr uint32_t kMAP_32BIT = 0x40;
inline constexpr uint32_t kMAP_ABOVE4G = 0x80;
inline constexpr uint32_t kMAP_GROWSDOWN = 0x100;
inline constexpr uint32_t kMAP_DENYWRITE = 0x800;
inline constexpr uint32_t kMAP_EXECUTABLE = 0x1000;
inline constexpr uint32_t kMAP_LOCKED = 0x2000;
inline constexpr uint32_t kMAP_NORESERVE = 0x4000;
inline constexpr uint32_t kMAP_POPULATE = 0x8000;
inline constexpr uint32_t kMAP_NONBLOCK = 0x10000;
inline constexpr uint32_t kMAP_STACK = 0x20000;
inline constexpr uint32_t kMAP_HUGETLB = 0x40000;
inline constexpr uint32_t kMAP_SYNC = 0x80000;
inline constexpr uint32_t kMAP_FIXED_NOREPLACE = 0x100000;
inline constexpr uint32_t kMAP_UNINITIALIZED = 0x4000000;
inline constexpr uint32_t kMAP_HUGE_SHIFT = 26;
inline constexpr uint32_t kMAP_HUGE_MASK = 63;
inline constexpr uint32_t kMAP_HUGE_2MB = (21u << 26);
inline constexpr uint32_t kMAP_HUGE_1GB = (30u << 26);
inline constexpr uint64_t kMAP_FAILED = ~uint64_t{0};

inline constexpr int kMADV_NORMAL = 0;
inline constexpr int kMADV_RANDOM = 1;
inline constexpr int kMADV_SEQUENTIAL = 2;
inline constexpr int kMADV_WILLNEED = 3;
inline constexpr int kMADV_DONTNEED = 4;
inline constexpr int kMADV_FREE = 8;
inline constexpr int kMADV_REMOVE = 9;
inline constexpr int kMADV_DONTFORK = 10;
inline constexpr int kMADV_DOFORK = 11;
inline constexpr int kMADV_HWPOISON = 100;
inline constexpr int kMADV_SOFT_OFFLINE = 101;
inline constexpr int kMADV_MERGEABLE = 12;
inline constexpr int kMADV_UNMERGEABLE = 13;
inline constexpr int kMADV_HUGEPAGE = 14;
inline constexpr int kMADV_NOHUGEPAGE = 15;
inline constexpr int kMADV_DONTDUMP = 16;
inline constexpr int kMADV_DODUMP = 17;
inline constexpr int kMADV_WIPEONFORK = 18;
inline constexpr int kMADV_KEEPONFORK = 19;
inline constexpr int kMADV_COLD = 20;
inline constexpr int kMADV_PAGEOUT = 21;
inline constexpr int kMADV_POPULATE_READ = 22;
inline constexpr int kMADV_POPULATE_WRITE = 23;
inline constexpr int kMADV_DONTNEED_LOCKED = 24;
inline constexpr int kMADV_COLLAPSE = 25;
inline constexpr int kMADV_GUARD_INSTALL = 102;
inline constexpr int kMADV_GUARD_REMOVE = 103;

inline constexpr uint32_t kMREMAP_MAYMOVE = 1;
inline constexpr uint32_t kMREMAP_FIXED = 2;
inline constexpr uint32_t kMREMAP_DONTUNMAP = 4;
inline constexpr uint32_t kMS_ASYNC = 1;
inline constexpr uint32_t kMS_INVALIDATE = 2;
inline constexpr uint32_t kMS_SYNC = 4;
inline constexpr uint32_t kMCL_CURRENT = 1;
inline constexpr uint32_t kMCL_FUTURE = 2;
inline constexpr uint32_t kMCL_ONFAULT = 4;
inline constexpr uint32_t kMLOCK_ONFAULT = 1;
inline constexpr uint32_t kPKEY_DISABLE_ACCESS = 1;
inline constexpr uint32_t kPKEY_DISABLE_WRITE = 2;
inline constexpr uint32_t kMAP_SHADOW_STACK_SET_TOKEN = 1;
inline constexpr uint32_t kSHADOW_STACK_SET_TOKEN = 1;

// mbind(2), set_mempolicy(2), get_mempolicy(2).
inline constexpr int kMPOL_DEFAULT = 0;
inline constexpr int kMPOL_PREFERRED = 1;
inline constexpr int kMPOL_BIND = 2;
inline constexpr int kMPOL_INTERLEAVE = 3;
inline constexpr int kMPOL_LOCAL = 4;
inline constexpr int kMPOL_PREFERRED_MANY = 5;
inline constexpr int kMPOL_WEIGHTED_INTERLEAVE = 6;
inline constexpr uint32_t kMPOL_F_STATIC_NODES = 0x8000;
inline constexpr uint32_t kMPOL_F_RELATIVE_NODES = 0x4000;
inline constexpr uint32_t kMPOL_F_NUMA_BALANCING = 0x2000;
inline constexpr uint32_t kMPOL_MODE_FLAGS = 0xe000;
inline constexpr uint32_t kMPOL_F_NODE = 0x1;
inline constexpr uint32_t kMPOL_F_ADDR = 0x2;
inline constexpr uint32_t kMPOL_F_MEMS_ALLOWED = 0x4;
inline constexpr uint32_t kMPOL_MF_STRICT = 0x1;
inline constexpr uint32_t kMPOL_MF_MOVE = 0x2;
inline constexpr uint32_t kMPOL_MF_MOVE_ALL = 0x4;

// mincore(2): the one defined bit of each byte.
inline constexpr uint8_t kMINCORE_RESIDENT = 1;

}  // namespace moat::abi
