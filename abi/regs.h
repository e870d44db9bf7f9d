// x86-64's registers as ptrace(2) and core dumps show them: struct user_regs_struct and the FXSAVE and XSAVE
// areas.
#pragma once

#include <stdint.h>

namespace moat::abi {

// struct user_regs_struct; on entry to a system call orig_rax holds its number, else -1.
struct UserRegs {
  uint64_t r15;
  uint64_t r14;
  uint64_t r13;
  uint64_t r12;
  uint64_t rbp;
  uint64_t rbx;
  uint64_t r11;
  uint64_t r10;
  uint64_t r9;
  uint64_t r8;
  uint64_t rax;
  uint64_t rcx;
  uint64_t rdx;
  uint64_t rsi;
  uint64_t rdi;
  uint64_t orig_rax;
  uint64_t rip;
  uint64_t cs;
  uint64_t eflags;
  uint64_t rsp;
  uint64_t ss;
  uint64_t fs_base;
  uint64_t gs_base;
  uint64_t ds;
  uint64_t es;
  uint64_t fs;
  uint64_t gs;
};
using UserRegsStruct = UserRegs;
static_assert(sizeof(UserRegs) == 27 * 8);

// Marks in bytes 464..511 of an FXSAVE area in a signal frame that an XSAVE area follows.
inline constexpr uint32_t kFP_XSTATE_MAGIC1 = 0x46505853;
inline constexpr uint32_t kFP_XSTATE_MAGIC2 = 0x46505845;
inline constexpr uint32_t kFP_XSTATE_MAGIC2_SIZE = 4;
struct FpxSwBytes {
  uint32_t magic1;
  uint32_t extended_size;
  uint64_t xfeatures;
  uint32_t xstate_size;
  uint32_t padding[7];
};
static_assert(sizeof(FpxSwBytes) == 48);

// The 64-bit FXSAVE area: struct user_fpregs_struct and struct _fpstate.
struct alignas(16) FpState {
  uint16_t cwd;
  uint16_t swd;
  uint16_t twd;
  uint16_t fop;
  uint64_t rip;
  uint64_t rdp;
  uint32_t mxcsr;
  uint32_t mxcsr_mask;
  uint32_t st_space[32];
  uint32_t xmm_space[64];
  uint32_t reserved2[12];
  FpxSwBytes sw_reserved;
};
using UserFpregs = FpState;
using UserFpregsStruct = FpState;
using Fxsave = FpState;
static_assert(sizeof(FpState) == 512);

// Follows the FXSAVE area in an XSAVE area (struct _header).
struct XstateHeader {
  uint64_t xfeatures;
  uint64_t xcomp_bv;
  uint64_t reserved[6];
};
using XsaveHeader = XstateHeader;
static_assert(sizeof(XstateHeader) == 64);

// The head of an XSAVE area; extended states follow.
struct Xstate {
  FpState fpstate;
  XstateHeader xstate_hdr;
};
static_assert(sizeof(Xstate) == 576);

// XCR0 and xfeatures bits.
inline constexpr uint64_t kXFEATURE_MASK_FP = 1 << 0;
inline constexpr uint64_t kXFEATURE_MASK_SSE = 1 << 1;
inline constexpr uint64_t kXFEATURE_MASK_YMM = 1 << 2;
inline constexpr uint64_t kXFEATURE_MASK_BNDREGS = 1 << 3;
inline constexpr uint64_t kXFEATURE_MASK_BNDCSR = 1 << 4;
inline constexpr uint64_t kXFEATURE_MASK_OPMASK = 1 << 5;
inline constexpr uint64_t kXFEATURE_MASK_ZMM_HI256 = 1 << 6;
inline constexpr uint64_t kXFEATURE_MASK_HI16_ZMM = 1 << 7;
inline constexpr uint64_t kXFEATURE_MASK_PKRU = 1 << 9;
inline constexpr uint64_t kXFEATURE_MASK_XTILE_CFG = 1 << 17;
inline constexpr uint64_t kXFEATURE_MASK_XTILE_DATA = 1 << 18;

// State after execve(2).
inline constexpr uint16_t kFCW_DEFAULT = 0x37f;
inline constexpr uint32_t kMXCSR_DEFAULT = 0x1f80;

// Bits of eflags.
inline constexpr uint64_t kX86_EFLAGS_CF = 1 << 0;
inline constexpr uint64_t kX86_EFLAGS_FIXED = 1 << 1;
inline constexpr uint64_t kX86_EFLAGS_PF = 1 << 2;
inline constexpr uint64_t kX86_EFLAGS_AF = 1 << 4;
inline constexpr uint64_t kX86_EFLAGS_ZF = 1 << 6;
inline constexpr uint64_t kX86_EFLAGS_SF = 1 << 7;
inline constexpr uint64_t kX86_EFLAGS_TF = 1 << 8;
inline constexpr uint64_t kX86_EFLAGS_IF = 1 << 9;
inline constexpr uint64_t kX86_EFLAGS_DF = 1 << 10;
inline constexpr uint64_t kX86_EFLAGS_OF = 1 << 11;
inline constexpr uint64_t kX86_EFLAGS_IOPL = 3 << 12;
inline constexpr uint64_t kX86_EFLAGS_NT = 1 << 14;
inline constexpr uint64_t kX86_EFLAGS_RF = 1 << 16;
inline constexpr uint64_t kX86_EFLAGS_VM = 1 << 17;
inline constexpr uint64_t kX86_EFLAGS_AC = 1 << 18;
inline constexpr uint64_t kX86_EFLAGS_ID = 1 << 21;
// Those that a user program may set, through ptrace(2) or sigreturn(2).
inline constexpr uint64_t kX86_EFLAGS_USER =
    kX86_EFLAGS_CF | kX86_EFLAGS_PF | kX86_EFLAGS_AF | kX86_EFLAGS_ZF | kX86_EFLAGS_SF | kX86_EFLAGS_TF |
    kX86_EFLAGS_DF | kX86_EFLAGS_OF | kX86_EFLAGS_RF | kX86_EFLAGS_AC;

// Selectors of a 64-bit user program on Linux; ds, es, fs and gs hold 0.
inline constexpr uint64_t kUSER_CS = 0x33;
inline constexpr uint64_t kUSER_DS = 0x2b;

// Exception vectors, sigcontext's trapno.
inline constexpr uint64_t kX86_TRAP_DE = 0;
inline constexpr uint64_t kX86_TRAP_DB = 1;
inline constexpr uint64_t kX86_TRAP_BP = 3;
inline constexpr uint64_t kX86_TRAP_OF = 4;
inline constexpr uint64_t kX86_TRAP_BR = 5;
inline constexpr uint64_t kX86_TRAP_UD = 6;
inline constexpr uint64_t kX86_TRAP_NM = 7;
inline constexpr uint64_t kX86_TRAP_DF = 8;
inline constexpr uint64_t kX86_TRAP_NP = 11;
inline constexpr uint64_t kX86_TRAP_SS = 12;
inline constexpr uint64_t kX86_TRAP_GP = 13;
inline constexpr uint64_t kX86_TRAP_PF = 14;
inline constexpr uint64_t kX86_TRAP_MF = 16;
inline constexpr uint64_t kX86_TRAP_AC = 17;
inline constexpr uint64_t kX86_TRAP_XF = 19;

// A page fault's error code, sigcontext's err.
inline constexpr uint64_t kX86_PF_PROT = 1 << 0;
inline constexpr uint64_t kX86_PF_WRITE = 1 << 1;
inline constexpr uint64_t kX86_PF_USER = 1 << 2;
inline constexpr uint64_t kX86_PF_RSVD = 1 << 3;
inline constexpr uint64_t kX86_PF_INSTR = 1 << 4;
inline constexpr uint64_t kX86_PF_PK = 1 << 5;

}  // namespace moat::abi
