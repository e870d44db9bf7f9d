// ptrace(2): stops, registers, memory, options and attachment.
#include <elf.h>
#include <sys/uio.h>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/tracee.h"

namespace moat::test {
namespace {

MOAT_TEST_ROLE(Exit6) { return 6; }

bool IsEvent(int status, int event) { return WIFSTOPPED(status) && status >> 8 == (SIGTRAP | event << 8); }

// A traced child, stopped by SIGSTOP before it runs `body`.
class Tracee {
 public:
  template <typename Body>
  explicit Tracee(Body&& body)
      : child_([&]() -> int {
          Ptrace(PTRACE_TRACEME, 0);
          raise(SIGSTOP);
          return body();
        }) {
    EXPECT_THAT(NextStop(pid()), StoppedBy(SIGSTOP));
  }
  pid_t pid() const { return child_.pid(); }
  int Wait() { return child_.Wait(); }
  long Cont(int sig = 0) { return Ptrace(PTRACE_CONT, pid(), nullptr, Number(sig)); }
  user_regs_struct Regs() {
    user_regs_struct regs = {};
    EXPECT_THAT(Ptrace(PTRACE_GETREGS, pid(), nullptr, &regs), SyscallSucceeds());
    return regs;
  }
  void SetOptions(long options) {
    EXPECT_THAT(Ptrace(PTRACE_SETOPTIONS, pid(), nullptr, Number(options)), SyscallSucceeds());
  }

 private:
  ScopedChild child_;
};

volatile long word = 0x1111;

TEST(PtraceTest, ContinueLetsTheTraceeEnd) {
  Tracee tracee([] { return 8; });
  EXPECT_THAT(tracee.Cont(), SyscallSucceeds());
  EXPECT_THAT(tracee.Wait(), ExitedWith(8));
}

TEST(PtraceTest, SignalsStopTheTraceeAndCanBeDroppedOrChanged) {
  Tracee tracee([] {
    SignalCounter one(SIGUSR1), two(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGUSR1);
    return one.count() * 10 + two.count();
  });
  EXPECT_THAT(tracee.Cont(), SyscallSucceeds());
  EXPECT_THAT(NextStop(tracee.pid()), StoppedBy(SIGUSR1));
  EXPECT_THAT(tracee.Cont(0), SyscallSucceeds());
  EXPECT_THAT(NextStop(tracee.pid()), StoppedBy(SIGUSR1));
  EXPECT_THAT(tracee.Cont(SIGUSR2), SyscallSucceeds());
  EXPECT_THAT(tracee.Wait(), ExitedWith(1));
}

TEST(PtraceTest, SiginfoOfTheStopCanBeRead) {
  Tracee tracee([] { return raise(SIGUSR1); });
  tracee.Cont();
  EXPECT_THAT(NextStop(tracee.pid()), StoppedBy(SIGUSR1));
  siginfo_t info = {};
  EXPECT_THAT(Ptrace(PTRACE_GETSIGINFO, tracee.pid(), nullptr, &info), SyscallSucceeds());
  EXPECT_EQ(info.si_signo, SIGUSR1);
  EXPECT_EQ(info.si_pid, tracee.pid());
  tracee.Cont(0);
  EXPECT_THAT(tracee.Wait(), ExitedWith(0));
}

TEST(PtraceTest, MemoryCanBePeekedAndPoked) {
  word = 0x1111;
  Tracee tracee([] { return static_cast<int>(word); });
  void* address = const_cast<long*>(&word);
  long value = 0;
  EXPECT_THAT(syscall(SYS_ptrace, PTRACE_PEEKDATA, tracee.pid(), address, &value), SyscallSucceeds());
  EXPECT_EQ(value, 0x1111);
  EXPECT_THAT(Ptrace(PTRACE_POKEDATA, tracee.pid(), address, Number(0x2a)), SyscallSucceeds());
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(0x2a));
  EXPECT_EQ(word, 0x1111);
}

TEST(PtraceTest, PokeWritesEvenToReadOnlyPages) {
  Mapping map = AnonymousMapping(4096);
  map[0] = 1;
  ASSERT_THAT(mprotect(map.data(), 4096, PROT_READ), SyscallSucceeds());
  Tracee tracee([&] { return static_cast<int>(map[0]); });
  EXPECT_THAT(Ptrace(PTRACE_POKETEXT, tracee.pid(), map.data(), Number(5)), SyscallSucceeds());
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(5));
}

TEST(PtraceTest, BadAddressesAreEio) {
  Tracee tracee([] { return 0; });
  long value;
  EXPECT_THAT(syscall(SYS_ptrace, PTRACE_PEEKDATA, tracee.pid(), Number(8), &value),
              SyscallFailsWithErrno(testing::AnyOf(EIO, EFAULT)));
}

TEST(PtraceTest, SystemCallStopsComeInPairs) {
  Tracee tracee([] { return static_cast<int>(syscall(SYS_getppid) > 0 ? 4 : 5); });
  tracee.SetOptions(PTRACE_O_TRACESYSGOOD);
  int entries = 0;
  for (;;) {
    ASSERT_THAT(Ptrace(PTRACE_SYSCALL, tracee.pid()), SyscallSucceeds());
    const int status = NextStop(tracee.pid());
    ASSERT_THAT(status, StoppedBy(SIGTRAP | 0x80));
    const user_regs_struct entry = tracee.Regs();
    EXPECT_EQ(static_cast<long>(entry.rax), -ENOSYS);
    if (entry.orig_rax == SYS_exit_group) break;
    ++entries;
    ASSERT_THAT(Ptrace(PTRACE_SYSCALL, tracee.pid()), SyscallSucceeds());
    ASSERT_THAT(NextStop(tracee.pid()), StoppedBy(SIGTRAP | 0x80));
    EXPECT_EQ(tracee.Regs().orig_rax, entry.orig_rax);
    if (entry.orig_rax == SYS_getppid) {
      EXPECT_EQ(static_cast<pid_t>(tracee.Regs().rax), getpid());
    }
  }
  EXPECT_GE(entries, 1);
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(4));
}

TEST(PtraceTest, TracerCanReplaceACallAndItsResult) {
  Tracee tracee([] { return static_cast<int>(syscall(SYS_getppid)); });
  tracee.SetOptions(PTRACE_O_TRACESYSGOOD);
  user_regs_struct regs;
  do {
    ASSERT_THAT(Ptrace(PTRACE_SYSCALL, tracee.pid()), SyscallSucceeds());
    ASSERT_THAT(NextStop(tracee.pid()), StoppedBy(SIGTRAP | 0x80));
    regs = tracee.Regs();
  } while (regs.orig_rax != SYS_getppid);
  regs.orig_rax = static_cast<unsigned long>(-1);  // no call at all
  ASSERT_THAT(Ptrace(PTRACE_SETREGS, tracee.pid(), nullptr, &regs), SyscallSucceeds());
  ASSERT_THAT(Ptrace(PTRACE_SYSCALL, tracee.pid()), SyscallSucceeds());
  ASSERT_THAT(NextStop(tracee.pid()), StoppedBy(SIGTRAP | 0x80));
  regs = tracee.Regs();
  regs.rax = 55;
  ASSERT_THAT(Ptrace(PTRACE_SETREGS, tracee.pid(), nullptr, &regs), SyscallSucceeds());
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(55));
}

TEST(PtraceTest, SingleStepExecutesOneInstruction) {
  Tracee tracee([] {
    asm volatile("int3\n\tnop\n\tnop\n\tnop");
    return 7;
  });
  tracee.Cont();
  ASSERT_THAT(NextStop(tracee.pid()), StoppedBy(SIGTRAP));
  const unsigned long start = tracee.Regs().rip;
  for (int i = 1; i <= 3; ++i) {
    ASSERT_THAT(Ptrace(PTRACE_SINGLESTEP, tracee.pid()), SyscallSucceeds());
    ASSERT_THAT(NextStop(tracee.pid()), StoppedBy(SIGTRAP));
    EXPECT_EQ(tracee.Regs().rip, start + i);
  }
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(7));
}

TEST(PtraceTest, RegisterSetsByType) {
  Tracee tracee([] { return 0; });
  user_regs_struct regs = {};
  iovec iov = {&regs, sizeof(regs)};
  EXPECT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), Number(NT_PRSTATUS), &iov), SyscallSucceeds());
  EXPECT_EQ(iov.iov_len, sizeof(regs));
  EXPECT_EQ(regs.rip, tracee.Regs().rip);
  EXPECT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), Number(0x7777), &iov), SyscallFailsWithErrno(EINVAL));
}

TEST(PtraceTest, ForkEventNamesTheChildAndAttachesIt) {
  Tracee tracee([]() -> int { return RunInChild([]() -> int { return 0; }) == 0 ? 3 : 1; });
  tracee.SetOptions(PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE);
  tracee.Cont();
  const int status = NextStop(tracee.pid());
  ASSERT_TRUE(IsEvent(status, PTRACE_EVENT_FORK) || IsEvent(status, PTRACE_EVENT_CLONE)) << status;
  unsigned long child = 0;
  ASSERT_THAT(Ptrace(PTRACE_GETEVENTMSG, tracee.pid(), nullptr, &child), SyscallSucceeds());
  EXPECT_THAT(NextStop(static_cast<pid_t>(child)), StoppedBy(SIGSTOP));
  Ptrace(PTRACE_CONT, static_cast<pid_t>(child));
  tracee.Cont();
  EXPECT_THAT(NextStop(static_cast<pid_t>(child)), ExitedWith(0));
  EXPECT_THAT(NextStop(tracee.pid()), StoppedBy(SIGCHLD));
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(3));
}

TEST(PtraceTest, ExecStopsWithATrapOrAnEvent) {
  Tracee plain([]() -> int { return ExecRole("Exit6", {"x"}); });
  plain.Cont();
  EXPECT_THAT(NextStop(plain.pid()), StoppedBy(SIGTRAP));
  plain.Cont();
  EXPECT_THAT(plain.Wait(), ExitedWith(6));
  Tracee with_event([]() -> int { return ExecRole("Exit6", {"x"}); });
  with_event.SetOptions(PTRACE_O_TRACEEXEC);
  with_event.Cont();
  EXPECT_TRUE(IsEvent(NextStop(with_event.pid()), PTRACE_EVENT_EXEC));
  with_event.Cont();
  EXPECT_THAT(with_event.Wait(), ExitedWith(6));
}

TEST(PtraceTest, ExitEventCarriesTheStatus) {
  Tracee tracee([] { return 9; });
  tracee.SetOptions(PTRACE_O_TRACEEXIT);
  tracee.Cont();
  ASSERT_TRUE(IsEvent(NextStop(tracee.pid()), PTRACE_EVENT_EXIT));
  unsigned long status = 0;
  ASSERT_THAT(Ptrace(PTRACE_GETEVENTMSG, tracee.pid(), nullptr, &status), SyscallSucceeds());
  EXPECT_EQ(status, 9ul << 8);
  tracee.Cont();
  EXPECT_THAT(tracee.Wait(), ExitedWith(9));
}

TEST(PtraceTest, ExitkillEndsTheTraceeWithItsTracer) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&] {
                const pid_t pid = ForkAndRun([]() -> int {
                  Ptrace(PTRACE_TRACEME, 0);
                  raise(SIGSTOP);
                  for (;;) pause();
                });
                NextStop(pid);
                EXPECT_THAT(Ptrace(PTRACE_SETOPTIONS, pid, nullptr, Number(PTRACE_O_EXITKILL)),
                            SyscallSucceeds());
                Ptrace(PTRACE_CONT, pid);
              }),
              ExitedWith(0));
  // The tracee held the other write end; the end of file says that it is gone.
  close(fds[1]);
  char byte;
  EXPECT_THAT(read(fds[0], &byte, 1), SyscallSucceedsWithValue(0));
  close(fds[0]);
}

TEST(PtraceTest, AttachStopsAndDetachReleases) {
  ScopedChild child([]() -> int {
    for (;;) pause();
  });
  ASSERT_THAT(Ptrace(PTRACE_ATTACH, child.pid()), SyscallSucceeds());
  EXPECT_THAT(NextStop(child.pid()), StoppedBy(SIGSTOP));
  EXPECT_EQ(StatusField(child.pid(), "TracerPid"), std::to_string(getpid()));
  EXPECT_THAT(Ptrace(PTRACE_ATTACH, child.pid()), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(Ptrace(PTRACE_DETACH, child.pid()), SyscallSucceeds());
  EXPECT_TRUE(Eventually([&] { return ProcessState(child.pid()) == 'S'; }));
  EXPECT_EQ(StatusField(child.pid(), "TracerPid"), "0");
}

TEST(PtraceTest, SeizeDoesNotStopAndInterruptDoes) {
  ScopedChild child([]() -> int {
    for (;;) pause();
  });
  ASSERT_THAT(Ptrace(PTRACE_SEIZE, child.pid()), SyscallSucceeds());
  EXPECT_EQ(waitpid(child.pid(), nullptr, WNOHANG), 0);
  ASSERT_THAT(Ptrace(PTRACE_INTERRUPT, child.pid()), SyscallSucceeds());
  EXPECT_EQ(NextStop(child.pid()) >> 16, PTRACE_EVENT_STOP);
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallSucceeds());
}

TEST(PtraceTest, Errors) {
  EXPECT_THAT(Ptrace(PTRACE_ATTACH, 0x3ffffff), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(Ptrace(PTRACE_ATTACH, getpid()), SyscallFailsWithErrno(EPERM));
  ScopedChild child([]() -> int {
    for (;;) pause();
  });
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallFailsWithErrno(ESRCH));  // not traced
  EXPECT_THAT(Ptrace(PTRACE_SEIZE, child.pid(), Number(1)), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(RunInChild([] {
                EXPECT_THAT(Ptrace(PTRACE_TRACEME, 0), SyscallSucceeds());
                EXPECT_THAT(Ptrace(PTRACE_TRACEME, 0), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(PtraceTest, RequestsToARunningTraceeAreEsrch) {
  Tracee tracee([]() -> int {
    for (;;) pause();
  });
  tracee.Cont();
  user_regs_struct regs;
  EXPECT_THAT(Ptrace(PTRACE_GETREGS, tracee.pid(), nullptr, &regs), SyscallFailsWithErrno(ESRCH));
}

TEST(PtraceTest, AnotherUsersProcessIsEperm) {
  SKIP_IF_NOT_ROOT();
  ScopedChild child([]() -> int {
    for (;;) pause();
  });
  EXPECT_THAT(
      RunAsUser([&] { EXPECT_THAT(Ptrace(PTRACE_ATTACH, child.pid()), SyscallFailsWithErrno(EPERM)); }),
      ExitedWith(0));
}

TEST(PtraceTest, SigkillEndsAStoppedTracee) {
  Tracee tracee([] { return 0; });
  kill(tracee.pid(), SIGKILL);
  EXPECT_THAT(tracee.Wait(), KilledBy(SIGKILL));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
