// Linux's resource limits and usage: prlimit(2), getrusage(2).
#pragma once

#include <stdint.h>

#include "abi/time.h"

namespace moat::abi {

inline constexpr int kRLIMIT_CPU = 0;
inline constexpr int kRLIMIT_FSIZE = 1;
inline constexpr int kRLIMIT_DATA = 2;
inline constexpr int kRLIMIT_STACK = 3;
inline constexpr int kRLIMIT_CORE = 4;
inline constexpr int kRLIMIT_RSS = 5;
inline constexpr int kRLIMIT_NPROC = 6;
inline constexpr int kRLIMIT_NOFILE = 7;
inline constexpr int kRLIMIT_MEMLOCK = 8;
inline constexpr int kRLIMIT_AS = 9;
inline constexpr int kRLIMIT_LOCKS = 10;
inline constexpr int kRLIMIT_SIGPENDING = 11;
inline constexpr int kRLIMIT_MSGQUEUE = 12;
inline constexpr int kRLIMIT_NICE = 13;
inline constexpr int kRLIMIT_RTPRIO = 14;
inline constexpr int kRLIMIT_RTTIME = 15;
inline constexpr int kRLIM_NLIMITS = 16;
inline constexpr uint64_t kRLIM_INFINITY = 0xffffffffffffffff;
inline constexpr uint64_t kRLIM64_INFINITY = 0xffffffffffffffff;

struct Rlimit64 {
  uint64_t rlim_cur;
  uint64_t rlim_max;
};
using Rlimit = Rlimit64;

inline constexpr int kRUSAGE_SELF = 0;
inline constexpr int kRUSAGE_CHILDREN = -1;
inline constexpr int kRUSAGE_BOTH = -2;
inline constexpr int kRUSAGE_THREAD = 1;

struct Rusage {
  Timeval ru_utime;
  Timeval ru_stime;
  int64_t ru_maxrss;
  int64_t ru_ixrss;
  int64_t ru_idrss;
  int64_t ru_isrss;
  int64_t ru_minflt;
  int64_t ru_majflt;
  int64_t ru_nswap;
  int64_t ru_inblock;
  int64_t ru_oublock;
  int64_t ru_msgsnd;
  int64_t ru_msgrcv;
  int64_t ru_nsignals;
  int64_t ru_nvcsw;
  int64_t ru_nivcsw;
};
static_assert(sizeof(Rusage) == 144);

}  // namespace moat::abi
