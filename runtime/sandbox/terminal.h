// The caller's terminal, which the command gets as it is: its settings are put back at the end.
#pragma once

#include "sentry/boot/config.h"

namespace moat {

// Restores the settings when it goes away, if we are in the terminal's foreground.
class TerminalGuard {
 public:
  explicit TerminalGuard(const SandboxTty& tty) : tty_(tty) {}
  TerminalGuard(const TerminalGuard&) = delete;
  TerminalGuard& operator=(const TerminalGuard&) = delete;
  ~TerminalGuard();

 private:
  const SandboxTty tty_;
};

}  // namespace moat
