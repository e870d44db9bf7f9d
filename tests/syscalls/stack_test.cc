// Memory that grows or is shared: the stack, MAP_GROWSDOWN, copy-on-write, shared memory across fork,
// /proc/self/maps.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

constexpr size_t kPage = 4096;
constexpr int kRw = PROT_READ | PROT_WRITE;

// A line of /proc/self/maps.
struct MapsLine {
  uintptr_t start = 0, end = 0;
  char perms[5] = {};
  unsigned long offset = 0, inode = 0;
  std::string name;
};

std::vector<MapsLine> ReadMaps() {
  std::vector<MapsLine> lines;
  const std::string text = Slurp("/proc/self/maps");
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    MapsLine m;
    int consumed = 0;
    unsigned major, minor;
    if (sscanf(line.c_str(), "%lx-%lx %4s %lx %x:%x %lu %n", &m.start, &m.end, m.perms, &m.offset, &major,
               &minor, &m.inode, &consumed) == 7) {
      m.name = line.substr(consumed);
      lines.push_back(m);
    }
    at = end + 1;
  }
  return lines;
}

MapsLine FindMapping(const void* address) {
  const auto value = reinterpret_cast<uintptr_t>(address);
  for (const MapsLine& line : ReadMaps()) {
    if (line.start <= value && value < line.end) return line;
  }
  return {};
}

// A fresh stack frame well below everything used so far, so that its pages do not exist yet. The two paths
// differ in who touches it first: the program, or the kernel in a system call.
__attribute__((noinline)) int ReadIntoFreshFrame() {
  volatile char frame[300 * 1024];
  FileDescriptor zero = Open("/dev/zero", O_RDONLY);
  // From the low end on: the first byte lies 300 KiB below the touched stack.
  const ssize_t got = read(zero.get(), const_cast<char*>(&frame[0]), sizeof(frame));
  return got == static_cast<ssize_t>(sizeof(frame)) && frame[sizeof(frame) / 2] == 0 ? 0 : 1;
}

TEST(StackTest, ReadIntoAFreshLargeFrameWorks) {
  EXPECT_THAT(RunInChild([]() -> int { return ReadIntoFreshFrame(); }), ExitedWith(0));
}

__attribute__((noinline)) int ReceiveIntoFreshFrame() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return 1;
  volatile char frame[1 << 20];
  if (send(pair[0], "hello", 5, 0) != 5) return 2;
  char* low = const_cast<char*>(&frame[64]);
  return recv(pair[1], low, 100, 0) == 5 && low[0] == 'h' ? 0 : 3;
}

TEST(StackTest, OtherCallsMayBeTheFirstToTouchAFrameToo) {
  EXPECT_THAT(RunInChild([]() -> int { return ReceiveIntoFreshFrame(); }), ExitedWith(0));
}

__attribute__((noinline)) int Recurse(int depth) {
  volatile char frame[8192];
  frame[0] = 1;
  asm volatile("" : : "r"(&frame[0]) : "memory");  // the frame must really exist at every level
  const int below = depth == 0 ? 0 : Recurse(depth - 1);
  asm volatile("" : : "r"(&frame[0]) : "memory");
  return below + frame[0] - 1;
}

TEST(StackTest, GrowsWithUse) {
  EXPECT_THAT(RunInChild([]() -> int { return Recurse(500); }), ExitedWith(0));
}

TEST(StackTest, GrowthEndsAtTheLimit) {
  EXPECT_TRUE(DiedOf(RunInChild([]() -> int {
                       const rlimit limit = {1 << 20, RLIM_INFINITY};
                       setrlimit(RLIMIT_STACK, &limit);
                       return Recurse(500);
                     }),
                     SIGSEGV));
}

TEST(StackTest, KernelDoesNotGrowItPastTheLimitEither) {
  EXPECT_THAT(RunInChild([] {
                const rlimit limit = {1 << 20, RLIM_INFINITY};
                ASSERT_THAT(setrlimit(RLIMIT_STACK, &limit), SyscallSucceeds());
                FileDescriptor zero = Open("/dev/zero", O_RDONLY);
                char* here = static_cast<char*>(__builtin_frame_address(0));
                EXPECT_THAT(read(zero.get(), here - (3 << 20), 1), SyscallFailsWithErrno(EFAULT));
              }),
              ExitedWith(0));
}

TEST(StackTest, IsNamedInMaps) {
  int local = 0;
  EXPECT_EQ(FindMapping(&local).name, "[stack]");
}

TEST(GrowsdownTest, FaultBelowItExtendsIt) {
  // A reserve to take the place from, so that nothing else is below within the guard gap.
  constexpr size_t kReserve = 4 << 20;
  Mapping reserve(kReserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  char* top = reserve.data() + kReserve - kPage;
  ASSERT_THAT(munmap(reserve.data(), kReserve), SyscallSucceeds());
  ASSERT_EQ(mmap(top, kPage, kRw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0), top);
  for (int i = 1; i <= 8; ++i) *(top - i * static_cast<int>(kPage)) = static_cast<char>(i);
  EXPECT_EQ(*(top - 8 * kPage), 8);
  EXPECT_LE(FindMapping(top).start, reinterpret_cast<uintptr_t>(top - 8 * kPage));
  munmap(top - 8 * kPage, 9 * kPage);
}

TEST(GrowsdownTest, GuardGapKeepsDistanceFromTheMappingBelow) {
  constexpr size_t kReserve = 4 << 20;
  Mapping reserve(kReserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  char* top = reserve.data() + kReserve - kPage;
  char* below = top - 64 * kPage;
  ASSERT_THAT(munmap(reserve.data(), kReserve), SyscallSucceeds());
  ASSERT_EQ(mmap(below, kPage, kRw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), below);
  ASSERT_EQ(mmap(top, kPage, kRw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0), top);
  EXPECT_TRUE(DiedOf(RunInChild([&]() -> int {
                       signal(SIGSEGV, SIG_DFL);
                       *(top - kPage) = 1;  // 256 pages must stay free below
                       return 0;
                     }),
                     SIGSEGV));
  munmap(below, kPage);
  munmap(top, kPage);
}

TEST(GrowsdownTest, HasAnAnonymousPrivateMappingOnly) {
  TempFile file(std::string(kPage, 'x'));
  FileDescriptor fd = file.Open();
  EXPECT_THAT(mmap(nullptr, kPage, kRw, MAP_SHARED | MAP_GROWSDOWN, fd.get(), 0),
              SyscallFailsWithErrno(EINVAL));
}

TEST(SharedMemoryTest, AnonymousSharedPagesAreSharedWithChildren) {
  Mapping map(2 * kPage, kRw, MAP_SHARED | MAP_ANONYMOUS);
  map[0] = 'p';
  EXPECT_THAT(RunInChild([&]() -> int {
                map[kPage] = 'c';
                return map[0];
              }),
              ExitedWith('p'));
  EXPECT_EQ(map[kPage], 'c');
}

TEST(SharedMemoryTest, PagesTouchedFirstByAGrandchildAreShared) {
  Mapping map(64 * kPage, kRw, MAP_SHARED | MAP_ANONYMOUS);
  EXPECT_THAT(RunInChild([&] {
                EXPECT_THAT(RunInChild([&] { memset(map.data(), 'g', map.size()); }), ExitedWith(0));
                EXPECT_EQ(map[kPage * 63], 'g');
              }),
              ExitedWith(0));
  EXPECT_EQ(map[kPage * 31], 'g');
}

TEST(CopyOnWriteTest, EverySideKeepsItsOwnPages) {
  Mapping map = AnonymousMapping(3 * kPage);
  memset(map.data(), '0', map.size());
  Gate parent_wrote, child_wrote;
  ScopedChild child([&]() -> int {
    map[kPage] = 'c';
    child_wrote.Open();
    parent_wrote.Wait();
    return map[0] == '0' && map[kPage] == 'c' && map[2 * kPage] == '0' ? 0 : 1;
  });
  child_wrote.Wait();
  EXPECT_EQ(map[kPage], '0');
  map[0] = 'p';
  map[2 * kPage] = 'p';
  parent_wrote.Open();
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(CopyOnWriteTest, SystemCallsWriteToTheCallersCopyToo) {
  Mapping map = AnonymousMapping(kPage);
  map[0] = 'o';
  EXPECT_THAT(RunInChild([&]() -> int {
                FileDescriptor zero = Open("/dev/zero", O_RDONLY);
                return read(zero.get(), map.data(), 1) == 1 && map[0] == 0 ? 0 : 1;
              }),
              ExitedWith(0));
  EXPECT_EQ(map[0], 'o');
}

TEST(PosixSharedMemoryTest, NamedObjectIsSharedAndOutlivesItsCreator) {
  struct stat st;
  if (stat("/dev/shm", &st) != 0) GTEST_SKIP() << "needs /dev/shm";
  const std::string name = "/moat-test-" + std::to_string(getpid());
  EXPECT_THAT(RunInChild([&] {
                FileDescriptor fd(shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
                ASSERT_TRUE(fd.valid());
                ASSERT_THAT(ftruncate(fd.get(), kPage), SyscallSucceeds());
                Mapping map(kPage, kRw, MAP_SHARED, fd.get());
                map[7] = 's';
              }),
              ExitedWith(0));
  FileDescriptor fd(shm_open(name.c_str(), O_RDWR, 0));
  ASSERT_TRUE(fd.valid());
  Mapping map(kPage, kRw, MAP_SHARED, fd.get());
  EXPECT_EQ(map[7], 's');
  EXPECT_THAT(shm_unlink(name.c_str()), SyscallSucceeds());
  EXPECT_THAT(shm_open(name.c_str(), O_RDWR, 0), SyscallFailsWithErrno(ENOENT));
}

TEST(MapsTest, LinesAreSortedAndDisjoint) {
  const std::vector<MapsLine> lines = ReadMaps();
  ASSERT_GT(lines.size(), 4u);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_LT(lines[i].start, lines[i].end);
    if (i > 0) {
      EXPECT_LE(lines[i - 1].end, lines[i].start);
    }
  }
}

TEST(MapsTest, PermissionsFollowMprotect) {
  Mapping map = AnonymousMapping(3 * kPage);
  ASSERT_THAT(mprotect(map.data() + kPage, kPage, PROT_READ | PROT_EXEC), SyscallSucceeds());
  EXPECT_STREQ(FindMapping(map.data()).perms, "rw-p");
  const MapsLine middle = FindMapping(map.data() + kPage);
  EXPECT_STREQ(middle.perms, "r-xp");
  EXPECT_EQ(middle.start, reinterpret_cast<uintptr_t>(map.data() + kPage));
  EXPECT_EQ(middle.end, reinterpret_cast<uintptr_t>(map.data() + 2 * kPage));
  EXPECT_STREQ(FindMapping(map.data() + 2 * kPage).perms, "rw-p");
}

TEST(MapsTest, FileMappingsShowNameOffsetAndInode) {
  TempFile file(std::string(2 * kPage, 'x'));
  FileDescriptor fd = file.Open();
  struct stat st;
  ASSERT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  Mapping map(kPage, PROT_READ, MAP_SHARED, fd.get(), kPage);
  const MapsLine line = FindMapping(map.data());
  EXPECT_STREQ(line.perms, "r--s");
  EXPECT_EQ(line.offset, kPage);
  EXPECT_EQ(line.inode, st.st_ino);
  EXPECT_EQ(line.name, file.path());
  ASSERT_THAT(unlink(file.path().c_str()), SyscallSucceeds());
  EXPECT_EQ(FindMapping(map.data()).name, file.path() + " (deleted)");
}

TEST(MapsTest, UnmappedRangesDisappear) {
  Mapping map = AnonymousMapping(3 * kPage);
  ASSERT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_NE(FindMapping(map.data()).start, 0u);
  EXPECT_EQ(FindMapping(map.data() + kPage).start, 0u);
  EXPECT_NE(FindMapping(map.data() + 2 * kPage).start, 0u);
}

TEST(MapsTest, HeapIsNamed) {
  char* start = reinterpret_cast<char*>(syscall(SYS_brk, 0));
  EXPECT_EQ(FindMapping(start - 1).name, "[heap]");
}

}  // namespace
}  // namespace moat::test
