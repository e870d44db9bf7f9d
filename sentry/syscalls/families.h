// The families of the system call table; each is defined in its sys_*.cc.
#pragma once

#include "sentry/syscalls/table.h"

namespace moat {

extern const SyscallFamily kFileIoCalls;      // sys_rw.cc: read write pread ... lseek, splice family in sys_splice.cc
extern const SyscallFamily kSpliceCalls;      // sys_splice.cc
extern const SyscallFamily kOpenCalls;        // sys_open.cc: open close dup fcntl ioctl
extern const SyscallFamily kStatCalls;        // sys_stat.cc: stat access statfs
extern const SyscallFamily kDirCalls;         // sys_dir.cc: mkdir link rename chdir getdents ...
extern const SyscallFamily kAttrCalls;        // sys_attr.cc: chmod chown utimes truncate xattr
extern const SyscallFamily kMountCalls;       // sys_mount.cc
extern const SyscallFamily kPollCalls;        // sys_poll.cc: poll select epoll
extern const SyscallFamily kEventCalls;       // sys_event.cc: pipe eventfd timerfd signalfd inotify memfd
extern const SyscallFamily kSocketCalls;      // sys_socket.cc
extern const SyscallFamily kMemoryCalls;      // sys_mmap.cc
extern const SyscallFamily kFutexCalls;       // sys_futex.cc
extern const SyscallFamily kProcessCalls;     // sys_clone.cc: clone exec exit wait
extern const SyscallFamily kPtraceCalls;      // sys_ptrace.cc
extern const SyscallFamily kIdentityCalls;    // sys_identity.cc: pids, groups, sessions, uids, capabilities, prctl
extern const SyscallFamily kPrctlCalls;       // sys_prctl.cc
extern const SyscallFamily kSignalCalls;      // sys_signal.cc
extern const SyscallFamily kTimeCalls;        // sys_time.cc
extern const SyscallFamily kScheduleCalls;    // sys_sched.cc: affinity, priorities, rlimits, rusage
extern const SyscallFamily kIpcCalls;         // sys_ipc.cc: SysV shm, sem, msg
extern const SyscallFamily kMqueueCalls;      // sys_mqueue.cc: POSIX message queues
extern const SyscallFamily kSystemCalls;      // sys_system.cc: uname sysinfo getrandom ...
extern const SyscallFamily kRefusedCalls;     // sys_refused.cc

}  // namespace moat
