// mprotect(2) and brk(2).
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

constexpr size_t kPage = 4096;
constexpr int kRw = PROT_READ | PROT_WRITE;

// Whether the kernel may write to / read from the page in this process's name.
bool KernelCanWrite(void* address) {
  FileDescriptor zero = Open("/dev/zero", O_RDONLY);
  return read(zero.get(), address, 1) == 1;
}
bool KernelCanRead(const void* address) {
  int fds[2];
  if (pipe(fds) != 0) return false;
  const bool ok = write(fds[1], address, 1) == 1;
  close(fds[0]);
  close(fds[1]);
  return ok;
}

TEST(MprotectTest, TakesEffectForTheProcessAndForSystemCalls) {
  Mapping map = AnonymousMapping(kPage);
  map[0] = 'x';
  ASSERT_THAT(mprotect(map.data(), kPage, PROT_READ), SyscallSucceeds());
  EXPECT_FALSE(KernelCanWrite(map.data()));
  EXPECT_TRUE(KernelCanRead(map.data()));
  EXPECT_EQ(map[0], 'x');
  ASSERT_THAT(mprotect(map.data(), kPage, PROT_NONE), SyscallSucceeds());
  EXPECT_FALSE(KernelCanRead(map.data()));
  ASSERT_THAT(mprotect(map.data(), kPage, kRw), SyscallSucceeds());
  EXPECT_EQ(map[0], 'x');
}

TEST(MprotectTest, SplitsAndMergesMappings) {
  Mapping map = AnonymousMapping(5 * kPage);
  ASSERT_THAT(mprotect(map.data() + 2 * kPage, kPage, PROT_READ), SyscallSucceeds());
  EXPECT_TRUE(KernelCanWrite(map.data() + kPage));
  EXPECT_FALSE(KernelCanWrite(map.data() + 2 * kPage));
  EXPECT_TRUE(KernelCanWrite(map.data() + 3 * kPage));
  ASSERT_THAT(mprotect(map.data(), map.size(), kRw), SyscallSucceeds());
  EXPECT_TRUE(KernelCanWrite(map.data() + 2 * kPage));
}

TEST(MprotectTest, UnalignedAddressAndBadProtectionAreEinval) {
  Mapping map = AnonymousMapping(kPage);
  EXPECT_THAT(mprotect(map.data() + 1, kPage, PROT_READ), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mprotect(map.data(), kPage, 0x1000), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mprotect(map.data(), kPage, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP),
              SyscallFailsWithErrno(EINVAL));
}

TEST(MprotectTest, LengthZeroSucceeds) {
  Mapping map = AnonymousMapping(kPage);
  EXPECT_THAT(mprotect(map.data(), 0, PROT_NONE), SyscallSucceeds());
  map[0] = 1;
}

TEST(MprotectTest, RangeThatWrapsIsEnomem) {
  Mapping map = AnonymousMapping(kPage);
  EXPECT_THAT(mprotect(map.data(), ~0ul & ~(kPage - 1), PROT_READ), SyscallFailsWithErrno(ENOMEM));
}

TEST(MprotectTest, HoleIsEnomemAfterTheMappingsBeforeIt) {
  Mapping map = AnonymousMapping(4 * kPage);
  ASSERT_THAT(munmap(map.data() + 2 * kPage, kPage), SyscallSucceeds());
  EXPECT_THAT(mprotect(map.data(), 4 * kPage, PROT_READ), SyscallFailsWithErrno(ENOMEM));
  EXPECT_FALSE(KernelCanWrite(map.data()));
  EXPECT_TRUE(KernelCanWrite(map.data() + 3 * kPage));
  EXPECT_THAT(mprotect(map.data() + 2 * kPage, kPage, PROT_READ), SyscallFailsWithErrno(ENOMEM));
}

TEST(MprotectTest, SharedMappingOfAReadOnlyDescriptorCannotBecomeWritable) {
  TempFile file("x");
  FileDescriptor fd = file.Open(O_RDONLY);
  Mapping shared(kPage, PROT_READ, MAP_SHARED, fd.get());
  EXPECT_THAT(mprotect(shared.data(), kPage, kRw), SyscallFailsWithErrno(EACCES));
  Mapping priv(kPage, PROT_READ, MAP_PRIVATE, fd.get());
  EXPECT_THAT(mprotect(priv.data(), kPage, kRw), SyscallSucceeds());
}

TEST(MprotectTest, PrivateCopiesSurviveChanges) {
  TempFile file(std::string(kPage, 'f'));
  FileDescriptor fd = file.Open(O_RDONLY);
  Mapping map(kPage, kRw, MAP_PRIVATE, fd.get());
  map[0] = 'c';
  ASSERT_THAT(mprotect(map.data(), kPage, PROT_NONE), SyscallSucceeds());
  ASSERT_THAT(mprotect(map.data(), kPage, PROT_READ), SyscallSucceeds());
  EXPECT_EQ(map[0], 'c');
  EXPECT_EQ(map[1], 'f');
}

TEST(MprotectTest, CodeCanBeWrittenThenExecuted) {
  Mapping map = AnonymousMapping(kPage);
  const unsigned char kReturn7[] = {0xb8, 7, 0, 0, 0, 0xc3};
  memcpy(map.data(), kReturn7, sizeof(kReturn7));
  ASSERT_THAT(mprotect(map.data(), kPage, PROT_READ | PROT_EXEC), SyscallSucceeds());
  EXPECT_EQ(reinterpret_cast<int (*)()>(map.data())(), 7);
  ASSERT_THAT(mprotect(map.data(), kPage, kRw), SyscallSucceeds());
  map[1] = 9;
  ASSERT_THAT(mprotect(map.data(), kPage, PROT_READ | PROT_EXEC), SyscallSucceeds());
  EXPECT_EQ(reinterpret_cast<int (*)()>(map.data())(), 9);
}

TEST(MprotectTest, OfAnotherThreadsStackPageIsSeenByIt) {
  Mapping map = AnonymousMapping(kPage);
  std::atomic<int> stage{0};
  bool refused = false;
  ScopedThread thread([&] {
    map[0] = 1;
    stage = 1;
    while (stage != 2) SleepMs(1);
    refused = !KernelCanWrite(map.data());
  });
  while (stage != 1) SleepMs(1);
  ASSERT_THAT(mprotect(map.data(), kPage, PROT_READ), SyscallSucceeds());
  stage = 2;
  thread.Join();
  EXPECT_TRUE(refused);
}

char* Brk(void* to) { return reinterpret_cast<char*>(syscall(SYS_brk, to)); }

TEST(BrkTest, ZeroReturnsTheCurrentBreak) {
  char* now = Brk(nullptr);
  EXPECT_NE(now, nullptr);
  EXPECT_EQ(Brk(nullptr), now);
}

TEST(BrkTest, GrowsWithZeroedMemoryAndShrinks) {
  EXPECT_THAT(RunInChild([] {
                char* start = Brk(nullptr);
                ASSERT_EQ(Brk(start + 10 * kPage), start + 10 * kPage);
                for (size_t i = 0; i < 10 * kPage; i += 128) ASSERT_EQ(start[i], 0);
                memset(start, 'b', 10 * kPage);
                EXPECT_EQ(Brk(start), start);
                char* above =
                    reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(start) + 2 * kPage) & ~(kPage - 1));
                EXPECT_FALSE(KernelCanRead(above));
                ASSERT_EQ(Brk(start + 10 * kPage), start + 10 * kPage);
                EXPECT_EQ(above[0], 0);
              }),
              ExitedWith(0));
}

TEST(BrkTest, NeedNotBeAligned) {
  EXPECT_THAT(RunInChild([] {
                char* start = Brk(nullptr);
                EXPECT_EQ(Brk(start + 123), start + 123);
                start[122] = 1;
              }),
              ExitedWith(0));
}

TEST(BrkTest, ImpossibleRequestsReturnTheOldBreak) {
  EXPECT_THAT(RunInChild([] {
                char* start = Brk(nullptr);
                EXPECT_EQ(Brk(reinterpret_cast<void*>(0x1000)), start);
                EXPECT_EQ(Brk(reinterpret_cast<void*>(0x7fffffffffff)), start);
              }),
              ExitedWith(0));
}

TEST(BrkTest, DoesNotRunIntoAnotherMapping) {
  EXPECT_THAT(RunInChild([] {
                char* start = Brk(nullptr);
                char* wall =
                    reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(start) + 20 * kPage) & ~(kPage - 1));
                ASSERT_EQ(mmap(wall, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), wall);
                EXPECT_EQ(Brk(wall + kPage), start);
                EXPECT_EQ(Brk(start + kPage), start + kPage);
              }),
              ExitedWith(0));
}

TEST(BrkTest, DataLimitHoldsItBack) {
  EXPECT_THAT(RunInChild([] {
                char* start = Brk(nullptr);
                const rlimit limit = {8ul << 20, 8ul << 20};
                ASSERT_THAT(setrlimit(RLIMIT_DATA, &limit), SyscallSucceeds());
                EXPECT_EQ(Brk(start + (64ul << 20)), start);
              }),
              ExitedWith(0));
}

TEST(BrkTest, IsSharedByThreadsAndCopiedByFork) {
  EXPECT_THAT(RunInChild([] {
                char* start = Brk(nullptr);
                ASSERT_EQ(Brk(start + kPage), start + kPage);
                EXPECT_THAT(RunInChild([&] {
                              EXPECT_EQ(Brk(nullptr), start + kPage);
                              EXPECT_EQ(Brk(start + 2 * kPage), start + 2 * kPage);
                            }),
                            ExitedWith(0));
                EXPECT_EQ(Brk(nullptr), start + kPage);
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
