// ptrace(2): what a tracer reads and writes of a stopped tracee.
#include <elf.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"
#include "tests/util/tracee.h"

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

namespace moat::test {
namespace {

constexpr long kBehindUser = 1024;  // beyond struct user, which the kernel has a little longer than libc

// The layout of PTRACE_GET_SYSCALL_INFO's answer.
struct SyscallInfo {
  uint8_t op, pad[3];
  uint32_t arch;
  uint64_t ip, sp;
  uint64_t nr_or_result;
  uint64_t args[6];
};
constexpr int kGetSyscallInfo = 0x420e;
constexpr long kEntrySize = 80, kExitSize = 33, kNoneSize = 24;

long Peek(pid_t pid, const volatile void* address, long* value) {
  return syscall(SYS_ptrace, PTRACE_PEEKDATA, pid, address, value);
}
long PeekUser(pid_t pid, long offset, long* value) { return syscall(SYS_ptrace, PTRACE_PEEKUSER, pid, offset, value); }

// --- Registers. ---

TEST(PtraceDataTest, FloatingPointRegistersCanBeReadAndWritten) {
  TracedChild tracee([] {
    double x = 1.5;
    asm volatile("movsd %0, %%xmm3\n\tint3\n\tmovsd %%xmm3, %0" : "+m"(x) : : "xmm3");
    return static_cast<int>(x * 2);
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  user_fpregs_struct fp = {};
  ASSERT_THAT(Ptrace(PTRACE_GETFPREGS, tracee.pid(), nullptr, &fp), SyscallSucceeds());
  double x;
  memcpy(&x, reinterpret_cast<char*>(fp.xmm_space) + 3 * 16, sizeof(x));
  EXPECT_EQ(x, 1.5);
  x = 20.5;
  memcpy(reinterpret_cast<char*>(fp.xmm_space) + 3 * 16, &x, sizeof(x));
  ASSERT_THAT(Ptrace(PTRACE_SETFPREGS, tracee.pid(), nullptr, &fp), SyscallSucceeds());
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(41));
}

TEST(PtraceDataTest, ReservedMxcsrBitsAreEinval) {
  TracedChild tracee([] { return 0; });
  user_fpregs_struct fp = {};
  ASSERT_THAT(Ptrace(PTRACE_GETFPREGS, tracee.pid(), nullptr, &fp), SyscallSucceeds());
  fp.mxcsr |= 0x80000000;
  EXPECT_THAT(Ptrace(PTRACE_SETFPREGS, tracee.pid(), nullptr, &fp), SyscallFailsWithErrno(EINVAL));
}

TEST(PtraceDataTest, ExtendedStateMakesTheRoundTrip) {
  TracedChild tracee([] {
    double x = 3;
    asm volatile("movsd %0, %%xmm5\n\tint3\n\tmovsd %%xmm5, %0" : "+m"(x) : : "xmm5");
    return static_cast<int>(x);
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  std::vector<char> state(16384);
  iovec iov = {state.data(), state.size()};
  ASSERT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), Number(NT_X86_XSTATE), &iov), SyscallSucceeds());
  EXPECT_GE(iov.iov_len, 576u);
  EXPECT_LT(iov.iov_len, state.size());
  const double x = 33;
  memcpy(state.data() + 160 + 5 * 16, &x, sizeof(x));
  ASSERT_THAT(Ptrace(PTRACE_SETREGSET, tracee.pid(), Number(NT_X86_XSTATE), &iov), SyscallSucceeds());
  iov.iov_len = 576 - 64;
  EXPECT_THAT(Ptrace(PTRACE_SETREGSET, tracee.pid(), Number(NT_X86_XSTATE), &iov), SyscallFailsWithErrno(EFAULT));
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(33));
}

TEST(PtraceDataTest, RegisterSetsFitTheBuffer) {
  TracedChild tracee([] { return 0; });
  user_regs_struct regs = {};
  iovec iov = {&regs, 24};
  EXPECT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), Number(NT_PRSTATUS), &iov), SyscallSucceeds());
  EXPECT_EQ(iov.iov_len, 24u);
  EXPECT_EQ(regs.r13, tracee.Regs().r13);
  EXPECT_EQ(regs.rip, 0u);
  iov.iov_len = 20;
  EXPECT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), Number(NT_PRSTATUS), &iov), SyscallFailsWithErrno(EINVAL));
  char big[1024];
  iov = {big, sizeof(big)};
  EXPECT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), Number(NT_PRFPREG), &iov), SyscallSucceeds());
  EXPECT_EQ(iov.iov_len, 512u);
  EXPECT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), Number(NT_PRSTATUS), BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(PtraceDataTest, ARegisterSetCanBeWrittenInPart) {
  TracedChild tracee([] {
    long r15 = 0;
    asm volatile("xor %%r15d, %%r15d\n\tint3\n\tmov %%r15, %0" : "=r"(r15) : : "r15");
    return static_cast<int>(r15);
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  unsigned long r15 = 44;
  iovec iov = {&r15, sizeof(r15)};
  EXPECT_THAT(Ptrace(PTRACE_SETREGSET, tracee.pid(), Number(NT_PRSTATUS), &iov), SyscallSucceeds());
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(44));
}

TEST(PtraceDataTest, StructUserCanBePeekedAndPoked) {
  TracedChild tracee([] {
    long value = 0;
    asm volatile("int3" : "+a"(value));
    return static_cast<int>(value);
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  long value = 0;
  EXPECT_THAT(PeekUser(tracee.pid(), offsetof(user, regs.rip), &value), SyscallSucceeds());
  EXPECT_EQ(static_cast<unsigned long>(value), tracee.Regs().rip);
  EXPECT_THAT(PeekUser(tracee.pid(), offsetof(user, u_debugreg[7]), &value), SyscallSucceeds());
  EXPECT_EQ(value, 0);
  EXPECT_THAT(PeekUser(tracee.pid(), kBehindUser, &value), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(PeekUser(tracee.pid(), 4, &value), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_POKEUSER, tracee.pid(), Number(offsetof(user, u_tsize)), nullptr), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_POKEUSER, tracee.pid(), Number(offsetof(user, regs.rax)), Number(45)), SyscallSucceeds());
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(45));
}

TEST(PtraceDataTest, RegistersThatNoProgramCanHaveAreEio) {
  TracedChild tracee([] { return 0; });
  user_regs_struct regs = tracee.Regs();
  regs.cs = 0x10;
  EXPECT_THAT(Ptrace(PTRACE_SETREGS, tracee.pid(), nullptr, &regs), SyscallFailsWithErrno(EIO));
  regs = tracee.Regs();
  regs.fs_base = ~0ul;
  EXPECT_THAT(Ptrace(PTRACE_SETREGS, tracee.pid(), nullptr, &regs), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_SETREGS, tracee.pid(), nullptr, BadPointer()), SyscallFailsWithErrno(EFAULT));
  regs = tracee.Regs();
  regs.eflags |= 1ul << 17;  // VM: not a program's to set
  EXPECT_THAT(Ptrace(PTRACE_SETREGS, tracee.pid(), nullptr, &regs), SyscallSucceeds());
  EXPECT_EQ(tracee.Regs().eflags & 1ul << 17, 0u);
}

int CalledByTheTracer(int x) { return x + 1; }

TEST(PtraceDataTest, TracerCanCallAFunctionAndPutRegistersBack) {
  TracedChild tracee([] {
    asm volatile("int3");
    return 6;
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  const user_regs_struct saved = tracee.Regs();
  user_regs_struct regs = saved;
  regs.rsp = (regs.rsp - 256) & ~15ul;
  regs.rsp -= 8;  // a return address that faults
  ASSERT_THAT(Ptrace(PTRACE_POKEDATA, tracee.pid(), Number(static_cast<long>(regs.rsp)), nullptr), SyscallSucceeds());
  regs.rip = reinterpret_cast<unsigned long>(&CalledByTheTracer);
  regs.rdi = 50;
  tracee.SetRegs(regs);
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGSEGV));
  EXPECT_EQ(tracee.Regs().rip, 0u);
  EXPECT_EQ(static_cast<int>(tracee.Regs().rax), 51);
  tracee.SetRegs(saved);
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(6));
}

// --- Memory. ---

TEST(PtraceDataTest, PrivateMappingsOfAFileAreWrittenPrivately) {
  TempFile file("12345678");
  FileDescriptor fd(open(file.path().c_str(), O_RDWR));
  Mapping map(PageSize(), PROT_READ, MAP_PRIVATE, fd.get());
  ASSERT_TRUE(map.valid());
  TracedChild tracee([&] { return static_cast<int>(map[0]); });
  EXPECT_THAT(Ptrace(PTRACE_POKEDATA, tracee.pid(), map.data(), Number(0x21)), SyscallSucceeds());
  EXPECT_EQ(map[0], '1');
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(0x21));
  char byte;
  EXPECT_THAT(pread(fd.get(), &byte, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(byte, '1');
}

TEST(PtraceDataTest, ReadOnlySharedMappingsAreNotWritten) {
  Mapping map(PageSize(), PROT_READ, MAP_SHARED | MAP_ANONYMOUS);
  TracedChild tracee([] { return 0; });
  EXPECT_THAT(Ptrace(PTRACE_POKEDATA, tracee.pid(), map.data(), Number(1)), SyscallFailsWithErrno(EIO));
  long value = 1;
  EXPECT_THAT(Peek(tracee.pid(), map.data(), &value), SyscallSucceeds());
  EXPECT_EQ(value, 0);
}

TEST(PtraceDataTest, InaccessiblePagesCanBeReadAndWritten) {
  Mapping map = AnonymousMapping(2 * PageSize());
  map[0] = 7;
  ASSERT_THAT(mprotect(map.data(), 2 * PageSize(), PROT_NONE), SyscallSucceeds());
  TracedChild tracee([&] {
    mprotect(map.data(), 2 * PageSize(), PROT_READ);
    return static_cast<int>(map[0]) + static_cast<int>(map[PageSize()]);
  });
  long value = 0;
  EXPECT_THAT(Peek(tracee.pid(), map.data(), &value), SyscallSucceeds());
  EXPECT_EQ(value, 7);
  // A word that lies in two pages.
  char* middle = map.data() + PageSize() - 4;
  EXPECT_THAT(Ptrace(PTRACE_POKEDATA, tracee.pid(), middle, Number(0x2100000000)), SyscallSucceeds());
  EXPECT_THAT(Peek(tracee.pid(), middle, &value), SyscallSucceeds());
  EXPECT_EQ(value, 0x2100000000);
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(7 + 0x21));
}

__attribute__((noinline, used)) int PatchedFunction() {
  asm volatile("nop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop");
  return 1;
}

TEST(PtraceDataTest, BreakpointsCanBePutIntoProgramTextThroughProc) {
  TracedChild tracee([] { return PatchedFunction(); });
  const std::string path = "/proc/" + std::to_string(tracee.pid()) + "/mem";
  FileDescriptor mem(open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_THAT(mem.get(), SyscallSucceeds());
  const off_t address = reinterpret_cast<off_t>(&PatchedFunction);
  unsigned char saved, trap = 0xcc;
  ASSERT_THAT(pread(mem.get(), &saved, 1, address), SyscallSucceedsWithValue(1));
  ASSERT_THAT(pwrite(mem.get(), &trap, 1, address), SyscallSucceedsWithValue(1));
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
  user_regs_struct regs = tracee.Regs();
  EXPECT_EQ(regs.rip, static_cast<unsigned long>(address) + 1);
  ASSERT_THAT(pwrite(mem.get(), &saved, 1, address), SyscallSucceedsWithValue(1));
  --regs.rip;
  tracee.SetRegs(regs);
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(1));
}

TEST(PtraceDataTest, UnmappedMemoryIsEio) {
  TracedChild tracee([] { return 0; });
  GuardedPage page;
  munmap(page.end(), PageSize());
  long value;
  EXPECT_THAT(Peek(tracee.pid(), Number(8), &value), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_POKEDATA, tracee.pid(), Number(8), nullptr), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Peek(tracee.pid(), &value, BadPointer<long>()), SyscallFailsWithErrno(EFAULT));
}

// --- Signals. ---

TEST(PtraceDataTest, SiginfoCanBeChanged) {
  TracedChild tracee([] {
    static int seen;
    ScopedSigaction action(SIGUSR1, [](int, siginfo_t* info, void*) { seen = info->si_value.sival_int; }, 0);
    raise(SIGUSR1);
    return seen;
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  siginfo_t info = tracee.Info();
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 46;
  ASSERT_THAT(Ptrace(PTRACE_SETSIGINFO, tracee.pid(), nullptr, &info), SyscallSucceeds());
  tracee.Cont(SIGUSR1);
  EXPECT_THAT(tracee.Wait(), ExitedWith(46));
}

TEST(PtraceDataTest, SiginfoOfNoSignalDoesNoHarm) {
  for (bool kill_it : {false, true}) {
    TracedChild tracee([] {
      SignalCounter count(SIGUSR1);
      raise(SIGUSR1);
      return count.count();
    });
    tracee.Cont();
    ASSERT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
    siginfo_t info = tracee.Info();
    info.si_signo = 5000;
    ASSERT_THAT(Ptrace(PTRACE_SETSIGINFO, tracee.pid(), nullptr, &info), SyscallSucceeds());
    if (kill_it) kill(tracee.pid(), SIGKILL);
    else tracee.Cont(SIGUSR1);
    if (kill_it) EXPECT_THAT(tracee.Wait(), KilledBy(SIGKILL));
    else EXPECT_THAT(tracee.Wait(), ExitedWith(1));
  }
}

struct PeekArgs {
  uint64_t off;
  uint32_t flags;
  int32_t nr;
};

TEST(PtraceDataTest, QueuedSignalsCanBePeeked) {
  TracedChild tracee([] {
    ScopedSignalMask mask(SIG_BLOCK, {SIGRTMIN, SIGRTMIN + 1});
    for (int i = 0; i < 3; ++i) {
      sigval value;
      value.sival_int = i;
      pthread_sigqueue(pthread_self(), SIGRTMIN, value);
    }
    kill(getpid(), SIGRTMIN + 1);
    raise(SIGSTOP);
    DrainSignals({SIGRTMIN, SIGRTMIN + 1});
    return 0;
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGSTOP));
  siginfo_t infos[8] = {};
  PeekArgs args = {1, 0, 8};
  ASSERT_THAT(Ptrace(PTRACE_PEEKSIGINFO, tracee.pid(), &args, infos), SyscallSucceedsWithValue(2));
  EXPECT_EQ(infos[0].si_signo, SIGRTMIN);
  EXPECT_EQ(infos[0].si_value.sival_int, 1);
  EXPECT_EQ(infos[1].si_value.sival_int, 2);
  args = {0, 1, 1};  // shared
  ASSERT_THAT(Ptrace(PTRACE_PEEKSIGINFO, tracee.pid(), &args, infos), SyscallSucceedsWithValue(1));
  EXPECT_EQ(infos[0].si_signo, SIGRTMIN + 1);
  args = {9, 0, 1};
  EXPECT_THAT(Ptrace(PTRACE_PEEKSIGINFO, tracee.pid(), &args, infos), SyscallSucceedsWithValue(0));
  args = {0, 2, 1};
  EXPECT_THAT(Ptrace(PTRACE_PEEKSIGINFO, tracee.pid(), &args, infos), SyscallFailsWithErrno(EINVAL));
  args = {0, 0, -1};
  EXPECT_THAT(Ptrace(PTRACE_PEEKSIGINFO, tracee.pid(), &args, infos), SyscallFailsWithErrno(EINVAL));
}

TEST(PtraceDataTest, SignalMaskCanBeReadAndSet) {
  TracedChild tracee([] {
    ScopedSignalMask mask(SIG_BLOCK, {SIGUSR1});
    raise(SIGSTOP);
    sigset_t now;
    sigprocmask(SIG_SETMASK, nullptr, &now);
    return sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1) && !sigismember(&now, SIGKILL) ? 0 : 1;
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGSTOP));
  uint64_t mask = 0;
  ASSERT_THAT(Ptrace(PTRACE_GETSIGMASK, tracee.pid(), Number(8), &mask), SyscallSucceeds());
  EXPECT_EQ(mask & (1ul << (SIGUSR1 - 1)), 1ul << (SIGUSR1 - 1));
  mask = 1ul << (SIGUSR2 - 1) | 1ul << (SIGKILL - 1);
  ASSERT_THAT(Ptrace(PTRACE_SETSIGMASK, tracee.pid(), Number(8), &mask), SyscallSucceeds());
  EXPECT_THAT(Ptrace(PTRACE_GETSIGMASK, tracee.pid(), Number(16), &mask), SyscallFailsWithErrno(EINVAL));
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(0));
}

// --- Calls and requests. ---

TEST(PtraceDataTest, SyscallInfoDescribesTheStop) {
  TracedChild tracee([] { return syscall(SYS_getpriority, 11, 12) == -1 ? 0 : 1; });
  SyscallInfo info = {};
  EXPECT_THAT(Ptrace(kGetSyscallInfo, tracee.pid(), Number(sizeof(info)), &info), SyscallSucceedsWithValue(kNoneSize));
  EXPECT_EQ(info.op, 0);
  EXPECT_EQ(info.ip, tracee.Regs().rip);
  tracee.RunToCall(SYS_getpriority);
  EXPECT_THAT(Ptrace(kGetSyscallInfo, tracee.pid(), Number(sizeof(info)), &info), SyscallSucceedsWithValue(kEntrySize));
  EXPECT_EQ(info.op, 1);
  EXPECT_EQ(info.arch, 0xC000003Eu);
  EXPECT_EQ(info.sp, tracee.Regs().rsp);
  EXPECT_EQ(info.nr_or_result, static_cast<uint64_t>(SYS_getpriority));
  EXPECT_EQ(info.args[0], 11u);
  EXPECT_EQ(info.args[1], 12u);
  tracee.Go(PTRACE_SYSCALL);
  ASSERT_THAT(tracee.Next(), SyscallStopped());
  EXPECT_THAT(Ptrace(kGetSyscallInfo, tracee.pid(), Number(sizeof(info)), &info), SyscallSucceedsWithValue(kExitSize));
  EXPECT_EQ(info.op, 2);
  EXPECT_EQ(static_cast<int64_t>(info.nr_or_result), -EINVAL);
  EXPECT_EQ(info.args[0] & 0xff, 1u);  // is_error
  info = {};
  EXPECT_THAT(Ptrace(kGetSyscallInfo, tracee.pid(), Number(8), &info), SyscallSucceedsWithValue(kExitSize));
  EXPECT_EQ(info.ip, 0u);
}

TEST(PtraceDataTest, BadRequestsAndArguments) {
  TracedChild tracee([] { return 0; });
  EXPECT_THAT(Ptrace(PTRACE_SETOPTIONS, tracee.pid(), nullptr, Number(1 << 30)), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Ptrace(PTRACE_CONT, tracee.pid(), nullptr, Number(100)), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_DETACH, tracee.pid(), nullptr, Number(100)), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(0x7777, tracee.pid()), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(0x7777, getpid()), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(Ptrace(PTRACE_GETSIGINFO, tracee.pid(), nullptr, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Ptrace(PTRACE_GETEVENTMSG, tracee.pid(), nullptr, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(tracee.State(), 't');
}

}  // namespace
}  // namespace moat::test
