// Making tasks and replacing their programs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/util/error.h"
#include "base/kern/user_memory.h"
#include "fs/vfs/dentry.h"

namespace moat {

class Task;

// clone3(2)'s arguments.
struct CloneRequest {
  uint64_t flags = 0;  // CLONE_*, without the exit signal
  UserAddr pidfd = 0, child_tid = 0, parent_tid = 0;
  int exit_signal = 0;
  UserAddr stack = 0;
  uint64_t stack_size = 0;
  uint64_t tls = 0;
  int wanted_pid = 0;  // clone3's set_tid; 0: any
};

// A child of `parent`, running; returns its tid. EINVAL for the flag combinations that clone(2) forbids, EPERM for new
// namespaces, EAGAIN at a limit, ENOMEM.
ErrorOr<uint64_t> CloneTask(Task& parent, const CloneRequest& request);

// RLIMIT_NPROC of the caller's user (EAGAIN).
ErrorOr<void> CheckProcessLimit(Task& parent);

// execve(2) after path resolution: replaces the task's program. On success the task's registers are the new program's, every
// other thread of the group is gone. On failure nothing changed (or the task is being killed: kERESTARTSYS).
struct ExecRequest {
  Path file;
  std::string filename;
  std::vector<std::string> argv, envp;
  bool fd_path_cloexec = false;
};
ErrorOr<uint64_t> ExecTask(Task& task, const ExecRequest& request);

}  // namespace moat
