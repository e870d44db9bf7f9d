// execve(2) and execveat(2): what a new program gets, what it keeps of the old one, and what cannot be
// executed.
#include <elf.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

namespace moat::test {
namespace {

// Prints argv, a blank line, and envp to descriptor 1.
MOAT_TEST_ROLE(Print) {
  for (int i = 0; i < argc; ++i) dprintf(1, "%s\n", argv[i]);
  dprintf(1, "\n");
  for (char** var = envp; *var; ++var) dprintf(1, "%s\n", *var);
  return 0;
}

// Copies /proc/self/(argv[0]) to descriptor 1.
MOAT_TEST_ROLE(ShowProcFile) {
  const std::string text = Slurp(std::string("/proc/self/") + argv[0]);
  return write(1, text.data(), text.size()) != static_cast<ssize_t>(text.size());
}

MOAT_TEST_ROLE(ReturnArgc) { return argc; }

// Exits with 1 if descriptor argv[1] is open.
MOAT_TEST_ROLE(IsOpen) { return fcntl(atoi(argv[1]), F_GETFD) >= 0; }

// argv[1]: a signal; exits with 0 default, 1 ignored, 2 handled, plus 10 if it is blocked.
MOAT_TEST_ROLE(Disposition) {
  struct sigaction action;
  sigset_t mask;
  sigaction(atoi(argv[1]), nullptr, &action);
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  const int state = action.sa_handler == SIG_DFL ? 0 : action.sa_handler == SIG_IGN ? 1 : 2;
  return state + 10 * sigismember(&mask, atoi(argv[1]));
}

MOAT_TEST_ROLE(IsPending) {
  sigset_t set;
  sigpending(&set);
  return sigismember(&set, atoi(argv[1]));
}

MOAT_TEST_ROLE(PrintIdentity) {
  char name[16];
  prctl(PR_GET_NAME, name);
  char exe[4096] = {};
  if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0) return 1;
  dprintf(1, "%d %d %s %s %s", getpid(), gettid(), name, exe, StatusField(getpid(), "Threads").c_str());
  return 0;
}

MOAT_TEST_ROLE(HasAltStack) {
  stack_t stack;
  sigaltstack(nullptr, &stack);
  return stack.ss_flags == SS_DISABLE ? 0 : 1;
}

MOAT_TEST_ROLE(AlarmLeft) { return alarm(0) > 0; }

MOAT_TEST_ROLE(Dumpable) { return prctl(PR_GET_DUMPABLE); }

// The standard output of ExecRole in a child, which must exit with 0.
std::string OutputOf(const std::string& role, std::vector<std::string> args,
                     std::vector<std::string> env = {}, const std::string& path = "/proc/self/exe") {
  int fds[2];
  EXPECT_THAT(pipe2(fds, O_CLOEXEC), SyscallSucceeds());
  const pid_t pid = ForkAndRun([&]() -> int {
    dup2(fds[1], 1);
    ExecRole(role, args, env, path);
    return 127;
  });
  close(fds[1]);
  std::string text;
  char buffer[4096];
  ssize_t got;
  while ((got = read(fds[0], buffer, sizeof(buffer))) > 0) text.append(buffer, got);
  close(fds[0]);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  return text;
}

// execve that must fail: its errno; ends the process if it does not.
int ExecErrno(const std::string& path) {
  char* argv[] = {const_cast<char*>("x"), nullptr};
  char* envp[] = {const_cast<char*>("MOAT_TEST_ROLE=ReturnArgc"), nullptr};
  execve(path.c_str(), argv, envp);
  return errno;
}

std::string CopySelf(const TempDir& dir, const std::string& name, mode_t mode = 0755) {
  return dir.CreateFile(name, Slurp("/proc/self/exe"), mode);
}

TEST(ExecTest, PassesArgumentsAndEnvironmentUnchanged) {
  EXPECT_EQ(OutputOf("Print", {"zero", "", "two words", "-x"}, {"A=1", "EMPTY=", "noequals"}),
            "zero\n\ntwo words\n-x\n\nA=1\nEMPTY=\nnoequals\nMOAT_TEST_ROLE=Print\n");
}

TEST(ExecTest, KeepsThePid) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  const pid_t pid = ForkAndRun([&]() -> int {
    dup2(fds[1], 1);
    return ExecRole("PrintIdentity", {"x"});
  });
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  char buffer[512] = {};
  ASSERT_GT(read(fds[0], buffer, sizeof(buffer) - 1), 0);
  EXPECT_EQ(atoi(buffer), pid);
  close(fds[0]);
  close(fds[1]);
}

TEST(ExecTest, NameBecomesTheBaseNameCutToFifteenBytes) {
  TempDir dir;
  const std::string path = CopySelf(dir, "a-rather-long-program-name");
  const std::string text = OutputOf("PrintIdentity", {"other"}, {}, path);
  EXPECT_NE(text.find(" a-rather-long-p "), std::string::npos) << text;
  EXPECT_NE(text.find(" " + path + " "), std::string::npos) << text;
}

TEST(ExecTest, CmdlineAndEnvironAreVisibleInProc) {
  EXPECT_EQ(OutputOf("ShowProcFile", {"cmdline", "", "third"}, {"K=V"}),
            std::string("cmdline\0\0third\0", 15));
  EXPECT_EQ(OutputOf("ShowProcFile", {"environ"}, {"K=V"}),
            std::string("K=V\0MOAT_TEST_ROLE=ShowProcFile\0", 32));
}

TEST(ExecTest, MissingProgramIsEnoent) {
  EXPECT_EQ(ExecErrno("/nonexistent/program"), ENOENT);
  EXPECT_EQ(ExecErrno(""), ENOENT);
}

TEST(ExecTest, DirectoryAndFileWithoutExecutePermissionAreEacces) {
  TempDir dir;
  EXPECT_EQ(ExecErrno(dir.path()), EACCES);
  EXPECT_EQ(ExecErrno(CopySelf(dir, "plain", 0644)), EACCES);
}

TEST(ExecTest, ComponentThatIsNoDirectoryIsEnotdir) {
  TempDir dir;
  EXPECT_EQ(ExecErrno(dir.CreateFile("file") + "/x"), ENOTDIR);
}

TEST(ExecTest, SymlinkLoopIsEloop) {
  TempDir dir;
  EXPECT_EQ(ExecErrno(dir.CreateSymlink("loop", dir.Path("loop"))), ELOOP);
}

TEST(ExecTest, TooLongPathIsEnametoolong) {
  EXPECT_EQ(ExecErrno("/" + std::string(4096, 'a')), ENAMETOOLONG);
  EXPECT_EQ(ExecErrno("/" + std::string(256, 'a')), ENAMETOOLONG);
}

TEST(ExecTest, DeviceIsEacces) { EXPECT_EQ(ExecErrno("/dev/null"), EACCES); }

TEST(ExecTest, FileWithoutKnownFormatIsEnoexec) {
  TempDir dir;
  EXPECT_EQ(ExecErrno(dir.CreateFile("empty", "", 0755)), ENOEXEC);
  EXPECT_EQ(ExecErrno(dir.CreateFile("text", "echo no interpreter line\n", 0755)), ENOEXEC);
}

TEST(ExecTest, DamagedElfHeadersAreEnoexec) {
  TempDir dir;
  const std::string good = Slurp("/proc/self/exe");
  ASSERT_GT(good.size(), sizeof(Elf64_Ehdr));
  auto damaged = [&](auto&& edit) {
    std::string copy = good.substr(0, 8192);
    edit(*reinterpret_cast<Elf64_Ehdr*>(copy.data()));
    return dir.CreateFile("bad", copy, 0755);
  };
  EXPECT_EQ(ExecErrno(damaged([](Elf64_Ehdr& h) { h.e_type = ET_CORE; })), ENOEXEC);
  EXPECT_EQ(ExecErrno(damaged([](Elf64_Ehdr& h) { h.e_machine = EM_PPC64; })), ENOEXEC);
  EXPECT_EQ(ExecErrno(damaged([](Elf64_Ehdr& h) { h.e_phentsize = 1; })), ENOEXEC);
  EXPECT_EQ(ExecErrno(damaged([](Elf64_Ehdr& h) { h.e_phnum = 0; })), ENOEXEC);
  EXPECT_EQ(ExecErrno(damaged([](Elf64_Ehdr& h) { h.e_ident[EI_MAG1] = 'X'; })), ENOEXEC);
  EXPECT_EQ(ExecErrno(dir.CreateFile("short", good.substr(0, 20), 0755)), ENOEXEC);
}

TEST(ExecTest, FileOpenForWritingIsEtxtbsy) {
  TempDir dir;
  const std::string path = CopySelf(dir, "busy");
  FileDescriptor writer = Open(path, O_WRONLY);
  EXPECT_EQ(ExecErrno(path), ETXTBSY);
  writer.Reset();
  EXPECT_THAT(RunRole("ReturnArgc", {"x"}, {}, path), ExitedWith(1));
}

TEST(ExecTest, OneStringAboveThirtyTwoPagesIsE2big) {
  EXPECT_THAT(RunRole("ReturnArgc", {"x", std::string(131071, 'a')}), ExitedWith(2));
  EXPECT_THAT(
      RunInChild([] {
        EXPECT_THAT(ExecRole("ReturnArgc", {"x", std::string(131072, 'a')}), SyscallFailsWithErrno(E2BIG));
        EXPECT_THAT(ExecRole("ReturnArgc", {"x"}, {std::string(131072, 'e')}), SyscallFailsWithErrno(E2BIG));
      }),
      ExitedWith(0));
}

TEST(ExecTest, AllStringsTogetherAreLimitedToAQuarterOfTheStackLimit) {
  EXPECT_THAT(RunInChild([] {
                rlimit limit = {1 << 20, RLIM_INFINITY};
                getrlimit(RLIMIT_STACK, &limit);
                limit.rlim_cur = 1 << 20;
                ASSERT_THAT(setrlimit(RLIMIT_STACK, &limit), SyscallSucceeds());
                const std::vector<std::string> args(30, std::string(10000, 'a'));
                EXPECT_THAT(ExecRole("ReturnArgc", args), SyscallFailsWithErrno(E2BIG));
              }),
              ExitedWith(0));
}

TEST(ExecTest, ManyArgumentsArePassed) {
  EXPECT_THAT(RunRole("ReturnArgc", std::vector<std::string>(200, "a")), ExitedWith(200));
}

TEST(ExecTest, BadPointersAreEfault) {
  char* argv[] = {const_cast<char*>("x"), nullptr};
  EXPECT_THAT(syscall(SYS_execve, BadPointer(), argv, argv + 1), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_execve, "/proc/self/exe", BadPointer(), argv + 1), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_execve, "/proc/self/exe", argv, BadPointer()), SyscallFailsWithErrno(EFAULT));
  char* inner[] = {BadPointer<char>(), nullptr};
  EXPECT_THAT(syscall(SYS_execve, "/proc/self/exe", inner, argv + 1), SyscallFailsWithErrno(EFAULT));
}

TEST(ExecTest, NullArgvBecomesOneEmptyArgument) {
  char* envp[] = {const_cast<char*>("MOAT_TEST_ROLE=ReturnArgc"), nullptr};
  EXPECT_THAT(RunInChild([&]() -> int {
                syscall(SYS_execve, "/proc/self/exe", nullptr, envp);
                return 127;
              }),
              ExitedWith(1));
}

TEST(ExecTest, ClosesExactlyTheDescriptorsMarkedCloseOnExec) {
  FileDescriptor kept(dup(0));
  FileDescriptor closed(fcntl(0, F_DUPFD_CLOEXEC, 0));
  EXPECT_THAT(RunRole("IsOpen", {"x", std::to_string(kept.get())}), ExitedWith(1));
  EXPECT_THAT(RunRole("IsOpen", {"x", std::to_string(closed.get())}), ExitedWith(0));
}

TEST(ExecTest, FailedExecClosesNothing) {
  FileDescriptor fd(fcntl(0, F_DUPFD_CLOEXEC, 0));
  EXPECT_EQ(ExecErrno("/nonexistent"), ENOENT);
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
}

TEST(ExecTest, HandledSignalsBecomeDefaultAndIgnoredOnesStayIgnored) {
  SignalCounter handler(SIGUSR1);
  ScopedSigaction ignore(SIGUSR2, SIG_IGN);
  EXPECT_THAT(RunRole("Disposition", {"x", std::to_string(SIGUSR1)}), ExitedWith(0));
  EXPECT_THAT(RunRole("Disposition", {"x", std::to_string(SIGUSR2)}), ExitedWith(1));
}

TEST(ExecTest, MaskAndPendingSignalsAreKept) {
  EXPECT_THAT(RunInChild([]() -> int {
                ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
                raise(SIGUSR1);
                return ExecRole("IsPending", {"x", std::to_string(SIGUSR1)});
              }),
              ExitedWith(1));
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  EXPECT_THAT(RunRole("Disposition", {"x", std::to_string(SIGUSR1)}), ExitedWith(10));
}

TEST(ExecTest, AlternateStackIsDropped) {
  EXPECT_THAT(RunInChild([]() -> int {
                static char stack[32768];
                const stack_t alt = {.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof(stack)};
                sigaltstack(&alt, nullptr);
                return ExecRole("HasAltStack", {"x"});
              }),
              ExitedWith(0));
}

TEST(ExecTest, AlarmIsKept) {
  EXPECT_THAT(RunInChild([]() -> int {
                alarm(500);
                return ExecRole("AlarmLeft", {"x"});
              }),
              ExitedWith(1));
}

TEST(ExecTest, DumpableIsSetAgain) {
  EXPECT_THAT(RunInChild([]() -> int {
                prctl(PR_SET_DUMPABLE, 0);
                return ExecRole("Dumpable", {"x"});
              }),
              ExitedWith(1));
}

TEST(ExecTest, OfAThreadEndsTheOthersAndTakesTheLeadersId) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  const pid_t pid = ForkAndRun([&]() -> int {
    dup2(fds[1], 1);
    for (int i = 0; i < 4; ++i) std::thread([] { pause(); }).detach();
    std::thread([] { ExecRole("PrintIdentity", {"x"}); }).detach();
    for (;;) pause();
  });
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  char buffer[512] = {};
  ASSERT_GT(read(fds[0], buffer, sizeof(buffer) - 1), 0);
  int seen_pid = 0, seen_tid = 0;
  ASSERT_EQ(sscanf(buffer, "%d %d", &seen_pid, &seen_tid), 2);
  EXPECT_EQ(seen_pid, pid);
  EXPECT_EQ(seen_tid, pid);
  const std::string text = buffer;
  EXPECT_EQ(text.substr(text.rfind(' ') + 1), "1");
  close(fds[0]);
  close(fds[1]);
}

long ExecveatRole(int dirfd, const char* path, int flags) {
  const char* argv[] = {"x", "y", nullptr};
  const char* envp[] = {"MOAT_TEST_ROLE=ReturnArgc", nullptr};
  return syscall(SYS_execveat, dirfd, path, argv, envp, flags);
}

TEST(ExecveatTest, ResolvesRelativeToTheDirectory) {
  TempDir dir;
  CopySelf(dir, "prog");
  FileDescriptor fd = Open(dir.path(), O_PATH | O_DIRECTORY);
  EXPECT_THAT(RunInChild([&]() -> int { return ExecveatRole(fd.get(), "prog", 0); }), ExitedWith(2));
}

TEST(ExecveatTest, EmptyPathExecutesTheDescriptorItself) {
  FileDescriptor fd = Open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  EXPECT_THAT(RunInChild([&]() -> int { return ExecveatRole(fd.get(), "", AT_EMPTY_PATH); }), ExitedWith(2));
  FileDescriptor path_fd = Open("/proc/self/exe", O_PATH | O_CLOEXEC);
  EXPECT_THAT(RunInChild([&]() -> int { return ExecveatRole(path_fd.get(), "", AT_EMPTY_PATH); }),
              ExitedWith(2));
}

TEST(ExecveatTest, EmptyPathNeedsItsFlag) {
  FileDescriptor fd = Open("/proc/self/exe", O_RDONLY);
  EXPECT_THAT(ExecveatRole(fd.get(), "", 0), SyscallFailsWithErrno(ENOENT));
}

TEST(ExecveatTest, BadArguments) {
  EXPECT_THAT(ExecveatRole(-1, "x", 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(ExecveatRole(-1, "", AT_EMPTY_PATH), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(ExecveatRole(AT_FDCWD, "/proc/self/exe", 0x40000000), SyscallFailsWithErrno(EINVAL));
  FileDescriptor file = Open("/proc/self/exe", O_RDONLY);
  EXPECT_THAT(ExecveatRole(file.get(), "x", 0), SyscallFailsWithErrno(ENOTDIR));
}

TEST(ExecveatTest, NofollowRefusesASymlink) {
  TempDir dir;
  CopySelf(dir, "prog");
  dir.CreateSymlink("link", "prog");
  FileDescriptor fd = Open(dir.path(), O_RDONLY | O_DIRECTORY);
  EXPECT_THAT(ExecveatRole(fd.get(), "link", AT_SYMLINK_NOFOLLOW), SyscallFailsWithErrno(ELOOP));
  EXPECT_THAT(RunInChild([&]() -> int { return ExecveatRole(fd.get(), "prog", AT_SYMLINK_NOFOLLOW); }),
              ExitedWith(2));
}

TEST(ExecveatTest, AbsolutePathIgnoresTheDescriptor) {
  const std::string exe = std::string("/proc/") + "self/exe";
  EXPECT_THAT(RunInChild([&]() -> int { return ExecveatRole(-1, exe.c_str(), 0); }), ExitedWith(2));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
