#include "sentry/syscalls/ptrace_registers.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "abi/elf.h"
#include "abi/mman.h"
#include "abi/ptrace.h"
#include "abi/regs.h"
#include "abi/uio.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/ptrace.h"

namespace moat {
namespace {

using Bytes = std::vector<std::byte>;

constexpr size_t kWord = sizeof(uint64_t);

// struct user as the kernel has it (two words longer than <sys/user.h>'s): the registers come first, the debug registers last.
constexpr uint64_t kUserSize = 928;
constexpr uint64_t kDebugRegs = 848, kDebugRegsEnd = kDebugRegs + 8 * kWord;
constexpr int kFirstStatusReg = 6;  // DR6 and DR7; those before hold addresses

// Of the FXSAVE area, which the software's own bytes end.
constexpr size_t kFpSize = sizeof(abi::FpState);
constexpr size_t kFpHardwareSize = offsetof(abi::FpState, sw_reserved);
constexpr uint32_t kDefaultMxcsrMask = 0xffbf;

// --- General registers. ---

ErrorOr<abi::UserRegs> LoadRegs(Task& t, int pid) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  abi::UserRegs regs = tracee->task().GetRegs();
  regs.orig_rax = static_cast<uint64_t>(tracee->call());
  return regs;
}

bool ValidSelector(uint64_t selector, bool may_be_null) {
  constexpr uint64_t kUserPrivilege = 3;
  selector &= 0xffff;
  return selector == 0 ? may_be_null : (selector & kUserPrivilege) == kUserPrivilege;
}

// What putreg() of Linux refuses.
bool Acceptable(const abi::UserRegs& r) {
  return ValidSelector(r.cs, false) && ValidSelector(r.ss, false) && ValidSelector(r.ds, true) && ValidSelector(r.es, true) &&
         ValidSelector(r.fs, true) && ValidSelector(r.gs, true) && r.fs_base < abi::kTASK_SIZE && r.gs_base < abi::kTASK_SIZE;
}

ErrorOr<void> StoreRegs(Task& t, int pid, abi::UserRegs regs) {
  constexpr uint64_t kFlags = abi::kX86_EFLAGS_USER | abi::kX86_EFLAGS_NT;
  if (!Acceptable(regs)) return kEIO;
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  regs.eflags = (tracee->task().GetRegs().eflags & ~kFlags) | (regs.eflags & kFlags);
  tracee->task().SetRegs(regs);
  tracee->set_call(static_cast<int64_t>(regs.orig_rax));
  return {};
}

// --- Extended state, as XSAVE's standard format. ---

ErrorOr<Bytes> LoadXState(Task& t, int pid) {
  Bytes area(t.kernel().platform().info().xsave_size);
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  area.resize(TRY(tracee->task().thread().GetXState(area)));
  return area;
}

ErrorOr<void> StoreXState(Task& t, int pid, const Bytes& area) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  return tracee->task().thread().SetXState(area);
}

ErrorOr<Bytes> LoadFp(Task& t, int pid) {
  Bytes area = TRY(LoadXState(t, pid));
  area.resize(kFpSize);
  std::fill(area.begin() + kFpHardwareSize, area.end(), std::byte{0});
  return area;
}

ErrorOr<void> StoreFp(Task& t, int pid, const Bytes& fp) {
  if (fp.size() != kFpSize) return kEINVAL;
  Bytes area = TRY(LoadXState(t, pid));
  abi::Xstate head;
  memcpy(&head, area.data(), sizeof head);
  const uint32_t mask = head.fpstate.mxcsr_mask ? head.fpstate.mxcsr_mask : kDefaultMxcsrMask;
  memcpy(&head, fp.data(), kFpHardwareSize);
  if (head.fpstate.mxcsr & ~mask) return kEINVAL;
  head.xstate_hdr.xfeatures |= abi::kXFEATURE_MASK_FP | abi::kXFEATURE_MASK_SSE;
  memcpy(area.data(), &head, sizeof head);
  return StoreXState(t, pid, area);
}

// --- Sets of registers. ---

ErrorOr<Bytes> LoadSet(Task& t, int pid, uint64_t type) {
  switch (type) {
    case abi::kNT_PRSTATUS: {
      abi::UserRegs regs = TRY(LoadRegs(t, pid));
      Bytes out(sizeof regs);
      memcpy(out.data(), &regs, sizeof regs);
      return out;
    }
    case abi::kNT_PRFPREG: return LoadFp(t, pid);
    case abi::kNT_X86_XSTATE: return LoadXState(t, pid);
    default: return kEINVAL;
  }
}

ErrorOr<void> StoreSet(Task& t, int pid, uint64_t type, const Bytes& in) {
  switch (type) {
    case abi::kNT_PRSTATUS: {
      abi::UserRegs regs = TRY(LoadRegs(t, pid));
      memcpy(&regs, in.data(), std::min(in.size(), sizeof regs));
      return StoreRegs(t, pid, regs);
    }
    case abi::kNT_PRFPREG: return StoreFp(t, pid, in);
    case abi::kNT_X86_XSTATE:
      if (in.size() != t.kernel().platform().info().xsave_size) return kEFAULT;
      return StoreXState(t, pid, in);
    default: return kEINVAL;
  }
}

ErrorOr<void> GetSet(Task& t, int pid, uint64_t type, UserAddr out) {
  Bytes set = TRY(LoadSet(t, pid, type));
  return t.mm().CopyOut(out, set.data(), set.size());
}

ErrorOr<void> PutSet(Task& t, int pid, uint64_t type, size_t size, UserAddr in) {
  Bytes set(size);
  TRY(t.mm().CopyIn(in, set.data(), set.size()));
  return StoreSet(t, pid, type, set);
}

// With a buffer of the caller's size, and the size that was used in return.
ErrorOr<void> RegSet(Task& t, int pid, uint64_t type, UserAddr iov_addr, bool store) {
  abi::Iovec iov = TRY(t.mm().Read<abi::Iovec>(iov_addr));
  Bytes set = TRY(LoadSet(t, pid, type));
  if (iov.iov_len % kWord) return kEINVAL;
  iov.iov_len = std::min<uint64_t>(iov.iov_len, set.size());
  if (store) TRY(PutSet(t, pid, type, iov.iov_len, iov.iov_base));
  else TRY(t.mm().CopyOut(iov.iov_base, set.data(), iov.iov_len));
  return t.mm().Write(iov_addr, iov);
}

// --- struct user. ---

ErrorOr<void> PeekUser(Task& t, int pid, uint64_t offset, UserAddr out) {
  abi::UserRegs regs = TRY(LoadRegs(t, pid));
  if (offset % kWord || offset >= kUserSize) return kEIO;
  uint64_t value = 0;  // also of the debug registers: nothing is ever armed
  if (offset < sizeof regs) memcpy(&value, reinterpret_cast<const char*>(&regs) + offset, sizeof value);
  return t.mm().Write(out, value);
}

// There are no breakpoint registers to hand out: what would use one is refused as if others had taken them all.
ErrorOr<void> PokeDebugReg(int index, uint64_t value) {
  if (index == 4 || index == 5) return kEIO;
  if (value != 0 && index != kFirstStatusReg) return kENOSPC;
  return {};
}

ErrorOr<void> PokeUser(Task& t, int pid, uint64_t offset, uint64_t value) {
  abi::UserRegs regs = TRY(LoadRegs(t, pid));
  if (offset % kWord || offset >= kUserSize) return kEIO;
  if (offset >= kDebugRegs && offset < kDebugRegsEnd) return PokeDebugReg(static_cast<int>((offset - kDebugRegs) / kWord), value);
  if (offset >= sizeof regs) return kEIO;
  memcpy(reinterpret_cast<char*>(&regs) + offset, &value, sizeof value);
  return StoreRegs(t, pid, regs);
}

ErrorOr<void> Do(Task& t, int64_t request, int pid, uint64_t addr, uint64_t data) {
  switch (request) {
    case abi::kPTRACE_PEEKUSER: return PeekUser(t, pid, addr, data);
    case abi::kPTRACE_POKEUSER: return PokeUser(t, pid, addr, data);
    case abi::kPTRACE_GETREGS: return GetSet(t, pid, abi::kNT_PRSTATUS, data);
    case abi::kPTRACE_SETREGS: return PutSet(t, pid, abi::kNT_PRSTATUS, sizeof(abi::UserRegs), data);
    case abi::kPTRACE_GETFPREGS: return GetSet(t, pid, abi::kNT_PRFPREG, data);
    case abi::kPTRACE_SETFPREGS: return PutSet(t, pid, abi::kNT_PRFPREG, kFpSize, data);
    case abi::kPTRACE_GETREGSET: return RegSet(t, pid, addr, data, false);
    case abi::kPTRACE_SETREGSET: return RegSet(t, pid, addr, data, true);
    default: return kEIO;
  }
}

}  // namespace

ErrorOr<uint64_t> PtraceRegisters(Task& t, int64_t request, int pid, uint64_t addr, uint64_t data) {
  TRY(Do(t, request, pid, addr, data));
  return uint64_t{0};
}

}  // namespace moat
