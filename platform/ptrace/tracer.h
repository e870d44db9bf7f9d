// What all traced threads share: the stub's place, the waiting and the alarm of the one tracer thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/util/error.h"
#include "platform/ptrace/stub.h"
#include "platform/ptrace/wait_window.h"

namespace moat::ptrace {

struct WaitEvent {
  int tid;
  int status;
};

class Tracer {
 public:
  // On the tracer thread.
  ErrorOr<void> Create();

  const StubLayout& layout() const { return layout_; }
  void set_layout(const StubLayout& layout) { layout_ = layout; }
  bool IsTracerThread() const;

  // Waits for the next change of `tid`, whatever else happens; its wait status. kETIMEDOUT after `deadline_ns`
  // (CLOCK_MONOTONIC), kECHILD if there is no such thread.
  ErrorOr<int> Await(int tid, int64_t deadline_ns);
  // The next change of any thread, or kEINTR after a kick.
  ErrorOr<WaitEvent> AwaitAny();
  // A change of `tid`, or of anybody if -1, that an Await for another thread has already taken from the kernel.
  std::optional<WaitEvent> TakeDeferred(int tid);

  // The next change of any thread that is there already, or nothing.
  std::optional<WaitEvent> PollAny();

  Alarm& alarm() { return alarm_; }
  // How many traced threads run.
  int running() const { return running_; }
  void NoteRunning(int change) { running_ += change; }

 private:
  std::optional<int> Sweep(int tid);

  StubLayout layout_;
  Alarm alarm_;
  const void* thread_ = nullptr;
  int running_ = 0;
  std::deque<WaitEvent> deferred_;
};

}  // namespace moat::ptrace
