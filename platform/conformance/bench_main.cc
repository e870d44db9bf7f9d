// What the platform's operations cost, in ns; a development tool. Usage: moat_platform_bench [PLATFORM]
#include <cstdio>
#include <functional>
#include <vector>

#include "abi/mman.h"
#include "abi/syscall_nr.h"
#include "base/fiber/executor.h"
#include "base/host/time.h"
#include "platform/conformance/harness.h"

namespace moat::conformance {
namespace {

void Report(const char* what, int64_t ns, int count) {
  printf("%-44s %10.0f\n", what, static_cast<double>(ns) / count);
  fflush(stdout);
}

void Time(const char* what, int count, const std::function<void()>& once) {
  for (int i = 0; i < count / 10; ++i) once();
  int64_t start = host::NowMonotonicNs();
  for (int i = 0; i < count; ++i) once();
  Report(what, host::NowMonotonicNs() - start, count);
}

// `count` getpid calls answered on the fast path, by a handler that runs on a fiber if `fiber`.
void SyscallLoop(Harness& h, Guest& g, const char* what, int count, bool fiber) {
  h.SetFastPath(*g.thread, [=](GuestThread& t, const Trap& trap) {
    if (trap.kind != TrapKind::kSyscall) return Verdict::kParked;
    if (fiber) Executor::Get().Run([&] { t.SetResult(42); });
    else t.SetResult(42);
    return Verdict::kResume;
  });
  for (int warm : {1, 0}) {
    int n = warm ? count / 10 : count;
    Prepare(*g.thread, moat_guest_syscall_loop, [&](abi::UserRegs& r) { r.rbx = static_cast<uint64_t>(n); });
    int64_t start = host::NowMonotonicNs();
    (void)h.Go(*g.thread);
    if (!warm) Report(what, host::NowMonotonicNs() - start, n);
  }
  h.ClearFastPath(*g.thread);
}

int64_t Compute(Harness& h, std::vector<GuestThread*> threads) {
  int64_t start = host::NowMonotonicNs();
  for (GuestThread* t : threads) {
    Prepare(*t, moat_guest_count, [](abi::UserRegs& r) { r.rbx = 1'000'000'000; });
    t->Resume();
  }
  for (GuestThread* t : threads) (void)h.Wait(*t);
  return host::NowMonotonicNs() - start;
}

void Memory(Guest& g) {
  AddressSpace& space = *g.space;
  const int prot = abi::kPROT_READ | abi::kPROT_WRITE;
  Time("map + unmap a page", 5000, [&] {
    (void)space.Map(0x40000000, 4096, prot, 0, {});
    (void)space.Unmap(0x40000000, 4096);
  });
  std::vector<std::byte> bytes(65536);
  Time("copy in 8 bytes", 20000, [&] { (void)space.CopyIn(kData, {bytes.data(), 8}); });
  Time("copy in 4 KiB", 20000, [&] { (void)space.CopyIn(kData, {bytes.data(), 4096}); });
  Time("copy out 64 KiB", 5000, [&] { (void)space.CopyOut(kData, {bytes.data(), 65536}); });
  Time("atomic load", 20000, [&] { (void)space.Atomic(AtomicOp::kLoad, kData, 0, 0); });
  Time("atomic add", 5000, [&] { (void)space.Atomic(AtomicOp::kAdd, kData, 1, 0); });
}

void Lives(Harness& h, Guest& g) {
  Time("new thread + destroy", 1000, [&] { (void)g.space->NewThread(*g.thread); });
  Time("new thread + one trap + destroy", 1000, [&] {
    auto thread = g.space->NewThread(*g.thread);
    PrepareSyscall(**thread, 39);
    (void)h.Go(**thread);
  });
  Time("fork + destroy", 500, [&] { (void)g.space->Fork(*g.thread); });
  Time("fork + one trap + destroy", 500, [&] {
    auto forked = g.space->Fork(*g.thread);
    PrepareSyscall(*forked->thread, 39);
    (void)h.Go(*forked->thread);
  });
  Time("new address space + destroy", 500, [&] { (void)h.platform().NewAddressSpace(); });
}

void Traps(Harness& h, Guest& g) {
  SyscallLoop(h, g, "system call, handler on the worker", 100'000, false);
  SyscallLoop(h, g, "system call, handler on a fiber", 100'000, true);
  PrepareSyscall(*g.thread, 39);
  (void)h.Go(*g.thread);
  Time("system call, handler wakes another fiber", 20000, [&] {
    PrepareSyscall(*g.thread, 39);
    (void)h.Go(*g.thread);
  });
  Time("page fault", 5000, [&] {
    Prepare(*g.thread, moat_guest_store, [](abi::UserRegs& r) { r.rdi = 0x66660000; });
    (void)h.Go(*g.thread);
  });
}

void Run(Harness& h) {
  Guest g = MakeGuest(h.platform());
  Traps(h, g);
  PrepareSyscall(*g.thread, 39);
  (void)h.Go(*g.thread);
  Memory(g);
  Lives(h, g);
  auto second = g.space->NewThread(*g.thread);
  int64_t one = Compute(h, {g.thread.get()});
  int64_t two = Compute(h, {g.thread.get(), second->get()});
  printf("%-44s %10.2f\n", "two computing threads, speed-up", 2.0 * static_cast<double>(one) / static_cast<double>(two));
}

}  // namespace
}  // namespace moat::conformance

int main(int argc, char** argv) {
  auto& harness = moat::conformance::Harness::For(argc > 1 ? argv[1] : "ptrace");
  harness.Run([&] { moat::conformance::Run(harness); });
  return 0;
}
