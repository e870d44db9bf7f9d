#include "platform/ptrace/host_thread.h"

#include <algorithm>
#include <cstddef>

#include "abi/mman.h"
#include "abi/ptrace.h"
#include "abi/rseq.h"
#include "abi/signal.h"
#include "abi/syscall_nr.h"
#include "abi/uio.h"
#include "abi/wait.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "base/util/check.h"
#include "base/util/log.h"
#include "platform/ptrace/express.h"
#include "platform/ptrace/tracer.h"

namespace moat::ptrace {
namespace {

constexpr int64_t kWatchdogNs = 5'000'000'000;
// Faults in a routine that touches no guest memory come from a bad rseq area, once a context switch; a stub that has more of
// them is not worth saving.
constexpr int kMaxStrayFaults = 16;
constexpr uint64_t kNtX86Xstate = 0x202;
// The errors by which Linux would restart a system call on its own. The guest never gets them from us.
constexpr int64_t kLowestRestart = -516, kHighestRestart = -512;

template <class T>
uint64_t Pointer(T* p) { return reinterpret_cast<uint64_t>(p); }

uint64_t UserSelector(uint64_t selector, uint64_t otherwise) {
  selector &= 0xffff;
  return (selector & 3) == 3 ? selector : otherwise;
}

uint64_t UserBase(uint64_t base) { return base < abi::kTASK_SIZE ? base : 0; }

// PTRACE_SETREGS refuses some values that GETREGS returns or a guest's signal frame may hold. orig_rax: the host must not think
// that it is restarting a call.
abi::UserRegs Acceptable(abi::UserRegs r) {
  r.orig_rax = ~uint64_t{0};
  r.cs = UserSelector(r.cs, abi::kUSER_CS);
  r.ss = UserSelector(r.ss, abi::kUSER_DS);
  r.ds = UserSelector(r.ds, 0);
  r.es = UserSelector(r.es, 0);
  r.fs = UserSelector(r.fs, 0);
  r.gs = UserSelector(r.gs, 0);
  r.fs_base = UserBase(r.fs_base);
  r.gs_base = UserBase(r.gs_base);
  return r;
}

bool GetRegs(int tid, abi::UserRegs& regs) { return host::Ptrace(abi::kPTRACE_GETREGS, tid, 0, Pointer(&regs)).ok(); }
void PutRegs(int tid, const abi::UserRegs& regs) {
  abi::UserRegs fit = Acceptable(regs);
  (void)host::Ptrace(abi::kPTRACE_SETREGS, tid, 0, Pointer(&fit));
}

bool ReadGuest(int tgid, uint64_t addr, void* out, size_t size) {
  abi::Iovec local{reinterpret_cast<uint64_t>(out), size};
  abi::Iovec remote{addr, size};
  ErrorOr<size_t> got = host::ProcessVmReadv(tgid, &local, 1, &remote, 1);
  return got.ok() && *got == size;
}

}  // namespace

const abi::UserRegs& HostThread::Regs() {
  Settle();
  touched_ = true;
  if (!have_regs_) {
    if (!GetRegs(tid_, regs_)) regs_ = {};  // dead: it will not run again
    have_regs_ = true;
    if (express != nullptr && express->Normalize(regs_, false)) regs_dirty_ = true;
    if (result_dirty_) {
      regs_.rax = result_;
      result_dirty_ = false;
      regs_dirty_ = true;
    }
  }
  return regs_;
}

void HostThread::SetRegs(const abi::UserRegs& regs) {
  Settle();
  touched_ = true;
  regs_ = regs;
  have_regs_ = regs_dirty_ = true;
  result_dirty_ = false;
}

void HostThread::SetResult(uint64_t rax) {
  int64_t value = static_cast<int64_t>(rax);
  if (value >= kLowestRestart && value <= kHighestRestart) (void)Regs();
  if (have_regs_) {
    regs_.rax = rax;
    regs_dirty_ = true;
  } else {
    result_ = rax;
    result_dirty_ = true;
  }
}

void HostThread::FlushRegs() {
  if (regs_dirty_) {
    PutRegs(tid_, regs_);
  } else if (result_dirty_) {
    (void)host::Ptrace(abi::kPTRACE_POKEUSER, tid_, offsetof(abi::UserRegs, rax), result_);
  }
  have_regs_ = regs_dirty_ = result_dirty_ = false;
}

void HostThread::Resume(StepMode mode) {
  DCHECK(stopped());
  if (mode == StepMode::kRun && taken()) {
    express->page()->Answer(result_dirty_ ? result_ : static_cast<uint64_t>(ToSyscallReturn(kENOSYS)));
    result_dirty_ = false;
    return SetState(State::kRunning);
  }
  Settle();
  if (!stopped()) return;  // it died at that
  FlushRegs();
  mode_ = mode;
  SetState(State::kRunning);
  int request = mode == StepMode::kSingleStep ? abi::kPTRACE_SYSEMU_SINGLESTEP : abi::kPTRACE_SYSEMU;
  (void)host::Ptrace(request, tid_, 0, 0);
}

void HostThread::SetState(State state) {
  if (state_ == State::kRunning) tracer_.NoteRunning(-1);
  if (state == State::kRunning) tracer_.NoteRunning(1);
  state_ = state;
}

void HostThread::NoteStop(bool in_syscall) {
  const bool was_taken = taken();
  SetState(State::kStopped);
  in_syscall_ = in_syscall;
  touched_ = on_path_ = false;
  if (was_taken) FinishTaken();
}

void HostThread::NoteEnd(int status) {
  SetState(State::kDead);
  wait_status_ = status;
}

void HostThread::NoteTaken() {
  SetState(State::kTaken);
  in_syscall_ = true;
  touched_ = false;
}

// It waits on the page, or does what it likes if it is hostile: wherever it is, its call was made.
void HostThread::Settle() {
  if (!taken()) return;
  (void)host::Ptrace(abi::kPTRACE_INTERRUPT, tid_, 0, 0);
  ErrorOr<int> status = tracer_.Await(tid_, host::NowMonotonicNs() + kWatchdogNs);
  if (!status.ok()) return Overdue();
  if (!abi::WaitIfStopped(*status)) return NoteEnd(*status);
  NoteStop(true);
}

void HostThread::FinishTaken() {
  in_syscall_ = touched_ = true;
  if (GetRegs(tid_, regs_)) {
    (void)express->Normalize(regs_, true);
    have_regs_ = regs_dirty_ = true;
    if (result_dirty_) regs_.rax = result_;
  }
  result_dirty_ = false;
  express->page()->Release();
}

std::optional<Trap> HostThread::FaultedCall() {
  if (have_regs_ || !GetRegs(tid_, regs_)) return std::nullopt;
  std::optional<Trap> call = express->FaultedCall(regs_);
  have_regs_ = regs_dirty_ = in_syscall_ = call.has_value();
  return call;
}

// A command in the middle of a restartable sequence hides from the host that the guest is in one: it would see the stub's
// instruction pointer and forget the sequence. So the guest is sent to the abort handler as a preemption would.
void HostThread::AbortRseq() {
  uint64_t sequence = 0;
  abi::RseqCs cs;
  uint32_t signature = 0;
  if (!ReadGuest(tgid_, rseq_area + offsetof(abi::Rseq, rseq_cs), &sequence, sizeof sequence) || sequence == 0) return;
  if (!ReadGuest(tgid_, sequence, &cs, sizeof cs) || Regs().rip - cs.start_ip >= cs.post_commit_offset) return;
  if (!ReadGuest(tgid_, cs.abort_ip - sizeof signature, &signature, sizeof signature)) return;
  if (signature != abi::kRSEQ_SIG) return;
  regs_.rip = cs.abort_ip;
  regs_dirty_ = true;
}

void HostThread::StartRoutine(StubEntry entry, const StubArgs& args) {
  Settle();
  if (rseq_area != 0 && !in_syscall_) AbortRseq();
  abi::UserRegs r = Regs();  // segment bases are the guest's
  regs_dirty_ = true;
  r.rax = args.rax;
  r.rdi = args.rdi;
  r.rsi = args.rsi;
  r.rdx = args.rdx;
  r.r10 = args.r10;
  r.r8 = args.r8;
  r.r9 = args.r9;
  r.r12 = args.r12;
  r.r13 = args.r13;
  r.r14 = args.r14;
  r.r15 = args.r15;
  r.rbx = args.rbx;
  r.rbp = args.rbp;
  r.cs = abi::kUSER_CS;
  r.ss = abi::kUSER_DS;
  r.eflags = abi::kX86_EFLAGS_FIXED | abi::kX86_EFLAGS_IF;
  r.rip = tracer_.layout().Address(entry);
  PutRegs(tid_, r);
}

ErrorOr<uint64_t> HostThread::Call(StubEntry entry, const StubArgs& args) {
  Settle();
  if (!stopped()) return kESRCH;
  StartRoutine(entry, args);
  return Finish(entry);
}

ErrorOr<uint64_t> HostThread::Finish(StubEntry entry) {
  const int64_t deadline_ns = host::NowMonotonicNs() + kWatchdogNs;
  int stray_faults = 0;
  for (;;) {
    (void)host::Ptrace(abi::kPTRACE_CONT, tid_, 0, 0);
    ErrorOr<int> status = tracer_.Await(tid_, deadline_ns);
    if (!status.ok()) {
      Overdue();
      return kESRCH;
    }
    if (!abi::WaitIfStopped(*status)) {
      NoteEnd(*status);
      return kESRCH;
    }
    uint64_t rax = 0;
    switch (OnRoutineStop(entry, *status, &rax)) {
      case Progress::kContinue: break;
      case Progress::kFault:
        if (MayFault(entry)) return kEFAULT;
        if (++stray_faults > kMaxStrayFaults) (void)host::Kill(tgid_, abi::kSIGKILL);
        break;
      case Progress::kDone: {
        int64_t result = static_cast<int64_t>(rax);
        if (!MayFault(entry) && result < 0 && result >= -4095) return Errno{static_cast<uint16_t>(-result)};
        return rax;
      }
    }
  }
}

HostThread::Progress HostThread::OnRoutineStop(StubEntry entry, int status, uint64_t* rax) {
  int event = abi::WaitPtraceEvent(status);
  if (event == abi::kPTRACE_EVENT_FORK || event == abi::kPTRACE_EVENT_CLONE || event == abi::kPTRACE_EVENT_VFORK) {
    uint64_t child = 0;
    (void)host::Ptrace(abi::kPTRACE_GETEVENTMSG, tid_, 0, Pointer(&child));
    new_child_ = static_cast<int>(child);
    return Progress::kContinue;
  }
  if (event != 0) return Progress::kContinue;  // a late PTRACE_INTERRUPT
  int signo = abi::WaitStopSig(status);
  if (signo == abi::kSIGSEGV || signo == abi::kSIGBUS) return Progress::kFault;
  abi::UserRegs regs;
  if (signo != abi::kSIGTRAP || !GetRegs(tid_, regs) || !tracer_.layout().IsEnd(regs.rip)) return Progress::kContinue;
  *rax = regs.rax;
  return Progress::kDone;
}

void HostThread::Overdue() {
  LOG(kWarning, "ptrace: stub %d does not answer and is killed", tgid_);
  (void)host::Kill(tgid_, abi::kSIGKILL);
  SetState(State::kRunning);  // the main loop sees its end
}

ErrorOr<uint64_t> HostThread::Syscall(int nr, std::span<const uint64_t> args) {
  uint64_t a[6] = {};
  CHECK(args.size() <= 6);
  std::copy(args.begin(), args.end(), a);
  StubArgs regs{.rax = static_cast<uint64_t>(nr), .rdi = a[0], .rsi = a[1], .rdx = a[2], .r10 = a[3], .r8 = a[4], .r9 = a[5]};
  return Call(StubEntry::kSyscall, regs);
}

ErrorOr<int> HostThread::Clone(uint64_t flags) {
  new_child_ = 0;
  const uint64_t args[] = {flags};
  ErrorOr<uint64_t> made = Syscall(abi::kNr_clone, args);
  int child = new_child_;
  if (child == 0) return made.ok() ? kESRCH : made.error();
  ErrorOr<int> status = tracer_.Await(child, host::NowMonotonicNs() + kWatchdogNs);
  if (!status.ok() || !abi::WaitIfStopped(*status)) {
    (void)host::Kill(child, abi::kSIGKILL);
    return kESRCH;
  }
  return child;
}

void HostThread::StartExit() {
  StartRoutine(StubEntry::kSyscall, {.rax = abi::kNr_exit});
  have_regs_ = regs_dirty_ = false;
  SetState(State::kRunning);
  (void)host::Ptrace(abi::kPTRACE_CONT, tid_, 0, 0);
}

ErrorOr<size_t> HostThread::GetXState(std::span<std::byte> out) {
  Settle();
  touched_ = true;
  abi::Iovec iov{Pointer(out.data()), out.size()};
  TRY(host::Ptrace(abi::kPTRACE_GETREGSET, tid_, kNtX86Xstate, Pointer(&iov)));
  return iov.iov_len;
}

ErrorOr<void> HostThread::SetXState(std::span<const std::byte> in) {
  Settle();
  touched_ = true;
  abi::Iovec iov{Pointer(in.data()), in.size()};
  TRY(host::Ptrace(abi::kPTRACE_SETREGSET, tid_, kNtX86Xstate, Pointer(&iov)));
  return {};
}

}  // namespace moat::ptrace
