// madvise(2), mincore(2), mlock(2) and msync(2).
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/temp_path.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

namespace moat::test {
namespace {

constexpr size_t kPage = 4096;
constexpr int kRw = PROT_READ | PROT_WRITE;

TEST(MadviseTest, DontneedZeroesPrivateAnonymousMemory) {
  Mapping map = AnonymousMapping(3 * kPage);
  memset(map.data(), 'x', map.size());
  ASSERT_THAT(madvise(map.data() + kPage, kPage, MADV_DONTNEED), SyscallSucceeds());
  EXPECT_EQ(map[kPage - 1], 'x');
  EXPECT_EQ(map[kPage], 0);
  EXPECT_EQ(map[2 * kPage - 1], 0);
  EXPECT_EQ(map[2 * kPage], 'x');
}

TEST(MadviseTest, DontneedReturnsAPrivateFileMappingToTheFile) {
  TempFile file(std::string(kPage, 'f'));
  FileDescriptor fd = file.Open();
  Mapping map(kPage, kRw, MAP_PRIVATE, fd.get());
  map[0] = 'x';
  ASSERT_THAT(madvise(map.data(), kPage, MADV_DONTNEED), SyscallSucceeds());
  EXPECT_EQ(map[0], 'f');
}

TEST(MadviseTest, DontneedKeepsSharedMemory) {
  Mapping map(kPage, kRw, MAP_SHARED | MAP_ANONYMOUS);
  map[0] = 's';
  ASSERT_THAT(madvise(map.data(), kPage, MADV_DONTNEED), SyscallSucceeds());
  EXPECT_EQ(map[0], 's');
}

TEST(MadviseTest, FreeKeepsOrZeroesButAWriteAfterItStays) {
  Mapping map = AnonymousMapping(kPage);
  map[0] = 'x';
  ASSERT_THAT(madvise(map.data(), kPage, MADV_FREE), SyscallSucceeds());
  EXPECT_TRUE(map[0] == 'x' || map[0] == 0);
  map[0] = 'y';
  EXPECT_EQ(map[0], 'y');
  Mapping shared(kPage, kRw, MAP_SHARED | MAP_ANONYMOUS);
  EXPECT_THAT(madvise(shared.data(), kPage, MADV_FREE), SyscallFailsWithErrno(EINVAL));
}

TEST(MadviseTest, DontforkLeavesTheRangeOutOfTheChild) {
  Mapping map = AnonymousMapping(2 * kPage);
  ASSERT_THAT(madvise(map.data(), kPage, MADV_DONTFORK), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&] {
                EXPECT_THAT(msync(map.data(), kPage, MS_ASYNC), SyscallFailsWithErrno(ENOMEM));
                EXPECT_THAT(msync(map.data() + kPage, kPage, MS_ASYNC), SyscallSucceeds());
              }),
              ExitedWith(0));
  ASSERT_THAT(madvise(map.data(), kPage, MADV_DOFORK), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&] { EXPECT_THAT(msync(map.data(), kPage, MS_ASYNC), SyscallSucceeds()); }),
              ExitedWith(0));
}

TEST(MadviseTest, WipeonforkZeroesTheChildsCopy) {
  Mapping map = AnonymousMapping(kPage);
  map[0] = 'w';
  ASSERT_THAT(madvise(map.data(), kPage, MADV_WIPEONFORK), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&]() -> int { return map[0]; }), ExitedWith(0));
  EXPECT_EQ(map[0], 'w');
  ASSERT_THAT(madvise(map.data(), kPage, MADV_KEEPONFORK), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&]() -> int { return map[0]; }), ExitedWith('w'));
}

TEST(MadviseTest, WipeonforkNeedsPrivateAnonymousMemory) {
  Mapping shared(kPage, kRw, MAP_SHARED | MAP_ANONYMOUS);
  EXPECT_THAT(madvise(shared.data(), kPage, MADV_WIPEONFORK), SyscallFailsWithErrno(EINVAL));
  TempFile file("x");
  FileDescriptor fd = file.Open();
  Mapping mapped(kPage, kRw, MAP_PRIVATE, fd.get());
  EXPECT_THAT(madvise(mapped.data(), kPage, MADV_WIPEONFORK), SyscallFailsWithErrno(EINVAL));
}

TEST(MadviseTest, HintsAreAcceptedAndChangeNothing) {
  Mapping map = AnonymousMapping(kPage);
  map[0] = 'h';
  for (int advice : {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTDUMP, MADV_DODUMP}) {
    EXPECT_THAT(madvise(map.data(), kPage, advice), SyscallSucceeds()) << advice;
  }
  EXPECT_EQ(map[0], 'h');
}

TEST(MadviseTest, PopulateWriteMakesPagesResident) {
  Mapping map = AnonymousMapping(4 * kPage);
  ASSERT_THAT(madvise(map.data(), map.size(), MADV_POPULATE_WRITE), SyscallSucceeds());
  unsigned char resident[4] = {};
  ASSERT_THAT(mincore(map.data(), map.size(), resident), SyscallSucceeds());
  for (unsigned char page : resident) EXPECT_EQ(page & 1, 1);
  Mapping read_only(kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  EXPECT_THAT(madvise(read_only.data(), kPage, MADV_POPULATE_WRITE), SyscallFailsWithErrno(EINVAL));
}

TEST(MadviseTest, BadArguments) {
  Mapping map = AnonymousMapping(2 * kPage);
  EXPECT_THAT(madvise(map.data() + 1, kPage, MADV_NORMAL), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(madvise(map.data(), kPage, 9999), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(madvise(map.data(), ~0ul & ~(kPage - 1), MADV_NORMAL), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(madvise(map.data(), 0, MADV_NORMAL), SyscallSucceeds());
}

TEST(MadviseTest, HoleIsEnomemAfterActingOnTheRest) {
  Mapping map = AnonymousMapping(3 * kPage);
  memset(map.data(), 'x', map.size());
  ASSERT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_THAT(madvise(map.data(), map.size(), MADV_DONTNEED), SyscallFailsWithErrno(ENOMEM));
  EXPECT_EQ(map[0], 0);
  EXPECT_EQ(map[2 * kPage], 0);
}

TEST(MadviseTest, RemovePunchesAHoleIntoSharedMemory) {
  Mapping map(2 * kPage, kRw, MAP_SHARED | MAP_ANONYMOUS);
  memset(map.data(), 'x', map.size());
  ASSERT_THAT(madvise(map.data(), kPage, MADV_REMOVE), SyscallSucceeds());
  EXPECT_EQ(map[0], 0);
  EXPECT_EQ(map[kPage], 'x');
}

TEST(MincoreTest, TouchedPagesAreResidentAndFreshOnesAreNot) {
  Mapping map(4 * kPage, kRw, MAP_PRIVATE | MAP_ANONYMOUS);
  ASSERT_THAT(madvise(map.data(), map.size(), MADV_NOHUGEPAGE), SyscallSucceeds());
  map[2 * kPage] = 1;
  unsigned char resident[4];
  ASSERT_THAT(mincore(map.data(), map.size(), resident), SyscallSucceeds());
  EXPECT_EQ(resident[2] & 1, 1);
  EXPECT_EQ(resident[0] & 1, 0);
  EXPECT_EQ(resident[3] & 1, 0);
}

TEST(MincoreTest, BadArguments) {
  Mapping map = AnonymousMapping(2 * kPage);
  unsigned char resident[2];
  EXPECT_THAT(mincore(map.data() + 1, kPage, resident), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_mincore, map.data(), kPage, BadPointer()), SyscallFailsWithErrno(EFAULT));
  ASSERT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_THAT(mincore(map.data(), 2 * kPage, resident), SyscallFailsWithErrno(ENOMEM));
}

TEST(MlockTest, MakesPagesResident) {
  Mapping map = AnonymousMapping(4 * kPage);
  ASSERT_THAT(mlock(map.data(), map.size()), SyscallSucceeds());
  unsigned char resident[4];
  ASSERT_THAT(mincore(map.data(), map.size(), resident), SyscallSucceeds());
  for (unsigned char page : resident) EXPECT_EQ(page & 1, 1);
  EXPECT_THAT(munlock(map.data(), map.size()), SyscallSucceeds());
}

TEST(MlockTest, LockedMemoryRefusesDontneed) {
  Mapping map = AnonymousMapping(kPage);
  ASSERT_THAT(mlock(map.data(), kPage), SyscallSucceeds());
  EXPECT_THAT(madvise(map.data(), kPage, MADV_DONTNEED), SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(munlock(map.data(), kPage), SyscallSucceeds());
  EXPECT_THAT(madvise(map.data(), kPage, MADV_DONTNEED), SyscallSucceeds());
}

TEST(MlockTest, HoleIsEnomem) {
  Mapping map = AnonymousMapping(2 * kPage);
  ASSERT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_THAT(mlock(map.data(), 2 * kPage), SyscallFailsWithErrno(ENOMEM));
  EXPECT_THAT(munlock(map.data(), 2 * kPage), SyscallFailsWithErrno(ENOMEM));
}

TEST(MlockTest, UnalignedAddressIsRoundedDown) {
  Mapping map = AnonymousMapping(kPage);
  EXPECT_THAT(mlock(map.data() + 100, 10), SyscallSucceeds());
  EXPECT_THAT(munlock(map.data() + 100, 10), SyscallSucceeds());
}

TEST(MlockTest, LimitHoldsForUsers) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                const rlimit one = {kPage, kPage};
                ASSERT_THAT(setrlimit(RLIMIT_MEMLOCK, &one), SyscallSucceeds());
                Mapping map = AnonymousMapping(4 * kPage);
                EXPECT_THAT(mlock(map.data(), kPage), SyscallSucceeds());
                EXPECT_THAT(mlock(map.data(), 4 * kPage), SyscallFailsWithErrno(ENOMEM));
                EXPECT_THAT(munlock(map.data(), kPage), SyscallSucceeds());
                const rlimit none = {0, 0};
                ASSERT_THAT(setrlimit(RLIMIT_MEMLOCK, &none), SyscallSucceeds());
                EXPECT_THAT(mlock(map.data(), kPage), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(MlockTest, FlagsOfTheSecondVersionAndOfAll) {
  Mapping map = AnonymousMapping(kPage);
  EXPECT_THAT(syscall(SYS_mlock2, map.data(), kPage, MLOCK_ONFAULT), SyscallSucceeds());
  EXPECT_THAT(syscall(SYS_mlock2, map.data(), kPage, 2), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mlockall(0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mlockall(0x100), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(RunInChild([] {
                EXPECT_THAT(mlockall(MCL_FUTURE), SyscallSucceeds());
                EXPECT_THAT(munlockall(), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST(MsyncTest, FlagsAndErrors) {
  TempFile file(std::string(kPage, 'x'));
  FileDescriptor fd = file.Open();
  Mapping map(kPage, kRw, MAP_SHARED, fd.get());
  map[0] = 'y';
  EXPECT_THAT(msync(map.data(), kPage, MS_SYNC), SyscallSucceeds());
  EXPECT_THAT(msync(map.data(), kPage, MS_ASYNC), SyscallSucceeds());
  EXPECT_THAT(msync(map.data(), kPage, MS_SYNC | MS_INVALIDATE), SyscallSucceeds());
  EXPECT_THAT(msync(map.data(), kPage, MS_SYNC | MS_ASYNC), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msync(map.data(), kPage, 0x40), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msync(map.data() + 1, kPage, MS_SYNC), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msync(map.data(), 0, MS_SYNC), SyscallSucceeds());
}

TEST(MsyncTest, HoleIsEnomem) {
  Mapping map = AnonymousMapping(3 * kPage);
  ASSERT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_THAT(msync(map.data(), 3 * kPage, MS_SYNC), SyscallFailsWithErrno(ENOMEM));
}

TEST(MsyncTest, InvalidateOfLockedMemoryIsEbusy) {
  Mapping map(kPage, kRw, MAP_SHARED | MAP_ANONYMOUS);
  ASSERT_THAT(mlock(map.data(), kPage), SyscallSucceeds());
  EXPECT_THAT(msync(map.data(), kPage, MS_SYNC | MS_INVALIDATE), SyscallFailsWithErrno(EBUSY));
}

}  // namespace
}  // namespace moat::test
