// sigaltstack(2): where handlers run, what may be changed when, and SS_AUTODISARM.
#include <setjmp.h>
#include <sys/resource.h>
#include <ucontext.h>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

namespace moat::test {
namespace {

constexpr size_t kSize = 64 * 1024;

// Installs an alternate stack for the scope.
class ScopedAltStack {
 public:
  explicit ScopedAltStack(int flags = 0) : memory_(AnonymousMapping(kSize)) {
    const stack_t stack = {.ss_sp = memory_.data(), .ss_flags = flags, .ss_size = kSize};
    EXPECT_THAT(sigaltstack(&stack, &old_), SyscallSucceeds());
  }
  ~ScopedAltStack() {
    old_.ss_flags |= old_.ss_sp == nullptr ? SS_DISABLE : 0;
    sigaltstack(&old_, nullptr);
  }
  bool Contains(const void* address) const {
    return address >= memory_.data() && address < memory_.data() + kSize;
  }
  char* start() const { return memory_.data(); }

 private:
  Mapping memory_;
  stack_t old_;
};

const void* handler_frame;
stack_t seen_in_handler;
int errno_in_handler;

void RecordFrame(int) {
  handler_frame = __builtin_frame_address(0);
  sigaltstack(nullptr, &seen_in_handler);
}

TEST(SigaltstackTest, StartsDisabled) {
  ScopedThread thread([] {
    stack_t stack;
    ASSERT_THAT(sigaltstack(nullptr, &stack), SyscallSucceeds());
    EXPECT_EQ(stack.ss_flags, SS_DISABLE);
    EXPECT_EQ(stack.ss_size, 0u);
  });
}

TEST(SigaltstackTest, ReturnsWhatWasSet) {
  ScopedAltStack alt;
  stack_t stack;
  ASSERT_THAT(sigaltstack(nullptr, &stack), SyscallSucceeds());
  EXPECT_EQ(stack.ss_sp, alt.start());
  EXPECT_EQ(stack.ss_size, kSize);
  EXPECT_EQ(stack.ss_flags, 0);
}

TEST(SigaltstackTest, OnlyHandlersWithOnstackRunThere) {
  ScopedAltStack alt;
  {
    ScopedSigaction handler(SIGUSR1, RecordFrame, SA_ONSTACK);
    raise(SIGUSR1);
    EXPECT_TRUE(alt.Contains(handler_frame));
    EXPECT_EQ(seen_in_handler.ss_flags, SS_ONSTACK);
  }
  ScopedSigaction handler(SIGUSR1, RecordFrame, 0);
  raise(SIGUSR1);
  EXPECT_FALSE(alt.Contains(handler_frame));
  EXPECT_EQ(seen_in_handler.ss_flags, 0);
}

TEST(SigaltstackTest, WithoutOneOnstackHandlersUseTheNormalStack) {
  ScopedSigaction handler(SIGUSR1, RecordFrame, SA_ONSTACK);
  raise(SIGUSR1);
  const char* here = static_cast<const char*>(__builtin_frame_address(0));
  EXPECT_LT(static_cast<const char*>(handler_frame), here);
  EXPECT_GT(static_cast<const char*>(handler_frame), here - 256 * 1024);
}

TEST(SigaltstackTest, TooSmallIsEnomem) {
  constexpr size_t kKernelMinimum = 2048;  // libc's MINSIGSTKSZ follows the CPU's vector state
  char small[kKernelMinimum - 1];
  const stack_t stack = {.ss_sp = small, .ss_flags = 0, .ss_size = sizeof(small)};
  EXPECT_THAT(sigaltstack(&stack, nullptr), SyscallFailsWithErrno(ENOMEM));
}

TEST(SigaltstackTest, UnknownFlagsAreEinval) {
  Mapping memory = AnonymousMapping(kSize);
  for (int flags : {3, 4, 0x100}) {
    const stack_t stack = {.ss_sp = memory.data(), .ss_flags = flags, .ss_size = kSize};
    EXPECT_THAT(sigaltstack(&stack, nullptr), SyscallFailsWithErrno(EINVAL));
  }
}

TEST(SigaltstackTest, DisableIgnoresAddressAndSize) {
  ScopedAltStack alt;
  const stack_t off = {.ss_sp = BadPointer(), .ss_flags = SS_DISABLE, .ss_size = 1};
  EXPECT_THAT(sigaltstack(&off, nullptr), SyscallSucceeds());
  stack_t stack;
  sigaltstack(nullptr, &stack);
  EXPECT_EQ(stack.ss_flags, SS_DISABLE);
  EXPECT_EQ(stack.ss_size, 0u);
}

TEST(SigaltstackTest, BadPointersAreEfault) {
  EXPECT_THAT(syscall(SYS_sigaltstack, BadPointer(), nullptr), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_sigaltstack, nullptr, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(SigaltstackTest, CannotBeChangedWhileInUse) {
  ScopedAltStack alt;
  ScopedSigaction handler(
      SIGUSR1,
      [](int) {
        const stack_t off = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
        errno_in_handler = sigaltstack(&off, nullptr) == -1 ? errno : 0;
      },
      SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_EQ(errno_in_handler, EPERM);
}

TEST(SigaltstackTest, NestedHandlerStaysOnTheSameStack) {
  static const void* outer;
  ScopedAltStack alt;
  ScopedSigaction inner(SIGUSR2, RecordFrame, SA_ONSTACK);
  ScopedSigaction handler(
      SIGUSR1,
      [](int) {
        outer = __builtin_frame_address(0);
        raise(SIGUSR2);
      },
      SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_TRUE(alt.Contains(outer));
  EXPECT_TRUE(alt.Contains(handler_frame));
  EXPECT_LT(handler_frame, outer);
}

TEST(SigaltstackTest, AutodisarmAllowsChangesInTheHandlerAndRearmsAfterIt) {
  ScopedAltStack alt(static_cast<int>(SS_AUTODISARM));
  ScopedSigaction handler(SIGUSR1, RecordFrame, SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_TRUE(alt.Contains(handler_frame));
  EXPECT_EQ(seen_in_handler.ss_flags, SS_DISABLE);  // disarmed meanwhile
  stack_t stack;
  sigaltstack(nullptr, &stack);
  EXPECT_EQ(static_cast<unsigned>(stack.ss_flags), SS_AUTODISARM);
  EXPECT_EQ(stack.ss_sp, alt.start());
}

TEST(SigaltstackTest, IsPerThreadAndNotInheritedByThreads) {
  ScopedAltStack alt;
  ScopedThread thread([] {
    stack_t stack;
    sigaltstack(nullptr, &stack);
    EXPECT_EQ(stack.ss_flags, SS_DISABLE);
  });
}

TEST(SigaltstackTest, IsInheritedByForkedChildren) {
  ScopedAltStack alt;
  EXPECT_THAT(RunInChild([&] {
                stack_t stack;
                sigaltstack(nullptr, &stack);
                EXPECT_EQ(stack.ss_sp, alt.start());
                EXPECT_EQ(stack.ss_flags, 0);
              }),
              ExitedWith(0));
}

sigjmp_buf out_of_overflow;

__attribute__((noinline)) int Overflow(int depth) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : Overflow(depth + 1) + frame[0];
}

TEST(SigaltstackTest, StackOverflowCanBeHandledOnIt) {
  EXPECT_THAT(RunInChild([]() -> int {
                const rlimit limit = {512 * 1024, RLIM_INFINITY};
                setrlimit(RLIMIT_STACK, &limit);
                static ScopedAltStack alt;
                static ScopedSigaction handler(
                    SIGSEGV, [](int) { siglongjmp(out_of_overflow, 1); }, SA_ONSTACK);
                if (sigsetjmp(out_of_overflow, 1) == 0) return Overflow(0);
                return 42;
              }),
              ExitedWith(42));
}

TEST(SigaltstackTest, StackOverflowWithoutOneKills) {
  EXPECT_TRUE(DiedOf(RunInChild([]() -> int {
                       const rlimit limit = {512 * 1024, RLIM_INFINITY};
                       setrlimit(RLIMIT_STACK, &limit);
                       ScopedSigaction handler(
                           SIGSEGV, [](int) { _exit(1); }, 0);
                       return Overflow(0);
                     }),
                     SIGSEGV));
}

TEST(SigaltstackTest, FrameThatDoesNotFitKills) {
  EXPECT_TRUE(DiedOf(RunInChild([]() -> int {
                       // Above an inaccessible page, the stack has room for less than a frame.
                       char* area = static_cast<char*>(
                           mmap(nullptr, kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
                       const stack_t stack = {.ss_sp = area, .ss_flags = 0, .ss_size = kSize};
                       sigaltstack(&stack, nullptr);
                       signal(SIGSEGV, SIG_DFL);
                       ScopedSigaction handler(
                           SIGUSR1, [](int) { _exit(1); }, SA_ONSTACK);
                       raise(SIGUSR1);
                       return 2;
                     }),
                     SIGSEGV));
}

}  // namespace
}  // namespace moat::test
