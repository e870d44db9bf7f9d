// Job control: which session a terminal belongs to, and who may use it (tty_ioctl(4), credentials(7)).
#pragma once

#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/tty/terminal.h"

namespace moat {

class Kernel;
struct Session;
class ThreadGroup;

// The controlling terminal of a session, or null, is Session::tty; the terminal's `session` and `foreground` say the same from
// its side. All are changed with Kernel::tasks_lock held.
class KernelJobControl final : public JobControl {
 public:
  explicit KernelJobControl(Kernel& kernel) : kernel_(kernel) {}

  ErrorOr<void> CheckRead(Terminal& terminal) override;
  ErrorOr<void> CheckChange(Terminal& terminal) override;
  ErrorOr<uint64_t> Ioctl(Terminal& terminal, FileDescription& file, uint32_t command, uint64_t arg, UserMemory& memory,
                          bool master) override;
  void Opened(Terminal& terminal, bool readable) override;
  void Signal(Terminal& terminal, int signo) override;
  void HungUp(Terminal& terminal) override;
  const Credentials* CallerCredentials() override;

 private:
  ErrorOr<void> CheckBackground(Terminal& terminal, int signo);
  ErrorOr<uint64_t> SetForeground(Terminal& terminal, uint64_t arg, UserMemory& memory, bool master);
  ErrorOr<uint64_t> MakeControlling(Terminal& terminal, FileDescription& file, uint64_t arg);
  ErrorOr<uint64_t> GiveUp(Terminal& terminal);
  Kernel& kernel_;
};

// Makes this job control the terminals', and /dev/tty (5:0) known to open(2). Once, before guests run.
void StartJobControl(Kernel& kernel);

// Gives the first process's session its terminal: the first of its files that is one. tasks_lock held.
void AdoptTerminal(ThreadGroup& init, Ref<Terminal> terminal);

// The leader of a session ended: SIGHUP and SIGCONT to its terminal's foreground group, and the session has no terminal any
// more (disassociate_ctty). tasks_lock held.
void SessionLeaderExited(ThreadGroup& leader);

}  // namespace moat
