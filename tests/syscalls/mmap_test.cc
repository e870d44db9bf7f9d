// mmap(2) and munmap(2): placement, flags, protections against the file's mode, holes, and refusals.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/temp_path.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif

namespace moat::test {
namespace {

constexpr size_t kPage = 4096;
constexpr int kRw = PROT_READ | PROT_WRITE;
constexpr int kAnon = MAP_PRIVATE | MAP_ANONYMOUS;

// True if the page can be read, asked of the kernel so that nothing faults.
bool Readable(const void* address) {
  int fds[2];
  if (pipe(fds) != 0) return false;
  const bool readable = write(fds[1], address, 1) == 1;
  close(fds[0]);
  close(fds[1]);
  return readable;
}

TEST(MmapTest, AnonymousMemoryIsZeroed) {
  Mapping map = AnonymousMapping(16 * kPage);
  for (size_t i = 0; i < map.size(); i += 64) ASSERT_EQ(map[i], 0);
}

TEST(MmapTest, LengthZeroIsEinval) {
  EXPECT_THAT(mmap(nullptr, 0, kRw, kAnon, -1, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(MmapTest, NeitherSharedNorPrivateIsEinval) {
  EXPECT_THAT(mmap(nullptr, kPage, kRw, MAP_ANONYMOUS, -1, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(MmapTest, UnalignedOffsetIsEinval) {
  TempFile file("x");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(syscall(SYS_mmap, 0, kPage, PROT_READ, MAP_PRIVATE, fd.get(), 100),
              SyscallFailsWithErrno(EINVAL));
}

TEST(MmapTest, UnalignedFixedAddressIsEinval) {
  Mapping map = AnonymousMapping(2 * kPage);
  EXPECT_THAT(mmap(map.data() + 1, kPage, kRw, kAnon | MAP_FIXED, -1, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(MmapTest, SizesBeyondTheAddressSpaceAreEnomem) {
  EXPECT_THAT(mmap(nullptr, 1ul << 47, PROT_NONE, kAnon | MAP_NORESERVE, -1, 0),
              SyscallFailsWithErrno(ENOMEM));
  EXPECT_THAT(mmap(nullptr, ~0ul, PROT_NONE, kAnon | MAP_NORESERVE, -1, 0), SyscallFailsWithErrno(ENOMEM));
}

TEST(MmapTest, FixedAddressBeyondUserSpaceIsEnomem) {
  EXPECT_THAT(mmap(reinterpret_cast<void*>(0x7ffffffff000), 2 * kPage, kRw, kAnon | MAP_FIXED, -1, 0),
              SyscallFailsWithErrno(ENOMEM));
}

TEST(MmapTest, LengthIsRoundedUpToPages) {
  Mapping map(kPage + 1, kRw, kAnon);
  ASSERT_TRUE(map.valid());
  map[2 * kPage - 1] = 'e';
  EXPECT_EQ(map[2 * kPage - 1], 'e');
}

TEST(MmapTest, FixedReplacesWhatIsThere) {
  Mapping map = AnonymousMapping(3 * kPage);
  memset(map.data(), 'o', map.size());
  EXPECT_EQ(mmap(map.data() + kPage, kPage, kRw, kAnon | MAP_FIXED, -1, 0), map.data() + kPage);
  EXPECT_EQ(map[kPage - 1], 'o');
  EXPECT_EQ(map[kPage], 0);
  EXPECT_EQ(map[2 * kPage], 'o');
}

TEST(MmapTest, FixedNoreplaceRefusesAnyOverlap) {
  Mapping map = AnonymousMapping(3 * kPage);
  ASSERT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_THAT(mmap(map.data() + kPage, 2 * kPage, kRw, kAnon | MAP_FIXED_NOREPLACE, -1, 0),
              SyscallFailsWithErrno(EEXIST));
  EXPECT_EQ(mmap(map.data() + kPage, kPage, kRw, kAnon | MAP_FIXED_NOREPLACE, -1, 0), map.data() + kPage);
}

TEST(MmapTest, FreeHintIsTakenAndAUsedOneIsNot) {
  Mapping area = AnonymousMapping(4 * kPage);
  char* hint = area.data() + kPage;
  Mapping other(kPage, kRw, kAnon, -1, 0, hint);
  EXPECT_NE(other.data(), hint);
  ASSERT_THAT(munmap(hint, kPage), SyscallSucceeds());
  Mapping taken(kPage, kRw, kAnon, -1, 0, hint);
  EXPECT_EQ(taken.data(), hint);
}

TEST(MmapTest, HintIsRoundedToAPage) {
  Mapping area = AnonymousMapping(4 * kPage);
  ASSERT_THAT(munmap(area.data() + kPage, 2 * kPage), SyscallSucceeds());
  Mapping taken(kPage, kRw, kAnon, -1, 0, area.data() + kPage + 5);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(taken.data()) % kPage, 0u);
}

TEST(MmapTest, LowAddressesAreForbiddenToUsers) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                EXPECT_THAT(mmap(nullptr, kPage, kRw, kAnon | MAP_FIXED, -1, 0),
                            SyscallFailsWithErrno(testing::AnyOf(EPERM, EACCES)));
              }),
              ExitedWith(0));
}

TEST(MmapTest, ThirtyTwoBitFlagStaysBelowTwoGibibytes) {
  Mapping map(kPage, kRw, kAnon | MAP_32BIT);
  ASSERT_TRUE(map.valid());
  EXPECT_LT(reinterpret_cast<uintptr_t>(map.data()), 1ul << 31);
}

TEST(MmapTest, PopulateMakesPagesResident) {
  Mapping map(8 * kPage, kRw, kAnon | MAP_POPULATE);
  unsigned char resident[8] = {};
  ASSERT_THAT(mincore(map.data(), map.size(), resident), SyscallSucceeds());
  for (unsigned char page : resident) EXPECT_EQ(page & 1, 1);
}

TEST(MmapTest, SharedValidateRefusesUnknownFlags) {
  TempFile file("x");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_SHARED_VALIDATE | 0x200000, fd.get(), 0),
              SyscallFailsWithErrno(EOPNOTSUPP));
  Mapping fine(kPage, PROT_READ, MAP_SHARED_VALIDATE, fd.get());
  EXPECT_TRUE(fine.valid());
}

TEST(MmapFileTest, ContentsAndZeroesBehindTheEnd) {
  TempFile file("hello");
  FileDescriptor fd = file.Open();
  Mapping map(kPage, PROT_READ, MAP_PRIVATE, fd.get());
  EXPECT_EQ(std::string(map.data(), 5), "hello");
  for (size_t i = 5; i < kPage; ++i) ASSERT_EQ(map[i], 0);
}

TEST(MmapFileTest, SurvivesCloseAndUnlink) {
  TempDir dir;
  const std::string path = dir.CreateFile("f", "keep");
  FileDescriptor fd = Open(path, O_RDWR);
  Mapping map(kPage, kRw, MAP_SHARED, fd.get());
  fd.Reset();
  ASSERT_THAT(unlink(path.c_str()), SyscallSucceeds());
  EXPECT_EQ(map[0], 'k');
  map[0] = 'K';
  EXPECT_EQ(map[0], 'K');
}

TEST(MmapFileTest, OffsetSelectsThePage) {
  TempFile file(std::string(kPage, 'a') + std::string(kPage, 'b'));
  FileDescriptor fd = file.Open();
  Mapping map(kPage, PROT_READ, MAP_PRIVATE, fd.get(), kPage);
  EXPECT_EQ(map[0], 'b');
}

TEST(MmapFileTest, ProtectionsNeedTheMatchingOpenMode) {
  TempFile file("x");
  FileDescriptor write_only = file.Open(O_WRONLY), read_only = file.Open(O_RDONLY);
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, write_only.get(), 0),
              SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(mmap(nullptr, kPage, PROT_WRITE, MAP_SHARED, write_only.get(), 0),
              SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(mmap(nullptr, kPage, kRw, MAP_SHARED, read_only.get(), 0), SyscallFailsWithErrno(EACCES));
  Mapping priv(kPage, kRw, MAP_PRIVATE, read_only.get());
  EXPECT_TRUE(priv.valid());
}

TEST(MmapFileTest, DescriptorsThatCannotBeMapped) {
  TempDir dir;
  FileDescriptor directory = Open(dir.path(), O_RDONLY);
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, directory.get(), 0),
              SyscallFailsWithErrno(ENODEV));
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, fds[0], 0), SyscallFailsWithErrno(ENODEV));
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, -1, 0), SyscallFailsWithErrno(EBADF));
  FileDescriptor path = Open(dir.path(), O_PATH);
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, path.get(), 0), SyscallFailsWithErrno(EBADF));
  close(fds[0]);
  close(fds[1]);
}

TEST(MmapFileTest, OffsetThatOverflowsIsEoverflowOrEinval) {
  TempFile file("x");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(syscall(SYS_mmap, 0, 2 * kPage, PROT_READ, MAP_PRIVATE, fd.get(), ~0ul << 12),
              SyscallFailsWithErrno(testing::AnyOf(EOVERFLOW, EINVAL)));
}

TEST(MmapFileTest, SharedWritesReachTheFileAndFileWritesTheMapping) {
  TempFile file(std::string(kPage, '.'));
  FileDescriptor fd = file.Open();
  Mapping map(kPage, kRw, MAP_SHARED, fd.get());
  map[10] = 'm';
  char byte;
  ASSERT_THAT(pread(fd.get(), &byte, 1, 10), SyscallSucceedsWithValue(1));
  EXPECT_EQ(byte, 'm');
  ASSERT_THAT(pwrite(fd.get(), "w", 1, 11), SyscallSucceedsWithValue(1));
  EXPECT_EQ(map[11], 'w');
}

TEST(MmapFileTest, PrivateMappingSeesFileWritesUntilItsPageIsCopied) {
  TempFile file(std::string(2 * kPage, '.'));
  FileDescriptor fd = file.Open();
  Mapping map(2 * kPage, kRw, MAP_PRIVATE, fd.get());
  map[0] = 'p';
  ASSERT_THAT(pwrite(fd.get(), "w", 1, 1), SyscallSucceedsWithValue(1));
  ASSERT_THAT(pwrite(fd.get(), "w", 1, kPage), SyscallSucceedsWithValue(1));
  EXPECT_EQ(map[1], '.');
  EXPECT_EQ(map[kPage], 'w');
}

TEST(MmapFileTest, GrownFileBecomesVisibleBehindItsOldEnd) {
  TempFile file("x");
  FileDescriptor fd = file.Open();
  Mapping map(2 * kPage, PROT_READ, MAP_SHARED, fd.get());
  EXPECT_FALSE(Readable(map.data() + kPage));
  ASSERT_THAT(pwrite(fd.get(), "y", 1, kPage + 3), SyscallSucceedsWithValue(1));
  EXPECT_EQ(map[kPage + 3], 'y');
}

TEST(MmapFileTest, DevZeroGivesAnonymousMemory) {
  FileDescriptor zero = Open("/dev/zero", O_RDWR);
  Mapping priv(kPage, kRw, MAP_PRIVATE, zero.get());
  ASSERT_TRUE(priv.valid());
  EXPECT_EQ(priv[100], 0);
  priv[100] = 1;
  Mapping again(kPage, kRw, MAP_PRIVATE, zero.get());
  EXPECT_EQ(again[100], 0);
}

TEST(MunmapTest, BadArgumentsAreEinval) {
  Mapping map = AnonymousMapping(kPage);
  EXPECT_THAT(munmap(map.data() + 1, kPage), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(munmap(map.data(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(munmap(map.data(), ~0ul - kPage), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(munmap(reinterpret_cast<void*>(0x800000000000), kPage), SyscallFailsWithErrno(EINVAL));
}

TEST(MunmapTest, RangeWithoutMappingsSucceeds) {
  Mapping map = AnonymousMapping(kPage);
  EXPECT_THAT(munmap(map.data(), kPage), SyscallSucceeds());
  EXPECT_THAT(munmap(map.data(), kPage), SyscallSucceeds());
}

TEST(MunmapTest, HoleInTheMiddleLeavesBothSides) {
  Mapping map = AnonymousMapping(5 * kPage);
  memset(map.data(), 'h', map.size());
  ASSERT_THAT(munmap(map.data() + 2 * kPage, kPage), SyscallSucceeds());
  EXPECT_EQ(map[2 * kPage - 1], 'h');
  EXPECT_EQ(map[3 * kPage], 'h');
  EXPECT_FALSE(Readable(map.data() + 2 * kPage));
}

TEST(MunmapTest, RangeMayCoverHolesAndSeveralMappings) {
  Mapping map = AnonymousMapping(6 * kPage);
  ASSERT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  ASSERT_THAT(mprotect(map.data() + 3 * kPage, kPage, PROT_READ), SyscallSucceeds());
  EXPECT_THAT(munmap(map.data(), 5 * kPage), SyscallSucceeds());
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Readable(map.data() + i * kPage)) << i;
  EXPECT_TRUE(Readable(map.data() + 5 * kPage));
}

TEST(MunmapTest, RemappedMemoryIsZeroedAgain) {
  Mapping map = AnonymousMapping(kPage);
  map[0] = 'x';
  ASSERT_THAT(munmap(map.data(), kPage), SyscallSucceeds());
  ASSERT_EQ(mmap(map.data(), kPage, kRw, kAnon | MAP_FIXED, -1, 0), map.data());
  EXPECT_EQ(map[0], 0);
}

TEST(MmapTest, ThousandsOfMappingsWork) {
  // Alternating protections keep them from merging.
  Mapping map = AnonymousMapping(4000 * kPage);
  for (size_t i = 0; i < 4000; i += 2) {
    ASSERT_THAT(mprotect(map.data() + i * kPage, kPage, PROT_READ), SyscallSucceeds());
  }
  map[3999 * kPage] = 1;
  EXPECT_EQ(map[3998 * kPage], 0);
}

TEST(MmapTest, AddressSpaceLimitIsEnomem) {
  EXPECT_THAT(RunInChild([] {
                const rlimit limit = {256ul << 20, RLIM_INFINITY};
                ASSERT_THAT(setrlimit(RLIMIT_AS, &limit), SyscallSucceeds());
                EXPECT_THAT(mmap(nullptr, 512ul << 20, PROT_NONE, kAnon, -1, 0),
                            SyscallFailsWithErrno(ENOMEM));
                Mapping small(kPage, kRw, kAnon);
                EXPECT_TRUE(small.valid());
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
