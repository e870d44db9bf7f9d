// Resource limits: reading and setting them, and the limits that can be seen at work.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

MOAT_TEST_ROLE(NofileLimit) {
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<int>(limit.rlim_cur);
}

int Prlimit(pid_t pid, int resource, const rlimit* set, rlimit* old) {
  return static_cast<int>(syscall(SYS_prlimit64, pid, resource, set, old));
}

TEST(RlimitTest, EveryResourceCanBeRead) {
  for (int resource = 0; resource < 16; ++resource) {
    rlimit limit = {1, 0};
    ASSERT_THAT(Prlimit(0, resource, nullptr, &limit), SyscallSucceeds()) << resource;
    EXPECT_LE(limit.rlim_cur, limit.rlim_max);
  }
}

TEST(RlimitTest, BadArguments) {
  rlimit limit = {10, 5};
  EXPECT_THAT(Prlimit(0, 16, nullptr, &limit), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Prlimit(0, -1, nullptr, &limit), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Prlimit(0, RLIMIT_CORE, &limit, nullptr), SyscallFailsWithErrno(EINVAL));  // soft above hard
  EXPECT_THAT(syscall(SYS_getrlimit, RLIMIT_CORE, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_setrlimit, RLIMIT_CORE, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Prlimit(0x3ffffff, RLIMIT_CORE, nullptr, &limit), SyscallFailsWithErrno(ESRCH));
}

TEST(RlimitTest, SoftLimitMovesFreelyBelowTheHardOne) {
  EXPECT_THAT(RunInChild([] {
                rlimit limit = {50, 100};
                ASSERT_THAT(setrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
                limit.rlim_cur = 100;
                EXPECT_THAT(setrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
                limit.rlim_cur = 10;
                EXPECT_THAT(setrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
                ASSERT_THAT(getrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
                EXPECT_EQ(limit.rlim_cur, 10u);
                EXPECT_EQ(limit.rlim_max, 100u);
              }),
              ExitedWith(0));
}

TEST(RlimitTest, UsersCannotRaiseTheHardLimit) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                const rlimit low = {10, 10}, high = {10, 11};
                ASSERT_THAT(setrlimit(RLIMIT_NOFILE, &low), SyscallSucceeds());
                EXPECT_THAT(setrlimit(RLIMIT_NOFILE, &high), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(RlimitTest, PrlimitSetsAndReturnsTheFormerOfAnotherProcess) {
  Gate ready, changed;
  ScopedChild child([&]() -> int {
    const rlimit limit = {60, 100};
    setrlimit(RLIMIT_NOFILE, &limit);
    ready.Open();
    changed.Wait();
    rlimit now;
    getrlimit(RLIMIT_NOFILE, &now);
    return static_cast<int>(now.rlim_cur);
  });
  ready.Wait();
  const rlimit limit = {55, 90};
  rlimit old = {};
  EXPECT_THAT(Prlimit(child.pid(), RLIMIT_NOFILE, &limit, &old), SyscallSucceeds());
  EXPECT_EQ(old.rlim_cur, 60u);
  EXPECT_EQ(old.rlim_max, 100u);
  changed.Open();
  EXPECT_THAT(child.Wait(), ExitedWith(55));
}

TEST(RlimitTest, AnotherUsersProcessIsEperm) {
  SKIP_IF_NOT_ROOT();
  ScopedChild child([]() -> int {
    for (;;) pause();
  });
  EXPECT_THAT(RunAsUser([&] {
                rlimit limit;
                EXPECT_THAT(Prlimit(child.pid(), RLIMIT_NOFILE, nullptr, &limit),
                            SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(RlimitTest, AreSharedByThreadsAndSurviveExec) {
  EXPECT_THAT(RunInChild([]() -> int {
                {
                  ScopedThread thread([] {
                    const rlimit limit = {77, 100};
                    setrlimit(RLIMIT_NOFILE, &limit);
                  });
                }
                return ExecRole("NofileLimit", {"x"});
              }),
              ExitedWith(77));
}

TEST(RlimitTest, AreShownInProc) {
  EXPECT_THAT(RunInChild([] {
                const rlimit limit = {123, 456};
                ASSERT_THAT(setrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
                const std::string text = Slurp("/proc/self/limits");
                const size_t at = text.find("Max open files");
                ASSERT_NE(at, std::string::npos);
                unsigned soft = 0, hard = 0;
                ASSERT_EQ(sscanf(text.c_str() + at, "Max open files %u %u", &soft, &hard), 2);
                EXPECT_EQ(soft, 123u);
                EXPECT_EQ(hard, 456u);
              }),
              ExitedWith(0));
}

TEST(RlimitNofileTest, NewDescriptorsAboveItAreEmfile) {
  EXPECT_THAT(RunInChild([] {
                const int next = dup(0);
                const rlimit limit = {static_cast<rlim_t>(next) + 2, 100};
                ASSERT_THAT(setrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
                EXPECT_THAT(dup(0), SyscallSucceedsWithValue(next + 1));
                EXPECT_THAT(dup(0), SyscallFailsWithErrno(EMFILE));
                EXPECT_THAT(open("/dev/null", O_RDONLY), SyscallFailsWithErrno(EMFILE));
                int fds[2];
                EXPECT_THAT(pipe(fds), SyscallFailsWithErrno(EMFILE));
                EXPECT_THAT(dup2(0, next + 2), SyscallFailsWithErrno(EBADF));
                EXPECT_THAT(fcntl(0, F_DUPFD, next + 2), SyscallFailsWithErrno(EINVAL));
              }),
              ExitedWith(0));
}

TEST(RlimitNofileTest, OpenDescriptorsAboveALoweredLimitStayUsable) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(dup2(0, 60), SyscallSucceeds());
                const rlimit limit = {30, 100};
                ASSERT_THAT(setrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
                EXPECT_THAT(fcntl(60, F_GETFD), SyscallSucceeds());
                EXPECT_THAT(close(60), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST(RlimitFsizeTest, WriteAtTheLimitSignalsAndFails) {
  TempFile file;
  EXPECT_THAT(RunInChild([&] {
                const rlimit limit = {10, 10};
                ASSERT_THAT(setrlimit(RLIMIT_FSIZE, &limit), SyscallSucceeds());
                SignalCounter counter(SIGXFSZ);
                FileDescriptor fd = file.Open();
                EXPECT_THAT(write(fd.get(), "0123456789abcdef", 16), SyscallSucceedsWithValue(10));
                EXPECT_EQ(counter.count(), 0);
                EXPECT_THAT(write(fd.get(), "x", 1), SyscallFailsWithErrno(EFBIG));
                EXPECT_EQ(counter.count(), 1);
                EXPECT_THAT(ftruncate(fd.get(), 11), SyscallFailsWithErrno(EFBIG));
                EXPECT_EQ(counter.count(), 2);
                EXPECT_THAT(pwrite(fd.get(), "y", 1, 9), SyscallSucceedsWithValue(1));
              }),
              ExitedWith(0));
}

TEST(RlimitFsizeTest, KillsByDefault) {
  TempFile file;
  EXPECT_TRUE(DiedOf(RunInChild([&]() -> int {
                       const rlimit limit = {0, 0};
                       setrlimit(RLIMIT_FSIZE, &limit);
                       signal(SIGXFSZ, SIG_DFL);
                       return static_cast<int>(write(open(file.path().c_str(), O_WRONLY), "x", 1));
                     }),
                     SIGXFSZ));
}

TEST(RlimitAsTest, LimitsMappingsAndBreak) {
  EXPECT_THAT(RunInChild([] {
                const rlimit limit = {256ul << 20, 256ul << 20};
                ASSERT_THAT(setrlimit(RLIMIT_AS, &limit), SyscallSucceeds());
                EXPECT_THAT(mmap(nullptr, 300ul << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                            SyscallFailsWithErrno(ENOMEM));
                Mapping map = AnonymousMapping(4096);
                EXPECT_THAT(mremap(map.data(), 4096, 300ul << 20, MREMAP_MAYMOVE),
                            SyscallFailsWithErrno(ENOMEM));
              }),
              ExitedWith(0));
}

TEST(RlimitNprocTest, ForkAboveItIsEagain) {
  SKIP_IF_NOT_ROOT();
  // A user that has no other process.
  constexpr uid_t kPrivateUid = 61235;
  EXPECT_THAT(RunAsUser(
                  [] {
                    const rlimit limit = {2, 2};
                    ASSERT_THAT(setrlimit(RLIMIT_NPROC, &limit), SyscallSucceeds());
                    const pid_t first = ForkAndRun([]() -> int {
                      for (;;) pause();
                    });
                    EXPECT_THAT(static_cast<pid_t>(syscall(SYS_fork)), SyscallFailsWithErrno(EAGAIN));
                    kill(first, SIGKILL);
                    EXPECT_THAT(WaitForChild(first), KilledBy(SIGKILL));
                    EXPECT_THAT(RunInChild([] {}), ExitedWith(0));
                  },
                  kPrivateUid),
              ExitedWith(0));
}

TEST(RlimitCpuTest, ReadsBack) {
  EXPECT_THAT(RunInChild([] {
                const rlimit limit = {5, 6};
                ASSERT_THAT(setrlimit(RLIMIT_CPU, &limit), SyscallSucceeds());
                rlimit got;
                ASSERT_THAT(getrlimit(RLIMIT_CPU, &got), SyscallSucceeds());
                EXPECT_EQ(got.rlim_cur, 5u);
              }),
              ExitedWith(0));
}

// How a child ends that burns CPU time under a limit of `soft` and `hard` seconds.
int BurnUnderLimit(rlim_t soft, rlim_t hard) {
  return RunInChild([=]() -> int {
    const rlimit no_core = {0, 0}, limit = {soft, hard};
    setrlimit(RLIMIT_CORE, &no_core);
    if (setrlimit(RLIMIT_CPU, &limit) != 0) return 1;
    alarm(60);
    for (;;) {
    }
  });
}

TEST(RlimitCpuTest, SendsSigxcpuAtTheSoftLimit) { EXPECT_THAT(BurnUnderLimit(1, 30), KilledBy(SIGXCPU)); }

TEST(RlimitCpuTest, KillsAtTheHardLimit) { EXPECT_THAT(BurnUnderLimit(1, 1), KilledBy(SIGKILL)); }

TEST(RlimitCpuTest, HoldsForEachChildAnew) {
  EXPECT_THAT(RunInChild([]() -> int {
                const rlimit limit = {1, 1};
                if (setrlimit(RLIMIT_CPU, &limit) != 0) return 1;
                const int child = RunInChild([]() -> int {
                  for (;;) {
                  }
                });
                return WIFSIGNALED(child) ? WTERMSIG(child) : 0;
              }),
              ExitedWith(SIGKILL));
}

TEST(RlimitNiceTest, LetsUsersLowerTheirNiceness) {
  SKIP_IF_NOT_ROOT();
  constexpr uint64_t kSysResource = 1ull << 24;
  if ((strtoull(StatusField(getpid(), "CapEff").c_str(), nullptr, 16) & kSysResource) == 0) {
    GTEST_SKIP() << "needs CAP_SYS_RESOURCE";
  }
  EXPECT_THAT(RunInChild([] {
                const rlimit limit = {25, 25};  // down to nice -5
                ASSERT_THAT(setrlimit(RLIMIT_NICE, &limit), SyscallSucceeds());
                BecomeUser();
                EXPECT_THAT(setpriority(PRIO_PROCESS, 0, -5), SyscallSucceeds());
                EXPECT_THAT(setpriority(PRIO_PROCESS, 0, -6), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
