// fork(2) and vfork(2): what a child inherits, what it does not, and how the two sides are kept apart.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/times.h>

#include <atomic>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

TEST(ForkTest, ReturnsZeroInTheChildAndItsPidInTheParent) {
  Gate gate;
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  pid_t parent = getpid();
  pid_t pid = ForkAndRun([&] {
    pid_t self = getpid();
    EXPECT_TRUE(self != parent);
    EXPECT_TRUE(getppid() == parent);
    EXPECT_TRUE(gettid() == self);
    EXPECT_TRUE(write(fds[1], &self, sizeof(self)) == sizeof(self));
  });
  pid_t seen = 0;
  EXPECT_EQ(read(fds[0], &seen, sizeof(seen)), static_cast<ssize_t>(sizeof(seen)));
  EXPECT_EQ(seen, pid);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  close(fds[0]);
  close(fds[1]);
}

TEST(ForkTest, WritesOfTheChildAreInvisibleToTheParent) {
  volatile int value = 1;
  int* heap = new int(10);
  EXPECT_THAT(RunInChild([&] {
                value = 2;
                *heap = 20;
                return *heap + value;
              }),
              ExitedWith(22));
  EXPECT_EQ(value, 1);
  EXPECT_EQ(*heap, 10);
  delete heap;
}

TEST(ForkTest, WritesOfTheParentAfterForkAreInvisibleToTheChild) {
  Gate written;
  volatile int value = 1;
  pid_t pid = ForkAndRun([&] {
    written.Wait();
    return value;
  });
  value = 7;
  written.Open();
  EXPECT_THAT(WaitForChild(pid), ExitedWith(1));
}

TEST(ForkTest, DescriptorsShareTheFileOffset) {
  TempDir dir;
  std::string path = dir.CreateFile("file", "abcdef");
  int fd = open(path.c_str(), O_RDONLY);
  ASSERT_GE(fd, 0);
  EXPECT_THAT(RunInChild([&] {
                char c;
                EXPECT_TRUE(read(fd, &c, 1) == 1 && c == 'a');
                EXPECT_TRUE(lseek(fd, 2, SEEK_CUR) == 3);
              }),
              ExitedWith(0));
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 3);
  close(fd);
}

TEST(ForkTest, ClosingInTheChildLeavesTheParentsDescriptorOpen) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  EXPECT_THAT(RunInChild([&] { EXPECT_TRUE(close(fds[0]) == 0 && close(fds[1]) == 0); }), ExitedWith(0));
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  close(fds[0]);
  close(fds[1]);
}

TEST(ForkTest, CloseOnExecFlagIsInheritedUnchanged) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  EXPECT_THAT(RunInChild([&] { return fcntl(fds[0], F_GETFD); }), ExitedWith(FD_CLOEXEC));
  close(fds[0]);
  close(fds[1]);
}

TEST(ForkTest, MaskAndDispositionsAreInheritedButPendingSignalsAreNot) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1, SIGUSR2});
  ScopedSigaction ignore(SIGHUP, SIG_IGN);
  raise(SIGUSR1);
  EXPECT_THAT(
      RunInChild([] {
        sigset_t set;
        EXPECT_TRUE(sigpending(&set) == 0 && !sigismember(&set, SIGUSR1));
        EXPECT_TRUE(sigprocmask(SIG_BLOCK, nullptr, &set) == 0);
        EXPECT_TRUE(sigismember(&set, SIGUSR1) && sigismember(&set, SIGUSR2) && !sigismember(&set, SIGHUP));
        struct sigaction action;
        EXPECT_TRUE(sigaction(SIGHUP, nullptr, &action) == 0 && action.sa_handler == SIG_IGN);
      }),
      ExitedWith(0));
  sigset_t pending;
  sigpending(&pending);
  EXPECT_TRUE(sigismember(&pending, SIGUSR1));
  sigset_t take = SignalSet({SIGUSR1});
  timespec now = {};
  EXPECT_EQ(sigtimedwait(&take, nullptr, &now), SIGUSR1);
}

TEST(ForkTest, IntervalTimersAndAlarmsAreNotInherited) {
  EXPECT_THAT(RunInChild([] {
                alarm(1000);
                EXPECT_THAT(RunInChild([] {
                              itimerval left;
                              EXPECT_TRUE(getitimer(ITIMER_REAL, &left) == 0);
                              EXPECT_TRUE(left.it_value.tv_sec == 0 && left.it_value.tv_usec == 0);
                            }),
                            ExitedWith(0));
                EXPECT_TRUE(alarm(0) > 900);
              }),
              ExitedWith(0));
}

TEST(ForkTest, CpuTimesStartAtZero) {
  clock_t spin_until = clock() + CLOCKS_PER_SEC / 20;
  while (clock() < spin_until) {
  }
  EXPECT_THAT(RunInChild([] {
                timespec ts;
                EXPECT_TRUE(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0);
                EXPECT_TRUE(ts.tv_sec == 0 && ts.tv_nsec < 45000000);
                struct tms times_of;
                EXPECT_TRUE(times(&times_of) != -1 && times_of.tms_cutime == 0 && times_of.tms_cstime == 0);
              }),
              ExitedWith(0));
}

TEST(ForkTest, WorkingDirectoryAndUmaskAreCopies) {
  char before[4096];
  ASSERT_NE(getcwd(before, sizeof(before)), nullptr);
  mode_t mask = umask(027);
  EXPECT_THAT(RunInChild([] {
                EXPECT_TRUE(umask(0) == 027);
                EXPECT_TRUE(chdir("/") == 0);
              }),
              ExitedWith(0));
  char after[4096];
  ASSERT_NE(getcwd(after, sizeof(after)), nullptr);
  EXPECT_STREQ(before, after);
  EXPECT_EQ(umask(mask), 027u);
}

TEST(ForkTest, NameLimitsAndGroupAreInherited) {
  EXPECT_THAT(
      RunInChild([] {
        EXPECT_TRUE(prctl(PR_SET_NAME, "forker") == 0);
        rlimit limit = {100, 200};
        EXPECT_TRUE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        EXPECT_TRUE(setpgid(0, 0) == 0);
        pid_t group = getpgrp(), session = getsid(0);
        return WEXITSTATUS(RunInChild([=] {
          char name[16];
          EXPECT_TRUE(prctl(PR_GET_NAME, name) == 0 && strcmp(name, "forker") == 0);
          rlimit got;
          EXPECT_TRUE(getrlimit(RLIMIT_NOFILE, &got) == 0 && got.rlim_cur == 100 && got.rlim_max == 200);
          EXPECT_TRUE(getpgrp() == group && getsid(0) == session);
        }));
      }),
      ExitedWith(0));
}

TEST(ForkTest, ParentDeathSignalIsClearedInTheChild) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_TRUE(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
                return WEXITSTATUS(RunInChild([] {
                  int signo = -1;
                  EXPECT_TRUE(prctl(PR_GET_PDEATHSIG, &signo) == 0);
                  return signo;
                }));
              }),
              ExitedWith(0));
}

std::atomic<bool> stop_thread;

void* SpinUntilStopped(void*) {
  while (!stop_thread) usleep(1000);
  return nullptr;
}

TEST(ForkTest, OnlyTheCallingThreadExistsInTheChild) {
  stop_thread = false;
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, nullptr, SpinUntilStopped, nullptr), 0);
  EXPECT_THAT(RunInChild([] { return StatusField(getpid(), "Threads") == "1" ? 0 : 1; }), ExitedWith(0));
  stop_thread = true;
  pthread_join(thread, nullptr);
}

TEST(ForkTest, PrivateFileMappingIsCopiedOnWriteInBothProcesses) {
  TempDir dir;
  std::string path = dir.CreateFile("file", std::string(4096, 'f'));
  int fd = open(path.c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  char* map = static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
  ASSERT_NE(map, MAP_FAILED);
  map[0] = 'p';
  EXPECT_THAT(RunInChild([&] {
                EXPECT_TRUE(map[0] == 'p' && map[1] == 'f');
                map[1] = 'c';
              }),
              ExitedWith(0));
  EXPECT_EQ(map[1], 'f');
  char on_disk[2];
  ASSERT_EQ(pread(fd, on_disk, 2, 0), 2);
  EXPECT_EQ(std::string(on_disk, 2), "ff");
  munmap(map, 4096);
  close(fd);
}

TEST(ForkTest, GrandchildrenToADepthOfTwentyWork) {
  std::function<int(int)> descend = [&](int depth) -> int {
    if (depth == 0) return 0;
    int status = RunInChild([&] { return descend(depth - 1); });
    return WIFEXITED(status) ? WEXITSTATUS(status) + 1 : 100;
  };
  EXPECT_EQ(descend(20), 20);
}

TEST(ForkTest, ManyChildrenGetDistinctPids) {
  constexpr int kChildren = 60;
  pid_t pids[kChildren];
  for (int i = 0; i < kChildren; ++i) pids[i] = ForkAndRun([i] { return i; });
  for (int i = 0; i < kChildren; ++i) {
    for (int j = 0; j < i; ++j) EXPECT_NE(pids[i], pids[j]);
    EXPECT_THAT(WaitForChild(pids[i]), ExitedWith(i));
  }
}

TEST(VforkTest, ChildSharesMemoryAndTheParentWaitsForItsExit) {
  static volatile int shared;
  shared = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    for (int i = 0; i < 1000; ++i) shared = shared + 1;
    _exit(3);
  }
  ASSERT_GT(pid, 0);
  EXPECT_EQ(shared, 1000);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(3));
}

TEST(VforkTest, ParentResumesWhenTheChildExecs) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  static char* const kArgv[] = {const_cast<char*>("true"), const_cast<char*>("--gtest_list_tests"), nullptr};
  static char* const kEnvp[] = {nullptr};
  pid_t pid = vfork();
  if (pid == 0) {
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    execve("/proc/self/exe", kArgv, kEnvp);
    _exit(1);
  }
  ASSERT_GT(pid, 0);
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  close(fds[0]);
  close(fds[1]);
}

TEST(VforkTest, ParentResumesWhenTheChildIsKilled) {
  pid_t pid = vfork();
  if (pid == 0) {
    kill(getpid(), SIGKILL);
    _exit(1);
  }
  ASSERT_GT(pid, 0);
  EXPECT_THAT(WaitForChild(pid), KilledBy(SIGKILL));
}

TEST(VforkTest, DescriptorTableIsNotShared) {
  int fd = open("/dev/null", O_RDONLY);
  pid_t pid = vfork();
  if (pid == 0) {
    close(fd);
    _exit(0);
  }
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  EXPECT_GE(fcntl(fd, F_GETFD), 0);
  close(fd);
}

}  // namespace
}  // namespace moat::test
