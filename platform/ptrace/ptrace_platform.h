// The ptrace platform: one tracer thread that owns all stubs, waits for their stops and runs the handlers. README.md here
// tells the protocol.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <unordered_map>

#include "base/util/unique_fd.h"
#include "platform/platform.h"
#include "platform/ptrace/guest_thread.h"
#include "platform/ptrace/host_thread.h"
#include "platform/ptrace/pinner.h"
#include "platform/ptrace/poller.h"
#include "platform/ptrace/tracer.h"

namespace moat::ptrace {

class PtracePlatform final : public Platform {
 public:
  PtracePlatform() = default;
  ~PtracePlatform() override;
  // Starts the zygote. The calling thread becomes the tracer.
  ErrorOr<void> Create(bool isolate_branches);

  const PlatformInfo& info() const override { return info_; }
  void Run(TrapSink& sink) override;
  void Stop() override;
  ErrorOr<AddressSpace::Forked> NewAddressSpace() override;

  // The rest is for the platform's other classes, on the tracer thread.
  const StubLayout& layout() const { return tracer_.layout(); }
  uint64_t stack_hard_limit() const { return stack_hard_limit_; }
  Pinner& pinner() { return *pinner_; }
  Poller& poller() { return *poller_; }
  bool OnTracer() const { return tracer_.IsTracerThread(); }

  uint64_t NextSerial() { return ++last_serial_; }
  void AddThread(PtraceThread& thread) { guests_.emplace(thread.serial(), &thread); }
  void RemoveThread(PtraceThread& thread);
  // Or null.
  PtraceThread* FindThread(uint64_t serial);

  void Resume(PtraceThread& thread, StepMode mode);
  void InterruptNow(PtraceThread& thread);

  // Registers a new traced thread.
  std::unique_ptr<HostThread> Adopt(int tid, int tgid);
  // Takes a thread that is dead or about to be; reaps it when its end comes.
  void Retire(std::unique_ptr<HostThread> thread);

  enum class Stopped : uint8_t { kDead, kInterrupted, kTrapped };
  // Stops a running thread. kTrapped: it had a trap of its own, which will be delivered. After kInterrupted, EndBorrow.
  Stopped StopForCommand(HostThread& thread);
  void EndBorrow(HostThread& thread);

  // Puts descriptors where the next kMapFd or kMapList routine takes them.
  ErrorOr<void> SendFds(std::span<const int> fds);
  // Takes back what no stub has received.
  void DrainFds();

 private:
  struct Pending {
    PtraceThread* thread;
    Trap trap;
  };

  ErrorOr<void> EmptyZygote();
  ErrorOr<void> SetFreshXState();
  void Sleep();
  bool Poll();
  int ServePosts();
  void OnEvent(const WaitEvent& event);
  void OnEnd(HostThread& thread, int status);
  void ReportDiedParked(uint64_t serial);
  // The trap of a stop; nothing if the guest is to go on.
  std::optional<Trap> Decode(HostThread& thread, int status);
  std::optional<Trap> DecodeSignal(HostThread& thread);
  void Go(PtraceThread& thread, StepMode mode);
  void Deliver(PtraceThread& thread, Trap trap);
  void Serve(PtraceThread& thread, Trap trap);
  void SettleParked(uint64_t serial);
  void Queue(PtraceThread& thread, const Trap& trap) { pending_.push_back({&thread, trap}); }
  static void Kick(void* platform);

  PlatformInfo info_{};
  Tracer tracer_;
  UniqueFd socket_, stub_end_;
  std::unique_ptr<HostThread> zygote_;
  std::unique_ptr<Pinner> pinner_;
  std::unique_ptr<Poller> poller_;
  uint64_t stack_hard_limit_ = 0;

  TrapSink* sink_ = nullptr;
  int tracer_pid_ = 0, tracer_tid_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<bool> asleep_{false};  // in wait4, or about to be

  std::unordered_map<int, HostThread*> hosts_;  // by tid
  std::unordered_map<int, std::unique_ptr<HostThread>> retired_;
  std::unordered_map<uint64_t, PtraceThread*> guests_;  // by serial
  std::deque<Pending> pending_;
  uint64_t last_serial_ = 0;
};

}  // namespace moat::ptrace
