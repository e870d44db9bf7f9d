// /proc/PID/mem writes as a debugger does, and /proc/PID/pagemap.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

// A mapping for the length of a scope.
class Mapped {
 public:
  Mapped(size_t pages, int prot, int flags, int fd = -1)
      : size_(pages * kPage), at_(static_cast<char*>(mmap(nullptr, size_, prot, flags, fd, 0))) {
    EXPECT_NE(at_, MAP_FAILED);
  }
  ~Mapped() { munmap(at_, size_); }
  Mapped(const Mapped&) = delete;
  char* get() const { return at_; }
  off_t address() const { return static_cast<off_t>(reinterpret_cast<uintptr_t>(at_)); }

 private:
  const size_t size_;
  char* const at_;
};

TEST(ProcMem, WritesThroughReadOnlyPrivateMappings) {
  FileDescriptor mem = Open("/proc/self/mem", O_RDWR);
  Mapped map(1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  ASSERT_THAT(pwrite(mem.get(), "hello", 5, map.address() + 10), SyscallSucceedsWithValue(5));
  EXPECT_EQ(memcmp(map.get() + 10, "hello", 5), 0);
  EXPECT_EQ(map.get()[15], 0);
}

TEST(ProcMem, ReadsAndWritesWhatNobodyMayTouch) {
  FileDescriptor mem = Open("/proc/self/mem", O_RDWR);
  Mapped map(2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  memset(map.get(), 'x', 2 * kPage);
  ASSERT_THAT(mprotect(map.get(), 2 * kPage, PROT_NONE), SyscallSucceeds());
  char byte = 0;
  ASSERT_THAT(pread(mem.get(), &byte, 1, map.address() + static_cast<off_t>(kPage)), SyscallSucceedsWithValue(1));
  EXPECT_EQ(byte, 'x');
  // Across the border of two pages.
  ASSERT_THAT(pwrite(mem.get(), "yz", 2, map.address() + static_cast<off_t>(kPage) - 1), SyscallSucceedsWithValue(2));
  ASSERT_THAT(mprotect(map.get(), 2 * kPage, PROT_READ), SyscallSucceeds());
  EXPECT_EQ(map.get()[kPage - 1], 'y');
  EXPECT_EQ(map.get()[kPage], 'z');
  EXPECT_EQ(map.get()[kPage + 1], 'x');
}

TEST(ProcMem, WritesToPrivateFilePagesStayInTheProcess) {
  TempFile file(std::string(kPage, 'f'));
  FileDescriptor fd = file.Open(O_RDONLY), mem = Open("/proc/self/mem", O_RDWR);
  Mapped map(1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd.get());
  ASSERT_THAT(pwrite(mem.get(), "\xcc", 1, map.address()), SyscallSucceedsWithValue(1));
  EXPECT_EQ(map.get()[0], '\xcc');
  EXPECT_EQ(map.get()[1], 'f');
  EXPECT_EQ(ReadFile(file.path())[0], 'f');
}

TEST(ProcMem, RefusesReadOnlySharedMappingsAndHoles) {
  TempFile file(std::string(kPage, 'f'));
  FileDescriptor fd = file.Open(O_RDONLY), mem = Open("/proc/self/mem", O_RDWR);
  Mapped map(1, PROT_READ, MAP_SHARED, fd.get());
  EXPECT_THAT(pwrite(mem.get(), "x", 1, map.address()), SyscallFailsWithErrno(EIO));
  off_t hole;
  {
    Mapped gone(1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
    hole = gone.address();
  }
  char byte;
  EXPECT_THAT(pread(mem.get(), &byte, 1, hole), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(pwrite(mem.get(), "x", 1, hole), SyscallFailsWithErrno(EIO));
}

TEST(ProcMem, OfAChildIsItsParentsToWrite) {
  Mapped map(1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  Pipe go;
  ScopedChild child([&] {
    ReadAll(go.reader.get(), 1);
    EXPECT_STREQ(map.get(), "from outside");
  });
  FileDescriptor mem = Open("/proc/" + std::to_string(child.pid()) + "/mem", O_RDWR);
  EXPECT_THAT(pwrite(mem.get(), "from outside", 13, map.address()), SyscallSucceedsWithValue(13));
  EXPECT_TRUE(WriteAll(go.writer.get(), "x"));
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(map.get()[0], 0);
}

// --- pagemap. ---

constexpr uint64_t kPresent = uint64_t{1} << 63, kFileOrShared = uint64_t{1} << 61;

std::vector<uint64_t> Pagemap(off_t address, size_t pages) {
  FileDescriptor fd = Open("/proc/self/pagemap", O_RDONLY);
  std::vector<uint64_t> out(pages);
  const long want = static_cast<long>(pages * sizeof(uint64_t));
  EXPECT_THAT(pread(fd.get(), out.data(), pages * sizeof(uint64_t), address / static_cast<off_t>(kPage) * 8),
              SyscallSucceedsWithValue(want));
  return out;
}

TEST(Pagemap, ShowsWhichPagesAreThere) {
  Mapped map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  madvise(map.get(), 4 * kPage, MADV_NOHUGEPAGE);
  map.get()[0] = map.get()[2 * kPage] = 1;
  const std::vector<uint64_t> pages = Pagemap(map.address(), 4);
  EXPECT_EQ(pages[0] & (kPresent | kFileOrShared), kPresent);
  EXPECT_EQ(pages[1], 0u);
  EXPECT_EQ(pages[2] & (kPresent | kFileOrShared), kPresent);
  EXPECT_EQ(pages[3], 0u);
  munmap(map.get(), kPage);
  EXPECT_EQ(Pagemap(map.address(), 1)[0], 0u);
}

TEST(Pagemap, TellsFilePagesApart) {
  TempFile file(std::string(kPage, 'f'));
  FileDescriptor fd = file.Open(O_RDONLY);
  Mapped map(1, PROT_READ, MAP_SHARED, fd.get());
  EXPECT_EQ(*static_cast<volatile char*>(map.get()), 'f');
  EXPECT_EQ(Pagemap(map.address(), 1)[0] & (kPresent | kFileOrShared), kPresent | kFileOrShared);
}

TEST(Pagemap, ShowsUsersNoFrameNumbers) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                Mapped map(1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
                map.get()[0] = 1;
                // Setting the ids made it undumpable: a child of exec would be itself again, /proc/self is root's now.
                const int fd = open("/proc/self/pagemap", O_RDONLY);
                if (fd < 0) return;
                uint64_t entry = 0;
                EXPECT_THAT(pread(fd, &entry, 8, map.address() / static_cast<off_t>(kPage) * 8), SyscallSucceedsWithValue(8));
                EXPECT_EQ(entry & kPresent, kPresent);
                EXPECT_EQ(entry & ((uint64_t{1} << 55) - 1), 0u);
              }),
              ExitedWith(0));
}

TEST(Pagemap, ReadsWholeEntriesOnly) {
  FileDescriptor fd = Open("/proc/self/pagemap", O_RDONLY);
  char bytes[16];
  EXPECT_THAT(pread(fd.get(), bytes, 7, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pread(fd.get(), bytes, 8, 4), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pread(fd.get(), bytes, 16, 0), SyscallSucceedsWithValue(16));
  EXPECT_THAT(pread(fd.get(), bytes, 8, off_t{1} << 55), SyscallSucceedsWithValue(0));
}

}  // namespace
}  // namespace moat::test
