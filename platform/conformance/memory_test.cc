// The address space: mappings, copies, atomics, stacks.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "abi/membarrier.h"
#include "abi/mman.h"
#include "abi/signal.h"
#include "abi/syscall_nr.h"
#include "base/host/file.h"
#include "platform/conformance/harness.h"

namespace moat::conformance {
namespace {

constexpr int kRead = abi::kPROT_READ, kReadWrite = abi::kPROT_READ | abi::kPROT_WRITE;
constexpr UserAddr kPlace = 0x40000000;
constexpr uint64_t kPage = abi::kPAGE_SIZE;

class MemoryTest : public testing::TestWithParam<const char*> {
 protected:
  Harness& h() { return Harness::For(GetParam()); }
  void WithGuest(const std::function<void(AddressSpace&, GuestThread&)>& body) {
    h().Run([&] {
      Guest guest = MakeGuest(h().platform());
      body(*guest.space, *guest.thread);
    });
  }
  // The signal that a guest load from `addr` raises; 0 if it works.
  int LoadSignal(GuestThread& t, UserAddr addr) { return Access(t, moat_guest_load, addr, 0); }
  int StoreSignal(GuestThread& t, UserAddr addr, uint64_t value = 1) { return Access(t, moat_guest_store, addr, value); }

 private:
  int Access(GuestThread& t, const uint8_t* routine, UserAddr addr, uint64_t value) {
    Prepare(t, routine, [&](abi::UserRegs& r) { r.rdi = addr, r.rsi = value; });
    Trap trap = h().Go(t);
    return trap.signo == abi::kSIGILL ? 0 : trap.signo;
  }
};
INSTANTIATE_TEST_SUITE_P(Platforms, MemoryTest, testing::Values("ptrace"));

TEST_P(MemoryTest, AFreshSpaceIsEmpty) {
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    std::byte b;
    for (UserAddr addr : {UserAddr{0}, UserAddr{0x400000}, UserAddr{0x7f0000000000}, h().platform().info().task_size - 4096,
                          h().platform().info().task_size - (uint64_t{1} << 30)}) {
      EXPECT_EQ(space.CopyIn(addr, {&b, 1}).error(), kEFAULT) << std::hex << addr;
      EXPECT_EQ(LoadSignal(t, addr), abi::kSIGSEGV);
    }
  });
}

TEST_P(MemoryTest, MapUnmapProtect) {
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    EXPECT_EQ(StoreSignal(t, kPlace), abi::kSIGSEGV);
    ASSERT_TRUE(space.Map(kPlace, 4 * kPage, kReadWrite, 0, {}).ok());
    EXPECT_EQ(StoreSignal(t, kPlace + kPage, 77), 0);
    EXPECT_EQ(Peek<uint64_t>(space, kPlace + kPage), 77u);
    ASSERT_TRUE(space.Protect(kPlace + kPage, kPage, kRead).ok());
    EXPECT_EQ(StoreSignal(t, kPlace + kPage), abi::kSIGSEGV);
    EXPECT_EQ(LoadSignal(t, kPlace + kPage), 0);
    EXPECT_FALSE(Poke(space, kPlace + kPage, 1)) << "CopyOut respects protections";
    ASSERT_TRUE(space.Protect(kPlace + kPage, kPage, 0).ok());
    EXPECT_EQ(Peek<int>(space, kPlace + kPage), ~0);
    ASSERT_TRUE(space.Map(kPlace + kPage, kPage, kReadWrite, 0, {}).ok());  // replaces
    EXPECT_EQ(Peek<uint64_t>(space, kPlace + kPage), 0u);
    ASSERT_TRUE(space.Unmap(kPlace + kPage, kPage).ok());
    EXPECT_EQ(LoadSignal(t, kPlace + kPage), abi::kSIGSEGV);
    EXPECT_EQ(LoadSignal(t, kPlace), 0);
    EXPECT_EQ(space.Protect(kPlace + kPage, kPage, kRead).error(), kENOMEM);
  });
}

// Mappings of fresh addresses, which a platform may put off: nobody must be able to tell.
constexpr int kFresh = static_cast<int>(abi::kMAP_FIXED_NOREPLACE);

TEST_P(MemoryTest, FreshMappingsAreThereForTheGuestAndForCopies) {
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    ASSERT_TRUE(space.Map(kPlace, 2 * kPage, kReadWrite, kFresh, {}).ok());
    ASSERT_TRUE(space.Map(kPlace + 4 * kPage, kPage, kRead, kFresh, {}).ok());
    EXPECT_EQ(StoreSignal(t, kPlace + 8, 77), 0);
    EXPECT_EQ(Peek<uint64_t>(space, kPlace + 8), 77u);
    EXPECT_EQ(LoadSignal(t, kPlace + 2 * kPage), abi::kSIGSEGV);
    EXPECT_EQ(StoreSignal(t, kPlace + 4 * kPage), abi::kSIGSEGV);
    EXPECT_EQ(LoadSignal(t, kPlace + 4 * kPage), 0);
    ASSERT_TRUE(space.Map(kPlace + 8 * kPage, 2 * kPage, kReadWrite, kFresh, {}).ok());
    std::vector<std::byte> bytes(3 * kPage, std::byte{7});
    EXPECT_EQ(*space.CopyOut(kPlace + 8 * kPage, bytes), 2 * kPage);
    EXPECT_EQ(*space.CopyIn(kPlace + 8 * kPage, bytes), 2 * kPage);
    ASSERT_TRUE(space.Map(kPlace + 10 * kPage, kPage, kReadWrite, kFresh, {}).ok());
    EXPECT_EQ(*space.CopyIn(kPlace + 8 * kPage, bytes), 3 * kPage) << "one copy over old and new";
    ASSERT_TRUE(space.Map(kPlace + 16 * kPage, kPage, kReadWrite, kFresh, {}).ok());
    EXPECT_EQ(*space.Atomic(AtomicOp::kAdd, kPlace + 16 * kPage, 5, 0), 0u);
    EXPECT_EQ(*space.Atomic(AtomicOp::kLoad, kPlace + 16 * kPage, 0, 0), 5u);
    ASSERT_TRUE(space.Map(kPlace + 20 * kPage, kPage, kReadWrite, kFresh, {}).ok());
    EXPECT_TRUE(space.Touch(kPlace + 20 * kPage).ok());
  });
}

TEST_P(MemoryTest, FreshMappingsCanBeChangedBeforeTheirFirstUse) {
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    ASSERT_TRUE(space.Map(kPlace, 8 * kPage, abi::kPROT_NONE, kFresh, {}).ok());
    ASSERT_TRUE(space.Protect(kPlace + kPage, 2 * kPage, kReadWrite).ok());
    ASSERT_TRUE(space.Unmap(kPlace + 2 * kPage, kPage).ok());
    ASSERT_TRUE(space.Map(kPlace + 4 * kPage, kPage, kRead, 0, {}).ok());
    EXPECT_EQ(LoadSignal(t, kPlace), abi::kSIGSEGV);
    EXPECT_EQ(StoreSignal(t, kPlace + kPage), 0);
    EXPECT_EQ(LoadSignal(t, kPlace + 2 * kPage), abi::kSIGSEGV);
    EXPECT_EQ(LoadSignal(t, kPlace + 3 * kPage), abi::kSIGSEGV);
    EXPECT_EQ(LoadSignal(t, kPlace + 4 * kPage), 0);
    EXPECT_EQ(StoreSignal(t, kPlace + 4 * kPage), abi::kSIGSEGV);
    EXPECT_EQ(space.Protect(kPlace + 2 * kPage, kPage, kRead).error(), kENOMEM);
    ASSERT_TRUE(space.Map(kPlace + 16 * kPage, kPage, kReadWrite, kFresh, {}).ok());
    ASSERT_TRUE(space.Unmap(kPlace + 16 * kPage, kPage).ok());
    EXPECT_EQ(LoadSignal(t, kPlace + 16 * kPage), abi::kSIGSEGV);
    ASSERT_TRUE(space.Map(kPlace + 20 * kPage, kPage, kReadWrite, kFresh, {}).ok());
    ASSERT_TRUE(space.Remap(kPlace + 20 * kPage, kPage, kPlace + 24 * kPage, 2 * kPage, 0).ok());
    EXPECT_EQ(StoreSignal(t, kPlace + 25 * kPage), 0);
    EXPECT_EQ(LoadSignal(t, kPlace + 20 * kPage), abi::kSIGSEGV);
    ASSERT_TRUE(space.Map(kPlace + 30 * kPage, kPage, kReadWrite, kFresh, {}).ok());
    uint8_t resident = 1;
    ASSERT_TRUE(space.Residency(kPlace + 30 * kPage, {&resident, 1}).ok());
    EXPECT_EQ(resident & 1, 0);
  });
}

TEST_P(MemoryTest, ForksInheritFreshMappings) {
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    ASSERT_TRUE(space.Map(kPlace, kPage, kReadWrite, kFresh, {}).ok());
    ErrorOr<AddressSpace::Forked> forked = space.Fork(t);
    ASSERT_TRUE(forked.ok());
    EXPECT_EQ(StoreSignal(*forked->thread, kPlace, 9), 0);
    EXPECT_EQ(Peek<uint64_t>(*forked->space, kPlace), 9u);
    EXPECT_EQ(Peek<uint64_t>(space, kPlace), 0u);
    forked->thread.reset();
    forked->space.reset();
  });
}

TEST_P(MemoryTest, ManyFreshMappingsOfAFile) {
  ErrorOr<UniqueFd> file = host::MemfdCreate("fresh", abi::kMFD_CLOEXEC);
  ASSERT_TRUE(file.ok());
  for (uint64_t page = 0; page < 200; ++page) {
    ASSERT_TRUE(host::Pwrite(file->get(), &page, sizeof page, page * kPage).ok());
  }
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    for (uint64_t page = 0; page < 200; ++page) {
      MapSource from{.fd = file->get(), .offset = page * kPage, .shared = page % 2 == 0};
      ASSERT_TRUE(space.Map(kPlace + 2 * page * kPage, kPage, kReadWrite, kFresh, from).ok());
    }
    EXPECT_EQ(StoreSignal(t, kPlace + 2 * 199 * kPage + 8), 0);
    for (uint64_t page = 0; page < 200; ++page) EXPECT_EQ(Peek<uint64_t>(space, kPlace + 2 * page * kPage), page);
  });
}

TEST_P(MemoryTest, ThePlatformsOwnPagesAreOutOfReach) {
  WithGuest([&](AddressSpace& space, GuestThread&) {
    const UserAddr end = h().platform().info().task_size;
    std::vector<std::byte> bytes(2 * kPage);
    for (UserAddr addr : {end, end + kPage, end - kPage}) {
      EXPECT_FALSE(space.Map(addr, 3 * kPage, kReadWrite, 0, {}).ok());
      EXPECT_FALSE(space.Unmap(addr, 3 * kPage).ok());
      EXPECT_FALSE(space.Protect(addr, 3 * kPage, kReadWrite).ok());
      EXPECT_FALSE(space.Advise(addr, 3 * kPage, abi::kMADV_DONTNEED).ok());
      EXPECT_FALSE(space.Remap(kData, kPage, addr, 3 * kPage, 0).ok());
      EXPECT_FALSE(space.Remap(addr, 3 * kPage, kPlace, 3 * kPage, 0).ok());
    }
    for (UserAddr addr : {end, end + kPage, end + 2 * kPage - 8, ~uint64_t{0} - 4, uint64_t{1} << 63}) {
      EXPECT_EQ(space.CopyIn(addr, bytes).error(), kEFAULT);
      EXPECT_EQ(space.CopyOut(addr, bytes).error(), kEFAULT);
      EXPECT_EQ(space.Touch(addr).error(), kEFAULT);
      EXPECT_EQ(space.Atomic(AtomicOp::kExchange, addr & ~UserAddr{3}, 1, 0).error(), kEFAULT);
    }
    ASSERT_TRUE(space.Map(end - kPage, kPage, kReadWrite, 0, {}).ok());
    EXPECT_EQ(*space.CopyIn(end - 100, bytes), 100u) << "stops at the end";
    EXPECT_EQ(*space.CopyOut(end - 100, bytes), 100u);
    EXPECT_EQ(space.Unmap(0, ~uint64_t{0}).error(), kEINVAL);
  });
}

TEST_P(MemoryTest, CopiesStopAtTheFirstBadPage) {
  WithGuest([&](AddressSpace& space, GuestThread&) {
    ASSERT_TRUE(space.Map(kPlace, 8 * kPage, kReadWrite, 0, {}).ok());
    ASSERT_TRUE(space.Unmap(kPlace + 5 * kPage, kPage).ok());
    std::vector<std::byte> bytes(8 * kPage, std::byte{7});
    EXPECT_EQ(*space.CopyOut(kPlace + 10, bytes), 5 * kPage - 10);
    EXPECT_EQ(Peek<uint8_t>(space, kPlace + 5 * kPage - 1), 7);
    std::vector<std::byte> read(8 * kPage);
    EXPECT_EQ(*space.CopyIn(kPlace, read), 5 * kPage);
    EXPECT_EQ(read[9], std::byte{0});
    EXPECT_EQ(read[10], std::byte{7});
    EXPECT_EQ(space.CopyIn(kPlace + 5 * kPage, read).error(), kEFAULT);
    EXPECT_EQ(*space.CopyIn(kPlace, {}), 0u);
    std::vector<std::byte> big(10 << 20, std::byte{3});
    ASSERT_TRUE(space.Map(0x50000000, big.size(), kReadWrite, 0, {}).ok());
    EXPECT_EQ(*space.CopyOut(0x50000000, big), big.size());
    std::vector<std::byte> back(big.size());
    EXPECT_EQ(*space.CopyIn(0x50000000, back), back.size());
    EXPECT_EQ(back, big);
  });
}

TEST_P(MemoryTest, RemapMovesAndResizes) {
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    ASSERT_TRUE(space.Map(kPlace, 2 * kPage, kReadWrite, 0, {}).ok());
    ASSERT_TRUE(Poke(space, kPlace, 1234));
    ASSERT_TRUE(space.Remap(kPlace, 2 * kPage, kPlace, 4 * kPage, 0).ok());
    EXPECT_EQ(StoreSignal(t, kPlace + 3 * kPage), 0);
    ASSERT_TRUE(space.Remap(kPlace, 4 * kPage, kPlace + 64 * kPage, 4 * kPage, 0).ok());
    EXPECT_EQ(Peek<int>(space, kPlace + 64 * kPage), 1234);
    EXPECT_EQ(LoadSignal(t, kPlace), abi::kSIGSEGV);
    ASSERT_TRUE(space.Remap(kPlace + 64 * kPage, 4 * kPage, kPlace + 64 * kPage, kPage, 0).ok());
    EXPECT_EQ(LoadSignal(t, kPlace + 65 * kPage), abi::kSIGSEGV);
    ASSERT_TRUE(space.Remap(kPlace + 64 * kPage, kPage, kPlace, kPage, abi::kMREMAP_DONTUNMAP).ok());
    EXPECT_EQ(Peek<int>(space, kPlace), 1234);
    EXPECT_EQ(Peek<int>(space, kPlace + 64 * kPage), 0);
  });
}

TEST_P(MemoryTest, AdviseAndResidency) {
  WithGuest([&](AddressSpace& space, GuestThread&) {
    const uint64_t pages = 5000;  // more than one answer page
    ASSERT_TRUE(space.Map(kPlace, pages * kPage, kReadWrite, 0, {}).ok());
    ASSERT_TRUE(Poke(space, kPlace + 3 * kPage, 5));
    ASSERT_TRUE(Poke(space, kPlace + 4999 * kPage, 5));
    std::vector<uint8_t> resident(pages);
    ASSERT_TRUE(space.Residency(kPlace, resident).ok());
    EXPECT_EQ(resident[2] & 1, 0);
    EXPECT_EQ(resident[3] & 1, 1);
    EXPECT_EQ(resident[4998] & 1, 0);
    EXPECT_EQ(resident[4999] & 1, 1);
    ASSERT_TRUE(space.Advise(kPlace, pages * kPage, abi::kMADV_DONTNEED).ok());
    EXPECT_EQ(Peek<int>(space, kPlace + 3 * kPage), 0);
    EXPECT_EQ(space.Advise(kPlace, kPage, 12345).error(), kEINVAL);
  });
}

TEST_P(MemoryTest, FileMappingsPrivateAndShared) {
  UniqueFd file = std::move(*host::MemfdCreate("file", 0));
  ASSERT_TRUE(host::WriteFull(file.get(), "0123456789", 10).ok());
  ASSERT_TRUE(host::Ftruncate(file.get(), 2 * kPage).ok());
  ASSERT_TRUE(host::Pwrite(file.get(), "second", 6, kPage).ok());
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    ASSERT_TRUE(space.Map(kPlace, kPage, kReadWrite, 0, {.fd = file.get()}).ok());
    ASSERT_TRUE(space.Map(kPlace + kPage, kPage, kReadWrite, 0, {.fd = file.get(), .shared = true}).ok());
    ASSERT_TRUE(space.Map(kPlace + 2 * kPage, kPage, kRead, 0, {.fd = file.get(), .offset = kPage}).ok());
    EXPECT_EQ(Peek<char>(space, kPlace), '0');
    EXPECT_EQ(Peek<char>(space, kPlace + 2 * kPage), 's');
    EXPECT_EQ(StoreSignal(t, kPlace, 'p'), 0);
    EXPECT_EQ(Peek<char>(space, kPlace + kPage), '0') << "private stores stay private";
    EXPECT_EQ(StoreSignal(t, kPlace + kPage, 'S'), 0);
    char c = 0;
    ASSERT_TRUE(host::Pread(file.get(), &c, 1, 0).ok());
    EXPECT_EQ(c, 'S');
    EXPECT_TRUE(space.HostCall(nullptr, abi::kNr_msync, std::vector<uint64_t>{kPlace + kPage, kPage, abi::kMS_SYNC}).ok());
  });
}

TEST_P(MemoryTest, FailedFileMappingsReportWhyAndLeaveNothingBehind) {
  UniqueFd good = std::move(*host::MemfdCreate("file", 0));
  ASSERT_TRUE(host::Ftruncate(good.get(), kPage).ok());
  UniqueFd read_only = std::move(*host::Openat(abi::kAT_FDCWD, "/proc/self/exe", abi::kO_RDONLY));
  host::PipeEnds pipe = std::move(*host::Pipe2(0));
  WithGuest([&](AddressSpace& space, GuestThread&) {
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(space.Map(kPlace, kPage, kReadWrite, 0, {.fd = read_only.get(), .shared = true}).error(), kEACCES);
      EXPECT_EQ(space.Map(kPlace, kPage, kRead, 0, {.fd = pipe.read.get()}).error(), kENODEV);
      EXPECT_EQ(space.Map(kPlace, kPage, kRead, 0, {.fd = good.get(), .offset = 5}).error(), kEINVAL);
      EXPECT_EQ(space.Map(kPlace, kPage, kRead, 0, {.fd = 12345}).error(), kEBADF);
      EXPECT_TRUE(space.Map(kPlace, kPage, kReadWrite, 0, {.fd = good.get(), .shared = true}).ok());
    }
    pipe.write.Reset();
    char c;
    EXPECT_EQ(*host::Read(pipe.read.get(), &c, 1), 0u);
  });
}

TEST_P(MemoryTest, TouchGrowsTheStackWithinItsLimit) {
  WithGuest([&](AddressSpace& space, GuestThread&) {
    const UserAddr top = 0x7f0000000000;
    ASSERT_TRUE(space.Map(top - kPage, kPage, kReadWrite, abi::kMAP_GROWSDOWN, {}).ok());
    EXPECT_EQ(Peek<int>(space, top - 64 * kPage), ~0) << "a copy alone does not grow it";
    ASSERT_TRUE(space.Touch(top - 64 * kPage).ok());
    EXPECT_TRUE(Poke(space, top - 64 * kPage, 1));
    ASSERT_TRUE(space.SetStackLimit(1 << 20).ok());
    EXPECT_EQ(space.Touch(top - (2 << 20)).error(), kEFAULT);
    ASSERT_TRUE(space.SetStackLimit(8 << 20).ok());
    EXPECT_TRUE(space.Touch(top - (2 << 20)).ok());
    EXPECT_EQ(space.Touch(0x12345000).error(), kEFAULT);
  });
}

TEST_P(MemoryTest, AtomicOperations) {
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    struct Case { AtomicOp op; uint32_t before, arg, expected, after; };
    const Case cases[] = {
        {AtomicOp::kLoad, 5, 0, 0, 5},
        {AtomicOp::kCompareExchange, 5, 9, 5, 9},
        {AtomicOp::kCompareExchange, 5, 9, 6, 5},
        {AtomicOp::kExchange, 0xffffffff, 3, 0, 3},
        {AtomicOp::kAdd, 0xffffffff, 3, 0, 2},
        {AtomicOp::kOr, 0xf0, 0x0f, 0, 0xff},
        {AtomicOp::kAnd, 0xff, 0x0f, 0, 0x0f},
        {AtomicOp::kAndNot, 0xff, 0x0f, 0, 0xf0},
        {AtomicOp::kXor, 0xff, 0x0f, 0, 0xf0},
    };
    for (const Case& c : cases) {
      ASSERT_TRUE(Poke(space, kData + 4, c.before));
      auto old = space.Atomic(c.op, kData + 4, c.arg, c.expected);
      ASSERT_TRUE(old.ok());
      EXPECT_EQ(*old, c.before);
      EXPECT_EQ(Peek<uint32_t>(space, kData + 4), c.after);
    }
    EXPECT_EQ(space.Atomic(AtomicOp::kAdd, 0x66660000, 1, 0).error(), kEFAULT);
    EXPECT_EQ(space.Atomic(AtomicOp::kAdd, kCode, 1, 0).error(), kEFAULT) << "read-only";
    EXPECT_EQ(space.Atomic(AtomicOp::kLoad, 0x66660000, 0, 0).error(), kEFAULT);
    PrepareSyscall(t, 1);
    EXPECT_EQ(h().Go(t).kind, TrapKind::kSyscall) << "the guest runs on with its own registers";
    EXPECT_EQ(t.regs().rip, AddressOf(moat_guest_syscall) + 2);
  });
}

TEST_P(MemoryTest, HostCallsAreAShortList) {
  WithGuest([&](AddressSpace& space, GuestThread& t) {
    auto call = [&](int nr, std::vector<uint64_t> args) { return space.HostCall(&t, nr, args); };
    EXPECT_TRUE(call(abi::kNr_membarrier, {0, 0}).ok());
    EXPECT_EQ(call(abi::kNr_getpid, {}).error(), kENOSYS);
    EXPECT_EQ(call(abi::kNr_kill, {1, 9}).error(), kENOSYS);
    EXPECT_TRUE(call(abi::kNr_mlock2, {kData, kPage, 0}).ok());
    EXPECT_TRUE(call(abi::kNr_munlock, {kData, kPage}).ok());
    EXPECT_TRUE(call(abi::kNr_rseq, {kData, 32, 0, 0x53053053}).ok());
    EXPECT_EQ(call(abi::kNr_rseq, {kData, 32, 0, 0x53053053}).error(), kEBUSY);
    Prepare(t, moat_guest_load, [](abi::UserRegs& r) { r.rdi = kData; });
    (void)h().Go(t);
    EXPECT_LT(static_cast<uint32_t>(t.regs().rax >> 32), 4096u) << "the host filled in cpu_id";
    EXPECT_TRUE(call(abi::kNr_rseq, {kData, 32, 1, 0x53053053}).ok());
  });
}

}  // namespace
}  // namespace moat::conformance
