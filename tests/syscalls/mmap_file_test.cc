// mmap(2) of files: sharing, private copies, the end of the file, protections, msync(2).
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

constexpr size_t kPage = 4096;

class MmapFile : public testing::Test {
 protected:
  Mapping Map(int prot, int flags, size_t size = kPage, off_t offset = 0) {
    Mapping map(size, prot, flags, fd_.get(), offset);
    EXPECT_TRUE(map.valid()) << ErrnoText(errno);
    return map;
  }
  TempFile file_{std::string(3 * kPage, 'f')};
  FileDescriptor fd_ = file_.Open();
};

sigjmp_buf g_fault;
volatile int g_signal, g_code;
void* volatile g_address;
void OnFault(int sig, siginfo_t* info, void*) {
  g_signal = sig;
  g_code = info->si_code;
  g_address = info->si_addr;
  siglongjmp(g_fault, 1);
}
// Reads (or writes) one byte: 0, or the signal that it raised.
int Touch(char* address, bool write = false) {
  ScopedSigaction segv(SIGSEGV, &OnFault, 0), bus(SIGBUS, &OnFault, 0);
  g_signal = 0;
  if (sigsetjmp(g_fault, 1) == 0) {
    volatile char* p = address;
    if (write) {
      *p = 1;
    } else {
      (void)*p;
    }
  }
  return g_signal;
}

TEST_F(MmapFile, SharedWritesReachTheFileAndBack) {
  Mapping map = Map(PROT_READ | PROT_WRITE, MAP_SHARED);
  map[10] = 'm';
  char c;
  ASSERT_THAT(pread(fd_.get(), &c, 1, 10), SyscallSucceedsWithValue(1));
  EXPECT_EQ(c, 'm');
  ASSERT_THAT(pwrite(fd_.get(), "w", 1, 20), SyscallSucceedsWithValue(1));
  EXPECT_EQ(map[20], 'w');
}

TEST_F(MmapFile, TwoSharedMappingsAreOneMemory) {
  Mapping a = Map(PROT_READ | PROT_WRITE, MAP_SHARED), b = Map(PROT_READ | PROT_WRITE, MAP_SHARED);
  a[5] = 'a';
  EXPECT_EQ(b[5], 'a');
}

TEST_F(MmapFile, SharedWithForkedChildren) {
  Mapping map = Map(PROT_READ | PROT_WRITE, MAP_SHARED);
  EXPECT_THAT(RunInChild([&] { map[1] = 'c'; }), ExitedWith(0));
  EXPECT_EQ(map[1], 'c');
}

TEST_F(MmapFile, PrivateWritesStayPrivate) {
  Mapping map = Map(PROT_READ | PROT_WRITE, MAP_PRIVATE);
  map[0] = 'p';
  char c;
  ASSERT_THAT(pread(fd_.get(), &c, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(c, 'f');
  // After the copy, changes of the file no longer show in that page.
  ASSERT_THAT(pwrite(fd_.get(), "ww", 2, 0), SyscallSucceedsWithValue(2));
  EXPECT_EQ(map[0], 'p');
  EXPECT_EQ(map[1], 'f');
  EXPECT_THAT(RunInChild([&] { map[0] = 'c'; }), ExitedWith(0));
  EXPECT_EQ(map[0], 'p');
}

TEST_F(MmapFile, OffsetSelectsThePage) {
  ASSERT_THAT(pwrite(fd_.get(), "second", 6, kPage), SyscallSucceeds());
  Mapping map = Map(PROT_READ, MAP_SHARED, kPage, kPage);
  EXPECT_EQ(std::string(map.data(), 6), "second");
}

TEST_F(MmapFile, OutlivesTheDescriptorAndTheName) {
  Mapping map = Map(PROT_READ | PROT_WRITE, MAP_SHARED);
  fd_.Reset();
  ASSERT_THAT(unlink(file_.path().c_str()), SyscallSucceeds());
  map[0] = 'z';
  EXPECT_EQ(map[0], 'z');
  EXPECT_EQ(map[1], 'f');
}

TEST_F(MmapFile, BytesAfterTheEndInTheLastPageAreZero) {
  ASSERT_THAT(ftruncate(fd_.get(), 100), SyscallSucceeds());
  Mapping map = Map(PROT_READ | PROT_WRITE, MAP_SHARED);
  EXPECT_EQ(map[99], 'f');
  EXPECT_EQ(map[100], '\0');
  EXPECT_EQ(map[kPage - 1], '\0');
  // Writes there go nowhere.
  map[200] = 'x';
  struct stat st;
  ASSERT_THAT(fstat(fd_.get(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_size, 100);
}

TEST_F(MmapFile, PagesAfterTheEndRaiseSigbus) {
  ASSERT_THAT(ftruncate(fd_.get(), 100), SyscallSucceeds());
  for (int kind : {MAP_SHARED, MAP_PRIVATE}) {
    Mapping map = Map(PROT_READ | PROT_WRITE, kind, 3 * kPage);
    EXPECT_EQ(Touch(&map[kPage - 1]), 0);
    EXPECT_EQ(Touch(&map[kPage]), SIGBUS);
    EXPECT_EQ(g_code, BUS_ADRERR);
    EXPECT_EQ(g_address, &map[kPage]);
    EXPECT_EQ(Touch(&map[2 * kPage], true), SIGBUS);
  }
}

TEST_F(MmapFile, TruncationTakesMappedPagesAway) {
  Mapping map = Map(PROT_READ | PROT_WRITE, MAP_SHARED, 3 * kPage);
  EXPECT_EQ(Touch(&map[2 * kPage]), 0);
  ASSERT_THAT(ftruncate(fd_.get(), kPage), SyscallSucceeds());
  EXPECT_EQ(Touch(&map[2 * kPage]), SIGBUS);
  EXPECT_EQ(Touch(&map[0]), 0);
  // Growing brings zero pages.
  ASSERT_THAT(ftruncate(fd_.get(), 3 * kPage), SyscallSucceeds());
  EXPECT_EQ(Touch(&map[2 * kPage]), 0);
  EXPECT_EQ(map[2 * kPage], '\0');
}

TEST_F(MmapFile, SystemCallsFaultPastTheEnd) {
  ASSERT_THAT(ftruncate(fd_.get(), 100), SyscallSucceeds());
  Mapping map = Map(PROT_READ | PROT_WRITE, MAP_SHARED, 2 * kPage);
  Pipe pipe;
  EXPECT_THAT(write(pipe.writer.get(), &map[kPage], 10), SyscallFailsWithErrno(EFAULT));
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "data"));
  EXPECT_THAT(read(pipe.reader.get(), &map[kPage], 4), SyscallFailsWithErrno(EFAULT));
}

TEST_F(MmapFile, ProtectionIsEnforced) {
  Mapping readonly = Map(PROT_READ, MAP_SHARED), none = Map(PROT_NONE, MAP_PRIVATE);
  EXPECT_EQ(Touch(&readonly[0]), 0);
  EXPECT_EQ(Touch(&readonly[0], true), SIGSEGV);
  EXPECT_EQ(g_code, SEGV_ACCERR);
  EXPECT_EQ(Touch(&none[0]), SIGSEGV);
  ASSERT_THAT(mprotect(none.data(), kPage, PROT_READ), SyscallSucceeds());
  EXPECT_EQ(Touch(&none[0]), 0);
}

TEST_F(MmapFile, AccessModeLimitsTheMapping) {
  FileDescriptor reader = file_.Open(O_RDONLY), writer = file_.Open(O_WRONLY);
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, writer.get(), 0), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(mmap(nullptr, kPage, PROT_WRITE, MAP_SHARED, writer.get(), 0), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, reader.get(), 0),
              SyscallFailsWithErrno(EACCES));
  Mapping copy(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader.get());
  EXPECT_TRUE(copy.valid());
  Mapping shared(kPage, PROT_READ, MAP_SHARED, reader.get());
  ASSERT_TRUE(shared.valid());
  EXPECT_THAT(mprotect(shared.data(), kPage, PROT_READ | PROT_WRITE), SyscallFailsWithErrno(EACCES));
}

TEST_F(MmapFile, BadArguments) {
  EXPECT_THAT(mmap(nullptr, 0, PROT_READ, MAP_SHARED, fd_.get(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd_.get(), 100), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, 0, fd_.get(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, -1, 0), SyscallFailsWithErrno(EBADF));
  FileDescriptor dir = Open(file_.dir().path(), O_RDONLY);
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, dir.get(), 0), SyscallFailsWithErrno(ENODEV));
  Pipe pipe;
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, pipe.reader.get(), 0),
              SyscallFailsWithErrno(testing::AnyOf(ENODEV, EACCES)));
  EXPECT_THAT(mmap(nullptr, kPage, PROT_READ, MAP_SHARED_VALIDATE | 0x200000, fd_.get(), 0),
              SyscallFailsWithErrno(EOPNOTSUPP));
}

TEST_F(MmapFile, FixedMappingsReplaceWhatIsThere) {
  Mapping area = AnonymousMapping(3 * kPage);
  memset(area.data(), 'a', 3 * kPage);
  void* middle = mmap(&area[kPage], kPage, PROT_READ, MAP_SHARED | MAP_FIXED, fd_.get(), 0);
  ASSERT_EQ(middle, &area[kPage]);
  EXPECT_EQ(area[kPage - 1], 'a');
  EXPECT_EQ(area[kPage], 'f');
  EXPECT_EQ(area[2 * kPage], 'a');
  EXPECT_THAT(mmap(&area[0], kPage, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd_.get(), 0),
              SyscallFailsWithErrno(EEXIST));
}

TEST_F(MmapFile, MsyncChecksItsRange) {
  Mapping map = Map(PROT_READ | PROT_WRITE, MAP_SHARED, 2 * kPage);
  map[0] = 's';
  EXPECT_THAT(msync(map.data(), 2 * kPage, MS_SYNC), SyscallSucceeds());
  EXPECT_THAT(msync(map.data(), 2 * kPage, MS_ASYNC | MS_INVALIDATE), SyscallSucceeds());
  EXPECT_THAT(msync(map.data(), kPage, MS_SYNC | MS_ASYNC), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msync(map.data() + 1, kPage, MS_SYNC), SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(munmap(&map[kPage], kPage), SyscallSucceeds());
  EXPECT_THAT(msync(map.data(), 2 * kPage, MS_SYNC), SyscallFailsWithErrno(ENOMEM));
}

TEST_F(MmapFile, SharedMappingWritesUpdateTheModificationTime) {
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  ASSERT_THAT(futimens(fd_.get(), old), SyscallSucceeds());
  Mapping map = Map(PROT_READ | PROT_WRITE, MAP_SHARED);
  map[0] = 't';
  ASSERT_THAT(msync(map.data(), kPage, MS_SYNC), SyscallSucceeds());
  struct stat st;
  ASSERT_THAT(fstat(fd_.get(), &st), SyscallSucceeds());
  EXPECT_GT(st.st_mtim.tv_sec, 1000);
}

TEST_F(MmapFile, MapsShowsTheFile) {
  Mapping map = Map(PROT_READ, MAP_SHARED, kPage, kPage);
  struct stat st;
  ASSERT_THAT(fstat(fd_.get(), &st), SyscallSucceeds());
  char head[64];
  snprintf(head, sizeof(head), "%lx-%lx r--s 00001000 ", reinterpret_cast<unsigned long>(map.data()),
           reinterpret_cast<unsigned long>(map.data()) + kPage);
  const std::string maps = ReadFile("/proc/self/maps");
  const size_t pos = maps.find(head);
  ASSERT_NE(pos, std::string::npos) << maps;
  const std::string line = maps.substr(pos, maps.find('\n', pos) - pos);
  EXPECT_NE(line.find(" " + std::to_string(st.st_ino) + " "), std::string::npos) << line;
  EXPECT_TRUE(line.ends_with(file_.path())) << line;
}

TEST_F(MmapFile, DevZeroGivesZeroMemory) {
  FileDescriptor zero = Open("/dev/zero", O_RDWR);
  Mapping map(2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero.get());
  ASSERT_TRUE(map.valid());
  EXPECT_EQ(map[kPage], '\0');
  map[kPage] = 'x';
  Mapping again(kPage, PROT_READ, MAP_PRIVATE, zero.get());
  EXPECT_EQ(again[0], '\0');
}

}  // namespace
}  // namespace moat::test
