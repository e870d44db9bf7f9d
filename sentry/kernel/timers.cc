#include "sentry/kernel/timers.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "abi/rlimit.h"
#include "abi/signal.h"
#include "base/fiber/executor.h"
#include "base/host/time.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/loader/vdso_clock.h"

namespace moat {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr size_t kMaxTimers = 1024;          // of a process; RLIMIT_SIGPENDING bounds them on Linux
constexpr int64_t kMinPeriodNs = 100'000;    // an interval below it is served in batches, as overruns

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

int64_t GroupCpuNs(ThreadGroup& group) { return static_cast<int64_t>(group.CpuNs()); }

// The process or thread that a CPU clock id names; kEINVAL.
struct CpuClock {
  Ref<Task> task;       // a thread's clock
  Ref<ThreadGroup> group;  // a process's
  int64_t Now() const {
    return task ? static_cast<int64_t>(task->CpuTimeNs()) : GroupCpuNs(*group);
  }
};

bool IsCpuClock(int clock) {
  return clock < 0 || clock == abi::kCLOCK_PROCESS_CPUTIME_ID || clock == abi::kCLOCK_THREAD_CPUTIME_ID;
}

ErrorOr<CpuClock> ResolveCpuClock(Task& t, int clock) {
  if (clock == abi::kCLOCK_PROCESS_CPUTIME_ID) return CpuClock{nullptr, t.group_ref()};
  if (clock == abi::kCLOCK_THREAD_CPUTIME_ID) return CpuClock{Ref<Task>(&t), nullptr};
  if ((clock & abi::kCPUCLOCK_CLOCK_MASK) == abi::kCLOCKFD) return kEINVAL;
  int pid = ~(clock >> 3);
  bool thread = (clock & abi::kCPUCLOCK_PERTHREAD_MASK) != 0;
  if (pid == 0) return thread ? CpuClock{Ref<Task>(&t), nullptr} : CpuClock{nullptr, t.group_ref()};
  Ref<Task> task = t.kernel().GetTask(pid);
  if (!task) return kEINVAL;
  if (thread) {
    if (task->tgid() != t.tgid()) return kEINVAL;
    return CpuClock{std::move(task), nullptr};
  }
  if (!task->is_leader()) return kEINVAL;
  return CpuClock{nullptr, task->group_ref()};
}

int64_t ToNs(const abi::Timespec& ts) { return ts.tv_sec * kNsPerSecond + ts.tv_nsec; }
abi::Timespec ToTimespec(int64_t ns) { return {ns / kNsPerSecond, ns % kNsPerSecond}; }

// Reads the clock that a timer or sleep runs on, ns.
ErrorOr<int64_t> SleepClockNow(int clock) {
  switch (clock) {
    case abi::kCLOCK_REALTIME_ALARM: clock = abi::kCLOCK_REALTIME; break;
    case abi::kCLOCK_BOOTTIME_ALARM: clock = abi::kCLOCK_BOOTTIME; break;
    case abi::kCLOCK_REALTIME: case abi::kCLOCK_MONOTONIC: case abi::kCLOCK_BOOTTIME: case abi::kCLOCK_TAI: break;
    default: return kEINVAL;
  }
  return ToNs(TRY(host::ClockGettime(clock)));
}

}  // namespace

ErrorOr<abi::Timespec> ReadClock(Task& t, int clock) {
  if (IsCpuClock(clock)) return ToTimespec(TRY(ResolveCpuClock(t, clock)).Now());
  if (clock >= abi::kMAX_CLOCKS || clock == abi::kCLOCK_SGI_CYCLE) return kEINVAL;
  if (clock == abi::kCLOCK_REALTIME_ALARM) clock = abi::kCLOCK_REALTIME;
  if (clock == abi::kCLOCK_BOOTTIME_ALARM) clock = abi::kCLOCK_BOOTTIME;
  // In step with the vDSO, which answers these two without a call.
  if (clock == abi::kCLOCK_MONOTONIC) return ToTimespec(t.kernel().clock().Read().monotonic_ns);
  if (clock == abi::kCLOCK_REALTIME) return ToTimespec(t.kernel().clock().Read().realtime_ns);
  return host::ClockGettime(clock);
}

ErrorOr<int64_t> ToMonotonicDeadline(int clock, int64_t absolute_ns) {
  if (clock == abi::kCLOCK_MONOTONIC) return absolute_ns;
  int64_t left = absolute_ns - TRY(SleepClockNow(clock));
  return SaturatingAdd(host::NowMonotonicNs(), std::max<int64_t>(left, 0));
}

// An alarm on wall time or CPU time that may repeat. CPU time is looked at when it could have passed at the earliest.
class ClockAlarm {
 public:
  // `on_fire(n)` is called with how many periods have passed at once (>= 1).
  ClockAlarm(std::function<int64_t()> cpu_now, std::function<void(int64_t)> on_fire)
      : cpu_now_(std::move(cpu_now)), on_fire_(std::move(on_fire)), timer_([this] { Check(); }) {}

  // `deadline` on the alarm's own clock (CPU ns, else CLOCK_MONOTONIC); 0: disarm.
  void Arm(int64_t deadline, int64_t interval) {
    deadline_ = deadline;
    interval_ = interval;
    if (deadline == 0) timer_.Cancel();
    else Schedule();
  }
  // Time left and interval; value 0 if disarmed.
  ProcessTimers::Interval Get() const {
    if (deadline_ == 0) return {0, interval_};
    return {std::max<int64_t>(deadline_ - Now(), 1), interval_};
  }

 private:
  int64_t Now() const { return cpu_now_ ? cpu_now_() : host::NowMonotonicNs(); }

  void Schedule() {
    if (!cpu_now_) {
      timer_.Arm(std::max(deadline_, next_check_));
      return;
    }
    // The threads of a process may use several CPUs at once: look again after half of what is left, 1 ms at least.
    constexpr int64_t kStep = 1'000'000;
    int64_t left = std::max<int64_t>((deadline_ - cpu_now_()) / 2, kStep);
    timer_.Arm(SaturatingAdd(host::NowMonotonicNs(), left));
  }

  void Check() {
    if (deadline_ == 0) return;
    int64_t now = Now();
    if (now < deadline_) {
      Schedule();
      return;
    }
    int64_t periods = 1;
    if (interval_ == 0) {
      deadline_ = 0;
    } else {
      periods += (now - deadline_) / interval_;
      deadline_ = SaturatingAdd(deadline_, periods * interval_);
      next_check_ = SaturatingAdd(now, std::min(interval_, kMinPeriodNs));
      Schedule();
    }
    on_fire_(periods);
  }

  std::function<int64_t()> cpu_now_;
  std::function<void(int64_t)> on_fire_;
  int64_t deadline_ = 0, interval_ = 0, next_check_ = 0;
  Timer timer_;
};

namespace {

struct PosixTimer {
  int clock = 0;
  abi::Sigevent event{};
  int target_tid = 0;         // SIGEV_THREAD_ID
  int64_t overruns = 0;       // since the signal was queued
  int last_overrun = 0;       // of the last delivered signal
  bool pending = false;       // its signal waits for delivery
  std::optional<CpuClock> cpu;
  std::unique_ptr<ClockAlarm> alarm;
};

}  // namespace

struct ProcessTimers::Impl {
  explicit Impl(ThreadGroup& g) : group(g) {
    for (int which = 0; which < 3; ++which) {
      std::function<int64_t()> cpu;
      if (which != abi::kITIMER_REAL) cpu = [this] { return GroupCpuNs(group); };
      static constexpr int kSignals[] = {abi::kSIGALRM, abi::kSIGVTALRM, abi::kSIGPROF};
      int signo = kSignals[which];
      interval[static_cast<size_t>(which)] = std::make_unique<ClockAlarm>(
          std::move(cpu), [this, signo](int64_t) { group.SendSignal(MakeSigInfo(signo, abi::kSI_KERNEL)); });
    }
  }

  void Fire(int id, int64_t periods) {
    auto it = timers.find(id);
    if (it == timers.end()) return;
    PosixTimer& timer = it->second;
    if (timer.event.sigev_notify == abi::kSIGEV_NONE) return;
    if (timer.pending) {
      timer.overruns += periods;
      return;
    }
    timer.overruns = periods - 1;
    timer.pending = true;
    abi::SigInfo info = MakeSigInfo(timer.event.sigev_signo, abi::kSI_TIMER);
    info.si_timerid = id;
    info.si_value = timer.event.sigev_value;
    if (timer.target_tid) {
      Ref<Task> task = group.kernel().GetTask(timer.target_tid);
      if (task) task->SendSignal(info);
    } else {
      group.SendSignal(info);
    }
  }

  void ArmCpuLimit() {
    const abi::Rlimit64& limit = group.rlimits[abi::kRLIMIT_CPU];
    uint64_t seconds = std::min(limit.rlim_cur, limit.rlim_max);
    bool never = seconds >= static_cast<uint64_t>(INT64_MAX / kNsPerSecond);
    cpu_limit.Arm(never ? 0 : std::max<int64_t>(static_cast<int64_t>(seconds) * kNsPerSecond, 1), 0);
  }

  void CheckCpuLimit() {
    abi::Rlimit64& limit = group.rlimits[abi::kRLIMIT_CPU];
    uint64_t used = static_cast<uint64_t>(GroupCpuNs(group) / kNsPerSecond);
    if (used >= limit.rlim_max) {
      group.SendSignal(MakeSigInfo(abi::kSIGKILL, abi::kSI_KERNEL));
      return;
    }
    if (used >= limit.rlim_cur) {
      limit.rlim_cur = used + 1;
      group.SendSignal(MakeSigInfo(abi::kSIGXCPU, abi::kSI_KERNEL));
    }
    ArmCpuLimit();
  }

  static constexpr int64_t kNsPerSecond = 1'000'000'000;
  ThreadGroup& group;
  std::array<std::unique_ptr<ClockAlarm>, 3> interval;
  ClockAlarm cpu_limit{[this] { return GroupCpuNs(group); }, [this](int64_t) { CheckCpuLimit(); }};
  std::map<int, PosixTimer> timers;
  int next_id = 0;
};

ProcessTimers::ProcessTimers(ThreadGroup& group) : impl_(std::make_unique<Impl>(group)) {}
ProcessTimers::~ProcessTimers() = default;

ProcessTimers& ProcessTimers::Of(ThreadGroup& group) {
  if (!group.timers) group.timers = std::make_unique<ProcessTimers>(group);
  return *group.timers;
}

ProcessTimers::Interval ProcessTimers::Get(int which) { return impl_->interval[static_cast<size_t>(which)]->Get(); }

ProcessTimers::Interval ProcessTimers::Set(int which, const Interval& v) {
  ClockAlarm& alarm = *impl_->interval[static_cast<size_t>(which)];
  Interval old = alarm.Get();
  int64_t now = which == abi::kITIMER_REAL ? host::NowMonotonicNs() : GroupCpuNs(impl_->group);
  alarm.Arm(v.value_ns ? SaturatingAdd(now, v.value_ns) : 0, v.interval_ns);
  return old;
}

ErrorOr<int> ProcessTimers::Create(Task& t, int clock, const abi::Sigevent& event) {
  if (impl_->timers.size() >= kMaxTimers) return kEAGAIN;
  PosixTimer timer{.clock = clock, .event = event};
  if (IsCpuClock(clock)) {
    timer.cpu = TRY(ResolveCpuClock(t, clock));
  } else {
    // Clocks that exist but that nothing can run on (timer_create(2)).
    bool readable_only = clock == abi::kCLOCK_MONOTONIC_RAW || clock == abi::kCLOCK_REALTIME_COARSE ||
                         clock == abi::kCLOCK_MONOTONIC_COARSE;
    if (readable_only) return kEOPNOTSUPP;
    TRY(SleepClockNow(clock));
  }
  switch (event.sigev_notify) {
    case abi::kSIGEV_NONE: break;
    case abi::kSIGEV_SIGNAL: case abi::kSIGEV_THREAD:
      if (event.sigev_signo < 1 || event.sigev_signo > abi::kNSIG) return kEINVAL;
      break;
    case abi::kSIGEV_SIGNAL | abi::kSIGEV_THREAD_ID: {
      if (event.sigev_signo < 1 || event.sigev_signo > abi::kNSIG) return kEINVAL;
      Ref<Task> target = t.kernel().GetTask(event.sigev_notify_thread_id);
      if (!target || target->tgid() != t.tgid()) return kEINVAL;
      timer.target_tid = target->tid();
      break;
    }
    default: return kEINVAL;
  }
  int id = impl_->next_id++;
  PosixTimer& placed = impl_->timers.emplace(id, std::move(timer)).first->second;
  std::function<int64_t()> cpu;
  if (placed.cpu) cpu = [c = *placed.cpu] { return c.Now(); };
  placed.alarm = std::make_unique<ClockAlarm>(std::move(cpu), [impl = impl_.get(), id](int64_t n) { impl->Fire(id, n); });
  return id;
}

void ProcessTimers::SetValue(int id, uint64_t value) {
  auto it = impl_->timers.find(id);
  if (it != impl_->timers.end()) it->second.event.sigev_value.sival_ptr = value;
}

ErrorOr<ProcessTimers::Interval> ProcessTimers::SetTime(int id, bool absolute, const Interval& v) {
  auto it = impl_->timers.find(id);
  if (it == impl_->timers.end()) return kEINVAL;
  PosixTimer& timer = it->second;
  Interval old = timer.alarm->Get();
  int64_t deadline = 0;
  if (v.value_ns) {
    if (timer.cpu) {
      deadline = absolute ? v.value_ns : SaturatingAdd(timer.cpu->Now(), v.value_ns);
    } else {
      deadline = absolute ? TRY(ToMonotonicDeadline(timer.clock, v.value_ns))
                          : SaturatingAdd(host::NowMonotonicNs(), v.value_ns);
    }
  }
  timer.pending = false;
  timer.overruns = 0;
  timer.alarm->Arm(deadline, v.interval_ns);
  return old;
}

ErrorOr<ProcessTimers::Interval> ProcessTimers::GetTime(int id) {
  auto it = impl_->timers.find(id);
  if (it == impl_->timers.end()) return kEINVAL;
  return it->second.alarm->Get();
}

ErrorOr<int> ProcessTimers::Overrun(int id) {
  auto it = impl_->timers.find(id);
  if (it == impl_->timers.end()) return kEINVAL;
  return it->second.last_overrun;
}

ErrorOr<void> ProcessTimers::Delete(int id) {
  if (impl_->timers.erase(id) == 0) return kEINVAL;
  return {};
}

void ProcessTimers::OnDequeue(abi::SigInfo& info) {
  auto it = impl_->timers.find(info.si_timerid);
  if (it == impl_->timers.end()) return;
  PosixTimer& timer = it->second;
  timer.last_overrun = static_cast<int>(std::min<int64_t>(timer.overruns, INT32_MAX));  // DELAYTIMER_MAX
  timer.pending = false;
  timer.overruns = 0;
  info.si_overrun = timer.last_overrun;
}

void ProcessTimers::OnExec() { impl_->timers.clear(); }

void ProcessTimers::OnCpuLimit() { impl_->ArmCpuLimit(); }

void ProcessTimers::OnExit() {
  impl_->timers.clear();
  for (auto& alarm : impl_->interval) alarm->Arm(0, 0);
  impl_->cpu_limit.Arm(0, 0);
}

}  // namespace moat
