#include "sentry/mm/memory_manager.h"

#include <gtest/gtest.h>

#include "abi/mman.h"
#include "abi/stat.h"
#include "fs/vfs/anon.h"
#include "fs/vfs/inode.h"
#include "sentry/mm/fake_space.h"

namespace moat {
namespace {

using test::FakeSpace;
using test::FakeThread;

constexpr uint64_t kPage = abi::kPAGE_SIZE;
constexpr int kRead = abi::kPROT_READ, kWrite = abi::kPROT_WRITE, kExec = abi::kPROT_EXEC;
constexpr int kPrivate = abi::kMAP_PRIVATE, kShared = abi::kMAP_SHARED, kAnon = abi::kMAP_ANONYMOUS, kFixed = abi::kMAP_FIXED;
constexpr UserAddr kBase = 0x10000000;

class TestFile final : public FileDescription {
 public:
  explicit TestFile(uint32_t flags) : FileDescription(MakeAnonPath("file", abi::kS_IFREG), flags) {}
  ErrorOr<HostBacking> Map(uint64_t offset, uint64_t, bool shared_writable) override {
    last_shared_writable = shared_writable;
    if (shared_writable && sealed) return kEPERM;
    return HostBacking{.fd = 77, .offset = offset + 0x1000000};
  }
  ErrorOr<void> Allocate(int, int64_t offset, int64_t length) override {
    punched_offset = offset, punched_length = length;
    return {};
  }
  ErrorOr<void> Sync(bool) override {
    ++syncs;
    return {};
  }
  bool last_shared_writable = false, sealed = false;
  int64_t punched_offset = -1, punched_length = 0;
  int syncs = 0;
};

class MemoryManagerTest : public ::testing::Test {
 protected:
  MemoryManagerTest() {
    auto space = std::make_unique<FakeSpace>();
    host = space.get();
    mm = MemoryManager::Create(std::move(space), info);
  }
  ErrorOr<UserAddr> Map(UserAddr addr, uint64_t length, int prot = kRead | kWrite, int flags = kPrivate | kAnon) {
    return mm->Mmap({.addr = addr, .length = length, .prot = prot, .flags = flags}, limits);
  }
  UserAddr MapAt(UserAddr addr, uint64_t length, int prot = kRead | kWrite, int flags = kPrivate | kAnon) {
    ErrorOr<UserAddr> r = Map(addr, length, prot, flags | kFixed);
    EXPECT_TRUE(r.ok());
    return r.ok() ? *r : 0;
  }
  ErrorOr<UserAddr> MapFile(Ref<FileDescription> file, int prot, int flags, uint64_t offset = 0, uint64_t length = kPage) {
    return mm->Mmap({.length = length, .prot = prot, .flags = flags, .file = file, .offset = offset}, limits);
  }
  std::vector<Vma> Vmas() {
    std::vector<Vma> v;
    mm->ForEachVma([&](const Vma& vma) { v.push_back(vma); });
    return v;
  }
  int HostProt(UserAddr addr) { return host->pages.count(addr) ? host->pages[addr].prot : -1; }

  PlatformInfo info{.name = "fake", .task_size = abi::kTASK_SIZE, .mmap_min = 65536, .xsave_size = 0, .xfeatures = 0};
  MemoryLimits limits;
  FakeSpace* host;
  Ref<MemoryManager> mm;
};

constexpr uint32_t kReadOnly = 0, kWriteOnly = 1, kReadWrite = 2;

TEST_F(MemoryManagerTest, MmapRefusesBadArguments) {
  EXPECT_EQ(Map(0, 0).error(), kEINVAL);
  EXPECT_EQ(Map(0, ~uint64_t{0}).error(), kENOMEM);
  EXPECT_EQ(Map(0, info.task_size + kPage).error(), kENOMEM);
  EXPECT_EQ(Map(0, kPage, kRead, kAnon).error(), kEINVAL);
  EXPECT_EQ(Map(0, kPage, kRead, kAnon | static_cast<int>(abi::kMAP_SHARED_VALIDATE)).error(), kEINVAL);
  EXPECT_EQ(Map(kBase + 1, kPage, kRead, kPrivate | kAnon | kFixed).error(), kEINVAL);
  EXPECT_EQ(Map(info.task_size, kPage, kRead, kPrivate | kAnon | kFixed).error(), kENOMEM);
  EXPECT_EQ(Map(0, kPage, kRead, kPrivate | kAnon | kFixed).error(), kEPERM);
  EXPECT_EQ(host->calls, 0);
}

TEST_F(MemoryManagerTest, MappingsGoDownFromTheBaseAndMerge) {
  mm->layout.mmap_base = kBase;
  EXPECT_EQ(*Map(0, 3 * kPage), kBase - 3 * kPage);
  EXPECT_EQ(*Map(0, 100), kBase - 4 * kPage);
  ASSERT_EQ(Vmas().size(), 1u);
  EXPECT_EQ(mm->total_bytes(), 4 * kPage);
  EXPECT_EQ(HostProt(kBase - kPage), kRead | kWrite);
}

TEST_F(MemoryManagerTest, AHintIsTakenWhenFreeAndLeftOtherwise) {
  EXPECT_EQ(*Map(kBase + 123, kPage), kBase);
  ErrorOr<UserAddr> other = Map(kBase, kPage);
  ASSERT_TRUE(other.ok());
  EXPECT_NE(*other, kBase);
}

TEST_F(MemoryManagerTest, FixedReplacesAndNoReplaceRefuses) {
  MapAt(kBase, 4 * kPage);
  EXPECT_EQ(Map(kBase + kPage, kPage, kRead, kPrivate | kAnon | static_cast<int>(abi::kMAP_FIXED_NOREPLACE)).error(), kEEXIST);
  MapAt(kBase + kPage, kPage, kRead);
  std::vector<Vma> v = Vmas();
  ASSERT_EQ(v.size(), 3u);
  EXPECT_EQ(v[1].prot, kRead);
  EXPECT_EQ(HostProt(kBase + kPage), kRead);
}

TEST_F(MemoryManagerTest, Map32BitStaysBelow2G) {
  ErrorOr<UserAddr> r = Map(0, kPage, kRead, kPrivate | kAnon | static_cast<int>(abi::kMAP_32BIT));
  ASSERT_TRUE(r.ok());
  EXPECT_LT(*r, uint64_t{1} << 31);
}

TEST_F(MemoryManagerTest, FilesAreCheckedForTheAccessOfTheirDescriptor) {
  auto read_only = MakeRef<TestFile>(kReadOnly), write_only = MakeRef<TestFile>(kWriteOnly);
  EXPECT_EQ(MapFile(write_only, kRead, kPrivate).error(), kEACCES);
  EXPECT_EQ(MapFile(read_only, kRead | kWrite, kShared).error(), kEACCES);
  EXPECT_TRUE(MapFile(read_only, kRead | kWrite, kPrivate).ok());
  EXPECT_FALSE(read_only->last_shared_writable);
  ErrorOr<UserAddr> shared = MapFile(read_only, kRead, kShared);
  ASSERT_TRUE(shared.ok());
  EXPECT_EQ(mm->Mprotect(*shared, kPage, kRead | kWrite).error(), kEACCES);
  EXPECT_EQ(HostProt(*shared), kRead);
}

TEST_F(MemoryManagerTest, WritableSharedMappingsAskForAWritableBacking) {
  auto file = MakeRef<TestFile>(kReadWrite);
  ErrorOr<UserAddr> r = MapFile(file, kRead, kShared, 8 * kPage, 2 * kPage);
  ASSERT_TRUE(r.ok());
  EXPECT_TRUE(file->last_shared_writable);
  EXPECT_EQ(host->pages[*r + kPage].offset, 0x1000000 + 9 * kPage);
  EXPECT_TRUE(mm->Mprotect(*r, kPage, kRead | kWrite).ok());
}

TEST_F(MemoryManagerTest, ASealedFileMapsReadOnlyForGood) {
  auto file = MakeRef<TestFile>(kReadWrite);
  file->sealed = true;
  EXPECT_EQ(MapFile(file, kRead | kWrite, kShared).error(), kEPERM);
  ErrorOr<UserAddr> r = MapFile(file, kRead, kShared);
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(mm->Mprotect(*r, kPage, kRead | kWrite).error(), kEACCES);
}

TEST_F(MemoryManagerTest, WritableMappingsAreCountedAtTheInode) {
  auto file = MakeRef<TestFile>(kReadWrite), reader = MakeRef<TestFile>(kReadOnly);
  ErrorOr<UserAddr> r = MapFile(file, kRead, kShared, 0, 4 * kPage);
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(file->inode().writable_mappings(), 1);
  ASSERT_TRUE(mm->Munmap(*r + kPage, kPage).ok());
  EXPECT_EQ(file->inode().writable_mappings(), 2);
  ASSERT_TRUE(MapFile(file, kRead, kPrivate).ok());
  ASSERT_TRUE(MapFile(reader, kRead, kShared).ok());
  EXPECT_EQ(reader->inode().writable_mappings(), 0);
  FakeThread thread(*host);
  ErrorOr<MemoryManager::Forked> child = mm->Fork(thread);
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(file->inode().writable_mappings(), 4);
  child->mm = nullptr;
  EXPECT_EQ(file->inode().writable_mappings(), 2);
  ASSERT_TRUE(mm->Munmap(*r, 4 * kPage).ok());
  EXPECT_EQ(file->inode().writable_mappings(), 0);
}

TEST_F(MemoryManagerTest, SharedValidateRefusesUnknownFlagsAndOffsetsEndAt2To63) {
  auto file = MakeRef<TestFile>(kReadWrite);
  int validate = abi::kMAP_SHARED_VALIDATE;
  EXPECT_EQ(MapFile(file, kRead, validate | static_cast<int>(abi::kMAP_SYNC)).error(), kEOPNOTSUPP);
  EXPECT_EQ(MapFile(file, kRead, kPrivate, uint64_t{1} << 63).error(), kEOVERFLOW);
}

TEST_F(MemoryManagerTest, LimitsOfSpaceAndDataHold) {
  limits.address_space = 4 * kPage;
  MapAt(kBase, 3 * kPage);
  EXPECT_EQ(Map(0, 2 * kPage).error(), kENOMEM);
  MapAt(kBase, 3 * kPage);  // replaces: no more than before
  limits = {.data = 4 * kPage};
  EXPECT_TRUE(Map(0, 8 * kPage, kRead).ok());
  EXPECT_EQ(Map(0, 2 * kPage).error(), kENOMEM);
}

TEST_F(MemoryManagerTest, AFailedHostCallLeavesTheBookAlone) {
  MapAt(kBase, kPage);
  host->fail_next = kENOMEM;
  EXPECT_EQ(mm->Munmap(kBase, kPage).error(), kENOMEM);
  host->fail_next = kENOMEM;
  EXPECT_EQ(mm->Mprotect(kBase, kPage, kRead).error(), kENOMEM);
  host->fail_next = kEAGAIN;
  EXPECT_EQ(Map(kBase, kPage, kRead, kPrivate | kAnon | kFixed).error(), kEAGAIN);
  ASSERT_EQ(Vmas().size(), 1u);
  EXPECT_EQ(Vmas()[0].prot, kRead | kWrite);
}

TEST_F(MemoryManagerTest, MunmapOfHolesSucceedsAndChecksItsRange) {
  EXPECT_TRUE(mm->Munmap(kBase, kPage).ok());
  EXPECT_EQ(host->calls, 0);
  EXPECT_EQ(mm->Munmap(kBase + 1, kPage).error(), kEINVAL);
  EXPECT_EQ(mm->Munmap(kBase, 0).error(), kEINVAL);
  EXPECT_EQ(mm->Munmap(kBase, info.task_size).error(), kEINVAL);
}

TEST_F(MemoryManagerTest, MprotectChangesUpToTheFirstHole) {
  MapAt(kBase, 2 * kPage);
  EXPECT_EQ(mm->Mprotect(kBase, 4 * kPage, kRead).error(), kENOMEM);
  EXPECT_EQ(Vmas()[0].prot, kRead);
  EXPECT_EQ(HostProt(kBase + kPage), kRead);
  EXPECT_EQ(mm->Mprotect(kBase - kPage, 2 * kPage, kRead | kWrite).error(), kENOMEM);
  EXPECT_EQ(Vmas()[0].prot, kRead);
  EXPECT_EQ(mm->Mprotect(kBase, kPage, 0x100).error(), kEINVAL);
  EXPECT_TRUE(mm->Mprotect(kBase + 64 * kPage, 0, kRead).ok());
}

TEST_F(MemoryManagerTest, ProtGrowsdownReachesTheStartOfAStack) {
  MapAt(kBase, 4 * kPage, kRead | kWrite, kPrivate | kAnon | static_cast<int>(abi::kMAP_GROWSDOWN));
  int grows = static_cast<int>(abi::kPROT_GROWSDOWN);
  ASSERT_TRUE(mm->Mprotect(kBase + 3 * kPage, kPage, kRead | kWrite | kExec | grows).ok());
  ASSERT_EQ(Vmas().size(), 1u);
  EXPECT_EQ(Vmas()[0].prot, kRead | kWrite | kExec);
  MapAt(kBase + 64 * kPage, kPage);
  EXPECT_EQ(mm->Mprotect(kBase + 64 * kPage, kPage, kRead | grows).error(), kEINVAL);
}

TEST_F(MemoryManagerTest, BrkGrowsShrinksAndNeverFails) {
  mm->SetBrkStart(kBase);
  EXPECT_EQ(*mm->Brk(0, limits), kBase);
  EXPECT_EQ(*mm->Brk(kBase + 100, limits), kBase + 100);
  EXPECT_EQ(*mm->Brk(kBase + 3 * kPage, limits), kBase + 3 * kPage);
  ASSERT_EQ(Vmas().size(), 1u);
  EXPECT_STREQ(Vmas()[0].name, "[heap]");
  EXPECT_EQ(Vmas()[0].end, kBase + 3 * kPage);
  EXPECT_EQ(*mm->Brk(kBase + kPage, limits), kBase + kPage);
  EXPECT_EQ(mm->total_bytes(), kPage);
  MapAt(kBase + 4 * kPage, kPage, kRead);
  EXPECT_EQ(*mm->Brk(kBase + 4 * kPage, limits), kBase + kPage);  // no page of distance left
  EXPECT_EQ(*mm->Brk(kBase + 3 * kPage, limits), kBase + 3 * kPage);
  limits.data = 3 * kPage;
  EXPECT_EQ(*mm->Brk(kBase + 3 * kPage + 1, limits), kBase + 3 * kPage);
}

TEST_F(MemoryManagerTest, MremapChecksInLinuxOrder) {
  MapAt(kBase, 2 * kPage);
  int may = abi::kMREMAP_MAYMOVE, fixed = abi::kMREMAP_FIXED, keep = abi::kMREMAP_DONTUNMAP;
  EXPECT_EQ(mm->Mremap(kBase, kPage, kPage, 8, 0, limits).error(), kEINVAL);
  EXPECT_EQ(mm->Mremap(kBase, kPage, kPage, fixed, kBase + 32 * kPage, limits).error(), kEINVAL);
  EXPECT_EQ(mm->Mremap(kBase, kPage, 2 * kPage, may | keep, 0, limits).error(), kEINVAL);
  EXPECT_EQ(mm->Mremap(kBase + 1, kPage, kPage, may, 0, limits).error(), kEINVAL);
  EXPECT_EQ(mm->Mremap(kBase, kPage, 0, may, 0, limits).error(), kEINVAL);
  EXPECT_EQ(mm->Mremap(kBase + 8 * kPage, kPage, 2 * kPage, may, 0, limits).error(), kEFAULT);
  EXPECT_EQ(mm->Mremap(kBase, 3 * kPage, 4 * kPage, may, 0, limits).error(), kEFAULT);
  EXPECT_EQ(mm->Mremap(kBase, 0, kPage, may, 0, limits).error(), kEINVAL);
  EXPECT_EQ(mm->Mremap(kBase, 2 * kPage, 2 * kPage, may | fixed, kBase + kPage, limits).error(), kEINVAL);
}

TEST_F(MemoryManagerTest, MremapGrowsInPlaceOrMovesWithTheContents) {
  MapAt(kBase, kPage);
  MapAt(kBase + 4 * kPage, kPage, kRead);
  ASSERT_TRUE(mm->Write<int>(kBase, 42).ok());
  EXPECT_EQ(*mm->Mremap(kBase, kPage, 2 * kPage, 0, 0, limits), kBase);
  EXPECT_EQ(mm->Mremap(kBase, 2 * kPage, 8 * kPage, 0, 0, limits).error(), kENOMEM);
  ErrorOr<UserAddr> moved = mm->Mremap(kBase, 2 * kPage, 8 * kPage, abi::kMREMAP_MAYMOVE, 0, limits);
  ASSERT_TRUE(moved.ok());
  EXPECT_NE(*moved, kBase);
  EXPECT_EQ(*mm->Read<int>(*moved), 42);
  EXPECT_FALSE(mm->FindVma(kBase, nullptr));
  EXPECT_EQ(mm->total_bytes(), 9 * kPage);
  EXPECT_EQ(*mm->Mremap(*moved, 8 * kPage, kPage, 0, 0, limits), *moved);
  EXPECT_EQ(mm->total_bytes(), 2 * kPage);
}

TEST_F(MemoryManagerTest, MremapFixedReplacesAndDontunmapKeeps) {
  MapAt(kBase, kPage);
  MapAt(kBase + 16 * kPage, 4 * kPage, kRead);
  int flags = static_cast<int>(abi::kMREMAP_MAYMOVE | abi::kMREMAP_FIXED);
  EXPECT_EQ(*mm->Mremap(kBase, kPage, 2 * kPage, flags, kBase + 17 * kPage, limits), kBase + 17 * kPage);
  std::vector<Vma> v = Vmas();
  ASSERT_EQ(v.size(), 3u);
  EXPECT_EQ(v[1].start, kBase + 17 * kPage);
  EXPECT_EQ(v[1].end, kBase + 19 * kPage);
  EXPECT_EQ(v[1].prot, kRead | kWrite);
  int keep = static_cast<int>(abi::kMREMAP_MAYMOVE | abi::kMREMAP_DONTUNMAP);
  ErrorOr<UserAddr> copy = mm->Mremap(kBase + 17 * kPage, 2 * kPage, 2 * kPage, keep, 0, limits);
  ASSERT_TRUE(copy.ok());
  EXPECT_TRUE(mm->FindVma(kBase + 17 * kPage, nullptr));
  EXPECT_TRUE(mm->FindVma(*copy, nullptr));
}

TEST_F(MemoryManagerTest, MremapOfNothingDuplicatesASharedMapping) {
  auto file = MakeRef<TestFile>(kReadWrite);
  ErrorOr<UserAddr> first = MapFile(file, kRead | kWrite, kShared, 0, 2 * kPage);
  ASSERT_TRUE(first.ok());
  ErrorOr<UserAddr> second = mm->Mremap(*first + kPage, 0, kPage, abi::kMREMAP_MAYMOVE, 0, limits);
  ASSERT_TRUE(second.ok());
  Vma v;
  ASSERT_TRUE(mm->FindVma(*second, &v));
  EXPECT_EQ(v.offset + (*second - v.start), kPage);
  EXPECT_TRUE(mm->FindVma(*first + kPage, nullptr));
}

TEST_F(MemoryManagerTest, MadviseChecksAdviceRangeAndMapping) {
  MapAt(kBase, 2 * kPage);
  EXPECT_EQ(mm->Madvise(kBase, kPage, 9999).error(), kEINVAL);
  EXPECT_EQ(mm->Madvise(kBase + 1, kPage, abi::kMADV_DONTNEED).error(), kEINVAL);
  EXPECT_EQ(mm->Madvise(kBase, ~uint64_t{0}, abi::kMADV_DONTNEED).error(), kEINVAL);
  EXPECT_TRUE(mm->Madvise(kBase, 0, abi::kMADV_DONTNEED).ok());
  ASSERT_TRUE(mm->Write<int>(kBase, 5).ok());
  EXPECT_EQ(mm->Madvise(kBase, 4 * kPage, abi::kMADV_DONTNEED).error(), kENOMEM);  // a hole, after the rest was done
  EXPECT_EQ(*mm->Read<int>(kBase), 0);
  ASSERT_TRUE(mm->Mlock(kBase, kPage, false, limits).ok());
  EXPECT_EQ(mm->Madvise(kBase, kPage, abi::kMADV_DONTNEED).error(), kEINVAL);
  auto file = MakeRef<TestFile>(kReadWrite);
  ErrorOr<UserAddr> mapped = MapFile(file, kRead | kWrite, kShared, 4 * kPage, 2 * kPage);
  ASSERT_TRUE(mapped.ok());
  EXPECT_EQ(mm->Madvise(*mapped, kPage, abi::kMADV_FREE).error(), kEINVAL);
  EXPECT_EQ(mm->Madvise(*mapped, kPage, abi::kMADV_WIPEONFORK).error(), kEINVAL);
  EXPECT_EQ(mm->Madvise(kBase + kPage, kPage, abi::kMADV_REMOVE).error(), kEINVAL);
  ASSERT_TRUE(mm->Madvise(*mapped + kPage, kPage, abi::kMADV_REMOVE).ok());
  EXPECT_EQ(file->punched_offset, static_cast<int64_t>(5 * kPage));
  EXPECT_EQ(file->punched_length, static_cast<int64_t>(kPage));
}

TEST_F(MemoryManagerTest, ForkLeavesOutWhatWasAdvisedAndUnlocks) {
  MapAt(kBase, 4 * kPage);
  mm->SetBrkStart(kBase + 64 * kPage);
  ASSERT_TRUE(mm->Madvise(kBase, kPage, abi::kMADV_DONTFORK).ok());
  ASSERT_TRUE(mm->Madvise(kBase + kPage, kPage, abi::kMADV_WIPEONFORK).ok());
  ASSERT_TRUE(mm->Mlock(kBase + 2 * kPage, kPage, false, limits).ok());
  ASSERT_TRUE(mm->Write<int>(kBase + 3 * kPage, 9).ok());
  FakeThread thread(*host);
  ErrorOr<MemoryManager::Forked> child = mm->Fork(thread);
  ASSERT_TRUE(child.ok());
  EXPECT_FALSE(child->mm->FindVma(kBase, nullptr));
  Vma v;
  ASSERT_TRUE(child->mm->FindVma(kBase + kPage, &v));
  EXPECT_TRUE(v.wipe_on_fork);
  EXPECT_EQ(child->mm->locked_bytes(), 0u);
  EXPECT_EQ(mm->locked_bytes(), kPage);
  EXPECT_EQ(*child->mm->Read<int>(kBase + 3 * kPage), 9);
  EXPECT_EQ(*child->mm->Brk(0, limits), kBase + 64 * kPage);
  ASSERT_TRUE(child->mm->Munmap(kBase + 2 * kPage, 2 * kPage).ok());
  EXPECT_TRUE(mm->FindVma(kBase + 2 * kPage, nullptr));
}

TEST_F(MemoryManagerTest, MlockObeysItsLimit) {
  MapAt(kBase, 8 * kPage);
  limits.memlock = 4 * kPage;
  ASSERT_TRUE(mm->Mlock(kBase + 1, 3 * kPage, false, limits).ok());  // four pages
  EXPECT_EQ(mm->locked_bytes(), 4 * kPage);
  EXPECT_TRUE(host->pages[kBase].resident);
  EXPECT_EQ(mm->Mlock(kBase + 4 * kPage, kPage, false, limits).error(), kENOMEM);
  EXPECT_TRUE(mm->Mlock(kBase, kPage, false, limits).ok());  // locked already
  EXPECT_EQ(Map(0, kPage, kRead, kPrivate | kAnon | static_cast<int>(abi::kMAP_LOCKED)).error(), kEAGAIN);
  EXPECT_TRUE(mm->Munlock(kBase, 2 * kPage).ok());
  EXPECT_EQ(mm->locked_bytes(), 2 * kPage);
  limits.memlock = 0;
  EXPECT_EQ(mm->Mlock(kBase, kPage, false, limits).error(), kEPERM);
  limits.can_lock_any = true;
  EXPECT_EQ(mm->Mlock(kBase, 16 * kPage, false, limits).error(), kENOMEM);  // a hole
  EXPECT_EQ(mm->locked_bytes(), 8 * kPage);
  EXPECT_EQ(mm->Mlockall(0, limits).error(), kEINVAL);
  EXPECT_EQ(mm->Mlockall(abi::kMCL_ONFAULT, limits).error(), kEINVAL);
  ASSERT_TRUE(mm->Munlockall().ok());
  ASSERT_TRUE(mm->Mlockall(abi::kMCL_FUTURE, limits).ok());
  EXPECT_EQ(mm->locked_bytes(), 0u);
  ErrorOr<UserAddr> r = Map(0, kPage);
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(mm->locked_bytes(), kPage);
  EXPECT_TRUE(host->pages[*r].resident);
}

TEST_F(MemoryManagerTest, MincoreShowsResidencyAndStopsAtHoles) {
  MapAt(kBase, 2 * kPage);
  MapAt(kBase + 16 * kPage, kPage);
  host->pages[kBase + kPage].resident = true;
  UserAddr vec = kBase + 16 * kPage;
  ASSERT_TRUE(mm->Mincore(kBase, 2 * kPage, vec).ok());
  EXPECT_EQ(*mm->Read<uint16_t>(vec), 0x0100);
  EXPECT_EQ(mm->Mincore(kBase + 1, kPage, vec).error(), kEINVAL);
  EXPECT_EQ(mm->Mincore(kBase, 4 * kPage, vec).error(), kENOMEM);
  EXPECT_EQ(mm->Mincore(kBase, kPage, kBase + 64 * kPage).error(), kEFAULT);
  EXPECT_EQ(mm->ResidentBytes(), kPage);
}

TEST_F(MemoryManagerTest, MsyncReachesTheFile) {
  auto file = MakeRef<TestFile>(kReadWrite);
  ErrorOr<UserAddr> r = MapFile(file, kRead | kWrite, kShared);
  ASSERT_TRUE(r.ok());
  int sync = abi::kMS_SYNC, async = abi::kMS_ASYNC;
  EXPECT_TRUE(mm->Msync(*r, kPage, async).ok());
  EXPECT_EQ(file->syncs, 0);
  EXPECT_TRUE(mm->Msync(*r, kPage, sync).ok());
  EXPECT_EQ(file->syncs, 1);
  EXPECT_EQ(mm->Msync(*r, kPage, sync | async).error(), kEINVAL);
  EXPECT_EQ(mm->Msync(*r + 1, kPage, sync).error(), kEINVAL);
  EXPECT_EQ(mm->Msync(kBase, kPage, sync).error(), kENOMEM);
  ASSERT_TRUE(mm->Mlock(*r, kPage, false, limits).ok());
  EXPECT_EQ(mm->Msync(*r, kPage, sync | static_cast<int>(abi::kMS_INVALIDATE)).error(), kEBUSY);
}

class StackTest : public MemoryManagerTest {
 protected:
  static constexpr UserAddr kTop = kBase + (uint64_t{1} << 30);
  StackTest() {
    MapAt(kTop - 2 * kPage, 2 * kPage, kRead | kWrite, kPrivate | kAnon | static_cast<int>(abi::kMAP_GROWSDOWN));
  }
};

TEST_F(StackTest, CopiesGrowAStack) {
  UserAddr deep = kTop - 75 * kPage;
  ASSERT_TRUE(mm->Write<int>(deep, 7).ok());
  EXPECT_EQ(*mm->Read<int>(deep), 7);
  EXPECT_EQ(Vmas()[0].start, deep);
  std::vector<std::byte> big(100 * kPage);
  ErrorOr<size_t> n = mm->CopyOutPartial(kTop - 100 * kPage, big);
  ASSERT_TRUE(n.ok());
  EXPECT_EQ(*n, big.size());
}

TEST_F(StackTest, CopiesBeyondTheStackLimitFault) {
  EXPECT_EQ(mm->Write<int>(kTop - (2 << 20), 7).error(), kEFAULT);
  EXPECT_EQ(mm->Write<int>(kBase, 7).error(), kEFAULT);
  EXPECT_EQ(mm->Write<int>(info.task_size, 7).error(), kEFAULT);
  EXPECT_EQ(mm->Read<uint64_t>(kTop - 4).error(), kEFAULT);
}

TEST_F(StackTest, TheBookLearnsWhatTheHostGrew) {
  for (uint64_t pages : {3, 4, 5, 37, 200}) {
    ASSERT_TRUE(host->Touch(kTop - pages * kPage).ok());
    EXPECT_EQ(Vmas()[0].start, kTop - pages * kPage);
    EXPECT_TRUE(mm->FindVma(kTop - pages * kPage, nullptr));
    EXPECT_FALSE(mm->FindVma(kTop - (pages + 1) * kPage, nullptr));
  }
  EXPECT_EQ(Vmas().size(), 1u);
}

TEST_F(StackTest, UnmappingAndReplacingTakeGrownPagesToo) {
  ASSERT_TRUE(host->Touch(kTop - 10 * kPage).ok());
  ASSERT_TRUE(mm->Munmap(kTop - 10 * kPage, 2 * kPage).ok());
  EXPECT_FALSE(host->pages.count(kTop - 10 * kPage));
  EXPECT_EQ(Vmas()[0].start, kTop - 8 * kPage);
  ASSERT_TRUE(host->Touch(kTop - 20 * kPage).ok());
  MapAt(kTop - 20 * kPage, kPage, kRead);
  std::vector<Vma> v = Vmas();
  ASSERT_EQ(v.size(), 2u);
  EXPECT_EQ(v[1].start, kTop - 19 * kPage);
  EXPECT_EQ(Map(kTop - 15 * kPage, kPage, kRead, kPrivate | kAnon | static_cast<int>(abi::kMAP_FIXED_NOREPLACE)).error(),
            kEEXIST);
}

TEST_F(StackTest, AFaultIsExplainedOnlyByGrowth) {
  EXPECT_TRUE(mm->HandleFault(kTop - 5 * kPage));
  EXPECT_FALSE(mm->HandleFault(kTop - 5 * kPage));  // mapped now: the access itself was wrong
  EXPECT_FALSE(mm->HandleFault(kTop - 1));
  EXPECT_FALSE(mm->HandleFault(kTop - (2 << 20)));
  EXPECT_FALSE(mm->HandleFault(kTop + kPage));
}

TEST_F(MemoryManagerTest, FutexKeysAreThoseOfTheMapping) {
  auto file = MakeRef<TestFile>(kReadWrite);
  MapAt(kBase, kPage);
  ErrorOr<UserAddr> a = MapFile(file, kRead | kWrite, kShared, 4 * kPage), b = MapFile(file, kRead | kWrite, kShared, 4 * kPage);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(*mm->KeyOf(*a + 8, true), *mm->KeyOf(*b + 8, true));
  EXPECT_FALSE(*mm->KeyOf(*a + 8, false) == *mm->KeyOf(*b + 8, false));
  EXPECT_NE(*mm->KeyOf(kBase, true), *mm->KeyOf(kBase, false));  // as on Linux they do not meet
  EXPECT_EQ(mm->KeyOf(kBase + 64 * kPage, true).error(), kEFAULT);
  EXPECT_EQ(mm->KeyOf(info.task_size, false).error(), kEFAULT);
}

TEST_F(MemoryManagerTest, SealedMappingsCannotChange) {
  MapAt(kBase, 2 * kPage, kRead);
  EXPECT_EQ(mm->Mseal(kBase, 4 * kPage).error(), kENOMEM);
  ASSERT_TRUE(mm->Mseal(kBase, kPage).ok());
  EXPECT_EQ(mm->Munmap(kBase, 2 * kPage).error(), kEPERM);
  EXPECT_EQ(mm->Mprotect(kBase, kPage, kRead | kWrite).error(), kEPERM);
  EXPECT_EQ(Map(kBase, kPage, kRead, kPrivate | kAnon | kFixed).error(), kEPERM);
  EXPECT_EQ(mm->Mremap(kBase, kPage, 2 * kPage, abi::kMREMAP_MAYMOVE, 0, limits).error(), kEPERM);
  EXPECT_EQ(mm->Madvise(kBase, kPage, abi::kMADV_DONTNEED).error(), kEPERM);
  EXPECT_TRUE(mm->Munmap(kBase + kPage, kPage).ok());
}

TEST_F(MemoryManagerTest, RemapFilePagesReordersASharedMapping) {
  auto file = MakeRef<TestFile>(kReadWrite);
  ErrorOr<UserAddr> r = MapFile(file, kRead | kWrite, kShared, 0, 4 * kPage);
  ASSERT_TRUE(r.ok());
  ASSERT_TRUE(mm->RemapFilePages(*r, kPage, 0, 3, 0, limits).ok());
  EXPECT_EQ(host->pages[*r].offset, 0x1000000 + 3 * kPage);
  EXPECT_EQ(mm->RemapFilePages(*r, kPage, kRead, 3, 0, limits).error(), kEINVAL);
  MapAt(kBase, kPage);
  EXPECT_EQ(mm->RemapFilePages(kBase, kPage, 0, 0, 0, limits).error(), kEINVAL);
}

TEST_F(MemoryManagerTest, AtomicsWantAlignedMappedWords) {
  MapAt(kBase, kPage);
  EXPECT_EQ(mm->Atomic(AtomicOp::kLoad, kBase + 2, 0, 0).error(), kEINVAL);
  EXPECT_EQ(mm->Atomic(AtomicOp::kLoad, info.task_size, 0, 0).error(), kEFAULT);
  EXPECT_EQ(*mm->Atomic(AtomicOp::kCompareExchange, kBase, 6, 0), 0u);
  EXPECT_EQ(*mm->Read<uint32_t>(kBase), 6u);
}

}  // namespace
}  // namespace moat
