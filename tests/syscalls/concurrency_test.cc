// Things that happen at the same time in one process or between several: mapping, forking, signals, exits and
// execs. None of these tests checks a speed; each checks that nothing is lost, doubled or left hanging.
#include <linux/futex.h>
#include <sys/mman.h>

#include <atomic>
#include <memory>
#include <vector>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

constexpr size_t kPage = 4096;
constexpr int kRw = PROT_READ | PROT_WRITE;
constexpr int kAnon = MAP_PRIVATE | MAP_ANONYMOUS;
constexpr int kThreads = 4;

MOAT_TEST_ROLE(Exit17) { return 17; }

template <typename Body>
void InThreads(int count, Body&& body) {
  std::vector<std::unique_ptr<ScopedThread>> threads;
  for (int i = 0; i < count; ++i) threads.push_back(std::make_unique<ScopedThread>([&body, i] { body(i); }));
}

TEST(ConcurrencyTest, ThreadsMapWriteAndUnmapIndependently) {
  std::atomic<int> wrong{0};
  InThreads(kThreads, [&](int id) {
    for (int round = 0; round < 300; ++round) {
      auto* map = static_cast<char*>(mmap(nullptr, 4 * kPage, kRw, kAnon, -1, 0));
      if (map == MAP_FAILED) ++wrong;
      for (int page = 0; page < 4; ++page) {
        if (map[page * kPage] != 0) ++wrong;
        map[page * kPage] = static_cast<char>(id + 1);
      }
      for (int page = 0; page < 4; ++page) {
        if (map[page * kPage] != id + 1) ++wrong;
      }
      munmap(map, 4 * kPage);
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(ConcurrencyTest, FixedMappingsOfOneRangeReplaceEachOtherWhole) {
  Mapping area = AnonymousMapping(2 * kPage);
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0};
  ScopedThread reader([&] {
    while (!stop) {
      // The pages may be the old ones or the new ones, but are there at all times.
      if (syscall(SYS_getrandom, area.data() + kPage - 1, 2, 0) != 2) ++torn;
    }
  });
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(mmap(area.data(), 2 * kPage, kRw, kAnon | MAP_FIXED, -1, 0), area.data());
  }
  stop = true;
  reader.Join();
  EXPECT_EQ(torn, 0);
}

TEST(ConcurrencyTest, ProtectionChangesOfNeighboursDoNotInterfere) {
  Mapping area = AnonymousMapping(kThreads * kPage);
  std::atomic<int> failed{0};
  InThreads(kThreads, [&](int id) {
    char* mine = area.data() + id * kPage;
    for (int round = 0; round < 300; ++round) {
      if (mprotect(mine, kPage, PROT_READ) != 0) ++failed;
      if (mprotect(mine, kPage, kRw) != 0) ++failed;
      ++*mine;
    }
    if (*mine != static_cast<char>(300)) ++failed;
  });
  EXPECT_EQ(failed, 0);
}

TEST(ConcurrencyTest, ForkWhileOtherThreadsChangeTheMappings) {
  std::atomic<bool> stop{false};
  Mapping sentinel = AnonymousMapping(kPage);
  sentinel[0] = 's';
  ScopedThread mapper([&] {
    while (!stop) {
      void* map = mmap(nullptr, 16 * kPage, kRw, kAnon, -1, 0);
      memset(map, 1, 16 * kPage);
      munmap(map, 16 * kPage);
    }
  });
  for (int i = 0; i < 40; ++i) {
    EXPECT_THAT(RunInChild([&]() -> int { return sentinel[0] == 's' ? 3 : 1; }), ExitedWith(3));
  }
  stop = true;
}

TEST(ConcurrencyTest, ThreadsForkAndReapTheirOwnChildren) {
  std::atomic<int> wrong{0};
  InThreads(kThreads, [&](int id) {
    for (int i = 0; i < 15; ++i) {
      // The raw call: libc's locks are no part of this.
      const auto pid = static_cast<pid_t>(syscall(SYS_fork));
      if (pid == 0) syscall(SYS_exit_group, id * 15 + i);
      int status = -1;
      if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != id * 15 + i)
        ++wrong;
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(ConcurrencyTest, EveryQueuedSignalOfManySendersArrives) {
  constexpr int kEach = 100;
  static std::atomic<int> sum, count;
  sum = count = 0;
  const int sig = SIGRTMIN + 5;
  ScopedSigaction handler(
      sig,
      [](int, siginfo_t* info, void*) {
        sum += info->si_value.sival_int;
        ++count;
      },
      SA_RESTART);
  InThreads(kThreads, [&](int id) {
    for (int i = 0; i < kEach; ++i) {
      while (sigqueue(getpid(), sig, {.sival_int = id + 1}) != 0) SleepMs(1);
    }
  });
  EXPECT_TRUE(Eventually([] { return count == kThreads * kEach; }));
  EXPECT_EQ(sum, kEach * (1 + 2 + 3 + 4));
}

TEST(ConcurrencyTest, SignalStormDoesNotDisturbDataInPipes) {
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  SignalCounter counter(SIGUSR1, SA_RESTART);
  std::atomic<bool> stop{false};
  constexpr int kTotal = 200000;
  ScopedThread writer([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    unsigned char block[1000];
    for (int sent = 0; sent < kTotal; sent += 1000) {
      for (int i = 0; i < 1000; ++i) block[i] = static_cast<unsigned char>((sent + i) % 251);
      EXPECT_EQ(write(fds[1], block, 1000), 1000);
    }
  });
  ScopedThread storm([&, target = gettid()] {
    while (!stop) TgKill(getpid(), target, SIGUSR1);
  });
  int received = 0, wrong = 0;
  unsigned char block[777];
  while (received < kTotal) {
    const ssize_t got = read(fds[0], block, sizeof(block));
    ASSERT_GT(got, 0);
    for (ssize_t i = 0; i < got; ++i) wrong += block[i] != (received + i) % 251;
    received += static_cast<int>(got);
  }
  stop = true;
  EXPECT_EQ(wrong, 0);
  storm.Join();
  writer.Join();
  close(fds[0]);
  close(fds[1]);
}

TEST(ConcurrencyTest, FutexPingPongLosesNoWakeup) {
  std::atomic<uint32_t> turn{0};
  constexpr uint32_t kRounds = 2000;
  auto play = [&](uint32_t parity) {
    for (;;) {
      const uint32_t now = turn;
      if (now >= kRounds) return;
      if (now % 2 == parity) {
        turn = now + 1;
        syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
      } else {
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, now, nullptr, nullptr, 0);
      }
    }
  };
  ScopedThread other([&] { play(1); });
  play(0);
  other.Join();
  EXPECT_EQ(turn, kRounds);
}

TEST(ConcurrencyTest, PipePingPongBetweenProcesses) {
  int there[2], back[2];
  ASSERT_THAT(pipe(there), SyscallSucceeds());
  ASSERT_THAT(pipe(back), SyscallSucceeds());
  ScopedChild child([&]() -> int {
    int value;
    for (int i = 0; i < 500; ++i) {
      if (read(there[0], &value, sizeof(value)) != sizeof(value)) return 1;
      ++value;
      if (write(back[1], &value, sizeof(value)) != sizeof(value)) return 2;
    }
    return 0;
  });
  int value = 0;
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(write(there[1], &value, sizeof(value)), static_cast<ssize_t>(sizeof(value)));
    ASSERT_EQ(read(back[0], &value, sizeof(value)), static_cast<ssize_t>(sizeof(value)));
  }
  EXPECT_EQ(value, 500);
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  for (int fd : {there[0], there[1], back[0], back[1]}) close(fd);
}

TEST(ConcurrencyTest, ExitGroupRacesWithThreadCreation) {
  for (int round = 0; round < 10; ++round) {
    EXPECT_THAT(RunInChild([]() -> int {
                  for (int i = 0; i < 3; ++i) {
                    std::thread([] {
                      for (;;) std::thread([] {}).join();
                    }).detach();
                  }
                  SleepMs(2);
                  syscall(SYS_exit_group, 9);
                  return 1;
                }),
                ExitedWith(9));
  }
}

TEST(ConcurrencyTest, ExecRacesWithBusyThreads) {
  for (int round = 0; round < 10; ++round) {
    EXPECT_THAT(RunInChild([]() -> int {
                  for (int i = 0; i < 3; ++i) {
                    std::thread([i] {
                      for (;;) {
                        if (i == 0) munmap(mmap(nullptr, kPage, kRw, kAnon, -1, 0), kPage);
                        if (i == 1) syscall(SYS_getppid);
                        if (i == 2) SleepMs(1);
                      }
                    }).detach();
                  }
                  SleepMs(1);
                  ExecRole("Exit17", {"x"});
                  return 1;
                }),
                ExitedWith(17));
  }
}

TEST(ConcurrencyTest, TwoThreadsExecAtOnceAndOneWins) {
  for (int round = 0; round < 10; ++round) {
    EXPECT_THAT(RunInChild([]() -> int {
                  for (int i = 0; i < 2; ++i) std::thread([] { ExecRole("Exit17", {"x"}); }).detach();
                  for (;;) pause();
                }),
                ExitedWith(17));
  }
}

TEST(ConcurrencyTest, KillRacesWithExit) {
  for (int round = 0; round < 30; ++round) {
    const pid_t pid = ForkAndRun([]() -> int { return 5; });
    kill(pid, SIGKILL);
    const int status = WaitForChild(pid);
    EXPECT_TRUE(status == 5 << 8 || DiedOf(status, SIGKILL)) << status;
  }
}

TEST(ConcurrencyTest, ManyThreadsAtOnce) {
  constexpr int kMany = 100;
  std::atomic<int> running{0};
  std::atomic<bool> finish{false};
  {
    std::vector<std::unique_ptr<ScopedThread>> threads;
    for (int i = 0; i < kMany; ++i) {
      threads.push_back(std::make_unique<ScopedThread>([&] {
        ++running;
        while (!finish) SleepMs(5);
      }));
    }
    EXPECT_TRUE(Eventually([&] { return running == kMany; }));
    EXPECT_EQ(StatusField(getpid(), "Threads"), std::to_string(kMany + 1));
    finish = true;
  }
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
