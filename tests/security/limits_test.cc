// What a guest can take of the host ends at the sandbox's limits, and the rest of the sandbox and the host go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>
#include <sstream>

#include "tests/util/moat_process.h"

namespace moat::test {
namespace {

using testing::AnyOf;
using testing::Each;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;

constexpr uint64_t kMiB = 1 << 20;

std::string Env(const char* name) { return getenv(name); }

// `moat do FLAGS -- COMMAND` with the guest programs of this folder in /hogs.
MoatProcess Start(std::vector<std::string> flags, std::vector<std::string> command,
                  std::function<void()> prepare = [] {}) {
  std::vector<std::string> args = {"do", "--ro", Env("MOAT_GUESTS") + ":/hogs"};
  args.insert(args.end(), flags.begin(), flags.end());
  args.push_back("--");
  args.insert(args.end(), command.begin(), command.end());
  return MoatProcess(Env("MOAT_PROGRAMS") + "/moat", args, prepare);
}

std::string Output(std::vector<std::string> flags, std::vector<std::string> command, std::function<void()> prepare = [] {}) {
  MoatProcess moat = Start(flags, command, prepare);
  EXPECT_EQ(moat.Wait(), 0) << moat.out() << moat.err();
  return moat.out();
}

// "NAME ERROR COUNT" of a hog.
struct Stop {
  std::string name, error;
  long count = 0;
};
std::vector<Stop> Parse(const std::string& text) {
  std::vector<Stop> stops;
  std::istringstream lines(text);
  for (Stop s; lines >> s.name >> s.error >> s.count;) stops.push_back(s);
  return stops;
}
Stop RunHog(const std::string& name, std::vector<std::string> flags = {}) {
  const std::vector<Stop> stops = Parse(Output(flags, {"/hogs/hog", name}));
  EXPECT_EQ(stops.size(), 1u);
  return stops.empty() ? Stop{} : stops[0];
}

uint64_t Bytes(pid_t pid, const char* field) { return strtoull(StatusField(pid, field).c_str(), nullptr, 10) << 10; }

// Watches the descendants of `pid` until `done`: the most memory and the most processes there were.
struct Peak {
  uint64_t memory = 0;
  size_t processes = 0;
  std::vector<HostProcess> seen;
};
Peak WatchUntil(pid_t pid, const std::function<bool()>& done) {
  Peak peak;
  for (int i = 0; i < 10000 && !done(); ++i) {
    const std::vector<HostProcess> now = DescendantsOf(pid);
    uint64_t memory = 0;
    for (const HostProcess& p : now) memory += Bytes(p.pid, "RssAnon") + Bytes(p.pid, "RssShmem") + Bytes(p.pid, "VmPTE");
    peak.memory = std::max(peak.memory, memory);
    if (now.size() > peak.processes) peak.processes = now.size(), peak.seen = now;
    SleepMs(2);
  }
  return peak;
}
bool Ended(const MoatProcess& moat) { return ProcessState(moat.pid()) == 'Z'; }

// --- Memory. ---

TEST(MemoryLimitTest, HogIsKilledNearTheLimit) {
  MoatProcess moat = Start({"--memory", "128M"}, {"/hogs/hog", "memory"});
  const Peak peak = WatchUntil(moat.pid(), [&] { return Ended(moat); });
  EXPECT_EQ(moat.Wait(), 128 + SIGKILL) << moat.err();
  EXPECT_THAT(moat.err(), HasSubstr("out of memory"));
  // What it can touch between two looks comes on top.
  EXPECT_THAT(peak.memory, Le(128 * kMiB + 512 * kMiB));
}

TEST(MemoryLimitTest, OnlyTheHogIsKilled) {
  EXPECT_EQ(Output({"--memory", "128M"}, {"/bin/sh", "-c", "/hogs/hog memory; echo $?; /hogs/hog memory 20"}),
            "137\nmemory none 20\n");
}

TEST(MemoryLimitTest, ManyHogsAreKilledOneAfterTheOther) {
  EXPECT_EQ(Output({"--memory", "128M"},
                   {"/bin/sh", "-c",
                    "for i in 1 2 3 4; do /hogs/hog memory & p=\"$p $!\"; done; for i in $p; do wait $i; echo $?; done"}),
            "137\n137\n137\n137\n");
}

TEST(MemoryLimitTest, PageTablesCount) {
  MoatProcess moat = Start({"--memory", "64M"}, {"/hogs/hog", "pagetables"});
  EXPECT_EQ(moat.Wait(), 128 + SIGKILL) << moat.out() << moat.err();
}

TEST(MemoryLimitTest, SharedCopiesOfAForkCountOnce) {
  EXPECT_EQ(Output({"--memory", "256M"}, {"/hogs/hog", "shared"}), "shared none 0\n");
}

TEST(MemoryLimitTest, WrittenCopiesOfAForkCountEach) {
  const std::string out = Output({"--memory", "256M"}, {"/bin/sh", "-c", "/hogs/hog shared write; exit 0"});
  EXPECT_NE(out, "shared none 0\n") << "all five copies fitted";
}

TEST(MemoryLimitTest, SharedMappingsCount) {
  MoatProcess moat = Start({"--memory", "128M"}, {"/hogs/hog", "memfd"});
  const Peak peak = WatchUntil(moat.pid(), [&] { return Ended(moat); });
  EXPECT_EQ(moat.Wait(), 128 + SIGKILL) << moat.out() << moat.err();
  EXPECT_THAT(peak.memory, Le(128 * kMiB + 512 * kMiB));
}

TEST(MemoryLimitTest, FilesInMemoryShareHalfOfIt) {
  const std::string out = Output({"--memory", "128M"}, {"/bin/sh", "-c",
                                  "cd /tmp; for f in /tmp/a /var/b /dev/shm/c; do dd if=/dev/zero of=$f bs=1M count=60 2>&1 | "
                                  "grep -o 'No space left on device'; done; cat /tmp/a /var/b /dev/shm/c | wc -c; "
                                  "rm /tmp/a; dd if=/dev/zero of=/tmp/d bs=1M count=40 2>/dev/null && echo room again"});
  std::istringstream lines(out);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "No space left on device") << out;
  EXPECT_THAT(out, HasSubstr("room again"));
  EXPECT_THAT(out, testing::ContainsRegex("\n6[0-9]{7}\n")) << "64 MiB in all";
}

TEST(MemoryLimitTest, GuestsSeeTheLimit) {
  const std::string out = Output(
      {"--memory", "256M"},
      {"/bin/sh", "-c", "grep MemTotal /proc/meminfo; getconf _PHYS_PAGES; df -k /tmp | awk 'END { print $2 }'"});
  EXPECT_EQ(out, "MemTotal:         262144 kB\n65536\n131072\n");
}

TEST(MemoryLimitTest, TooLittleIsRefused) {
  MoatProcess moat = Start({"--memory", "1M"}, {"true"});
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_THAT(moat.err(), HasSubstr("16 MiB"));
}

TEST(MemoryLimitTest, HoldsForOrdinaryUsersToo) {
  if (getuid() != 0) GTEST_SKIP() << "the other tests ran as one";
  const ProgramCopy copy(Env("MOAT_PROGRAMS"));
  MoatProcess moat(copy.moat(), {"do", "--memory", "64M", "--", "sh", "-c", "head -c 1G /dev/zero | tail -c 1G | wc -c"},
                   BecomeOrdinaryUser);
  moat.Wait();
  EXPECT_THAT(moat.err(), HasSubstr("out of memory"));
}

TEST(MemoryLimitTest, HostTakesGuestsFirstWhenItRunsOut) {
  MoatProcess moat = Start({}, {"/bin/sh", "-c", "echo ready; sleep 30"});
  ASSERT_TRUE(moat.OutputContains("ready"));
  auto score = [](pid_t pid) { return atoi(Slurp("/proc/" + std::to_string(pid) + "/oom_score_adj").c_str()); };
  const int mine = score(getpid());
  const HostProcess sentry = DescendantNamed(moat.pid(), "moat-sentry");
  const std::vector<HostProcess> stubs = DescendantsOf(sentry.pid);
  EXPECT_THAT(stubs, testing::SizeIs(Ge(2u)));
  for (const HostProcess& stub : stubs) EXPECT_EQ(score(stub.pid), std::min(1000, mine + 500));
  EXPECT_EQ(score(moat.pid()), mine);
  EXPECT_EQ(score(DescendantNamed(moat.pid(), "moat-gofer").pid), mine);
  EXPECT_TRUE(Eventually([&] { return score(sentry.pid) == mine; }));
}

// --- Processes. ---

// While the bomb goes off, other sandboxes work; with the time limit it ends and leaves nothing.
void ExpectBombIsContained(std::vector<std::string> command) {
  MoatProcess moat = Start({"--pids", "100", "--timeout", "2"}, std::move(command));
  bool other_ran = false;
  const Peak peak = WatchUntil(moat.pid(), [&] {
    if (!other_ran) other_ran = Output({}, {"echo", "fine"}) == "fine\n";
    return Ended(moat);
  });
  EXPECT_EQ(moat.Wait(), 124) << moat.err();
  EXPECT_TRUE(other_ran);
  // The sentry, the gofer and the zygote, and processes on their way out.
  EXPECT_THAT(peak.processes, Le(150u));
  EXPECT_THAT(peak.processes, Ge(50u));
  EXPECT_TRUE(AllGone(peak.seen));
}

TEST(TaskLimitTest, ForkBombIsContained) { ExpectBombIsContained({"/hogs/hog", "fork"}); }
TEST(TaskLimitTest, ForkBombOfAShellIsContained) {
  ExpectBombIsContained({"/bin/bash", "-c", "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done"});
}

TEST(TaskLimitTest, ForkBeyondTheLimitIsEagain) {
  MoatProcess moat = Start({"--pids", "50", "--timeout", "2"}, {"/hogs/hog", "fork"});
  EXPECT_TRUE(moat.OutputContains("fork EAGAIN"));
}

TEST(TaskLimitTest, ThreadsCount) {
  const Stop stop = RunHog("threads", {"--pids", "200"});
  EXPECT_EQ(stop.error, "EAGAIN");
  EXPECT_EQ(stop.count, 199);
}

TEST(TaskLimitTest, DefaultLeavesPidsToTheHost) {
  const int pid_max = atoi(Slurp("/proc/sys/kernel/pid_max").c_str());
  EXPECT_THAT(atoi(Output({}, {"cat", "/proc/sys/kernel/threads-max"}).c_str()), AnyOf(Le(pid_max / 4), Le(64)));
}

// --- Descriptors and what is behind them. ---

TEST(FileLimitTest, OpenFilesOfAllProcessesTogetherAreLimited) {
  const std::string out = Output({"--memory", "64M"}, {"/hogs/hog", "files", "/dev/null"});
  long total = 0;
  bool enfile = false;
  for (const Stop& stop : Parse(out)) {
    if (stop.name == "files") total += stop.count, enfile |= stop.error == "ENFILE";
    if (stop.name == "later") EXPECT_EQ(stop.error, "none");
  }
  if (!enfile) GTEST_SKIP() << "this host's RLIMIT_NOFILE is too low to get there";
  EXPECT_THAT(total, Le(8192));
  EXPECT_THAT(total, Ge(8000));
  EXPECT_THAT(out, HasSubstr("after ENFILE"));
}

// Each of them is a descriptor of the sentry's, which has no more than the caller's limit.
TEST(FileLimitTest, SentryKeepsDescriptorsForItself) {
  char name[] = "/var/tmp/moat-limits-XXXXXX";
  const std::string dir = mkdtemp(name);
  std::ofstream(dir + "/file") << "x";
  const rlimit limit{500, 500};
  const std::string out = Output({"--rw", dir},
                                 {"/bin/sh", "-c", "/hogs/hog files " + dir + "/file; cat /etc/hostname >/tmp/copy && ls / >/dev/null && "
                                  "echo whole"},
                                 [&] { setrlimit(RLIMIT_NOFILE, &limit); });
  std::filesystem::remove_all(dir);
  long total = 0;
  for (const Stop& stop : Parse(out)) total += stop.name == "files" ? stop.count : 0;
  EXPECT_THAT(total, Le(500));
  EXPECT_THAT(total, Ge(300));
  EXPECT_THAT(out, HasSubstr("files ENFILE"));
  EXPECT_THAT(out, HasSubstr("after ENFILE"));
  EXPECT_THAT(out, HasSubstr("later none"));
  EXPECT_THAT(out, HasSubstr("whole"));
}

TEST(FileLimitTest, TablesOfManyProcessesAreLimited) {
  MoatProcess moat = Start({"--memory", "64M"}, {"/hogs/hog", "tables"});
  const Peak peak = WatchUntil(moat.pid(), [&] { return Ended(moat); });
  EXPECT_THAT(moat.Wait(), AnyOf(0, 128 + SIGKILL)) << moat.err();
  EXPECT_THAT(peak.memory, Le(256 * kMiB));
}

class ObjectLimitTest : public testing::TestWithParam<const char*> {};

TEST_P(ObjectLimitTest, EndsWithAnErrorAndTheSandboxGoesOn) {
  MoatProcess moat = Start({"--memory", "64M"},
                           {"/bin/sh", "-c", std::string("/hogs/hog ") + GetParam() + " && /hogs/hog memory 8 && echo alive"});
  const Peak peak = WatchUntil(moat.pid(), [&] { return Ended(moat); });
  EXPECT_EQ(moat.Wait(), 0) << moat.out() << moat.err();
  const std::vector<Stop> stops = Parse(moat.out());
  ASSERT_THAT(stops, Not(IsEmpty()));
  EXPECT_THAT(stops[0].error, AnyOf("EMFILE", "ENFILE", "EAGAIN", "ENOMEM", "ENOBUFS"));
  EXPECT_THAT(stops[0].count, Ge(16));
  EXPECT_THAT(moat.out(), HasSubstr("alive"));
  EXPECT_THAT(peak.memory, Le(128 * kMiB));
}
INSTANTIATE_TEST_SUITE_P(All, ObjectLimitTest,
                         testing::Values("pipes", "sockets", "timers", "eventfd", "epoll", "inotify", "timerfd"),
                         [](const auto& info) { return std::string(info.param); });

// --- Files that somebody outside cuts while they are mapped. ---

// Runs `command` (the program and its flags before the file), cuts the file when it is mapped, and returns the lines.
std::string CutUnder(const std::string& dir, const std::function<MoatProcess(const std::string& file)>& start) {
  const std::string file = dir + "/file";
  std::ofstream(file) << std::string(8192, 'x');
  MoatProcess process = start(file);
  EXPECT_TRUE(process.OutputContains("mapped")) << process.err();
  EXPECT_EQ(truncate(file.c_str(), 0), 0);
  std::ofstream(file + ".cut") << "";
  EXPECT_EQ(process.Wait(), 0) << process.out() << process.err();
  std::filesystem::remove(file + ".cut");
  return process.out();
}

class TruncationTest : public testing::TestWithParam<bool> {};

TEST_P(TruncationTest, LostPagesAreSigbusForTheGuestAndEfaultForItsCalls) {
  const bool writable = GetParam();
  char name[] = "/var/tmp/moat-limits-XXXXXX";
  const std::string dir = mkdtemp(name);
  const std::string out = CutUnder(dir, [&](const std::string& file) {
    return Start({writable ? "--rw" : "--ro", dir}, {"/hogs/truncated", file});
  });
  EXPECT_THAT(out, HasSubstr("load SIGBUS BUS_ADRERR there\n"));
  EXPECT_THAT(out, HasSubstr("\nwrite EFAULT\n"));
  EXPECT_THAT(out, HasSubstr("\nfutex_wake_op EFAULT\n"));
  EXPECT_THAT(out, HasSubstr("\nend\n"));
  if (writable) {
    // As natively, line for line.
    const std::string guests = Env("MOAT_GUESTS");
    EXPECT_EQ(out, CutUnder(dir, [&](const std::string& file) { return MoatProcess(guests + "/truncated", {file}); }));
  }
  std::filesystem::remove_all(dir);
}
INSTANTIATE_TEST_SUITE_P(Mounts, TruncationTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "ReadWrite" : "ReadOnly"; });

}  // namespace
}  // namespace moat::test
