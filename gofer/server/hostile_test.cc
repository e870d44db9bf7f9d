// What a client gets that plays no fair: nothing outside its roots, no right it was not given, and a gofer that lives on.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <random>

#include "abi/fcntl.h"
#include "gofer/server/raw_client.h"

namespace moat::gofer {
namespace {

using namespace std::string_literals;

// The handle of a walk's first component.
Handle FirstHandle(const RawReply& walk) {
  WalkComponent first{};
  if (walk.body.size() >= sizeof(WalkReply) + sizeof first) memcpy(&first, walk.body.data() + sizeof(WalkReply), sizeof first);
  return first.handle;
}

class HostileTest : public ::testing::Test {
 protected:
  HostileTest() {
    std::filesystem::create_directories(outer_ / "root/dir");
    outer_.Write("secret", "secret");
    outer_.Write("root/file", "file");
    std::filesystem::create_symlink("../secret", outer_ / "root/up");
    std::filesystem::create_symlink("/etc/passwd", outer_ / "root/abs");
    std::filesystem::create_directory_symlink("..", outer_ / "root/updir");
    mkfifo((outer_ / "root/fifo").c_str(), 0666);
  }
  std::string root() const { return outer_ / "root"; }
  TempDir outer_;
};

TEST_F(HostileTest, NamesThatClimbAreRefused) {
  RunningServer server(MakeService({{root(), false}}));
  RawClient client(server.fd());
  Handle h = client.Attach();
  for (const auto& name : {".."s, "."s, "/"s, "../secret"s, "dir/../../secret"s, "/etc/passwd"s, "dir/"s, "a\0b"s}) {
    RawReply walk = client.Walk(h, {name});
    ASSERT_FALSE(walk.closed);
    EXPECT_TRUE(walk.error != Errno{0} || Errno{walk.As<WalkReply>().error} == kEINVAL) << name;
    RawReply opened = client.Open(h, name, abi::kO_RDONLY);
    EXPECT_EQ(opened.error, kEINVAL) << name;
    EXPECT_TRUE(opened.fds.empty());
    Writer w;
    w.Put(MkdirRequest{h, {0755, 0, 0}});
    w.PutString(name);
    EXPECT_EQ(client.Call(Op::kMkdir, w).error, kEINVAL) << name;
  }
  EXPECT_EQ(client.Walk(h, {std::string(256, 'x')}).error, kENAMETOOLONG);
}

TEST_F(HostileTest, SymlinksAreNeverFollowed) {
  RunningServer server(MakeService({{root(), false}}));
  RawClient client(server.fd());
  Handle h = client.Attach();
  for (const auto& name : {"up"s, "abs"s}) {
    EXPECT_EQ(client.Open(h, name, abi::kO_RDONLY).error, kENXIO);
    RawReply walk = client.Walk(h, {name}, kWalkOpenLast);
    EXPECT_TRUE(walk.fds.empty());
    EXPECT_EQ(walk.As<WalkReply>().stop, static_cast<uint16_t>(WalkStop::kSymlink));
  }
  RawReply through = client.Walk(h, {"updir", "secret"}, kWalkOpenLast | kWalkHandles);
  EXPECT_EQ(through.As<WalkReply>().count, 1);
  EXPECT_TRUE(through.fds.empty());
  // Nor by changes: chmod of a link's target, truncation, attributes.
  SetAttrRequest set{};
  set.target.handle = h;
  set.mask = kSetSize;
  Writer w;
  w.Put(set);
  w.PutString("up");
  EXPECT_NE(client.Call(Op::kSetAttr, w).error, Errno{0});
  EXPECT_EQ(outer_.Read("secret"), "secret");
}

TEST_F(HostileTest, OnlyRegularFilesAreOpened) {
  if (geteuid() == 0) ASSERT_EQ(mknod((root() + "/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  int sock = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{AF_UNIX, {}};
  strcpy(address.sun_path, (root() + "/sock").c_str());
  ASSERT_EQ(bind(sock, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  RunningServer server(MakeService({{root(), false}}));
  RawClient client(server.fd());
  Handle h = client.Attach();
  for (const auto& name : {"fifo"s, "sock"s, "null"s}) {
    if (!std::filesystem::exists(root() + "/" + name)) continue;
    for (uint32_t flags : {abi::kO_RDONLY, abi::kO_WRONLY, abi::kO_RDWR}) {
      RawReply reply = client.Open(h, name, flags);
      EXPECT_EQ(reply.error, kENXIO) << name;
      EXPECT_TRUE(reply.fds.empty());
    }
    EXPECT_TRUE(client.Walk(h, {name}, kWalkOpenLast).fds.empty());
  }
  EXPECT_EQ(client.Open(h, "dir", abi::kO_RDONLY).error, kEISDIR);
  EXPECT_TRUE(client.Walk(h, {"dir"}, kWalkOpenLast).fds.empty()) << "a directory's descriptor must not leave the gofer";
  Writer w;
  w.Put(MknodRequest{h, abi::kS_IFCHR, {0666, 0, 0}});
  w.PutString("dev");
  EXPECT_EQ(client.Call(Op::kMknod, w).error, kEPERM);
  close(sock);
}

TEST_F(HostileTest, ReadOnlyRootRefusesEveryChange) {
  RunningServer server(MakeService({{root(), true}}));
  RawClient client(server.fd());
  Handle h = client.Attach();
  NewNode node{0755, 0, 0};
  Writer w;
  auto expect_refused = [&](Op op) {
    EXPECT_EQ(client.Call(op, w).error, kEROFS) << static_cast<int>(op);
    w.Clear();
  };
  for (uint32_t flags : {abi::kO_WRONLY, abi::kO_RDWR, abi::kO_ACCMODE}) {
    EXPECT_EQ(client.Open(h, "file", flags).error, kEROFS);
  }
  w.Put(CreateRequest{h, node, abi::kO_RDONLY, 0}), w.PutString("n"), expect_refused(Op::kCreate);
  w.Put(CreateRequest{h, node, abi::kO_RDWR, 0}), expect_refused(Op::kCreateUnnamed);
  w.Put(MkdirRequest{h, node}), w.PutString("n"), expect_refused(Op::kMkdir);
  w.Put(SymlinkRequest{h, node}), w.PutString("n"), w.PutString("t"), expect_refused(Op::kSymlink);
  w.Put(MknodRequest{h, abi::kS_IFREG, node}), w.PutString("n"), expect_refused(Op::kMknod);
  w.Put(LinkRequest{{h, 0, 0, 0}, h, 0}), w.PutString("file"), w.PutString("n"), expect_refused(Op::kLink);
  w.Put(UnlinkRequest{h, 0, 0, 0}), w.PutString("file"), expect_refused(Op::kUnlink);
  w.Put(UnlinkRequest{h, 0, 0, 0}), w.PutString("dir"), expect_refused(Op::kRmdir);
  w.Put(RenameRequest{h, h, 0, 0}), w.PutString("file"), w.PutString("n"), expect_refused(Op::kRename);
  SetAttrRequest set{};
  set.target.handle = h;
  set.mask = kSetMode;
  w.Put(set), w.PutString("file"), expect_refused(Op::kSetAttr);
  w.Put(XattrRequest{{h, 0, 0, 0}, 0, 1}), w.PutString("file"), w.PutString("user.x"), w.PutBytes("v", 1);
  expect_refused(Op::kSetXattr);
  w.Put(XattrRequest{{h, 0, 0, 0}, 0, 0}), w.PutString("file"), w.PutString("user.x"), expect_refused(Op::kRemoveXattr);
  // O_TRUNC and O_CREAT are not a way around.
  EXPECT_EQ(client.Open(h, "file", abi::kO_TRUNC).error, kEINVAL);
  EXPECT_EQ(client.Open(h, "n", abi::kO_CREAT).error, kENOENT);
  EXPECT_EQ(client.Open(h, "file", abi::kO_PATH).error, kEINVAL);
  EXPECT_EQ(outer_.Read("root/file"), "file");
}

TEST_F(HostileTest, RootsDoNotMix) {
  TempDir other;
  RunningServer server(MakeService({{root(), false}, {other.path(), true}}));
  RawClient client(server.fd());
  Handle rw = client.Attach(0), ro = client.Attach(1);
  other.Write("x", "x");
  Writer w;
  w.Put(RenameRequest{rw, ro, 0, 0});
  w.PutString("file");
  w.PutString("file");
  EXPECT_EQ(client.Call(Op::kRename, w).error, kEROFS);
  w.Clear();
  w.Put(LinkRequest{{ro, 0, 0, 0}, rw, 0});
  w.PutString("x");
  w.PutString("y");
  EXPECT_EQ(client.Call(Op::kLink, w).error, kEROFS);
  w.Clear();
  w.Put(AttachRequest{kProtocolVersion, 2});
  EXPECT_EQ(client.Call(Op::kAttach, w).error, kENODEV);
}

TEST_F(HostileTest, HandlesOutOfThinAirAndClosedOnesAreRefused) {
  RunningServer server(MakeService({{root(), true}}));
  RawClient client(server.fd());
  Handle h = client.Attach();
  for (Handle bad : {0u, 1u, h + 1, h ^ 0x100000u, 0xffffffffu}) {
    EXPECT_EQ(client.Walk(bad, {"file"}).error, kEBADF);
    EXPECT_EQ(client.Open(bad, "file", 0).error, kEBADF);
  }
  Writer w;
  w.Put(CloseRequest{1, 0});
  w.Put(h);
  EXPECT_EQ(client.Call(Op::kClose, w).error, Errno{0});
  EXPECT_EQ(client.Walk(h, {"file"}).error, kEBADF);
  EXPECT_EQ(client.Call(Op::kClose, w).error, Errno{0}) << "closing twice is ignored";
  Handle again = client.Attach();
  EXPECT_NE(again, h) << "a closed handle is not given out again at once";
}

TEST_F(HostileTest, FloodOfHandlesIsBounded) {
  RunningServer server(MakeService({{root(), true}}), 50);
  RawClient client(server.fd());
  Handle h = client.Attach();
  for (int i = 0; i < 200; ++i) ASSERT_FALSE(client.Walk(h, {"dir"}, kWalkHandles).closed);
  EXPECT_LE(server.session().open_handles(), 50u);
  Writer w;
  w.Put(AttachRequest{kProtocolVersion, 0});
  EXPECT_EQ(client.Call(Op::kAttach, w).error, kENFILE);
  EXPECT_EQ(client.Walk(h, {"file"}).error, Errno{0}) << "what is held still works";
}

TEST_F(HostileTest, GarbageEndsTheConnectionAndNothingElse) {
  for (auto bytes : {"x"s, std::string(16, '\0'), std::string(16, '\xff'), std::string(500, 'A')}) {
    RunningServer server(MakeService({{root(), true}}));
    RawClient client(server.fd());
    EXPECT_TRUE(client.SendBytes(std::as_bytes(std::span(bytes))).closed);
  }
  RunningServer server(MakeService({{root(), true}}));
  std::string huge(kMaxMessage + 1, 'x');
  RequestHeader header{1, 1, 0, static_cast<uint32_t>(huge.size())};
  memcpy(huge.data(), &header, sizeof header);
  RawClient client(server.fd());
  EXPECT_TRUE(client.SendBytes(std::as_bytes(std::span(huge))).closed);
}

TEST_F(HostileTest, TruncatedAndOverlongBodiesAreErrors) {
  RunningServer server(MakeService({{root(), false}}));
  RawClient client(server.fd());
  Handle h = client.Attach();
  for (uint16_t op = 1; op < kOpCount; ++op) {
    for (size_t n = 0; n < 160; n += 3) {
      std::vector<std::byte> body(n);
      if (n) memcpy(body.data(), &h, std::min(n, sizeof h));
      Writer w;
      w.PutBytes(body.data(), n);
      EXPECT_FALSE(client.Call(static_cast<Op>(op), w).closed) << op << " " << n;
    }
  }
  Writer w;
  w.Put(WalkRequest{h, kMaxWalkNames + 1, 0});
  EXPECT_EQ(client.Call(Op::kWalk, w).error, kEINVAL);
  w.Clear();
  w.Put(CloseRequest{0xffffffff, 0});
  EXPECT_EQ(client.Call(Op::kClose, w).error, kEINVAL);
  w.Clear();
  w.Put(XattrRequest{{h, 0, 0, 0}, 0, 0xffffffff});
  w.PutString("file");
  w.PutString("user.x");
  EXPECT_EQ(client.Call(Op::kSetXattr, w).error, kEPROTO);
  EXPECT_EQ(client.Walk(h, {"file"}).error, Errno{0});
}

TEST_F(HostileTest, DescriptorsSentAlongAreDropped) {
  RunningServer server(MakeService({{root(), true}}));
  int null = open("/dev/null", O_RDONLY);
  int before = dup(null);
  close(before);
  Writer w;
  for (uint64_t i = 1; i <= 100; ++i) {
    w.Clear();
    w.Put(AttachRequest{kProtocolVersion, 5});
    int fds[] = {null, null, null};
    ASSERT_TRUE(host::SendWithFds(server.fd(), w.FinishRequest(i, Op::kAttach), fds).ok());
    EXPECT_EQ(RawClient(server.fd()).Receive().error, kENODEV);
  }
  int after = dup(null);
  EXPECT_LE(after, before + 2);
  close(after);
  close(null);
}

TEST_F(HostileTest, StaleTargetsAreNoticed) {
  RunningServer server(MakeService({{root(), false}}));
  RawClient client(server.fd());
  Handle h = client.Attach();
  Writer w;
  w.Put(OpenRequest{{h, 0, 1, 1}, abi::kO_RDONLY, 0});
  w.PutString("file");
  EXPECT_EQ(client.Call(Op::kOpen, w).error, kESTALE);
  w.Clear();
  w.Put(UnlinkRequest{h, 0, 1, 1});
  w.PutString("file");
  EXPECT_EQ(client.Call(Op::kUnlink, w).error, kESTALE);
  EXPECT_TRUE(std::filesystem::exists(root() + "/file"));
}

TEST_F(HostileTest, HiddenPathsLookEmptyAndCannotBeTouched) {
  outer_.Write("root/dir/token", "token");
  std::filesystem::create_directories(root() + "/home/.ssh");
  outer_.Write("root/home/.ssh/id", "key");
  std::filesystem::create_hard_link(root() + "/dir/token", root() + "/dir/alias");
  RunningServer server(MakeService({{root(), false}}, {"dir/token", "/home/.ssh", "dir/later"}));
  RawClient client(server.fd());
  Handle h = client.Attach();
  RawReply walk = client.Walk(h, {"home", ".ssh", "id"}, kWalkOpenLast | kWalkHandles);
  EXPECT_EQ(walk.As<WalkReply>().stop, static_cast<uint16_t>(WalkStop::kHidden));
  EXPECT_TRUE(walk.fds.empty());
  WalkComponent ssh;
  memcpy(&ssh, walk.body.data() + sizeof(WalkReply) + sizeof ssh, sizeof ssh);
  EXPECT_EQ(ssh.handle, 0u);
  EXPECT_TRUE(ssh.attr.flags & kAttrHidden);
  Writer list;
  list.Put(ReadDirRequest{{.handle = FirstHandle(walk)}, 4096, kReadDirHandle, 0});
  list.PutString(".ssh");
  EXPECT_EQ(client.Call(Op::kReadDir, list).error, kEACCES);
  for (const auto& name : {"token"s, "alias"s}) {
    RawReply file = client.Walk(h, {"dir", name}, kWalkOpenLast | kWalkHandles);
    ASSERT_EQ(file.fds.size(), 1u);
    char c;
    EXPECT_EQ(pread(file.fds[0].get(), &c, 1, 0), 0) << "a hidden file is empty";
    EXPECT_EQ(write(file.fds[0].get(), "x", 1), -1);
    WalkComponent dir;
    memcpy(&dir, file.body.data() + sizeof(WalkReply), sizeof dir);
    EXPECT_EQ(client.Open(dir.handle, name, abi::kO_RDWR).error, kEACCES);
    Writer w;
    w.Put(UnlinkRequest{dir.handle, 0, 0, 0});
    w.PutString(name);
    EXPECT_EQ(client.Call(Op::kUnlink, w).error, kEACCES);
    w.Clear();
    w.Put(LinkRequest{{dir.handle, 0, 0, 0}, h, 0});
    w.PutString(name);
    w.PutString("grab");
    EXPECT_EQ(client.Call(Op::kLink, w).error, kEACCES);
    w.Clear();
    w.Put(RenameRequest{dir.handle, h, 0, 0});
    w.PutString(name);
    w.PutString("grab");
    EXPECT_EQ(client.Call(Op::kRename, w).error, kEACCES);
    w.Clear();
    w.Put(CreateRequest{dir.handle, {0644, 0, 0}, abi::kO_RDWR, 0});
    w.PutString("later");
    EXPECT_EQ(client.Call(Op::kCreate, w).error, kEACCES);
  }
  Writer w;
  w.Put(RenameRequest{h, h, 0, 0});
  w.PutString("home");
  w.PutString("away");
  EXPECT_EQ(client.Call(Op::kRename, w).error, kEACCES) << "moving a parent would unhide";
}

TEST_F(HostileTest, PseudoFileSystemsAreNeverServed) {
  auto reopener = Reopener::Create();
  for (const char* path : {"/proc", "/sys"}) {
    Root root;
    root.fd = std::move(*host::Openat(abi::kAT_FDCWD, path, abi::kO_PATH | abi::kO_CLOEXEC));
    EXPECT_EQ(root.Prepare().error(), kEACCES) << path;
  }
  RunningServer server(MakeService({{"/", true}}));
  RawClient client(server.fd());
  Handle h = client.Attach();
  RawReply walk = client.Walk(h, {"proc", "self", "environ"}, kWalkOpenLast);
  EXPECT_EQ(walk.As<WalkReply>().stop, static_cast<uint16_t>(WalkStop::kHidden));
  EXPECT_EQ(walk.As<WalkReply>().count, 1);
  EXPECT_TRUE(walk.fds.empty());
}

TEST_F(HostileTest, RandomMessagesNeverKillTheServer) {
  RunningServer server(MakeService({{root(), false}}));
  RawClient client(server.fd());
  Handle h = client.Attach();
  std::mt19937 random(12345);
  for (int i = 0; i < 5000; ++i) {
    std::vector<std::byte> body(random() % 200);
    for (auto& b : body) b = static_cast<std::byte>(random() % 4 == 0 ? random() : 0);
    if (body.size() >= sizeof h && random() % 2) memcpy(body.data(), &h, sizeof h);
    Op op = static_cast<Op>(1 + random() % (kOpCount - 1));
    if (op == Op::kClose) continue;  // keeps the root's handle
    Writer w;
    w.PutBytes(body.data(), body.size());
    ASSERT_FALSE(client.Call(op, w).closed);
  }
  EXPECT_EQ(client.Walk(h, {"dir"}).error, Errno{0});
  EXPECT_EQ(outer_.Read("secret"), "secret");
}

// A FUSE file system whose daemon never answers: whoever looks at it waits.
class StuckMount {
 public:
  explicit StuckMount(const std::string& at) : at_(at), fd_(open("/dev/fuse", O_RDWR | O_CLOEXEC)) {
    // Mounts of the threads that are started from here on only.
    if (fd_ < 0 || unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return;
    std::string options = "fd=" + std::to_string(fd_) + ",rootmode=40000,user_id=0,group_id=0";
    mounted_ = mount("stuck", at_.c_str(), "fuse", 0, options.c_str()) == 0;
  }
  ~StuckMount() {
    Release();
    if (mounted_) umount2(at_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  void Release() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  std::string at_;
  int fd_;
  bool mounted_ = false;
};

TEST_F(HostileTest, StuckFileSystemDoesNotStopTheOthers) {
  std::filesystem::create_directory(root() + "/stuck");
  StuckMount stuck(root() + "/stuck");
  if (!stuck.mounted()) GTEST_SKIP() << "no FUSE here";
  constexpr int kThreads = 4;
  RunningServer server(MakeService({{root(), true}}), 1000, kThreads);
  RawClient client(server.fd());
  Handle h = client.Attach();
  for (uint64_t id = 100; id < 100 + kThreads - 1; ++id) {
    Writer w;
    w.Put(WalkRequest{h, 1, 0});
    w.PutString("stuck");
    ASSERT_TRUE(host::SendWithFds(server.fd(), w.FinishRequest(id, Op::kWalk), {}).ok());
  }
  for (int i = 0; i < 20; ++i) {
    RawReply reply = client.Walk(h, {"file"});
    EXPECT_LT(reply.id, 100u) << "not of a stuck one";
    EXPECT_EQ(reply.As<WalkReply>().count, 1);
  }
  stuck.Release();  // the daemon dies: they fail
  for (int i = 0; i < kThreads - 1; ++i) EXPECT_GE(client.Receive().id, 100u);
}

}  // namespace
}  // namespace moat::gofer
