// Runs test bodies on a fiber while the platform serves, so that a test reads straight: resume the guest, look at its trap.
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string_view>

#include "base/fiber/fiber.h"
#include "platform/platform.h"

namespace moat::conformance {

// The routines of guest_x86_64.S.
extern "C" {
extern const uint8_t moat_guest_begin[], moat_guest_end[], moat_guest_syscall[], moat_guest_syscall_loop[],
    moat_guest_syscall_loop_then_store[],
    moat_guest_compute[], moat_guest_count[], moat_guest_increment[], moat_guest_load[], moat_guest_store[],
    moat_guest_load_fs[], moat_guest_divide_by_zero[], moat_guest_breakpoint[], moat_guest_undefined[],
    moat_guest_privileged[], moat_guest_nops[], moat_guest_int80[], moat_guest_vsyscall_time[], moat_guest_jump[],
    moat_guest_ymm[], moat_guest_rseq[], moat_guest_rseq_start[], moat_guest_rseq_end[], moat_guest_rseq_abort[];
}

inline constexpr UserAddr kCode = 0x10000000;
inline constexpr UserAddr kData = 0x20000000;
inline constexpr uint64_t kDataSize = 16 * 4096;
inline constexpr UserAddr kStackTop = kData + kDataSize;

class Harness final : public TrapSink {
 public:
  // The platform called `name`, made at its first use in this process.
  static Harness& For(std::string_view name);

  Platform& platform() { return *platform_; }
  // Runs `body` on a fiber; returns when it has ended.
  void Run(std::function<void()> body);

  // Resumes and waits for the trap.
  Trap Go(GuestThread& thread);
  Trap Step(GuestThread& thread);
  Trap Wait(GuestThread& thread);
  bool HasTrapped(GuestThread& thread) const { return traps_.contains(&thread); }
  // Sleeps while the platform serves.
  void Pause(int ms);
  // Answers `thread`'s traps itself, without waking anybody, while it returns kResume.
  void SetFastPath(GuestThread& thread, std::function<Verdict(GuestThread&, const Trap&)> handler);
  void ClearFastPath(GuestThread& thread) { fast_.erase(&thread); }

  Verdict OnTrap(GuestThread& thread, const Trap& trap) override;

 private:
  explicit Harness(std::unique_ptr<Platform> platform) : platform_(std::move(platform)) {}

  std::unique_ptr<Platform> platform_;
  std::map<GuestThread*, Trap> traps_;
  std::map<GuestThread*, Fiber*> waiters_;
  std::map<GuestThread*, std::function<Verdict(GuestThread&, const Trap&)>> fast_;
};

// An address space with the guest's code at kCode and memory at kData.
struct Guest {
  std::unique_ptr<AddressSpace> space;
  std::unique_ptr<GuestThread> thread;
};
Guest MakeGuest(Platform& platform);

UserAddr AddressOf(const uint8_t* routine);
// Sets `thread` to start `routine` with the registers that `set` changes; the others are 0 but rsp.
void Prepare(GuestThread& thread, const uint8_t* routine, const std::function<void(abi::UserRegs&)>& set = {});
// Prepares a system call with `nr` and `args`.
void PrepareSyscall(GuestThread& thread, uint64_t nr, std::initializer_list<uint64_t> args = {});

template <class T>
T Peek(AddressSpace& space, UserAddr addr) {
  T value{};
  auto done = space.CopyIn(addr, std::as_writable_bytes(std::span(&value, 1)));
  if (!done.ok() || *done != sizeof value) memset(&value, 0xff, sizeof value);
  return value;
}
template <class T>
bool Poke(AddressSpace& space, UserAddr addr, T value) {
  auto done = space.CopyOut(addr, std::as_bytes(std::span(&value, 1)));
  return done.ok() && *done == sizeof value;
}

}  // namespace moat::conformance
