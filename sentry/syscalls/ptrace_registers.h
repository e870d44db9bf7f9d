// The requests of ptrace(2) on a tracee's registers.
#pragma once

#include <cstdint>

#include "base/kern/user_memory.h"
#include "base/util/error.h"

namespace moat {

class Task;

// GETREGS, SETREGS, GETFPREGS, SETFPREGS, GETREGSET, SETREGSET, PEEKUSER and POKEUSER; kEIO for all others, kESRCH if `pid` is
// not a stopped tracee of `t`.
ErrorOr<uint64_t> PtraceRegisters(Task& t, int64_t request, int pid, uint64_t addr, uint64_t data);

}  // namespace moat
