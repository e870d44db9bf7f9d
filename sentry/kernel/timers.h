// Timers of a process: setitimer(2), timer_create(2), RLIMIT_CPU; and the clocks of tasks.
#pragma once

#include <cstdint>
#include <memory>

#include "abi/signal.h"
#include "abi/time.h"
#include "base/util/error.h"

namespace moat {

class Task;
class ThreadGroup;

class ProcessTimers {
 public:
  explicit ProcessTimers(ThreadGroup& group);
  ~ProcessTimers();
  // The group's, made on first use.
  static ProcessTimers& Of(ThreadGroup& group);

  // setitimer/getitimer: ITIMER_REAL, VIRTUAL, PROF; ns, 0 = disarmed.
  struct Interval {
    int64_t value_ns = 0, interval_ns = 0;
  };
  Interval Get(int which);
  Interval Set(int which, const Interval& v);  // the old one

  // timer_create(2) and friends; errors as their man pages.
  ErrorOr<int> Create(Task& t, int clock, const abi::Sigevent& event);
  void SetValue(int id, uint64_t value);  // the si_value of its signals
  ErrorOr<Interval> SetTime(int id, bool absolute, const Interval& v);
  ErrorOr<Interval> GetTime(int id);
  ErrorOr<int> Overrun(int id);
  ErrorOr<void> Delete(int id);

  // A timer's signal is being delivered: fills in its overrun count.
  void OnDequeue(abi::SigInfo& info);
  // POSIX timers are gone after exec, interval timers stay; everything is disarmed at exit.
  void OnExec();
  void OnExit();
  // RLIMIT_CPU of the group was set or inherited: SIGXCPU at the soft limit and every second from then on, which moves the
  // soft limit; SIGKILL at the hard one (setrlimit(2)).
  void OnCpuLimit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// clock_gettime(2) of any clock id, CPU clocks of other processes and threads included; kEINVAL.
ErrorOr<abi::Timespec> ReadClock(Task& t, int clock);
// A deadline on `clock` (absolute, ns) as CLOCK_MONOTONIC ns; saturates. kEINVAL for clocks that cannot be slept on.
ErrorOr<int64_t> ToMonotonicDeadline(int clock, int64_t absolute_ns);

}  // namespace moat
