// Linux's clocks, timers and their structs: clock_gettime(2), timer_create(2), timerfd_create(2),
// setitimer(2), adjtimex(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

struct Timespec {
  int64_t tv_sec;
  int64_t tv_nsec;
};
using KernelTimespec = Timespec;

struct Timeval {
  int64_t tv_sec;
  int64_t tv_usec;
};

struct Timezone {
  int32_t tz_minuteswest;
  int32_t tz_dsttime;
};

struct Itimerspec {
  Timespec it_interval;
  Timespec it_value;
};

struct Itimerval {
  Timeval it_interval;
  Timeval it_value;
};

// times(2), in clock ticks.
struct Tms {
  int64_t tms_utime;
  int64_t tms_stime;
  int64_t tms_cutime;
  int64_t tms_cstime;
};

// Ticks a second of times(2), /proc and AT_CLKTCK.
inline constexpr int64_t kUSER_HZ = 100;
inline constexpr int64_t kNSEC_PER_SEC = 1'000'000'000;
inline constexpr int64_t kNSEC_PER_MSEC = 1'000'000;
inline constexpr int64_t kNSEC_PER_USEC = 1'000;
inline constexpr int64_t kUSEC_PER_SEC = 1'000'000;
inline constexpr int64_t kMSEC_PER_SEC = 1'000;

// clockid_t. Negative ids name the CPU clock of a process or thread: (~pid << 3) | CPUCLOCK_*.
inline constexpr int kCLOCK_REALTIME = 0;
inline constexpr int kCLOCK_MONOTONIC = 1;
inline constexpr int kCLOCK_PROCESS_CPUTIME_ID = 2;
inline constexpr int kCLOCK_THREAD_CPUTIME_ID = 3;
inline constexpr int kCLOCK_MONOTONIC_RAW = 4;
inline constexpr int kCLOCK_REALTIME_COARSE = 5;
inline constexpr int kCLOCK_MONOTONIC_COARSE = 6;
inline constexpr int kCLOCK_BOOTTIME = 7;
inline constexpr int kCLOCK_REALTIME_ALARM = 8;
inline constexpr int kCLOCK_BOOTTIME_ALARM = 9;
inline constexpr int kCLOCK_SGI_CYCLE = 10;
inline constexpr int kCLOCK_TAI = 11;
inline constexpr int kMAX_CLOCKS = 16;
inline constexpr int kCPUCLOCK_PROF = 0;
inline constexpr int kCPUCLOCK_VIRT = 1;
inline constexpr int kCPUCLOCK_SCHED = 2;
inline constexpr int kCPUCLOCK_CLOCK_MASK = 3;
inline constexpr int kCPUCLOCK_PERTHREAD_MASK = 4;
inline constexpr int kCLOCKFD = 3;

// clock_nanosleep(2), timer_settime(2).
inline constexpr uint32_t kTIMER_ABSTIME = 1;

// setitimer(2).
inline constexpr int kITIMER_REAL = 0;
inline constexpr int kITIMER_VIRTUAL = 1;
inline constexpr int kITIMER_PROF = 2;

// timerfd_create(2), timerfd_settime(2).
inline constexpr uint32_t kTFD_NONBLOCK = 04000;
inline constexpr uint32_t kTFD_CLOEXEC = 02000000;
inline constexpr uint32_t kTFD_TIMER_ABSTIME = 1;
inline constexpr uint32_t kTFD_TIMER_CANCEL_ON_SET = 2;

// adjtimex(2).
struct Timex {
  uint32_t modes;
  int32_t pad0_;
  int64_t offset;
  int64_t freq;
  int64_t maxerror;
  int64_t esterror;
  int32_t status;
  int32_t pad1_;
  int64_t constant;
  int64_t precision;
  int64_t tolerance;
  Timeval time;
  int64_t tick;
  int64_t ppsfreq;
  int64_t jitter;
  int32_t shift;
  int32_t pad2_;
  int64_t stabil;
  int64_t jitcnt;
  int64_t calcnt;
  int64_t errcnt;
  int64_t stbcnt;
  int32_t tai;
  int32_t pad3_[11];
};
static_assert(sizeof(Timex) == 208);

inline constexpr uint32_t kADJ_OFFSET = 0x1;
inline constexpr uint32_t kADJ_FREQUENCY = 0x2;
inline constexpr uint32_t kADJ_MAXERROR = 0x4;
inline constexpr uint32_t kADJ_ESTERROR = 0x8;
inline constexpr uint32_t kADJ_STATUS = 0x10;
inline constexpr uint32_t kADJ_TIMECONST = 0x20;
inline constexpr uint32_t kADJ_TAI = 0x80;
inline constexpr uint32_t kADJ_SETOFFSET = 0x100;
inline constexpr uint32_t kADJ_MICRO = 0x1000;
inline constexpr uint32_t kADJ_NANO = 0x2000;
inline constexpr uint32_t kADJ_TICK = 0x4000;
inline constexpr uint32_t kADJ_OFFSET_SINGLESHOT = 0x8001;
inline constexpr uint32_t kADJ_OFFSET_SS_READ = 0xa001;
inline constexpr int32_t kSTA_PLL = 0x1;
inline constexpr int32_t kSTA_PPSFREQ = 0x2;
inline constexpr int32_t kSTA_PPSTIME = 0x4;
inline constexpr int32_t kSTA_FLL = 0x8;
inline constexpr int32_t kSTA_INS = 0x10;
inline constexpr int32_t kSTA_DEL = 0x20;
inline constexpr int32_t kSTA_UNSYNC = 0x40;
inline constexpr int32_t kSTA_FREQHOLD = 0x80;
inline constexpr int32_t kSTA_PPSSIGNAL = 0x100;
inline constexpr int32_t kSTA_PPSJITTER = 0x200;
inline constexpr int32_t kSTA_PPSWANDER = 0x400;
inline constexpr int32_t kSTA_PPSERROR = 0x800;
inline constexpr int32_t kSTA_CLOCKERR = 0x1000;
inline constexpr int32_t kSTA_NANO = 0x2000;
inline constexpr int32_t kSTA_MODE = 0x4000;
inline constexpr int32_t kSTA_CLK = 0x8000;
inline constexpr int kTIME_OK = 0;
inline constexpr int kTIME_INS = 1;
inline constexpr int kTIME_DEL = 2;
inline constexpr int kTIME_OOP = 3;
inline constexpr int kTIME_WAIT = 4;
inline constexpr int kTIME_ERROR = 5;

}  // namespace moat::abi
