// Whether a faulting instruction wrote: what the page fault's error code would say, which the host does not tell a tracer.
#pragma once

#include <cstdint>
#include <span>

#include "abi/regs.h"

namespace moat::ptrace {

// `code` starts at the instruction that faulted at `addr` with `regs` (15 bytes suffice). False when it reads only, or is not
// known. Programs use the answer as a hint (a garbage collector's barrier, a debugger's message).
bool WritesMemory(std::span<const uint8_t> code, uint64_t addr, const abi::UserRegs& regs);

}  // namespace moat::ptrace
