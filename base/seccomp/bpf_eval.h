// Runs a seccomp program on a made-up call, more strictly than the kernel: what the kernel would take as 0 is an error here.
#pragma once

#include <span>

#include "abi/seccomp.h"
#include "base/util/error.h"

namespace moat::seccomp {

// The action that `program` returns for `call`. kEFAULT for a load or jump out of range, or a program without an end; kENODATA
// for the use of a register or memory word that was never set; kEINVAL for an instruction that seccomp(2) does not know; kEDOM
// for a division by zero or a shift by more than 31.
ErrorOr<uint32_t> Evaluate(std::span<const abi::SockFilter> program, const abi::SeccompData& call);

}  // namespace moat::seccomp
