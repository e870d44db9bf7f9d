// Text files of proc(5) about a process: stat, status, statm, maps, cmdline, comm, environ, limits, mounts.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) out.push_back(part);
  return out;
}
// The fields of a stat file from the third (the state) on.
std::vector<std::string> StatFields(const std::string& path) {
  const std::string text = ReadFile(path);
  const size_t paren = text.rfind(')');
  EXPECT_NE(paren, std::string::npos) << text;
  return Split(text.substr(paren + 2), ' ');
}

TEST(ProcStat, IdentifiesTheProcess) {
  const std::string text = ReadFile("/proc/self/stat");
  EXPECT_TRUE(text.starts_with(std::to_string(getpid()) + " (proc_self_test)")) << text;
  EXPECT_EQ(text.back(), '\n');
  const std::vector<std::string> fields = StatFields("/proc/self/stat");
  ASSERT_EQ(fields.size(), 50u);
  EXPECT_EQ(fields[0], "R");
  EXPECT_EQ(fields[1], std::to_string(getppid()));
  EXPECT_EQ(fields[2], std::to_string(getpgid(0)));
  EXPECT_EQ(fields[3], std::to_string(getsid(0)));
  EXPECT_EQ(fields[17], "1");  // threads
}

TEST(ProcStat, CountsThreadsAndShowsSleepers) {
  Pipe pipe;
  ScopedThread thread([&] { ReadAll(pipe.reader.get(), 1); });
  thread.WaitUntilAsleep();
  EXPECT_EQ(StatFields("/proc/self/stat")[17], "2");
  EXPECT_EQ(StatFields("/proc/self/task/" + std::to_string(thread.tid()) + "/stat")[0], "S");
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
}

TEST(ProcStat, ZombiesAreMarked) {
  const pid_t pid = ForkAndRun([] { return 3; });
  EXPECT_TRUE(Eventually([&] { return ProcessState(pid) == 'Z'; }));
  EXPECT_EQ(Slurp("/proc/" + std::to_string(pid) + "/cmdline"), "");
  EXPECT_THAT(WaitForChild(pid), ExitedWith(3));
  EXPECT_THAT(access(("/proc/" + std::to_string(pid)).c_str(), F_OK), SyscallFailsWithErrno(ENOENT));
}

TEST(ProcStat, OpenFilesOfADeadProcessFail) {
  Pipe hold;
  const pid_t pid = ForkAndRun([&] {
    hold.writer.Reset();
    ReadAll(hold.reader.get());
  });
  FileDescriptor stat = Open("/proc/" + std::to_string(pid) + "/stat", O_RDONLY);
  hold.writer.Reset();
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  char c;
  EXPECT_THAT(read(stat.get(), &c, 1), SyscallFailsWithErrno(ESRCH));
}

TEST(ProcStatus, NamesIdsAndThreads) {
  EXPECT_EQ(StatusField(getpid(), "Name"), "proc_self_test");
  EXPECT_EQ(StatusField(getpid(), "Pid"), std::to_string(getpid()));
  EXPECT_EQ(StatusField(getpid(), "Tgid"), std::to_string(getpid()));
  EXPECT_EQ(StatusField(getpid(), "PPid"), std::to_string(getppid()));
  EXPECT_EQ(StatusField(getpid(), "State"), "R (running)");
  EXPECT_EQ(StatusField(getpid(), "Threads"), "1");
  EXPECT_EQ(StatusField(getpid(), "TracerPid"), "0");
  const std::string uid = std::to_string(getuid());
  EXPECT_EQ(StatusField(getpid(), "Uid"), uid + "\t" + uid + "\t" + uid + "\t" + uid);
}

TEST(ProcStatus, FollowsUmaskAndCredentials) {
  const mode_t old = umask(0027);
  EXPECT_EQ(StatusField(getpid(), "Umask"), "0027");
  umask(old);
  if (geteuid() != 0) return;
  EXPECT_THAT(RunInChild([] {
                const gid_t groups[] = {7, 8};
                ASSERT_THAT(setgroups(2, groups), SyscallSucceeds());
                ASSERT_THAT(setresgid(1, 2, 3), SyscallSucceeds());
                ASSERT_THAT(setresuid(4, 5, 6), SyscallSucceeds());
                EXPECT_EQ(StatusField(getpid(), "Uid"), "4\t5\t6\t5");
                EXPECT_EQ(StatusField(getpid(), "Gid"), "1\t2\t3\t2");
                EXPECT_EQ(StatusField(getpid(), "Groups").substr(0, 3), "7 8");
                EXPECT_EQ(StatusField(getpid(), "CapEff"), "0000000000000000");
              }),
              ExitedWith(0));
}

TEST(ProcStatus, ShowsSignalMasks) {
  EXPECT_THAT(RunInChild([] {
                ScopedSignalMask block(SIG_SETMASK, {SIGUSR1});
                ScopedSigaction ignore(SIGUSR2, SIG_IGN);
                ScopedSigaction caught(SIGTERM, [](int) {});
                kill(getpid(), SIGUSR1);
                EXPECT_EQ(StatusField(getpid(), "SigBlk"), "0000000000000200");
                EXPECT_EQ(StatusField(getpid(), "ShdPnd"), "0000000000000200");
                EXPECT_NE(strtoul(StatusField(getpid(), "SigIgn").c_str(), nullptr, 16) & 0x800, 0u);
                EXPECT_NE(strtoul(StatusField(getpid(), "SigCgt").c_str(), nullptr, 16) & 0x4000, 0u);
                DrainSignals({SIGUSR1});
              }),
              ExitedWith(0));
}

TEST(ProcStatus, MemorySizesFollowMappings) {
  const auto size_kb = [] { return strtol(StatusField(getpid(), "VmSize").c_str(), nullptr, 10); };
  const auto rss_kb = [] { return strtol(StatusField(getpid(), "VmRSS").c_str(), nullptr, 10); };
  const long size_before = size_kb(), rss_before = rss_kb();
  Mapping map = AnonymousMapping(16 << 20);
  EXPECT_GE(size_kb() - size_before, 16 << 10);
  memset(map.data(), 1, map.size());
  EXPECT_GT(rss_kb() - rss_before, 8 << 10);
  const std::vector<std::string> statm = Split(ReadFile("/proc/self/statm"), ' ');
  ASSERT_EQ(statm.size(), 7u);
  EXPECT_GE(atol(statm[0].c_str()) * 4, 16 << 10);
}

TEST(ProcMaps, ListsMappingsInOrder) {
  unsigned long last = 0;
  bool stack = false;
  for (const std::string& line : Split(ReadFile("/proc/self/maps"), '\n')) {
    unsigned long from, to, offset;
    char perms[5];
    ASSERT_EQ(sscanf(line.c_str(), "%lx-%lx %4s %lx", &from, &to, perms, &offset), 4) << line;
    if (line.ends_with("[vsyscall]")) continue;
    EXPECT_LT(from, to) << line;
    EXPECT_GE(from, last) << line;
    last = to;
    const auto here = reinterpret_cast<unsigned long>(&last);
    if (line.ends_with("[stack]")) stack = from <= here && here < to;
  }
  EXPECT_TRUE(stack);
}

TEST(ProcMaps, ShowsChangesOfProtection) {
  Mapping map = AnonymousMapping(3 * PageSize());
  ASSERT_THAT(mprotect(map.data() + PageSize(), PageSize(), PROT_READ), SyscallSucceeds());
  const auto start = reinterpret_cast<unsigned long>(map.data()) + PageSize();
  char line[64];
  snprintf(line, sizeof(line), "%lx-%lx r--p 00000000 00:00 0", start, start + PageSize());
  EXPECT_NE(ReadFile("/proc/self/maps").find(line), std::string::npos);
}

TEST(ProcMaps, CanBeReadInSmallPieces) {
  FileDescriptor fd = Open("/proc/self/maps", O_RDONLY);
  char text[64 * 1024] = {};
  size_t used = 0;
  ssize_t n;
  while (used + 33 < sizeof(text) && (n = read(fd.get(), text + used, 33)) > 0)
    used += static_cast<size_t>(n);
  EXPECT_NE(std::string(text, used).find("[stack]"), std::string::npos);
  EXPECT_EQ(text[used - 1], '\n');
}

TEST(ProcCmdline, HoldsTheArgumentsEachTerminated) {
  const std::string cmdline = ReadFile("/proc/self/cmdline");
  ASSERT_FALSE(cmdline.empty());
  EXPECT_EQ(cmdline.back(), '\0');
  EXPECT_NE(Split(cmdline, '\0')[0].find("proc_self_test"), std::string::npos);
}

TEST(ProcComm, CanBeReadAndWritten) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_EQ(ReadFile("/proc/self/comm"), "proc_self_test\n");
                FileDescriptor fd = Open("/proc/self/comm", O_WRONLY);
                EXPECT_TRUE(WriteAll(fd.get(), "a rather long new name"));
                EXPECT_EQ(ReadFile("/proc/self/comm"), "a rather long n\n");
                char name[16] = {};
                EXPECT_THAT(prctl(PR_GET_NAME, name), SyscallSucceeds());
                EXPECT_STREQ(name, "a rather long n");
              }),
              ExitedWith(0));
}

TEST(ProcLimits, ShowsResourceLimits) {
  EXPECT_THAT(RunInChild([] {
                const rlimit files = {123, 456};
                ASSERT_THAT(setrlimit(RLIMIT_NOFILE, &files), SyscallSucceeds());
                EXPECT_NE(
                    ReadFile("/proc/self/limits")
                        .find("Max open files            123                  456                  files"),
                    std::string::npos);
              }),
              ExitedWith(0));
}

TEST(ProcMounts, AgreesWithMountinfo) {
  bool root = false, proc = false;
  for (const std::string& line : Split(ReadFile("/proc/self/mounts"), '\n')) {
    const std::vector<std::string> fields = Split(line, ' ');
    ASSERT_EQ(fields.size(), 6u) << line;
    root |= fields[1] == "/";
    proc |= fields[1] == "/proc" && fields[2] == "proc";
  }
  EXPECT_TRUE(root);
  EXPECT_TRUE(proc);
  struct stat st;
  ASSERT_THAT(stat("/proc", &st), SyscallSucceeds());
  const std::string device = std::to_string(st.st_dev >> 8) + ":" + std::to_string(st.st_dev & 0xff);
  bool found = false;
  for (const std::string& line : Split(ReadFile("/proc/self/mountinfo"), '\n')) {
    const std::vector<std::string> fields = Split(line, ' ');
    ASSERT_GE(fields.size(), 10u) << line;
    EXPECT_NE(line.find(" - "), std::string::npos) << line;
    found |= fields[4] == "/proc" && fields[2] == device;
  }
  EXPECT_TRUE(found);
}

TEST(ProcTaskDir, ListsThreads) {
  Pipe pipe;
  ScopedThread thread([&] { ReadAll(pipe.reader.get(), 1); });
  const std::string base = "/proc/self/task/";
  EXPECT_THAT(access((base + std::to_string(getpid())).c_str(), F_OK), SyscallSucceeds());
  EXPECT_THAT(access((base + std::to_string(thread.tid())).c_str(), F_OK), SyscallSucceeds());
  // A thread's directory exists at the top too, although it is not listed there.
  EXPECT_THAT(access(("/proc/" + std::to_string(thread.tid()) + "/stat").c_str(), F_OK), SyscallSucceeds());
  struct stat st;
  ASSERT_THAT(stat("/proc/self/task", &st), SyscallSucceeds());
  EXPECT_EQ(st.st_nlink, 4u);  // two of its own and two threads
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
}

TEST(ProcRoot, SystemFilesHaveTheirShape) {
  EXPECT_TRUE(ReadFile("/proc/meminfo").starts_with("MemTotal:"));
  EXPECT_NE(ReadFile("/proc/cpuinfo").find("processor\t: 0"), std::string::npos);
  EXPECT_TRUE(ReadFile("/proc/stat").starts_with("cpu "));
  EXPECT_TRUE(ReadFile("/proc/version").starts_with("Linux version "));
  EXPECT_NE(ReadFile("/proc/filesystems").find("nodev\tproc\n"), std::string::npos);
  double up, idle;
  EXPECT_EQ(sscanf(ReadFile("/proc/uptime").c_str(), "%lf %lf", &up, &idle), 2);
  EXPECT_GT(up, 0);
  double a, b, c;
  int running, total, last;
  EXPECT_EQ(
      sscanf(ReadFile("/proc/loadavg").c_str(), "%lf %lf %lf %d/%d %d", &a, &b, &c, &running, &total, &last),
      6);
}

TEST(ProcRoot, MissingProcessesDoNotExist) {
  EXPECT_THAT(access("/proc/0", F_OK), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(access("/proc/4194305", F_OK), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(access(("/proc/0" + std::to_string(getpid())).c_str(), F_OK), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(access("/proc/-1", F_OK), SyscallFailsWithErrno(ENOENT));
}

TEST(ProcRoot, HoldsNoFilesOfOthersMaking) {
  EXPECT_THAT(open("/proc/new", O_CREAT | O_RDWR, 0600),
              SyscallFailsWithErrno(testing::AnyOf(ENOENT, EACCES)));
  EXPECT_THAT(unlink("/proc/meminfo"), SyscallFailsWithErrno(testing::AnyOf(EPERM, EACCES)));
}

MOAT_TEST_ROLE(ShowEnviron) {
  return Slurp("/proc/self/environ").find(std::string("ONE=1\0TWO=2\0", 12)) != std::string::npos ? 0 : 1;
}

TEST(ProcEnviron, HoldsWhatExecPassed) {
  EXPECT_THAT(RunRole("ShowEnviron", {"test"}, {"ONE=1", "TWO=2"}), ExitedWith(0));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
