#include "runtime/sandbox/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "runtime/sandbox/hide_list.h"
#include "runtime/sandbox/users.h"
#include "runtime/util/failure.h"

namespace moat {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A home with a few secrets, below a rootfs-like directory.
class PlanTest : public testing::Test {
 protected:
  PlanTest() {
    char name[] = "/var/tmp/moat-plan-XXXXXX";
    dir_ = std::filesystem::canonical(mkdtemp(name)).string();
    std::filesystem::create_directories(dir_ + "/home/.ssh");
    std::filesystem::create_directories(dir_ + "/etc");
    std::ofstream(dir_ + "/home/.netrc") << "secret";
    std::ofstream(dir_ + "/etc/passwd") << "u:x:1000:1001::/home:/bin/sh\n";
    std::ofstream(dir_ + "/etc/group") << "a:x:7:u\nb:x:8:v,u\n";
    caller_.uid = 4242, caller_.gid = 4343;
    caller_.cwd = dir_;
    caller_.home = dir_ + "/home";
    options_.command = {"true"};
  }
  ~PlanTest() override { std::filesystem::remove_all(dir_); }

  const SandboxMount* Find(const SandboxPlan& plan, const std::string& target) {
    const auto it = std::ranges::find(plan.sentry.mounts, target, &SandboxMount::target);
    return it == plan.sentry.mounts.end() ? nullptr : &*it;
  }

  std::string dir_;
  Caller caller_;
  DoOptions options_;
};

TEST_F(PlanTest, LimitsFitTheHostAndEachOther) {
  const SandboxPlan spare = MakePlan(options_, caller_);
  EXPECT_GE(spare.sentry.memory_bytes, uint64_t{64} << 20);
  EXPECT_LE(spare.sentry.max_tasks, 8192u);
  options_.memory_bytes = 32 << 20;
  const SandboxPlan small = MakePlan(options_, caller_);
  EXPECT_EQ(small.sentry.memory_bytes, uint64_t{32} << 20);
  EXPECT_EQ(small.sentry.layer_bytes, uint64_t{16} << 20);
  EXPECT_EQ(small.sentry.max_tasks, 128u) << "so many fit";
  options_.pids = 5;
  EXPECT_EQ(MakePlan(options_, caller_).sentry.max_tasks, 5u);
  options_.memory_bytes = 1 << 20;
  EXPECT_THROW(MakePlan(options_, caller_), Failure);
}

TEST_F(PlanTest, RootIsAnOverlayOverTheHostAndSystemDirsAreOurs) {
  const SandboxPlan plan = MakePlan(options_, caller_);
  ASSERT_EQ(plan.sentry.mounts[0].kind, MountKind::kOverlay);
  EXPECT_EQ(plan.sentry.mounts[0].target, "/");
  EXPECT_EQ(plan.gofer.roots.at(plan.sentry.mounts[0].root), (GoferRoot{"/", false}));
  EXPECT_EQ(Find(plan, "/proc")->kind, MountKind::kProc);
  EXPECT_EQ(Find(plan, "/sys")->kind, MountKind::kSys);
  EXPECT_EQ(Find(plan, "/dev")->kind, MountKind::kDev);
  EXPECT_EQ(Find(plan, "/tmp")->kind, MountKind::kTmpfs);
  EXPECT_EQ(Find(plan, "/tmp")->mode, 01777u);
  EXPECT_EQ(Find(plan, "/run")->kind, MountKind::kTmpfs);
  EXPECT_EQ(plan.sentry.cwd, dir_);
  EXPECT_EQ(plan.sentry.uid, 4242u);
  EXPECT_EQ(plan.sentry.host_uid, 4242u);
  EXPECT_FALSE(plan.gofer.privileged);
}

TEST_F(PlanTest, RootCallerDoesNotKeepItsHostIds) {
  caller_.uid = caller_.gid = 0;
  caller_.privileged = true;
  const SandboxPlan plan = MakePlan(options_, caller_);
  EXPECT_EQ(plan.sentry.uid, 0u);
  EXPECT_EQ(plan.sentry.host_uid, 65534u);
  EXPECT_TRUE(plan.gofer.privileged);
}

TEST_F(PlanTest, DefaultHidesAreLockedMountsAndUnknownToTheGofer) {
  const SandboxPlan plan = MakePlan(options_, caller_);
  const SandboxMount* ssh = Find(plan, dir_ + "/home/.ssh");
  const SandboxMount* netrc = Find(plan, dir_ + "/home/.netrc");
  ASSERT_NE(ssh, nullptr);
  ASSERT_NE(netrc, nullptr);
  EXPECT_EQ(ssh->kind, MountKind::kTmpfs);
  EXPECT_EQ(netrc->kind, MountKind::kEmptyFile);
  EXPECT_TRUE(ssh->locked && ssh->read_only && netrc->locked && netrc->read_only);
  EXPECT_THAT(plan.gofer.hidden, Contains(dir_ + "/home/.ssh"));
  EXPECT_EQ(Find(plan, dir_ + "/home/.aws"), nullptr);  // does not exist
}

TEST_F(PlanTest, NoDefaultHideShowsThem) {
  options_.default_hide = false;
  const SandboxPlan plan = MakePlan(options_, caller_);
  EXPECT_EQ(Find(plan, dir_ + "/home/.ssh"), nullptr);
  EXPECT_THAT(plan.gofer.hidden, IsEmpty());
}

TEST_F(PlanTest, SharingTheHomeKeepsItsSecretsHiddenOnTop) {
  options_.read_write = {dir_ + "/home"};
  const SandboxPlan plan = MakePlan(options_, caller_);
  const SandboxMount* home = Find(plan, dir_ + "/home");
  ASSERT_NE(home, nullptr);
  EXPECT_EQ(home->kind, MountKind::kGofer);
  EXPECT_FALSE(home->read_only);
  EXPECT_TRUE(plan.gofer.roots.at(home->root).writable);
  EXPECT_LT(home, Find(plan, dir_ + "/home/.ssh")) << "mounted before the hide";
}

TEST_F(PlanTest, SharingASecretByNameShowsIt) {
  options_.read_only = {dir_ + "/home/.ssh"};
  const SandboxPlan plan = MakePlan(options_, caller_);
  EXPECT_EQ(std::ranges::count(plan.sentry.mounts, dir_ + "/home/.ssh", &SandboxMount::target), 1);
  EXPECT_EQ(Find(plan, dir_ + "/home/.ssh")->kind, MountKind::kGofer);
  EXPECT_THAT(plan.gofer.hidden, Not(Contains(dir_ + "/home/.ssh")));
}

TEST_F(PlanTest, SharedPathMayBeAFileButNoDevice) {
  options_.read_only = {"etc/passwd:/etc/passwd"};
  const SandboxPlan plan = MakePlan(options_, caller_);
  ASSERT_NE(Find(plan, "/etc/passwd"), nullptr);
  EXPECT_EQ(plan.gofer.roots.at(Find(plan, "/etc/passwd")->root), (GoferRoot{dir_ + "/etc/passwd", false}));
  options_.read_only = {"/dev/null"};
  EXPECT_THROW(MakePlan(options_, caller_), Failure);
}

TEST_F(PlanTest, TmpfsHasSizeAndMode) {
  options_.tmpfs = {"/a", "/b:size=64m", "/c:mode=700,size=4096", "/d:e"};
  const SandboxPlan plan = MakePlan(options_, caller_);
  EXPECT_EQ(Find(plan, "/a")->size, 0u);
  EXPECT_EQ(Find(plan, "/a")->mode, 01777u);
  EXPECT_EQ(Find(plan, "/b")->size, 64u << 20);
  EXPECT_EQ(Find(plan, "/c")->size, 4096u);
  EXPECT_EQ(Find(plan, "/c")->mode, 0700u);
  EXPECT_NE(Find(plan, "/d:e"), nullptr);
  for (const char* bad : {"/a:size=", "/a:size=1x", "/a:size=0", "/a:size=-1", "/a:mode=8", "/a:mode=17777", "/a:size=99999999999g", "/a:uid=3"}) {
    options_.tmpfs = {bad};
    EXPECT_THROW(MakePlan(options_, caller_), Failure) << bad;
  }
}

TEST_F(PlanTest, SymlinksOfAnotherRootStayInIt) {
  std::filesystem::create_symlink("/home", dir_ + "/absolute");
  std::filesystem::create_symlink("../../../../../../etc", dir_ + "/above");
  options_.rootfs = dir_;
  options_.hide = {"/absolute/.netrc", "/above/group"};
  const SandboxPlan plan = MakePlan(options_, caller_);
  EXPECT_NE(Find(plan, "/home/.netrc"), nullptr);
  EXPECT_NE(Find(plan, "/etc/group"), nullptr);
  EXPECT_THAT(plan.gofer.hidden, testing::IsSupersetOf({dir_ + "/home/.netrc", dir_ + "/etc/group"}));
}

TEST_F(PlanTest, SharedPathMayHaveAnotherNameInside) {
  options_.read_only = {"home:/data"};
  const SandboxPlan plan = MakePlan(options_, caller_);
  ASSERT_NE(Find(plan, "/data"), nullptr);
  EXPECT_TRUE(Find(plan, "/data")->read_only);
  EXPECT_EQ(plan.gofer.roots.at(Find(plan, "/data")->root).path, dir_ + "/home");
}

TEST_F(PlanTest, MissingPathsAreFailures) {
  for (auto member : {&DoOptions::read_write, &DoOptions::read_only, &DoOptions::hide}) {
    DoOptions options = options_;
    (options.*member) = {dir_ + "/missing"};
    EXPECT_THROW(MakePlan(options, caller_), Failure);
  }
  options_.rootfs = dir_ + "/missing";
  EXPECT_THROW(MakePlan(options_, caller_), Failure);
}

TEST_F(PlanTest, CwdBelowTmpIsShownThere) {
  char name[] = "/tmp/moat-plan-XXXXXX";
  caller_.cwd = std::filesystem::canonical(mkdtemp(name)).string();
  const SandboxPlan plan = MakePlan(options_, caller_);
  const SandboxMount* mount = Find(plan, caller_.cwd);
  ASSERT_NE(mount, nullptr);
  EXPECT_EQ(mount->kind, MountKind::kOverlay);
  EXPECT_EQ(plan.gofer.roots.at(mount->root), (GoferRoot{caller_.cwd, false}));
  EXPECT_LT(Find(plan, "/tmp"), mount);
  std::filesystem::remove(caller_.cwd);
}

TEST_F(PlanTest, OtherRootStartsAtItsRootAndHidesInsideIt) {
  options_.rootfs = dir_;
  options_.hide = {"/home/.netrc"};
  const SandboxPlan plan = MakePlan(options_, caller_);
  EXPECT_EQ(plan.sentry.cwd, "/");
  EXPECT_EQ(plan.gofer.roots[0].path, dir_);
  ASSERT_NE(Find(plan, "/home/.netrc"), nullptr);
  EXPECT_THAT(plan.gofer.hidden, Contains(dir_ + "/home/.netrc"));
}

TEST_F(PlanTest, HideCannotBeLedOutOfTheRootBySymlinks) {
  std::filesystem::create_symlink("/etc", dir_ + "/out");
  options_.rootfs = dir_;
  options_.hide = {"/out"};
  EXPECT_THAT(MakePlan(options_, caller_).gofer.hidden, ElementsAre(dir_ + "/etc")) << "the image's, not the host's";
}

TEST_F(PlanTest, SecretsOfTheEnvironmentAreDroppedWithANotice) {
  caller_.env = {"PATH=/bin", "GH_TOKEN=x", "API_KEY=y", "KEYBOARD=us", "SSH_AUTH_SOCK=/s"};
  SandboxPlan plan = MakePlan(options_, caller_);
  EXPECT_THAT(plan.sentry.env, ElementsAre("PATH=/bin", "KEYBOARD=us"));
  EXPECT_THAT(plan.notices, ElementsAre(HasSubstr("GH_TOKEN API_KEY SSH_AUTH_SOCK")));
  options_.default_hide = false;
  plan = MakePlan(options_, caller_);
  EXPECT_EQ(plan.sentry.env, caller_.env);
  EXPECT_THAT(plan.notices, IsEmpty());
}

TEST_F(PlanTest, EnvAndClearenvWork) {
  caller_.env = {"A=1", "B=2"};
  options_.env = {"A=3", "GH_TOKEN=given"};
  EXPECT_THAT(MakePlan(options_, caller_).sentry.env, ElementsAre("B=2", "A=3", "GH_TOKEN=given"));
  options_.clear_env = true;
  EXPECT_THAT(MakePlan(options_, caller_).sentry.env, ElementsAre("A=3", "GH_TOKEN=given"));
  options_.env = {"NOVALUE"};
  EXPECT_THROW(MakePlan(options_, caller_), Failure);
}

TEST_F(PlanTest, UserNamesComeFromTheSandboxesRoot) {
  options_.rootfs = dir_;
  options_.user = "u";
  const SandboxPlan plan = MakePlan(options_, caller_);
  EXPECT_EQ(plan.sentry.uid, 1000u);
  EXPECT_EQ(plan.sentry.gid, 1001u);
  EXPECT_THAT(plan.sentry.groups, ElementsAre(7, 8));
}

TEST(ResolveUserTest, NumbersAndErrors) {
  const std::string passwd = "root:x:0:0:::\nu:x:1000:1001:::\n";
  EXPECT_EQ(ResolveUser("5:6", passwd, ""), (UserIds{5, 6, {}}));
  EXPECT_EQ(ResolveUser("1000", passwd, ""), (UserIds{1000, 1001, {}}));
  EXPECT_EQ(ResolveUser("77", passwd, ""), (UserIds{77, 77, {}}));
  for (const char* bad : {"nobody-here", "1:x", "1:2:3", "-1", "4294967295", ""}) {
    EXPECT_THROW(ResolveUser(bad, passwd, ""), Failure) << bad;
  }
}

TEST(IsSecretNameTest, LooksAtTheLastWord) {
  EXPECT_TRUE(IsSecretName("AWS_SECRET_ACCESS_KEY"));
  EXPECT_TRUE(IsSecretName("TOKEN"));
  EXPECT_FALSE(IsSecretName("TOKENIZER"));
  EXPECT_FALSE(IsSecretName("KEY_DIR"));
}

}  // namespace
}  // namespace moat
