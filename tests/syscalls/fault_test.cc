// Synchronous faults: the signal, its code and address, and what happens when it cannot be handled.
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

sigjmp_buf escape;
siginfo_t fault;
long fault_rip, fault_error, fault_trap;

void Record(int, siginfo_t* info, void* context) {
  fault = *info;
  const auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  fault_rip = regs[REG_RIP];
  fault_error = regs[REG_ERR];
  fault_trap = regs[REG_TRAPNO];
  siglongjmp(escape, 1);
}

// Runs `body`, which must raise `sig`; the details are in `fault` then.
template <typename Body>
[[nodiscard]] bool Faults(int sig, Body&& body) {
  memset(&fault, 0, sizeof(fault));
  ScopedSigaction handler(sig, Record, 0);
  if (sigsetjmp(escape, 1) != 0) return true;
  body();
  return false;
}

void Touch(const volatile void* address) { (void)*static_cast<const volatile char*>(address); }
void Store(volatile void* address) { *static_cast<volatile char*>(address) = 1; }

constexpr long kPageFault = 14;
constexpr long kWriteAccess = 2, kUserAccess = 4, kFetch = 16;

TEST(FaultTest, UnmappedAddressIsMaperr) {
  Mapping map = AnonymousMapping(4096);
  char* address = map.data() + 123;
  munmap(map.data(), 4096);
  ASSERT_TRUE(Faults(SIGSEGV, [&] { Touch(address); }));
  EXPECT_EQ(fault.si_signo, SIGSEGV);
  EXPECT_EQ(fault.si_code, SEGV_MAPERR);
  EXPECT_EQ(fault.si_addr, address);
  EXPECT_EQ(fault_trap, kPageFault);
  EXPECT_EQ(fault_error & (kWriteAccess | kUserAccess), kUserAccess);
}

TEST(FaultTest, WriteToReadOnlyMemoryIsAccerr) {
  Mapping map(4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  Touch(map.data());
  ASSERT_TRUE(Faults(SIGSEGV, [&] { Store(map.data() + 7); }));
  EXPECT_EQ(fault.si_code, SEGV_ACCERR);
  EXPECT_EQ(fault.si_addr, map.data() + 7);
  EXPECT_NE(fault_error & kWriteAccess, 0);
}

TEST(FaultTest, ReadOfInaccessibleMemoryIsAccerr) {
  Mapping map(4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  ASSERT_TRUE(Faults(SIGSEGV, [&] { Touch(map.data()); }));
  EXPECT_EQ(fault.si_code, SEGV_ACCERR);
}

TEST(FaultTest, ExecutionOfDataIsAccerrAtTheInstruction) {
  Mapping map = AnonymousMapping(4096);
  map[0] = static_cast<char>(0xc3);  // ret
  ASSERT_TRUE(Faults(SIGSEGV, [&] { reinterpret_cast<void (*)()>(map.data())(); }));
  EXPECT_EQ(fault.si_code, SEGV_ACCERR);
  EXPECT_EQ(fault.si_addr, map.data());
  EXPECT_EQ(fault_rip, reinterpret_cast<long>(map.data()));
  EXPECT_NE(fault_error & kFetch, 0);
}

TEST(FaultTest, NullPointerIsMaperrAtZero) {
  ASSERT_TRUE(Faults(SIGSEGV, [] {
    char* null = nullptr;
    asm volatile("" : "+r"(null));
    Store(null);
  }));
  EXPECT_EQ(fault.si_code, SEGV_MAPERR);
  EXPECT_EQ(fault.si_addr, nullptr);
}

TEST(FaultTest, NonCanonicalAddressHasNoAddress) {
  ASSERT_TRUE(Faults(SIGSEGV, [] { asm volatile("movb (%0), %%al" : : "r"(0x8000000000000000ul) : "rax"); }));
  EXPECT_EQ(fault.si_code, SI_KERNEL);
  EXPECT_EQ(fault.si_addr, nullptr);
}

TEST(FaultTest, KernelAddressIsMaperr) {
  ASSERT_TRUE(Faults(SIGSEGV, [] { asm volatile("movb (%0), %%al" : : "r"(0xffff888000001000ul) : "rax"); }));
  EXPECT_EQ(fault.si_code, SEGV_MAPERR);
  EXPECT_EQ(fault.si_addr, reinterpret_cast<void*>(0xffff888000001000ul));
}

TEST(FaultTest, PrivilegedInstructionIsAGeneralProtectionSegv) {
  ASSERT_TRUE(Faults(SIGSEGV, [] { asm volatile("hlt"); }));
  EXPECT_EQ(fault.si_code, SI_KERNEL);
  EXPECT_EQ(fault_trap, 13);
}

TEST(FaultTest, PageBeyondTheEndOfAFileIsAdrerr) {
  TempFile file("short");
  FileDescriptor fd = file.Open();
  Mapping map(3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  EXPECT_EQ(map[0], 's');
  EXPECT_EQ(map[4095], 0);
  ASSERT_TRUE(Faults(SIGBUS, [&] { Touch(map.data() + 4096 + 5); }));
  EXPECT_EQ(fault.si_code, BUS_ADRERR);
  EXPECT_EQ(fault.si_addr, map.data() + 4096 + 5);
}

TEST(FaultTest, PageCutOffByTruncationIsAdrerr) {
  TempFile file(std::string(8192, 'x'));
  FileDescriptor fd = file.Open();
  Mapping shared(8192, PROT_READ, MAP_SHARED, fd.get());
  Mapping priv(8192, PROT_READ, MAP_PRIVATE, fd.get());
  EXPECT_EQ(shared[4096], 'x');
  EXPECT_EQ(priv[4096], 'x');
  ASSERT_THAT(ftruncate(fd.get(), 4096), SyscallSucceeds());
  EXPECT_TRUE(Faults(SIGBUS, [&] { Touch(shared.data() + 4096); }));
  EXPECT_TRUE(Faults(SIGBUS, [&] { Touch(priv.data() + 4096); }));
  EXPECT_EQ(fault.si_code, BUS_ADRERR);
}

TEST(FaultTest, IntegerDivisionByZeroIsIntdivAtTheInstruction) {
  ASSERT_TRUE(Faults(SIGFPE, [] {
    asm volatile("xor %%edx, %%edx\n\tmov $1, %%eax\n\txor %%ecx, %%ecx\n\tdiv %%ecx"
                 :
                 :
                 : "rax", "rcx", "rdx");
  }));
  EXPECT_EQ(fault.si_code, FPE_INTDIV);
  EXPECT_EQ(reinterpret_cast<long>(fault.si_addr), fault_rip);
}

TEST(FaultTest, QuotientThatOverflowsIsIntdivToo) {
  ASSERT_TRUE(Faults(SIGFPE, [] {
    asm volatile("mov $0x80000000, %%eax\n\tcltd\n\tmov $-1, %%ecx\n\tidiv %%ecx" : : : "rax", "rcx", "rdx");
  }));
  EXPECT_EQ(fault.si_code, FPE_INTDIV);
}

TEST(FaultTest, UnmaskedFloatDivisionIsFltdiv) {
  ASSERT_TRUE(Faults(SIGFPE, [] {
    const unsigned control = 0x1f80 & ~0x200u;  // divide-by-zero exceptions on
    const unsigned standard = 0x1f80;
    double zero = 0, one = 1;
    asm volatile("ldmxcsr %2\n\tdivsd %1, %0\n\tldmxcsr %3"
                 : "+x"(one)
                 : "x"(zero), "m"(control), "m"(standard));
  }));
  const unsigned standard = 0x1f80;
  asm volatile("ldmxcsr %0" : : "m"(standard));
  EXPECT_EQ(fault.si_code, FPE_FLTDIV);
}

TEST(FaultTest, UndefinedInstructionIsIllopnAtTheInstruction) {
  ASSERT_TRUE(Faults(SIGILL, [] { asm volatile("ud2"); }));
  EXPECT_EQ(fault.si_code, ILL_ILLOPN);
  EXPECT_EQ(reinterpret_cast<long>(fault.si_addr), fault_rip);
}

TEST(FaultTest, BreakpointIsATrapAfterTheInstruction) {
  static long after;
  ASSERT_TRUE(Faults(SIGTRAP, [] {
    asm volatile("lea 1f(%%rip), %0\n\tmov %0, %1\n\tint3\n1:" : "=&r"(after), "=m"(after));
  }));
  EXPECT_EQ(fault.si_code, SI_KERNEL);
  EXPECT_EQ(fault_rip, after);
}

TEST(FaultTest, TrapFlagGivesASingleStepTrap) {
  ASSERT_TRUE(Faults(SIGTRAP, [] {
    asm volatile("sub $128, %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tadd $128, %%rsp"
                 :
                 :
                 : "cc", "memory");
  }));
  EXPECT_EQ(fault.si_code, TRAP_TRACE);
}

TEST(FaultTest, HandlerMayRepairTheMappingAndRetry) {
  static char* page;
  static int faults;
  faults = 0;
  Mapping map(4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  page = map.data();
  ScopedSigaction handler(
      SIGSEGV,
      [](int) {
        ++faults;
        mprotect(page, 4096, PROT_READ | PROT_WRITE);
      },
      0);
  map[5] = 9;
  EXPECT_EQ(map[5], 9);
  EXPECT_EQ(faults, 1);
}

TEST(FaultTest, HandlerThatRepairsNothingIsCalledAgain) {
  static int faults;
  faults = 0;
  EXPECT_TRUE(Faults(SIGSEGV, [] {
    ScopedSigaction handler(
        SIGSEGV,
        [](int sig, siginfo_t* info, void* context) {
          if (++faults == 3) Record(sig, info, context);
        },
        0);
    Touch(BadPointer());
  }));
  EXPECT_EQ(faults, 3);
}

TEST(FaultTest, BlockedFaultSignalKills) {
  EXPECT_TRUE(DiedOf(RunInChild([]() -> int {
                       ScopedSigaction handler(
                           SIGSEGV, [](int) { _exit(1); }, 0);
                       ScopedSignalMask block(SIG_BLOCK, {SIGSEGV});
                       Touch(BadPointer());
                       return 2;
                     }),
                     SIGSEGV));
}

TEST(FaultTest, IgnoredFaultSignalKills) {
  EXPECT_TRUE(
      DiedOf(RunInChild([]() -> int {
               ScopedSigaction ignore(SIGFPE, SIG_IGN);
               asm volatile("xor %%edx, %%edx\n\txor %%ecx, %%ecx\n\tdiv %%ecx" : : : "rax", "rcx", "rdx");
               return 2;
             }),
             SIGFPE));
}

TEST(FaultTest, FaultInTheHandlerOfTheSameSignalKills) {
  EXPECT_TRUE(DiedOf(RunInChild([]() -> int {
                       ScopedSigaction handler(
                           SIGSEGV, [](int) { Touch(BadPointer()); }, 0);
                       Touch(BadPointer());
                       return 2;
                     }),
                     SIGSEGV));
}

TEST(FaultTest, SignalSentByKillCanBeIgnored) {
  ScopedSigaction ignore(SIGSEGV, SIG_IGN);
  EXPECT_THAT(kill(getpid(), SIGSEGV), SyscallSucceeds());
}

TEST(FaultTest, FaultsGoToTheThreadThatCausesThem) {
  static std::atomic<pid_t> handled_by;
  handled_by = 0;
  static char* page;
  Mapping map(4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  page = map.data();
  ScopedSigaction handler(
      SIGSEGV,
      [](int) {
        handled_by = gettid();
        mprotect(page, 4096, PROT_READ | PROT_WRITE);
      },
      0);
  ScopedThread thread([] { Store(page); });
  const pid_t tid = thread.tid();
  thread.Join();
  EXPECT_EQ(handled_by, tid);
}

TEST(FaultTest, SystemCallWithABadPointerIsEfaultAndNoSignal) {
  SignalCounter counter(SIGSEGV);
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  EXPECT_THAT(write(fds[1], BadPointer(), 1), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(write(fds[1], "x", 1), SyscallSucceedsWithValue(1));
  EXPECT_THAT(read(fds[0], BadPointer(), 1), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(counter.count(), 0);
  close(fds[0]);
  close(fds[1]);
}

}  // namespace
}  // namespace moat::test
