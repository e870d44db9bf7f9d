// Signals that `moat` passes on: to the command, or kept until there is one.
#pragma once

#include <cstdint>

#include "base/sync/mutex.h"
#include "sentry/control/protocol.h"

namespace moat {

class Kernel;

// Lock order: mu_ > Kernel::tasks_lock.
class SignalRelay {
 public:
  explicit SignalRelay(Kernel& kernel) : kernel_(kernel) {}

  // A kSignal message; others are ignored. Answered with kDelivered by a worker, once the signal is with the command: so the
  // answer says that the workers are alive as well. Any thread.
  void OnMessage(const ControlMessage& message);
  // The command's first task exists: delivers what came before.
  void Start();

 private:
  void Deliver(int signo, SignalTarget target);
  void Answer(int count);

  Kernel& kernel_;
  Mutex mu_;
  bool started_ MOAT_GUARDED_BY(mu_) = false;
  int received_ MOAT_GUARDED_BY(mu_) = 0;
  // By SignalTarget; bit n - 1 is signal n. Before the start two equal signals are one, as for a process that blocks them.
  uint64_t kept_[2] MOAT_GUARDED_BY(mu_) = {};
};

}  // namespace moat
