// Linux's numbers of clone(2), clone3(2), unshare(2), setns(2) and pidfd_open(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

// clone(2) keeps the exit signal in the low byte.
inline constexpr uint64_t kCSIGNAL = 0xff;
inline constexpr uint64_t kCLONE_VM = 0x100;
inline constexpr uint64_t kCLONE_FS = 0x200;
inline constexpr uint64_t kCLONE_FILES = 0x400;
inline constexpr uint64_t kCLONE_SIGHAND = 0x800;
inline constexpr uint64_t kCLONE_PIDFD = 0x1000;
inline constexpr uint64_t kCLONE_PTRACE = 0x2000;
inline constexpr uint64_t kCLONE_VFORK = 0x4000;
inline constexpr uint64_t kCLONE_PARENT = 0x8000;
inline constexpr uint64_t kCLONE_THREAD = 0x10000;
inline constexpr uint64_t kCLONE_NEWNS = 0x20000;
inline constexpr uint64_t kCLONE_SYSVSEM = 0x40000;
inline constexpr uint64_t kCLONE_SETTLS = 0x80000;
inline constexpr uint64_t kCLONE_PARENT_SETTID = 0x100000;
inline constexpr uint64_t kCLONE_CHILD_CLEARTID = 0x200000;
inline constexpr uint64_t kCLONE_DETACHED = 0x400000;
inline constexpr uint64_t kCLONE_UNTRACED = 0x800000;
inline constexpr uint64_t kCLONE_CHILD_SETTID = 0x1000000;
inline constexpr uint64_t kCLONE_NEWCGROUP = 0x2000000;
inline constexpr uint64_t kCLONE_NEWUTS = 0x4000000;
inline constexpr uint64_t kCLONE_NEWIPC = 0x8000000;
inline constexpr uint64_t kCLONE_NEWUSER = 0x10000000;
inline constexpr uint64_t kCLONE_NEWPID = 0x20000000;
inline constexpr uint64_t kCLONE_NEWNET = 0x40000000;
inline constexpr uint64_t kCLONE_IO = 0x80000000;
inline constexpr uint64_t kCLONE_NEWTIME = 0x80;
inline constexpr uint64_t kCLONE_CLEAR_SIGHAND = 0x100000000;
inline constexpr uint64_t kCLONE_INTO_CGROUP = 0x200000000;
inline constexpr uint64_t kCLONE_ARGS_SIZE_VER0 = 64;
inline constexpr uint64_t kCLONE_ARGS_SIZE_VER1 = 80;
inline constexpr uint64_t kCLONE_ARGS_SIZE_VER2 = 88;

struct CloneArgs {
  uint64_t flags;
  uint64_t pidfd;
  uint64_t child_tid;
  uint64_t parent_tid;
  uint64_t exit_signal;
  uint64_t stack;
  uint64_t stack_size;
  uint64_t tls;
  uint64_t set_tid;
  uint64_t set_tid_size;
  uint64_t cgroup;
};
static_assert(sizeof(CloneArgs) == kCLONE_ARGS_SIZE_VER2);

// set_tid holds one pid a level of pid namespaces.
inline constexpr uint64_t kMAX_PID_NS_LEVEL = 32;
// pid_t of a 64-bit kernel stays below this.
inline constexpr int32_t kPID_MAX_LIMIT = 4 * 1024 * 1024;

// pidfd_open(2), pidfd_send_signal(2).
inline constexpr uint32_t kPIDFD_NONBLOCK = 04000;
inline constexpr uint32_t kPIDFD_THREAD = 0x80;
inline constexpr uint32_t kPIDFD_SIGNAL_THREAD = 0x1;
inline constexpr uint32_t kPIDFD_SIGNAL_THREAD_GROUP = 0x2;
inline constexpr uint32_t kPIDFD_SIGNAL_PROCESS_GROUP = 0x4;

// kcmp(2).
inline constexpr int kKCMP_FILE = 0;
inline constexpr int kKCMP_VM = 1;
inline constexpr int kKCMP_FILES = 2;
inline constexpr int kKCMP_FS = 3;
inline constexpr int kKCMP_SIGHAND = 4;
inline constexpr int kKCMP_IO = 5;
inline constexpr int kKCMP_SYSVSEM = 6;
inline constexpr int kKCMP_EPOLL_TFD = 7;

}  // namespace moat::abi
