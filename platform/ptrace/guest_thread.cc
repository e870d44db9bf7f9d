#include "platform/ptrace/guest_thread.h"

#include <algorithm>

#include "abi/syscall_nr.h"
#include "abi/time.h"
#include "base/fiber/executor.h"
#include "base/host/time.h"
#include "platform/ptrace/address_space.h"
#include "platform/ptrace/ptrace_platform.h"

namespace moat::ptrace {

PtraceThread::PtraceThread(PtracePlatform& platform, PtraceAddressSpace& space, HostThread& host)
    : platform_(platform), space_(space), host_(host), serial_(platform.NextSerial()) {
  host_.owner = this;
  placement_.tid = host.tid();
  platform_.AddThread(*this);
}

PtraceThread::~PtraceThread() {
  host_.Settle();  // it is to run no more
  platform_.RemoveThread(*this);
  host_.owner = nullptr;
  space_.OnThreadGone(host_);
}

AddressSpace& PtraceThread::space() { return space_; }

ErrorOr<size_t> PtraceThread::GetXState(std::span<std::byte> out) { return host_.GetXState(out); }
ErrorOr<void> PtraceThread::SetXState(std::span<const std::byte> in) { return host_.SetXState(in); }

void PtraceThread::Resume() { ResumeAs(StepMode::kRun); }
void PtraceThread::ResumeSingleStep() { ResumeAs(StepMode::kSingleStep); }

void PtraceThread::ResumeAs(StepMode mode) {
  if (platform_.OnTracer()) return platform_.Resume(*this, mode);
  Executor::Get().Post([&platform = platform_, serial = serial_, mode] {
    if (PtraceThread* t = platform.FindThread(serial)) platform.Resume(*t, mode);
  });
}

void PtraceThread::Interrupt() {
  if (interrupt_.exchange(true, std::memory_order_acq_rel)) return;
  if (platform_.OnTracer()) return platform_.InterruptNow(*this);
  Executor::Get().Post([&platform = platform_, serial = serial_] {
    if (PtraceThread* t = platform.FindThread(serial)) platform.InterruptNow(*t);
  });
}

// A process CPU clock can be read from outside, a thread's cannot: a stopped thread reads its own; of a running one among others
// the time since the last reading is counted as if it had computed throughout.
uint64_t PtraceThread::CpuTimeNs() {
  constexpr int kProcessCpuClock = 2;
  if (space_.always_single_threaded()) {
    auto spent = host::ClockGettime(static_cast<int>((~static_cast<unsigned>(host_.tgid()) << 3) | kProcessCpuClock));
    if (spent.ok()) cpu_ns_ = static_cast<uint64_t>(spent->tv_sec) * 1'000'000'000u + static_cast<uint64_t>(spent->tv_nsec);
    return cpu_ns_;
  }
  const int64_t now = host::NowMonotonicNs();
  if (host_.stopped()) {
    if (auto own = space_.ThreadCpuNs(host_)) cpu_ns_ = *own;
    cpu_read_at_ns_ = now;
    return cpu_ns_;
  }
  if (host_.running() && cpu_read_at_ns_ == 0) cpu_read_at_ns_ = now;  // never read: counted from here
  if (host_.running()) {
    cpu_ns_ += static_cast<uint64_t>(std::max<int64_t>(0, now - std::max(cpu_read_at_ns_, placement_.last_call_ns)));
    cpu_read_at_ns_ = now;
  }
  return cpu_ns_;
}

void PtraceThread::SetAffinity(uint64_t mask) { platform_.pinner().SetMask(placement_, mask); }

}  // namespace moat::ptrace
