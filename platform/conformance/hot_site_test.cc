// Code that makes the same call over and over again: a platform may change it to make that fast, and nobody but the code itself
// can tell.
#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "abi/elf.h"
#include "abi/fcntl.h"
#include "abi/mman.h"
#include "base/host/file.h"
#include "base/host/process.h"
#include "base/util/check.h"
#include "platform/conformance/harness.h"

namespace moat::conformance {
namespace {

constexpr uint64_t kCalls = 2000;
constexpr uint64_t kAnswer = 42;

std::span<const uint8_t> GuestCode() { return {moat_guest_begin, static_cast<size_t>(moat_guest_end - moat_guest_begin)}; }

// A file as a linker makes it, whose second page is the guest's code.
UniqueFd CodeFile() {
  abi::Elf64Ehdr head{};
  memcpy(head.e_ident, "\177ELF", 4);
  head.e_phoff = sizeof head;
  head.e_phentsize = sizeof(abi::Elf64Phdr);
  head.e_phnum = 1;
  abi::Elf64Phdr segment{};
  segment.p_type = abi::kPT_LOAD;
  segment.p_flags = abi::kPF_R | abi::kPF_X;
  segment.p_offset = abi::kPAGE_SIZE;
  segment.p_filesz = segment.p_memsz = GuestCode().size();
  auto fd = host::MemfdCreate("code", abi::kMFD_CLOEXEC);
  CHECK(fd.ok());
  CHECK(host::Ftruncate(fd->get(), 2 * abi::kPAGE_SIZE).ok());
  CHECK(host::Pwrite(fd->get(), &head, sizeof head, 0).ok());
  CHECK(host::Pwrite(fd->get(), &segment, sizeof segment, sizeof head).ok());
  CHECK(host::Pwrite(fd->get(), GuestCode().data(), GuestCode().size(), abi::kPAGE_SIZE).ok());
  return std::move(*fd);
}

bool SeveralCpus() {
  uint64_t mask[16] = {};
  CHECK(host::SchedGetaffinity(0, mask).ok());
  int cpus = 0;
  for (uint64_t word : mask) cpus += std::popcount(word);
  return cpus > 1;
}
// Before the platform pins this thread.
const bool several_cpus = SeveralCpus();

struct HotSite : testing::Test {
  Harness& h = Harness::For("ptrace");
  UniqueFd file = CodeFile();

  Guest Make() {
    Guest g = MakeGuest(h.platform());
    CHECK(g.space->Map(kCode, abi::kPAGE_SIZE, abi::kPROT_READ | abi::kPROT_EXEC, 0, {.fd = file.get(), .offset = abi::kPAGE_SIZE}).ok());
    return g;
  }
  // Runs the loop of calls, each answered at once; true if every call came with the right registers.
  bool Heat(GuestThread& thread, uint64_t calls = kCalls) {
    uint64_t seen = 0;
    bool right = true;
    h.SetFastPath(thread, [&](GuestThread& t, const Trap& trap) {
      if (trap.kind != TrapKind::kSyscall) return Verdict::kParked;
      ++seen;
      right = right && trap.nr == 39 && trap.sp == kStackTop && trap.args[0] == 11 && trap.args[5] == 16 && trap.ip == after_call;
      t.SetResult(kAnswer);
      return Verdict::kResume;
    });
    Prepare(thread, moat_guest_syscall_loop, [&](abi::UserRegs& r) {
      r.rbx = calls;
      r.rdi = 11;
      r.r9 = 16;
    });
    Trap end = h.Go(thread);
    h.ClearFastPath(thread);
    return right && seen == calls && end.kind == TrapKind::kException && end.ip == at_end && thread.regs().rax == kAnswer &&
           thread.regs().rsp == kStackTop;
  }
  // The code of the loop as the guest itself reads it.
  uint64_t OwnView(Guest& g) {
    Prepare(*g.thread, moat_guest_load, [](abi::UserRegs& r) { r.rdi = AddressOf(moat_guest_syscall_loop); });
    (void)h.Go(*g.thread);
    return g.thread->regs().rax;
  }
  uint64_t Original() {
    uint64_t code;
    memcpy(&code, moat_guest_syscall_loop, sizeof code);
    return code;
  }
  uint64_t page = 0;
  const uint64_t after_call = AddressOf(moat_guest_syscall_loop) + 7, at_end = after_call + 5;
};

TEST_F(HotSite, IsChangedForItselfAloneAndAnsweredRightly) {
  h.Run([&] {
    Guest g = Make();
    EXPECT_TRUE(Heat(*g.thread, 10));
    EXPECT_EQ(OwnView(g), Original());
    EXPECT_TRUE(Heat(*g.thread));
    EXPECT_EQ(OwnView(g) != Original(), several_cpus);
    EXPECT_EQ(Peek<uint64_t>(*g.space, AddressOf(moat_guest_syscall_loop)), Original());
    EXPECT_TRUE(Heat(*g.thread, 20'000));
  });
}

TEST_F(HotSite, IsItselfAgainWhenItsMappingChanges) {
  h.Run([&] {
    Guest g = Make();
    EXPECT_TRUE(Heat(*g.thread));
    EXPECT_TRUE(g.space->Protect(kCode, abi::kPAGE_SIZE, abi::kPROT_READ | abi::kPROT_WRITE | abi::kPROT_EXEC).ok());
    EXPECT_EQ(OwnView(g), Original());
    EXPECT_TRUE(Heat(*g.thread));
    EXPECT_EQ(OwnView(g), Original());
  });
}

TEST_F(HotSite, IsNotChangedInAnonymousMemory) {
  h.Run([&] {
    Guest g = MakeGuest(h.platform());
    EXPECT_TRUE(Heat(*g.thread));
    EXPECT_EQ(OwnView(g), Original());
  });
}

TEST_F(HotSite, IsItselfAgainForASecondThreadAndForSteps) {
  h.Run([&] {
    Guest g = Make();
    EXPECT_TRUE(Heat(*g.thread));
    auto second = g.space->NewThread(*g.thread);
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(OwnView(g), Original());
    EXPECT_TRUE(Heat(*g.thread));
    EXPECT_EQ(OwnView(g), Original());
    second->reset();
    EXPECT_TRUE(Heat(*g.thread));
    EXPECT_EQ(OwnView(g) != Original(), several_cpus);
    Prepare(*g.thread, moat_guest_nops);
    EXPECT_EQ(h.Step(*g.thread).signo, 5);
    EXPECT_EQ(OwnView(g), Original());
  });
}

TEST_F(HotSite, ServesAForkedChildToo) {
  h.Run([&] {
    Guest g = Make();
    EXPECT_TRUE(Heat(*g.thread));
    auto forked = g.space->Fork(*g.thread);
    ASSERT_TRUE(forked.ok());
    EXPECT_TRUE(Heat(*forked->thread, 5));
    EXPECT_TRUE(Heat(*g.thread, 100));
    EXPECT_TRUE(Heat(*forked->thread));
    EXPECT_TRUE(Heat(*g.thread, 100));
  });
}

// The handler does more than to answer: reads and changes registers, runs a command in the stub, waits.
TEST_F(HotSite, MayNeedMoreThanAnAnswer) {
  h.Run([&] {
    Guest g = Make();
    EXPECT_TRUE(Heat(*g.thread));
    uint64_t seen = 0;
    bool right = true;
    h.SetFastPath(*g.thread, [&](GuestThread& t, const Trap& trap) {
      if (trap.kind != TrapKind::kSyscall || ++seen % 5 == 4) return Verdict::kParked;
      if (seen % 5 == 1) right = right && t.regs().rip == after_call && t.regs().rcx == after_call && t.regs().rbx != 0;
      if (seen % 5 == 2) right = right && g.space->Atomic(AtomicOp::kAdd, kData, 1, 0).ok();
      t.SetResult(kAnswer);
      if (seen % 5 == 3) {
        abi::UserRegs regs = t.regs();
        right = right && regs.rax == kAnswer;
        regs.rax = kAnswer + 1;
        t.SetRegs(regs);
      }
      return Verdict::kResume;
    });
    Prepare(*g.thread, moat_guest_syscall_loop, [&](abi::UserRegs& r) { r.rbx = 1000; });
    Trap trap = h.Go(*g.thread);
    while (trap.kind == TrapKind::kSyscall) {
      g.thread->SetResult(kAnswer);
      trap = h.Go(*g.thread);
    }
    h.ClearFastPath(*g.thread);
    EXPECT_TRUE(right);
    EXPECT_EQ(seen, 1000u);
    EXPECT_EQ(trap.ip, at_end);
    EXPECT_EQ(Peek<uint32_t>(*g.space, kData), 200u);
  });
}

TEST_F(HotSite, CanBeInterrupted) {
  h.Run([&] {
    Guest g = Make();
    EXPECT_TRUE(Heat(*g.thread));
    constexpr int kEnough = 50;
    bool right = true;
    int interrupted = 0;
    h.SetFastPath(*g.thread, [&](GuestThread& t, const Trap& trap) {
      interrupted += trap.interrupted;
      if (trap.kind == TrapKind::kInterrupted) {
        const uint64_t offset = t.regs().rip - kCode;
        right = right && offset < GuestCode().size() && t.regs().rsp == kStackTop;
        return Verdict::kResume;
      }
      if (trap.kind != TrapKind::kSyscall) return Verdict::kParked;
      t.SetResult(kAnswer);
      if (interrupted >= kEnough) {
        abi::UserRegs regs = t.regs();
        regs.rbx = 1;  // the last round
        t.SetRegs(regs);
      }
      return Verdict::kResume;
    });
    Prepare(*g.thread, moat_guest_syscall_loop, [&](abi::UserRegs& r) { r.rbx = ~uint64_t{0}; });
    g.thread->Resume();
    // More than that: several become one while the guest gets no CPU.
    while (interrupted < kEnough) {
      h.Pause(1);
      g.thread->Interrupt();
    }
    EXPECT_EQ(h.Wait(*g.thread).ip, at_end);
    EXPECT_TRUE(right);
    h.ClearFastPath(*g.thread);
  });
}

// Guest code that writes to what it shares with the tracer, again and again, while its call is served: it makes calls by that, as
// it could by a system call, and is stopped and killed as any other.
TEST_F(HotSite, GainsNothingByForgingWhatItShares) {
  if (!several_cpus) GTEST_SKIP() << "there is nothing to share on one CPU";
  constexpr uint64_t kPageBehindTaskSize = 2 * abi::kPAGE_SIZE;
  constexpr uint64_t kPosted = 1, kTaken = 2, kNoSuchState = 77;
  for (uint64_t state : {uint64_t{0}, kPosted, kTaken, kNoSuchState}) {
    h.Run([&] {
      Guest g = Make();
      int served = 0, interrupted = 0;
      bool right = true;
      h.SetFastPath(*g.thread, [&](GuestThread& t, const Trap& trap) {
        if (trap.kind == TrapKind::kInterrupted) return ++interrupted < 20 ? Verdict::kResume : Verdict::kParked;
        if (trap.kind != TrapKind::kSyscall) return Verdict::kParked;
        // Every tenth needs the thread stopped, and its registers are some of its own.
        if (++served % 10 == 0) right = right && t.regs().r12 == page;
        t.SetResult(kAnswer);
        return Verdict::kResume;
      });
      Prepare(*g.thread, moat_guest_syscall_loop_then_store, [&](abi::UserRegs& r) {
        r.rbx = kCalls;
        r.r12 = page = h.platform().info().task_size + kPageBehindTaskSize;
        r.r13 = state;
      });
      g.thread->Resume();
      while (interrupted < 20) {
        h.Pause(1);
        g.thread->Interrupt();
      }
      EXPECT_EQ(h.Wait(*g.thread).kind, TrapKind::kInterrupted);
      EXPECT_TRUE(right);
      EXPECT_GE(served, static_cast<int>(kCalls));
      h.ClearFastPath(*g.thread);
    });
  }
}

}  // namespace
}  // namespace moat::conformance
