// x86-64's signal frame as the kernel builds it on the user's stack and rt_sigreturn(2) reads it.
#pragma once

#include <stdint.h>

#include "abi/regs.h"
#include "abi/signal.h"

namespace moat::abi {

// struct sigcontext. fpstate is the guest address of an FpState, or 0.
struct SigContext {
  uint64_t r8;
  uint64_t r9;
  uint64_t r10;
  uint64_t r11;
  uint64_t r12;
  uint64_t r13;
  uint64_t r14;
  uint64_t r15;
  uint64_t rdi;
  uint64_t rsi;
  uint64_t rbp;
  uint64_t rbx;
  uint64_t rdx;
  uint64_t rax;
  uint64_t rcx;
  uint64_t rsp;
  uint64_t rip;
  uint64_t eflags;
  uint16_t cs;
  uint16_t gs;
  uint16_t fs;
  uint16_t ss;
  uint64_t err;
  uint64_t trapno;
  uint64_t oldmask;
  uint64_t cr2;
  uint64_t fpstate;
  uint64_t reserved1[8];
};
using Sigcontext = SigContext;
static_assert(sizeof(SigContext) == 256);

// uc_flags.
inline constexpr uint64_t kUC_FP_XSTATE = 0x1;
inline constexpr uint64_t kUC_SIGCONTEXT_SS = 0x2;
inline constexpr uint64_t kUC_STRICT_RESTORE_SS = 0x4;

struct UContext {
  uint64_t uc_flags;
  uint64_t uc_link;
  StackT uc_stack;
  SigContext uc_mcontext;
  SigSet uc_sigmask;
};
using Ucontext = UContext;
static_assert(sizeof(UContext) == 304);

// What rsp points to on entry to a handler. The FP state lies above it, at uc.uc_mcontext.fpstate.
struct RtSigFrame {
  uint64_t pretcode;
  UContext uc;
  SigInfo info;
};
using RtSigframe = RtSigFrame;
static_assert(sizeof(RtSigFrame) == 440);

// Bytes below rsp that belong to the interrupted function.
inline constexpr uint64_t kRED_ZONE_SIZE = 128;

}  // namespace moat::abi
