// What `moat` tells the sentry about the sandbox to make: a plain struct and its wire form.
//
// `moat` writes the encoding into a sealed memfd that the sentry inherits as kFdConfig. The format is private
// to one build of the two programs (a version word refuses others) and every length is checked before it is
// believed, so decoding hostile bytes ends in EINVAL. A leaf: includable by runtime/ as well as by the
// sentry.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/util/error.h"

namespace moat {

// Descriptors that the sentry starts with, by number. Everything else is closed.
enum SentryFd : int {
  kFdStdin = 0,  // /dev/null in place of one that the caller had closed (see StdioKind::kClosed)
  kFdStdout = 1,
  kFdStderr = 2,
  kFdControl = 3,  // SOCK_SEQPACKET to `moat`: sentry/control/protocol.h
  kFdConfig = 4,   // the encoded SandboxConfig, read from offset 0
  kFdGofer = 5,    // connection to the gofer
  kFdLog = 6,      // log records
  kFdStrace = 7,   // trace of system calls; only if SandboxConfig::strace
};

enum class MountKind : uint8_t {
  kOverlay,  // gofer root `root` below a throwaway writable layer in sandbox memory
  kGofer,    // gofer root `root` itself, writable on the host unless read_only
  kTmpfs,    // empty; `mode` is the mode of its root, `size` its limit in bytes (0: the default limit)
  kProc,
  kSys,
  kDev,        // /dev with the usual nodes, and its pts, shm and mqueue
  kEmptyFile,  // an empty regular file, read-only: hides a file
};

// One mount, applied in the order of the list; the first is the root. Missing mount points are created in the
// throwaway layer where there is one.
struct SandboxMount {
  MountKind kind = MountKind::kTmpfs;
  bool read_only = false;
  bool noexec = false;   // as the host mounts it
  bool locked = false;   // the guest may not unmount, remount or move it: it hides something
  uint32_t root = 0;     // kOverlay, kGofer: index of the gofer's root
  uint32_t mode = 0755;  // kTmpfs
  uint64_t size = 0;     // kTmpfs, kOverlay: bytes of the writable layer
  std::string target;    // absolute; symlinks in it are followed inside the sandbox, as by mount(2)

  bool operator==(const SandboxMount&) const = default;
};

// One resource limit of the command; ~0 is RLIM_INFINITY.
struct SandboxRlimit {
  uint64_t soft = ~uint64_t{0};
  uint64_t hard = ~uint64_t{0};

  bool operator==(const SandboxRlimit&) const = default;
};
inline constexpr int kRlimitCount = 16;  // Linux's RLIM_NLIMITS

enum class StdioKind : uint8_t {
  kClosed,  // the caller had closed it; the guest starts without it
  kFile,    // regular file, pipe, socket, device
  kTty,     // a terminal of the host, passed as it is
};

enum class PlatformChoice : uint8_t { kAuto, kPtrace };

// The caller's terminal at start. `moat` puts it back in every case (runtime/sandbox/terminal.h); the guest sees the modes.
struct SandboxTty {
  bool present = false;               // the rest is meaningful
  uint8_t fd = 0;                     // 0..2: the first descriptor that is a terminal
  std::array<uint8_t, 36> termios{};  // the kernel's struct termios (TCGETS)

  bool operator==(const SandboxTty&) const = default;
};

struct SandboxConfig {
  // The command. argv[0] is looked up in the guest's PATH if it has no slash.
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=value
  std::string cwd = "/";         // absolute
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  uint32_t umask = 022;
  int32_t nice = 0;
  uint64_t ignored_signals = 0;  // bit n - 1 is signal n: inherited dispositions (nohup) and mask
  uint64_t blocked_signals = 0;
  std::string hostname = "moat";
  std::array<SandboxRlimit, kRlimitCount> rlimits{};  // by Linux's RLIMIT_* number
  std::array<StdioKind, 3> stdio{};
  SandboxTty tty;

  std::vector<SandboxMount> mounts;

  PlatformChoice platform = PlatformChoice::kAuto;
  uint8_t log_level = 1;  // LogLevel
  bool strace = false;    // kFdStrace is there

  // Limits of the whole sandbox.
  uint32_t max_tasks = 8192;   // guest threads
  uint64_t memory_bytes = 0;   // all memory of the sandbox, as guests see it; 0: the host's
  uint64_t layer_bytes = 0;    // default limit of tmpfs and of the writable layer; 0: half of the host's memory

  // Who the sentry is on the host (its own ids are 0 in its user namespace).
  uint32_t host_uid = 65534;
  uint32_t host_gid = 65534;

  bool operator==(const SandboxConfig&) const = default;
};

// Lengths above these are refused by both sides.
inline constexpr size_t kMaxConfigBytes = 8 << 20;  // execve's own limit on argv and env is 6 MiB
inline constexpr size_t kMaxConfigItems = 1 << 20;  // items of one list

std::string EncodeConfig(const SandboxConfig& config);

// EINVAL: not an encoding of this version, truncated, over a limit, or with bytes left over.
ErrorOr<SandboxConfig> DecodeConfig(std::string_view bytes);

}  // namespace moat
