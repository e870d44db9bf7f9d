#include "runtime/sandbox/caller.h"

#include <cstring>
#include <filesystem>
#include <sstream>

#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/rlimit.h"
#include "abi/sched.h"
#include "abi/signal.h"
#include "abi/tty.h"
#include "base/host/directory.h"
#include "base/host/file.h"
#include "base/host/process.h"
#include "base/host/signal.h"
#include "runtime/util/failure.h"
#include "runtime/util/files.h"

namespace moat {
namespace {

static_assert(kRlimitCount == abi::kRLIM_NLIMITS);
static_assert(sizeof(SandboxTty::termios) == sizeof(abi::Termios));

StdioKind ClassifyStdio(int fd, SandboxTty& tty) {
  if (!host::FcntlGetfd(fd).ok()) {
    // The lowest free number is `fd`: those below are open by now.
    UniqueFd null = Must(host::Openat(abi::kAT_FDCWD, "/dev/null", abi::kO_RDWR), "/dev/null");
    (void)null.Release();
    return StdioKind::kClosed;
  }
  abi::Termios termios;
  if (!host::Ioctl(fd, abi::kTCGETS, &termios).ok()) return StdioKind::kFile;
  if (!tty.present) {
    tty.present = true;
    tty.fd = static_cast<uint8_t>(fd);
    memcpy(tty.termios.data(), &termios, sizeof(termios));
  }
  return StdioKind::kTty;
}

// Does /proc/self/{uid,gid}_map know the id that a privileged caller's sandbox gets?
bool IsMapped(const char* map, uint32_t id) {
  std::istringstream ranges(ReadFile(map).value_or(""));
  uint64_t first, outside, count;
  while (ranges >> first >> outside >> count) {
    if (id >= first && id - first < count) return true;
  }
  return false;
}

bool IsPrivileged() {
  const SandboxConfig defaults;
  return host::Geteuid() == 0 && IsMapped("/proc/self/uid_map", defaults.host_uid) &&
         IsMapped("/proc/self/gid_map", defaults.host_gid) &&
         ReadFile("/proc/self/setgroups").value_or("").starts_with("allow");
}

}  // namespace

Caller LookAtCaller(const char* const* envp) {
  Caller caller;
  for (int fd = 0; fd < 3; ++fd) caller.stdio[fd] = ClassifyStdio(fd, caller.tty);
  caller.uid = host::Geteuid();
  caller.gid = host::Getegid();
  caller.privileged = IsPrivileged();
  caller.groups = host::Getgroups();
  caller.umask = host::Umask(022);
  host::Umask(caller.umask);
  caller.nice = host::Getpriority(abi::kPRIO_PROCESS, 0).value_or(0);
  for (int signo = 1; signo <= abi::kNSIG; ++signo) {
    if (host::SigActionIsIgnored(signo)) caller.ignored_signals |= abi::SigMask(signo);
  }
  caller.blocked_signals = Must(host::SigProcMask(abi::kSIG_BLOCK, 0), "sigprocmask");
  for (int i = 0; i < kRlimitCount; ++i) {
    const host::ResourceLimit limit = Must(host::PrlimitGet(0, i), "prlimit");
    caller.rlimits[i] = {limit.soft, limit.hard};
  }
  std::error_code error;
  caller.cwd = std::filesystem::current_path(error).string();
  for (; *envp != nullptr; ++envp) {
    caller.env.emplace_back(*envp);
    if (caller.env.back().starts_with("HOME=/")) caller.home = caller.env.back().substr(5);
  }
  return caller;
}

}  // namespace moat
