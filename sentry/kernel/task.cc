// What a task is, sleeping, and the way from a trap to a handler and back. Signals, clone, exec and exit have their own files.
#include "sentry/kernel/task.h"

#include "base/host/time.h"
#include "base/util/check.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/ipc/semaphore.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/table.h"

namespace moat {

Task::Task(Kernel& kernel, int tid, Ref<ThreadGroup> group)
    : kernel_(kernel), tid_(tid), group_(std::move(group)) {
  alt_stack.ss_flags = static_cast<int32_t>(abi::kSS_DISABLE);
  start_time_ns = host::NowMonotonicNs();
}

Task::~Task() { delete tracing(); }

int Task::tgid() const { return group_->tgid(); }
Task* Task::Current() {
  Fiber* fiber = Fiber::Current();
  return fiber ? static_cast<Task*>(fiber->actor) : nullptr;
}
bool Task::is_leader() const { return group_->leader == this; }

// --- From a trap to a handler and back. ---

Verdict Task::OnTrap(const Trap& trap) {
  trap_ = trap;
  trapped_ = thread_.get();
  outcome_ = Outcome::kPending;
  inline_ = true;
  Ref<Task> self(this);
  Executor::Get().Run([this] { HandleTrap(); });
  inline_ = false;
  return outcome_ == Outcome::kResume ? Verdict::kResume : Verdict::kParked;
}

Ref<FdTable> Task::fds_ref() const { return fds_.Load(); }
Ref<FsContext> Task::fs_ref() const { return fs_.Load(); }

// Runs on a fiber. Ends with the task back in guest mode or gone.
void Task::HandleTrap() {
  Ref<Task> self(this);
  fiber_ = Fiber::Current();
  fiber_->actor = this;
  state_.store(State::kHandler, std::memory_order_release);
  if (trap_.kind != TrapKind::kSyscall) trap_.nr = -1;
  switch (trap_.kind) {
    case TrapKind::kSyscall: HandleSyscall(); break;
    case TrapKind::kException: HandleException(); break;
    case TrapKind::kInterrupted: DoWork(std::nullopt); break;
    case TrapKind::kDied: {
      // The host took the process away (out of memory): as the OOM killer's SIGKILL.
      group_->ExitAll(abi::kSIGKILL);
      Exit(abi::kSIGKILL);
      break;
    }
  }
  fiber_->actor = nullptr;
  fiber_ = nullptr;
  if (state_.load(std::memory_order_relaxed) == State::kDead) {
    outcome_ = Outcome::kGone;
    return;
  }
  state_.store(State::kGuest, std::memory_order_release);
  // Work that came in after the last look must not be lost: the platform's Interrupt is sticky.
  if (work_.load(std::memory_order_acquire) & kInterrupting) thread_->Interrupt();
  if (tracing() && tracing()->stepping()) [[unlikely]] {
    outcome_ = Outcome::kGone;
    thread_->ResumeSingleStep();
  } else if (inline_ && trapped_ == thread_.get()) {
    outcome_ = Outcome::kResume;
  } else {
    outcome_ = Outcome::kGone;
    thread_->Resume();
  }
}

namespace {

bool IsRestart(Errno e) {
  uint16_t number = static_cast<uint16_t>(e);
  return number >= static_cast<uint16_t>(kERESTARTSYS) && number <= static_cast<uint16_t>(kERESTART_RESTARTBLOCK);
}

}  // namespace

void Task::HandleSyscall() {
  constexpr int64_t kX32Bit = 0x40000000;
  ErrorOr<uint64_t> r = kENOSYS;
  trap_.nr = static_cast<int32_t>(trap_.nr);  // the upper half of rax does not count
  const bool skip = TracedBy(*this) && !tracing()->OnSyscallEntry();  // then the registers are what the tracer left
  if (!skip && trap_.arch == kAuditArchX86_64 && !(trap_.nr & kX32Bit)) r = DispatchSyscall(*this, trap_.nr, trap_.args);
  if (state_.load(std::memory_order_relaxed) == State::kDead) return;
  std::optional<Errno> restart;
  if (!skip && r.ok()) {
    // exec and rt_sigreturn set every register themselves and leave kSyscall behind them.
    if (trap_.kind == TrapKind::kSyscall) thread_->SetResult(*r);
  } else if (!skip) {
    if (IsRestart(r.error())) restart = r.error();
    thread_->SetResult(static_cast<uint64_t>(ToSyscallReturn(restart ? kEINTR : r.error())));
  }
  if (Tracing* traced = TracedBy(*this)) [[unlikely]] traced->OnSyscallExit(restart);
  if (restart || work_.load(std::memory_order_acquire)) [[unlikely]] DoWork(restart);
}

void Task::HandleException() {
  if (trap_.signo == abi::kSIGSEGV && mm_->HandleFault(trap_.addr)) {
    if (work_.load(std::memory_order_acquire)) DoWork(std::nullopt);
    return;
  }
  abi::SigInfo info = MakeSigInfo(trap_.signo, trap_.code);
  info.si_addr = trap_.addr;
  ForceSignal(info);
  DoWork(std::nullopt);
}

abi::UserRegs Task::GetRegs() { return thread_->regs(); }
void Task::SetRegs(const abi::UserRegs& regs) { thread_->SetRegs(regs); }

void Task::Start() {
  state_.store(State::kGuest, std::memory_order_release);
  if (work_.load(std::memory_order_acquire)) thread_->Interrupt();
  thread_->Resume();
}

// --- Sleeping. ---

ErrorOr<void> Task::Block(int64_t deadline_ns) {
  if (interrupted()) return kERESTARTSYS;
  TRY(Sleep(State::kBlocked, deadline_ns));
  return {};
}

ErrorOr<void> Task::BlockKillable() {
  if (killed()) return kERESTARTSYS;
  return Sleep(State::kBlockedKillable, kForever);
}

// `woken_` is the token: a Wake between the caller's check and the park makes the park return at once.
ErrorOr<void> Task::Sleep(State state, int64_t deadline_ns) {
  DCHECK(Fiber::Current() == fiber_ && fiber_);
  bool timed_out = false;
  std::optional<Timer> timer;
  if (deadline_ns != kForever) {
    if (host::NowMonotonicNs() >= deadline_ns) return kETIMEDOUT;
    timer.emplace([this, &timed_out] {
      timed_out = true;
      Wake();
    });
    timer->Arm(deadline_ns);
  }
  voluntary_switches.fetch_add(1, std::memory_order_relaxed);
  state_.store(state, std::memory_order_seq_cst);
  auto must_leave = [&] { return state == State::kBlocked ? interrupted() : killed(); };
  while (!woken_.exchange(false, std::memory_order_acq_rel) && !must_leave()) Fiber::Park();
  state_.store(State::kHandler, std::memory_order_release);
  if (timed_out) return kETIMEDOUT;
  if (must_leave()) return kERESTARTSYS;
  return {};
}

void Task::Wake() {
  woken_.store(true, std::memory_order_release);
  State s = state_.load(std::memory_order_seq_cst);
  if (s == State::kBlocked || s == State::kBlockedKillable) fiber_->Unpark();
}

void Task::AddWork(uint32_t bits) {
  uint32_t old = work_.fetch_or(bits, std::memory_order_seq_cst);
  if ((old & bits) == bits) return;
  switch (state_.load(std::memory_order_seq_cst)) {
    case State::kGuest:
      thread_->Interrupt();
      break;
    case State::kBlocked:
      fiber_->Unpark();
      break;
    case State::kBlockedKillable:
      if (bits & kWorkKill) fiber_->Unpark();
      break;
    case State::kHandler:
    case State::kDead:
      break;
  }
  if ((bits & kWorkKill) && fiber_) fiber_->Kill();
}

void Task::Kill() { AddWork(kWorkKill); }

ErrorOr<uint64_t> Task::RunRestart() {
  std::function<ErrorOr<uint64_t>(Task&)> go_on = std::move(restart_);
  restart_ = nullptr;
  if (!go_on) return kEINTR;
  return go_on(*this);
}

}  // namespace moat
