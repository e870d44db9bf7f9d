// timerfd_create(2): a timer that is read.
#pragma once

#include <cstdint>

#include "base/fiber/executor.h"
#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"

namespace moat {

class TimerFd final : public FileDescription {
 public:
  // ns; 0 is disarmed (value_ns) or one-shot (interval_ns).
  struct Setting {
    int64_t value_ns = 0, interval_ns = 0;
  };

  // `clock`: CLOCK_MONOTONIC, REALTIME, BOOTTIME or one of their ALARM clocks (whose privilege the caller checks). `flags`:
  // TFD_NONBLOCK. kEINVAL for another clock.
  static ErrorOr<Ref<TimerFd>> Create(int clock, uint32_t flags);

  // timerfd_settime(2): `absolute` on the timer's clock. Forgets earlier expirations; returns the old setting.
  // `flags` (TFD_*) are what was asked for, to be shown.
  Setting Set(bool absolute, const Setting& wanted, int flags = 0);
  Setting Get();  // the time left

  // The number of expirations, 8 bytes; kEINVAL if there is less room, kEAGAIN if there was none.
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) override;
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &shared_->queue; }
  bool pollable() const override { return true; }
  bool seekable() const override { return false; }
  std::string FdInfo() override;

 private:
  // What an expiry that runs while the file goes still needs.
  struct Shared final : RefCounted {
    WaitQueue queue;
  };
  TimerFd(int clock, int shown_clock, uint32_t flags);
  int64_t Now() const;  // on the timer's clock, ns
  // Counts expirations until now, and arms the host's timer for the next one.
  void AdvanceLocked() MOAT_REQUIRES(mu_);
  Setting GetLocked() MOAT_REQUIRES(mu_);

  const int clock_, shown_clock_;  // the latter may be an ALARM clock
  const Ref<Shared> shared_;
  Mutex mu_;
  int64_t next_ns_ MOAT_GUARDED_BY(mu_) = 0;  // on clock_; 0: disarmed, or expired for good
  int64_t interval_ns_ MOAT_GUARDED_BY(mu_) = 0;
  int settime_flags_ MOAT_GUARDED_BY(mu_) = 0;
  uint64_t expirations_ MOAT_GUARDED_BY(mu_) = 0;  // not read yet
  Timer timer_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat
