// Threads as the kernel sees them: ids, directed signals, per-thread and per-process state.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include <atomic>
#include <set>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

TEST(ThreadTest, LeadersThreadIdIsThePid) { EXPECT_EQ(gettid(), getpid()); }

TEST(ThreadTest, IdsAreDistinctAndListedInProc) {
  Gate finish;
  std::set<pid_t> ids;
  {
    std::vector<std::unique_ptr<ScopedThread>> threads;
    for (int i = 0; i < 5; ++i) threads.push_back(std::make_unique<ScopedThread>([&] { finish.Wait(); }));
    for (auto& thread : threads) ids.insert(thread->tid());
    EXPECT_EQ(ids.size(), 5u);
    for (pid_t id : ids) {
      EXPECT_NE(id, getpid());
      EXPECT_EQ(access(("/proc/self/task/" + std::to_string(id)).c_str(), F_OK), 0);
    }
    EXPECT_EQ(StatusField(getpid(), "Threads"), "6");
    for (int i = 0; i < 5; ++i) finish.Open();
  }
  EXPECT_TRUE(Eventually([] { return StatusField(getpid(), "Threads") == "1"; }));
}

TEST(ThreadTest, AllSeeTheSamePidAndParent) {
  pid_t pid = 0, ppid = 0;
  {
    ScopedThread thread([&] { pid = getpid(), ppid = getppid(); });
  }
  EXPECT_EQ(pid, getpid());
  EXPECT_EQ(ppid, getppid());
}

TEST(TgkillTest, DeliversToTheNamedThread) {
  static std::atomic<pid_t> handled_by;
  handled_by = 0;
  ScopedSigaction handler(
      SIGUSR1, [](int) { handled_by = gettid(); }, 0);
  std::atomic<bool> stop{false};
  ScopedThread thread([&] {
    while (!stop) SleepMs(1);
  });
  EXPECT_THAT(TgKill(getpid(), thread.tid(), SIGUSR1), SyscallSucceeds());
  EXPECT_TRUE(Eventually([&] { return handled_by == thread.tid(); }));
  stop = true;
}

TEST(TgkillTest, SiginfoSaysTkill) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  ASSERT_THAT(TgKill(getpid(), gettid(), SIGUSR1), SyscallSucceeds());
  siginfo_t info = {};
  const sigset_t set = SignalSet({SIGUSR1});
  // libc's sigwaitinfo turns SI_TKILL into SI_USER.
  ASSERT_THAT(syscall(SYS_rt_sigtimedwait, &set, &info, nullptr, 8), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_EQ(info.si_code, SI_TKILL);
  EXPECT_EQ(info.si_pid, getpid());
  EXPECT_EQ(info.si_uid, getuid());
}

TEST(TgkillTest, BadIdsAreEinvalAndUnknownOnesEsrch) {
  EXPECT_THAT(TgKill(0, gettid(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(TgKill(getpid(), 0, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(TgKill(-1, -1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(TgKill(getpid(), 0x3ffffff, 0), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(TgKill(getpid(), gettid(), 65), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(TgKill(getpid(), gettid(), -1), SyscallFailsWithErrno(EINVAL));
}

TEST(TgkillTest, ThreadOfAnotherGroupIsEsrch) {
  ScopedChild child([]() -> int {
    for (;;) pause();
  });
  EXPECT_THAT(TgKill(getpid(), child.pid(), 0), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(TgKill(child.pid(), child.pid(), 0), SyscallSucceeds());
}

TEST(TkillTest, FindsThreadsByIdAlone) {
  EXPECT_THAT(syscall(SYS_tkill, gettid(), 0), SyscallSucceeds());
  EXPECT_THAT(syscall(SYS_tkill, 0, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_tkill, 0x3ffffff, 0), SyscallFailsWithErrno(ESRCH));
}

TEST(ThreadTest, SignalMaskIsPerThread) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  bool inherited = false, unblocked = false;
  {
    ScopedThread thread([&] {
      sigset_t mask;
      pthread_sigmask(SIG_BLOCK, nullptr, &mask);
      inherited = sigismember(&mask, SIGUSR1);
      sigemptyset(&mask);
      pthread_sigmask(SIG_SETMASK, &mask, nullptr);
      pthread_sigmask(SIG_BLOCK, nullptr, &mask);
      unblocked = !sigismember(&mask, SIGUSR1);
    });
  }
  EXPECT_TRUE(inherited);
  EXPECT_TRUE(unblocked);
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_TRUE(sigismember(&mask, SIGUSR1));
}

TEST(ThreadTest, ProcessSignalGoesToAThreadThatDoesNotBlockIt) {
  static std::atomic<pid_t> handled_by;
  handled_by = 0;
  ScopedSigaction handler(
      SIGUSR1, [](int) { handled_by = gettid(); }, 0);
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  std::atomic<bool> stop{false};
  ScopedThread thread([&] {
    const sigset_t set = SignalSet({SIGUSR1});
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    while (!stop) SleepMs(1);
  });
  kill(getpid(), SIGUSR1);
  EXPECT_TRUE(Eventually([&] { return handled_by == thread.tid(); }));
  stop = true;
}

TEST(ThreadTest, PendingSetOfAThreadHasItsOwnAndTheProcesssSignals) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1, SIGUSR2});
  bool own = true, shared = false;
  TgKill(getpid(), gettid(), SIGUSR1);
  kill(getpid(), SIGUSR2);
  {
    ScopedThread thread([&] {
      sigset_t pending;
      sigpending(&pending);
      own = sigismember(&pending, SIGUSR1);
      shared = sigismember(&pending, SIGUSR2);
    });
  }
  EXPECT_FALSE(own);  // directed at the leader
  EXPECT_TRUE(shared);
  DrainSignals({SIGUSR1, SIGUSR2});
}

TEST(ThreadTest, NameIsPerThreadAndVisibleInProc) {
  char leader[16];
  prctl(PR_GET_NAME, leader);
  std::string seen;
  {
    ScopedThread thread([&] {
      prctl(PR_SET_NAME, "worker");
      seen = Slurp("/proc/self/task/" + std::to_string(gettid()) + "/comm");
    });
  }
  EXPECT_EQ(seen, "worker\n");
  char after[16];
  prctl(PR_GET_NAME, after);
  EXPECT_STREQ(leader, after);
}

TEST(ThreadTest, IdsAreReusableAfterExit) {
  // Many more threads in turn than could exist at once under a leak of ids or stacks.
  for (int i = 0; i < 500; ++i) {
    std::atomic<int> ran{0};
    std::thread([&] { ran = 1; }).join();
    ASSERT_EQ(ran, 1);
  }
}

TEST(ThreadTest, FdTableIsShared) {
  int fd = -1;
  {
    ScopedThread thread([&] { fd = open("/dev/null", O_RDONLY); });
  }
  EXPECT_THAT(fcntl(fd, F_GETFD), SyscallSucceeds());
  close(fd);
}

TEST(ThreadTest, UnmappingOnOneThreadFaultsOnAnother) {
  EXPECT_TRUE(DiedOf(RunInChild([]() -> int {
                       auto* word = static_cast<std::atomic<int>*>(
                           mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
                       std::atomic<bool> running{false};
                       std::thread([&] {
                         for (;;) {
                           ++*word;
                           running = true;
                         }
                       }).detach();
                       while (!running) SleepMs(1);
                       munmap(word, 4096);
                       for (;;) pause();
                     }),
                     SIGSEGV));
}

TEST(ThreadTest, ForkFromAThreadMakesItTheLeaderOfTheChild) {
  int status = -1;
  {
    ScopedThread thread([&] { status = RunInChild([]() -> int { return gettid() == getpid() ? 0 : 1; }); });
  }
  EXPECT_THAT(status, ExitedWith(0));
}

TEST(SetTidAddressTest, ReturnsTheCallersThreadId) {
  int leader = 0;
  EXPECT_THAT(RunInChild([&]() -> int { return syscall(SYS_set_tid_address, &leader) == gettid() ? 0 : 1; }),
              ExitedWith(0));
}

int64_t ClockUs(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

int64_t RusageThreadUs() {
  rusage mine{};
  EXPECT_THAT(getrusage(RUSAGE_THREAD, &mine), SyscallSucceeds());
  return (mine.ru_utime.tv_sec + mine.ru_stime.tv_sec) * 1'000'000 + mine.ru_utime.tv_usec +
         mine.ru_stime.tv_usec;
}

// By the thread's own clock: on a loaded machine its share of the process's time can be any.
TEST(ThreadTest, RusageThreadCountsOnlyTheCaller) {
  constexpr int64_t kBurnedUs = 100'000, kSlackUs = 1000;  // user and system time are rounded
  ScopedThread burner([] {
    const int64_t give_up_us = ClockUs(CLOCK_MONOTONIC) + 20'000'000;
    while (ClockUs(CLOCK_THREAD_CPUTIME_ID) < kBurnedUs && ClockUs(CLOCK_MONOTONIC) < give_up_us) {
    }
    EXPECT_GE(RusageThreadUs(), kBurnedUs - kSlackUs);
  });
  burner.Join();
  ScopedThread idle([] { EXPECT_LT(RusageThreadUs(), kBurnedUs / 2); });
  idle.Join();
  EXPECT_GE(ClockUs(CLOCK_PROCESS_CPUTIME_ID), kBurnedUs - kSlackUs);
}

}  // namespace
}  // namespace moat::test
