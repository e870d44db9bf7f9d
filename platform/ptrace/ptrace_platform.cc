#include "platform/ptrace/ptrace_platform.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "abi/mman.h"
#include "abi/ptrace.h"
#include "abi/rlimit.h"
#include "abi/signal.h"
#include "abi/socket.h"
#include "abi/syscall_nr.h"
#include "abi/uio.h"
#include "abi/wait.h"
#include "base/fiber/executor.h"
#include "base/host/fd_passing.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "base/util/check.h"
#include "base/util/log.h"
#include "platform/ptrace/address_space.h"
#include "platform/ptrace/clone_flags.h"
#include "platform/ptrace/express.h"
#include "platform/ptrace/trap_decode.h"
#include "platform/ptrace/write_decode.h"
#include "platform/ptrace/zygote.h"

namespace moat::ptrace {
namespace {

constexpr int kExitLost = 125;  // as for a sandbox that could not start

constexpr uint64_t kMmapMin = 64 << 10;
constexpr int64_t kStopNs = 5'000'000'000;
constexpr size_t kMaxXState = 64 << 10;  // AMX included
// A round of looking for posted calls takes some 2 us if there are none.
constexpr int kSpinsPerRound = 64, kServedPerRound = 16, kQuietRounds = 25;
constexpr int64_t kPreemptedNs = 200'000;
constexpr uint64_t kTracerSliceNs = 100'000;  // the shortest there is
constexpr size_t kXcr0Offset = 464;  // where ptrace's XSAVE area holds the features that the host enabled

uint64_t Pointer(const void* p) { return reinterpret_cast<uint64_t>(p); }

Trap MakeTrap(TrapKind kind) {
  Trap trap{};
  trap.kind = kind;
  return trap;
}

Trap DiedTrap(int status) {
  Trap trap = MakeTrap(TrapKind::kDied);
  trap.wait_status = status;
  return trap;
}

// PTRACE_O_TRACESYSGOOD marks them.
bool IsSyscallStop(int status) {
  return abi::WaitPtraceEvent(status) == 0 && abi::WaitStopSig(status) == (abi::kSIGTRAP | 0x80);
}

// Looks at the instruction that faulted.
bool FaultWrote(HostThread& thread, const Trap& fault) {
  if ((fault.error_code & abi::kX86_PF_INSTR) != 0) return false;
  constexpr size_t kLongestInstruction = 15;
  uint8_t code[kLongestInstruction];
  abi::Iovec local{Pointer(code), sizeof code};
  abi::Iovec remote{thread.Regs().rip, sizeof code};
  ErrorOr<size_t> got = host::ProcessVmReadv(thread.tgid(), &local, 1, &remote, 1);
  return got.ok() && WritesMemory({code, *got}, fault.addr, thread.Regs());
}

}  // namespace

ErrorOr<void> PtracePlatform::Create(bool isolate_branches) {
  TRY(tracer_.Create());
  tracer_pid_ = host::Getpid();
  tracer_tid_ = host::Gettid();
  stack_hard_limit_ = TRY(host::PrlimitGet(0, abi::kRLIMIT_STACK)).hard;
  Zygote zygote = TRY(StartZygote(isolate_branches));
  tracer_.set_layout(zygote.layout);
  socket_ = std::move(zygote.socket);
  stub_end_ = std::move(zygote.stub_end);
  zygote_ = std::make_unique<HostThread>(tracer_, zygote.pid, zygote.pid);
  info_.name = "ptrace";
  info_.task_size = layout().text;
  info_.mmap_min = kMmapMin;
  TRY(EmptyZygote());
  TRY(SetFreshXState());
  pinner_ = std::make_unique<Pinner>(zygote_->tid());
  poller_ = std::make_unique<Poller>(tracer_, *pinner_);
  Executor::Get().SetKick(&PtracePlatform::Kick, this);
  // Guests that compute on this thread's CPU are not to hold up the others. No matter if the host will not
  // have it.
  (void)host::SchedSetSlice(kTracerSliceNs);
  return {};
}

PtracePlatform::~PtracePlatform() {
  if (zygote_ == nullptr) return;
  Executor::Get().SetKick(nullptr, nullptr);
  (void)host::Kill(zygote_->tgid(), abi::kSIGKILL);
  hosts_.clear();
  int status;
  // Every stub is a child of ours and ends now: threads by their own exit or with their process.
  for (auto& [tid, thread] : retired_) (void)host::Kill(thread->tgid(), abi::kSIGKILL);
  size_t left = retired_.size() + 1;
  while (left > 0) {
    ErrorOr<int> tid = host::Wait4(-1, &status, abi::kWALL);
    if (tid.error() == kEINTR) continue;
    if (!tid.ok()) return;
    if (!abi::WaitIfStopped(status)) --left;
  }
}

// From here on a stub maps nothing but its own pages: not the sentry's code, not the host's vDSO.
ErrorOr<void> PtracePlatform::EmptyZygote() {
  const uint64_t below[] = {0, layout().text};
  const uint64_t above[] = {layout().express(), abi::kTASK_SIZE - layout().express()};
  zygote_->SetRegs(
      {.cs = abi::kUSER_CS, .eflags = abi::kX86_EFLAGS_FIXED | abi::kX86_EFLAGS_IF, .ss = abi::kUSER_DS});
  TRY(zygote_->Syscall(abi::kNr_munmap, below));
  TRY(zygote_->Syscall(abi::kNr_munmap, above));
  return {};
}

// New programs start with the FP state that execve leaves, not with ours.
ErrorOr<void> PtracePlatform::SetFreshXState() {
  std::vector<std::byte> area(kMaxXState);
  size_t size = TRY(zygote_->GetXState(area));
  area.resize(size);
  if (size < sizeof(abi::Xstate)) return kEIO;
  memcpy(&info_.xfeatures, area.data() + kXcr0Offset, sizeof info_.xfeatures);
  info_.xsave_size = size;
  abi::Xstate head;
  memcpy(&head, area.data(), sizeof head);
  const uint64_t kept = head.xstate_hdr.xfeatures & abi::kXFEATURE_MASK_PKRU;
  head.fpstate = {};
  head.fpstate.cwd = abi::kFCW_DEFAULT;
  head.fpstate.mxcsr = abi::kMXCSR_DEFAULT;
  head.xstate_hdr.xfeatures = abi::kXFEATURE_MASK_FP | abi::kXFEATURE_MASK_SSE | kept;
  memcpy(area.data(), &head, sizeof head);
  return zygote_->SetXState(area);
}

ErrorOr<AddressSpace::Forked> PtracePlatform::NewAddressSpace() {
  pinner_->BeforeSpawn();
  int pid = TRY(zygote_->Clone(kForkFlags));
  std::unique_ptr<HostThread> host = Adopt(pid, pid);
  HostThread& leader = *host;
  leader.SetRegs(zygote_->Regs());
  auto space = std::make_unique<PtraceAddressSpace>(*this, std::move(host));
  auto thread = std::make_unique<PtraceThread>(*this, *space, leader);
  pinner_->OnSpawn(thread->placement(), host::NowMonotonicNs());
  return AddressSpace::Forked{std::move(space), std::move(thread)};
}

void PtracePlatform::RemoveThread(PtraceThread& thread) {
  guests_.erase(thread.serial());
  poller_->Remove(thread);
  pinner_->Forget(thread.placement());
  std::erase_if(pending_, [&](const Pending& p) { return p.thread == &thread; });
}

PtraceThread* PtracePlatform::FindThread(uint64_t serial) {
  auto it = guests_.find(serial);
  return it == guests_.end() ? nullptr : it->second;
}

std::unique_ptr<HostThread> PtracePlatform::Adopt(int tid, int tgid) {
  auto thread = std::make_unique<HostThread>(tracer_, tid, tgid);
  hosts_[tid] = thread.get();
  return thread;
}

void PtracePlatform::Retire(std::unique_ptr<HostThread> thread) {
  if (thread->dead()) return;
  int tid = thread->tid();
  retired_.emplace(tid, std::move(thread));
}

void PtracePlatform::Resume(PtraceThread& thread, StepMode mode) {
  HostThread& host = thread.host();
  thread.owes_trap = true;
  if (host.dead()) return Queue(thread, DiedTrap(host.wait_status()));
  if (!host.stopped()) return;  // about to be found dead
  if (thread.interrupt_pending()) return Queue(thread, MakeTrap(TrapKind::kInterrupted));
  if (mode == StepMode::kSingleStep && host.express != nullptr)
    host.express->Disable(host);  // it would step through the path
  Go(thread, mode);
}

void PtracePlatform::Go(PtraceThread& thread, StepMode mode) {
  HostThread& host = thread.host();
  host.Resume(mode);
  if (host.dead()) return Queue(thread, DiedTrap(host.wait_status()));
  pinner_->OnResume(thread.placement());
}

void PtracePlatform::InterruptNow(PtraceThread& thread) {
  HostThread& host = thread.host();
  if (thread.owes_trap && host.running()) (void)host::Ptrace(abi::kPTRACE_INTERRUPT, host.tid(), 0, 0);
}

PtracePlatform::Stopped PtracePlatform::StopForCommand(HostThread& thread) {
  (void)host::Ptrace(abi::kPTRACE_INTERRUPT, thread.tid(), 0, 0);
  ErrorOr<int> status = tracer_.Await(thread.tid(), host::NowMonotonicNs() + kStopNs);
  if (!status.ok()) {
    (void)host::Kill(thread.tgid(), abi::kSIGKILL);
    return Stopped::kDead;
  }
  if (!abi::WaitIfStopped(*status)) {
    OnEnd(thread, *status);
    return Stopped::kDead;
  }
  thread.NoteStop(IsSyscallStop(*status));
  std::optional<Trap> trap = Decode(thread, *status);
  if (!trap || thread.owner == nullptr) return Stopped::kInterrupted;
  Queue(*thread.owner, *trap);
  return Stopped::kTrapped;
}

void PtracePlatform::EndBorrow(HostThread& thread) {
  // It died at the command, which took the one event that says so.
  if (thread.dead() && thread.owner != nullptr && thread.owner->owes_trap) {
    return Queue(*thread.owner, DiedTrap(thread.wait_status()));
  }
  if (!thread.stopped()) return;
  if (thread.owner != nullptr && thread.owner->interrupt_pending()) {
    return Queue(*thread.owner, MakeTrap(TrapKind::kInterrupted));
  }
  thread.Resume(thread.mode());
}

ErrorOr<void> PtracePlatform::SendFds(std::span<const int> fds) {
  const std::byte byte{0};
  TRY(host::SendWithFds(socket_.get(), {&byte, 1}, fds));
  return {};
}

void PtracePlatform::DrainFds() {
  std::byte buffer[16];
  while (host::RecvWithFds(stub_end_.get(), buffer, abi::kMSG_DONTWAIT).ok()) {
  }
}

void PtracePlatform::Kick(void* platform) {
  auto& self = *static_cast<PtracePlatform*>(platform);
  if (self.asleep_.exchange(false)) (void)host::Tgkill(self.tracer_pid_, self.tracer_tid_, kKickSignal);
}

void PtracePlatform::Stop() {
  stop_.store(true);
  Kick(this);
}

void PtracePlatform::Run(TrapSink& sink) {
  sink_ = &sink;
  Executor& executor = Executor::Get();
  while (!stop_.load(std::memory_order_relaxed)) {
    if (executor.HasReady()) executor.RunReady();
    if (!pending_.empty()) {
      Pending next = pending_.front();
      pending_.pop_front();
      Deliver(*next.thread, next.trap);
    } else if (auto event = tracer_.TakeDeferred(-1)) {
      OnEvent(*event);
    } else {
      Sleep();
    }
  }
  stop_.store(false);
}

// Looks for posted calls for as long as that pays. True if something happened.
bool PtracePlatform::Poll() {
  int64_t last_ns = host::NowMonotonicNs();
  if (!poller_->Begin(last_ns)) return false;
  bool served_any = false;
  for (int quiet = 0; quiet < kQuietRounds;) {
    const int served = ServePosts();
    const int64_t now_ns = host::NowMonotonicNs();
    served_any |= served > 0;
    quiet = served > 0 ? 0 : quiet + 1;
    if (Kicked()) {
      ClearKick();
      tracer_.alarm().NoteKick();
    }
    if (!pending_.empty() || Executor::Get().HasReady() || stop_.load(std::memory_order_relaxed)) break;
    std::optional<WaitEvent> event = tracer_.TakeDeferred(-1);
    if (!event) event = tracer_.PollAny();
    if (event) {
      OnEvent(*event);
      return true;
    }
    if (!poller_->Begin(now_ns)) return served_any;
    if (served == 0 && now_ns - last_ns > kPreemptedNs) {
      poller_->OnPreempted(now_ns);
      break;
    }
    last_ns = now_ns;
    if (quiet < kQuietRounds) continue;
    poller_->End();
    return ServePosts() > 0 || served_any;  // one may have come before its thread saw the end
  }
  return true;
}

// Serves posted calls for one round; how many there were.
int PtracePlatform::ServePosts() {
  int served = 0;
  for (int i = 0; i < kSpinsPerRound && served < kServedPerRound; ++i) {
    PtraceThread* thread = poller_->Posted();
    if (thread == nullptr) {
      __builtin_ia32_pause();
      continue;
    }
    std::optional<Trap> trap = thread->host().express->page()->Take();
    if (!trap) continue;
    ++served;
    thread->host().NoteTaken();
    poller_->OnServed(*thread);
    Serve(*thread, *trap);
    if (!pending_.empty()) break;
  }
  return served;
}

void PtracePlatform::Sleep() {
  if (Poll()) return;
  Executor& executor = Executor::Get();
  tracer_.alarm().EnsureBy(executor.NextDeadline());
  asleep_.store(true);
  // Whoever makes work after this sees `asleep_` and kicks; the kick is not lost: wait_window.h.
  if (executor.HasReady() || stop_.load()) {
    asleep_.store(false);
    return;
  }
  ErrorOr<WaitEvent> event = tracer_.AwaitAny();
  asleep_.store(false, std::memory_order_relaxed);
  if (event.ok()) return OnEvent(*event);
  CHECK(event.error() == kEINTR);  // the zygote is always there to wait for
}

void PtracePlatform::OnEvent(const WaitEvent& event) {
  auto it = hosts_.find(event.tid);
  if (it == hosts_.end()) {
    // Not one that we made: nothing that a guest can do leads here, so the stub has been subverted.
    if (event.tid == zygote_->tid()) {
      LOG(kError,
          "the process from which all guests come was killed");  // by root or the OOM killer: it runs nothing
      host::ExitGroup(kExitLost);
    }
    if (!abi::WaitIfStopped(event.status)) return;
    LOG(kWarning, "ptrace: unknown child %d is killed", event.tid);
    (void)host::Kill(event.tid, abi::kSIGKILL);
    return;
  }
  HostThread& thread = *it->second;
  if (!abi::WaitIfStopped(event.status)) return OnEnd(thread, event.status);
  if (retired_.contains(event.tid)) {  // on its way out
    (void)host::Ptrace(abi::kPTRACE_CONT, event.tid, 0, 0);
    return;
  }
  const bool taken = thread.taken();
  thread.NoteStop(IsSyscallStop(event.status));
  if (taken) return;  // its call is being served
  std::optional<Trap> trap = Decode(thread, event.status);
  if (trap && thread.owner != nullptr) return Deliver(*thread.owner, *trap);
  if (thread.owner != nullptr && thread.owner->owes_trap) EndBorrow(thread);
}

void PtracePlatform::OnEnd(HostThread& thread, int status) {
  thread.NoteEnd(status);
  hosts_.erase(thread.tid());
  PtraceThread* owner = thread.owner;
  if (owner != nullptr && owner->owes_trap) {
    Queue(*owner, DiedTrap(status));
  } else if (owner != nullptr) {
    ReportDiedParked(owner->serial());
  }
  retired_.erase(thread.tid());  // last: it may own `thread`
}

void PtracePlatform::ReportDiedParked(uint64_t serial) {
  Executor::Get().Post([this, serial] {
    if (PtraceThread* parked = FindThread(serial)) sink_->OnDiedParked(*parked);
  });
}

std::optional<Trap> PtracePlatform::Decode(HostThread& thread, int status) {
  int event = abi::WaitPtraceEvent(status);
  if (IsSyscallStop(status)) {
    std::optional<Trap> trap = DecodeSyscallStop(thread.tid());
    if (uint64_t ret = trap && thread.express != nullptr ? thread.express->ReturnOf(trap->ip) : 0) {
      trap->ip = ret;
      thread.NoteOnPath();
    }
    return trap;
  }
  if (event == 0) return DecodeSignal(thread);
  // PTRACE_EVENT_STOP, asked for by an Interrupt that may have been answered by an earlier trap.
  if (thread.owner != nullptr && thread.owner->interrupt_pending()) return MakeTrap(TrapKind::kInterrupted);
  return std::nullopt;
}

std::optional<Trap> PtracePlatform::DecodeSignal(HostThread& thread) {
  abi::SigInfo info{};
  if (!host::Ptrace(abi::kPTRACE_GETSIGINFO, thread.tid(), 0, Pointer(&info)).ok()) return std::nullopt;
  if (thread.express != nullptr && info.si_signo == abi::kSIGSEGV && layout().OnExpressPage(info.si_addr)) {
    if (auto call = thread.FaultedCall()) return call;
  }
  if (thread.owner != nullptr &&
      static_cast<PtraceAddressSpace&>(thread.owner->space()).MendFault(thread, info))
    return std::nullopt;
  if (auto trap = DecodeVsyscall(info, thread.Regs())) {
    thread.SetResult(static_cast<uint64_t>(ToSyscallReturn(kENOSYS)));
    return trap;
  }
  std::optional<Trap> trap = DecodeFault(info, thread.Regs());
  if (trap && trap->trap_no == abi::kX86_TRAP_PF && FaultWrote(thread, *trap))
    trap->error_code |= abi::kX86_PF_WRITE;
  return trap;
}

void PtracePlatform::Deliver(PtraceThread& thread, Trap trap) {
  const int64_t now_ns = host::NowMonotonicNs();
  poller_->OnStop(thread, thread.host().on_path(), now_ns);
  pinner_->OnTrap(thread.placement(), now_ns);
  Serve(thread, trap);
}

void PtracePlatform::Serve(PtraceThread& thread, Trap trap) {
  HostThread& host = thread.host();
  const uint64_t serial = thread.serial();
  const bool taken = host.taken();
  Express* express = host.express;
  if (express != nullptr && trap.kind == TrapKind::kSyscall) express->Begin(trap.ip);
  if (express != nullptr && trap.kind == TrapKind::kException && trap.signo == abi::kSIGTRAP)
    express->Disable(host);  // it steps
  for (;;) {
    thread.owes_trap = false;
    trap.interrupted = thread.TakeInterrupt();
    if (sink_->OnTrap(thread, trap) == Verdict::kParked) {
      if (taken) SettleParked(serial);
      return;
    }
    thread.owes_trap = true;
    if (host.express != nullptr && host.stopped() && trap.kind == TrapKind::kSyscall) {
      host.express->End(host, trap, host.simple());
    }
    if (host.stopped() && !thread.interrupt_pending()) break;
    if (host.running()) return;  // about to be found dead
    trap = host.dead() ? DiedTrap(host.wait_status()) : MakeTrap(TrapKind::kInterrupted);
  }
  Go(thread, StepMode::kRun);
}

// A thread whose call was taken spins: one that has to wait for the answer is to stop.
void PtracePlatform::SettleParked(uint64_t serial) {
  PtraceThread* thread = FindThread(serial);
  if (thread == nullptr) return;
  pinner_->OnParked(thread->placement());
  const bool was_taken = thread->host().taken();
  thread->host().Settle();
  if (was_taken && thread->host().dead()) ReportDiedParked(serial);  // Settle took the event that says so
}

}  // namespace moat::ptrace

namespace moat {

ErrorOr<std::unique_ptr<Platform>> NewPtracePlatform(bool isolate_branches) {
  auto platform = std::make_unique<ptrace::PtracePlatform>();
  TRY(platform->Create(isolate_branches));
  return std::unique_ptr<Platform>(std::move(platform));
}

}  // namespace moat
