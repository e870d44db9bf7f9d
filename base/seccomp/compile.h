// Rows to a classic BPF program, as seccomp(2) wants it.
#pragma once

#include <vector>

#include "base/seccomp/rule.h"
#include "base/util/error.h"

namespace moat::seccomp {

// The program checks the architecture first, then x32, then the calls in the order of their first row. A call without
// conditions depends on its number alone, so that the kernel's own cache answers it without running the program.
// kEINVAL for a row that can never be met (index above 5, value outside of its mask, empty range); kE2BIG if it does not fit.
ErrorOr<std::vector<abi::SockFilter>> CompileFilter(const Filter& filter);

}  // namespace moat::seccomp
