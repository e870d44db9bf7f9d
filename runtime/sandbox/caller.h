// Who calls `moat`: what the command inherits from there.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sentry/boot/config.h"

namespace moat {

struct Caller {
  uint32_t uid = 0;  // effective
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  uint32_t umask = 022;
  int nice = 0;
  uint64_t ignored_signals = 0;  // bit n - 1 is signal n
  uint64_t blocked_signals = 0;
  std::array<SandboxRlimit, kRlimitCount> rlimits{};
  std::array<StdioKind, 3> stdio{};
  SandboxTty tty;
  std::string cwd;   // empty if it was removed
  std::string home;  // $HOME if absolute, else empty
  std::vector<std::string> env;

  // Root that can give the sandbox an unprivileged host user and the gofer its namespaces. Root of a user
  // namespace without such a user (a rootless container) is treated as an ordinary user.
  bool privileged = false;
};

// Opens /dev/null in place of closed standard descriptors, so that no later descriptor can take their
// numbers. Throws Failure without /dev/null.
Caller LookAtCaller(const char* const* envp);

}  // namespace moat
