#include "fs/timerfd/timerfd.h"

#include <algorithm>
#include <cstdio>

#include "abi/fcntl.h"
#include "abi/poll.h"
#include "abi/time.h"
#include "base/host/time.h"
#include "fs/vfs/anon.h"

namespace moat {

namespace {

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

}  // namespace

ErrorOr<Ref<TimerFd>> TimerFd::Create(int clock, uint32_t flags) {
  int shown = clock;
  switch (clock) {
    case abi::kCLOCK_REALTIME: case abi::kCLOCK_REALTIME_ALARM: clock = abi::kCLOCK_REALTIME; break;
    case abi::kCLOCK_BOOTTIME: case abi::kCLOCK_BOOTTIME_ALARM: clock = abi::kCLOCK_BOOTTIME; break;
    case abi::kCLOCK_MONOTONIC: break;
    default: return kEINVAL;
  }
  return Ref<TimerFd>(new TimerFd(clock, shown, abi::kO_RDWR | (flags & abi::kTFD_NONBLOCK)), AdoptRef{});
}

TimerFd::TimerFd(int clock, int shown_clock, uint32_t flags)
    : FileDescription(MakeAnonPath("anon_inode:[timerfd]", 0), flags),
      clock_(clock),
      shown_clock_(shown_clock),
      shared_(MakeRef<Shared>()),
      timer_([shared = shared_] { shared->queue.Wake(abi::kPOLLIN); }) {}

int64_t TimerFd::Now() const {
  ErrorOr<abi::Timespec> now = host::ClockGettime(clock_);
  if (!now.ok()) return host::NowMonotonicNs();
  return now->tv_sec * abi::kNSEC_PER_SEC + now->tv_nsec;
}

void TimerFd::AdvanceLocked() {
  if (next_ns_ == 0) return;
  int64_t now = Now();
  if (now >= next_ns_) {
    if (interval_ns_ == 0) {
      ++expirations_;
      next_ns_ = 0;
      return;
    }
    int64_t missed = (now - next_ns_) / interval_ns_;
    expirations_ += static_cast<uint64_t>(missed) + 1;
    next_ns_ = SaturatingAdd(next_ns_, (missed + 1) * interval_ns_);
  }
  // With expirations unread there is nobody to wake: the next look counts the later ones.
  if (expirations_ == 0) timer_.Arm(SaturatingAdd(host::NowMonotonicNs(), next_ns_ - now));
}

TimerFd::Setting TimerFd::GetLocked() {
  if (next_ns_ == 0) return {0, interval_ns_};
  return {std::max<int64_t>(next_ns_ - Now(), 1), interval_ns_};
}

TimerFd::Setting TimerFd::Get() {
  MutexLock lock(mu_);
  AdvanceLocked();
  return GetLocked();
}

TimerFd::Setting TimerFd::Set(bool absolute, const Setting& wanted, int flags) {
  Setting old;
  bool due;
  {
    MutexLock lock(mu_);
    AdvanceLocked();
    old = GetLocked();
    timer_.Cancel();
    expirations_ = 0;
    settime_flags_ = flags;
    interval_ns_ = wanted.interval_ns;
    next_ns_ = wanted.value_ns == 0 ? 0 : absolute ? wanted.value_ns : SaturatingAdd(Now(), wanted.value_ns);
    AdvanceLocked();
    due = expirations_ > 0;
  }
  if (due) shared_->queue.Wake(abi::kPOLLIN);
  return old;
}

ErrorOr<size_t> TimerFd::TryRead(IoSink& dst, int64_t*, IoFlags) {
  uint64_t value;
  if (dst.remaining() < sizeof value) return kEINVAL;
  {
    MutexLock lock(mu_);
    AdvanceLocked();
    if (expirations_ == 0) return kEAGAIN;
    value = std::exchange(expirations_, 0);
    AdvanceLocked();
  }
  size_t put = TRY(dst.Put(std::as_bytes(std::span(&value, 1))));
  return put == sizeof value ? ErrorOr<size_t>(put) : kEFAULT;
}

std::string TimerFd::FdInfo() {
  Setting left;
  uint64_t ticks;
  int flags;
  {
    MutexLock lock(mu_);
    AdvanceLocked();
    left = GetLocked();
    ticks = expirations_;
    flags = settime_flags_;
  }
  constexpr long long kSecond = abi::kNSEC_PER_SEC;
  char text[200];
  snprintf(text, sizeof text, "clockid: %d\nticks: %llu\nsettime flags: 0%o\nit_value: (%lld, %lld)\nit_interval: (%lld, %lld)\n",
           shown_clock_, static_cast<unsigned long long>(ticks), static_cast<unsigned>(flags), left.value_ns / kSecond,
           left.value_ns % kSecond, left.interval_ns / kSecond, left.interval_ns % kSecond);
  return text;
}

EventMask TimerFd::Readiness() {
  MutexLock lock(mu_);
  AdvanceLocked();
  return expirations_ > 0 ? abi::kPOLLIN : 0;
}

}  // namespace moat
