// The signal frame on the guest's stack, and the way back from it (arch/x86/kernel/signal_64.c; the layout is ABI).
#include <array>
#include <cstring>

#include "abi/sigframe.h"
#include "base/util/check.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

namespace {

constexpr size_t kMaxXState = 16384;  // AMX included; checked against PlatformInfo at boot
constexpr uint64_t kXStateAlign = 64;

bool OnAltStack(const abi::StackT& stack, uint64_t sp) {
  return !(stack.ss_flags & static_cast<int32_t>(abi::kSS_DISABLE)) && sp > stack.ss_sp &&
         sp - stack.ss_sp <= stack.ss_size;
}

void SaveRegs(const abi::UserRegs& r, abi::SigContext& c) {
  c.r8 = r.r8; c.r9 = r.r9; c.r10 = r.r10; c.r11 = r.r11;
  c.r12 = r.r12; c.r13 = r.r13; c.r14 = r.r14; c.r15 = r.r15;
  c.rdi = r.rdi; c.rsi = r.rsi; c.rbp = r.rbp; c.rbx = r.rbx;
  c.rdx = r.rdx; c.rax = r.rax; c.rcx = r.rcx; c.rsp = r.rsp;
  c.rip = r.rip; c.eflags = r.eflags;
  c.cs = static_cast<uint16_t>(r.cs);
  c.ss = static_cast<uint16_t>(r.ss);
}

void RestoreRegs(const abi::SigContext& c, abi::UserRegs& r) {
  r.r8 = c.r8; r.r9 = c.r9; r.r10 = c.r10; r.r11 = c.r11;
  r.r12 = c.r12; r.r13 = c.r13; r.r14 = c.r14; r.r15 = c.r15;
  r.rdi = c.rdi; r.rsi = c.rsi; r.rbp = c.rbp; r.rbx = c.rbx;
  r.rdx = c.rdx; r.rax = c.rax; r.rcx = c.rcx; r.rsp = c.rsp;
  r.rip = c.rip;
  r.eflags = (r.eflags & ~abi::kX86_EFLAGS_USER) | (c.eflags & abi::kX86_EFLAGS_USER);
  // The selectors stay user selectors whatever the frame says.
  r.cs = abi::kUSER_CS;
  r.ss = abi::kUSER_DS;
}

}  // namespace

// Writes the extended state below `sp`; returns its guest address.
ErrorOr<UserAddr> Task::SaveXState(uint64_t sp) {
  std::array<std::byte, kMaxXState> buffer;
  size_t size = TRY(thread_->GetXState(std::span(buffer).first(mm_->platform_info().xsave_size)));
  if (size + abi::kFP_XSTATE_MAGIC2_SIZE > buffer.size()) return kEINVAL;
  uint64_t xfeatures = mm_->platform_info().xfeatures;
  abi::FpxSwBytes sw{};
  sw.magic1 = abi::kFP_XSTATE_MAGIC1;
  sw.extended_size = static_cast<uint32_t>(size + abi::kFP_XSTATE_MAGIC2_SIZE);
  sw.xfeatures = xfeatures;
  sw.xstate_size = static_cast<uint32_t>(size);
  memcpy(buffer.data() + offsetof(abi::FpState, sw_reserved), &sw, sizeof sw);
  memcpy(buffer.data() + size, &abi::kFP_XSTATE_MAGIC2, abi::kFP_XSTATE_MAGIC2_SIZE);
  UserAddr addr = (sp - size - abi::kFP_XSTATE_MAGIC2_SIZE) & ~(kXStateAlign - 1);
  TRY(mm_->CopyOut(addr, buffer.data(), size + abi::kFP_XSTATE_MAGIC2_SIZE));
  return addr;
}

ErrorOr<void> Task::SetUpFrame(const abi::SigInfo& info, const abi::Sigaction& action) {
  abi::UserRegs regs = GetRegs();
  uint64_t sp = regs.rsp - abi::kRED_ZONE_SIZE;
  bool on_alt = OnAltStack(alt_stack, regs.rsp);
  if ((action.sa_flags & abi::kSA_ONSTACK) && !on_alt &&
      !(alt_stack.ss_flags & static_cast<int32_t>(abi::kSS_DISABLE))) {
    sp = alt_stack.ss_sp + alt_stack.ss_size;
    on_alt = true;
  } else if (on_alt && sp < alt_stack.ss_sp) {
    return kEFAULT;  // the alternate stack overflowed
  }
  UserAddr xstate = TRY(SaveXState(sp));
  UserAddr frame_addr = ((xstate - sizeof(abi::RtSigFrame)) & ~uint64_t{15}) - 8;
  if (on_alt && frame_addr < alt_stack.ss_sp) return kEFAULT;

  abi::RtSigFrame frame{};
  frame.pretcode = action.sa_restorer;
  frame.uc.uc_flags = abi::kUC_FP_XSTATE | abi::kUC_SIGCONTEXT_SS | abi::kUC_STRICT_RESTORE_SS;
  frame.uc.uc_stack = alt_stack;
  SaveRegs(regs, frame.uc.uc_mcontext);
  if (trap_.kind == TrapKind::kException) {
    frame.uc.uc_mcontext.err = trap_.error_code;
    frame.uc.uc_mcontext.trapno = trap_.trap_no;
    frame.uc.uc_mcontext.cr2 = trap_.addr;
  }
  abi::SigSet old_mask = work_.load(std::memory_order_relaxed) & kWorkRestoreMask ? saved_mask_ : blocked();
  frame.uc.uc_mcontext.oldmask = old_mask;
  frame.uc.uc_sigmask = old_mask;
  frame.uc.uc_mcontext.fpstate = xstate;
  frame.info = info;
  TRY(mm_->Write(frame_addr, frame));
  if (!(action.sa_flags & abi::kSA_RESTORER)) return kEFAULT;  // x86-64 has no other way back

  if (alt_stack.ss_flags & static_cast<int32_t>(abi::kSS_AUTODISARM)) {
    alt_stack = {};
    alt_stack.ss_flags = static_cast<int32_t>(abi::kSS_DISABLE);
  }
  TRY(ResetXState());
  regs.rdi = static_cast<uint64_t>(info.si_signo);
  regs.rsi = frame_addr + offsetof(abi::RtSigFrame, info);
  regs.rdx = frame_addr + offsetof(abi::RtSigFrame, uc);
  regs.rax = 0;
  regs.rsp = frame_addr;
  regs.rip = action.sa_handler;
  regs.cs = abi::kUSER_CS;
  regs.ss = abi::kUSER_DS;
  regs.eflags &= ~(abi::kX86_EFLAGS_DF | abi::kX86_EFLAGS_RF | abi::kX86_EFLAGS_TF);
  SetRegs(regs);
  return {};
}

// A handler starts with the FP state of a fresh program.
ErrorOr<void> Task::ResetXState() {
  std::array<std::byte, kMaxXState> buffer;
  std::span<std::byte> state = std::span(buffer).first(mm_->platform_info().xsave_size);
  memset(state.data(), 0, state.size());  // no xfeatures: every component at its initial value
  memcpy(state.data() + offsetof(abi::FpState, cwd), &abi::kFCW_DEFAULT, sizeof abi::kFCW_DEFAULT);
  memcpy(state.data() + offsetof(abi::FpState, mxcsr), &abi::kMXCSR_DEFAULT, sizeof abi::kMXCSR_DEFAULT);
  return thread_->SetXState(state);
}

ErrorOr<void> Task::LoadXState(UserAddr addr) {
  if (addr == 0) return {};
  std::array<std::byte, kMaxXState> buffer;
  size_t size = TRY(thread_->GetXState(std::span(buffer).first(mm_->platform_info().xsave_size)));
  abi::FpState legacy;
  TRY(mm_->CopyIn(addr, &legacy, sizeof legacy));
  const abi::FpxSwBytes& sw = legacy.sw_reserved;
  bool extended = sw.magic1 == abi::kFP_XSTATE_MAGIC1 && sw.xstate_size <= size && sw.xstate_size >= sizeof(abi::Xstate);
  if (extended) {
    TRY(mm_->CopyIn(addr, buffer.data(), sw.xstate_size));
    abi::XstateHeader header;
    memcpy(&header, buffer.data() + sizeof(abi::FpState), sizeof header);
    header.xfeatures &= mm_->platform_info().xfeatures;
    header.xcomp_bv = 0;
    memset(header.reserved, 0, sizeof header.reserved);
    memcpy(buffer.data() + sizeof(abi::FpState), &header, sizeof header);
  } else {
    memcpy(buffer.data(), &legacy, offsetof(abi::FpState, sw_reserved));
  }
  // Reserved MXCSR bits would fault in XRSTOR.
  uint32_t mxcsr;
  memcpy(&mxcsr, buffer.data() + offsetof(abi::FpState, mxcsr), sizeof mxcsr);
  mxcsr &= 0xFFBF | 0x40;
  memcpy(buffer.data() + offsetof(abi::FpState, mxcsr), &mxcsr, sizeof mxcsr);
  return thread_->SetXState(std::span(buffer).first(size));
}

// rt_sigreturn(2). A frame that cannot be read kills with SIGSEGV.
ErrorOr<uint64_t> Task::SignalReturn() {
  abi::UserRegs regs = GetRegs();
  UserAddr frame_addr = regs.rsp - 8;  // the handler's ret popped pretcode
  ErrorOr<abi::RtSigFrame> frame = mm_->Read<abi::RtSigFrame>(frame_addr);
  trap_.kind = TrapKind::kInterrupted;  // the registers are whole: no result, no restart
  trap_.nr = -1;
  if (!frame.ok() || !LoadXState(frame->uc.uc_mcontext.fpstate).ok()) {
    ForceSignal(MakeSigInfo(abi::kSIGSEGV, abi::kSI_KERNEL));
    return uint64_t{0};
  }
  SetBlocked(frame->uc.uc_sigmask);
  RestoreRegs(frame->uc.uc_mcontext, regs);
  SetRegs(regs);
  abi::StackT stack = frame->uc.uc_stack;
  if (!OnAltStack(alt_stack, regs.rsp)) alt_stack = stack;
  return uint64_t{0};
}

}  // namespace moat
