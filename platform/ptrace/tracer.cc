#include "platform/ptrace/tracer.h"

#include <algorithm>

#include "abi/wait.h"
#include "base/host/process.h"
#include "base/host/time.h"

namespace moat::ptrace {
namespace {

// How often a wait for one thread looks at the others: the exit of a process's first thread shows only after its other threads
// were reaped.
constexpr int64_t kSweepNs = 100'000'000;

}  // namespace

ErrorOr<void> Tracer::Create() {
  thread_ = __builtin_thread_pointer();
  TRY(InstallKickHandler());
  return alarm_.Create();
}

bool Tracer::IsTracerThread() const { return __builtin_thread_pointer() == thread_; }

ErrorOr<int> Tracer::Await(int tid, int64_t deadline_ns) {
  if (auto event = TakeDeferred(tid)) return event->status;
  int64_t next_ns = std::min(deadline_ns, host::NowMonotonicNs() + kSweepNs);
  alarm_.EnsureBy(next_ns);
  for (;;) {
    int status;
    ErrorOr<int> got = WaitOrKick(tid, &status);
    if (got.ok()) return status;
    if (got.error() != kEINTR) return got.error();
    ClearKick();  // the main loop looks for work after every trap anyhow
    alarm_.NoteKick();
    int64_t now = host::NowMonotonicNs();
    if (now >= deadline_ns) return kETIMEDOUT;
    if (now >= next_ns) {
      if (auto swept = Sweep(tid)) return *swept;
      next_ns = std::min(deadline_ns, now + kSweepNs);
    }
    alarm_.EnsureBy(next_ns);
  }
}

std::optional<int> Tracer::Sweep(int tid) {
  for (;;) {
    std::optional<WaitEvent> event = PollAny();
    if (!event) return std::nullopt;
    if (event->tid == tid) return event->status;
    deferred_.push_back(*event);
  }
}

ErrorOr<WaitEvent> Tracer::AwaitAny() {
  WaitEvent event{};
  ErrorOr<int> got = WaitOrKick(-1, &event.status);
  if (got.ok()) {
    event.tid = *got;
    return event;
  }
  if (got.error() == kEINTR) {
    ClearKick();
    alarm_.NoteKick();
  }
  return got.error();
}

std::optional<WaitEvent> Tracer::PollAny() {
  WaitEvent event{};
  ErrorOr<int> got = host::Wait4(-1, &event.status, abi::kWALL | abi::kWNOHANG);
  if (!got.ok() || *got == 0) return std::nullopt;
  event.tid = *got;
  return event;
}

std::optional<WaitEvent> Tracer::TakeDeferred(int tid) {
  for (auto it = deferred_.begin(); it != deferred_.end(); ++it) {
    if (tid != -1 && it->tid != tid) continue;
    WaitEvent event = *it;
    deferred_.erase(it);
    return event;
  }
  return std::nullopt;
}

}  // namespace moat::ptrace
