// Programs that make the same system call over and over again, and what may come in between. However a kernel makes such
// calls fast, registers, signals, forks and the program's own code are as they would be at the first one.
#include <elf.h>
#include <link.h>
#include <setjmp.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/tracee.h"

// What a round of calls found changed; 0 if nothing.
extern "C" long hot_call_near_mov(long rounds);   // mov $nr, %eax; syscall
extern "C" long hot_call_far_mov(long rounds);    // the number is set long before; a long no-op follows the function
extern "C" const char hot_calls_begin[], hot_calls_end[], hot_calls_near_return[], hot_calls_far_return[];

// Each loads the registers that the kernel leaves alone with values, a word into the red zone and the carry flag, makes the call
// and compares; and rcx and r11 with what `syscall` leaves there.
asm(R"(
  .text
  .balign 4096
  .globl hot_calls_begin, hot_calls_end, hot_calls_near_return, hot_calls_far_return, hot_call_near_mov, hot_call_far_mov
hot_calls_begin:
  .macro hot_call name, ret, near, far
  .balign 16
\name:
  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
  mov %rdi, %rbp
1:
  mov $0x1111, %ebx; mov $0x1212, %r12d; mov $0x1313, %r13d; mov $0x1414, %r14d; mov $0x1515, %r15d
  mov $0x2222, %edi; mov $0x2323, %esi; mov $0x2424, %edx; mov $0x2525, %r8d; mov $0x2626, %r9d; mov $0x2727, %r10d
  movq $0x3333, -8(%rsp); movq $0x3434, -120(%rsp)
  movq %rsp, %xmm5
  \far
  stc
  \near
  syscall
\ret:
  jnc 2f
  cmp $0x1111, %rbx; jne 2f
  cmp $0x1212, %r12; jne 2f
  cmp $0x1313, %r13; jne 2f
  cmp $0x1414, %r14; jne 2f
  cmp $0x1515, %r15; jne 2f
  cmp $0x2222, %rdi; jne 2f
  cmp $0x2323, %rsi; jne 2f
  cmp $0x2424, %rdx; jne 2f
  cmp $0x2525, %r8; jne 2f
  cmp $0x2626, %r9; jne 2f
  cmp $0x2727, %r10; jne 2f
  cmpq $0x3333, -8(%rsp); jne 2f
  cmpq $0x3434, -120(%rsp); jne 2f
  movq %xmm5, %rbx; cmp %rsp, %rbx; jne 2f
  lea \ret(%rip), %rbx; cmp %rbx, %rcx; jne 2f
  test $1, %r11; jz 2f
  test %rax, %rax; jle 2f
  dec %rbp
  jnz 1b
  xor %eax, %eax
  jmp 3f
2:
  mov $1, %eax
3:
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
  ret
  .endm
  hot_call hot_call_near_mov, hot_calls_near_return, "mov $39, %eax", ""
  .balign 16
  jmp hot_call_far_mov
  .byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0
  hot_call hot_call_far_mov, hot_calls_far_return, "", "mov $39, %eax"
  .balign 4096
hot_calls_end:
)");

namespace moat::test {
namespace {

constexpr long kHot = 2000;
using HotCall = long (*)(long rounds);

class HotCallTest : public testing::TestWithParam<HotCall> {
 protected:
  void Heat() { ASSERT_EQ(GetParam()(kHot), 0); }
};
INSTANTIATE_TEST_SUITE_P(Sites, HotCallTest, testing::Values(hot_call_near_mov, hot_call_far_mov),
                         [](const auto& info) { return info.param == hot_call_near_mov ? "NearMov" : "FarMov"; });

std::vector<char> OwnCode() { return {hot_calls_begin, hot_calls_end}; }

// As a debugger sees it.
std::vector<char> OwnCodeFromOutside() {
  std::vector<char> code(static_cast<size_t>(hot_calls_end - hot_calls_begin));
  FileDescriptor mem(open("/proc/self/mem", O_RDONLY));
  EXPECT_EQ(pread(mem.get(), code.data(), code.size(), reinterpret_cast<off_t>(hot_calls_begin)),
            static_cast<ssize_t>(code.size()));
  return code;
}

// The program's own code, by its segments.
bool InProgram(uintptr_t ip) {
  return dl_iterate_phdr(
             [](dl_phdr_info* object, size_t, void* at) {
               for (int i = 0; i < object->dlpi_phnum; ++i) {
                 const ElfW(Phdr)& segment = object->dlpi_phdr[i];
                 const uintptr_t start = object->dlpi_addr + segment.p_vaddr;
                 if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) &&
                     *static_cast<uintptr_t*>(at) - start < segment.p_memsz) {
                   return 1;
                 }
               }
               return 0;
             },
             &ip) != 0;
}

// Sends SIGALRM every half millisecond.
class Ticking {
 public:
  explicit Ticking(void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action = {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGALRM, &action, &old_);
    const itimerval every = {{0, 500}, {0, 500}};
    setitimer(ITIMER_REAL, &every, nullptr);
  }
  ~Ticking() {
    const itimerval never = {};
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &old_, nullptr);
  }

 private:
  struct sigaction old_;
};

uintptr_t Rip(void* context) {
  return static_cast<uintptr_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
}

TEST_P(HotCallTest, LeavesRegistersFlagsAndTheRedZoneAlone) { EXPECT_EQ(GetParam()(20'000), 0); }

std::atomic<int> ticks, strange_ticks;

TEST_P(HotCallTest, SignalsFindTheProgramInItsOwnCode) {
  ticks = strange_ticks = 0;
  Ticking ticking([](int, siginfo_t*, void* context) {
    ++ticks;
    if (!InProgram(Rip(context))) ++strange_ticks;
  });
  while (ticks < 300) ASSERT_EQ(GetParam()(200), 0);
  EXPECT_EQ(strange_ticks, 0);
}

sigjmp_buf way_out;

TEST_P(HotCallTest, AHandlerMayJumpOutOfIt) {
  volatile int jumps = 0;
  std::optional<Ticking> ticking;
  if (sigsetjmp(way_out, 1) != 0) {
    jumps = jumps + 1;
  } else {
    ticking.emplace([](int, siginfo_t*, void*) { siglongjmp(way_out, 1); });
  }
  while (jumps < 100) EXPECT_EQ(GetParam()(1000), 0);
}

TEST_P(HotCallTest, AForkedChildGoesOn) {
  Heat();
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(RunInChild([&] { return GetParam()(i % 2 == 0 ? 3 : kHot) == 0 ? 0 : 1; }), ExitedWith(0));
    ASSERT_EQ(GetParam()(100), 0);
  }
}

TEST_P(HotCallTest, AChildSharingMemoryGoesOn) {
  Heat();
  const pid_t pid = vfork();
  if (pid == 0) _exit(GetParam()(kHot) == 0 ? 7 : 1);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(7));
  Heat();
}

TEST_P(HotCallTest, ThreadsMakeItAtOnce) {
  Heat();
  std::atomic<int> bad{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { bad += GetParam()(kHot) != 0; });
  EXPECT_EQ(GetParam()(kHot), 0);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bad, 0);
  Heat();
}

TEST_P(HotCallTest, ItsCodeLooksUnchangedFromOutside) {
  const std::vector<char> before = OwnCodeFromOutside();
  Heat();
  EXPECT_TRUE(OwnCodeFromOutside() == before);
}

TEST_P(HotCallTest, ItsCodeCanBeMadeWritableAndChanged) {
  std::vector<char> before = OwnCodeFromOutside();
  Heat();
  void* page = const_cast<char*>(hot_calls_begin);
  ASSERT_THAT(mprotect(page, before.size(), PROT_READ | PROT_WRITE | PROT_EXEC), SyscallSucceeds());
  EXPECT_TRUE(OwnCode() == before);
  memcpy(page, before.data(), before.size());
  EXPECT_EQ(GetParam()(kHot), 0);
  ASSERT_THAT(mprotect(page, before.size(), PROT_READ | PROT_EXEC), SyscallSucceeds());
  Heat();
  EXPECT_TRUE(OwnCode() == before);
}

TEST_P(HotCallTest, ItsPagesCanBeDropped) {
  Heat();
  void* page = const_cast<char*>(hot_calls_begin);
  ASSERT_THAT(madvise(page, static_cast<size_t>(hot_calls_end - hot_calls_begin), MADV_DONTNEED), SyscallSucceeds());
  Heat();
}

// Maps the file that this code is in once more and returns where the code is then.
char* MapCodeAgain(size_t* size) {
  *size = static_cast<size_t>(hot_calls_end - hot_calls_begin);
  off_t offset = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* object, size_t, void* out) {
        for (int i = 0; i < object->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = object->dlpi_phdr[i];
          const uintptr_t into = reinterpret_cast<uintptr_t>(hot_calls_begin) - object->dlpi_addr - segment.p_vaddr;
          if (segment.p_type == PT_LOAD && into < segment.p_memsz) *static_cast<off_t*>(out) = static_cast<off_t>(segment.p_offset + into);
        }
        return 0;
      },
      &offset);
  FileDescriptor file(open("/proc/self/exe", O_RDONLY));
  void* code = mmap(nullptr, *size, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.get(), offset);
  return code == MAP_FAILED ? nullptr : static_cast<char*>(code);
}

TEST_P(HotCallTest, ItsCodeCanBeMappedAnewAndUnmapped) {
  Heat();
  for (int i = 0; i < 20; ++i) {
    size_t size;
    char* code = MapCodeAgain(&size);
    ASSERT_NE(code, nullptr);
    auto copy = reinterpret_cast<HotCall>(code + (reinterpret_cast<const char*>(GetParam()) - hot_calls_begin));
    EXPECT_EQ(copy(kHot), 0);
    EXPECT_THAT(munmap(code, size), SyscallSucceeds());
  }
  Heat();
}

TEST_P(HotCallTest, StepsThroughItAreTheProgramsOwn) {
  TracedChild tracee([&] {
    if (GetParam()(kHot) != 0) return 1;
    raise(SIGUSR1);
    return GetParam()(1) == 0 ? 3 : 1;
  });
  tracee.Cont();
  ASSERT_THAT(tracee.Next(), StoppedBy(SIGUSR1));
  const char* expected = GetParam() == hot_call_near_mov ? hot_calls_near_return : hot_calls_far_return;
  bool returned = false;
  for (int i = 0; i < 5000 && !returned; ++i) {
    tracee.Go(PTRACE_SINGLESTEP);
    ASSERT_THAT(tracee.Next(), StoppedBy(SIGTRAP));
    const uintptr_t ip = tracee.Regs().rip;
    ASSERT_TRUE(InProgram(ip)) << std::hex << ip;
    returned = ip == reinterpret_cast<uintptr_t>(expected);
  }
  EXPECT_TRUE(returned);
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(3));
}

TEST_P(HotCallTest, CanBeStoppedContinuedAndKilled) {
  for (int i = 0; i < 20; ++i) {
    const pid_t pid = ForkAndRun([&] { return static_cast<int>(GetParam()(1'000'000'000)); });
    usleep(3000);
    int status;
    ASSERT_THAT(kill(pid, SIGSTOP), SyscallSucceeds());
    ASSERT_THAT(waitpid(pid, &status, WUNTRACED), SyscallSucceedsWithValue(pid));
    ASSERT_TRUE(WIFSTOPPED(status));
    ASSERT_THAT(kill(pid, SIGCONT), SyscallSucceeds());
    usleep(1000);
    ASSERT_THAT(kill(pid, SIGKILL), SyscallSucceeds());
    EXPECT_THAT(WaitForChild(pid), KilledBy(SIGKILL));
  }
}

// --- Calls that answer at once many times and then wait. ---

TEST(HotReadTest, WaitsWhenThePipeIsEmpty) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  const std::string many(kHot, 'x');
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(write(fds[1], many.data(), many.size()), SyscallSucceedsWithValue(kHot));
    char byte;
    for (long n = 0; n < kHot; ++n) ASSERT_THAT(read(fds[0], &byte, 1), SyscallSucceedsWithValue(1));
    const pid_t pid = fork();
    if (pid == 0) {
      usleep(2000);
      _exit(write(fds[1], "y", 1) == 1 ? 0 : 1);
    }
    ASSERT_THAT(read(fds[0], &byte, 1), SyscallSucceedsWithValue(1));
    EXPECT_EQ(byte, 'y');
    EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  }
  close(fds[0]);
  close(fds[1]);
}

TEST(HotReadTest, IsInterruptedOrRestartedWhenItWaits) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  const std::string many(kHot, 'x');
  char byte;
  for (int flags : {0, SA_RESTART}) {
    ASSERT_THAT(write(fds[1], many.data(), many.size()), SyscallSucceedsWithValue(kHot));
    for (long n = 0; n < kHot; ++n) ASSERT_THAT(read(fds[0], &byte, 1), SyscallSucceedsWithValue(1));
    SignalCounter counter(SIGUSR1, flags);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
      usleep(2000);
      kill(parent, SIGUSR1);
      usleep(2000);
      _exit(write(fds[1], "y", 1) == 1 ? 0 : 1);
    }
    if (flags == 0) {
      EXPECT_THAT(read(fds[0], &byte, 1), SyscallFailsWithErrno(EINTR));
    }
    ASSERT_THAT(read(fds[0], &byte, 1), SyscallSucceedsWithValue(1));
    EXPECT_EQ(byte, 'y');
    EXPECT_GE(counter.count(), 1);
    waitpid(pid, nullptr, 0);
  }
  close(fds[0]);
  close(fds[1]);
}

TEST(HotErrorTest, KeepsItsErrno) {
  for (long n = 0; n < kHot; ++n) {
    ASSERT_THAT(lseek(-1, 0, SEEK_SET), SyscallFailsWithErrno(EBADF));
    ASSERT_THAT(syscall(SYS_getppid), SyscallSucceeds());
  }
}

TEST(HotExecTest, TheNewProgramStartsAfresh) {
  ASSERT_EQ(hot_call_near_mov(kHot), 0);
  char shell[] = "/bin/sh", command[] = "-c", script[] = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); umask >/dev/null; done; exit 5";
  char* argv[] = {shell, command, script, nullptr};
  pid_t pid;
  ASSERT_EQ(posix_spawn(&pid, shell, nullptr, nullptr, argv, environ), 0);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(5));
  EXPECT_EQ(hot_call_near_mov(kHot), 0);
}

}  // namespace
}  // namespace moat::test
