// process_vm_readv(2) and process_vm_writev(2).
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include "tests/util/memory.h"
#include "tests/util/process.h"

namespace moat::test {
namespace {

constexpr size_t kPage = 4096;

ssize_t ReadFrom(pid_t pid, void* local, const void* remote, size_t size) {
  const iovec to = {local, size}, from = {const_cast<void*>(remote), size};
  return process_vm_readv(pid, &to, 1, &from, 1, 0);
}

TEST(ProcessVmTest, ReadsAndWritesTheOwnMemory) {
  char source[] = "hello", target[6] = {};
  EXPECT_THAT(ReadFrom(getpid(), target, source, 6), SyscallSucceedsWithValue(6));
  EXPECT_STREQ(target, "hello");
  const iovec local = {const_cast<char*>("HELLO"), 5}, remote = {source, 5};
  EXPECT_THAT(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), SyscallSucceedsWithValue(5));
  EXPECT_STREQ(source, "HELLO");
}

TEST(ProcessVmTest, ReadsAndWritesAChild) {
  static volatile int shared_address;
  shared_address = 1;
  Gate ready, go;
  ScopedChild child([&]() -> int {
    shared_address = 77;
    ready.Open();
    go.Wait();
    return shared_address;
  });
  ready.Wait();
  int value = 0;
  EXPECT_THAT(ReadFrom(child.pid(), &value, const_cast<int*>(&shared_address), sizeof(value)),
              SyscallSucceedsWithValue(4));
  EXPECT_EQ(value, 77);
  value = 78;
  const iovec local = {&value, 4}, remote = {const_cast<int*>(&shared_address), 4};
  EXPECT_THAT(process_vm_writev(child.pid(), &local, 1, &remote, 1, 0), SyscallSucceedsWithValue(4));
  go.Open();
  EXPECT_THAT(child.Wait(), ExitedWith(78));
  EXPECT_EQ(shared_address, 1);
}

TEST(ProcessVmTest, VectorsNeedNotMatch) {
  char source[] = "abcdefgh", a[3] = {}, b[5] = {};
  const iovec local[] = {{a, 3}, {b, 5}};
  const iovec remote[] = {{source + 4, 4}, {source, 1}, {source + 1, 3}};
  EXPECT_THAT(process_vm_readv(getpid(), local, 2, remote, 3, 0), SyscallSucceedsWithValue(8));
  EXPECT_EQ(std::string(a, 3), "efg");
  EXPECT_EQ(std::string(b, 5), "habcd");
}

TEST(ProcessVmTest, ShorterSideDecides) {
  char source[8] = "1234567", target[8] = {};
  const iovec local = {target, 3}, remote = {source, 8};
  EXPECT_THAT(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), SyscallSucceedsWithValue(3));
}

TEST(ProcessVmTest, RemoteFaultAfterSomeBytesIsAShortCount) {
  GuardedPage page;
  memset(page.start(), 'g', kPage);
  char target[64];
  EXPECT_THAT(ReadFrom(getpid(), target, page.Last(16), 64), SyscallSucceedsWithValue(16));
  EXPECT_THAT(ReadFrom(getpid(), target, page.end(), 64), SyscallFailsWithErrno(EFAULT));
}

TEST(ProcessVmTest, ReadOnlyRemoteMemoryCannotBeWritten) {
  Mapping map(kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  const iovec local = {const_cast<char*>("x"), 1}, remote = {map.data(), 1};
  EXPECT_THAT(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), SyscallFailsWithErrno(EFAULT));
}

TEST(ProcessVmTest, BadArguments) {
  char byte;
  const iovec one = {&byte, 1};
  EXPECT_THAT(process_vm_readv(0x3ffffff, &one, 1, &one, 1, 0), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1, &one, 1, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1025, &one, 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1, &one, 1025, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(process_vm_readv(getpid(), BadPointer<iovec>(), 1, &one, 1, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1, BadPointer<iovec>(), 1, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 0, &one, 0, 0), SyscallSucceedsWithValue(0));
}

TEST(ProcessVmTest, AnotherUsersProcessIsEperm) {
  SKIP_IF_NOT_ROOT();
  ScopedChild child([]() -> int {
    for (;;) pause();
  });
  static char byte;
  EXPECT_THAT(
      RunAsUser([&] { EXPECT_THAT(ReadFrom(child.pid(), &byte, &byte, 1), SyscallFailsWithErrno(EPERM)); }),
      ExitedWith(0));
}

TEST(ProcessVmTest, UndumpableProcessIsEpermForItsOwner) {
  SKIP_IF_NOT_ROOT();
  static char byte;
  EXPECT_THAT(RunAsUser([] {
                Gate ready;
                ScopedChild child([&]() -> int {
                  prctl(PR_SET_DUMPABLE, 0);
                  ready.Open();
                  for (;;) pause();
                });
                ready.Wait();
                EXPECT_THAT(ReadFrom(child.pid(), &byte, &byte, 1), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
