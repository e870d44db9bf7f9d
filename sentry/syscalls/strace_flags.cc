#include "sentry/syscalls/strace_flags.h"

#include <cstdio>
#include <span>

#include "abi/clone.h"
#include "abi/fcntl.h"
#include "abi/futex.h"
#include "abi/mman.h"
#include "abi/signal.h"
#include "abi/wait.h"

namespace moat {

namespace {

struct Name {
  uint64_t value;
  const char* name;
};

// A set of names: bits, or with `mask` a field of values in the low bits first ("O_RDWR" of O_ACCMODE).
struct Set {
  const char* set;
  uint64_t mask;
  std::span<const Name> values;
  std::span<const Name> bits;
};

constexpr Name kOpenModes[] = {{0, "O_RDONLY"}, {1, "O_WRONLY"}, {2, "O_RDWR"}};
constexpr Name kOpenBits[] = {
    {abi::kO_CREAT, "O_CREAT"}, {abi::kO_EXCL, "O_EXCL"}, {abi::kO_NOCTTY, "O_NOCTTY"}, {abi::kO_TRUNC, "O_TRUNC"},
    {abi::kO_APPEND, "O_APPEND"}, {abi::kO_NONBLOCK, "O_NONBLOCK"}, {abi::kO_TMPFILE, "O_TMPFILE"},
    {abi::kO_DIRECTORY, "O_DIRECTORY"}, {abi::kO_NOFOLLOW, "O_NOFOLLOW"}, {abi::kO_CLOEXEC, "O_CLOEXEC"},
    {abi::kO_PATH, "O_PATH"}, {abi::kO_SYNC, "O_SYNC"}, {abi::kO_DIRECT, "O_DIRECT"}, {abi::kO_NOATIME, "O_NOATIME"}};
constexpr Name kAtBits[] = {
    {abi::kAT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"}, {abi::kAT_REMOVEDIR, "AT_REMOVEDIR"},
    {abi::kAT_SYMLINK_FOLLOW, "AT_SYMLINK_FOLLOW"}, {abi::kAT_NO_AUTOMOUNT, "AT_NO_AUTOMOUNT"},
    {abi::kAT_EMPTY_PATH, "AT_EMPTY_PATH"}};
constexpr Name kCloneBits[] = {
    {abi::kCLONE_VM, "CLONE_VM"}, {abi::kCLONE_FS, "CLONE_FS"}, {abi::kCLONE_FILES, "CLONE_FILES"},
    {abi::kCLONE_SIGHAND, "CLONE_SIGHAND"}, {abi::kCLONE_PIDFD, "CLONE_PIDFD"}, {abi::kCLONE_VFORK, "CLONE_VFORK"},
    {abi::kCLONE_PARENT, "CLONE_PARENT"}, {abi::kCLONE_THREAD, "CLONE_THREAD"}, {abi::kCLONE_NEWNS, "CLONE_NEWNS"},
    {abi::kCLONE_SYSVSEM, "CLONE_SYSVSEM"}, {abi::kCLONE_SETTLS, "CLONE_SETTLS"},
    {abi::kCLONE_PARENT_SETTID, "CLONE_PARENT_SETTID"}, {abi::kCLONE_CHILD_CLEARTID, "CLONE_CHILD_CLEARTID"},
    {abi::kCLONE_CHILD_SETTID, "CLONE_CHILD_SETTID"}, {abi::kCLONE_NEWUSER, "CLONE_NEWUSER"},
    {abi::kCLONE_NEWPID, "CLONE_NEWPID"}, {abi::kCLONE_NEWNET, "CLONE_NEWNET"}};
constexpr Name kWaitBits[] = {{abi::kWNOHANG, "WNOHANG"}, {abi::kWUNTRACED, "WUNTRACED"}, {abi::kWEXITED, "WEXITED"},
                              {abi::kWCONTINUED, "WCONTINUED"}, {abi::kWNOWAIT, "WNOWAIT"}};
constexpr Name kProtBits[] = {{abi::kPROT_READ, "PROT_READ"}, {abi::kPROT_WRITE, "PROT_WRITE"}, {abi::kPROT_EXEC, "PROT_EXEC"}};
constexpr Name kMapBits[] = {
    {abi::kMAP_SHARED, "MAP_SHARED"}, {abi::kMAP_PRIVATE, "MAP_PRIVATE"}, {abi::kMAP_FIXED, "MAP_FIXED"},
    {abi::kMAP_ANONYMOUS, "MAP_ANONYMOUS"}, {abi::kMAP_NORESERVE, "MAP_NORESERVE"}, {abi::kMAP_STACK, "MAP_STACK"},
    {abi::kMAP_GROWSDOWN, "MAP_GROWSDOWN"}, {abi::kMAP_POPULATE, "MAP_POPULATE"}};
constexpr Name kHowValues[] = {{0, "SIG_BLOCK"}, {1, "SIG_UNBLOCK"}, {2, "SIG_SETMASK"}};
constexpr Name kFutexOps[] = {
    {0, "FUTEX_WAIT"}, {1, "FUTEX_WAKE"}, {3, "FUTEX_REQUEUE"}, {4, "FUTEX_CMP_REQUEUE"}, {5, "FUTEX_WAKE_OP"},
    {6, "FUTEX_LOCK_PI"}, {7, "FUTEX_UNLOCK_PI"}, {8, "FUTEX_TRYLOCK_PI"}, {9, "FUTEX_WAIT_BITSET"},
    {10, "FUTEX_WAKE_BITSET"}, {11, "FUTEX_WAIT_REQUEUE_PI"}, {12, "FUTEX_CMP_REQUEUE_PI"}, {13, "FUTEX_LOCK_PI2"}};
constexpr Name kFutexBits[] = {{abi::kFUTEX_PRIVATE_FLAG, "PRIVATE"}, {abi::kFUTEX_CLOCK_REALTIME, "CLOCK_REALTIME"}};
constexpr Name kFcntlCommands[] = {
    {0, "F_DUPFD"}, {1, "F_GETFD"}, {2, "F_SETFD"}, {3, "F_GETFL"}, {4, "F_SETFL"}, {5, "F_GETLK"}, {6, "F_SETLK"},
    {7, "F_SETLKW"}, {8, "F_SETOWN"}, {9, "F_GETOWN"}, {36, "F_OFD_GETLK"}, {37, "F_OFD_SETLK"}, {38, "F_OFD_SETLKW"},
    {1030, "F_DUPFD_CLOEXEC"}, {1031, "F_SETPIPE_SZ"}, {1032, "F_GETPIPE_SZ"}, {1033, "F_ADD_SEALS"},
    {1034, "F_GET_SEALS"}};

constexpr Set kSets[] = {
    {"open", 3, kOpenModes, kOpenBits},
    {"at", 0, {}, kAtBits},
    {"clone", 0, {}, kCloneBits},
    {"wait", 0, {}, kWaitBits},
    {"prot", 0, {}, kProtBits},
    {"map", 0, {}, kMapBits},
    {"how", ~0ull, kHowValues, {}},
    {"futex", 0x7f, kFutexOps, kFutexBits},
    {"fcntl", ~0ull, kFcntlCommands, {}},
};

constexpr const char* kSignals[] = {
    "0",       "SIGHUP",  "SIGINT",  "SIGQUIT", "SIGILL",    "SIGTRAP", "SIGABRT",   "SIGBUS",
    "SIGFPE",  "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2",   "SIGPIPE", "SIGALRM",   "SIGTERM",
    "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU",   "SIGURG",
    "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",  "SIGPWR",    "SIGSYS"};

std::string Hex(uint64_t v) {
  char text[24];
  snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(v));
  return text;
}

}  // namespace

std::string FlagsText(std::string_view set_name, uint64_t value) {
  for (const Set& set : kSets) {
    if (set_name != set.set) continue;
    std::string out;
    auto add = [&out](const std::string& text) { out += (out.empty() ? "" : "|") + text; };
    uint64_t left = value & ~set.mask;
    if (set.mask) {
      bool named = false;
      for (const Name& n : set.values) {
        if (n.value == (value & set.mask)) {
          add(n.name);
          named = true;
        }
      }
      if (!named) add(Hex(value & set.mask));
    }
    for (const Name& n : set.bits) {
      if (n.value && (left & n.value) == n.value) {
        add(n.name);
        left &= ~n.value;
      }
    }
    if (left) add(Hex(left));
    return out.empty() ? "0" : out;
  }
  return Hex(value);
}

std::string SignalName(int signo) {
  if (signo >= 0 && signo < static_cast<int>(std::size(kSignals))) return kSignals[signo];
  if (signo >= abi::kSIGRTMIN && signo <= abi::kSIGRTMAX) return "SIGRT_" + std::to_string(signo - abi::kSIGRTMIN);
  return std::to_string(signo);
}

}  // namespace moat
