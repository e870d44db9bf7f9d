// A platform without guests: traps come from a script, memory is a map of pages. For the sentry's unit tests.
//
//   FakePlatform platform;
//   auto made = platform.NewAddressSpace();
//   FakeThread& t = static_cast<FakeThread&>(*made->thread);
//   t.Push(FakeThread::Syscall(abi::kNr_getpid));   // one trap a Resume, in order
//   t.Resume();
//   platform.Run(sink);                             // until Stop
//   t.results();                                    // what SetResult was called with
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "platform/platform.h"

namespace moat {

class FakePlatform;
class FakeThread;

struct FakePage {
  std::array<std::byte, 4096> bytes{};
};

class FakeAddressSpace final : public AddressSpace {
 public:
  explicit FakeAddressSpace(FakePlatform& platform) : platform_(platform) {}

  ErrorOr<void> Map(UserAddr addr, uint64_t length, int prot, int flags, const MapSource& source) override;
  ErrorOr<void> Unmap(UserAddr addr, uint64_t length) override;
  ErrorOr<void> Protect(UserAddr addr, uint64_t length, int prot) override;
  ErrorOr<void> Remap(UserAddr addr, uint64_t old_length, UserAddr new_addr, uint64_t new_length, int flags) override;
  ErrorOr<void> Advise(UserAddr addr, uint64_t length, int advice) override;
  ErrorOr<size_t> CopyIn(UserAddr src, std::span<std::byte> dst) override;
  ErrorOr<size_t> CopyOut(UserAddr dst, std::span<const std::byte> src) override;
  ErrorOr<void> Touch(UserAddr addr) override;
  ErrorOr<uint32_t> Atomic(AtomicOp op, UserAddr addr, uint32_t arg, uint32_t expected) override;
  ErrorOr<uint64_t> HostCall(GuestThread* thread, int nr, std::span<const uint64_t> args) override;
  ErrorOr<void> Residency(UserAddr addr, std::span<uint8_t> out) override;
  uint64_t CpuTimeNs() override { return 0; }
  ErrorOr<void> SetStackLimit(uint64_t) override { return {}; }
  ErrorOr<std::unique_ptr<GuestThread>> NewThread(GuestThread& from) override;
  ErrorOr<Forked> Fork(GuestThread& from) override;

 private:
  // A page of the map; a private page of a file is a copy made when it was mapped, a shared one belongs to all that map it
  // through this platform.
  struct Mapping {
    std::shared_ptr<FakePage> page;
    int prot;
    bool shared;
  };
  ErrorOr<size_t> Copy(UserAddr addr, size_t size, int need, const std::function<void(std::byte*, size_t, size_t)>& move);

  FakePlatform& platform_;
  std::map<uint64_t, Mapping> pages_;  // by page number
};

class FakeThread final : public GuestThread {
 public:
  FakeThread(FakePlatform& platform, AddressSpace& space);
  ~FakeThread() override;

  static Trap Syscall(int64_t nr, std::initializer_list<uint64_t> args = {});
  static Trap Exception(int signo, int code, uint64_t addr);
  // Appends to the script. A resumed thread whose script is empty "computes": it traps when something is pushed, or is
  // interrupted. Worker thread.
  void Push(const Trap& trap);
  const std::vector<uint64_t>& results() const { return results_; }
  bool running() const { return running_; }

  AddressSpace& space() override { return space_; }
  const abi::UserRegs& regs() override { return regs_; }
  void SetRegs(const abi::UserRegs& regs) override { regs_ = regs; }
  void SetResult(uint64_t rax) override;
  ErrorOr<size_t> GetXState(std::span<std::byte> out) override;
  ErrorOr<void> SetXState(std::span<const std::byte> in) override;
  void Resume() override;
  void ResumeSingleStep() override { Resume(); }
  void Interrupt() override;
  uint64_t CpuTimeNs() override { return 0; }
  void SetAffinity(uint64_t) override {}

 private:
  friend class FakePlatform;
  FakePlatform& platform_;
  AddressSpace& space_;
  abi::UserRegs regs_{};
  std::vector<std::byte> xstate_;
  std::deque<Trap> script_;
  std::vector<uint64_t> results_;
  std::atomic<bool> running_{false};
  std::atomic<bool> interrupt_{false};
};

class FakePlatform final : public Platform {
 public:
  FakePlatform();

  const PlatformInfo& info() const override { return info_; }
  void Run(TrapSink& sink) override;
  void Stop() override;
  ErrorOr<AddressSpace::Forked> NewAddressSpace() override;

  // Called for every thread that is made, also by Fork and NewThread: the place to push its script.
  std::function<void(FakeThread&)> on_new_thread;

 private:
  friend class FakeAddressSpace;
  friend class FakeThread;
  std::unique_ptr<FakeThread> MakeThread(AddressSpace& space, GuestThread* from);
  // The next thread that has a trap to deliver, or null.
  FakeThread* NextTrapping();
  std::shared_ptr<FakePage> SharedPage(int fd, uint64_t offset);

  PlatformInfo info_{};
  std::atomic<bool> stop_{false};
  std::set<FakeThread*> threads_;
  std::map<std::pair<uint64_t, uint64_t>, std::weak_ptr<FakePage>> shared_;  // by inode and page
};

}  // namespace moat
