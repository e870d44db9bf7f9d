// Vector and floating-point state across signal handlers, system calls, fork and threads.
#include <immintrin.h>
#include <string.h>
#include <sys/ucontext.h>
#include <ucontext.h>

#include <atomic>

#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

struct alignas(32) Vectors {
  unsigned char bytes[16][32];
};

Vectors Pattern(unsigned char seed) {
  Vectors v;
  for (int r = 0; r < 16; ++r) {
    for (int i = 0; i < 32; ++i) v.bytes[r][i] = static_cast<unsigned char>(seed + r * 32 + i * 7);
  }
  return v;
}

#define XMM_CLOBBERS                                                                                         \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15"

// Loads all sixteen xmm registers, makes a system call, and stores them again.
void SyscallWithXmm(long nr, long a, long b, long c, const Vectors& in, Vectors& out) {
  long result = nr;
  asm volatile(
      "movdqa 0x00(%[in]), %%xmm0\n\tmovdqa 0x20(%[in]), %%xmm1\n\tmovdqa 0x40(%[in]), %%xmm2\n\t"
      "movdqa 0x60(%[in]), %%xmm3\n\tmovdqa 0x80(%[in]), %%xmm4\n\tmovdqa 0xa0(%[in]), %%xmm5\n\t"
      "movdqa 0xc0(%[in]), %%xmm6\n\tmovdqa 0xe0(%[in]), %%xmm7\n\tmovdqa 0x100(%[in]), %%xmm8\n\t"
      "movdqa 0x120(%[in]), %%xmm9\n\tmovdqa 0x140(%[in]), %%xmm10\n\tmovdqa 0x160(%[in]), %%xmm11\n\t"
      "movdqa 0x180(%[in]), %%xmm12\n\tmovdqa 0x1a0(%[in]), %%xmm13\n\tmovdqa 0x1c0(%[in]), %%xmm14\n\t"
      "movdqa 0x1e0(%[in]), %%xmm15\n\t"
      "syscall\n\t"
      "movdqa %%xmm0, 0x00(%[out])\n\tmovdqa %%xmm1, 0x20(%[out])\n\tmovdqa %%xmm2, 0x40(%[out])\n\t"
      "movdqa %%xmm3, 0x60(%[out])\n\tmovdqa %%xmm4, 0x80(%[out])\n\tmovdqa %%xmm5, 0xa0(%[out])\n\t"
      "movdqa %%xmm6, 0xc0(%[out])\n\tmovdqa %%xmm7, 0xe0(%[out])\n\tmovdqa %%xmm8, 0x100(%[out])\n\t"
      "movdqa %%xmm9, 0x120(%[out])\n\tmovdqa %%xmm10, 0x140(%[out])\n\tmovdqa %%xmm11, 0x160(%[out])\n\t"
      "movdqa %%xmm12, 0x180(%[out])\n\tmovdqa %%xmm13, 0x1a0(%[out])\n\tmovdqa %%xmm14, 0x1c0(%[out])\n\t"
      "movdqa %%xmm15, 0x1e0(%[out])"
      : "+a"(result)
      : [in] "r"(&in), [out] "r"(&out), "D"(a), "S"(b), "d"(c)
      : "rcx", "r11", "memory", XMM_CLOBBERS);
}

__attribute__((target("avx"))) void SyscallWithYmm(long nr, long a, long b, long c, const Vectors& in,
                                                   Vectors& out) {
  long result = nr;
  asm volatile(
      "vmovdqa 0x00(%[in]), %%ymm0\n\tvmovdqa 0x60(%[in]), %%ymm3\n\tvmovdqa 0x100(%[in]), %%ymm8\n\t"
      "vmovdqa 0x1e0(%[in]), %%ymm15\n\t"
      "syscall\n\t"
      "vmovdqa %%ymm0, 0x00(%[out])\n\tvmovdqa %%ymm3, 0x60(%[out])\n\tvmovdqa %%ymm8, 0x100(%[out])\n\t"
      "vmovdqa %%ymm15, 0x1e0(%[out])\n\tvzeroupper"
      : "+a"(result)
      : [in] "r"(&in), [out] "r"(&out), "D"(a), "S"(b), "d"(c)
      : "rcx", "r11", "memory", XMM_CLOBBERS);
}

void ClobberVectors(int) {
  Vectors other = Pattern(0x99), sink;
  SyscallWithXmm(SYS_getpid, 0, 0, 0, other, sink);
  if (__builtin_cpu_supports("avx")) SyscallWithYmm(SYS_getpid, 0, 0, 0, other, sink);
}

bool SameXmm(const Vectors& a, const Vectors& b) {
  for (int r = 0; r < 16; ++r) {
    if (memcmp(a.bytes[r], b.bytes[r], 16) != 0) return false;
  }
  return true;
}

bool SameYmm(const Vectors& a, const Vectors& b) {
  for (int r : {0, 3, 8, 15}) {
    if (memcmp(a.bytes[r], b.bytes[r], 32) != 0) return false;
  }
  return true;
}

TEST(FpStateTest, XmmRegistersSurviveASystemCall) {
  const Vectors in = Pattern(1);
  Vectors out = {};
  SyscallWithXmm(SYS_getpid, 0, 0, 0, in, out);
  EXPECT_TRUE(SameXmm(in, out));
}

TEST(FpStateTest, XmmRegistersSurviveABlockingCall) {
  const Vectors in = Pattern(2);
  Vectors out = {};
  const timespec ts = {0, 5000000};
  SyscallWithXmm(SYS_nanosleep, reinterpret_cast<long>(&ts), 0, 0, in, out);
  EXPECT_TRUE(SameXmm(in, out));
}

TEST(FpStateTest, XmmRegistersSurviveAHandler) {
  ScopedSigaction handler(SIGUSR1, ClobberVectors, 0);
  const Vectors in = Pattern(3);
  Vectors out = {};
  SyscallWithXmm(SYS_tgkill, getpid(), gettid(), SIGUSR1, in, out);
  EXPECT_TRUE(SameXmm(in, out));
}

TEST(FpStateTest, YmmRegistersSurviveCallsAndHandlers) {
  if (!__builtin_cpu_supports("avx")) GTEST_SKIP() << "needs AVX";
  ScopedSigaction handler(SIGUSR1, ClobberVectors, 0);
  const Vectors in = Pattern(4);
  Vectors out = {};
  SyscallWithYmm(SYS_getpid, 0, 0, 0, in, out);
  EXPECT_TRUE(SameYmm(in, out));
  memset(&out, 0, sizeof(out));
  SyscallWithYmm(SYS_tgkill, getpid(), gettid(), SIGUSR1, in, out);
  EXPECT_TRUE(SameYmm(in, out));
}

TEST(FpStateTest, YmmRegistersSurviveABlockingCall) {
  if (!__builtin_cpu_supports("avx")) GTEST_SKIP() << "needs AVX";
  const Vectors in = Pattern(5);
  Vectors out = {};
  const timespec ts = {0, 5000000};
  SyscallWithYmm(SYS_nanosleep, reinterpret_cast<long>(&ts), 0, 0, in, out);
  EXPECT_TRUE(SameYmm(in, out));
}

TEST(FpStateTest, XmmRegistersSurviveAnAsynchronousHandler) {
  ScopedSigaction handler(SIGUSR1, ClobberVectors, 0);
  static std::atomic<bool> stop;
  stop = false;
  ScopedThread sender([tid = gettid()] {
    for (int i = 0; i < 50; ++i) {
      TgKill(getpid(), tid, SIGUSR1);
      SleepMs(0);
    }
    stop = true;
  });
  const Vectors in = Pattern(6);
  Vectors out = {};
  bool same = true;
  while (!stop && same) {
    SyscallWithXmm(SYS_getpid, 0, 0, 0, in, out);
    same = SameXmm(in, out);
  }
  EXPECT_TRUE(same);
}

TEST(FpStateTest, ContextHoldsTheXmmRegisters) {
  static unsigned char seen[16];
  ScopedSigaction handler(
      SIGUSR1,
      [](int, siginfo_t*, void* context) {
        memcpy(seen, &static_cast<ucontext_t*>(context)->uc_mcontext.fpregs->_xmm[7], 16);
      },
      0);
  const Vectors in = Pattern(7);
  Vectors out = {};
  SyscallWithXmm(SYS_tgkill, getpid(), gettid(), SIGUSR1, in, out);
  EXPECT_EQ(memcmp(seen, in.bytes[7], 16), 0);
}

TEST(FpStateTest, XmmRegistersChangedInTheContextAreLoaded) {
  ScopedSigaction handler(
      SIGUSR1,
      [](int, siginfo_t*, void* context) {
        memset(&static_cast<ucontext_t*>(context)->uc_mcontext.fpregs->_xmm[9], 0x42, 16);
      },
      0);
  const Vectors in = Pattern(8);
  Vectors out = {};
  SyscallWithXmm(SYS_tgkill, getpid(), gettid(), SIGUSR1, in, out);
  const std::string expected(16, 0x42);
  EXPECT_EQ(memcmp(out.bytes[9], expected.data(), 16), 0);
  EXPECT_EQ(memcmp(out.bytes[8], in.bytes[8], 16), 0);
}

TEST(FpStateTest, ChildOfForkHasTheParentsXmmRegisters) {
  const Vectors in = Pattern(9);
  Vectors out = {};
  const pid_t self = getpid();
  SyscallWithXmm(SYS_fork, 0, 0, 0, in, out);
  if (getpid() != self) _exit(SameXmm(in, out) ? 0 : 1);
  EXPECT_TRUE(SameXmm(in, out));
  int status;
  ASSERT_GT(wait(&status), 0);
  EXPECT_THAT(status, ExitedWith(0));
}

TEST(FpStateTest, ControlWordsSurviveAHandlerAndAreDefaultInIt) {
  static unsigned in_handler;
  ScopedSigaction handler(
      SIGUSR1, [](int) { in_handler = _mm_getcsr(); }, 0);
  const unsigned old = _mm_getcsr();
  _mm_setcsr(0x1f80 | 0x6000);  // round towards zero
  unsigned short x87 = 0x0c7f, x87_after = 0, x87_old = 0;
  asm volatile("fnstcw %0\n\tfldcw %1" : "=m"(x87_old) : "m"(x87));
  TgKill(getpid(), gettid(), SIGUSR1);
  asm volatile("fnstcw %0\n\tfldcw %1" : "=m"(x87_after) : "m"(x87_old));
  EXPECT_EQ(_mm_getcsr() & 0x6000, 0x6000u);
  _mm_setcsr(old);
  EXPECT_EQ(x87_after, x87);
  EXPECT_EQ(in_handler, 0x1f80u);
}

TEST(FpStateTest, X87StackSurvivesASystemCall) {
  double result = 0;
  long nr = SYS_getpid;
  asm volatile(
      "fldpi\n\tfld1\n\t"
      "syscall\n\t"
      "faddp\n\tfstpl %1"
      : "+a"(nr), "=m"(result)
      :
      : "rcx", "r11", "memory", "st");
  EXPECT_DOUBLE_EQ(result, 4.14159265358979323846);
}

TEST(FpStateTest, GeneralRegistersOtherThanRcxAndR11SurviveASystemCall) {
  unsigned long out[8] = {};
  long nr = SYS_getpid;
  asm volatile(
      "lea -128(%%rsp), %%rsp\n\tpush %%rbp\n\t"
      "mov $0x101, %%rdx\n\tmov $0x102, %%r8\n\tmov $0x103, %%r9\n\tmov $0x104, %%r10\n\t"
      "mov $0x105, %%r12\n\tmov $0x106, %%r13\n\tmov $0x107, %%r14\n\tmov $0x108, %%rbp\n\t"
      "syscall\n\t"
      "mov %%rdx, 0(%[out])\n\tmov %%r8, 8(%[out])\n\tmov %%r9, 16(%[out])\n\tmov %%r10, 24(%[out])\n\t"
      "mov %%r12, 32(%[out])\n\tmov %%r13, 40(%[out])\n\tmov %%r14, 48(%[out])\n\tmov %%rbp, 56(%[out])\n\t"
      "pop %%rbp\n\tlea 128(%%rsp), %%rsp"
      : "+a"(nr)
      : [out] "b"(out)
      : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "memory");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(out[i], 0x101u + i);
  EXPECT_EQ(nr, getpid());
}

}  // namespace
}  // namespace moat::test
