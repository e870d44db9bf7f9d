// The book over real address spaces: what the host has is what the book says, stacks that the host grew included.
#include <gtest/gtest.h>

#include <random>

#include "abi/mman.h"
#include "abi/signal.h"
#include "platform/conformance/harness.h"
#include "sentry/mm/memory_manager.h"

namespace moat::conformance {
namespace {

constexpr uint64_t kPage = abi::kPAGE_SIZE;
constexpr int kRw = abi::kPROT_READ | abi::kPROT_WRITE, kRead = abi::kPROT_READ;
constexpr int kAnon = abi::kMAP_PRIVATE | abi::kMAP_ANONYMOUS;
constexpr int kStack = kAnon | static_cast<int>(abi::kMAP_GROWSDOWN | abi::kMAP_FIXED);
constexpr UserAddr kLow = 0x700000000;
constexpr uint64_t kArea = 4096;  // pages: stacks keep 256 free below them

struct Process {
  Ref<MemoryManager> mm;
  std::unique_ptr<GuestThread> thread;
  ~Process() { thread = nullptr; }  // before its space
};

class HostTest : public testing::TestWithParam<const char*> {
 protected:
  Harness& h() { return Harness::For(GetParam()); }
  void WithProcess(const std::function<void(Process&)>& body) {
    h().Run([&] {
      Process p;
      Start(p);
      body(p);
    });
  }
  void Start(Process& p) {
    Guest guest = MakeGuest(h().platform());
    p.mm = MemoryManager::Create(std::move(guest.space), h().platform().info());
    p.thread = std::move(guest.thread);
    // The harness mapped these by itself.
    ASSERT_TRUE(p.mm->space().Unmap(kData, kDataSize).ok());
    ASSERT_TRUE(p.mm->SetStackLimit(2 << 20).ok());
    p.mm->layout.mmap_base = kLow + kArea * kPage;
  }
  int Store(GuestThread& t, UserAddr addr) {
    Prepare(t, moat_guest_store, [&](abi::UserRegs& r) { r.rdi = addr, r.rsi = 1; });
    Trap trap = h().Go(t);
    return trap.signo == abi::kSIGILL ? 0 : trap.signo;
  }
  UserAddr StackStart(MemoryManager& mm) {
    UserAddr start = 0;
    mm.ForEachVma([&](const Vma& v) { start = v.grows_down ? v.start : start; });
    return start;
  }
  // Each mapping is there with its rights, and nothing lies between.
  void Compare(MemoryManager& mm) {
    std::vector<Vma> vmas;
    mm.ForEachVma([&](const Vma& v) { vmas.push_back(v); });
    UserAddr at = kLow;
    AddressSpace& space = mm.space();
    for (const Vma& v : vmas) {
      for (; at < v.start; at += std::min<uint64_t>(7 * kPage, std::max(v.start - at, kPage))) ExpectHole(space, at);
      std::vector<uint8_t> pages(v.length() / kPage);
      ASSERT_TRUE(space.Residency(v.start, pages).ok()) << std::hex << v.start << "-" << v.end;
      for (UserAddr page : {v.start, v.end - kPage}) {
        std::byte b{};
        ASSERT_EQ(space.CopyIn(page, {&b, 1}).ok(), (v.prot & kRead) != 0) << std::hex << page;
        ASSERT_EQ(space.CopyOut(page, {&b, 1}).ok(), (v.prot & abi::kPROT_WRITE) != 0) << std::hex << page;
      }
      at = v.end;
    }
    for (; at < kLow + kArea * kPage; at += 7 * kPage) ExpectHole(space, at);
  }
  void ExpectHole(AddressSpace& space, UserAddr at) {
    uint8_t byte;
    ASSERT_FALSE(space.Residency(at, {&byte, 1}).ok()) << std::hex << at;
  }
};
INSTANTIATE_TEST_SUITE_P(Platforms, HostTest, testing::Values("ptrace"));

TEST_P(HostTest, CopiesGrowTheStackWithinItsLimit) {
  WithProcess([&](Process& p) {
    UserAddr top = kLow + kArea * kPage;
    ASSERT_TRUE(p.mm->Mmap({.addr = top - kPage, .length = kPage, .prot = kRw, .flags = kStack}, {}).ok());
    UserAddr deep = top - 300 * 1024;
    std::vector<std::byte> bytes(200 * 1024, std::byte{7});
    ASSERT_TRUE(p.mm->CopyOut(deep, bytes.data(), bytes.size()).ok());
    EXPECT_EQ(*p.mm->Read<uint8_t>(deep + 1000), 7);
    EXPECT_EQ(StackStart(*p.mm), deep & ~(kPage - 1));
    EXPECT_EQ(p.mm->Write<int>(top - (3 << 20), 1).error(), kEFAULT);
    EXPECT_EQ(p.mm->Read<int>(top).error(), kEFAULT);
  });
}

TEST_P(HostTest, GrowthByTheGuestIsLearntAndUnmapped) {
  WithProcess([&](Process& p) {
    UserAddr top = kLow + kArea * kPage;
    ASSERT_TRUE(p.mm->Mmap({.addr = top - kPage, .length = kPage, .prot = kRw, .flags = kStack}, {}).ok());
    EXPECT_EQ(Store(*p.thread, top - 100 * kPage), 0);
    Vma v;
    ASSERT_TRUE(p.mm->FindVma(top - 100 * kPage, &v));
    EXPECT_EQ(v.start, top - 100 * kPage);
    EXPECT_EQ(Store(*p.thread, top - 1000 * kPage), abi::kSIGSEGV);
    EXPECT_FALSE(p.mm->HandleFault(top - 1000 * kPage));
    EXPECT_EQ(Store(*p.thread, top - 200 * kPage), 0);
    ASSERT_TRUE(p.mm->Munmap(top - 200 * kPage, 50 * kPage).ok());
    EXPECT_EQ(StackStart(*p.mm), top - 150 * kPage);
    EXPECT_EQ(p.mm->total_bytes(), 150 * kPage);
  });
}

TEST_P(HostTest, ForkCopiesMemoryAndBook) {
  WithProcess([&](Process& p) {
    UserAddr a = *p.mm->Mmap({.length = 4 * kPage, .prot = kRw, .flags = kAnon}, {});
    ASSERT_TRUE(p.mm->Write<int>(a, 1).ok());
    ASSERT_TRUE(p.mm->Madvise(a + kPage, kPage, abi::kMADV_DONTFORK).ok());
    ASSERT_TRUE(p.mm->Madvise(a + 2 * kPage, kPage, abi::kMADV_WIPEONFORK).ok());
    ASSERT_TRUE(p.mm->Write<int>(a + 2 * kPage, 2).ok());
    ErrorOr<MemoryManager::Forked> forked = p.mm->Fork(*p.thread);
    ASSERT_TRUE(forked.ok());
    Process child{std::move(forked->mm), std::move(forked->thread)};
    Compare(*child.mm);
    EXPECT_FALSE(child.mm->FindVma(a + kPage, nullptr));
    EXPECT_EQ(*child.mm->Read<int>(a), 1);
    EXPECT_EQ(*child.mm->Read<int>(a + 2 * kPage), 0);
    ASSERT_TRUE(child.mm->Write<int>(a, 5).ok());
    EXPECT_EQ(*p.mm->Read<int>(a), 1);
  });
}

TEST_P(HostTest, RandomCallsKeepTheBookTrue) {
  WithProcess([&](Process& p) {
    MemoryManager& mm = *p.mm;
    std::mt19937 random(11);
    auto pick = [&](uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random); };
    for (int step = 0; step < 400; ++step) {
      UserAddr at = kLow + pick(kArea) * kPage, other = kLow + pick(kArea) * kPage;
      uint64_t length = (1 + pick(300)) * kPage, longer = (1 + pick(400)) * kPage;
      int prot = pick(2) ? kRw : kRead;
      bool inside = at + length <= kLow + kArea * kPage, target_inside = other + longer <= kLow + kArea * kPage;
      switch (pick(8)) {
        case 0: (void)mm.Mmap({.length = length, .prot = prot, .flags = kAnon}, {}); break;
        case 1:
        case 2:
          if (inside) (void)mm.Mmap({.addr = at, .length = length, .prot = prot, .flags = pick(4) ? kAnon | static_cast<int>(abi::kMAP_FIXED) : kStack}, {});
          break;
        case 3: (void)mm.Munmap(at, length); break;
        case 4: (void)mm.Mprotect(at, length, prot); break;
        case 5: (void)mm.Mremap(at, length, longer, abi::kMREMAP_MAYMOVE, 0, {}); break;
        case 6:
          if (target_inside) {
            (void)mm.Mremap(at, length, longer, static_cast<int>(abi::kMREMAP_MAYMOVE | abi::kMREMAP_FIXED), other, {});
          }
          break;
        case 7: (void)mm.space().Touch(at); break;
      }
      Compare(mm);
      ASSERT_FALSE(testing::Test::HasFatalFailure()) << "step " << step;
    }
  });
}

}  // namespace
}  // namespace moat::conformance
