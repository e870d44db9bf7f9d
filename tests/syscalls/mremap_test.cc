// mremap(2): growing, shrinking, moving, and its refusals.
#include <sys/mman.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/temp_path.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace moat::test {
namespace {

constexpr size_t kPage = 4096;
constexpr int kRw = PROT_READ | PROT_WRITE;

char* Remap(void* old, size_t old_size, size_t new_size, int flags, void* to = nullptr) {
  return reinterpret_cast<char*>(syscall(SYS_mremap, old, old_size, new_size, flags, to));
}

bool Mapped(const void* address) { return msync(const_cast<void*>(address), kPage, MS_ASYNC) == 0; }

// `pages` mapped pages, page i filled with 'a' + i, followed by `hole` unmapped ones.
class Area {
 public:
  Area(size_t pages, size_t hole) : map_(AnonymousMapping((pages + hole) * kPage)) {
    for (size_t i = 0; i < pages; ++i) memset(map_.data() + i * kPage, 'a' + static_cast<int>(i), kPage);
    if (hole) munmap(map_.data() + pages * kPage, hole * kPage);
  }
  char* at(size_t page) const { return map_.data() + page * kPage; }

 private:
  Mapping map_;
};

TEST(MremapTest, SameSizeIsANoOp) {
  Area area(2, 0);
  EXPECT_EQ(Remap(area.at(0), 2 * kPage, 2 * kPage, 0), area.at(0));
  EXPECT_EQ(*area.at(1), 'b');
}

TEST(MremapTest, ShrinkingUnmapsTheTail) {
  Area area(4, 0);
  EXPECT_EQ(Remap(area.at(0), 4 * kPage, 2 * kPage, 0), area.at(0));
  EXPECT_TRUE(Mapped(area.at(1)));
  EXPECT_FALSE(Mapped(area.at(2)));
}

TEST(MremapTest, GrowsInPlaceIntoAHole) {
  Area area(2, 3);
  EXPECT_EQ(Remap(area.at(0), 2 * kPage, 4 * kPage, 0), area.at(0));
  EXPECT_EQ(*area.at(1), 'b');
  EXPECT_EQ(*area.at(3), 0);
}

TEST(MremapTest, WithoutRoomAndWithoutMaymoveIsEnomem) {
  Area area(3, 0);
  EXPECT_THAT(Remap(area.at(0), 2 * kPage, 3 * kPage, 0), SyscallFailsWithErrno(ENOMEM));
  EXPECT_EQ(*area.at(2), 'c');
}

TEST(MremapTest, MaymoveMovesContents) {
  Area area(3, 0);
  char* moved = Remap(area.at(0), 2 * kPage, 8 * kPage, MREMAP_MAYMOVE);
  ASSERT_THAT(moved, SyscallSucceeds());
  EXPECT_NE(moved, area.at(0));
  EXPECT_EQ(moved[0], 'a');
  EXPECT_EQ(moved[kPage], 'b');
  EXPECT_EQ(moved[2 * kPage], 0);
  EXPECT_FALSE(Mapped(area.at(0)));
  EXPECT_FALSE(Mapped(area.at(1)));
  EXPECT_TRUE(Mapped(area.at(2)));
  munmap(moved, 8 * kPage);
}

TEST(MremapTest, FixedReplacesTheTarget) {
  Area source(2, 0), target(4, 0);
  EXPECT_EQ(Remap(source.at(0), 2 * kPage, 2 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target.at(1)),
            target.at(1));
  EXPECT_EQ(*target.at(0), 'a');
  EXPECT_EQ(*target.at(1), 'a');
  EXPECT_EQ(*target.at(2), 'b');
  EXPECT_EQ(*target.at(3), 'd');
  EXPECT_FALSE(Mapped(source.at(0)));
}

TEST(MremapTest, FixedMayShrinkOnTheWay) {
  Area source(3, 0), target(3, 0);
  EXPECT_EQ(Remap(source.at(0), 3 * kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target.at(0)), target.at(0));
  EXPECT_EQ(*target.at(0), 'a');
  EXPECT_EQ(*target.at(1), 'b');
  EXPECT_FALSE(Mapped(source.at(2)));
}

TEST(MremapTest, FixedNeedsMaymove) {
  Area source(1, 0), target(1, 0);
  EXPECT_THAT(Remap(source.at(0), kPage, kPage, MREMAP_FIXED, target.at(0)), SyscallFailsWithErrno(EINVAL));
}

TEST(MremapTest, OverlapOfOldAndNewIsEinval) {
  Area area(4, 0);
  EXPECT_THAT(Remap(area.at(0), 2 * kPage, 2 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, area.at(1)),
              SyscallFailsWithErrno(EINVAL));
}

TEST(MremapTest, BadArgumentsAreEinval) {
  Area area(2, 0);
  EXPECT_THAT(Remap(area.at(0) + 1, kPage, kPage, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Remap(area.at(0), kPage, 0, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Remap(area.at(0), kPage, kPage, 0x10), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Remap(area.at(0), kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, area.at(1) + 1),
              SyscallFailsWithErrno(EINVAL));
}

TEST(MremapTest, UnmappedSourceIsEfault) {
  Area area(1, 1);
  EXPECT_THAT(Remap(area.at(1), kPage, 2 * kPage, MREMAP_MAYMOVE), SyscallFailsWithErrno(EFAULT));
}

TEST(MremapTest, GrowingAcrossTwoMappingsIsEfault) {
  Area area(2, 0);
  ASSERT_THAT(mprotect(area.at(1), kPage, PROT_READ), SyscallSucceeds());
  EXPECT_THAT(Remap(area.at(0), 2 * kPage, 4 * kPage, MREMAP_MAYMOVE), SyscallFailsWithErrno(EFAULT));
}

TEST(MremapTest, HugeSizeIsEnomemOrEinval) {
  Area area(1, 0);
  EXPECT_THAT(Remap(area.at(0), kPage, 1ul << 47, MREMAP_MAYMOVE),
              SyscallFailsWithErrno(testing::AnyOf(ENOMEM, EINVAL)));
}

TEST(MremapTest, OldSizeZeroDuplicatesASharedMapping) {
  Mapping map(kPage, kRw, MAP_SHARED | MAP_ANONYMOUS);
  map[0] = 's';
  char* twin = Remap(map.data(), 0, kPage, MREMAP_MAYMOVE);
  ASSERT_THAT(twin, SyscallSucceeds());
  EXPECT_EQ(twin[0], 's');
  twin[1] = 't';
  EXPECT_EQ(map[1], 't');
  munmap(twin, kPage);
}

TEST(MremapTest, DontunmapLeavesAnEmptyMappingBehind) {
  Area area(2, 0);
  char* moved = Remap(area.at(0), 2 * kPage, 2 * kPage, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
  ASSERT_THAT(moved, SyscallSucceeds());
  EXPECT_EQ(moved[0], 'a');
  EXPECT_EQ(moved[kPage], 'b');
  EXPECT_EQ(*area.at(0), 0);  // still mapped, its pages gone
  munmap(moved, 2 * kPage);
  EXPECT_THAT(Remap(area.at(0), 2 * kPage, kPage, MREMAP_MAYMOVE | MREMAP_DONTUNMAP),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Remap(area.at(0), 2 * kPage, 2 * kPage, MREMAP_DONTUNMAP), SyscallFailsWithErrno(EINVAL));
}

TEST(MremapTest, GrownFileMappingShowsMoreOfTheFile) {
  TempFile file(std::string(kPage, '0') + std::string(kPage, '1') + std::string(kPage, '2'));
  FileDescriptor fd = file.Open();
  Mapping map(kPage, kRw, MAP_SHARED, fd.get(), kPage);
  ASSERT_EQ(map[0], '1');
  char* grown = Remap(map.data(), kPage, 2 * kPage, MREMAP_MAYMOVE);
  ASSERT_THAT(grown, SyscallSucceeds());
  EXPECT_EQ(grown[0], '1');
  EXPECT_EQ(grown[kPage], '2');
  munmap(grown, 2 * kPage);
}

TEST(MremapTest, ProtectionMovesAlong) {
  Area area(2, 0);
  ASSERT_THAT(mprotect(area.at(0), kPage, PROT_READ), SyscallSucceeds());
  char* moved = Remap(area.at(0), kPage, 4 * kPage, MREMAP_MAYMOVE);
  ASSERT_THAT(moved, SyscallSucceeds());
  FileDescriptor zero = Open("/dev/zero", O_RDONLY);
  EXPECT_THAT(read(zero.get(), moved, 1), SyscallFailsWithErrno(EFAULT));
  munmap(moved, 4 * kPage);
}

}  // namespace
}  // namespace moat::test
