// Linux's numbers of futex(2), futex_waitv(2) and set_robust_list(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kFUTEX_WAIT = 0;
inline constexpr int kFUTEX_WAKE = 1;
inline constexpr int kFUTEX_FD = 2;
inline constexpr int kFUTEX_REQUEUE = 3;
inline constexpr int kFUTEX_CMP_REQUEUE = 4;
inline constexpr int kFUTEX_WAKE_OP = 5;
inline constexpr int kFUTEX_LOCK_PI = 6;
inline constexpr int kFUTEX_UNLOCK_PI = 7;
inline constexpr int kFUTEX_TRYLOCK_PI = 8;
inline constexpr int kFUTEX_WAIT_BITSET = 9;
inline constexpr int kFUTEX_WAKE_BITSET = 10;
inline constexpr int kFUTEX_WAIT_REQUEUE_PI = 11;
inline constexpr int kFUTEX_CMP_REQUEUE_PI = 12;
inline constexpr int kFUTEX_LOCK_PI2 = 13;
inline constexpr int kFUTEX_PRIVATE_FLAG = 128;
inline constexpr int kFUTEX_CLOCK_REALTIME = 256;
inline constexpr int kFUTEX_CMD_MASK = -385;
inline constexpr int kFUTEX_WAIT_PRIVATE = 128;
inline constexpr int kFUTEX_WAKE_PRIVATE = 129;
inline constexpr int kFUTEX_WAIT_BITSET_PRIVATE = 137;
inline constexpr int kFUTEX_WAKE_BITSET_PRIVATE = 138;
inline constexpr uint32_t kFUTEX_BITSET_MATCH_ANY = 0xffffffff;

// FUTEX_WAKE_OP's val3: op << 28 | cmp << 24 | oparg << 12 | cmparg.
inline constexpr uint32_t kFUTEX_OP_SET = 0;
inline constexpr uint32_t kFUTEX_OP_ADD = 1;
inline constexpr uint32_t kFUTEX_OP_OR = 2;
inline constexpr uint32_t kFUTEX_OP_ANDN = 3;
inline constexpr uint32_t kFUTEX_OP_XOR = 4;
inline constexpr uint32_t kFUTEX_OP_OPARG_SHIFT = 8;
inline constexpr uint32_t kFUTEX_OP_CMP_EQ = 0;
inline constexpr uint32_t kFUTEX_OP_CMP_NE = 1;
inline constexpr uint32_t kFUTEX_OP_CMP_LT = 2;
inline constexpr uint32_t kFUTEX_OP_CMP_LE = 3;
inline constexpr uint32_t kFUTEX_OP_CMP_GT = 4;
inline constexpr uint32_t kFUTEX_OP_CMP_GE = 5;

// The word of a PI or robust futex.
inline constexpr uint32_t kFUTEX_WAITERS = 0x80000000;
inline constexpr uint32_t kFUTEX_OWNER_DIED = 0x40000000;
inline constexpr uint32_t kFUTEX_TID_MASK = 0x3fffffff;

// futex_waitv(2) and the futex2 calls.
inline constexpr uint32_t kFUTEX_32 = 0x2;
inline constexpr uint32_t kFUTEX2_SIZE_U8 = 0x0;
inline constexpr uint32_t kFUTEX2_SIZE_U16 = 0x1;
inline constexpr uint32_t kFUTEX2_SIZE_U32 = 0x2;
inline constexpr uint32_t kFUTEX2_SIZE_U64 = 0x3;
inline constexpr uint32_t kFUTEX2_SIZE_MASK = 0x3;
inline constexpr uint32_t kFUTEX2_NUMA = 0x4;
inline constexpr uint32_t kFUTEX2_PRIVATE = 0x80;
inline constexpr uint32_t kFUTEX_WAITV_MAX = 128;
struct FutexWaitv {
  uint64_t val;
  uint64_t uaddr;
  uint32_t flags;
  uint32_t reserved_;
};
static_assert(sizeof(FutexWaitv) == 24);

// set_robust_list(2). Links are guest addresses; bit 0 of an entry marks a PI futex.
inline constexpr uint64_t kROBUST_LIST_LIMIT = 2048;
struct RobustList {
  uint64_t next;
};

struct RobustListHead {
  RobustList list;
  int64_t futex_offset;
  uint64_t list_op_pending;
};
static_assert(sizeof(RobustListHead) == 24);

}  // namespace moat::abi
