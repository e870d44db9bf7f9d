// Where tracees stop, in their own handlers.
#include "abi/poll.h"
#include "abi/signal.h"
#include "abi/wait.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

namespace {

constexpr int kEventShift = 8;
constexpr int kSysGood = 0x80;

bool IsEventStop(const abi::SigInfo* info) { return info && info->si_code >> kEventShift == abi::kPTRACE_EVENT_STOP; }

}  // namespace

// --- Stopping. ---

void Tracing::Ask(AskedBits bit) {
  asked_.fetch_or(bit, std::memory_order_acq_rel);
  task_.AddWork(kWorkTrap);
  task_.Wake();  // out of PTRACE_LISTEN and of job control's stop
}

void Tracing::ForgetAsked(uint32_t bits) {
  if (!(asked_.fetch_and(~bits, std::memory_order_acq_rel) & ~bits)) task_.ClearWork(kWorkTrap);
}

void Tracing::NoteJobControl() {
  if (traced() && seized()) Ask(kTrapNotify);
}

void Tracing::EnterStop(int code, uint64_t message, abi::SigInfo* info) {
  in_stop_ = true;
  listening_ = resumed_ = false;
  resume_signo_.reset();
  exit_code_ = code;
  message_ = message;
  info_ = info;
  MutexLock signal(task_.group().signal_lock);
  ForgetAsked(kTrapStop | (IsEventStop(info) ? kTrapNotify : 0u));
}

bool Tracing::MayLeave() {
  MutexLock lock(task_.kernel().tasks_lock);
  return resumed_ || !tracer_ || (listening_ && asked_.load(std::memory_order_acquire));
}

std::optional<int> Tracing::Stop(int code, int why, uint64_t message, abi::SigInfo* info) {
  Kernel& kernel = task_.kernel();
  {
    MutexLock lock(kernel.tasks_lock);
    if (!tracer_ || task_.killed()) return std::nullopt;
    EnterStop(code, message, info);
    NotifyTracerOfStop(why);
  }
  while (!task_.killed() && !MayLeave()) (void)task_.BlockKillable();
  MutexLock lock(kernel.tasks_lock);
  in_stop_ = listening_ = false;
  exit_code_ = 0;
  info_ = nullptr;
  return std::exchange(resume_signo_, std::nullopt);
}

std::optional<int> Tracing::StopWith(int signo, int code, int why, uint64_t message) {
  abi::SigInfo info = MakeSigInfo(signo, code);
  info.si_pid = task_.tid();
  info.si_uid = task_.creds().uid;
  return Stop(code, why, message, &info);
}

void Tracing::NotifyTracerOfStop(int why) {
  ThreadGroup& to = tracer_->group();
  bool send = false;
  {
    MutexLock signal(to.signal_lock);
    const abi::Sigaction& action = to.actions->of(abi::kSIGCHLD);
    send = action.sa_handler != abi::kSIG_IGN && !(action.sa_flags & abi::kSA_NOCLDSTOP);
  }
  if (send) {
    abi::SigInfo info = MakeSigInfo(abi::kSIGCHLD, why);
    info.si_pid = task_.tid();
    info.si_uid = task_.creds().uid;
    info.si_status = exit_code_ & 0x7f;
    to.SendSignal(info);
  }
  to.child_events.Wake(abi::kPOLLIN);
}

// --- Reasons to stop. ---

int Tracing::OnSignal(abi::SigInfo& info) {
  const int sent = info.si_signo;
  std::optional<int> signo = Stop(sent, abi::kCLD_TRAPPED, 0, &info);
  if (!signo) {
    info.si_signo = sent;  // PTRACE_SETSIGINFO takes any number
    return sent;
  }
  if (*signo == 0) return 0;
  if (*signo != info.si_signo) {
    info = MakeSigInfo(*signo, abi::kSI_USER);
    MutexLock lock(task_.kernel().tasks_lock);
    if (tracer_) {
      info.si_pid = tracer_->tgid();
      info.si_uid = tracer_->creds_ref()->uid;
    }
  }
  if (*signo == abi::kSIGKILL) {
    task_.group().SendSignal(info);
    return 0;
  }
  if (task_.blocked() & abi::SigMask(*signo)) {
    task_.SendSignal(info);
    return 0;
  }
  return *signo;
}

void Tracing::JobStop() {
  int signo = 0;
  bool stopping = false;
  {
    MutexLock signal(task_.group().signal_lock);
    stopping = task_.group().stopping;
    signo = task_.group().stop_signal;
  }
  if (!seized()) {
    Stop(signo ? signo : abi::kSIGSTOP, abi::kCLD_STOPPED, 0, nullptr);
    return;
  }
  if (!stopping) signo = abi::kSIGTRAP;
  StopWith(signo, signo | abi::kPTRACE_EVENT_STOP << kEventShift, abi::kCLD_STOPPED, 0);
}

// A signal that the tracer resumes a system call's stop with is sent like any other.
void Tracing::SyscallStop(uint64_t message) {
  int code = abi::kSIGTRAP | (OptionOn(abi::kPTRACE_O_TRACESYSGOOD) ? kSysGood : 0);
  std::optional<int> signo = StopWith(abi::kSIGTRAP, code, abi::kCLD_TRAPPED, message);
  if (signo && *signo > 0 && *signo <= abi::kNSIG) task_.SendSignal(MakeSigInfo(*signo, abi::kSI_KERNEL));
}

bool Tracing::OnSyscallEntry() {
  const uint32_t mode = mode_.load(std::memory_order_relaxed);
  if (!(mode & (kSyscalls | kEmulate))) return true;
  SyscallStop(abi::kPTRACE_EVENTMSG_SYSCALL_ENTRY);
  if (task_.killed() || (mode & kEmulate)) return false;
  const abi::UserRegs regs = task_.GetRegs();
  Trap& trap = task_.trap_;
  const uint64_t args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
  std::copy(args, args + 6, trap.args);
  trap.ip = regs.rip;
  trap.sp = regs.rsp;
  trap.nr = static_cast<int32_t>(trap.nr);
  return trap.nr != -1;
}

void Tracing::OnSyscallExit(std::optional<Errno>& restart) {
  const uint32_t mode = mode_.load(std::memory_order_relaxed);
  if (mode & kSyscalls) {
    ShowRestart(restart);
    SyscallStop(abi::kPTRACE_EVENTMSG_SYSCALL_EXIT);
    LearnRestart(restart);
  } else if ((mode & kStep) && !(mode & kEmulate)) {
    abi::SigInfo info = MakeSigInfo(abi::kSIGTRAP, abi::kTRAP_BRKPT);
    info.si_addr = task_.GetRegs().rip;
    task_.ForceSignal(info);
  }
}

void Tracing::Event(int event, uint64_t message) {
  if (!OptionOn(uint64_t{1} << event)) return;
  StopWith(abi::kSIGTRAP, abi::kSIGTRAP | event << kEventShift, abi::kCLD_TRAPPED, message);
}

// Without the option an old-style tracer gets a signal once the call is over.
void Tracing::OnExec(int old_tid) {
  if (OptionOn(abi::kPTRACE_O_TRACEEXEC)) return Event(abi::kPTRACE_EVENT_EXEC, static_cast<uint64_t>(old_tid));
  if (seized()) return;
  abi::SigInfo info = MakeSigInfo(abi::kSIGTRAP, abi::kSI_USER);
  info.si_pid = task_.tgid();
  info.si_uid = task_.creds().uid;
  task_.SendSignal(info);
}

// Also the killed stop here; what ends this stop is a further SIGKILL.
void Tracing::OnExit(int status) {
  if (!OptionOn(abi::kPTRACE_O_TRACEEXIT)) return;
  task_.ClearWork(kWorkKill);
  Event(abi::kPTRACE_EVENT_EXIT, static_cast<uint64_t>(status));
}

void Tracing::OnSignalFrame() {
  if (stepping()) StopWith(abi::kSIGTRAP, abi::kSIGTRAP, abi::kCLD_TRAPPED, 0);
}

// --- Restarts. ---

void Tracing::ShowRestart(const std::optional<Errno>& restart) {
  if (restart) task_.thread_->SetResult(static_cast<uint64_t>(ToSyscallReturn(*restart)));
}

void Tracing::LearnRestart(std::optional<Errno>& restart) {
  restart.reset();
  if (call() == -1) return;
  const int64_t rax = static_cast<int64_t>(task_.GetRegs().rax);
  for (Errno code : {kERESTARTSYS, kERESTARTNOINTR, kERESTARTNOHAND, kERESTART_RESTARTBLOCK}) {
    if (rax == ToSyscallReturn(code)) restart = code;
  }
  if (restart) task_.thread_->SetResult(static_cast<uint64_t>(ToSyscallReturn(kEINTR)));
}

}  // namespace moat
