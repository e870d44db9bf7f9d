#include <gtest/gtest.h>

#include <string>

#include "abi/mman.h"
#include "sentry/mm/fake_space.h"
#include "sentry/mm/memory_manager.h"

namespace moat {
namespace {

using test::FakeSpace;

constexpr uint64_t kPage = abi::kPAGE_SIZE;
constexpr int kRead = abi::kPROT_READ, kWrite = abi::kPROT_WRITE, kExec = abi::kPROT_EXEC;
constexpr int kPrivate = abi::kMAP_PRIVATE | abi::kMAP_ANONYMOUS, kShared = abi::kMAP_SHARED | abi::kMAP_ANONYMOUS;
constexpr UserAddr kBase = 0x10000000;

class ForceTest : public ::testing::Test {
 protected:
  ForceTest() {
    auto space = std::make_unique<FakeSpace>();
    host = space.get();
    mm = MemoryManager::Create(std::move(space), info);
  }
  void MapAt(UserAddr addr, int prot, int flags) {
    int fixed = flags | static_cast<int>(abi::kMAP_FIXED);
    ASSERT_TRUE(mm->Mmap({.addr = addr, .length = kPage, .prot = prot, .flags = fixed}, {}).ok());
  }
  ErrorOr<size_t> Put(UserAddr addr, std::string_view text) {
    return mm->ForceCopyOut(addr, std::as_bytes(std::span(text.data(), text.size())));
  }
  std::string Get(UserAddr addr, size_t n) {
    std::string out(n, '?');
    ErrorOr<size_t> got = mm->ForceCopyIn(addr, std::as_writable_bytes(std::span(out.data(), n)));
    out.resize(got.ok() ? *got : 0);
    return out;
  }

  PlatformInfo info{.name = "fake", .task_size = 0x7ffffffff000, .mmap_min = 0x10000, .xsave_size = 0, .xfeatures = 0};
  FakeSpace* host = nullptr;
  Ref<MemoryManager> mm;
};

TEST_F(ForceTest, TextIsWrittenAndKeepsItsProtection) {
  MapAt(kBase, kRead | kExec, kPrivate);
  EXPECT_EQ(*Put(kBase + 8, "trap"), 4u);
  EXPECT_EQ(Get(kBase + 8, 4), "trap");
  EXPECT_EQ(host->pages[kBase].prot, kRead | kExec);
}

TEST_F(ForceTest, InaccessiblePagesAreReadAndWritten) {
  MapAt(kBase, 0, kPrivate);
  EXPECT_EQ(*Put(kBase, "word"), 4u);
  EXPECT_EQ(Get(kBase, 4), "word");
  EXPECT_EQ(host->pages[kBase].prot, 0);
}

TEST_F(ForceTest, ACopyCrossesPagesOfDifferentProtection) {
  MapAt(kBase, kRead | kWrite, kPrivate);
  MapAt(kBase + kPage, kRead, kPrivate);
  EXPECT_EQ(*Put(kBase + kPage - 4, "both sides"), 10u);
  EXPECT_EQ(Get(kBase + kPage - 4, 10), "both sides");
  EXPECT_EQ(host->pages[kBase + kPage].prot, kRead);
}

TEST_F(ForceTest, SharedReadOnlyMemoryIsNotWritten) {
  MapAt(kBase, kRead, kShared);
  EXPECT_EQ(Put(kBase, "word").error(), kEFAULT);
  EXPECT_EQ(host->pages[kBase].prot, kRead);
}

TEST_F(ForceTest, ItStopsBeforeAHole) {
  MapAt(kBase, kRead, kPrivate);
  EXPECT_EQ(*Put(kBase + kPage - 2, "word"), 2u);
  EXPECT_EQ(Get(kBase + kPage - 2, 4).size(), 2u);
  EXPECT_EQ(Put(kBase + kPage, "word").error(), kEFAULT);
}

}  // namespace
}  // namespace moat
