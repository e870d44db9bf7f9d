// Clocks, sleeps and timers.
#include "abi/time.h"
#include "abi/capability.h"
#include "abi/rlimit.h"
#include "base/host/time.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/kernel/timers.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/timeouts.h"

namespace moat {
namespace {

abi::Timespec NsToTimespec(int64_t ns) { return {ns / kNsPerSecond, ns % kNsPerSecond}; }
abi::Timeval NsToTimeval(int64_t ns) { return {ns / kNsPerSecond, ns % kNsPerSecond / 1000}; }

ErrorOr<int64_t> TimevalToNs(const abi::Timeval& tv) {
  if (tv.tv_usec < 0 || tv.tv_usec >= 1'000'000) return kEINVAL;
  return ToNs({tv.tv_sec, tv.tv_usec * 1000});
}

// --- Reading clocks. ---

ErrorOr<void> SysClockGettime(Task& t, int clock, UserAddr out) { return t.mm().Write(out, TRY(ReadClock(t, clock))); }

ErrorOr<void> SysClockGetres(Task& t, int clock, UserAddr out) {
  TRY(ReadClock(t, clock));
  bool coarse = clock == abi::kCLOCK_REALTIME_COARSE || clock == abi::kCLOCK_MONOTONIC_COARSE;
  constexpr int64_t kTickNs = 4'000'000;
  if (!out) return {};
  return t.mm().Write(out, NsToTimespec(coarse ? kTickNs : 1));
}

// Nobody may set the sandbox's clock: it is the host's.
ErrorOr<void> SysClockSettime(Task& t, int clock, UserAddr value) {
  if (clock != abi::kCLOCK_REALTIME) return kEINVAL;
  TRY(ToNs(TRY(t.mm().Read<abi::Timespec>(value))));
  return kEPERM;
}
ErrorOr<void> SysSettimeofday(Task& t, UserAddr tv, UserAddr tz) { return kEPERM; }

ErrorOr<void> SysGettimeofday(Task& t, UserAddr tv, UserAddr tz) {
  if (tv) {
    abi::Timespec now = TRY(ReadClock(t, abi::kCLOCK_REALTIME));
    TRY(t.mm().Write(tv, abi::Timeval{now.tv_sec, now.tv_nsec / 1000}));
  }
  if (tz) TRY(t.mm().Write<uint64_t>(tz, 0));  // struct timezone: UTC, no DST
  return {};
}

ErrorOr<uint64_t> SysTime(Task& t, UserAddr out) {
  abi::Timespec now = TRY(ReadClock(t, abi::kCLOCK_REALTIME));
  if (out) TRY(t.mm().Write(out, now.tv_sec));
  return static_cast<uint64_t>(now.tv_sec);
}

ErrorOr<uint64_t> SysTimes(Task& t, UserAddr out) {
  constexpr int64_t kTickNs = kNsPerSecond / 100;  // USER_HZ
  if (out) {
    Usage self = t.group().CurrentUsage();
    const Usage& children = t.group().children_usage;
    abi::Tms tms{};
    tms.tms_utime = static_cast<int64_t>(self.user_ns) / kTickNs;
    tms.tms_stime = static_cast<int64_t>(self.system_ns) / kTickNs;
    tms.tms_cutime = static_cast<int64_t>(children.user_ns) / kTickNs;
    tms.tms_cstime = static_cast<int64_t>(children.system_ns) / kTickNs;
    TRY(t.mm().Write(out, tms));
  }
  return static_cast<uint64_t>(host::NowMonotonicNs() / kTickNs);
}

// Shows the host's clock as undisciplined; adjusting it is refused.
ErrorOr<uint64_t> SysAdjtimex(Task& t, UserAddr buf) {
  abi::Timex in = TRY(t.mm().Read<abi::Timex>(buf));
  if (in.modes) return kEPERM;
  abi::Timex out{};
  abi::Timespec now = TRY(ReadClock(t, abi::kCLOCK_REALTIME));
  out.status = abi::kSTA_UNSYNC;
  out.tick = 10000;
  out.tolerance = 32768000;
  out.precision = 1;
  out.maxerror = out.esterror = 16'000'000;
  out.time = {now.tv_sec, now.tv_nsec / 1000};
  TRY(t.mm().Write(buf, out));
  return static_cast<uint64_t>(abi::kTIME_ERROR);
}
ErrorOr<uint64_t> SysClockAdjtime(Task& t, int clock, UserAddr buf) {
  if (clock != abi::kCLOCK_REALTIME) return kEINVAL;
  return SysAdjtimex(t, buf);
}

// --- Sleeping. ---

ErrorOr<uint64_t> SleepUntil(Task& t, int64_t deadline, UserAddr remaining, bool restartable) {
  for (;;) {
    ErrorOr<void> r = t.Block(deadline);
    if (r.ok()) continue;
    if (r.error() == kETIMEDOUT) return uint64_t{0};
    if (!restartable) return kERESTARTNOHAND;
    if (remaining) {
      TRY(t.mm().Write(remaining, NsToTimespec(std::max<int64_t>(deadline - host::NowMonotonicNs(), 0))));
    }
    t.SetRestart([=](Task& again) { return SleepUntil(again, deadline, remaining, true); });
    return kERESTART_RESTARTBLOCK;
  }
}

ErrorOr<uint64_t> SysNanosleep(Task& t, UserAddr request, UserAddr remaining) {
  return SleepUntil(t, TRY(ReadTimeout(t, request)), remaining, true);
}

// A CPU clock is looked at again when its time could have passed at the earliest.
ErrorOr<uint64_t> SleepOnCpuClock(Task& t, int clock, int64_t until_ns) {
  for (;;) {
    int64_t left = until_ns - TRY(ToNs(TRY(ReadClock(t, clock))));
    if (left <= 0) return uint64_t{0};
    ErrorOr<void> r = t.Block(DeadlineAfter(std::max<int64_t>(left / 2, 1'000'000)));
    if (!r.ok() && r.error() != kETIMEDOUT) return kERESTARTNOHAND;
  }
}

ErrorOr<uint64_t> SysClockNanosleep(Task& t, int clock, int flags, UserAddr request, UserAddr remaining) {
  int64_t ns = TRY(ToNs(TRY(t.mm().Read<abi::Timespec>(request))));
  bool absolute = (flags & static_cast<int>(abi::kTIMER_ABSTIME)) != 0;
  if (clock == abi::kCLOCK_THREAD_CPUTIME_ID) return kEOPNOTSUPP;
  if (clock < 0 || clock == abi::kCLOCK_PROCESS_CPUTIME_ID) {
    int64_t now = TRY(ToNs(TRY(ReadClock(t, clock))));
    return SleepOnCpuClock(t, clock, absolute ? ns : now + std::min(ns, kForever - now));
  }
  bool coarse_or_raw = clock == abi::kCLOCK_MONOTONIC_RAW || clock == abi::kCLOCK_REALTIME_COARSE ||
                       clock == abi::kCLOCK_MONOTONIC_COARSE;
  if (coarse_or_raw) return kEOPNOTSUPP;
  int64_t deadline = TRY(ToMonotonicDeadline(clock, absolute ? ns : 0));
  if (!absolute) deadline = DeadlineAfter(ns);
  return SleepUntil(t, deadline, absolute ? 0 : remaining, !absolute);
}

// --- Interval timers. ---

ErrorOr<void> SysGetitimer(Task& t, int which, UserAddr out) {
  if (which < 0 || which > abi::kITIMER_PROF) return kEINVAL;
  ProcessTimers::Interval v = ProcessTimers::Of(t.group()).Get(which);
  return t.mm().Write(out, abi::Itimerval{NsToTimeval(v.interval_ns), NsToTimeval(v.value_ns)});
}

ErrorOr<void> SysSetitimer(Task& t, int which, UserAddr value, UserAddr old) {
  if (which < 0 || which > abi::kITIMER_PROF) return kEINVAL;
  ProcessTimers::Interval wanted;
  if (value) {
    abi::Itimerval v = TRY(t.mm().Read<abi::Itimerval>(value));
    wanted = {TRY(TimevalToNs(v.it_value)), TRY(TimevalToNs(v.it_interval))};
  }
  ProcessTimers::Interval before = ProcessTimers::Of(t.group()).Set(which, wanted);
  if (old) TRY(t.mm().Write(old, abi::Itimerval{NsToTimeval(before.interval_ns), NsToTimeval(before.value_ns)}));
  return {};
}

ErrorOr<uint64_t> SysAlarm(Task& t, uint32_t seconds) {
  ProcessTimers::Interval before =
      ProcessTimers::Of(t.group()).Set(abi::kITIMER_REAL, {int64_t{seconds} * kNsPerSecond, 0});
  // Rounded to the nearest second, but never down to "no alarm" (alarm(2)).
  int64_t left = (before.value_ns + kNsPerSecond / 2) / kNsPerSecond;
  return static_cast<uint64_t>(before.value_ns && left == 0 ? 1 : left);
}

// --- POSIX timers. ---

ErrorOr<void> SysTimerCreate(Task& t, int clock, UserAddr event_addr, UserAddr id_addr) {
  abi::Sigevent event{};
  event.sigev_notify = abi::kSIGEV_SIGNAL;
  event.sigev_signo = abi::kSIGALRM;
  if (event_addr) event = TRY(t.mm().Read<abi::Sigevent>(event_addr));
  ProcessTimers& timers = ProcessTimers::Of(t.group());
  int id = TRY(timers.Create(t, clock, event));
  if (!event_addr) timers.SetValue(id, static_cast<uint64_t>(id));
  ErrorOr<void> r = t.mm().Write<int>(id_addr, id);
  if (!r.ok()) (void)timers.Delete(id);
  return r;
}

abi::Itimerspec ToItimerspec(const ProcessTimers::Interval& v) {
  return {NsToTimespec(v.interval_ns), NsToTimespec(v.value_ns)};
}

ErrorOr<void> SysTimerSettime(Task& t, int id, int flags, UserAddr value, UserAddr old) {
  if (!value) return kEINVAL;
  abi::Itimerspec v = TRY(t.mm().Read<abi::Itimerspec>(value));
  ProcessTimers::Interval wanted{TRY(ToNs(v.it_value)), TRY(ToNs(v.it_interval))};
  bool absolute = (flags & static_cast<int>(abi::kTIMER_ABSTIME)) != 0;
  ProcessTimers::Interval before = TRY(ProcessTimers::Of(t.group()).SetTime(id, absolute, wanted));
  if (old) TRY(t.mm().Write(old, ToItimerspec(before)));
  return {};
}
ErrorOr<void> SysTimerGettime(Task& t, int id, UserAddr out) {
  return t.mm().Write(out, ToItimerspec(TRY(ProcessTimers::Of(t.group()).GetTime(id))));
}
ErrorOr<uint64_t> SysTimerGetoverrun(Task& t, int id) {
  return static_cast<uint64_t>(TRY(ProcessTimers::Of(t.group()).Overrun(id)));
}
ErrorOr<void> SysTimerDelete(Task& t, int id) { return ProcessTimers::Of(t.group()).Delete(id); }

constexpr SyscallRow kRows[] = {
    CALL(clock_gettime, SysClockGettime, "int ptr"),
    CALL(clock_getres, SysClockGetres, "int ptr"),
    CALL_PARTIAL(clock_settime, SysClockSettime, "int timespec", "the clock is the host's: EPERM"),
    CALL(gettimeofday, SysGettimeofday, "ptr ptr"),
    CALL_PARTIAL(settimeofday, SysSettimeofday, "ptr ptr", "the clock is the host's: EPERM"),
    CALL(time, SysTime, "ptr"),
    CALL(times, SysTimes, "ptr"),
    CALL_PARTIAL(adjtimex, SysAdjtimex, "ptr", "reads only; adjusting: EPERM"),
    CALL_PARTIAL(clock_adjtime, SysClockAdjtime, "int ptr", "reads only; adjusting: EPERM"),
    CALL(nanosleep, SysNanosleep, "timespec ptr"),
    CALL(clock_nanosleep, SysClockNanosleep, "int hex timespec ptr"),
    CALL(getitimer, SysGetitimer, "int ptr"),
    CALL(setitimer, SysSetitimer, "int ptr ptr"),
    CALL(alarm, SysAlarm, "uint"),
    CALL(timer_create, SysTimerCreate, "int ptr ptr"),
    CALL(timer_settime, SysTimerSettime, "int hex ptr ptr"),
    CALL(timer_gettime, SysTimerGettime, "int ptr"),
    CALL(timer_getoverrun, SysTimerGetoverrun, "int"),
    CALL(timer_delete, SysTimerDelete, "int"),
};

}  // namespace

const SyscallFamily kTimeCalls = {"clocks and timers", kRows};

}  // namespace moat
