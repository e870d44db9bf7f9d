#include "platform/ptrace/trap_decode.h"

#include "abi/ptrace.h"
#include "abi/syscall_nr.h"
#include "base/host/process.h"

namespace moat::ptrace {
namespace {

constexpr uint64_t kVsyscallPage = 0xffffffffff600000;
constexpr int kSysSeccomp = 1;   // si_code
constexpr int kSiKernel = 0x80;  // si_code
constexpr int kSegvMaperr = 1, kSegvAccerr = 2, kSegvPkuerr = 4;
constexpr int kBusAdraln = 1;
constexpr int kFpeIntdiv = 1, kFpeIntovf = 2;

uint32_t SegvTrapNo(int code) {
  bool page_fault = code == kSegvMaperr || code == kSegvAccerr || code == kSegvPkuerr;
  return page_fault ? abi::kX86_TRAP_PF : abi::kX86_TRAP_GP;
}

uint32_t TrapNo(const abi::SigInfo& info) {
  switch (info.si_signo) {
    case abi::kSIGSEGV: return SegvTrapNo(info.si_code);
    case abi::kSIGBUS: return info.si_code == kBusAdraln ? abi::kX86_TRAP_AC : abi::kX86_TRAP_PF;
    case abi::kSIGFPE:
      return info.si_code == kFpeIntdiv || info.si_code == kFpeIntovf ? abi::kX86_TRAP_DE : abi::kX86_TRAP_XF;
    case abi::kSIGILL: return abi::kX86_TRAP_UD;
    default: return info.si_code == kSiKernel ? abi::kX86_TRAP_BP : abi::kX86_TRAP_DB;
  }
}

// What a page fault's error code must have been as far as it shows: always user mode, "present" for a protection fault, and an
// instruction fetch when the fault is at the instruction pointer. Whether it wrote is filled in by whoever can read the
// instruction.
uint32_t PageFaultError(const abi::SigInfo& info, const abi::UserRegs& regs) {
  uint32_t error = abi::kX86_PF_USER;
  if (info.si_signo == abi::kSIGSEGV && info.si_code != kSegvMaperr) error |= abi::kX86_PF_PROT;
  if (info.si_code == kSegvPkuerr) error |= abi::kX86_PF_PK;
  if (info.si_addr == regs.rip) error |= abi::kX86_PF_INSTR;
  return error;
}

}  // namespace

std::optional<Trap> DecodeSyscallStop(int tid) {
  abi::PtraceSyscallInfo info{};
  auto got = host::Ptrace(abi::kPTRACE_GET_SYSCALL_INFO, tid, sizeof info, reinterpret_cast<uint64_t>(&info));
  if (!got.ok() || info.op != abi::kPTRACE_SYSCALL_INFO_ENTRY) return std::nullopt;
  Trap trap{};
  trap.kind = TrapKind::kSyscall;
  trap.arch = info.arch;
  trap.nr = static_cast<int64_t>(info.entry.nr);
  for (int i = 0; i < 6; ++i) trap.args[i] = info.entry.args[i];
  trap.ip = info.instruction_pointer;
  trap.sp = info.stack_pointer;
  return trap;
}

std::optional<Trap> DecodeFault(const abi::SigInfo& info, const abi::UserRegs& regs) {
  if (info.si_code <= 0) return std::nullopt;
  switch (info.si_signo) {
    case abi::kSIGSEGV: case abi::kSIGBUS: case abi::kSIGFPE: case abi::kSIGILL: case abi::kSIGTRAP: break;
    default: return std::nullopt;
  }
  Trap trap{};
  trap.kind = TrapKind::kException;
  trap.signo = info.si_signo;
  trap.code = info.si_code;
  // si_addr is not set for int3 and #GP; the union holds zero then.
  trap.addr = info.si_addr;
  trap.ip = regs.rip;
  trap.sp = regs.rsp;
  trap.trap_no = TrapNo(info);
  if (trap.trap_no == abi::kX86_TRAP_PF) trap.error_code = PageFaultError(info, regs);
  return trap;
}

std::optional<Trap> DecodeVsyscall(const abi::SigInfo& info, const abi::UserRegs& regs) {
  if (info.si_signo != abi::kSIGSYS || info.si_code != kSysSeccomp) return std::nullopt;
  uint64_t offset = info.si_call_addr - kVsyscallPage;
  int64_t nr = offset == 0 ? abi::kNr_gettimeofday : offset == 0x400 ? abi::kNr_time : offset == 0x800 ? abi::kNr_getcpu : -1;
  if (nr < 0) return std::nullopt;
  Trap trap{};
  trap.kind = TrapKind::kSyscall;
  trap.arch = kAuditArchX86_64;
  trap.nr = nr;
  const uint64_t args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
  for (int i = 0; i < 6; ++i) trap.args[i] = args[i];
  trap.ip = regs.rip;
  trap.sp = regs.rsp;
  return trap;
}

}  // namespace moat::ptrace
