// The signal mask of ppoll, pselect6 and epoll_pwait, in force while the call waits.
#pragma once

#include <optional>

#include "abi/signal.h"
#include "base/kern/user_memory.h"
#include "base/util/error.h"
#include "sentry/kernel/task.h"

namespace moat {

class TemporaryMask {
 public:
  explicit TemporaryMask(Task& t) : t_(t) {}

  // The mask at `set` (none if null); kEINVAL for another size than a signal set's.
  ErrorOr<void> Apply(UserAddr set, uint64_t size) {
    if (!set) return {};
    if (size != sizeof(abi::SigSet)) return kEINVAL;
    abi::SigSet mask = TRY(t_.mm().Read<abi::SigSet>(set));
    before_ = t_.blocked();
    t_.SetTemporaryMask(mask);
    return {};
  }
  // The call is over. If a signal ended it the mask stays until that signal is delivered; otherwise signals that only the
  // temporary mask lets through stay pending.
  void End(bool interrupted) {
    if (!before_ || interrupted) return;
    t_.ClearWork(kWorkRestoreMask);
    t_.SetBlocked(*before_);
  }

 private:
  Task& t_;
  std::optional<abi::SigSet> before_;
};

}  // namespace moat
