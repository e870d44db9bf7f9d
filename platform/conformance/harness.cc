#include "platform/conformance/harness.h"

#include "abi/mman.h"
#include "base/fiber/executor.h"
#include "base/host/time.h"
#include "base/util/check.h"

namespace moat::conformance {

Harness& Harness::For(std::string_view name) {
  static Harness* ptrace = nullptr;  // lives until the process ends, as its zygote does
  CHECK(name == "ptrace");
  if (ptrace == nullptr) {
    auto platform = NewPtracePlatform();
    CHECK(platform.ok());
    ptrace = new Harness(std::move(*platform));
  }
  return *ptrace;
}

void Harness::Run(std::function<void()> body) {
  Executor::Get().Post([this, body = std::move(body)] {
    body();
    platform_->Stop();
  });
  platform_->Run(*this);
  traps_.clear();
  fast_.clear();
}

Trap Harness::Go(GuestThread& thread) {
  thread.Resume();
  return Wait(thread);
}

Trap Harness::Step(GuestThread& thread) {
  thread.ResumeSingleStep();
  return Wait(thread);
}

Trap Harness::Wait(GuestThread& thread) {
  while (!traps_.contains(&thread)) {
    waiters_[&thread] = Fiber::Current();
    Fiber::Park();
  }
  waiters_.erase(&thread);
  Trap trap = traps_[&thread];
  traps_.erase(&thread);
  return trap;
}

void Harness::Pause(int ms) {
  Fiber* fiber = Fiber::Current();
  bool done = false;
  Timer timer([&] {
    done = true;
    fiber->Unpark();
  });
  timer.Arm(host::NowMonotonicNs() + ms * int64_t{1'000'000});
  while (!done) Fiber::Park();
}

void Harness::SetFastPath(GuestThread& thread, std::function<Verdict(GuestThread&, const Trap&)> handler) {
  fast_[&thread] = std::move(handler);
}

Verdict Harness::OnTrap(GuestThread& thread, const Trap& trap) {
  if (auto it = fast_.find(&thread); it != fast_.end()) {
    if (it->second(thread, trap) == Verdict::kResume) return Verdict::kResume;
  }
  CHECK(!traps_.contains(&thread));  // traps of one thread never overlap
  traps_[&thread] = trap;
  if (auto it = waiters_.find(&thread); it != waiters_.end()) it->second->Unpark();
  return Verdict::kParked;
}

UserAddr AddressOf(const uint8_t* routine) { return kCode + static_cast<uint64_t>(routine - moat_guest_begin); }

Guest MakeGuest(Platform& platform) {
  auto made = platform.NewAddressSpace();
  CHECK(made.ok());
  Guest guest{std::move(made->space), std::move(made->thread)};
  CHECK(guest.space->Map(kCode, abi::kPAGE_SIZE, abi::kPROT_READ | abi::kPROT_WRITE, 0, {}).ok());
  CHECK(guest.space->Map(kData, kDataSize, abi::kPROT_READ | abi::kPROT_WRITE, 0, {}).ok());
  std::span<const uint8_t> code(moat_guest_begin, static_cast<size_t>(moat_guest_end - moat_guest_begin));
  auto done = guest.space->CopyOut(kCode, std::as_bytes(code));
  CHECK(done.ok() && *done == code.size());
  CHECK(guest.space->Protect(kCode, abi::kPAGE_SIZE, abi::kPROT_READ | abi::kPROT_EXEC).ok());
  return guest;
}

void Prepare(GuestThread& thread, const uint8_t* routine, const std::function<void(abi::UserRegs&)>& set) {
  abi::UserRegs regs{};
  regs.cs = abi::kUSER_CS;
  regs.ss = abi::kUSER_DS;
  regs.eflags = abi::kX86_EFLAGS_FIXED | abi::kX86_EFLAGS_IF;
  regs.rsp = kStackTop;
  regs.rip = AddressOf(routine);
  if (set) set(regs);
  thread.SetRegs(regs);
}

void PrepareSyscall(GuestThread& thread, uint64_t nr, std::initializer_list<uint64_t> args) {
  Prepare(thread, moat_guest_syscall, [&](abi::UserRegs& r) {
    uint64_t* places[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10, &r.r8, &r.r9};
    size_t i = 0;
    for (uint64_t a : args) *places[i++] = a;
    r.rax = nr;
  });
}

}  // namespace moat::conformance
