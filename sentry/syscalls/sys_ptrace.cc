// ptrace(2): its requests. What tracees and tracers are is sentry/kernel/ptrace.h.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "abi/capability.h"
#include "abi/ptrace.h"
#include "abi/signal.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/ptrace_registers.h"

namespace moat {
namespace {

bool ValidSignal(uint64_t signo) { return signo <= static_cast<uint64_t>(abi::kNSIG); }  // 0: none

// --- Becoming a tracee. ---

// Who PTRACE_TRACEME makes the tracer: the thread that forked the caller, or another of its process once that ended.
Task* ParentTask(ThreadGroup& group) {
  if (!group.parent || group.parent->tasks.empty()) return nullptr;
  for (Task& t : group.parent->tasks) {
    if (&t == group.parent_task.get()) return &t;
  }
  return &*group.parent->tasks.begin();
}

ErrorOr<uint64_t> TraceMe(Task& t) {
  MutexLock lock(t.kernel().tasks_lock);
  Task* parent = ParentTask(t.group());
  if (TracedBy(t) || !parent) return kEPERM;
  Ref<const Credentials> its = parent->creds_ref();
  if ((t.creds().permitted & ~its->permitted) && !its->Has(abi::kCAP_SYS_PTRACE)) return kEPERM;
  Tracing::Of(t).Link(*parent, false, 0);
  return uint64_t{0};
}

// PTRACE_O_SUSPEND_SECCOMP is for checkpointing, which a kernel can be built without.
bool ValidOptions(uint64_t options) {
  return !(options & ~(abi::kPTRACE_O_MASK & ~abi::kPTRACE_O_SUSPEND_SECCOMP));
}

ErrorOr<uint64_t> Attach(Task& t, int pid, bool seize, uint64_t addr, uint64_t options) {
  if (seize && (addr || (options & ~abi::kPTRACE_O_MASK))) return kEIO;
  if (seize && !ValidOptions(options)) return kEINVAL;
  Ref<Task> target;  // dropped after the lock
  MutexLock lock(t.kernel().tasks_lock);
  target = Ref<Task>(t.kernel().FindTask(pid));
  if (!target) return kESRCH;
  if (&target->group() == &t.group() || !MayTrace(t, *target)) return kEPERM;
  if (target->dead() || TracedBy(*target)) return kEPERM;
  Tracing& its = Tracing::Of(*target);
  its.Link(t, seize, seize ? options : 0);
  if (!seize) target->SendSignal(MakeSigInfo(abi::kSIGSTOP, abi::kSI_KERNEL));
  its.StopAgain();
  return uint64_t{0};
}

// --- Going on. ---

ErrorOr<TraceResume> HowToResume(int64_t request, uint64_t signo) {
  if (!ValidSignal(signo)) return kEIO;
  TraceResume how{.signo = static_cast<int>(signo)};
  switch (request) {
    case abi::kPTRACE_CONT: break;
    case abi::kPTRACE_SYSCALL: how.syscalls = true; break;
    case abi::kPTRACE_SINGLESTEP: how.step = true; break;
    case abi::kPTRACE_SYSEMU: how.emulate = true; break;
    case abi::kPTRACE_SYSEMU_SINGLESTEP: how.emulate = how.step = true; break;
    default: return kEIO;
  }
  return how;
}

ErrorOr<uint64_t> Resume(Task& t, int64_t request, int pid, uint64_t signo) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  tracee->Resume(TRY(HowToResume(request, signo)));
  return uint64_t{0};
}

ErrorOr<uint64_t> Detach(Task& t, int pid, uint64_t signo) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  if (!ValidSignal(signo)) return kEIO;
  tracee->Unlink(static_cast<int>(signo));
  return uint64_t{0};
}

ErrorOr<uint64_t> Interrupt(Task& t, int pid) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid, true));
  TRY(tracee->Interrupt());
  return uint64_t{0};
}

ErrorOr<uint64_t> Listen(Task& t, int pid) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  TRY(tracee->Listen());
  return uint64_t{0};
}

ErrorOr<uint64_t> Kill(Task& t, int pid) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid, true));
  tracee->task().group().SendSignal(MakeSigInfo(abi::kSIGKILL, abi::kSI_USER));
  return uint64_t{0};
}

// --- Memory. ---

ErrorOr<Ref<MemoryManager>> MemoryOf(Task& t, int pid) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  return tracee->task().mm_ref();
}

ErrorOr<uint64_t> Peek(Task& t, int pid, UserAddr addr, UserAddr out) {
  Ref<MemoryManager> mm = TRY(MemoryOf(t, pid));
  uint64_t word = 0;
  ErrorOr<size_t> done = mm->ForceCopyIn(addr, std::as_writable_bytes(std::span(&word, 1)));
  if (!done.ok() || *done != sizeof word) return kEIO;
  TRY(t.mm().Write(out, word));
  return uint64_t{0};
}

ErrorOr<uint64_t> Poke(Task& t, int pid, UserAddr addr, uint64_t word) {
  Ref<MemoryManager> mm = TRY(MemoryOf(t, pid));
  ErrorOr<size_t> done = mm->ForceCopyOut(addr, std::as_bytes(std::span(&word, 1)));
  if (!done.ok() || *done != sizeof word) return kEIO;
  return uint64_t{0};
}

// --- Signals. ---

ErrorOr<abi::SigInfo> InfoOf(Task& t, int pid) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  if (!tracee->info()) return kEINVAL;
  return *tracee->info();
}

ErrorOr<uint64_t> GetSigInfo(Task& t, int pid, UserAddr out) {
  abi::SigInfo info = TRY(InfoOf(t, pid));
  TRY(t.mm().Write(out, info));
  return uint64_t{0};
}

ErrorOr<uint64_t> SetSigInfo(Task& t, int pid, UserAddr in) {
  abi::SigInfo info = TRY(t.mm().Read<abi::SigInfo>(in));
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  if (!tracee->info()) return kEINVAL;
  *tracee->info() = info;
  return uint64_t{0};
}

// Queued signals from number `off` on, at most `nr`.
ErrorOr<std::vector<abi::SigInfo>> QueuedOf(Task& t, int pid, const abi::PtracePeeksiginfoArgs& args) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  ThreadGroup& group = tracee->task().group();
  MutexLock signal(group.signal_lock);
  const auto& queue = (args.flags & abi::kPTRACE_PEEKSIGINFO_SHARED ? group.shared_pending : tracee->task().pending()).queue();
  const uint64_t from = std::min<uint64_t>(args.off, queue.size());
  const uint64_t count = std::min<uint64_t>(static_cast<uint64_t>(args.nr), queue.size() - from);
  auto first = queue.begin() + static_cast<ptrdiff_t>(from);
  return std::vector<abi::SigInfo>(first, first + static_cast<ptrdiff_t>(count));
}

ErrorOr<uint64_t> PeekSigInfo(Task& t, int pid, UserAddr args_addr, UserAddr out) {
  auto args = TRY(t.mm().Read<abi::PtracePeeksiginfoArgs>(args_addr));
  if ((args.flags & ~abi::kPTRACE_PEEKSIGINFO_SHARED) || args.nr < 0) return kEINVAL;
  std::vector<abi::SigInfo> queued = TRY(QueuedOf(t, pid, args));
  uint64_t done = 0;
  for (const abi::SigInfo& info : queued) {
    ErrorOr<void> put = t.mm().Write(out + done * sizeof info, info);
    if (!put.ok()) return done ? ErrorOr<uint64_t>(done) : put.error();
    ++done;
  }
  return done;
}

ErrorOr<abi::SigSet> MaskOf(Task& t, int pid) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  return tracee->mask();
}

ErrorOr<uint64_t> GetSigMask(Task& t, int pid, uint64_t size, UserAddr out) {
  abi::SigSet mask = TRY(MaskOf(t, pid));
  if (size != sizeof mask) return kEINVAL;
  TRY(t.mm().Write(out, mask));
  return uint64_t{0};
}

ErrorOr<uint64_t> SetSigMask(Task& t, int pid, uint64_t size, UserAddr in) {
  TRY(MaskOf(t, pid));
  if (size != sizeof(abi::SigSet)) return kEINVAL;
  abi::SigSet mask = TRY(t.mm().Read<abi::SigSet>(in));
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  tracee->set_mask(mask);
  return uint64_t{0};
}

// --- What happened. ---

ErrorOr<uint64_t> SetOptions(Task& t, int pid, uint64_t options) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  if (!ValidOptions(options)) return kEINVAL;
  tracee->set_options(options);
  return uint64_t{0};
}

ErrorOr<uint64_t> MessageOf(Task& t, int pid) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  return tracee->message();
}

ErrorOr<uint64_t> GetEventMessage(Task& t, int pid, UserAddr out) {
  uint64_t message = TRY(MessageOf(t, pid));
  TRY(t.mm().Write(out, message));
  return uint64_t{0};
}

// The kind shows only with PTRACE_O_TRACESYSGOOD: else a stop of a call looks like a signal's.
uint8_t KindOf(Tracing& tracee) {
  constexpr int kSyscallStop = abi::kSIGTRAP | 0x80;
  if (!tracee.info() || tracee.info()->si_code != kSyscallStop) return abi::kPTRACE_SYSCALL_INFO_NONE;
  return tracee.message() == abi::kPTRACE_EVENTMSG_SYSCALL_ENTRY ? abi::kPTRACE_SYSCALL_INFO_ENTRY
                                                                 : abi::kPTRACE_SYSCALL_INFO_EXIT;
}

// `size`: of the part of the struct that has a meaning for its kind.
ErrorOr<abi::PtraceSyscallInfo> DescribeSyscall(Task& t, int pid, size_t* size) {
  constexpr int64_t kMaxErrno = 4095;
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  const abi::UserRegs regs = tracee->task().GetRegs();
  abi::PtraceSyscallInfo info{};
  info.op = KindOf(*tracee);
  info.arch = kAuditArchX86_64;
  info.instruction_pointer = regs.rip;
  info.stack_pointer = regs.rsp;
  *size = offsetof(abi::PtraceSyscallInfo, entry);
  if (info.op == abi::kPTRACE_SYSCALL_INFO_ENTRY) {
    info.arch = tracee->call_arch();
    info.entry.nr = static_cast<uint64_t>(tracee->call());
    const uint64_t args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
    std::copy(args, args + 6, info.entry.args);
    *size = offsetof(abi::PtraceSyscallInfo, entry.args) + sizeof info.entry.args;
  } else if (info.op == abi::kPTRACE_SYSCALL_INFO_EXIT) {
    info.exit.rval = static_cast<int64_t>(regs.rax);
    info.exit.is_error = info.exit.rval < 0 && info.exit.rval >= -kMaxErrno;
    *size = offsetof(abi::PtraceSyscallInfo, exit.is_error) + sizeof info.exit.is_error;
  }
  return info;
}

ErrorOr<uint64_t> GetSyscallInfo(Task& t, int pid, uint64_t size, UserAddr out) {
  size_t used = 0;
  abi::PtraceSyscallInfo info = TRY(DescribeSyscall(t, pid, &used));
  TRY(t.mm().CopyOut(out, &info, std::min<uint64_t>(size, used)));
  return uint64_t{used};
}

ErrorOr<abi::PtraceRseqConfiguration> RseqOf(Task& t, int pid) {
  MutexLock lock(t.kernel().tasks_lock);
  Tracing* tracee = TRY(Tracing::Find(t, pid));
  const Task& task = tracee->task();
  return abi::PtraceRseqConfiguration{
      .rseq_abi_pointer = task.rseq_area, .rseq_abi_size = task.rseq_length, .signature = task.rseq_signature};
}

ErrorOr<uint64_t> GetRseq(Task& t, int pid, uint64_t size, UserAddr out) {
  abi::PtraceRseqConfiguration rseq = TRY(RseqOf(t, pid));
  TRY(t.mm().CopyOut(out, &rseq, std::min<uint64_t>(size, sizeof rseq)));
  return uint64_t{sizeof rseq};
}

// --- All of them. ---

ErrorOr<uint64_t> SysPtrace(Task& t, int64_t request, int pid, uint64_t addr, uint64_t data) {
  switch (request) {
    case abi::kPTRACE_TRACEME: return TraceMe(t);
    case abi::kPTRACE_ATTACH: return Attach(t, pid, false, addr, data);
    case abi::kPTRACE_SEIZE: return Attach(t, pid, true, addr, data);
    case abi::kPTRACE_CONT: case abi::kPTRACE_SYSCALL: case abi::kPTRACE_SINGLESTEP: case abi::kPTRACE_SYSEMU:
    case abi::kPTRACE_SYSEMU_SINGLESTEP:
      return Resume(t, request, pid, data);
    case abi::kPTRACE_DETACH: return Detach(t, pid, data);
    case abi::kPTRACE_INTERRUPT: return Interrupt(t, pid);
    case abi::kPTRACE_LISTEN: return Listen(t, pid);
    case abi::kPTRACE_KILL: return Kill(t, pid);
    case abi::kPTRACE_PEEKTEXT: case abi::kPTRACE_PEEKDATA: return Peek(t, pid, addr, data);
    case abi::kPTRACE_POKETEXT: case abi::kPTRACE_POKEDATA: return Poke(t, pid, addr, data);
    case abi::kPTRACE_GETSIGINFO: return GetSigInfo(t, pid, data);
    case abi::kPTRACE_SETSIGINFO: return SetSigInfo(t, pid, data);
    case abi::kPTRACE_PEEKSIGINFO: return PeekSigInfo(t, pid, addr, data);
    case abi::kPTRACE_GETSIGMASK: return GetSigMask(t, pid, addr, data);
    case abi::kPTRACE_SETSIGMASK: return SetSigMask(t, pid, addr, data);
    case abi::kPTRACE_SETOPTIONS: case abi::kPTRACE_OLDSETOPTIONS: return SetOptions(t, pid, data);
    case abi::kPTRACE_GETEVENTMSG: return GetEventMessage(t, pid, data);
    case abi::kPTRACE_GET_SYSCALL_INFO: return GetSyscallInfo(t, pid, addr, data);
    case abi::kPTRACE_GET_RSEQ_CONFIGURATION: return GetRseq(t, pid, addr, data);
    default: break;
  }
  TRY(MessageOf(t, pid));  // kESRCH comes first
  return PtraceRegisters(t, request, pid, addr, data);
}

constexpr SyscallRow kRows[] = {
    CALL_PARTIAL(ptrace, SysPtrace, "int pid ptr hex",
                 "no hardware breakpoints (ENOSPC), block steps (EIO) and PTRACE_O_SUSPEND_SECCOMP (EINVAL)"),
};

}  // namespace

const SyscallFamily kPtraceCalls = {"tracing", kRows};

}  // namespace moat
