#include "runtime/sandbox/terminal.h"

#include <string.h>

#include "abi/ioctl.h"
#include "abi/prctl.h"
#include "abi/socket.h"
#include "abi/tty.h"
#include "base/host/file.h"
#include "base/host/process.h"
#include "base/host/signal.h"
#include "base/host/socket.h"
#include "runtime/util/failure.h"

namespace moat {
namespace {

// Does the terminal belong to another job by now? It is then for the shell to set it. Without job control it is ours.
bool IsAnothers(int tty, int our_group) {
  int foreground = 0;
  return host::Ioctl(tty, abi::kTIOCGPGRP, &foreground).ok() && foreground != our_group;
}

void Restore(int tty, int our_group, const SandboxTty& saved) {
  if (IsAnothers(tty, our_group)) return;
  abi::Termios now, before;
  memcpy(&before, saved.termios.data(), sizeof(before));
  if (!host::Ioctl(tty, abi::kTCGETS, &now).ok() || memcmp(&now, &before, sizeof(now)) == 0) return;
  // Without waiting for output to drain: a terminal held by ^S would keep us for ever.
  (void)host::Ioctl(tty, abi::kTCSETS, &before);
}

// Waits for a byte (all went well) or the end of `moat`. In a process group of its own: what is sent to the job does not
// reach it.
[[noreturn]] void Keep(int life, int our_group, const SandboxTty& saved) {
  constexpr int kTty = 0, kLife = 1;
  host::BlockAllSignals();  // SIGTTOU, for one: it is in the background
  (void)host::Setpgid(0, 0);
  (void)host::Prctl(abi::kPR_SET_DUMPABLE, 0);
  const ErrorOr<UniqueFd> parked = host::FcntlDupfdCloexec(life, kLife + 1);  // `saved.fd` may be any of 0..2
  if (!parked.ok()) host::ExitGroup(1);
  if (saved.fd != kTty) (void)host::Dup3(saved.fd, kTty, 0);
  (void)host::Dup3(parked->get(), kLife, 0);
  (void)host::CloseRange(kLife + 1, ~0u, 0);
  char done;
  if (host::Recvfrom(kLife, &done, 1, 0).value_or(0) == 0) Restore(kTty, our_group, saved);
  host::ExitGroup(0);
}

}  // namespace

TerminalGuard::TerminalGuard(const SandboxTty& tty) : tty_(tty) {
  if (!tty_.present) return;
  const int our_group = Must(host::Getpgid(0), "getpgid");
  host::SocketPair life =
      Must(host::Socketpair(abi::kAF_UNIX, abi::kSOCK_SEQPACKET | abi::kSOCK_CLOEXEC, 0), "socketpair");
  keeper_ = Must(host::Fork(0), "cannot start the terminal's keeper");
  if (keeper_ == 0) {
    life.first.Reset();
    Keep(life.second.get(), our_group, tty_);
  }
  life_ = std::move(life.first);
}

TerminalGuard::~TerminalGuard() {
  if (!tty_.present) return;
  Restore(tty_.fd, host::Getpgid(0).value_or(-1), tty_);
  (void)host::Sendto(life_.get(), "", 1, abi::kMSG_NOSIGNAL);
  while (host::Wait4(keeper_, nullptr, 0).error() == kEINTR) {
  }
}

}  // namespace moat
