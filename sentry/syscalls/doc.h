// docs/SYSCALLS.md, written from the table.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "sentry/syscalls/table.h"

namespace moat {

struct SyscallName {
  int nr;
  std::string_view name;
};
// Every system call that Linux has a number for (abi/syscall_nr.inc), by number.
std::span<const SyscallName> AllSyscallNames();

// The page, in Markdown.
std::string SyscallDoc();

}  // namespace moat
