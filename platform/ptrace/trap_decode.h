// From a ptrace stop to a Trap.
#pragma once

#include <cstdint>
#include <optional>

#include "abi/regs.h"
#include "abi/signal.h"
#include "platform/platform.h"

namespace moat::ptrace {

// The trap of a system call stop of stopped thread `tid`; nothing if it died meanwhile.
std::optional<Trap> DecodeSyscallStop(int tid);

// The trap of a signal that the host's kernel raised for what the guest did; nothing for a signal that somebody sent.
// `trap_no` and `error_code` are inferred: the host does not tell a tracer.
std::optional<Trap> DecodeFault(const abi::SigInfo& info, const abi::UserRegs& regs);

// A call through the vsyscall page, seen as the SIGSYS of the stub's filter. The kernel has already returned from it: `regs`
// are the caller's.
std::optional<Trap> DecodeVsyscall(const abi::SigInfo& info, const abi::UserRegs& regs);

}  // namespace moat::ptrace
