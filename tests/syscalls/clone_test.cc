// clone(2) and clone3(2): what each flag shares, where thread ids are written, and the combinations that are
// refused.
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

namespace moat::test {
namespace {

constexpr size_t kStackSize = 64 * 1024;

// clone without a stack: the child continues here, as after fork.
long RawClone(unsigned long flags, void* parent_tid = nullptr, void* child_tid = nullptr) {
  return syscall(SYS_clone, flags, 0, parent_tid, child_tid, 0);
}

long Clone3(const clone_args& args, size_t size = sizeof(clone_args)) {
  return syscall(SYS_clone3, &args, size);
}

// A child on its own stack. The stack must outlive it.
class CloneStack {
 public:
  int Start(int (*fn)(void*), int flags, void* arg, void* ptid = nullptr, void* tls = nullptr,
            void* ctid = nullptr) {
    return clone(fn, stack_.data() + kStackSize, flags, arg, ptid, tls, ctid);
  }
  Mapping& mapping() { return stack_; }

 private:
  Mapping stack_ = AnonymousMapping(kStackSize);
};

[[noreturn]] void ExitNow(int code) {
  syscall(SYS_exit, code);
  __builtin_unreachable();
}

TEST(CloneTest, SharedHandlersNeedSharedMemory) {
  EXPECT_THAT(RawClone(CLONE_SIGHAND | SIGCHLD), SyscallFailsWithErrno(EINVAL));
}

TEST(CloneTest, ThreadsNeedSharedHandlers) {
  EXPECT_THAT(RawClone(CLONE_THREAD | CLONE_VM | SIGCHLD), SyscallFailsWithErrno(EINVAL));
}

TEST(CloneTest, NewMountNamespaceExcludesSharedFs) {
  EXPECT_THAT(RawClone(CLONE_NEWNS | CLONE_FS | SIGCHLD), SyscallFailsWithErrno(EINVAL));
}

TEST(CloneTest, PidfdExcludesParentSetTidInTheOldCall) {
  int out = -1;
  EXPECT_THAT(RawClone(CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, &out), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(RawClone(CLONE_PIDFD | CLONE_DETACHED | SIGCHLD, &out), SyscallFailsWithErrno(EINVAL));
}

TEST(CloneTest, ChildOfCloneParentIsASibling) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  const pid_t self = getpid();
  EXPECT_THAT(RunInChild([&] {
                long pid = RawClone(CLONE_PARENT | SIGCHLD);
                if (pid == 0) _exit(getppid() == self ? 17 : 1);
                EXPECT_THAT(write(fds[1], &pid, sizeof(pid)), SyscallSucceedsWithValue(8));
                EXPECT_THAT(waitpid(pid, nullptr, 0), SyscallFailsWithErrno(ECHILD));
              }),
              ExitedWith(0));
  long sibling = 0;
  ASSERT_EQ(read(fds[0], &sibling, sizeof(sibling)), 8);
  EXPECT_THAT(WaitForChild(sibling), ExitedWith(17));
  close(fds[0]);
  close(fds[1]);
}

TEST(CloneTest, PidfdOfTheOldCallGoesToTheParentTidPointer) {
  int pidfd = -1;
  long pid = RawClone(CLONE_PIDFD | SIGCHLD, &pidfd);
  if (pid == 0) _exit(5);
  ASSERT_THAT(pid, SyscallSucceeds());
  ASSERT_GE(pidfd, 0);
  EXPECT_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
  siginfo_t info = {};
  EXPECT_THAT(waitid(static_cast<idtype_t>(3) /* P_PIDFD */, pidfd, &info, WEXITED), SyscallSucceeds());
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_EQ(info.si_status, 5);
  close(pidfd);
}

TEST(CloneTest, BadPidfdPointerIsEfaultAndLeavesNoChild) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_THAT(RawClone(CLONE_PIDFD | SIGCHLD, BadPointer()), SyscallFailsWithErrno(EFAULT));
                EXPECT_THAT(waitpid(-1, nullptr, __WALL), SyscallFailsWithErrno(ECHILD));
              }),
              ExitedWith(0));
}

TEST(CloneTest, SetTidFlagsWriteTheChildsIdInTheMemoryOfTheNamedProcess) {
  int parent_tid = 0;
  int child_tid = 0;
  long pid = RawClone(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, &parent_tid, &child_tid);
  if (pid == 0) _exit(child_tid == getpid() && parent_tid == 0 ? 0 : 1);
  ASSERT_THAT(pid, SyscallSucceeds());
  EXPECT_EQ(parent_tid, pid);
  EXPECT_EQ(child_tid, 0);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
}

TEST(CloneTest, BadSetTidPointersAreIgnored) {
  long pid = RawClone(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, BadPointer(), BadPointer());
  if (pid == 0) _exit(4);
  ASSERT_THAT(pid, SyscallSucceeds());
  EXPECT_THAT(WaitForChild(pid), ExitedWith(4));
}

int WriteTo(void* word) {
  *static_cast<std::atomic<int>*>(word) = 42;
  return 3;
}

TEST(CloneTest, SharedMemoryMakesWritesOfTheChildVisible) {
  CloneStack stack;
  std::atomic<int> word{0};
  const int pid = stack.Start(WriteTo, CLONE_VM | SIGCHLD, &word);
  ASSERT_THAT(pid, SyscallSucceeds());
  EXPECT_THAT(WaitForChild(pid), ExitedWith(3));
  EXPECT_EQ(word, 42);
}

TEST(CloneTest, WithoutSharedMemoryTheStackIsUsedButWritesStayPrivate) {
  CloneStack stack;
  std::atomic<int> word{0};
  const int pid = stack.Start(WriteTo, SIGCHLD, &word);
  ASSERT_THAT(pid, SyscallSucceeds());
  EXPECT_THAT(WaitForChild(pid), ExitedWith(3));
  EXPECT_EQ(word, 0);
}

int StoreStackAddress(void* out) {
  int local = 0;
  *static_cast<void**>(out) = &local;
  return 0;
}

TEST(CloneTest, ChildRunsOnTheGivenStack) {
  CloneStack stack;
  void* address = nullptr;
  const int pid = stack.Start(StoreStackAddress, CLONE_VM | SIGCHLD, &address);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  EXPECT_GE(address, stack.mapping().data());
  EXPECT_LT(address, stack.mapping().data() + kStackSize);
}

TEST(CloneTest, SharedDescriptorTable) {
  FileDescriptor keep = Open("/dev/null", O_RDONLY);
  const int fd = dup(keep.get());
  long pid = RawClone(CLONE_FILES | SIGCHLD);
  if (pid == 0) _exit(close(fd) == 0 && dup2(keep.get(), 400) == 400 ? 0 : 1);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  EXPECT_THAT(fcntl(fd, F_GETFD), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(close(400), SyscallSucceeds());
}

TEST(CloneTest, SharedFsInformation) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(chdir("/tmp"), SyscallSucceeds());
                umask(022);
                long pid = RawClone(CLONE_FS | SIGCHLD);
                if (pid == 0) {
                  umask(077);
                  _exit(chdir("/"));
                }
                EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
                char cwd[64];
                EXPECT_STREQ(getcwd(cwd, sizeof(cwd)), "/");
                EXPECT_EQ(umask(0), 077u);
              }),
              ExitedWith(0));
}

int IgnoreUsr2(void*) {
  struct sigaction action = {};
  action.sa_handler = SIG_IGN;
  return sigaction(SIGUSR2, &action, nullptr);
}

TEST(CloneTest, SharedHandlersAreOneTable) {
  ScopedSigaction restore(SIGUSR2, SIG_DFL);
  CloneStack stack;
  const int pid = stack.Start(IgnoreUsr2, CLONE_VM | CLONE_SIGHAND | SIGCHLD, nullptr);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  struct sigaction action;
  ASSERT_THAT(sigaction(SIGUSR2, nullptr, &action), SyscallSucceeds());
  EXPECT_EQ(action.sa_handler, SIG_IGN);
}

TEST(CloneTest, WithoutSharedHandlersTheTableIsCopied) {
  ScopedSigaction restore(SIGUSR2, SIG_DFL);
  CloneStack stack;
  const int pid = stack.Start(IgnoreUsr2, CLONE_VM | SIGCHLD, nullptr);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  struct sigaction action;
  ASSERT_THAT(sigaction(SIGUSR2, nullptr, &action), SyscallSucceeds());
  EXPECT_EQ(action.sa_handler, SIG_DFL);
}

TEST(CloneTest, ChildWithoutExitSignalNeedsWcloneAndSendsNothing) {
  ScopedSignalMask block(SIG_BLOCK, {SIGCHLD});
  DrainSignals({SIGCHLD});
  long pid = RawClone(0);
  if (pid == 0) _exit(6);
  ASSERT_THAT(pid, SyscallSucceeds());
  EXPECT_THAT(waitpid(pid, nullptr, 0), SyscallFailsWithErrno(ECHILD));
  int status;
  EXPECT_THAT(waitpid(pid, &status, __WCLONE), SyscallSucceedsWithValue(pid));
  EXPECT_THAT(status, ExitedWith(6));
  sigset_t pending;
  sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGCHLD));
}

TEST(CloneTest, ExitSignalMayBeAnother) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  long pid = RawClone(SIGUSR1);
  if (pid == 0) _exit(9);
  siginfo_t info;
  const sigset_t set = SignalSet({SIGUSR1});
  EXPECT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_EQ(info.si_status, 9);
  EXPECT_THAT(waitpid(pid, nullptr, __WALL), SyscallSucceedsWithValue(pid));
}

struct ThreadFacts {
  std::atomic<int> word{1};  // cleared and woken at the thread's exit
  int pid = 0;
  int tid = 0;
  int ppid = 0;
};

int RecordIds(void* arg) {
  auto* facts = static_cast<ThreadFacts*>(arg);
  facts->pid = syscall(SYS_getpid);
  facts->tid = syscall(SYS_gettid);
  facts->ppid = syscall(SYS_getppid);
  ExitNow(0);
}

constexpr int kThreadFlags =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;

TEST(CloneTest, ExitSignalThatIsNoneIsNotSent) {
  for (unsigned long signo : {65, 72, 255}) {
    long pid = RawClone(signo);
    if (pid == 0) ExitNow(3);
    ASSERT_THAT(pid, SyscallSucceeds());
    int status = 0;
    EXPECT_THAT(waitpid(static_cast<pid_t>(pid), &status, __WCLONE), SyscallSucceedsWithValue(pid));
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 3);
  }
}

TEST(CloneTest, ThreadSharesPidAndItsExitClearsAndWakesTheTidWord) {
  CloneStack stack;
  ThreadFacts facts;
  const int tid = stack.Start(RecordIds, kThreadFlags, &facts, nullptr, nullptr, &facts.word);
  ASSERT_THAT(tid, SyscallSucceeds());
  while (facts.word == 1) syscall(SYS_futex, &facts.word, FUTEX_WAIT, 1, nullptr, nullptr, 0);
  EXPECT_EQ(facts.word, 0);
  EXPECT_EQ(facts.tid, tid);
  EXPECT_EQ(facts.pid, getpid());
  EXPECT_EQ(facts.ppid, getppid());
  EXPECT_THAT(waitpid(tid, nullptr, __WALL), SyscallFailsWithErrno(ECHILD));
}

struct TlsFacts {
  std::atomic<int> word{1};
  void* seen = nullptr;
};
// A block that looks enough like a thread control block: its first word is what %fs:0 reads.
struct alignas(64) FakeTls {
  void* self;
  char rest[4096 - sizeof(void*)];
};
TlsFacts tls_facts;

__attribute__((no_stack_protector)) int ReadFsZero(void*) {
  void* value;
  asm volatile("mov %%fs:0, %0" : "=r"(value));
  tls_facts.seen = value;
  asm volatile("syscall" : : "a"(SYS_exit), "D"(0) : "rcx", "r11", "memory");
  __builtin_unreachable();
}

TEST(CloneTest, SetTlsSetsTheFsBaseOfTheThread) {
  CloneStack stack;
  static FakeTls tls = {};
  tls.self = &tls;
  tls_facts.word = 1;
  ASSERT_THAT(stack.Start(ReadFsZero, kThreadFlags | CLONE_SETTLS, nullptr, nullptr, &tls, &tls_facts.word),
              SyscallSucceeds());
  while (tls_facts.word == 1) syscall(SYS_futex, &tls_facts.word, FUTEX_WAIT, 1, nullptr, nullptr, 0);
  EXPECT_EQ(tls_facts.seen, &tls);
}

int SleepThenStore(void* word) {
  timespec ts = {0, 30000000};
  syscall(SYS_nanosleep, &ts, nullptr);
  *static_cast<int*>(word) = 1;
  return 0;
}

TEST(CloneTest, VforkFlagHoldsTheParentUntilTheChildExits) {
  CloneStack stack;
  int done = 0;
  const int pid = stack.Start(SleepThenStore, CLONE_VM | CLONE_VFORK | SIGCHLD, &done);
  EXPECT_EQ(done, 1);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
}

TEST(Clone3Test, WorksLikeForkWithOnlyAnExitSignal) {
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  long pid = Clone3(args);
  if (pid == 0) _exit(8);
  ASSERT_THAT(pid, SyscallSucceeds());
  EXPECT_THAT(WaitForChild(pid), ExitedWith(8));
}

TEST(Clone3Test, FirstVersionOfTheStructureIsAccepted) {
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  long pid = Clone3(args, CLONE_ARGS_SIZE_VER0);
  if (pid == 0) _exit(8);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(8));
}

TEST(Clone3Test, SizeBelowTheFirstVersionIsEinval) {
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  EXPECT_THAT(Clone3(args, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Clone3(args, CLONE_ARGS_SIZE_VER0 - 1), SyscallFailsWithErrno(EINVAL));
}

TEST(Clone3Test, UnknownTailMustBeZero) {
  struct {
    clone_args args;
    uint64_t tail[4];
  } big = {};
  big.args.exit_signal = SIGCHLD;
  big.tail[3] = 1;
  EXPECT_THAT(Clone3(big.args, sizeof(big)), SyscallFailsWithErrno(E2BIG));
  big.tail[3] = 0;
  long pid = Clone3(big.args, sizeof(big));
  if (pid == 0) _exit(0);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
}

TEST(Clone3Test, SizeAboveAPageIsE2big) {
  clone_args args = {};
  EXPECT_THAT(Clone3(args, 4097), SyscallFailsWithErrno(E2BIG));
}

TEST(Clone3Test, BadPointerIsEfault) {
  EXPECT_THAT(syscall(SYS_clone3, BadPointer(), sizeof(clone_args)), SyscallFailsWithErrno(EFAULT));
}

TEST(Clone3Test, SignalBitsDoNotBelongIntoFlags) {
  clone_args args = {};
  args.flags = SIGCHLD;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));
  args.flags = CLONE_DETACHED;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));
}

TEST(Clone3Test, UnknownFlagIsEinval) {
  clone_args args = {};
  args.flags = 1ull << 60;
  args.exit_signal = SIGCHLD;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));
}

TEST(Clone3Test, BadExitSignalsAreEinval) {
  clone_args args = {};
  args.exit_signal = 65;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));
  args.exit_signal = SIGCHLD;
  args.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));
  args.flags = CLONE_PARENT;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));
}

TEST(Clone3Test, StackAndItsSizeGoTogether) {
  Mapping stack = AnonymousMapping(kStackSize);
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uint64_t>(stack.data());
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));
  args.stack = 0;
  args.stack_size = kStackSize;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));
}

TEST(Clone3Test, PidfdHasItsOwnField) {
  int pidfd = -1;
  int tid = 0;
  clone_args args = {};
  args.flags = CLONE_PIDFD | CLONE_PARENT_SETTID;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.parent_tid = reinterpret_cast<uint64_t>(&tid);
  args.exit_signal = SIGCHLD;
  long pid = Clone3(args);
  if (pid == 0) _exit(0);
  ASSERT_THAT(pid, SyscallSucceeds());
  EXPECT_EQ(tid, pid);
  EXPECT_GE(pidfd, 0);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  close(pidfd);
}

TEST(Clone3Test, ClearSighandResetsHandlersButKeepsIgnoredSignals) {
  SignalCounter handler(SIGUSR1);
  ScopedSigaction ignore(SIGUSR2, SIG_IGN);
  clone_args args = {};
  args.flags = CLONE_CLEAR_SIGHAND;
  args.exit_signal = SIGCHLD;
  long pid = Clone3(args);
  if (pid == 0) {
    struct sigaction one, two;
    sigaction(SIGUSR1, nullptr, &one);
    sigaction(SIGUSR2, nullptr, &two);
    _exit(one.sa_handler == SIG_DFL && two.sa_handler == SIG_IGN ? 0 : 1);
  }
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  args.flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));
}

TEST(Clone3Test, SetTidRefusesBadLists) {
  pid_t ids[40] = {0};
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  args.set_tid_size = 1;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));  // a size without a list
  args.set_tid = reinterpret_cast<uint64_t>(ids);
  args.set_tid_size = 0;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));  // a list without a size
  args.set_tid_size = 40;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));  // more levels than namespaces nest
  args.set_tid_size = 1;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));  // pid 0
  ids[0] = -1;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EINVAL));
}

TEST(Clone3Test, SetTidToAPidInUseIsEexistForRoot) {
  SKIP_IF_NOT_ROOT();
  pid_t id = getpid();
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  args.set_tid = reinterpret_cast<uint64_t>(&id);
  args.set_tid_size = 1;
  EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EEXIST));
}

TEST(Clone3Test, SetTidNeedsPrivilege) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                pid_t id = 30000;
                clone_args args = {};
                args.exit_signal = SIGCHLD;
                args.set_tid = reinterpret_cast<uint64_t>(&id);
                args.set_tid_size = 1;
                EXPECT_THAT(Clone3(args), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
