// wait4(2) and waitid(2): children, and tracees of ptrace(2). Rows are in sys_clone.cc.
#pragma once

#include <cstdint>

#include "base/kern/user_memory.h"
#include "base/util/error.h"

namespace moat {

class Task;

ErrorOr<uint64_t> SysWait4(Task& t, int pid, UserAddr status, int options, UserAddr rusage);
ErrorOr<uint64_t> SysWaitid(Task& t, int type, int id, UserAddr info_addr, int options, UserAddr rusage);

}  // namespace moat
