// The caller's terminal, which the command gets as it is: its settings are put back whatever ends first.
#pragma once

#include "base/util/unique_fd.h"
#include "sentry/boot/config.h"

namespace moat {

// Restores the settings when it goes away, if we are in the terminal's foreground; so does a process of its own, the
// keeper, if `moat` is killed. The keeper and not the sentry: the kernel kills the sentry with `moat`, too soon for it to
// do anything, and a hostile one must not outlive `moat`.
class TerminalGuard {
 public:
  // Starts the keeper if there is a terminal. Throws Failure. Before other children are started: it holds what is open.
  explicit TerminalGuard(const SandboxTty& tty);
  TerminalGuard(const TerminalGuard&) = delete;
  TerminalGuard& operator=(const TerminalGuard&) = delete;
  ~TerminalGuard();

 private:
  const SandboxTty tty_;
  UniqueFd life_;  // its end tells the keeper that `moat` is gone
  int keeper_ = -1;
};

}  // namespace moat
