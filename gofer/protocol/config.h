// What `moat` tells the gofer: a plain struct and its wire form, as sentry/boot/config.h is for the sentry. A
// leaf.
//
// moat-gofer is started without arguments of its own and with the descriptors below; everything else is
// closed. As root it starts in new mount, network, IPC, UTS and pid namespaces of the host's user namespace
// with all capabilities and the host's root directory; as an ordinary user in the caller's namespaces. It is
// in a session of its own and dies with `moat` (PR_SET_PDEATHSIG). What it gives up further it does itself,
// after it has opened the roots.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/util/error.h"

namespace moat {

enum GoferFd : int {
  kGoferFdNull = 0,        // /dev/null
  kGoferFdLog = 2,         // log records; 1 is the same
  kGoferFdConnection = 3,  // SOCK_SEQPACKET to the sentry; its end is the end of the gofer
  kGoferFdConfig = 4,      // the encoded GoferConfig, read from offset 0
};

// One directory to serve. The client names it by its index.
struct GoferRoot {
  std::string path;  // absolute, on the host
  bool writable = false;

  bool operator==(const GoferRoot&) const = default;
};

// Something below a root that is never served: it looks as if it did not exist. Host paths, absolute, without
// symlinks.
struct GoferConfig {
  std::vector<GoferRoot> roots;
  std::vector<std::string> hidden;
  uint8_t log_level = 1;    // LogLevel
  bool privileged = false;  // started by root: confine by chroot and capabilities, else by Landlock

  bool operator==(const GoferConfig&) const = default;
};

inline constexpr size_t kMaxGoferConfigBytes = 1 << 20;

std::string EncodeGoferConfig(const GoferConfig& config);

// EINVAL: not an encoding of this version, truncated, over a limit, or with bytes left over.
ErrorOr<GoferConfig> DecodeGoferConfig(std::string_view bytes);

}  // namespace moat
