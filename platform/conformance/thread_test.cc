// Threads, forks, FP state, lives and deaths.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <deque>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "abi/mman.h"
#include "abi/rseq.h"
#include "abi/signal.h"
#include "abi/syscall_nr.h"
#include "abi/time.h"
#include "abi/wait.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "platform/conformance/harness.h"

namespace moat::conformance {
namespace {

void SleepMs(int ms) { (void)host::ClockNanosleep(abi::kCLOCK_MONOTONIC, 0, {0, ms * 1'000'000}); }

// Processes whose parent is this one.
std::set<int> Children() {
  std::set<int> pids;
  std::error_code ignored;
  for (auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    int pid = atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    std::ifstream stat(entry.path() / "stat");
    std::string text((std::istreambuf_iterator<char>(stat)), {});
    size_t name_end = text.rfind(')');
    char state;
    int parent = 0;
    if (name_end == std::string::npos || sscanf(text.c_str() + name_end, ") %c %d", &state, &parent) != 2) continue;
    if (parent == host::Getpid()) pids.insert(pid);
  }
  return pids;
}

class ThreadTest : public testing::TestWithParam<const char*> {
 protected:
  Harness& h() { return Harness::For(GetParam()); }
  void WithGuest(const std::function<void(Guest&)>& body) {
    h().Run([&] {
      Guest guest = MakeGuest(h().platform());
      body(guest);
    });
  }
  // Stops `t` in a call, where threads and forks are made.
  void EnterCall(GuestThread& t) {
    PrepareSyscall(t, abi::kNr_clone);
    EXPECT_EQ(h().Go(t).kind, TrapKind::kSyscall);
  }
  // Our processes once all that were killed are reaped, which happens while the platform runs.
  std::set<int> SettledChildren() {
    h().Run([&] { h().Pause(50); });
    return Children();
  }
  // Sends `signo` to the one host process that came since `before`.
  bool SignalNewStub(const std::set<int>& before, int signo) {
    for (int pid : Children()) {
      if (!before.contains(pid)) return host::Kill(pid, signo).ok();
    }
    return false;
  }
};
INSTANTIATE_TEST_SUITE_P(Platforms, ThreadTest, testing::Values("ptrace"));

TEST_P(ThreadTest, ForkCopiesMemoryAndRegisters) {
  WithGuest([&](Guest& g) {
    ASSERT_TRUE(Poke(*g.space, kData, 1));
    EnterCall(*g.thread);
    auto forked = g.space->Fork(*g.thread);
    ASSERT_TRUE(forked.ok());
    EXPECT_EQ(memcmp(&g.thread->regs(), &forked->thread->regs(), offsetof(abi::UserRegs, orig_rax)), 0);
    ASSERT_TRUE(Poke(*g.space, kData, 2));
    EXPECT_EQ(Peek<int>(*forked->space, kData), 1);
    forked->thread->SetResult(0);
    g.thread->SetResult(77);
    EXPECT_EQ(h().Go(*forked->thread).signo, abi::kSIGILL);
    EXPECT_EQ(forked->thread->regs().rax, 0u);
    EXPECT_EQ(h().Go(*g.thread).signo, abi::kSIGILL);
    EXPECT_EQ(g.thread->regs().rax, 77u);
    ASSERT_TRUE(g.space->Unmap(kData, kDataSize).ok());
    EXPECT_EQ(Peek<int>(*forked->space, kData), 1);
    // A child's child, after the parent is gone.
    g.thread.reset();
    g.space.reset();
    EnterCall(*forked->thread);
    auto grandchild = forked->space->Fork(*forked->thread);
    ASSERT_TRUE(grandchild.ok());
    EXPECT_EQ(Peek<int>(*grandchild->space, kData), 1);
  });
}

TEST_P(ThreadTest, ThreadsShareMemoryAndHaveTheirOwnFsBase) {
  WithGuest([&](Guest& g) {
    ASSERT_TRUE(Poke<uint64_t>(*g.space, kData, 111));
    ASSERT_TRUE(Poke<uint64_t>(*g.space, kData + 64, 222));
    EnterCall(*g.thread);
    auto made = g.space->NewThread(*g.thread);
    ASSERT_TRUE(made.ok());
    GuestThread& second = **made;
    EXPECT_EQ(&second.space(), g.space.get());
    Prepare(*g.thread, moat_guest_load_fs, [](abi::UserRegs& r) { r.fs_base = kData; });
    Prepare(second, moat_guest_load_fs, [](abi::UserRegs& r) { r.fs_base = kData + 64; });
    second.Resume();
    g.thread->Resume();
    EXPECT_EQ(h().Wait(*g.thread).signo, abi::kSIGILL);
    EXPECT_EQ(h().Wait(second).signo, abi::kSIGILL);
    EXPECT_EQ(g.thread->regs().rax, 111u);
    EXPECT_EQ(second.regs().rax, 222u);
    Prepare(second, moat_guest_store, [](abi::UserRegs& r) { r.rdi = kData, r.rsi = 5; });
    (void)h().Go(second);
    EXPECT_EQ(Peek<uint64_t>(*g.space, kData), 5u);
  });
}

TEST_P(ThreadTest, MemoryCanBeChangedWhileAllThreadsRun) {
  WithGuest([&](Guest& g) {
    Prepare(*g.thread, moat_guest_increment, [](abi::UserRegs& r) { r.rdi = kData; });
    g.thread->Resume();
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(g.space->Map(0x40000000, 4096, abi::kPROT_READ, 0, {}).ok());
      ASSERT_TRUE(g.space->Unmap(0x40000000, 4096).ok());
      ASSERT_TRUE(g.space->Atomic(AtomicOp::kAdd, kData + 8, 1, 0).ok());
    }
    EXPECT_EQ(Peek<int>(*g.space, kData + 8), 50);
    int before = Peek<int>(*g.space, kData);
    SleepMs(5);
    EXPECT_GT(Peek<int>(*g.space, kData), before) << "it runs on";
    g.thread->Interrupt();
    EXPECT_EQ(h().Wait(*g.thread).kind, TrapKind::kInterrupted);
    // A guest that is about to trap by itself loses nothing.
    for (int i = 0; i < 200; ++i) {
      PrepareSyscall(*g.thread, 1000 + static_cast<uint64_t>(i));
      g.thread->Resume();
      ASSERT_TRUE(g.space->Protect(kData, 4096, abi::kPROT_READ | abi::kPROT_WRITE).ok());
      Trap trap = h().Wait(*g.thread);
      ASSERT_EQ(trap.kind, TrapKind::kSyscall);
      ASSERT_EQ(trap.nr, 1000 + i);
    }
  });
}

TEST_P(ThreadTest, ACommandAbortsTheGuestsRestartableSequence) {
  WithGuest([&](Guest& g) {
    EnterCall(*g.thread);
    const std::vector<uint64_t> area = {kData, 32, 0, abi::kRSEQ_SIG};
    ASSERT_TRUE(g.space->HostCall(g.thread.get(), abi::kNr_rseq, area).ok());
    abi::RseqCs cs{.start_ip = AddressOf(moat_guest_rseq_start), .abort_ip = AddressOf(moat_guest_rseq_abort)};
    cs.post_commit_offset = AddressOf(moat_guest_rseq_end) - cs.start_ip;
    ASSERT_TRUE(Poke(*g.space, kData + 128, cs));
    for (int i = 0; i < 50; ++i) {
      g.thread->SetAffinity(uint64_t{1} << (i % 2));
      Prepare(*g.thread, moat_guest_rseq, [](abi::UserRegs& r) { r.rdi = kData, r.rsi = kData + 128; });
      g.thread->Resume();
      SleepMs(1);  // on the other CPU it is in the sequence now, without a preemption that would have ended it
      ASSERT_TRUE(g.space->Map(0x40000000, 4096, abi::kPROT_READ, 0, {}).ok());
      h().Pause(1);
      if (!h().HasTrapped(*g.thread)) g.thread->Interrupt();
      Trap trap = h().Wait(*g.thread);
      while (trap.kind == TrapKind::kInterrupted) trap = h().Go(*g.thread);
      EXPECT_EQ(trap.signo, abi::kSIGILL);
      EXPECT_EQ(trap.ip, AddressOf(moat_guest_rseq_abort));
    }
  });
}

TEST_P(ThreadTest, AtomicsAreAtomicAgainstTheGuest) {
  WithGuest([&](Guest& g) {
    EnterCall(*g.thread);
    auto second = g.space->NewThread(*g.thread);
    ASSERT_TRUE(second.ok());
    Prepare(**second, moat_guest_increment, [](abi::UserRegs& r) { r.rdi = kData; });
    (*second)->Resume();
    uint32_t last = 0;
    for (int i = 0; i < 100; ++i) {
      uint32_t old = *g.space->Atomic(AtomicOp::kOr, kData, 0x80000000, 0);
      EXPECT_GE(old & 0x7fffffff, last);
      last = old & 0x7fffffff;
    }
    EXPECT_GE(Peek<uint32_t>(*g.space, kData), 0x80000000 + last);
    (*second)->Interrupt();
    (void)h().Wait(**second);
  });
}

TEST_P(ThreadTest, TheFirstThreadMayEndFirst) {
  WithGuest([&](Guest& g) {
    EnterCall(*g.thread);
    auto second = g.space->NewThread(*g.thread);
    ASSERT_TRUE(second.ok());
    g.thread.reset();
    ASSERT_TRUE(Poke(*g.space, kData, 5));
    PrepareSyscall(**second, abi::kNr_getpid);
    EXPECT_EQ(h().Go(**second).kind, TrapKind::kSyscall);
    auto third = g.space->NewThread(**second);
    ASSERT_TRUE(third.ok());
    second->reset();
    EXPECT_EQ(Peek<int>(*g.space, kData), 5);
    PrepareSyscall(**third, abi::kNr_getppid);
    EXPECT_EQ(h().Go(**third).nr, abi::kNr_getppid);
  });
}

TEST_P(ThreadTest, ExtendedStateIsFreshSettableAndForked) {
  WithGuest([&](Guest& g) {
    const size_t size = h().platform().info().xsave_size;
    std::vector<std::byte> state(size);
    ASSERT_EQ(*g.thread->GetXState(state), size);
    abi::Xstate head;
    memcpy(&head, state.data(), sizeof head);
    EXPECT_EQ(head.fpstate.cwd, abi::kFCW_DEFAULT);
    EXPECT_EQ(head.fpstate.mxcsr, abi::kMXCSR_DEFAULT);
    for (uint32_t word : head.fpstate.xmm_space) EXPECT_EQ(word, 0u);
    if ((h().platform().info().xfeatures & abi::kXFEATURE_MASK_YMM) == 0) GTEST_SKIP() << "no AVX";
    for (uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(Poke<uint64_t>(*g.space, kData + 8 * i, 100 + i));
    Prepare(*g.thread, moat_guest_ymm, [](abi::UserRegs& r) { r.rdi = kData, r.rsi = kData + 64; });
    EXPECT_EQ(h().Go(*g.thread).kind, TrapKind::kSyscall);
    auto forked = g.space->Fork(*g.thread);
    ASSERT_TRUE(forked.ok());
    ASSERT_EQ(*g.thread->GetXState(state), size);
    memcpy(&head, state.data(), sizeof head);
    EXPECT_EQ(head.fpstate.xmm_space[4 * 5], 100u);
    head.fpstate.xmm_space[4 * 5] = 4242;
    memcpy(state.data(), &head, sizeof head);
    ASSERT_TRUE(g.thread->SetXState(state).ok());
    EXPECT_EQ(h().Go(*g.thread).signo, abi::kSIGILL);
    EXPECT_EQ(h().Go(*forked->thread).signo, abi::kSIGILL);
    EXPECT_EQ(Peek<uint64_t>(*g.space, kData + 64), 4242u);
    for (uint64_t i = 1; i < 4; ++i) EXPECT_EQ(Peek<uint64_t>(*g.space, kData + 64 + 8 * i), 100 + i);
    for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(Peek<uint64_t>(*forked->space, kData + 64 + 8 * i), 100 + i);
    head.fpstate.mxcsr = ~0u;
    memcpy(state.data(), &head, sizeof head);
    EXPECT_EQ(g.thread->SetXState(state).error(), kEINVAL);
  });
}

TEST_P(ThreadTest, JumpingIntoTheStubOnlyTraps) {
  WithGuest([&](Guest& g) {
    const UserAddr stub = h().platform().info().task_size;
    int calls = 0;
    for (UserAddr at = stub; at < stub + 256; ++at) {
      Prepare(*g.thread, moat_guest_jump, [&](abi::UserRegs& r) {
        r.rdi = at;
        r.rax = abi::kNr_munmap;
        r.r12 = kData;
      });
      Trap trap = h().Go(*g.thread);
      calls += trap.kind == TrapKind::kSyscall;
      ASSERT_TRUE(trap.kind == TrapKind::kSyscall || trap.kind == TrapKind::kException);
    }
    EXPECT_GT(calls, 0);
    EXPECT_TRUE(Poke(*g.space, kData, 1));
  });
}

TEST_P(ThreadTest, OddSegmentsAndBasesDoNotStopTheGuest) {
  WithGuest([&](Guest& g) {
    Prepare(*g.thread, moat_guest_syscall, [](abi::UserRegs& r) {
      r.cs = 0x10, r.ss = 0, r.ds = 1, r.fs = 2, r.fs_base = ~uint64_t{0}, r.gs_base = uint64_t{1} << 60, r.rax = 3;
    });
    Trap trap = h().Go(*g.thread);
    EXPECT_EQ(trap.kind, TrapKind::kSyscall);
    EXPECT_EQ(trap.nr, 3);
    Prepare(*g.thread, moat_guest_syscall, [](abi::UserRegs& r) { r.rip = uint64_t{1} << 63; });
    EXPECT_EQ(h().Go(*g.thread).signo, abi::kSIGSEGV);
    Prepare(*g.thread, moat_guest_syscall, [](abi::UserRegs& r) { r.rax = 4; });
    EXPECT_EQ(h().Go(*g.thread).nr, 4);
  });
}

TEST_P(ThreadTest, DeathOfTheHostProcessIsReported) {
  std::set<int> before = SettledChildren();
  WithGuest([&](Guest& g) {
    EnterCall(*g.thread);
    auto second = g.space->NewThread(*g.thread);
    ASSERT_TRUE(second.ok());
    Prepare(**second, moat_guest_compute);
    (*second)->Resume();
    ASSERT_TRUE(SignalNewStub(before, abi::kSIGKILL));
    Trap trap = h().Wait(**second);
    EXPECT_EQ(trap.kind, TrapKind::kDied);
    EXPECT_EQ(trap.wait_status, abi::WaitStatusSignaled(abi::kSIGKILL, false));
    EXPECT_EQ(g.space->Map(0x40000000, 4096, abi::kPROT_READ, 0, {}).error(), kESRCH);
    EXPECT_EQ(Peek<int>(*g.space, kData), ~0);
    EXPECT_EQ(g.space->Fork(*g.thread).error(), kESRCH);
    EXPECT_EQ(g.space->NewThread(*g.thread).error(), kESRCH);
    EXPECT_EQ(h().Go(*g.thread).kind, TrapKind::kDied) << "a parked thread learns it when resumed";
  });
}

TEST_P(ThreadTest, DeathDuringACommandIsAnError) {
  std::set<int> before = SettledChildren();
  WithGuest([&](Guest& g) {
    EnterCall(*g.thread);
    ASSERT_TRUE(SignalNewStub(before, abi::kSIGKILL));
    EXPECT_EQ(g.space->Unmap(kData, 4096).error(), kESRCH);
    EXPECT_EQ(h().Go(*g.thread).kind, TrapKind::kDied);
  });
}

TEST_P(ThreadTest, StraySignalsToAStubAreSwallowed) {
  std::set<int> before = SettledChildren();
  WithGuest([&](Guest& g) {
    Prepare(*g.thread, moat_guest_increment, [](abi::UserRegs& r) { r.rdi = kData; });
    g.thread->Resume();
    for (int signo : {abi::kSIGTERM, abi::kSIGSTOP, abi::kSIGSEGV, abi::kSIGTRAP, abi::kSIGCONT, abi::kSIGTSTP}) {
      ASSERT_TRUE(SignalNewStub(before, signo));
    }
    for (int i = 0; i < 20; ++i) {
      ASSERT_EQ(g.space->Map(0x40000000, 4096, abi::kPROT_READ, 0, {}).error(), Errno{0});
      ASSERT_TRUE(SignalNewStub(before, abi::kSIGTERM));
    }
    g.thread->Interrupt();
    EXPECT_EQ(h().Wait(*g.thread).kind, TrapKind::kInterrupted);
    PrepareSyscall(*g.thread, abi::kNr_getpid);
    EXPECT_EQ(h().Go(*g.thread).kind, TrapKind::kSyscall);
  });
}

TEST_P(ThreadTest, OtherThreadsMayResumeAndInterrupt) {
  WithGuest([&](Guest& g) {
    for (int i = 0; i < 50; ++i) {
      Prepare(*g.thread, moat_guest_compute);
      std::thread other([&] {
        g.thread->Resume();
        if (i % 2) SleepMs(1);
        g.thread->Interrupt();
      });
      EXPECT_EQ(h().Wait(*g.thread).kind, TrapKind::kInterrupted);
      other.join();
    }
  });
}

TEST_P(ThreadTest, CpuTimeCountsComputing) {
  WithGuest([&](Guest& g) {
    uint64_t start = g.thread->CpuTimeNs();
    Prepare(*g.thread, moat_guest_count, [](abi::UserRegs& r) { r.rbx = 50'000'000; });
    int64_t t0 = host::NowMonotonicNs();
    (void)h().Go(*g.thread);
    int64_t wall = host::NowMonotonicNs() - t0;
    uint64_t spent = g.thread->CpuTimeNs() - start;
    EXPECT_GT(spent, 5'000'000u);
    EXPECT_LT(spent, static_cast<uint64_t>(wall) + 1'000'000);
    EnterCall(*g.thread);
    auto second = g.space->NewThread(*g.thread);
    uint64_t parked = (*second)->CpuTimeNs();
    EXPECT_LT(parked, 2'000'000u);
    Prepare(**second, moat_guest_count, [](abi::UserRegs& r) { r.rbx = 50'000'000; });
    (void)h().Go(**second);
    EXPECT_GT((*second)->CpuTimeNs(), parked + 5'000'000);
  });
}

TEST_P(ThreadTest, ManySpacesComeAndGoWithoutATrace) {
  std::set<int> before = SettledChildren();
  h().Run([&] {
    std::deque<Guest> guests;
    for (int i = 0; i < 300; ++i) {
      guests.push_back(MakeGuest(h().platform()));
      if (i % 3 == 0) {
        EnterCall(*guests.back().thread);
        auto forked = guests.back().space->Fork(*guests.back().thread);
        ASSERT_TRUE(forked.ok());
        auto thread = forked->space->NewThread(*forked->thread);
        ASSERT_TRUE(thread.ok());
      }
      if (i % 7 == 0) guests.pop_front();  // in place: a thread ends before its space
    }
  });
  // Ends are reaped while the platform runs.
  for (int i = 0; i < 100 && Children().size() != before.size(); ++i) {
    h().Run([&] { h().Pause(10); });
  }
  EXPECT_EQ(Children(), before);
}

}  // namespace
}  // namespace moat::conformance
