// What job control knows a terminal by, and what terminals ask of job control. Terminals are files of fs/hostfd (the host's) and
// fs/tty/pty.h; sessions and process groups are the kernel's, which implements JobControl.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/kern/credentials.h"
#include "base/kern/user_memory.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"

namespace moat {

class Terminal : public RefCounted {
 public:
  virtual uint64_t rdev() = 0;  // of its device node, in st_dev's encoding
  // TOSTOP is set: background writes stop.
  virtual bool StopsBackgroundOutput() = 0;
  // A further open file of the terminal: /dev/tty.
  virtual ErrorOr<Ref<FileDescription>> OpenAgain(const Path& path, uint32_t flags) = 0;

  // The session whose controlling terminal it is, and its foreground process group; 0: none. The kernel's to change, under
  // its lock.
  std::atomic<int> session{0};
  std::atomic<int> foreground{0};
};

class JobControl {
 public:
  // The caller reads from `terminal`: kERESTARTSYS after SIGTTIN, kEIO if that would not stop it.
  virtual ErrorOr<void> CheckRead(Terminal& terminal) = 0;
  // The caller writes to it with TOSTOP or changes its settings: SIGTTOU.
  virtual ErrorOr<void> CheckChange(Terminal& terminal) = 0;
  // TIOCGPGRP, TIOCSPGRP, TIOCGSID, TIOCSCTTY, TIOCNOTTY; kENOTTY for others. `master`: asked through a pty's master.
  virtual ErrorOr<uint64_t> Ioctl(Terminal& terminal, FileDescription& file, uint32_t command, uint64_t arg,
                                  UserMemory& memory, bool master) = 0;
  // The caller opened it without O_NOCTTY: it may become its controlling terminal.
  virtual void Opened(Terminal& terminal, bool readable) = 0;
  // A signal of the line discipline, to the foreground process group.
  virtual void Signal(Terminal& terminal, int signo) = 0;
  // The line is gone: SIGHUP and SIGCONT to the session's leader; it has no controlling terminal any more.
  virtual void HungUp(Terminal& terminal) = 0;

  // Whose call this is, or null.
  virtual const Credentials* CallerCredentials() = 0;

  // The kernel's, or one that allows everything and signals nobody.
  static JobControl& Get();
  static void Set(JobControl* job_control);

 protected:
  ~JobControl() = default;
};

bool IsJobControlIoctl(uint32_t command);

}  // namespace moat
