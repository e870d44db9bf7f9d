// The posture of a live sandbox, seen from the host: what each process and each of its threads could still do
// is compared with what it must have given up. A protection that silently was not set up shows here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <sstream>

#include "tests/util/moat_process.h"

namespace moat::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

constexpr const char* kNoCapabilities = "0000000000000000";
// A root's gofer: DAC_READ_SEARCH; with a writable mount also CHOWN DAC_OVERRIDE FOWNER FSETID.
constexpr const char* kReadingGofer = "0000000000000004";
constexpr const char* kWritingGofer = "000000000000001f";

std::string Proc(pid_t pid, const std::string& file) { return "/proc/" + std::to_string(pid) + "/" + file; }

std::string Namespace(pid_t pid, const std::string& kind) {
  std::error_code error;
  return std::filesystem::read_symlink(Proc(pid, "ns/" + kind), error).string();
}

// Where the descriptors of a process lead.
std::vector<std::string> DescriptorsOf(pid_t pid) {
  std::vector<std::string> targets;
  for (const auto& entry : std::filesystem::directory_iterator(Proc(pid, "fd"))) {
    std::error_code error;
    targets.push_back(std::filesystem::read_symlink(entry, error).string());
  }
  return targets;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<pid_t> ThreadsOf(pid_t pid) {
  std::vector<pid_t> threads;
  for (const auto& entry : std::filesystem::directory_iterator(Proc(pid, "task"))) {
    threads.push_back(atoi(entry.path().filename().c_str()));
  }
  return threads;
}

std::string ThreadField(pid_t pid, pid_t tid, const std::string& name) {
  const std::string status = "\n" + Slurp(Proc(pid, "task/" + std::to_string(tid) + "/status"));
  const size_t at = status.find("\n" + name + ":\t");
  if (at == std::string::npos) return "";
  const size_t from = at + name.size() + 3;
  return status.substr(from, status.find('\n', from) - from);
}

// Every thread: credentials without a way back, no new privileges, a filter. (Only root can empty its
// bounding set, which without new privileges is a second lock on the same door.)
void ExpectLockedDown(pid_t pid, const std::string& ids, const std::string& capabilities,
                      bool bounded = true) {
  const std::vector<pid_t> threads = ThreadsOf(pid);
  ASSERT_THAT(threads, Not(IsEmpty()));
  for (const pid_t tid : threads) {
    SCOPED_TRACE("thread " + std::to_string(tid) + " of " + StatusField(pid, "Name"));
    EXPECT_EQ(ThreadField(pid, tid, "Uid"), ids);
    EXPECT_EQ(ThreadField(pid, tid, "Gid"), ids);
    EXPECT_EQ(ThreadField(pid, tid, "CapEff"), capabilities);
    EXPECT_EQ(ThreadField(pid, tid, "CapPrm"), capabilities);
    EXPECT_EQ(ThreadField(pid, tid, "CapInh"), kNoCapabilities);
    EXPECT_EQ(ThreadField(pid, tid, "CapAmb"), kNoCapabilities);
    if (bounded) EXPECT_EQ(ThreadField(pid, tid, "CapBnd"), capabilities);
    EXPECT_EQ(ThreadField(pid, tid, "NoNewPrivs"), "1");
    EXPECT_EQ(ThreadField(pid, tid, "Seccomp"), "2");
  }
  EXPECT_THAT(Lines(Slurp(Proc(pid, "limits"))),
              testing::Contains(MatchesRegex("Max core file size +1 +1 +bytes +")));
}

// Sanitizers need dynamic programs, which keep the host's root to find their libraries.
bool RootIsKept() {
#ifdef MOAT_UNSAFE_KEEP_ROOT
  puts("not checked: the root and the mounts, which builds with sanitizers do not change");
  return true;
#else
  return false;
#endif
}

void ExpectEmptyRoot(pid_t pid) {
  if (RootIsKept()) return;
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(Proc(pid, "root/"), error)) {
    names.push_back(entry.path());
  }
  EXPECT_FALSE(error) << error.message();
  EXPECT_THAT(names, IsEmpty());
}

// Two processes that neither fork nor execute anything after "ready": their stubs stay the same.
constexpr const char* kTwoProcesses = "(while :; do :; done) & echo ready; wait";

class PostureTest : public testing::TestWithParam<bool> {
 protected:
  // Parameter: started by root.
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to look and to become others";
    programs_ = std::make_unique<ProgramCopy>(getenv("MOAT_PROGRAMS"));
    moat_ = std::make_unique<MoatProcess>(
        programs_->moat(), std::vector<std::string>{"do", "--", "/bin/sh", "-c", kTwoProcesses}, [] {
          (void)!chdir("/");
          dup2(open("/etc/passwd", O_RDONLY), 9);  // must go no further
          if (!GetParam()) BecomeOrdinaryUser();
        });
    ASSERT_TRUE(moat_->OutputContains("ready")) << moat_->err();
    sentry_ = DescendantNamed(moat_->pid(), "moat-sentry").pid;
    gofer_ = DescendantNamed(moat_->pid(), "moat-gofer").pid;
    ASSERT_GT(sentry_, 0);
    ASSERT_GT(gofer_, 0);
    ASSERT_TRUE(Eventually([&] {
      stubs_.clear();
      for (const HostProcess& process : DescendantsOf(sentry_)) stubs_.push_back(process.pid);
      return stubs_.size() >= 3;
    })) << "zygote and two guests";
  }

  static std::string SandboxIds() {
    return GetParam() ? "65534\t65534\t65534\t65534" : "65533\t65533\t65533\t65533";
  }

  std::unique_ptr<ProgramCopy> programs_;
  std::unique_ptr<MoatProcess> moat_;
  pid_t sentry_ = 0;
  pid_t gofer_ = 0;
  std::vector<pid_t> stubs_;
};

TEST_P(PostureTest, SentryHasGivenUpEverything) {
  ExpectLockedDown(sentry_, SandboxIds(), kNoCapabilities);
  EXPECT_EQ(StatusField(sentry_, "Groups"), "");
  ExpectEmptyRoot(sentry_);
  if (!RootIsKept()) {
    const std::vector<std::string> mounts = Lines(Slurp(Proc(sentry_, "mountinfo")));
    ASSERT_THAT(mounts, SizeIs(1));
    EXPECT_THAT(mounts[0], HasSubstr(" / / ro,nosuid,nodev,noexec"));
  }
  EXPECT_EQ(Slurp(Proc(sentry_, "environ")), "");
  EXPECT_THAT(StatusField(sentry_, "NSpid"), MatchesRegex("[0-9\t]+\t1"));
  EXPECT_EQ(StatusField(sentry_, "NSsid").substr(StatusField(sentry_, "NSsid").rfind('\t') + 1), "1");
}

TEST_P(PostureTest, NamespacesAreTheSandboxes) {
  for (const char* kind : {"user", "pid", "mnt", "net", "ipc", "uts"}) {
    SCOPED_TRACE(kind);
    const std::string sentrys = Namespace(sentry_, kind);
    EXPECT_NE(sentrys, "");
    EXPECT_NE(sentrys, Namespace(moat_->pid(), kind));
    EXPECT_NE(sentrys, Namespace(gofer_, kind));
    if (kind == std::string("user")) continue;  // a stub's may be one below
    for (const pid_t stub : stubs_) EXPECT_EQ(Namespace(stub, kind), sentrys);
  }
  EXPECT_THAT(Lines(Slurp(Proc(sentry_, "net/route"))), SizeIs(testing::Le(1u)))
      << "a header, no route anywhere";
}

TEST_P(PostureTest, SentryHoldsNoDirectoryAndNoStrangeDescriptor) {
  const std::vector<std::string> fds = DescriptorsOf(sentry_);
  size_t sockets = 0;
  for (const std::string& target : fds) {
    sockets += target.starts_with("socket:");
    std::error_code error;
    EXPECT_FALSE(target.starts_with('/') && std::filesystem::is_directory(target, error)) << target;
    EXPECT_NE(target, "/etc/passwd") << "inherited";
    EXPECT_THAT(target, Not(StartsWith("/proc")));
  }
  EXPECT_EQ(sockets, 4u) << "moat, gofer, and both ends of the stubs' channel";
}

TEST_P(PostureTest, StubsHaveNothing) {
  for (const pid_t stub : stubs_) {
    SCOPED_TRACE("stub " + std::to_string(stub));
    ExpectLockedDown(stub, SandboxIds(), kNoCapabilities);
    EXPECT_EQ(StatusField(stub, "PPid"), std::to_string(sentry_));
    // The channel over which descriptors to map arrive: the same for all, one end of a pair of the sentry's.
    const std::vector<std::string> fds = DescriptorsOf(stub);
    ASSERT_THAT(fds, SizeIs(1));
    EXPECT_THAT(fds[0], StartsWith("socket:"));
    EXPECT_THAT(DescriptorsOf(sentry_), testing::Contains(fds[0]));
    ExpectEmptyRoot(stub);
    const std::string maps = Slurp(Proc(stub, "maps"));
    EXPECT_THAT(maps, Not(HasSubstr("moat-sentry"))) << "a stub keeps nothing of the sentry's image";
    EXPECT_THAT(maps, Not(HasSubstr("[vvar]"))) << "the host's clock page";
  }
}

TEST_P(PostureTest, GoferIsConfined) {
  const bool root = GetParam();
  ExpectLockedDown(gofer_, root ? "0\t0\t0\t0" : SandboxIds(), root ? kReadingGofer : kNoCapabilities,
                   /*bounded=*/root);
  EXPECT_EQ(StatusField(gofer_, "Groups"), "");
  EXPECT_EQ(Slurp(Proc(gofer_, "environ")), "");
  EXPECT_EQ(Namespace(gofer_, "user"), Namespace(moat_->pid(), "user"));
  size_t sockets = 0;
  for (const std::string& target : DescriptorsOf(gofer_)) {
    sockets += target.starts_with("socket:");
    EXPECT_NE(target, "/etc/passwd") << "inherited";
  }
  EXPECT_EQ(sockets, 1u) << "the sentry";
}

TEST_P(PostureTest, GoferHasTheRightsOfWritingOnlyForWritableMounts) {
  if (!GetParam()) return;  // an ordinary user's has none
  MoatProcess moat(programs_->moat(),
                   {"do", "--rw", "/var/tmp", "--", "/bin/sh", "-c", "echo ready; sleep 60"});
  ASSERT_TRUE(moat.OutputContains("ready")) << moat.err();
  ExpectLockedDown(DescendantNamed(moat.pid(), "moat-gofer").pid, "0\t0\t0\t0", kWritingGofer);
}

// Who may ptrace a process may read this link of it.
bool MayLookInto(pid_t pid, uid_t uid) {
  const int status = RunInChild([&]() -> int {
    if (setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0) return 2;
    char target[256];
    return readlink(Proc(pid, "exe").c_str(), target, sizeof(target)) >= 0 ? 1 : 0;
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) < 2);
  return WEXITSTATUS(status) == 1;
}

// All of them run with ids that a hostile sentry has too; what protects them is that they are not dumpable.
// (An ordinary user owns the sentry's user namespace and may always look into it.)
TEST_P(PostureTest, NobodyWithTheSandboxesIdsMayLookIntoTheOthers) {
  if (GetParam()) {
    EXPECT_FALSE(MayLookInto(sentry_, 65534));
    EXPECT_FALSE(MayLookInto(gofer_, 65534));
    EXPECT_FALSE(MayLookInto(moat_->pid(), 65534));
  } else {
    EXPECT_FALSE(MayLookInto(gofer_, 65533));
    EXPECT_FALSE(MayLookInto(moat_->pid(), 65533));
  }
}

INSTANTIATE_TEST_SUITE_P(StartedBy, PostureTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Root" : "OrdinaryUser"; });

}  // namespace
}  // namespace moat::test
