// sigaction(2): the flags, the mask during a handler, what the handler is given, and how it returns.
#include <setjmp.h>
#include <sys/ucontext.h>
#include <ucontext.h>

#include <atomic>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

// The kernel's own structure, for what libc checks or changes before the call.
struct KernelSigaction {
  void* handler;
  unsigned long flags;
  void* restorer;
  uint64_t mask;
};

long RtSigaction(int sig, const KernelSigaction* action, KernelSigaction* old, size_t size = 8) {
  return syscall(SYS_rt_sigaction, sig, action, old, size);
}

sigset_t CurrentMask() {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return mask;
}

TEST(SigactionTest, ReturnsWhatWasInstalled) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART | SA_NODEFER;
  action.sa_mask = SignalSet({SIGUSR2, SIGHUP});
  ScopedSigaction scoped(SIGUSR1, action);
  struct sigaction got;
  ASSERT_THAT(sigaction(SIGUSR1, nullptr, &got), SyscallSucceeds());
  EXPECT_EQ(got.sa_handler, action.sa_handler);
  EXPECT_EQ(got.sa_flags & (SA_RESTART | SA_NODEFER), SA_RESTART | SA_NODEFER);
  EXPECT_TRUE(sigismember(&got.sa_mask, SIGUSR2));
  EXPECT_TRUE(sigismember(&got.sa_mask, SIGHUP));
  EXPECT_FALSE(sigismember(&got.sa_mask, SIGUSR1));
}

TEST(SigactionTest, BadSignalNumbersAreEinval) {
  KernelSigaction action = {};
  for (int sig : {0, -1, 65, 1000})
    EXPECT_THAT(RtSigaction(sig, &action, nullptr), SyscallFailsWithErrno(EINVAL));
}

TEST(SigactionTest, KillAndStopCannotBeChangedButCanBeRead) {
  KernelSigaction action = {};
  for (int sig : {SIGKILL, SIGSTOP}) {
    EXPECT_THAT(RtSigaction(sig, &action, nullptr), SyscallFailsWithErrno(EINVAL));
    EXPECT_THAT(RtSigaction(sig, nullptr, &action), SyscallSucceeds());
    EXPECT_EQ(action.handler, nullptr);
  }
}

TEST(SigactionTest, SizeOfTheSetMustBeEight) {
  KernelSigaction action = {};
  for (size_t size : {0, 4, 16, 128}) {
    EXPECT_THAT(RtSigaction(SIGUSR1, nullptr, &action, size), SyscallFailsWithErrno(EINVAL));
  }
}

TEST(SigactionTest, BadPointersAreEfault) {
  EXPECT_THAT(RtSigaction(SIGUSR1, BadPointer<KernelSigaction>(), nullptr), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(RtSigaction(SIGUSR1, nullptr, BadPointer<KernelSigaction>()), SyscallFailsWithErrno(EFAULT));
}

TEST(SigactionTest, MaskNeverHoldsKillAndStop) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  action.sa_mask = SignalSet({SIGKILL, SIGSTOP, SIGUSR2});
  ScopedSigaction scoped(SIGUSR1, action);
  KernelSigaction got;
  ASSERT_THAT(RtSigaction(SIGUSR1, nullptr, &got), SyscallSucceeds());
  EXPECT_EQ(got.mask, 1ull << (SIGUSR2 - 1));
}

TEST(SigactionTest, HandlerRunsBeforeRaiseReturns) {
  SignalCounter counter(SIGUSR1);
  for (int i = 1; i <= 100; ++i) {
    raise(SIGUSR1);
    ASSERT_EQ(counter.count(), i);
  }
}

sigset_t mask_in_handler;

TEST(SigactionTest, SignalAndMaskAreBlockedDuringTheHandlerOnly) {
  struct sigaction action = {};
  action.sa_handler = [](int) { mask_in_handler = CurrentMask(); };
  action.sa_mask = SignalSet({SIGUSR2});
  ScopedSigaction scoped(SIGUSR1, action);
  raise(SIGUSR1);
  EXPECT_TRUE(sigismember(&mask_in_handler, SIGUSR1));
  EXPECT_TRUE(sigismember(&mask_in_handler, SIGUSR2));
  const sigset_t after = CurrentMask();
  EXPECT_FALSE(sigismember(&after, SIGUSR1));
  EXPECT_FALSE(sigismember(&after, SIGUSR2));
}

TEST(SigactionTest, NodeferLeavesTheSignalUnblocked) {
  ScopedSigaction scoped(
      SIGUSR1, [](int) { mask_in_handler = CurrentMask(); }, SA_NODEFER);
  raise(SIGUSR1);
  EXPECT_FALSE(sigismember(&mask_in_handler, SIGUSR1));
}

std::atomic<int> depth, deepest;

TEST(SigactionTest, NodeferHandlersNest) {
  depth = deepest = 0;
  ScopedSigaction scoped(
      SIGUSR1,
      [](int) {
        const int level = ++depth;
        if (level > deepest) deepest = level;
        if (level < 5) raise(SIGUSR1);
        --depth;
      },
      SA_NODEFER);
  raise(SIGUSR1);
  EXPECT_EQ(deepest, 5);
}

TEST(SigactionTest, DeferredSignalComesAfterTheHandler) {
  depth = deepest = 0;
  static std::atomic<int> runs;
  runs = 0;
  ScopedSigaction scoped(
      SIGUSR1,
      [](int) {
        if (++depth > deepest) deepest = depth.load();
        if (++runs == 1) raise(SIGUSR1);
        --depth;
      },
      0);
  raise(SIGUSR1);
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(deepest, 1);
}

TEST(SigactionTest, ResethandRestoresTheDefaultBeforeTheHandler) {
  static void* during;
  during = reinterpret_cast<void*>(1);
  ScopedSigaction scoped(
      SIGUSR1,
      [](int) {
        struct sigaction now;
        sigaction(SIGUSR1, nullptr, &now);
        during = reinterpret_cast<void*>(now.sa_handler);
      },
      static_cast<int>(SA_RESETHAND));
  raise(SIGUSR1);
  EXPECT_EQ(during, nullptr);
}

TEST(SigactionTest, IgnoredSignalStaysPendingWhileItIsBlocked) {
  ScopedSigaction ignore(SIGUSR1, SIG_IGN);
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  raise(SIGUSR1);
  sigset_t pending;
  sigpending(&pending);
  // While blocked it stays pending, since a handler may come before it is unblocked.
  EXPECT_TRUE(sigismember(&pending, SIGUSR1));
}

TEST(SigactionTest, InstallingIgnoreDiscardsWhatIsPending) {
  ScopedSigaction handler(
      SIGUSR1, [](int) {}, 0);
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  raise(SIGUSR1);
  kill(getpid(), SIGUSR1);
  ScopedSigaction ignore(SIGUSR1, SIG_IGN);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGUSR1));
}

TEST(SigactionTest, DefaultOfAnIgnoredByDefaultSignalDiscardsToo) {
  SignalCounter handler(SIGURG);
  ScopedSignalMask block(SIG_BLOCK, {SIGURG});
  raise(SIGURG);
  ScopedSigaction standard(SIGURG, SIG_DFL);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGURG));
}

TEST(SigactionTest, DefaultActions) {
  for (int sig : {SIGCHLD, SIGURG, SIGWINCH, SIGCONT}) {
    EXPECT_THAT(RunInChild([=]() -> int {
                  signal(sig, SIG_DFL);
                  raise(sig);
                  return 0;
                }),
                ExitedWith(0))
        << sig;
  }
  for (int sig : {SIGHUP,    SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,  SIGBUS,    SIGFPE,  SIGKILL,
                  SIGUSR1,   SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM,  SIGSTKFLT, SIGXCPU, SIGXFSZ,
                  SIGVTALRM, SIGPROF, SIGIO,   SIGPWR,  SIGSYS,  SIGRTMIN, SIGRTMAX}) {
    EXPECT_TRUE(DiedOf(RunInChild([=]() -> int {
                         signal(sig, SIG_DFL);
                         raise(sig);
                         return 0;
                       }),
                       sig))
        << sig;
  }
}

siginfo_t seen_info;

TEST(SigactionTest, SiginfoOfKillNamesTheSender) {
  ScopedSigaction scoped(
      SIGUSR1, [](int, siginfo_t* info, void*) { seen_info = *info; }, 0);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(seen_info.si_signo, SIGUSR1);
  EXPECT_EQ(seen_info.si_code, SI_USER);
  EXPECT_EQ(seen_info.si_errno, 0);
  EXPECT_EQ(seen_info.si_pid, getpid());
  EXPECT_EQ(seen_info.si_uid, getuid());
}

TEST(SigactionTest, ContextHoldsTheInterruptedMask) {
  static sigset_t saved;
  ScopedSigaction scoped(
      SIGUSR1, [](int, siginfo_t*, void* context) { saved = static_cast<ucontext_t*>(context)->uc_sigmask; },
      0);
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR2});
  raise(SIGUSR1);
  EXPECT_TRUE(sigismember(&saved, SIGUSR2));
  EXPECT_FALSE(sigismember(&saved, SIGUSR1));
}

TEST(SigactionTest, MaskChangedInTheContextIsInstalledOnReturn) {
  ScopedSigaction scoped(
      SIGUSR1,
      [](int, siginfo_t*, void* context) {
        sigaddset(&static_cast<ucontext_t*>(context)->uc_sigmask, SIGUSR2);
      },
      0);
  ScopedSignalMask restore(SIG_BLOCK, {});
  raise(SIGUSR1);
  const sigset_t after = CurrentMask();
  EXPECT_TRUE(sigismember(&after, SIGUSR2));
}

TEST(SigactionTest, RegistersChangedInTheContextAreLoadedOnReturn) {
  ScopedSigaction scoped(
      SIGUSR1,
      [](int, siginfo_t*, void* context) {
        static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RBX] = 0x1234;
      },
      0);
  long rbx = 0;
  const long pid = getpid(), tid = gettid();
  asm volatile("xor %%ebx, %%ebx\n\tsyscall"
               : "=&b"(rbx)
               : "a"(SYS_tgkill), "D"(pid), "S"(tid), "d"(SIGUSR1)
               : "rcx", "r11", "memory");
  EXPECT_EQ(rbx, 0x1234);
}

TEST(SigactionTest, HandlerMayMoveTheInstructionPointer) {
  ScopedSigaction scoped(
      SIGSEGV,
      [](int, siginfo_t*, void* context) {
        auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
        regs[REG_RIP] = regs[REG_RDX];  // where the faulting code wants to go on
        regs[REG_RAX] = 77;
      },
      0);
  long result = 0;
  asm volatile(
      "lea 1f(%%rip), %%rdx\n\t"
      "xor %%eax, %%eax\n\t"
      "movl $1, (%%rax)\n"
      "1:"
      : "=&a"(result)
      :
      : "rdx", "memory");
  EXPECT_EQ(result, 77);
}

sigjmp_buf jump;

TEST(SigactionTest, SiglongjmpLeavesAHandlerAndRestoresTheMask) {
  ScopedSigaction scoped(
      SIGUSR1, [](int) { siglongjmp(jump, 5); }, 0);
  volatile int rounds = 0;
  while (rounds < 3) {
    const int value = sigsetjmp(jump, 1);
    if (value == 0) {
      raise(SIGUSR1);
      FAIL() << "the handler returned";
    }
    EXPECT_EQ(value, 5);
    const sigset_t now = CurrentMask();
    EXPECT_FALSE(sigismember(&now, SIGUSR1));
    rounds = rounds + 1;
  }
}

TEST(SigactionTest, LowestPendingSignalIsHandledLast) {
  // All deliverable signals get their frames at once, lowest number first, so that handlers start with the
  // highest.
  static int order[3], count;
  count = 0;
  auto record = [](int sig) { order[count++] = sig; };
  ScopedSigaction a(SIGUSR1, record), b(SIGUSR2, record), c(SIGALRM, record);
  {
    ScopedSignalMask block(SIG_BLOCK, {SIGUSR1, SIGUSR2, SIGALRM});
    TgKill(getpid(), gettid(), SIGALRM);
    TgKill(getpid(), gettid(), SIGUSR1);
    TgKill(getpid(), gettid(), SIGUSR2);
  }
  EXPECT_EQ(count, 3);
  EXPECT_EQ(order[0], SIGALRM);
  EXPECT_EQ(order[1], SIGUSR2);
  EXPECT_EQ(order[2], SIGUSR1);
}

TEST(SigactionTest, RedZoneBelowTheStackPointerSurvives) {
  ScopedSigaction scoped(
      SIGUSR1,
      [](int) {
        volatile char clobber[4096];
        for (char volatile& c : clobber) c = 0x5a;
      },
      0);
  long ok = 0;
  const long pid = getpid(), tid = gettid();
  asm volatile(
      "sub $512, %%rsp\n\t"
      "movq $0x1111, -8(%%rsp)\n\t"
      "movq $0x2222, -64(%%rsp)\n\t"
      "movq $0x3333, -128(%%rsp)\n\t"
      "syscall\n\t"
      "xor %%eax, %%eax\n\t"
      "cmpq $0x1111, -8(%%rsp)\n\t"
      "jne 1f\n\t"
      "cmpq $0x2222, -64(%%rsp)\n\t"
      "jne 1f\n\t"
      "cmpq $0x3333, -128(%%rsp)\n\t"
      "jne 1f\n\t"
      "mov $1, %%eax\n"
      "1: add $512, %%rsp"
      : "=a"(ok)
      : "0"(SYS_tgkill), "D"(pid), "S"(tid), "d"(SIGUSR1)
      : "rcx", "r11", "memory", "cc");
  EXPECT_EQ(ok, 1);
}

TEST(SigactionTest, HandlersStackIsAlignedForCalls) {
  static uintptr_t frame;
  ScopedSigaction scoped(
      SIGUSR1, [](int) { frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); }, 0);
  for (int i = 0; i < 16; ++i) {
    char* shift = static_cast<char*>(alloca(i + 1));
    shift[0] = 1;
    asm volatile("" : : "r"(shift) : "memory");
    raise(SIGUSR1);
    EXPECT_EQ(frame % 16, 0u);  // rbp after the push: rsp was 8 below a multiple of 16 at the entry
  }
}

TEST(SigactionTest, DirectionFlagIsClearInTheHandlerAndRestoredAfterIt) {
  static bool clear;
  clear = false;
  ScopedSigaction scoped(
      SIGUSR1,
      [](int) {
        unsigned long flags;
        asm volatile("pushfq\n\tpop %0" : "=r"(flags));
        clear = (flags & 0x400) == 0;
      },
      0);
  unsigned long after;
  const long pid = getpid(), tid = gettid();
  long unused;
  asm volatile(
      "sub $256, %%rsp\n\t"
      "std\n\t"
      "syscall\n\t"
      "pushfq\n\t"
      "pop %1\n\t"
      "cld\n\t"
      "add $256, %%rsp"
      : "=a"(unused), "=&r"(after)
      : "0"(SYS_tgkill), "D"(pid), "S"(tid), "d"(SIGUSR1)
      : "rcx", "r11", "memory", "cc");
  EXPECT_TRUE(clear);
  EXPECT_NE(after & 0x400, 0u);
}

TEST(SigactionTest, WithoutRestorerTheReturnAddressIsTheCallersProblem) {
  // x86-64 requires SA_RESTORER; without it the kernel refuses to build the frame and kills the process.
  EXPECT_TRUE(DiedOf(RunInChild([]() -> int {
                       KernelSigaction action = {};
                       action.handler = reinterpret_cast<void*>(+[](int) { _exit(1); });
                       RtSigaction(SIGUSR1, &action, nullptr);
                       raise(SIGUSR1);
                       return 2;
                     }),
                     SIGSEGV));
}

}  // namespace
}  // namespace moat::test
