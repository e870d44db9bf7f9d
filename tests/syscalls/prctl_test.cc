// prctl(2), arch_prctl(2) and personality(2).
#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef PR_SET_THP_DISABLE
#define PR_SET_THP_DISABLE 41
#define PR_GET_THP_DISABLE 42
#endif

namespace moat::test {
namespace {

MOAT_TEST_ROLE(NoNewPrivs) { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }
MOAT_TEST_ROLE(Persona) { return personality(0xffffffff) & 0xff0000 ? 1 : 0; }
MOAT_TEST_ROLE(DeathSignal) {
  int sig = -1;
  prctl(PR_GET_PDEATHSIG, &sig);
  return sig;
}

TEST(PrctlNameTest, RoundTripsAndIsCutToFifteenBytes) {
  EXPECT_THAT(RunInChild([] {
                char name[16];
                ASSERT_THAT(prctl(PR_SET_NAME, "short"), SyscallSucceeds());
                ASSERT_THAT(prctl(PR_GET_NAME, name), SyscallSucceeds());
                EXPECT_STREQ(name, "short");
                ASSERT_THAT(prctl(PR_SET_NAME, "0123456789abcdefXYZ"), SyscallSucceeds());
                ASSERT_THAT(prctl(PR_GET_NAME, name), SyscallSucceeds());
                EXPECT_STREQ(name, "0123456789abcde");
                EXPECT_EQ(Slurp("/proc/self/comm"), "0123456789abcde\n");
                EXPECT_EQ(StatusField(getpid(), "Name"), "0123456789abcde");
              }),
              ExitedWith(0));
}

TEST(PrctlNameTest, BadPointerIsEfault) {
  EXPECT_THAT(prctl(PR_SET_NAME, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(prctl(PR_GET_NAME, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(PrctlNameTest, CommFileSetsIt) {
  EXPECT_THAT(RunInChild([] {
                FileDescriptor comm = Open("/proc/self/comm", O_WRONLY);
                ASSERT_THAT(write(comm.get(), "renamed", 7), SyscallSucceedsWithValue(7));
                char name[16];
                ASSERT_THAT(prctl(PR_GET_NAME, name), SyscallSucceeds());
                EXPECT_STREQ(name, "renamed");
              }),
              ExitedWith(0));
}

TEST(PrctlTest, UnknownOptionIsEinval) {
  EXPECT_THAT(prctl(123456), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(prctl(-1), SyscallFailsWithErrno(EINVAL));
}

TEST(PrctlPdeathsigTest, RoundTripsAndChecksTheSignal) {
  EXPECT_THAT(RunInChild([] {
                int sig = -1;
                ASSERT_THAT(prctl(PR_SET_PDEATHSIG, SIGUSR2), SyscallSucceeds());
                ASSERT_THAT(prctl(PR_GET_PDEATHSIG, &sig), SyscallSucceeds());
                EXPECT_EQ(sig, SIGUSR2);
                EXPECT_THAT(prctl(PR_SET_PDEATHSIG, 65), SyscallFailsWithErrno(EINVAL));
                EXPECT_THAT(prctl(PR_SET_PDEATHSIG, 0), SyscallSucceeds());
                EXPECT_THAT(prctl(PR_GET_PDEATHSIG, BadPointer()), SyscallFailsWithErrno(EFAULT));
              }),
              ExitedWith(0));
}

TEST(PrctlPdeathsigTest, SurvivesAPlainExec) {
  EXPECT_THAT(RunInChild([]() -> int {
                prctl(PR_SET_PDEATHSIG, SIGUSR2);
                return ExecRole("DeathSignal", {"x"});
              }),
              ExitedWith(SIGUSR2));
}

TEST(PrctlDumpableTest, RoundTripsAndRefusesOthers) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_EQ(prctl(PR_GET_DUMPABLE), 1);
                ASSERT_THAT(prctl(PR_SET_DUMPABLE, 0), SyscallSucceeds());
                EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
                EXPECT_THAT(prctl(PR_SET_DUMPABLE, 2), SyscallFailsWithErrno(EINVAL));
                EXPECT_THAT(prctl(PR_SET_DUMPABLE, -1), SyscallFailsWithErrno(EINVAL));
              }),
              ExitedWith(0));
}

TEST(PrctlDumpableTest, ChangingTheUserClearsIt) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(syscall(SYS_setresuid, 1000, 1000, 1000), SyscallSucceeds());
                EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
              }),
              ExitedWith(0));
}

TEST(PrctlDumpableTest, UndumpableProcessesFilesInProcBelongToRoot) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                struct stat st;
                prctl(PR_SET_DUMPABLE, 1);
                ASSERT_THAT(stat("/proc/self/environ", &st), SyscallSucceeds());
                EXPECT_EQ(st.st_uid, kOtherUid);
                prctl(PR_SET_DUMPABLE, 0);
                ASSERT_THAT(stat("/proc/self/environ", &st), SyscallSucceeds());
                EXPECT_EQ(st.st_uid, 0u);
              }),
              ExitedWith(0));
}

TEST(PrctlNoNewPrivsTest, CanOnlyBeSetAndIsInherited) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
                EXPECT_THAT(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), SyscallFailsWithErrno(EINVAL));
                EXPECT_THAT(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), SyscallFailsWithErrno(EINVAL));
                ASSERT_THAT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), SyscallSucceeds());
                EXPECT_EQ(StatusField(getpid(), "NoNewPrivs"), "1");
                EXPECT_THAT(RunInChild([]() -> int { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }),
                            ExitedWith(1));
                EXPECT_THAT(RunRole("NoNewPrivs"), ExitedWith(1));
              }),
              ExitedWith(0));
}

TEST(PrctlTimerslackTest, RoundTripsAndZeroRestoresTheDefault) {
  EXPECT_THAT(RunInChild([] {
                const int standard = prctl(PR_GET_TIMERSLACK);
                EXPECT_GE(standard, 0);
                ASSERT_THAT(prctl(PR_SET_TIMERSLACK, 12345), SyscallSucceeds());
                EXPECT_EQ(prctl(PR_GET_TIMERSLACK), 12345);
                ASSERT_THAT(prctl(PR_SET_TIMERSLACK, 0), SyscallSucceeds());
                EXPECT_EQ(prctl(PR_GET_TIMERSLACK), standard);
              }),
              ExitedWith(0));
}

TEST(PrctlThpTest, DisableRoundTrips) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
                ASSERT_THAT(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), SyscallSucceeds());
                EXPECT_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
                EXPECT_THAT(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), SyscallFailsWithErrno(EINVAL));
              }),
              ExitedWith(0));
}

TEST(PrctlSeccompTest, ModeIsZeroWithoutAFilter) { EXPECT_EQ(prctl(PR_GET_SECCOMP), 0); }

TEST(PrctlSeccompTest, StrictModeKillsOnOtherCalls) {
  EXPECT_THAT(RunInChild([]() -> int {
                prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
                syscall(SYS_getpid);
                syscall(SYS_exit, 1);
                return 2;
              }),
              KilledBy(SIGKILL));
  EXPECT_THAT(RunInChild([]() -> int {
                prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
                syscall(SYS_exit, 4);
                return 2;
              }),
              ExitedWith(4));
}

TEST(PrctlTscTest, DefaultIsEnabled) {
  int mode = 0;
  ASSERT_THAT(prctl(PR_GET_TSC, &mode), SyscallSucceeds());
  EXPECT_EQ(mode, PR_TSC_ENABLE);
}

TEST(ArchPrctlTest, FsBaseReadsBackAndIsWhatTheProgramSees) {
  unsigned long base = 0, first_word = 0;
  ASSERT_THAT(syscall(SYS_arch_prctl, ARCH_GET_FS, &base), SyscallSucceeds());
  asm volatile("mov %%fs:0, %0" : "=r"(first_word));
  EXPECT_EQ(base, first_word);  // the ABI keeps the address of the block there
}

TEST(ArchPrctlTest, GsBaseCanBeSetAndUsed) {
  unsigned long words[2] = {0x1122, 0x3344}, seen = 0, base = 0;
  ASSERT_THAT(syscall(SYS_arch_prctl, ARCH_SET_GS, words), SyscallSucceeds());
  asm volatile("mov %%gs:8, %0" : "=r"(seen));
  EXPECT_EQ(seen, 0x3344u);
  ASSERT_THAT(syscall(SYS_arch_prctl, ARCH_GET_GS, &base), SyscallSucceeds());
  EXPECT_EQ(base, reinterpret_cast<unsigned long>(words));
  EXPECT_THAT(RunInChild([&]() -> int {
                asm volatile("mov %%gs:0, %0" : "=r"(seen));
                return seen == 0x1122 ? 0 : 1;
              }),
              ExitedWith(0));
  EXPECT_THAT(syscall(SYS_arch_prctl, ARCH_SET_GS, 0), SyscallSucceeds());
}

TEST(ArchPrctlTest, GsBaseSurvivesSystemCallsAndSignals) {
  unsigned long word = 0x7788, seen = 0;
  SignalCounter counter(SIGUSR1);
  ASSERT_THAT(syscall(SYS_arch_prctl, ARCH_SET_GS, &word), SyscallSucceeds());
  raise(SIGUSR1);
  SleepMs(1);
  asm volatile("mov %%gs:0, %0" : "=r"(seen));
  EXPECT_EQ(seen, 0x7788u);
  EXPECT_THAT(syscall(SYS_arch_prctl, ARCH_SET_GS, 0), SyscallSucceeds());
}

TEST(ArchPrctlTest, BadArguments) {
  EXPECT_THAT(syscall(SYS_arch_prctl, 0xdead, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_arch_prctl, ARCH_GET_FS, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x800000000000ul), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(syscall(SYS_arch_prctl, ARCH_SET_FS, ~0ul), SyscallFailsWithErrno(EPERM));
}

TEST(PersonalityTest, QueryDoesNotChangeIt) {
  EXPECT_EQ(personality(0xffffffff) & PER_MASK, PER_LINUX);
  EXPECT_EQ(personality(0xffffffff) & PER_MASK, PER_LINUX);
}

TEST(PersonalityTest, SetReturnsTheFormerAndIsInherited) {
  EXPECT_THAT(RunInChild([] {
                const int before = personality(0xffffffff);
                EXPECT_EQ(personality(before | ADDR_NO_RANDOMIZE), before);
                EXPECT_EQ(personality(0xffffffff), before | ADDR_NO_RANDOMIZE);
                EXPECT_THAT(RunInChild([&]() -> int {
                              return personality(0xffffffff) == (before | ADDR_NO_RANDOMIZE);
                            }),
                            ExitedWith(1));
              }),
              ExitedWith(0));
}

TEST(PrctlVmaNameTest, NamesAnonymousMemoryWhereSupported) {
  Mapping map = AnonymousMapping(4096);
  const int result = prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, map.data(), 4096, "moat-test");
  if (result != 0) {
    EXPECT_EQ(errno, EINVAL);  // kernels built without it
    return;
  }
  EXPECT_NE(Slurp("/proc/self/maps").find("[anon:moat-test]"), std::string::npos);
}

TEST(PrctlReaperTest, OutOfRangePointerIsEfault) {
  EXPECT_THAT(prctl(PR_GET_CHILD_SUBREAPER, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
