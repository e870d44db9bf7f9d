// `moat do` from end to end: real programs in a real sandbox, as a user sees it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include <algorithm>
#include <fstream>

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

MoatProcess Shell(
    const std::string& script, std::vector<std::string> flags = {}, std::function<void()> prepare = [] {}) {
  return Start({"/bin/sh", "-c", script}, flags, prepare);
}

// The output of a script that has to succeed.
std::string Output(
    const std::string& script, std::vector<std::string> flags = {}, std::function<void()> prepare = [] {}) {
  MoatProcess moat = Shell(script, flags, prepare);
  EXPECT_EQ(moat.Wait(), 0) << script << ": " << moat.err();
  return moat.out();
}

// A directory outside of /tmp, which sandboxes do not see.
class TempDir {
 public:
  TempDir() {
    char name[] = "/var/tmp/moat-e2e-XXXXXX";
    path_ = mkdtemp(name);
    chmod(path_.c_str(), 0777);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string Read(const std::string& name) const { return Slurp(path_ + "/" + name); }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name) << text;
  }

 private:
  std::string path_;
};

TEST(DoTest, ExitStatusIsTheCommands) {
  EXPECT_EQ(Start({"true"}).Wait(), 0);
  EXPECT_EQ(Start({"false"}).Wait(), 1);
  EXPECT_EQ(Shell("exit 42").Wait(), 42);
  EXPECT_EQ(Shell("kill -TERM $$; sleep 5").Wait(), 128 + SIGTERM);
  EXPECT_EQ(Shell("kill -KILL $$").Wait(), 128 + SIGKILL);
}

TEST(DoTest, MissingCommandIs127AndUnusableOneIs126) {
  MoatProcess missing = Start({"no-such-command"});
  EXPECT_EQ(missing.Wait(), 127);
  EXPECT_THAT(missing.err(), HasSubstr("no-such-command"));
  EXPECT_EQ(std::ranges::count(missing.err(), '\n'), 1);
  EXPECT_EQ(Start({"/no/such/file"}).Wait(), 127);
  MoatProcess denied = Start({"/etc/passwd"});
  EXPECT_EQ(denied.Wait(), 126);
  EXPECT_THAT(denied.err(), HasSubstr("/etc/passwd"));
  EXPECT_EQ(Start({"/etc"}).Wait(), 126);
}

TEST(DoTest, TerminalIsRestoredWhenMoatIsKilled) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_EQ(grantpt(master), 0);
  ASSERT_EQ(unlockpt(master), 0);
  const int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  const auto modes = [&] {
    termios now{};
    tcgetattr(slave, &now);
    return now.c_lflag;
  };
  const tcflag_t before = modes();
  MoatProcess moat = Shell("stty raw -echo; echo ready; sleep 60", {}, [&] {
    setsid();
    ioctl(slave, TIOCSCTTY, 0);
    dup2(slave, 0);
  });
  ASSERT_TRUE(moat.OutputContains("ready")) << moat.err();
  ASSERT_NE(modes(), before);
  const std::vector<HostProcess> all = DescendantsOf(moat.pid());
  kill(moat.pid(), SIGKILL);
  EXPECT_TRUE(AllGone(all));
  EXPECT_EQ(modes(), before);
  close(slave);
  close(master);
}

TEST(DoTest, StandardOutputAndErrorStayApart) {
  MoatProcess moat = Shell("echo out; echo err >&2");
  EXPECT_EQ(moat.Wait(), 0);
  EXPECT_EQ(moat.out(), "out\n");
  EXPECT_EQ(moat.err(), "err\n");
}

TEST(DoTest, StandardInputIsRead) {
  TempDir dir;
  dir.Write("in", "hello\n");
  EXPECT_EQ(Output("cat", {}, [&] { dup2(open((dir.path() + "/in").c_str(), O_RDONLY), 0); }), "hello\n");
}

TEST(DoTest, ArgumentsArriveUntouched) {
  MoatProcess moat = Start({"printf", "[%s]", "a b", "", "--", "*", "\n"});
  EXPECT_EQ(moat.Wait(), 0);
  EXPECT_EQ(moat.out(), "[a b][][--][*][\n]");
}

TEST(DoTest, EnvironmentIsKeptButForSecrets) {
  MoatProcess moat = Shell("echo $PLAIN_THING,$MY_API_TOKEN,$ADDED", {"--env", "ADDED=2"}, [] {
    setenv("PLAIN_THING", "1", 1);
    setenv("MY_API_TOKEN", "s3cret", 1);
  });
  EXPECT_EQ(moat.Wait(), 0);
  EXPECT_EQ(moat.out(), "1,,2\n");
  EXPECT_THAT(moat.err(), HasSubstr("MY_API_TOKEN"));
  EXPECT_EQ(Output("echo $MY_API_TOKEN", {"--no-default-hide"}, [] { setenv("MY_API_TOKEN", "s3cret", 1); }),
            "s3cret\n");
  EXPECT_EQ(Output("/usr/bin/env | grep -v -e ^PWD= -e ^_= -e ^OLDPWD= -e ^SHLVL=",
                   {"--clearenv", "--env", "ONLY=1"}),
            "ONLY=1\n");
}

TEST(DoTest, WorkingDirectoryIsKept) {
  TempDir dir;
  EXPECT_EQ(Output("pwd -P", {}, [&] { (void)!chdir(dir.path().c_str()); }), dir.path() + "\n");
  EXPECT_EQ(Output("pwd -P", {"--cwd", "/usr"}), "/usr\n");
}

TEST(DoTest, WorkingDirectoryBelowTmpIsThere) {
  char name[] = "/tmp/moat-e2e-XXXXXX";
  const std::string dir = mkdtemp(name);
  std::ofstream(dir + "/file") << "seen\n";
  EXPECT_EQ(Output("cat file; ls -d /tmp/moat-e2e-*", {}, [&] { (void)!chdir(dir.c_str()); }),
            "seen\n" + dir + "\n");
  std::filesystem::remove_all(dir);
}

TEST(DoTest, WritesAreThrownAway) {
  TempDir dir;
  dir.Write("file", "old\n");
  const std::string file = dir.path() + "/file";
  EXPECT_EQ(Output("echo new > " + file + " && cat " + file + " && rm " + file + " && echo x > " +
                   dir.path() + "/made"),
            "new\n");
  EXPECT_EQ(dir.Read("file"), "old\n");
  EXPECT_FALSE(std::filesystem::exists(dir.path() + "/made"));
}

TEST(DoTest, WritesBelowRwReachTheHost) {
  TempDir dir;
  dir.Write("gone", "");
  Output("cd " + dir.path() + " && echo new > file && mkdir d && echo y > d/y && rm gone",
         {"--rw", dir.path()});
  EXPECT_EQ(dir.Read("file"), "new\n");
  EXPECT_EQ(dir.Read("d/y"), "y\n");
  EXPECT_FALSE(std::filesystem::exists(dir.path() + "/gone"));
}

TEST(DoTest, RoRefusesWritesAndMayHaveAnotherName) {
  TempDir dir;
  dir.Write("file", "text\n");
  EXPECT_EQ(Output("cat /data/file; echo x 2>/dev/null > /data/file || echo refused",
                   {"--ro", dir.path() + ":/data"}),
            "text\nrefused\n");
  EXPECT_EQ(dir.Read("file"), "text\n");
}

TEST(DoTest, FilesCanBeSharedOneByOne) {
  TempDir dir;
  dir.Write("ro", "text\n");
  dir.Write("rw", "old, longer\n");
  EXPECT_EQ(Output("cat /new/dir/ro; echo x 2>/dev/null > /new/dir/ro || echo refused; echo new > /rw; echo more >> /rw;"
                   "cat /rw; rm /rw 2>/dev/null || echo busy; stat -c %F,%s /new/dir/ro; cat /etc/hostname",
                   {"--ro", dir.path() + "/ro:/new/dir/ro", "--rw", dir.path() + "/rw:/rw", "--ro",
                    dir.path() + "/ro:/etc/hostname"}),
            "text\nrefused\nnew\nmore\nbusy\nregular file,5\ntext\n");
  EXPECT_EQ(dir.Read("ro"), "text\n");
  EXPECT_EQ(dir.Read("rw"), "new\nmore\n");
}

TEST(DoTest, HostsSocketsAndFifosAreOnlyNames) {
  TempDir dir;
  ASSERT_EQ(mkfifo((dir.path() + "/fifo").c_str(), 0666), 0);
  const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  strcpy(address.sun_path, (dir.path() + "/socket").c_str());
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(server, 1), 0);
  const std::string connect =
      "python3 -c 'import socket,sys; s=socket.socket(socket.AF_UNIX); print(s.connect_ex(sys.argv[1]))' ";
  // 111 is ECONNREFUSED. The FIFO connects processes of the sandbox, and waits for no one of the host.
  EXPECT_EQ(Output(connect + dir.path() + "/socket; " + connect + "/s; (echo inside > /f &) ; cat /f; cat " + dir.path() +
                       "/fifo & echo inside > " + dir.path() + "/fifo; wait",
                   {"--rw", dir.path(), "--rw", dir.path() + "/socket:/s", "--rw", dir.path() + "/fifo:/f"}),
            "111\n111\ninside\ninside\n");
  close(server);
  MoatProcess device = Start({"true"}, {"--rw", "/dev/null:/null"});
  EXPECT_EQ(device.Wait(), 125);
  EXPECT_THAT(device.err(), HasSubstr("/dev/null: is a device"));
}

TEST(DoTest, TmpfsHasItsSizeAndMode) {
  EXPECT_EQ(Output("stat -c %a /scratch /scratch/two; df --output=size /scratch | tail -1 | tr -d ' '; echo kept > /scratch/f;"
                   "head -c 2M /dev/zero 2>/dev/null >/scratch/big; stat -c %s /scratch/big; cat /scratch/f",
                   {"--tmpfs", "/scratch:size=1m,mode=757", "--tmpfs", "/scratch/two"}),
            "757\n1777\n1024\n1044480\nkept\n");
}

TEST(DoTest, MountThatCannotBeMadeIsNamedInOneLine) {
  TempDir dir;
  dir.Write("file", "");
  MoatProcess below_file = Start({"true"}, {"--tmpfs", dir.path() + "/file/x"});
  EXPECT_EQ(below_file.Wait(), 125);
  EXPECT_EQ(below_file.err(), "moat: the sandbox could not start: mounting " + dir.path() + "/file/x: ENOTDIR\n");
  MoatProcess read_only = Start({"true"}, {"--ro", dir.path() + ":/data", "--tmpfs", "/data/new"});
  EXPECT_EQ(read_only.Wait(), 125);
  EXPECT_EQ(read_only.err(), "moat: the sandbox could not start: mounting /data/new: EROFS\n");
  MoatProcess on_file = Start({"true"}, {"--ro", dir.path() + ":/etc/passwd"});
  EXPECT_EQ(on_file.Wait(), 125);
  EXPECT_EQ(on_file.err(), "moat: the sandbox could not start: mounting /etc/passwd: ENOTDIR\n");
}

// An unpacked image need not have any of the usual directories, and its links may lead anywhere.
TEST(DoTest, MountPointsOfAnImageAreMadeInside) {
  TempDir dir;
  std::filesystem::create_directories(dir.path() + "/bin");
  std::filesystem::copy_file("/bin/busybox", dir.path() + "/bin/busybox");
  std::filesystem::create_symlink("../../../../../../var/tmp/moat-escape", dir.path() + "/tmp");
  std::filesystem::create_symlink("/nowhere/yet", dir.path() + "/run");
  std::filesystem::create_symlink("loop", dir.path() + "/loop");
  MoatProcess moat = Start({"/bin/busybox", "sh", "-c",
                            "b=/bin/busybox; $b ls -d /proc/self /dev/null /sys/kernel /var/tmp/moat-escape /nowhere/yet;"
                            "echo x > /tmp/f && $b cat /var/tmp/moat-escape/f; $b grep -c -e /nowhere/yet /proc/mounts"},
                           {"--rootfs", dir.path()});
  EXPECT_EQ(moat.Wait(), 0) << moat.err();
  EXPECT_EQ(moat.out(), "/dev/null\n/nowhere/yet\n/proc/self\n/sys/kernel\n/var/tmp/moat-escape\nx\n1\n");
  for (const char* made : {"/proc", "/dev", "/sys", "/var", "/nowhere"})
    EXPECT_FALSE(std::filesystem::exists(dir.path() + made)) << made;
  EXPECT_FALSE(std::filesystem::exists("/var/tmp/moat-escape"));
  MoatProcess loop = Start({"/bin/busybox"}, {"--rootfs", dir.path(), "--tmpfs", "/loop/x"});
  EXPECT_EQ(loop.Wait(), 125);
  EXPECT_THAT(loop.err(), HasSubstr("mounting /loop/x: ELOOP"));
}

TEST(DoTest, HiddenThingsLookEmptyAndCannotBeUncovered) {
  TempDir dir;
  std::filesystem::create_directory(dir.path() + "/secret");
  dir.Write("secret/key", "s3cret\n");
  dir.Write("token", "s3cret\n");
  const std::string out = Output("cd " + dir.path() + "; ls -A secret; cat token; umount " + dir.path() +
                                     "/secret 2>/dev/null; umount token 2>/dev/null; rm -rf secret token "
                                     "2>/dev/null; mv secret s2 2>/dev/null;"
                                     " cat secret/key s2/key token 2>/dev/null; true",
                                 {"--hide", dir.path() + "/secret", "--hide", dir.path() + "/token"});
  EXPECT_THAT(out, Not(HasSubstr("s3cret")));
  EXPECT_THAT(out, Not(HasSubstr("key")));
  EXPECT_EQ(dir.Read("secret/key"), "s3cret\n");
}

TEST(DoTest, HomesCredentialsAreHiddenByDefault) {
  TempDir dir;
  std::filesystem::create_directory(dir.path() + "/.ssh");
  dir.Write(".ssh/id_ed25519", "PRIVATE\n");
  dir.Write(".netrc", "password\n");
  const auto home = [&] { setenv("HOME", dir.path().c_str(), 1); };
  EXPECT_EQ(Output("ls -A ~/.ssh; cat ~/.netrc", {}, home), "");
  EXPECT_EQ(Output("cat ~/.ssh/id_ed25519", {"--no-default-hide"}, home), "PRIVATE\n");
}

TEST(DoTest, TmpAndRunStartEmptyAndProcIsTheSandboxes) {
  EXPECT_EQ(Output("ls -A /tmp /run | grep -v : | tr -d '\\n'", {"--cwd", "/"}), "");
  EXPECT_EQ(Output("echo x > /tmp/f && cat /tmp/f"), "x\n");
  const std::string pids = Output("ls /proc | grep -c '^[0-9]'");
  EXPECT_LE(atoi(pids.c_str()), 4);
}

TEST(DoTest, UserAndHostnameCanBeChosen) {
  EXPECT_EQ(Output("id -u; id -g", {"--user", "1234:1235"}), "1234\n1235\n");
  EXPECT_EQ(Output("id -un", {"--user", "nobody"}), "nobody\n");
  EXPECT_EQ(Output("uname -n", {"--hostname", "box"}), "box\n");
  EXPECT_EQ(Output("id -u"), std::to_string(geteuid()) + "\n");
}

TEST(DoTest, RootfsIsTheRoot) {
  TempDir dir;
  std::filesystem::create_directories(dir.path() + "/bin");
  ASSERT_TRUE(std::filesystem::exists("/bin/busybox")) << "package busybox-static";
  std::filesystem::copy_file("/bin/busybox", dir.path() + "/bin/busybox");
  MoatProcess moat = Start({"/bin/busybox", "ls", "/"}, {"--rootfs", dir.path()});
  EXPECT_EQ(moat.Wait(), 0) << moat.err();
  EXPECT_THAT(moat.out(), HasSubstr("bin\n"));
  EXPECT_THAT(moat.out(), Not(HasSubstr("home")));
}

TEST(DoTest, UmaskNicenessAndLimitsAreInherited) {
  EXPECT_EQ(Output("umask; nice; ulimit -n; ulimit -c", {},
                   [] {
                     umask(027);
                     setpriority(PRIO_PROCESS, 0, 7);
                     const rlimit files{123, 200}, core{0, 0};
                     setrlimit(RLIMIT_NOFILE, &files);
                     setrlimit(RLIMIT_CORE, &core);
                   }),
            "0027\n7\n123\n0\n");
}

TEST(DoTest, SignalsReachTheCommand) {
  for (const char* name : {"TERM", "HUP", "INT", "USR1"}) {
    MoatProcess moat =
        Shell(std::string("trap 'echo got; exit 3' ") + name + "; echo ready; while :; do sleep 0.05; done");
    ASSERT_TRUE(moat.OutputContains("ready")) << moat.err();
    const int signo = name == std::string("TERM")  ? SIGTERM
                      : name == std::string("HUP") ? SIGHUP
                      : name == std::string("INT") ? SIGINT
                                                   : SIGUSR1;
    kill(moat.pid(), signo);
    EXPECT_EQ(moat.Wait(), 3) << name;
    EXPECT_EQ(moat.out(), "ready\ngot\n") << name;
  }
}

TEST(DoTest, UnhandledSignalEndsTheCommand) {
  MoatProcess moat = Shell("echo ready; exec sleep 60");
  ASSERT_TRUE(moat.OutputContains("ready"));
  kill(moat.pid(), SIGTERM);
  EXPECT_EQ(moat.Wait(), 128 + SIGTERM);
}

TEST(DoTest, TimeoutEndsTheCommand) {
  EXPECT_EQ(Start({"sleep", "60"}, {"--timeout", "0.3"}).Wait(), 124);
  EXPECT_EQ(Shell("trap '' TERM; while :; do :; done", {"--timeout", "0.3"}).Wait(), 124);
}

TEST(DoTest, BackgroundProcessesEndWithTheCommand) {
  MoatProcess moat = Shell("sleep 60 & sleep 61 & exit 0");
  EXPECT_EQ(moat.Wait(), 0);
}

TEST(DoTest, StoppedSandboxIsGivenUp) {
  MoatProcess moat = Shell("echo ready; sleep 60");
  ASSERT_TRUE(moat.OutputContains("ready"));
  const std::vector<HostProcess> all = DescendantsOf(moat.pid());
  kill(DescendantNamed(moat.pid(), "moat-sentry").pid, SIGSTOP);
  kill(moat.pid(), SIGTERM);
  usleep(1'200'000);
  kill(moat.pid(), SIGTERM);
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_EQ(moat.err(), "moat: the sandbox kernel does not answer: the sandbox was killed\n");
  EXPECT_TRUE(AllGone(all));
}

TEST(DoTest, SignalBeforeTheCommandRunsIsNotLost) {
  for (int delay_us = 0; delay_us < 30'000; delay_us += 1000) {
    MoatProcess moat = Start({"sleep", "60"});
    // From when it takes signals.
    ASSERT_TRUE(Eventually([&] {
      const std::string blocked = StatusField(moat.pid(), "SigBlk");
      return blocked.empty() || (strtoull(blocked.c_str(), nullptr, 16) >> (SIGTERM - 1) & 1) != 0;
    }));
    usleep(static_cast<useconds_t>(delay_us));
    kill(moat.pid(), SIGTERM);
    EXPECT_EQ(moat.Wait(), 128 + SIGTERM) << delay_us;
  }
}

// Kills one process of a busy sandbox: nothing of it may stay.
void ExpectNothingLeftAfterKilling(const std::string& victim) {
  MoatProcess moat = Shell("sleep 60 & while :; do :; done & echo ready; sleep 60");
  ASSERT_TRUE(moat.OutputContains("ready")) << moat.err();
  const std::vector<HostProcess> all = DescendantsOf(moat.pid());
  ASSERT_GE(all.size(), 4u) << "sentry, gofer and stubs";
  const pid_t pid = victim == "moat" ? moat.pid() : DescendantNamed(moat.pid(), victim).pid;
  ASSERT_GT(pid, 0);
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  EXPECT_EQ(moat.Wait(), victim == "moat" ? -SIGKILL : 125);
  EXPECT_TRUE(AllGone(all));
}

TEST(DoTest, KillingMoatLeavesNothing) { ExpectNothingLeftAfterKilling("moat"); }
TEST(DoTest, KillingTheSentryLeavesNothing) { ExpectNothingLeftAfterKilling("moat-sentry"); }
TEST(DoTest, KillingTheGoferLeavesNothing) { ExpectNothingLeftAfterKilling("moat-gofer"); }

// The stub of the youngest guest process, where two are left: stubs are children of the sentry, the zygote is
// the oldest.
pid_t YoungestStub(const MoatProcess& moat) {
  const pid_t sentry = DescendantNamed(moat.pid(), "moat-sentry").pid;
  std::vector<HostProcess> stubs;
  EXPECT_TRUE(Eventually([&] { return (stubs = DescendantsOf(sentry)).size() == 3; }));
  std::ranges::sort(stubs, {}, &HostProcess::pid);
  return stubs.empty() ? 0 : stubs.back().pid;
}

TEST(DoTest, KillingAStubEndsOnlyItsProcess) {
  MoatProcess moat = Shell("(while :; do :; done) & echo ready; wait $!; echo $?");
  ASSERT_TRUE(moat.OutputContains("ready"));
  const pid_t busy = YoungestStub(moat);
  ASSERT_GT(busy, 0);
  EXPECT_TRUE(Eventually([&] { return ProcessState(busy) == 'R'; }));
  EXPECT_EQ(kill(busy, SIGKILL), 0);
  EXPECT_EQ(moat.Wait(), 0) << moat.err();
  EXPECT_EQ(moat.out(), "ready\n137\n");
}

TEST(DoTest, KillingTheStubOfASleeperEndsItsProcess) {
  // Ready when `sleep` is loaded and asleep: an exec ends the stub that the fork made.
  MoatProcess moat = Shell(
      "sleep 1234 & until read -r pid name state rest </proc/$!/stat && [ \"$name$state\" = '(sleep)S' ]; do "
      ":; done; "
      "echo ready; wait $!; echo $?");
  ASSERT_TRUE(moat.OutputContains("ready"));
  const pid_t sleeper = YoungestStub(moat);
  ASSERT_GT(sleeper, 0);
  EXPECT_EQ(kill(sleeper, SIGKILL), 0);
  EXPECT_EQ(moat.Wait(), 0) << moat.err();
  EXPECT_EQ(moat.out(), "ready\n137\n");
}

TEST(DoTest, NothingIsLeftAfterAnOrdinaryEnd) {
  MoatProcess moat = Shell("sleep 60 & echo ready; sleep 0.3");
  ASSERT_TRUE(moat.OutputContains("ready"));
  const std::vector<HostProcess> all = DescendantsOf(moat.pid());
  EXPECT_EQ(moat.Wait(), 0);
  for (const HostProcess& process : all) EXPECT_FALSE(process.Alive()) << process.Name();
}

TEST(DoTest, InheritedDescriptorsDoNotReachTheCommand) {
  const std::string fds =
      Output("ls /proc/self/fd | tr '\\n' ' '", {}, [] { dup2(open("/etc/passwd", O_RDONLY), 9); });
  EXPECT_THAT(fds, testing::MatchesRegex("0 1 2 3 ?")) << "3 is ls's own";
}

TEST(DoTest, NohupIsHonoured) {
  MoatProcess moat = Shell("echo ready; kill -HUP $$; echo alive", {}, [] { signal(SIGHUP, SIG_IGN); });
  EXPECT_EQ(moat.Wait(), 0);
  EXPECT_EQ(moat.out(), "ready\nalive\n");
}

TEST(DoTest, ManySandboxesRunAtOnce) {
  std::vector<std::unique_ptr<MoatProcess>> all;
  for (int i = 0; i < 10; ++i) {
    all.push_back(std::make_unique<MoatProcess>(
        Programs() + "/moat",
        std::vector<std::string>{"do", "--", "/bin/sh", "-c", "echo $$; exit " + std::to_string(i)}));
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(all[i]->Wait(), i) << all[i]->err();
    EXPECT_THAT(all[i]->out(), testing::MatchesRegex("[0-9]+\n"));
  }
}

TEST(DoTest, StraceShowsCalls) {
  TempDir dir;
  const std::string file = dir.path() + "/trace";
  MoatProcess moat = Shell("/bin/true; echo hi", {"--strace=" + file});
  EXPECT_EQ(moat.Wait(), 0) << moat.err();
  EXPECT_EQ(moat.out(), "hi\n");
  EXPECT_THAT(Slurp(file), HasSubstr("execve"));
  EXPECT_THAT(Slurp(file), HasSubstr("write(1, \"hi"));
}

class OrdinaryUserTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "the other tests run as an ordinary user already";
    programs_ = std::make_unique<ProgramCopy>(Programs());
  }
  MoatProcess Run(const std::string& script, std::vector<std::string> flags = {}) {
    std::vector<std::string> args = {"do"};
    args.insert(args.end(), flags.begin(), flags.end());
    args.insert(args.end(), {"--", "/bin/sh", "-c", script});
    return MoatProcess(programs_->moat(), args, [] {
      (void)!chdir("/");
      BecomeOrdinaryUser();
    });
  }
  std::unique_ptr<ProgramCopy> programs_;
};

TEST_F(OrdinaryUserTest, CommandsRun) {
  MoatProcess moat = Run("id -u; cat /etc/hostname >/dev/null && echo read; exit 5");
  EXPECT_EQ(moat.Wait(), 5) << moat.err();
  EXPECT_EQ(moat.out(), "65533\nread\n");
}

TEST_F(OrdinaryUserTest, OwnFilesCanBeWrittenBelowRwAndOthersNot) {
  TempDir dir;
  ASSERT_EQ(chown(dir.path().c_str(), 65533, 65533), 0);
  TempDir roots;
  chmod(roots.path().c_str(), 0755);
  MoatProcess moat = Run("echo x > " + dir.path() + "/f && stat -c %u " + dir.path() +
                             "/f; echo y 2>/dev/null > " + roots.path() + "/f || echo refused",
                         {"--rw", dir.path(), "--rw", roots.path()});
  EXPECT_EQ(moat.Wait(), 0) << moat.err();
  EXPECT_EQ(moat.out(), "65533\nrefused\n");
  EXPECT_EQ(dir.Read("f"), "x\n");
  EXPECT_FALSE(std::filesystem::exists(roots.path() + "/f"));
}

TEST_F(OrdinaryUserTest, RootOfTheSandboxIsNotRootOfTheHost) {
  MoatProcess moat = Run("exit 7", {"--user", "0"});
  EXPECT_EQ(moat.Wait(), 7) << moat.err();
  MoatProcess shadow = Run("cat /etc/shadow 2>/dev/null | wc -c", {"--user", "0", "--no-default-hide"});
  EXPECT_EQ(shadow.Wait(), 0) << shadow.err();
  EXPECT_EQ(shadow.out(), "0\n");
}

}  // namespace
}  // namespace moat::test
