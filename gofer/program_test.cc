// The program itself, as `moat` starts it: every operation under its real filter and confinement, and its end.
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/fcntl.h"
#include "base/util/sanitizers.h"
#include "gofer/protocol/config.h"
#include "gofer/server/raw_client.h"

namespace moat::gofer {
namespace {

constexpr uid_t kOrdinaryUser = 1000;

class Program {
 public:
  Program(const GoferConfig& config, uid_t uid) {
    auto pair = host::Socketpair(abi::kAF_UNIX, abi::kSOCK_SEQPACKET | abi::kSOCK_CLOEXEC, 0);
    client_ = std::move(pair->first);
    std::string bytes = EncodeGoferConfig(config);
    int memfd = memfd_create("config", MFD_CLOEXEC);
    EXPECT_EQ(write(memfd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    pid_ = fork();
    if (pid_ == 0) {
      // The descriptors may stand in each other's way: first out of it, then into place.
      int wanted[] = {open("/dev/null", O_RDWR), dup(2), dup(2), pair->second.get(), memfd};
      for (int& fd : wanted) fd = fcntl(fd, F_DUPFD_CLOEXEC, 100);
      for (int i = 0; i < 5; ++i) dup2(wanted[i], i);
      // By descriptor: the build may lie where the user cannot go.
      int program = fcntl(open(MOAT_GOFER_PROGRAM, O_PATH), F_DUPFD_CLOEXEC, 100);
      if (config.privileged && (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr)))
        _exit(100);
      if (uid != geteuid() && (setgroups(0, nullptr) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))) _exit(101);
      char name[] = "moat-gofer";
      char* argv[] = {name, nullptr};
      syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
      _exit(102);
    }
    close(memfd);
  }
  ~Program() {
    if (pid_ > 0) Wait();
  }
  int fd() const { return client_.get(); }
  pid_t pid() const { return pid_; }
  // Hangs up; the exit status.
  int Wait() {
    client_.Reset();
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }

 private:
  UniqueFd client_;
  pid_t pid_ = -1;
};

struct Variant {
  const char* name;
  bool privileged;
  uid_t uid;
};

class ProgramTest : public ::testing::TestWithParam<Variant> {
 protected:
  ProgramTest() {
    if (geteuid() != 0) return;
    EXPECT_EQ(chmod(dir_.path().c_str(), 0777), 0);
    std::filesystem::create_directories(dir_ / "rw/d");
    std::filesystem::create_directories(dir_ / "ro");
    dir_.Write("ro/file", "file");
    dir_.Write("ro/hidden", "hidden");
    dir_.Write("outside", "outside");
    for (const char* p : {"rw", "rw/d"}) EXPECT_EQ(chown((dir_ / p).c_str(), GetParam().uid, GetParam().uid), 0);
  }
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to become others";
  }
  GoferConfig Config() const {
    GoferConfig config;
    config.roots = {{dir_ / "ro", false}, {dir_ / "rw", true}};
    config.hidden = {dir_ / "ro/hidden"};
    config.privileged = GetParam().privileged;
    return config;
  }
  TempDir dir_;
};

TEST_P(ProgramTest, EveryOperationPassesTheFilter) {
  Program program(Config(), GetParam().uid);
  RawClient client(program.fd());
  Handle ro = client.Attach(0), rw = client.Attach(1);
  RawReply walk = client.Walk(ro, {"file"}, kWalkOpenLast);
  ASSERT_EQ(walk.fds.size(), 1u);
  char c;
  EXPECT_EQ(pread(walk.fds[0].get(), &c, 1, 0), 1);
  EXPECT_EQ(pread(client.Walk(ro, {"hidden"}, kWalkOpenLast).fds.at(0).get(), &c, 1, 0), 0);
  NewNode node{0644, GetParam().uid, GetParam().uid};
  Writer w;
  auto expect_ok = [&](Op op) {
    RawReply reply = client.Call(op, w);
    EXPECT_EQ(reply.error, Errno{0}) << "operation " << static_cast<int>(op) << (reply.closed ? ": killed" : "");
    w.Clear();
  };
  w.Put(CreateRequest{rw, node, abi::kO_WRONLY, kOpenHandle}), w.PutString("made"), expect_ok(Op::kCreate);
  w.Put(CreateRequest{rw, node, abi::kO_RDWR, kOpenHandle}), expect_ok(Op::kCreateUnnamed);
  w.Put(MkdirRequest{rw, node}), w.PutString("dir"), expect_ok(Op::kMkdir);
  w.Put(SymlinkRequest{rw, node}), w.PutString("link"), w.PutString("to"), expect_ok(Op::kSymlink);
  w.Put(TargetRequest{{rw, 0, 0, 0}, 0, 0}), w.PutString("link"), expect_ok(Op::kReadLink);
  w.Put(LinkRequest{{rw, 0, 0, 0}, rw, 0}), w.PutString("made"), w.PutString("hard"), expect_ok(Op::kLink);
  w.Put(MknodRequest{rw, abi::kS_IFIFO, node}), w.PutString("fifo"), expect_ok(Op::kMknod);
  w.Put(RenameRequest{rw, rw, 0, 0}), w.PutString("hard"), w.PutString("moved"), expect_ok(Op::kRename);
  SetAttrRequest set{};
  set.target.handle = rw;
  set.mask = kSetMode | kSetUid | kSetGid | kSetSize | kSetAtime | kSetMtime;
  set.mode = 0600;
  set.uid = set.gid = GetParam().uid;
  set.size = 10;
  w.Put(set), w.PutString("made"), expect_ok(Op::kSetAttr);
  w.Put(TargetRequest{{rw, 0, 0, 0}, 0, 0}), w.PutString("made"), expect_ok(Op::kGetAttr);
  w.Put(BatchRequest{1, 0}), w.Put(Target{rw, 0, 0, 0}), w.PutString("made"), expect_ok(Op::kGetAttrBatch);
  w.Put(ReadDirRequest{{.handle = rw}, 1000, 0, 0}), w.PutString(""), expect_ok(Op::kReadDir);
  w.Put(TargetRequest{{rw, 0, 0, 0}, 0, 0}), w.PutString("made"), expect_ok(Op::kListXattr);
  for (uint32_t flags : {0u, uint32_t{kSyncData}, uint32_t{kSyncFileSystem}}) {
    w.Put(TargetRequest{{rw, 0, 0, 0}, flags, 0}), w.PutString(""), expect_ok(Op::kSync);
  }
  w.Put(TargetRequest{{rw, 0, 0, 0}, 0, 0}), w.PutString(""), expect_ok(Op::kStatFs);
  w.Put(UnlinkRequest{rw, 0, 0, 0}), w.PutString("made"), expect_ok(Op::kUnlink);
  w.Put(UnlinkRequest{rw, 0, 0, 0}), w.PutString("dir"), expect_ok(Op::kRmdir);
  for (Op op : {Op::kSetXattr, Op::kGetXattr, Op::kRemoveXattr}) {  // the file system may have none
    w.Clear();
    w.Put(XattrRequest{{rw, 0, 0, 0}, 0, op == Op::kSetXattr ? 1u : 0u});
    w.PutString("moved");
    w.PutString("user.x");
    if (op == Op::kSetXattr) w.PutBytes("v", 1);
    EXPECT_FALSE(client.Call(op, w).closed);
  }
  w.Clear();
  w.Put(CloseRequest{1, 0}), w.Put(rw), expect_ok(Op::kClose);
  int status = program.Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_P(ProgramTest, ReadOnlyRootRunsUnderTheShorterFilter) {
  GoferConfig config = Config();
  config.roots.pop_back();
  Program program(config, GetParam().uid);
  RawClient client(program.fd());
  Handle ro = client.Attach(0);
  Writer w;
  w.Put(TargetRequest{{ro, 0, 0, 0}, 0, 0});
  w.PutString("");
  EXPECT_EQ(client.Call(Op::kSync, w).error, Errno{0});
  w.Clear();
  w.Put(MkdirRequest{ro, {0755, 0, 0}});
  w.PutString("dir");
  EXPECT_EQ(client.Call(Op::kMkdir, w).error, kEROFS);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(client.Walk(ro, {"file"}, kWalkOpenLast).error, Errno{0});
  int status = program.Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

std::string StatusLine(pid_t pid, const std::string& key) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key + ":")) return line.substr(line.find_first_not_of("\t ", key.size() + 1));
  }
  return "?";
}

TEST_P(ProgramTest, ServesWithoutRights) {
  Program program(Config(), GetParam().uid);
  RawClient client(program.fd());
  client.Attach(0);  // it serves, so it is confined
  usleep(50'000);
  // Files of others as root; else nothing.
  EXPECT_EQ(StatusLine(program.pid(), "CapEff"), GetParam().privileged ? "000000000000001f" : "0000000000000000");
  EXPECT_EQ(StatusLine(program.pid(), "CapInh"), "0000000000000000");
  if (GetParam().privileged) EXPECT_EQ(StatusLine(program.pid(), "CapBnd"), "000000000000001f");
  EXPECT_EQ(StatusLine(program.pid(), "NoNewPrivs"), "1");
  EXPECT_EQ(StatusLine(program.pid(), "Seccomp"), "2");
#ifdef MOAT_TSAN
  EXPECT_EQ(StatusLine(program.pid(), "Threads"), "9");  // one is ThreadSanitizer's
#else
  EXPECT_EQ(StatusLine(program.pid(), "Threads"), "8");
#endif
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(program.pid()) + "/task")) {
    EXPECT_EQ(StatusLine(std::stoi(task.path().filename()), "Seccomp"), "2") << task.path();
  }
  if (GetParam().privileged) {
    EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(program.pid()) + "/root"), "/");
    EXPECT_FALSE(std::filesystem::exists("/proc/" + std::to_string(program.pid()) + "/root/outside"));
    EXPECT_FALSE(std::filesystem::exists("/proc/" + std::to_string(program.pid()) + "/root/etc"));
    EXPECT_TRUE(std::filesystem::exists("/proc/" + std::to_string(program.pid()) + "/root/file"));
  }
}

TEST_P(ProgramTest, RefusesToStartWithoutItsRoots) {
  GoferConfig config = Config();
  config.roots.push_back({dir_ / "nowhere", false});
  Program program(config, GetParam().uid);
  int status = program.Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
}

INSTANTIATE_TEST_SUITE_P(Users, ProgramTest,
                         ::testing::Values(Variant{"root", true, 0}, Variant{"ordinary", false, kOrdinaryUser}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace moat::gofer
