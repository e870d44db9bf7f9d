// Sleeping in wait4(2) and being woken from it. waitpid has no atomic wake-up, so the kick signal's handler and the call work
// together: see wait_window_x86_64.S. One tracer thread a process.
#pragma once

#include <cstdint>

#include "base/util/error.h"

namespace moat::ptrace {

// A real-time signal that glibc leaves alone.
inline constexpr int kKickSignal = 40;

// Installs the handler of kKickSignal.
ErrorOr<void> InstallKickHandler();

// wait4(pid, status, __WALL). kEINTR if a kick came since the last ClearKick, also before the call; kECHILD.
ErrorOr<int> WaitOrKick(int pid, int* status);
// Forgets kicks so far: look for work after it, not before.
void ClearKick();
// There was one since.
bool Kicked();

// An absolute CLOCK_MONOTONIC alarm that kicks the calling thread. Arming is lazy: an alarm that already is early enough
// stays, so the thread may be kicked too early and then arms again.
class Alarm {
 public:
  ErrorOr<void> Create();  // on the thread to be kicked
  void EnsureBy(int64_t deadline_ns);
  void NoteKick() { armed_ns_ = INT64_MAX; }  // after any kick: the alarm may have been it

 private:
  int timer_ = -1;
  int64_t armed_ns_ = INT64_MAX;
};

}  // namespace moat::ptrace
