// Linux's scheduling numbers: sched_setscheduler(2), sched_setattr(2), sched_setaffinity(2), ioprio_set(2),
// setpriority(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kSCHED_NORMAL = 0;
inline constexpr int kSCHED_OTHER = 0;
inline constexpr int kSCHED_FIFO = 1;
inline constexpr int kSCHED_RR = 2;
inline constexpr int kSCHED_BATCH = 3;
inline constexpr int kSCHED_IDLE = 5;
inline constexpr int kSCHED_DEADLINE = 6;
inline constexpr int kSCHED_EXT = 7;
inline constexpr int kSCHED_RESET_ON_FORK = 0x40000000;
inline constexpr uint64_t kSCHED_FLAG_RESET_ON_FORK = 0x1;
inline constexpr uint64_t kSCHED_FLAG_RECLAIM = 0x2;
inline constexpr uint64_t kSCHED_FLAG_DL_OVERRUN = 0x4;
inline constexpr uint64_t kSCHED_FLAG_KEEP_POLICY = 0x8;
inline constexpr uint64_t kSCHED_FLAG_KEEP_PARAMS = 0x10;
inline constexpr uint64_t kSCHED_FLAG_UTIL_CLAMP_MIN = 0x20;
inline constexpr uint64_t kSCHED_FLAG_UTIL_CLAMP_MAX = 0x40;
inline constexpr uint64_t kSCHED_FLAG_ALL = 0x7f;
inline constexpr uint32_t kSCHED_ATTR_SIZE_VER0 = 48;
inline constexpr uint32_t kSCHED_ATTR_SIZE_VER1 = 56;

struct SchedParam {
  int32_t sched_priority;
};

struct SchedAttr {
  uint32_t size;
  uint32_t sched_policy;
  uint64_t sched_flags;
  int32_t sched_nice;
  uint32_t sched_priority;
  uint64_t sched_runtime;
  uint64_t sched_deadline;
  uint64_t sched_period;
  uint32_t sched_util_min;
  uint32_t sched_util_max;
};
static_assert(sizeof(SchedAttr) == kSCHED_ATTR_SIZE_VER1);

// getpriority(2).
inline constexpr int kPRIO_PROCESS = 0;
inline constexpr int kPRIO_PGRP = 1;
inline constexpr int kPRIO_USER = 2;
inline constexpr int kPRIO_MIN = -20;
inline constexpr int kPRIO_MAX = 20;

// ioprio_set(2): class << 13 | level.
inline constexpr int kIOPRIO_WHO_PROCESS = 1;
inline constexpr int kIOPRIO_WHO_PGRP = 2;
inline constexpr int kIOPRIO_WHO_USER = 3;
inline constexpr int kIOPRIO_CLASS_NONE = 0;
inline constexpr int kIOPRIO_CLASS_RT = 1;
inline constexpr int kIOPRIO_CLASS_BE = 2;
inline constexpr int kIOPRIO_CLASS_IDLE = 3;
inline constexpr int kIOPRIO_CLASS_SHIFT = 13;

}  // namespace moat::abi
