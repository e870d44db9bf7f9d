// What the user asked for on the command line, before anything of the host is looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sentry/boot/config.h"

namespace moat {

struct DoOptions {
  std::vector<std::string> command;  // not empty

  std::string rootfs = "/";
  std::vector<std::string> read_write;  // HOST[:GUEST]
  std::vector<std::string> read_only;   // HOST[:GUEST]
  std::vector<std::string> tmpfs;       // GUEST[:size=SIZE,mode=OCTAL]
  std::vector<std::string> hide;        // GUEST
  bool default_hide = true;

  std::vector<std::string> env;  // NAME=VALUE
  bool clear_env = false;
  std::string cwd;   // empty: the caller's, or / in another root
  std::string user;  // UID[:GID] or a name of the sandbox's /etc/passwd; empty: the caller
  std::string hostname = "moat";
  double timeout_s = 0;  // 0: none
  uint64_t memory_bytes = 0;  // 0: what the host can spare
  uint32_t pids = 0;          // 0: the default

  PlatformChoice platform = PlatformChoice::kAuto;
  std::optional<std::string> strace;  // a file on the host; empty: standard error
  std::string log;                    // a file on the host; empty: standard error
  bool debug = false;
};

}  // namespace moat
