// What makes a guest trap, and what the trap says.
#include <gtest/gtest.h>

#include "abi/mman.h"
#include "abi/signal.h"
#include "abi/syscall_nr.h"
#include "abi/time.h"
#include "abi/wait.h"
#include "base/host/file.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "platform/conformance/harness.h"

namespace moat::conformance {
namespace {

constexpr int kSegvMaperr = 1, kSegvAccerr = 2, kSiKernel = 0x80, kTrapTrace = 2, kFpeIntdiv = 1, kIllIllopn = 2;
constexpr uint64_t kNoSys = static_cast<uint64_t>(-38);

class TrapTest : public testing::TestWithParam<const char*> {
 protected:
  Harness& h() { return Harness::For(GetParam()); }
  // Runs `body` with a fresh guest.
  void WithGuest(const std::function<void(AddressSpace&, GuestThread&)>& body) {
    h().Run([&] {
      Guest guest = MakeGuest(h().platform());
      body(*guest.space, *guest.thread);
    });
  }
};
INSTANTIATE_TEST_SUITE_P(Platforms, TrapTest, testing::Values("ptrace"));

TEST_P(TrapTest, InfoIsPlausible) {
  const PlatformInfo& info = h().platform().info();
  EXPECT_EQ(info.name, GetParam());
  EXPECT_EQ(info.task_size % abi::kPAGE_SIZE, 0u);
  EXPECT_GT(info.task_size, uint64_t{1} << 46);
  EXPECT_GE(info.xsave_size, 576u);
  EXPECT_EQ(info.xfeatures & 3, 3u);
}

TEST_P(TrapTest, SyscallReportsNumberArgumentsAndPlaceAndTakesTheResult) {
  WithGuest([&](AddressSpace&, GuestThread& t) {
    PrepareSyscall(t, abi::kNr_openat, {1, 2, 3, 4, 5, 0xfedcba9876543210});
    Trap trap = h().Go(t);
    ASSERT_EQ(trap.kind, TrapKind::kSyscall);
    EXPECT_FALSE(trap.interrupted);
    EXPECT_EQ(trap.arch, kAuditArchX86_64);
    EXPECT_EQ(trap.nr, abi::kNr_openat);
    for (uint64_t i = 0; i < 5; ++i) EXPECT_EQ(trap.args[i], i + 1);
    EXPECT_EQ(trap.args[5], 0xfedcba9876543210);
    EXPECT_EQ(trap.ip, AddressOf(moat_guest_syscall) + 2);
    EXPECT_EQ(trap.sp, kStackTop);
    EXPECT_EQ(t.regs().rax, kNoSys);
    t.SetResult(4711);
    trap = h().Go(t);
    EXPECT_EQ(trap.kind, TrapKind::kException);
    EXPECT_EQ(trap.signo, abi::kSIGILL);
    EXPECT_EQ(trap.ip, AddressOf(moat_guest_syscall) + 2);
    EXPECT_EQ(t.regs().rax, 4711u);
    EXPECT_EQ(t.regs().r10, 4u);
  });
}

TEST_P(TrapTest, ResultsInTheRestartRangeReachTheGuestAsTheyAre) {
  WithGuest([&](AddressSpace&, GuestThread& t) {
    for (int64_t result : {-512, -513, -514, -516, -4, -38}) {
      PrepareSyscall(t, abi::kNr_read);
      (void)h().Go(t);
      t.SetResult(static_cast<uint64_t>(result));
      t.Interrupt();
      EXPECT_EQ(h().Go(t).kind, TrapKind::kInterrupted);
      Trap trap = h().Go(t);
      EXPECT_EQ(trap.signo, abi::kSIGILL);
      EXPECT_EQ(static_cast<int64_t>(t.regs().rax), result);
    }
  });
}

TEST_P(TrapTest, NumbersNoKernelHasAreReportedToo) {
  WithGuest([&](AddressSpace&, GuestThread& t) {
    for (uint64_t nr : {uint64_t{100000}, ~uint64_t{0}, uint64_t{39} | abi::kX32_SYSCALL_BIT}) {
      PrepareSyscall(t, nr);
      Trap trap = h().Go(t);
      ASSERT_EQ(trap.kind, TrapKind::kSyscall);
      EXPECT_EQ(static_cast<uint64_t>(trap.nr), nr);
      EXPECT_EQ(trap.arch, kAuditArchX86_64);
      t.SetResult(kNoSys);
      EXPECT_EQ(h().Go(t).signo, abi::kSIGILL);
      EXPECT_EQ(t.regs().rax, kNoSys);
    }
  });
}

TEST_P(TrapTest, Int80IsReportedWithItsArchitecture) {
  WithGuest([&](AddressSpace&, GuestThread& t) {
    Prepare(t, moat_guest_int80);
    Trap trap = h().Go(t);
    ASSERT_EQ(trap.kind, TrapKind::kSyscall);
    EXPECT_EQ(trap.arch, kAuditArchI386);
    EXPECT_EQ(trap.nr, 20);
    t.SetResult(kNoSys);
    EXPECT_EQ(h().Go(t).signo, abi::kSIGILL);
  });
}

TEST_P(TrapTest, VsyscallPageIsASystemCall) {
  WithGuest([&](AddressSpace&, GuestThread& t) {
    Prepare(t, moat_guest_vsyscall_time);
    Trap trap = h().Go(t);
    if (trap.kind == TrapKind::kException && trap.signo == abi::kSIGSEGV) GTEST_SKIP() << "the host has no vsyscall page";
    ASSERT_EQ(trap.kind, TrapKind::kSyscall);
    EXPECT_EQ(trap.nr, abi::kNr_time);
    EXPECT_EQ(trap.arch, kAuditArchX86_64);
    EXPECT_EQ(trap.sp, kStackTop);
    EXPECT_EQ(t.regs().rax, kNoSys);
    t.SetResult(777);
    trap = h().Go(t);
    EXPECT_EQ(trap.signo, abi::kSIGILL);
    EXPECT_EQ(t.regs().rax, 777u);
    EXPECT_EQ(t.regs().rsp, kStackTop);
  });
}

struct Fault {
  const char* name;
  const uint8_t* routine;
  uint64_t rdi;
  int signo, code;
  uint64_t addr;  // 0: not checked
  uint32_t trap_no;
  uint32_t error_code;
};

TEST_P(TrapTest, ExceptionsCarrySignalCodeAndAddress) {
  const UserAddr hole = 0x66660000;
  const Fault faults[] = {
      {"load from a hole", moat_guest_load, hole + 8, abi::kSIGSEGV, kSegvMaperr, hole + 8, 14, 4},
      {"store to a hole", moat_guest_store, hole, abi::kSIGSEGV, kSegvMaperr, hole, 14, 6},
      {"store to code", moat_guest_store, kCode, abi::kSIGSEGV, kSegvAccerr, kCode, 14, 7},
      {"jump to a hole", moat_guest_jump, hole, abi::kSIGSEGV, kSegvMaperr, hole, 14, 0x14},
      {"jump to data", moat_guest_jump, kData, abi::kSIGSEGV, kSegvAccerr, kData, 14, 0x15},
      {"non-canonical load", moat_guest_load, uint64_t{1} << 62, abi::kSIGSEGV, kSiKernel, 0, 13, 0},
      {"division by zero", moat_guest_divide_by_zero, 0, abi::kSIGFPE, kFpeIntdiv, 0, 0, 0},
      {"breakpoint", moat_guest_breakpoint, 0, abi::kSIGTRAP, kSiKernel, 0, 3, 0},
      {"undefined", moat_guest_undefined, 0, abi::kSIGILL, kIllIllopn, AddressOf(moat_guest_undefined), 6, 0},
      {"privileged", moat_guest_privileged, 0, abi::kSIGSEGV, kSiKernel, 0, 13, 0},
  };
  WithGuest([&](AddressSpace&, GuestThread& t) {
    for (const Fault& fault : faults) {
      SCOPED_TRACE(fault.name);
      Prepare(t, fault.routine, [&](abi::UserRegs& r) { r.rdi = fault.rdi; });
      Trap trap = h().Go(t);
      ASSERT_EQ(trap.kind, TrapKind::kException);
      EXPECT_EQ(trap.signo, fault.signo);
      EXPECT_EQ(trap.code, fault.code);
      if (fault.addr != 0) {
        EXPECT_EQ(trap.addr, fault.addr);
      }
      EXPECT_EQ(trap.trap_no, fault.trap_no);
      EXPECT_EQ(trap.error_code, fault.error_code);
    }
  });
}

TEST_P(TrapTest, AccessBehindTheEndOfAFileIsSigbus) {
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    UniqueFd file = std::move(*host::MemfdCreate("empty", 0));
    ASSERT_TRUE(space.Map(0x30000000, 4096, abi::kPROT_READ, 0, {.fd = file.get(), .shared = true}).ok());
    Prepare(t, moat_guest_load, [](abi::UserRegs& r) { r.rdi = 0x30000010; });
    Trap trap = h().Go(t);
    EXPECT_EQ(trap.kind, TrapKind::kException);
    EXPECT_EQ(trap.signo, abi::kSIGBUS);
    EXPECT_EQ(trap.code, 2);  // BUS_ADRERR
    EXPECT_EQ(trap.addr, 0x30000010u);
  });
}

TEST_P(TrapTest, SingleStepStopsAfterEachInstruction) {
  WithGuest([&](AddressSpace&, GuestThread& t) {
    Prepare(t, moat_guest_nops);
    for (uint64_t i = 1; i <= 3; ++i) {
      Trap trap = h().Step(t);
      ASSERT_EQ(trap.kind, TrapKind::kException);
      EXPECT_EQ(trap.signo, abi::kSIGTRAP);
      EXPECT_EQ(trap.code, kTrapTrace);
      EXPECT_EQ(t.regs().rip, AddressOf(moat_guest_nops) + i);
      EXPECT_EQ(t.regs().eflags & abi::kX86_EFLAGS_TF, 0u);
    }
    EXPECT_EQ(h().Go(t).signo, abi::kSIGILL);
  });
}

TEST_P(TrapTest, SingleSteppingASystemCallTrapsInItAndGoesOnBehindIt) {
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    PrepareSyscall(t, abi::kNr_getpid);
    EXPECT_EQ(h().Step(t).kind, TrapKind::kSyscall);
    ASSERT_TRUE(space.Map(0x30000000, 4096, abi::kPROT_READ, 0, {}).ok());
    t.SetResult(9);
    Trap trap = h().Step(t);
    EXPECT_EQ(trap.kind, TrapKind::kException);
    EXPECT_EQ(t.regs().rax, 9u);
  });
}

TEST_P(TrapTest, InterruptStopsAComputingGuest) {
  WithGuest([&](AddressSpace&, GuestThread& t) {
    Prepare(t, moat_guest_compute);
    uint64_t before = 0;
    // On a busy host it may not have run at all before it is interrupted.
    for (int advanced = 0, i = 0; advanced < 5; ++i) {
      ASSERT_LT(i, 1000);
      t.Resume();
      (void)host::ClockNanosleep(abi::kCLOCK_MONOTONIC, 0, {0, 2'000'000});
      t.Interrupt();
      t.Interrupt();  // coalesced
      Trap trap = h().Wait(t);
      EXPECT_EQ(trap.kind, TrapKind::kInterrupted);
      EXPECT_TRUE(trap.interrupted);
      EXPECT_GE(t.regs().rax, before);
      advanced += t.regs().rax > before;
      before = t.regs().rax;
    }
  });
}

TEST_P(TrapTest, InterruptOfAParkedGuestIsStickyAndCountsOnce) {
  WithGuest([&](AddressSpace&, GuestThread& t) {
    PrepareSyscall(t, abi::kNr_getpid);
    t.Interrupt();
    t.Interrupt();
    Trap trap = h().Go(t);
    EXPECT_EQ(trap.kind, TrapKind::kInterrupted);
    trap = h().Go(t);
    EXPECT_EQ(trap.kind, TrapKind::kSyscall);
    EXPECT_FALSE(trap.interrupted);
    t.Interrupt();
    t.SetResult(1);
    EXPECT_EQ(h().Go(t).kind, TrapKind::kInterrupted);
    EXPECT_EQ(h().Go(t).signo, abi::kSIGILL);
    EXPECT_EQ(t.regs().rax, 1u);
  });
}


}  // namespace
}  // namespace moat::conformance
