// What the first process starts with.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "abi/rlimit.h"
#include "abi/signal.h"
#include "base/kern/credentials.h"
#include "fs/vfs/dentry.h"
#include "sentry/kernel/kernel.h"

namespace moat {

class FdTable;

struct Kernel::InitArgs {
  Path file;             // the program
  std::string filename;  // as the user named it
  std::vector<std::string> argv, envp;
  Path root, cwd;
  uint32_t umask = 022;
  int nice = 0;
  Ref<FdTable> fds;
  Ref<const Credentials> creds;
  std::array<abi::Rlimit64, 16> rlimits;
  abi::SigSet ignored_signals = 0, blocked_signals = 0;
  bool has_tty = false;  // a terminal among its files: it is the session's
};

}  // namespace moat
