// x86-64's system call numbers.
#pragma once

namespace moat::abi {

// kNr_openat and so on.
enum Nr : int {
#define MOAT_SYSCALL(nr, name) kNr_##name = nr,
#include "abi/syscall_nr.inc"
#undef MOAT_SYSCALL
};

// One above the highest number in the table. The numbers from 335 to 423 have no call.
inline constexpr int kNrSyscalls = 463;

// Set in the number of a call of the x32 ABI, which Moat refuses as a kernel without x32 does.
inline constexpr int kX32_SYSCALL_BIT = 0x40000000;

}  // namespace moat::abi
