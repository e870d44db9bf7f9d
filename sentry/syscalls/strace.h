// Shows system calls as strace(1) does, from the table's own formats.
#pragma once

#include <cstdint>

#include "abi/signal.h"
#include "base/util/error.h"

namespace moat {

class Task;
struct SyscallRow;

// Writes to `fd` from now on (before the first task runs); -1: off.
void EnableStrace(int fd);
bool StraceEnabled();

// Runs `row` (null: ENOSYS) and writes one line.
ErrorOr<uint64_t> StraceCall(Task& t, const SyscallRow* row, int64_t nr, const uint64_t* args);
// A signal is about to be delivered.
void StraceSignal(Task& t, const abi::SigInfo& info);
// A task ends with this wait status.
void StraceExit(Task& t, int status);

}  // namespace moat
