#include "runtime/sandbox/terminal.h"

#include <string.h>

#include "abi/ioctl.h"
#include "abi/tty.h"
#include "base/host/file.h"
#include "base/host/process.h"

namespace moat {

TerminalGuard::~TerminalGuard() {
  if (!tty_.present) return;
  int foreground = 0;
  if (!host::Ioctl(tty_.fd, abi::kTIOCGPGRP, &foreground).ok() || foreground != host::Getpgid(0).value_or(-1))
    return;
  abi::Termios now;
  if (!host::Ioctl(tty_.fd, abi::kTCGETS, &now).ok() || memcmp(&now, tty_.termios.data(), sizeof(now)) == 0)
    return;
  abi::Termios saved;
  memcpy(&saved, tty_.termios.data(), sizeof(saved));
  (void)host::Ioctl(tty_.fd, abi::kTCSETSW, &saved);
}

}  // namespace moat
