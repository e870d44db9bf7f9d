// Calls about the system: uname, sysinfo, getrandom, membarrier, rseq, and numbers that mean nothing.
#include <elf.h>
#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <vector>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

#ifndef GRND_INSECURE
#define GRND_INSECURE 4
#endif

namespace moat::test {
namespace {

TEST(UnameTest, NamesALinuxOfThisMachine) {
  utsname name;
  ASSERT_THAT(uname(&name), SyscallSucceeds());
  EXPECT_STREQ(name.sysname, "Linux");
  EXPECT_STREQ(name.machine, "x86_64");
  EXPECT_GE(atoi(name.release), 4);
  EXPECT_NE(std::string(name.version), "");
  EXPECT_THAT(syscall(SYS_uname, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(UnameTest, ProcShowsTheSame) {
  utsname name;
  ASSERT_THAT(uname(&name), SyscallSucceeds());
  EXPECT_EQ(Slurp("/proc/sys/kernel/ostype"), "Linux\n");
  EXPECT_EQ(Slurp("/proc/sys/kernel/osrelease"), std::string(name.release) + "\n");
  EXPECT_EQ(Slurp("/proc/sys/kernel/hostname"), std::string(name.nodename) + "\n");
}

TEST(UnameTest, SettingTheHostNameNeedsPrivilege) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(sethostname("x", 65), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_sethostname, "x", -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(RunAsUser([] {
                EXPECT_THAT(sethostname("x", 1), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(setdomainname("x", 1), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(SysinfoTest, ValuesArePlausible) {
  struct sysinfo info = {};
  ASSERT_THAT(sysinfo(&info), SyscallSucceeds());
  EXPECT_GE(info.uptime, 0);
  EXPECT_GT(info.mem_unit, 0u);
  EXPECT_GT(info.totalram, 0u);
  EXPECT_LE(info.freeram, info.totalram);
  EXPECT_GE(info.procs, 1);
  EXPECT_THAT(syscall(SYS_sysinfo, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(SysinfoTest, UptimeFollowsTheBootClock) {
  struct sysinfo info = {};
  timespec now;
  ASSERT_THAT(clock_gettime(CLOCK_BOOTTIME, &now), SyscallSucceeds());
  ASSERT_THAT(sysinfo(&info), SyscallSucceeds());
  EXPECT_GE(info.uptime, now.tv_sec);
}

TEST(GetrandomTest, FillsTheBufferDifferentlyEachTime) {
  unsigned char a[32] = {}, b[32] = {};
  EXPECT_THAT(getrandom(a, sizeof(a), 0), SyscallSucceedsWithValue(32));
  EXPECT_THAT(getrandom(b, sizeof(b), GRND_NONBLOCK), SyscallSucceedsWithValue(32));
  EXPECT_NE(memcmp(a, b, sizeof(a)), 0);
}

TEST(GetrandomTest, LargeRequestsAreFilled) {
  std::vector<unsigned char> bytes(100000, 0);
  EXPECT_THAT(getrandom(bytes.data(), bytes.size(), 0), SyscallSucceedsWithValue(100000));
  // A long run of zeroes does not happen by chance.
  for (size_t at = 0; at + 64 <= bytes.size(); at += 4096) {
    EXPECT_TRUE(std::any_of(&bytes[at], &bytes[at + 64], [](unsigned char c) { return c != 0; }));
  }
}

TEST(GetrandomTest, FlagsAndErrors) {
  char byte;
  EXPECT_THAT(getrandom(&byte, 1, GRND_RANDOM), SyscallSucceedsWithValue(1));
  EXPECT_THAT(getrandom(&byte, 1, GRND_INSECURE), SyscallSucceedsWithValue(1));
  EXPECT_THAT(getrandom(&byte, 1, GRND_INSECURE | GRND_RANDOM), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(getrandom(&byte, 1, 0x100), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(getrandom(&byte, 0, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(syscall(SYS_getrandom, BadPointer(), 16, 0), SyscallFailsWithErrno(EFAULT));
}

long Membarrier(int command, unsigned flags = 0) { return syscall(SYS_membarrier, command, flags, 0); }

TEST(MembarrierTest, QueryListsThePrivateExpeditedCommands) {
  const long commands = Membarrier(MEMBARRIER_CMD_QUERY);
  ASSERT_THAT(commands, SyscallSucceeds());
  EXPECT_NE(commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
  EXPECT_NE(commands & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0);
}

TEST(MembarrierTest, ExpeditedNeedsRegistration) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_THAT(Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), SyscallFailsWithErrno(EPERM));
                ASSERT_THAT(Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED), SyscallSucceeds());
                EXPECT_THAT(Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST(MembarrierTest, BadArgumentsAreEinval) {
  EXPECT_THAT(Membarrier(1 << 30), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Membarrier(MEMBARRIER_CMD_QUERY, 0x100), SyscallFailsWithErrno(EINVAL));
}

// glibc registers an area for each thread; its offset from the thread pointer and size are public symbols.
extern "C" {
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));
}

constexpr unsigned kRseqSignature = 0x53053053;  // libc's

TEST(RseqTest, LibcsAreaKnowsTheCurrentCpu) {
  if (&__rseq_size == nullptr || __rseq_size == 0) GTEST_SKIP() << "this libc has not registered an area";
  auto* area =
      reinterpret_cast<volatile struct rseq*>(static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset);
  cpu_set_t set;
  ASSERT_THAT(sched_getaffinity(0, sizeof(set), &set), SyscallSucceeds());
  EXPECT_TRUE(CPU_ISSET(area->cpu_id, &set));
}

TEST(RseqTest, RegistrationInAFreshThreadOfControl) {
  EXPECT_THAT(RunInChild([]() -> int {
                static struct rseq area __attribute__((aligned(32)));
                if (&__rseq_size != nullptr && __rseq_size != 0) {
                  // Give libc's area up first; only one may be registered at a time.
                  auto* libcs = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
                  if (syscall(SYS_rseq, &area, sizeof(area), 0, kRseqSignature) != -1) return 1;
                  if (errno != EINVAL && errno != EBUSY) return 2;
                  if (syscall(SYS_rseq, libcs, 32, RSEQ_FLAG_UNREGISTER, kRseqSignature) != 0) return 3;
                }
                if (syscall(SYS_rseq, &area, 32, 0, kRseqSignature) != 0) return errno == ENOSYS ? 0 : 4;
                sched_yield();
                if (static_cast<int>(area.cpu_id) < 0) return 5;
                if (syscall(SYS_rseq, &area, 32, 0, kRseqSignature) != -1 || errno != EBUSY) return 6;
                if (syscall(SYS_rseq, &area, 32, 0, 0x1234) != -1 || errno != EPERM) return 7;
                if (syscall(SYS_rseq, &area, 32, RSEQ_FLAG_UNREGISTER, kRseqSignature) != 0) return 8;
                return static_cast<int>(area.cpu_id) < 0 ? 0 : 9;
              }),
              ExitedWith(0));
}

TEST(UnknownCallTest, NumbersWithoutACallAreEnosys) {
  for (long number : {350l, 400l, 10000l, 0x3fffffffl, -1l, -100l}) {
    EXPECT_THAT(syscall(number), SyscallFailsWithErrno(ENOSYS)) << number;
  }
}

TEST(UnknownCallTest, RetiredCallsAreEnosys) {
  for (long number :
       {156l /* _sysctl */, 174l /* create_module */, 177l /* get_kernel_syms */, 178l /* query_module */,
        180l /* nfsservctl */, 181l /* getpmsg */, 184l /* tuxcall */, 185l /* security */}) {
    EXPECT_THAT(syscall(number), SyscallFailsWithErrno(ENOSYS)) << number;
  }
}

TEST(UnknownCallTest, X32NumbersAreEnosys) {
  constexpr long kX32Bit = 0x40000000;
  EXPECT_THAT(syscall(kX32Bit | SYS_getpid), SyscallFailsWithErrno(ENOSYS));
}

TEST(UnknownCallTest, UpperHalfOfTheNumberIsIgnored) {
  // The kernel looks at the low 32 bits, as a signed number.
  long result;
  asm volatile("syscall" : "=a"(result) : "0"((1l << 32) | SYS_getpid) : "rcx", "r11", "memory");
  EXPECT_EQ(result, getpid());
}

TEST(LegacyEntryTest, Int80IsServedAsA32BitCallOrRefusedCleanly) {
  // getpid has the number 20 in the 32-bit table. A kernel without it ends the program with SIGSEGV.
  const int status = RunInChild([]() -> int {
    long result;
    asm volatile("int $0x80" : "=a"(result) : "0"(20l) : "memory", "r8", "r9", "r10", "r11");
    if (static_cast<int>(result) == getpid()) return 0;
    return static_cast<int>(result) == -ENOSYS ? 0 : 1;
  });
  EXPECT_TRUE(status == 0 || DiedOf(status, SIGSEGV)) << status;
}

TEST(VdsoTest, IsMappedAndNamed) {
  const unsigned long base = getauxval(AT_SYSINFO_EHDR);
  if (base == 0) GTEST_SKIP() << "no vDSO here";
  EXPECT_EQ(memcmp(reinterpret_cast<const void*>(base), ELFMAG, SELFMAG), 0);
  EXPECT_NE(Slurp("/proc/self/maps").find("[vdso]"), std::string::npos);
}

}  // namespace
}  // namespace moat::test
