// Random calls: the book and the host's pages say the same at every step, host failures and grown stacks included.
#include <gtest/gtest.h>

#include <random>

#include "abi/mman.h"
#include "sentry/mm/fake_space.h"
#include "sentry/mm/memory_manager.h"

namespace moat {
namespace {

using test::FakeSpace;
using test::FakeThread;

constexpr uint64_t kPage = abi::kPAGE_SIZE;
constexpr UserAddr kLow = 0x10000000;
constexpr uint64_t kArea = 96;  // pages that the calls play in

class Player {
 public:
  explicit Player(unsigned seed) : random_(seed) {
    auto space = std::make_unique<FakeSpace>();
    host_ = space.get();
    host_->stack_limit = 24 * kPage;
    mm_ = MemoryManager::Create(std::move(space), info_);
    mm_->layout.mmap_base = kLow + kArea * kPage;
    mm_->SetBrkStart(kLow + 512 * kPage);
  }

  void Step() {
    if (Pick(20) == 0) host_->fail_next = kENOMEM;
    UserAddr at = kLow + Pick(kArea) * kPage, other = kLow + Pick(kArea) * kPage;
    uint64_t length = (1 + Pick(12)) * kPage, longer = (1 + Pick(16)) * kPage;
    switch (Pick(9)) {
      case 0: Map(0, length); break;
      case 1:
      case 2: Map(at, length); break;
      case 3: (void)mm_->Munmap(at, length); break;
      case 4: (void)mm_->Mprotect(at, length, Prot()); break;
      case 5: (void)mm_->Mremap(at, length, longer, abi::kMREMAP_MAYMOVE, 0, {}); break;
      case 6: {
        int flags = abi::kMREMAP_MAYMOVE | (Pick(2) ? abi::kMREMAP_FIXED : abi::kMREMAP_DONTUNMAP);
        (void)mm_->Mremap(at, length, Pick(2) ? longer : length, flags, other, {});
        break;
      }
      case 7: (void)host_->Touch(at); break;
      case 8: (void)mm_->Brk(kLow + (512 + Pick(32)) * kPage, {}); break;
    }
    host_->fail_next = Errno{0};
  }

  // Forks and goes on in the child.
  void Fork() {
    FakeThread thread(*host_);
    ErrorOr<MemoryManager::Forked> child = mm_->Fork(thread);
    ASSERT_TRUE(child.ok());
    mm_ = child->mm;
    host_ = static_cast<FakeSpace*>(&mm_->space());
    host_->stack_limit = 24 * kPage;
  }

  void Compare() {
    std::vector<Vma> vmas;
    mm_->ForEachVma([&](const Vma& v) { vmas.push_back(v); });
    uint64_t pages = 0;
    for (const Vma& v : vmas) {
      for (UserAddr a = v.start; a < v.end; a += kPage, ++pages) {
        auto it = host_->pages.find(a);
        ASSERT_TRUE(it != host_->pages.end()) << std::hex << a;
        ASSERT_EQ(it->second.prot, v.prot) << std::hex << a;
        ASSERT_EQ(it->second.grows_down, v.grows_down) << std::hex << a;
      }
    }
    ASSERT_EQ(pages, host_->pages.size());
    ASSERT_EQ(mm_->total_bytes(), pages * kPage);
  }

 private:
  uint64_t Pick(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random_); }
  int Prot() { return static_cast<int>(Pick(2) ? abi::kPROT_READ | abi::kPROT_WRITE : abi::kPROT_READ); }
  void Map(UserAddr at, uint64_t length) {
    uint32_t flags = abi::kMAP_PRIVATE | abi::kMAP_ANONYMOUS;
    if (at && Pick(3)) flags |= abi::kMAP_FIXED;
    if (Pick(6) == 0) flags |= abi::kMAP_GROWSDOWN;
    (void)mm_->Mmap({.addr = at, .length = length, .prot = Prot(), .flags = static_cast<int>(flags)}, {});
  }

  const PlatformInfo info_{.name = "fake", .task_size = abi::kTASK_SIZE, .mmap_min = 65536, .xsave_size = 0, .xfeatures = 0};
  std::mt19937 random_;
  FakeSpace* host_;
  Ref<MemoryManager> mm_;
};

TEST(AgreementTest, BookAndHostSayTheSame) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Player player(seed);
    for (int i = 0; i < 300; ++i) {
      player.Step();
      player.Compare();
      ASSERT_FALSE(testing::Test::HasFatalFailure()) << "seed " << seed << " step " << i;
      if (i % 100 == 99) player.Fork();
    }
  }
}

}  // namespace
}  // namespace moat
