// Rows and programs as text: for golden files, so that a change of a list is seen in review.
#pragma once

#include <span>
#include <string>

#include "base/seccomp/rule.h"

namespace moat::seccomp {

// One line a row: call(conditions) action; call site; reason; gain.
std::string DumpRules(const Filter& filter);
// One line an instruction, with the names of fields and calls.
std::string DumpProgram(std::span<const abi::SockFilter> program);
// "ALLOW", "ERRNO(38)", "KILL_PROCESS", ...
std::string ActionName(uint32_t action);

}  // namespace moat::seccomp
