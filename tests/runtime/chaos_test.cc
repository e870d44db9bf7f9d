// One process of a sandbox is killed at a random moment of its life: start, work, end. Nothing of the sandbox stays and
// the caller learns what happened.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "tests/util/moat_process.h"

namespace moat::test {
namespace {

constexpr int kRounds = 30;

std::mt19937& Random() {
  static std::mt19937 generator([] {
    const char* fixed = getenv("MOAT_SEED");
    const auto seed = fixed ? static_cast<unsigned>(atoi(fixed)) : std::random_device()();
    printf("MOAT_SEED=%u\n", seed);
    return seed;
  }());
  return generator;
}

// A place of our own to look for residue in: private mounts, empty directories where programs leave things. Needs root.
class Ground {
 public:
  static Ground& Get() {
    static Ground ground;
    return ground;
  }
  const std::string& programs() const { return programs_; }

  void ExpectClean() const {
    EXPECT_EQ(Slurp("/proc/self/mountinfo"), mounts_);
    EXPECT_EQ(Cgroups(), cgroups_);
    if (!isolated_) return;
    for (const char* dir : kDirs) EXPECT_TRUE(std::filesystem::is_empty(dir)) << dir;
  }

 private:
  static constexpr const char* kDirs[] = {"/tmp", "/run", "/var/tmp", "/dev/shm"};

  Ground() : programs_(getenv("MOAT_PROGRAMS")) {
    // Orphans of a killed moat become our children.
    EXPECT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    isolated_ = geteuid() == 0 && unshare(CLONE_NEWNS) == 0;
    if (isolated_) {
      EXPECT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
      EXPECT_EQ(mount(programs_.c_str(), "/mnt", nullptr, MS_BIND, nullptr), 0);
      programs_ = "/mnt";
      for (const char* dir : kDirs) EXPECT_EQ(mount("none", dir, "tmpfs", 0, "mode=1777"), 0) << dir;
    }
    mounts_ = Slurp("/proc/self/mountinfo");
    cgroups_ = Cgroups();
  }

  // Ours, by name; others come and go.
  static std::set<std::string> Cgroups() {
    std::set<std::string> found;
    std::error_code error;
    for (std::filesystem::recursive_directory_iterator i("/sys/fs/cgroup", error), end; !error && i != end; i.increment(error)) {
      if (i->path().filename().string().starts_with("moat")) found.insert(i->path());
    }
    return found;
  }

  bool isolated_;
  std::string programs_;
  std::string mounts_;
  std::set<std::string> cgroups_;
};

// Reaps what became ours; true once no child is left.
bool NoChildLeft() {
  return Eventually([] {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
  });
}

// Exit code, or -N for signal N; -1000 if it does not end.
int WaitAWhile(const MoatProcess& moat) {
  int status = -1;
  if (!Eventually([&] { return waitpid(moat.pid(), &status, WNOHANG) == moat.pid(); })) return -1000;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

using Choose = std::function<pid_t(pid_t moat)>;

// The stubs of the sandbox, oldest first: the zygote, then those of guest processes.
std::vector<HostProcess> StubsOf(pid_t moat) {
  const pid_t sentry = DescendantNamed(moat, "moat-sentry").pid;
  std::vector<HostProcess> stubs = sentry > 0 ? DescendantsOf(sentry) : std::vector<HostProcess>();
  std::ranges::sort(stubs, {}, &HostProcess::pid);
  return stubs;
}

constexpr const char* kScript = "exec 2>/dev/null; for i in 1 2 3; do /bin/true & done; wait; i=0; while [ $i -lt 300 ]; do i=$((i+1)); done; sleep 0.03; echo end";

// What one round must come to; `killed` says whether the victim was found.
void ExpectGoodEnd(const MoatProcess& moat, int code, bool killed, const std::set<int>& codes) {
  const std::string err = moat.err();
  if (code == 0) {
    EXPECT_EQ(moat.out(), "end\n") << err;
    return;
  }
  EXPECT_TRUE(killed) << code << ": " << err;
  EXPECT_TRUE(codes.contains(code)) << code << ": " << err;
  if (code != 125 && code != 126) return;
  // One line of moat's, whatever the command says for want of its files, and the sentry in its log.
  std::vector<std::string> ours;
  std::istringstream lines(err);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("moat:")) ours.push_back(line);
  }
  EXPECT_THAT(ours, testing::ElementsAre(testing::StartsWith("moat: "))) << err;
}

MoatProcess StartScript() {
  return MoatProcess(Ground::Get().programs() + "/moat", {"do", "--cwd", "/", "--", "/bin/sh", "-c", kScript},
                     [] { (void)!chdir("/"); });
}

// How long a round takes that nobody disturbs: with sanitizers several times as long as without.
int UndisturbedUs() {
  static const int us = [] {
    using Clock = std::chrono::steady_clock;
    (void)StartScript().Wait();  // fills caches
    const Clock::time_point start = Clock::now();
    EXPECT_EQ(StartScript().Wait(), 0);
    return static_cast<int>(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count());
  }();
  return us;
}

void KillAtRandom(const std::set<int>& codes, const Choose& choose, int longest_delay_us) {
  const Ground& ground = Ground::Get();
  int killed = 0;
  for (int i = 0; i < kRounds && !testing::Test::HasFailure(); ++i) {
    MoatProcess moat = StartScript();
    const int delay_us = std::uniform_int_distribution<int>(0, longest_delay_us)(Random());
    usleep(static_cast<useconds_t>(delay_us));
    const pid_t victim = choose(moat.pid());
    const bool hit = victim > 0 && kill(victim, SIGKILL) == 0;
    killed += hit;
    const int code = WaitAWhile(moat);
    EXPECT_NE(code, -1000) << "still running";
    ExpectGoodEnd(moat, code, hit, codes);
    EXPECT_TRUE(NoChildLeft());
    EXPECT_FALSE(testing::Test::HasFailure()) << "after " << delay_us << " us";
    if (code == -1000) break;
  }
  ground.ExpectClean();
  EXPECT_GT(killed, kRounds / 4);
}

TEST(ChaosTest, KillingMoatAtAnyTimeLeavesNothing) {
  KillAtRandom({-SIGKILL}, [](pid_t moat) { return moat; }, UndisturbedUs());
}

TEST(ChaosTest, KillingTheSentryAtAnyTimeIsReported) {
  KillAtRandom({125}, [](pid_t moat) { return DescendantNamed(moat, "moat-sentry").pid; }, UndisturbedUs());
}

TEST(ChaosTest, KillingTheGoferAtAnyTimeIsReported) {
  KillAtRandom({125}, [](pid_t moat) { return DescendantNamed(moat, "moat-gofer").pid; }, UndisturbedUs());
}

// What will be sentry and gofer, before they execute their programs.
TEST(ChaosTest, KillingAChildBeforeItsProgramRunsIsReported) {
  constexpr int kStartUs = 500;
  // How long moat takes to its first one differs between builds and machines: if it was too early it waits for that.
  auto early_child = [](pid_t moat) {
    for (;;) {
      const std::vector<HostProcess> all = DescendantsOf(moat);
      if (all.empty() && ProcessState(moat) == 'Z') return 0;
      for (const HostProcess& process : all) {
        const std::string name = process.Name();
        if (name == "moat") return process.pid;
        if (name == "moat-sentry") return 0;  // too late
      }
    }
  };
  KillAtRandom({125}, early_child, kStartUs);
}

// Without its zygote a sandbox can start no more programs: that is the sandbox's failure, not the command's.
TEST(ChaosTest, KillingTheZygoteAtAnyTimeIsReported) {
  auto oldest = [](pid_t moat) {
    const std::vector<HostProcess> stubs = StubsOf(moat);
    return stubs.empty() ? 0 : stubs.front().pid;
  };
  KillAtRandom({125}, oldest, UndisturbedUs());
}

// Most of a zygote's life is in the middle of a sandbox's; this one is killed as soon as it is seen.
TEST(ChaosTest, KillingTheZygoteBeforeItIsReadyIsReported) {
  auto newborn = [](pid_t moat) {
    std::vector<HostProcess> stubs;
    while (ProcessState(moat) != 'Z' && stubs.empty()) stubs = StubsOf(moat);
    return stubs.empty() ? 0 : stubs.front().pid;
  };
  KillAtRandom({125}, newborn, 0);
}

// A guest process killed from outside: 137 if it was the shell, else the shell goes on. 139 if its memory was gone just when
// a signal's frame was written to it; 125 or 126 if the shell was just being loaded.
TEST(ChaosTest, KillingAStubAtAnyTimeEndsItsProcess) {
  auto any = [](pid_t moat) {
    const std::vector<HostProcess> stubs = StubsOf(moat);
    if (stubs.size() < 2) return 0;
    return stubs[std::uniform_int_distribution<size_t>(1, stubs.size() - 1)(Random())].pid;
  };
  KillAtRandom({128 + SIGKILL, 128 + SIGSEGV, 125, 126}, any, UndisturbedUs());
}

}  // namespace
}  // namespace moat::test
