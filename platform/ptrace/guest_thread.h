// A guest thread on the ptrace platform: a traced host thread and what the kernel of the sandbox asked of it.
#pragma once

#include <atomic>
#include <cstdint>

#include "platform/platform.h"
#include "platform/ptrace/host_thread.h"
#include "platform/ptrace/pinner.h"

namespace moat::ptrace {

class PtraceAddressSpace;
class PtracePlatform;

class PtraceThread final : public GuestThread {
 public:
  PtraceThread(PtracePlatform& platform, PtraceAddressSpace& space, HostThread& host);
  ~PtraceThread() override;

  AddressSpace& space() override;
  const abi::UserRegs& regs() override { return host_.Regs(); }
  void SetRegs(const abi::UserRegs& regs) override { host_.SetRegs(regs); }
  void SetResult(uint64_t rax) override { host_.SetResult(rax); }
  ErrorOr<size_t> GetXState(std::span<std::byte> out) override;
  ErrorOr<void> SetXState(std::span<const std::byte> in) override;
  void Resume() override;
  void ResumeSingleStep() override;
  void Interrupt() override;
  uint64_t CpuTimeNs() override;
  void SetAffinity(uint64_t mask) override;

  // For the platform, on the tracer thread.
  HostThread& host() { return host_; }
  Placement& placement() { return placement_; }
  uint64_t serial() const { return serial_; }
  bool interrupt_pending() const { return interrupt_.load(std::memory_order_acquire); }
  bool TakeInterrupt() { return interrupt_.exchange(false, std::memory_order_acq_rel); }

  // Resume was called and its trap is still to come.
  bool owes_trap = false;

 private:
  void ResumeAs(StepMode mode);

  PtracePlatform& platform_;
  PtraceAddressSpace& space_;
  HostThread& host_;
  Placement placement_;
  const uint64_t serial_;  // never reused, unlike tids and addresses
  std::atomic<bool> interrupt_{false};
  uint64_t cpu_ns_ = 0;        // CpuTimeNs at the last exact reading
  int64_t cpu_read_at_ns_ = 0; // and when that was
};

}  // namespace moat::ptrace
