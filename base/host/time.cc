#include "base/host/time.h"

#include <time.h>

#include "abi/syscall_nr.h"
#include "base/host/raw.h"

namespace moat::host {

ErrorOr<abi::Timespec> ClockGettime(int clock) {
  timespec now;
  if (clock_gettime(clock, &now) == 0) return abi::Timespec{now.tv_sec, now.tv_nsec};
  // Ask again for the error, past libc's errno.
  abi::Timespec again;
  TRY(Call<void>(abi::kNr_clock_gettime, clock, &again));
  return again;
}
ErrorOr<abi::Timespec> ClockGetres(int clock) {
  abi::Timespec resolution;
  TRY(Call<void>(abi::kNr_clock_getres, clock, &resolution));
  return resolution;
}

namespace {
int64_t NowNs(int clock) {
  timespec now;
  clock_gettime(clock, &now);  // cannot fail for these clocks
  return now.tv_sec * abi::kNSEC_PER_SEC + now.tv_nsec;
}
}  // namespace
int64_t NowMonotonicNs() { return NowNs(abi::kCLOCK_MONOTONIC); }
int64_t NowRealtimeNs() { return NowNs(abi::kCLOCK_REALTIME); }

ErrorOr<void> ClockNanosleep(int clock, uint32_t flags, const abi::Timespec& request, abi::Timespec* remaining) {
  return Call<void>(abi::kNr_clock_nanosleep, clock, flags, &request, remaining);
}

ErrorOr<int> TimerCreate(int clock, int tid, int signo, uint64_t value) {
  // struct sigevent, with the thread id that glibc hides in a union.
  struct {
    uint64_t value;
    int32_t signo;
    int32_t notify;
    int32_t tid;
    int32_t pad[11];
  } event{};
  static_assert(sizeof event == 64);
  constexpr int32_t kSigevThreadId = 4;
  event.value = value;
  event.signo = signo;
  event.notify = kSigevThreadId;
  event.tid = tid;
  int timer = 0;
  TRY(Call<void>(abi::kNr_timer_create, clock, &event, &timer));
  return timer;
}
ErrorOr<void> TimerSettime(int timer, uint32_t flags, const abi::Itimerspec& value) {
  return Call<void>(abi::kNr_timer_settime, timer, flags, &value, nullptr);
}
ErrorOr<void> TimerDelete(int timer) { return Call<void>(abi::kNr_timer_delete, timer); }

}  // namespace moat::host
