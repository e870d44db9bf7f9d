// Launching and supervising, with a sentry and a gofer that do as they are told (fake_sentry_main.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>

#include "tests/util/moat_process.h"

namespace moat::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Programs() { return getenv("MOAT_PROGRAMS"); }

MoatProcess Start(
    std::vector<std::string> command, std::vector<std::string> flags = {},
    std::function<void()> prepare = [] {}) {
  std::vector<std::string> args = {"do"};
  args.insert(args.end(), flags.begin(), flags.end());
  args.push_back("--");
  args.insert(args.end(), command.begin(), command.end());
  return MoatProcess(Programs() + "/moat", args, prepare);
}

TEST(LaunchTest, StatusIsTheCommands) {
  EXPECT_EQ(Start({"exit", "0"}).Wait(), 0);
  EXPECT_EQ(Start({"exit", "3"}).Wait(), 3);
  EXPECT_EQ(Start({"killed", "15"}).Wait(), 128 + 15);
}

TEST(LaunchTest, FailedExecIsOneLineAndTheShellsStatus) {
  MoatProcess missing = Start({"execfail", std::to_string(ENOENT), "frob"});
  EXPECT_EQ(missing.Wait(), 127);
  EXPECT_EQ(missing.err(), "moat: frob: No such file or directory\n");
  MoatProcess denied = Start({"execfail", std::to_string(EACCES), "frob"});
  EXPECT_EQ(denied.Wait(), 126);
}

TEST(LaunchTest, TextFromTheSandboxCannotDriveTheTerminal) {
  MoatProcess moat = Start({"execfail", std::to_string(ENOENT), "\x1b[2Jboo\nmoat: all is well"});
  moat.Wait();
  EXPECT_EQ(moat.err(), "moat: ?[2Jboo?moat: all is well: No such file or directory\n");
}

TEST(LaunchTest, DyingSentryIsAFailureThatSaysHow) {
  MoatProcess crash = Start({"crash"});
  EXPECT_EQ(crash.Wait(), 125);
  // A pid namespace's init is spared its own SIGABRT; abort(3) then ends it by a fault.
  EXPECT_THAT(crash.err(), HasSubstr("kernel ended unexpectedly: it was killed by signal 11"));
  MoatProcess vanish = Start({"vanish"});
  EXPECT_EQ(vanish.Wait(), 125);
  EXPECT_THAT(vanish.err(), HasSubstr("exited with 7"));
}

TEST(LaunchTest, SentryThatCannotStartSaysWhyOnce) {
  MoatProcess moat = Start({"refuse", "no memory"});
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_EQ(moat.err(), "moat: no memory\n");
}

TEST(LaunchTest, MalformedMessageIsAFailure) {
  MoatProcess moat = Start({"garbage"});
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_THAT(moat.err(), HasSubstr("malformed"));
}

TEST(LaunchTest, DyingGoferIsAFailureThatSaysSo) {
  MoatProcess moat = Start({"kill-gofer"});
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_THAT(moat.err(), HasSubstr("file server ended unexpectedly: it exited with 9"));
}

TEST(LaunchTest, CommandThatFailedForWantOfItsFilesIsAFailureToo) {
  MoatProcess moat = Start({"kill-gofer-and-exit"});
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_THAT(moat.err(), HasSubstr("file server ended unexpectedly"));
}

TEST(LaunchTest, SignalsReachTheCommand) {
  MoatProcess moat = Start({"obey"});
  ASSERT_TRUE(moat.OutputContains("ready"));
  for (const int signo : {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH}) {
    kill(moat.pid(), signo);
    EXPECT_TRUE(moat.OutputContains("signal " + std::to_string(signo) + " 0\n"));
  }
  kill(moat.pid(), SIGTERM);
  EXPECT_EQ(moat.Wait(), 128 + SIGTERM);
}

TEST(LaunchTest, IgnoredSignalIsNotRelayedButInherited) {
  MoatProcess moat = Start({"obey"}, {}, [] { signal(SIGHUP, SIG_IGN); });
  ASSERT_TRUE(moat.OutputContains("ready"));
  kill(moat.pid(), SIGHUP);
  kill(moat.pid(), SIGUSR1);
  ASSERT_TRUE(moat.OutputContains("signal 10 0"));
  EXPECT_THAT(moat.out(), Not(HasSubstr("signal 1 ")));
  MoatProcess dump = Start({"dump"}, {}, [] { signal(SIGHUP, SIG_IGN); });
  EXPECT_EQ(dump.Wait(), 0);
  EXPECT_THAT(dump.out(), HasSubstr("hup default 1\n"));
  EXPECT_THAT(dump.out(), HasSubstr("ignored 1\n"));
}

TEST(LaunchTest, DeafSentryIsGivenUpWhenTheUserAsksTwice) {
  MoatProcess moat = Start({"deaf"});
  ASSERT_TRUE(moat.OutputContains("ready"));
  const std::vector<HostProcess> all = DescendantsOf(moat.pid());
  kill(moat.pid(), SIGINT);
  usleep(1'200'000);
  kill(moat.pid(), SIGINT);
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_EQ(moat.err(), "moat: the sandbox kernel does not answer: the sandbox was killed\n");
  EXPECT_TRUE(AllGone(all));
}

TEST(LaunchTest, DeafSentryIsGivenUpSomeTimeAfterTerm) {
  MoatProcess moat = Start({"deaf"});
  ASSERT_TRUE(moat.OutputContains("ready"));
  for (int i = 0; i < 2000; ++i) kill(moat.pid(), SIGWINCH);  // a full socket is no obstacle
  kill(moat.pid(), SIGTERM);
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_THAT(moat.err(), HasSubstr("does not answer"));
}

TEST(LaunchTest, CommandThatIgnoresTermIsLeftAlone) {
  MoatProcess moat = Start({"ignore"});
  ASSERT_TRUE(moat.OutputContains("ready"));
  kill(moat.pid(), SIGTERM);
  ASSERT_TRUE(moat.OutputContains("signal 15 0\n"));
  usleep(1'200'000);
  kill(moat.pid(), SIGINT);
  ASSERT_TRUE(moat.OutputContains("signal 2 0\n"));
  EXPECT_NE(ProcessState(moat.pid()), 'Z');
  kill(moat.pid(), SIGKILL);
  EXPECT_EQ(moat.Wait(), -SIGKILL);
}

TEST(LaunchTest, TimeoutTerminatesThenKills) {
  MoatProcess obedient = Start({"obey"}, {"--timeout", "0.2"});
  EXPECT_EQ(obedient.Wait(), 124);
  MoatProcess stubborn = Start({"ignore"}, {"--timeout", "0.2"});
  EXPECT_EQ(stubborn.Wait(), 124);
  EXPECT_THAT(stubborn.out(), HasSubstr("signal 15 0"));
  MoatProcess in_time = Start({"exit", "5"}, {"--timeout", "60"});
  EXPECT_EQ(in_time.Wait(), 5);
}

// Kills one process of a running sandbox: nothing of it may stay.
void ExpectNothingLeftAfterKilling(const std::string& victim) {
  MoatProcess moat = Start({"ignore"});
  ASSERT_TRUE(moat.OutputContains("ready"));
  const std::vector<HostProcess> all = DescendantsOf(moat.pid());
  ASSERT_EQ(all.size(), 2u);
  const pid_t pid = victim == "moat" ? moat.pid() : DescendantNamed(moat.pid(), victim).pid;
  ASSERT_GT(pid, 0);
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  EXPECT_EQ(moat.Wait(), victim == "moat" ? -SIGKILL : 125);
  EXPECT_TRUE(AllGone(all));
}

TEST(LaunchTest, KillingMoatLeavesNothing) { ExpectNothingLeftAfterKilling("moat"); }
TEST(LaunchTest, KillingTheSentryLeavesNothing) { ExpectNothingLeftAfterKilling("moat-sentry"); }
TEST(LaunchTest, KillingTheGoferLeavesNothing) { ExpectNothingLeftAfterKilling("moat-gofer"); }

// `dump`: what a fake sentry says of itself.
void ExpectEmptyRoot(const std::string& dump) {
#ifdef MOAT_UNSAFE_KEEP_ROOT
  puts("not checked: the root, which builds with sanitizers do not change");
#else
  EXPECT_THAT(dump, HasSubstr("\nroot . ..\n"));
  EXPECT_THAT(dump, HasSubstr("\nroot flags Read-only file system 1\n"));
#endif
}

TEST(LaunchTest, SentryStartsWithNothingButItsDescriptors) {
  MoatProcess moat = Start({"dump"});
  EXPECT_EQ(moat.Wait(), 0);
  for (const char* fact :
       {"pid 1\n", "session 1\n", "uid 0 0\n", "gid 0 0\n", "env 0\n", "fds 0 1 2 3 4 5 6\n", "up\n", "core 1 1\n",
        "blocked 0\n", "stdio 1 1 1\n"}) {
    EXPECT_THAT("\n" + moat.out(), HasSubstr("\n" + std::string(fact)));
  }
  ExpectEmptyRoot(moat.out());
}

TEST(LaunchTest, ClosedStandardDescriptorsAreReportedAsSuch) {
  MoatProcess moat = Start({"dump"}, {}, [] { close(0); });
  EXPECT_EQ(moat.Wait(), 0);
  EXPECT_THAT(moat.out(), HasSubstr("stdio 0 1 1\n"));
  EXPECT_THAT(moat.out(), HasSubstr("fds 0 1 2 3 4 5 6\n"));
}

TEST(LaunchTest, InheritedDescriptorsGoNoFurther) {
  MoatProcess moat = Start({"dump"}, {}, [] {
    dup2(open("/etc/passwd", O_RDONLY), 9);
    dup2(9, 100);
  });
  EXPECT_EQ(moat.Wait(), 0);
  EXPECT_THAT(moat.out(), HasSubstr("fds 0 1 2 3 4 5 6\n"));
}

TEST(LaunchTest, StraceFileIsTheSeventhDescriptor) {
  MoatProcess moat = Start({"dump"}, {"--strace"});
  EXPECT_EQ(moat.Wait(), 0);
  EXPECT_THAT(moat.out(), HasSubstr("fds 0 1 2 3 4 5 6 7\n"));
}

TEST(LaunchTest, FewDescriptorsSuffice) {
  MoatProcess moat = Start({"exit", "4"}, {}, [] {
    const rlimit few{40, 40};
    setrlimit(RLIMIT_NOFILE, &few);
  });
  EXPECT_EQ(moat.Wait(), 4) << moat.err();
}

// The host's view of a running sentry and gofer.
TEST(LaunchTest, RootsSandboxRunsAsNobodyInNamespacesOfItsOwn) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  MoatProcess moat = Start({"ignore"});
  ASSERT_TRUE(moat.OutputContains("ready"));
  const pid_t sentry = DescendantNamed(moat.pid(), "moat-sentry").pid;
  const pid_t gofer = DescendantNamed(moat.pid(), "moat-gofer").pid;
  ASSERT_GT(sentry, 0);
  ASSERT_GT(gofer, 0);
  EXPECT_EQ(StatusField(sentry, "Uid"), "65534\t65534\t65534\t65534");
  EXPECT_EQ(StatusField(sentry, "Gid"), "65534\t65534\t65534\t65534");
  EXPECT_EQ(StatusField(sentry, "Groups"), "");
  const auto ns = [](pid_t pid, const std::string& kind) {
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/ns/" + kind).string();
  };
  for (const char* kind : {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"}) {
    EXPECT_NE(ns(sentry, kind), ns(moat.pid(), kind)) << kind;
  }
  EXPECT_EQ(ns(gofer, "user"), ns(moat.pid(), "user"));
  for (const char* kind : {"pid", "mnt", "net", "ipc", "uts"}) {
    EXPECT_NE(ns(gofer, kind), ns(moat.pid(), kind)) << kind;
    EXPECT_NE(ns(gofer, kind), ns(sentry, kind)) << kind;
  }
}

TEST(LaunchTest, OrdinaryUserNeedsNoHelp) {
  if (geteuid() != 0) GTEST_SKIP() << "the other tests run as an ordinary user already";
  const ProgramCopy programs(Programs());
  MoatProcess dump(programs.moat(), {"do", "--", "dump"}, BecomeOrdinaryUser);
  EXPECT_EQ(dump.Wait(), 0) << dump.err();
  EXPECT_THAT(dump.out(), HasSubstr("uid 0 0\n"));
  ExpectEmptyRoot(dump.out());
  EXPECT_THAT(dump.out(), HasSubstr("guest uid 65533\n"));
  MoatProcess moat(programs.moat(), {"do", "--", "ignore"}, BecomeOrdinaryUser);
  ASSERT_TRUE(moat.OutputContains("ready"));
  const std::vector<HostProcess> all = DescendantsOf(moat.pid());
  EXPECT_EQ(StatusField(DescendantNamed(moat.pid(), "moat-sentry").pid, "Uid"), "65533\t65533\t65533\t65533");
  kill(moat.pid(), SIGKILL);
  moat.Wait();
  EXPECT_TRUE(AllGone(all));
}

TEST(LaunchTest, RefusedUserNamespacesAreExplained) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  // The limit is a user namespace's own: forbid it in a new one, of which moat is the root.
  MoatProcess moat = Start({"exit", "0"}, {}, [] {
    if (unshare(CLONE_NEWUSER) != 0) _exit(97);
    const int fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY);
    if (write(fd, "0", 1) != 1) _exit(96);
  });
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_THAT(moat.err(), HasSubstr("user.max_user_namespaces"));
}

// A terminal; `Enter` makes its other side the controlling terminal and standard input of a child.
class Terminal {
 public:
  Terminal() : master_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(grantpt(master_), 0);
    EXPECT_EQ(unlockpt(master_), 0);
    slave_ = open(ptsname(master_), O_RDWR | O_NOCTTY | O_CLOEXEC);
  }
  ~Terminal() {
    close(slave_);
    close(master_);
  }
  void Enter() const {
    setsid();
    ioctl(slave_, TIOCSCTTY, 0);
    dup2(slave_, 0);
  }
  void Type(char key) const { EXPECT_EQ(write(master_, &key, 1), 1); }
  tcflag_t LocalModes() const {
    struct termios now {};
    EXPECT_EQ(tcgetattr(slave_, &now), 0);
    return now.c_lflag;
  }

 private:
  const int master_;
  int slave_;
};

TEST(TerminalTest, SettingsAreRestoredAtTheEnd) {
  const Terminal terminal;
  const tcflag_t before = terminal.LocalModes();
  ASSERT_NE(before & ICANON, 0u);
  MoatProcess moat = Start({"raw-terminal"}, {}, [&] { terminal.Enter(); });
  EXPECT_EQ(moat.Wait(), 0);
  EXPECT_EQ(terminal.LocalModes(), before);
}

TEST(TerminalTest, SettingsAreRestoredWhenTheSentryDies) {
  const Terminal terminal;
  const tcflag_t before = terminal.LocalModes();
  MoatProcess moat = Start({"raw-terminal-crash"}, {}, [&] { terminal.Enter(); });
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_EQ(terminal.LocalModes(), before);
}

// Starts the sandbox in a job of its own, as a shell does; the process is the shell.
MoatProcess StartJob(const Terminal& terminal, std::vector<std::string> command) {
  return Start(std::move(command), {}, [&] {
    terminal.Enter();
    const pid_t job = fork();
    signal(SIGTTOU, SIG_IGN);
    setpgid(job, job);
    tcsetpgrp(0, job == 0 ? getpid() : job);
    signal(SIGTTOU, SIG_DFL);
    if (job == 0) return;
    prctl(PR_SET_NAME, "shell");
    // SIGUSR1: takes the foreground back.
    signal(SIGUSR1, [](int) {
      signal(SIGTTOU, SIG_IGN);
      if (tcsetpgrp(0, getpid()) == 0) (void)!write(1, "foreground", 10);
    });
    for (;;) pause();
  });
}

TEST(TerminalTest, SettingsAreRestoredWhenMoatIsKilled) {
  for (const bool job_control : {false, true}) {
    const Terminal terminal;
    const tcflag_t before = terminal.LocalModes();
    MoatProcess process = job_control ? StartJob(terminal, {"raw-terminal-wait"})
                                      : Start({"raw-terminal-wait"}, {}, [&] { terminal.Enter(); });
    ASSERT_TRUE(process.OutputContains("ready")) << process.err();
    ASSERT_NE(terminal.LocalModes(), before);
    const pid_t moat = job_control ? DescendantNamed(process.pid(), "moat").pid : process.pid();
    const std::vector<HostProcess> all = DescendantsOf(moat);
    ASSERT_EQ(all.size(), 3u) << "sentry, gofer, keeper of the terminal";
    kill(moat, SIGKILL);
    EXPECT_TRUE(Eventually([&] { return terminal.LocalModes() == before; })) << job_control;
    EXPECT_TRUE(AllGone(all));
  }
}

TEST(TerminalTest, AnotherJobsTerminalIsLeftAlone) {
  const Terminal terminal;
  MoatProcess shell = StartJob(terminal, {"raw-terminal-wait"});
  ASSERT_TRUE(shell.OutputContains("ready")) << shell.err();
  const tcflag_t raw = terminal.LocalModes();
  const pid_t moat = DescendantNamed(shell.pid(), "moat").pid;
  const std::vector<HostProcess> all = DescendantsOf(moat);
  kill(shell.pid(), SIGUSR1);
  ASSERT_TRUE(shell.OutputContains("foreground"));
  kill(moat, SIGKILL);
  EXPECT_TRUE(AllGone(all));
  EXPECT_EQ(terminal.LocalModes(), raw);
}

TEST(TerminalTest, KeysSignalTheForeground) {
  const Terminal terminal;
  MoatProcess moat = Start({"ignore"}, {}, [&] { terminal.Enter(); });
  ASSERT_TRUE(moat.OutputContains("ready"));
  terminal.Type('\x03');
  EXPECT_TRUE(moat.OutputContains("signal 2 1\n"));
  terminal.Type('\x1c');
  EXPECT_TRUE(moat.OutputContains("signal 3 1\n"));
}

TEST(TerminalTest, StoppedCommandStopsMoatUntilItIsContinued) {
  const Terminal terminal;
  MoatProcess moat = Start({"stop"}, {}, [&] { terminal.Enter(); });
  ASSERT_TRUE(moat.OutputContains("ready"));
  terminal.Type('\x1a');
  EXPECT_TRUE(Eventually([&] { return ProcessState(moat.pid()) == 'T'; }));
  kill(moat.pid(), SIGCONT);
  EXPECT_TRUE(moat.OutputContains("signal 18 1\n"));
}

TEST(LaunchTest, MissingProgramIsNamed) {
  char dir[] = "/var/tmp/moat-alone-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  const std::string moat_path = std::string(dir) + "/moat";
  std::filesystem::copy_file(Programs() + "/moat", moat_path);
  MoatProcess moat(moat_path, {"do", "--", "exit", "0"});
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_THAT(moat.err(), HasSubstr(std::string(dir) + "/moat-sentry"));
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace moat::test
