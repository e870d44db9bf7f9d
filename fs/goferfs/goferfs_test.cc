// The client against a real server on threads of this process, over a temporary directory.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <set>

#include "abi/fcntl.h"
#include "base/fiber/executor.h"
#include "base/fiber/host_watch.h"
#include "base/fiber/offload.h"
#include "fs/goferfs/gofer_file.h"
#include "fs/goferfs/gofer_fs.h"
#include "fs/vfs/dentry.h"
#include "gofer/server/raw_client.h"

namespace moat {
namespace {

using gofer::MakeService;
using gofer::RunningServer;
using gofer::TempDir;

void StartThreadsOnce() {
  static bool started = [] {
    EXPECT_TRUE(StartHostWatch().ok());
    StartOffloadThreads(2);
    return true;
  }();
  (void)started;
}

void OnFiber(const std::function<void()>& body) {
  StartThreadsOnce();
  std::atomic<bool> done{false};
  Executor::Get().Post([&] {
    body();
    done = true;
  });
  Executor::Get().RunUntil([&] { return done.load(); });
}

struct Listing final : DirSink {
  explicit Listing(size_t limit = 1 << 30) : limit(limit) {}
  bool Entry(std::string_view name, uint64_t, uint8_t type, int64_t next) override {
    if (names.size() >= limit) return false;
    names.emplace_back(name);
    types.push_back(type);
    last_next = next;
    return true;
  }
  size_t limit;
  std::vector<std::string> names;
  std::vector<uint8_t> types;
  int64_t last_next = 0;
};

class GoferFsTest : public ::testing::Test {
 protected:
  GoferFsTest() {
    std::filesystem::create_directories(dir_ / "a/b/c");
    dir_.Write("a/b/file", "hello world");
    dir_.Write("top", "top");
    std::filesystem::create_symlink("b/file", dir_ / "a/link");
    umask(0);
  }
  void Start(bool read_only, GoferCache cache = GoferCache::kTimed, std::vector<std::string> hide = {},
             uint32_t max_handles = 1000, size_t max_fds = 1000) {
    server_ = std::make_unique<RunningServer>(MakeService({{dir_.path(), read_only}}, hide), max_handles);
    client_ = GoferClient::Create(server_->TakeFd());
    GoferOptions options;
    options.cache = cache;
    options.max_cached_fds = max_fds;
    OnFiber([&] {
      auto fs = GoferFs::Create(client_, 0, options);
      ASSERT_TRUE(fs.ok());
      fs_ = *fs;
      root_ = fs_->root();
    });
  }
  ~GoferFsTest() override {
    root_ = nullptr;
    if (fs_) fs_->Unmounted();
    fs_ = nullptr;
    client_ = nullptr;
    server_.reset();
  }
  // On a fiber.
  Ref<Inode> Find(std::vector<std::string_view> names) {
    root_->WalkAhead(names);
    Ref<Inode> at = root_;
    for (auto name : names) {
      auto next = at->Lookup(name);
      if (!next.ok()) return nullptr;
      at = *next;
    }
    return at;
  }
  Ref<FileDescription> Open(Ref<Inode> inode, uint32_t flags) {
    auto file = inode->Open(Path{nullptr, Dentry::MakeAnonymous(inode, "test")}, flags);
    EXPECT_TRUE(file.ok()) << static_cast<int>(file.error());
    return file.ok() ? *file : nullptr;
  }
  static std::string Read(FileDescription& file, int64_t offset = 0, size_t n = 100) {
    std::string text(n, '\0');
    BufferSink sink(std::as_writable_bytes(std::span(text)));
    auto got = file.TryRead(sink, &offset, {});
    EXPECT_TRUE(got.ok());
    text.resize(got.ok() ? *got : 0);
    return text;
  }
  static ErrorOr<size_t> Write(FileDescription& file, const std::string& text, int64_t* offset, IoFlags flags = {}) {
    BufferSource source(std::as_bytes(std::span(text)));
    return file.TryWrite(source, offset, flags);
  }

  TempDir dir_;
  std::unique_ptr<RunningServer> server_;
  Ref<GoferClient> client_;
  Ref<GoferFs> fs_;
  Ref<Inode> root_;
};

TEST_F(GoferFsTest, WalksReadsAndMaps) {
  Start(true);
  OnFiber([&] {
    Ref<Inode> inode = Find({"a", "b", "file"});
    ASSERT_TRUE(inode);
    Attr attr = *inode->GetAttr();
    EXPECT_EQ(attr.size, 11u);
    EXPECT_EQ(attr.dev, fs_->dev());
    Ref<FileDescription> file = Open(inode, abi::kO_RDONLY);
    EXPECT_EQ(Read(*file), "hello world");
    EXPECT_EQ(Read(*file, 6), "world");
    EXPECT_EQ(Read(*file, 11), "");
    auto map = file->Map(0, 4096, false);
    ASSERT_TRUE(map.ok());
    char c;
    EXPECT_EQ(pread(map->fd, &c, 1, 0), 1);
    EXPECT_EQ(fcntl(map->fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    EXPECT_EQ(file->Map(0, 4096, true).error(), kEACCES);
    EXPECT_EQ(*file->SeekFrom(-1, abi::kSEEK_END), 10);
    EXPECT_EQ(*file->SeekFrom(3, abi::kSEEK_DATA), 3);
    EXPECT_EQ(*Find({"a", "link"})->ReadLink(), "b/file");
  });
}

TEST_F(GoferFsTest, WholePathIsOneRequest) {
  Start(true);
  OnFiber([&] {
    root_->WalkAhead({"a", "b", "file"});
    server_->StopThreads();  // nobody answers any more
    auto a = root_->Lookup("a");
    ASSERT_TRUE(a.ok());
    auto b = (*a)->Lookup("b");
    ASSERT_TRUE(b.ok());
    auto file = (*b)->Lookup("file");
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(Read(*Open(*file, abi::kO_RDONLY)), "hello world");
    EXPECT_EQ((*file)->GetAttr()->size, 11u);
    EXPECT_EQ(root_->Lookup("unasked").error(), kEIO);
  });
}

TEST_F(GoferFsTest, MissingNamesAreRememberedForAWhile) {
  Start(true);
  OnFiber([&] {
    EXPECT_EQ(root_->Lookup("later").error(), kENOENT);
    dir_.Write("later", "x");
    EXPECT_EQ(root_->Lookup("later").error(), kENOENT) << "cached";
    usleep(1'100'000);
    EXPECT_TRUE(root_->Lookup("later").ok());
  });
}

TEST_F(GoferFsTest, TimedEntriesAreCheckedAgainAfterASecond) {
  Start(true);
  OnFiber([&] {
    Ref<Inode> top = Find({"top"});
    EXPECT_TRUE(top->StillValid("top"));
    EXPECT_FALSE(top->StillValid("other"));
    dir_.Write("new", "replacement");
    std::filesystem::rename(dir_ / "new", dir_ / "top");
    EXPECT_EQ(top->GetAttr()->size, 3u);
    usleep(1'100'000);
    EXPECT_FALSE(top->StillValid("top"));
    Ref<Inode> now = Find({"top"});
    EXPECT_FALSE(now == top);
    EXPECT_EQ(now->GetAttr()->size, 11u);
    EXPECT_EQ(top->GetAttr()->nlink, 0u) << "through the descriptor it still has";
  });
}

TEST_F(GoferFsTest, SharedDirectoriesShowHostChangesAtOnce) {
  Start(false, GoferCache::kRevalidate);
  OnFiber([&] {
    EXPECT_EQ(root_->Lookup("later").error(), kENOENT);
    usleep(1000);
    dir_.Write("later", "x");
    auto later = root_->Lookup("later");
    ASSERT_TRUE(later.ok());
    EXPECT_EQ((*later)->GetAttr()->size, 1u);
    dir_.Write("later", "longer");
    EXPECT_EQ((*later)->GetAttr()->size, 6u);
    std::filesystem::remove(dir_ / "later");
    usleep(1000);
    EXPECT_FALSE((*later)->StillValid("later"));
    EXPECT_EQ(root_->Lookup("later").error(), kENOENT);
  });
}

TEST_F(GoferFsTest, ListingIsCompleteAndSeekable) {
  std::set<std::string> expected{".", "..", "a", "top"};
  for (int i = 0; i < 1500; ++i) {
    std::string name = "some_longer_entry_name_" + std::to_string(i);
    dir_.Write(name, "");
    expected.insert(name);
  }
  Start(true);
  OnFiber([&] {
    Ref<FileDescription> dir = Open(root_, abi::kO_RDONLY | abi::kO_DIRECTORY);
    int64_t position = 0;
    std::vector<std::string> all;
    for (;;) {
      Listing some(100);
      ASSERT_TRUE(dir->ReadDir(some, &position).ok());
      if (some.names.empty()) break;
      EXPECT_EQ(some.last_next, position);
      all.insert(all.end(), some.names.begin(), some.names.end());
    }
    EXPECT_EQ(all.size(), expected.size());
    EXPECT_EQ(std::set<std::string>(all.begin(), all.end()), expected);
    position = 700;
    Listing again(800);
    ASSERT_TRUE(dir->ReadDir(again, &position).ok());
    EXPECT_EQ(again.names, std::vector<std::string>(all.begin() + 700, all.begin() + 1500));
    dir_.Write("appeared", "");
    position = 0;
    Listing rewound;
    ASSERT_TRUE(dir->ReadDir(rewound, &position).ok());
    EXPECT_EQ(rewound.names.size(), expected.size() + 1);
    // The listing brought the attributes along.
    server_->StopThreads();
    auto entry = root_->Lookup("some_longer_entry_name_1499");
    ASSERT_TRUE(entry.ok());
    EXPECT_TRUE((*entry)->GetAttr().ok());
  });
}

TEST_F(GoferFsTest, CreateWriteAppendTruncate) {
  Start(false, GoferCache::kRevalidate);
  OnFiber([&] {
    auto made = root_->Create("new", {0640, geteuid(), getegid()});
    ASSERT_TRUE(made.ok());
    Ref<FileDescription> file = Open(*made, abi::kO_RDWR);
    int64_t offset = 0;
    EXPECT_EQ(*Write(*file, "0123456789", &offset), 10u);
    EXPECT_EQ(offset, 10);
    EXPECT_EQ((*made)->GetAttr()->size, 10u);
    EXPECT_EQ((*made)->GetAttr()->mode & 07777, 0640u);
    offset = 0;
    EXPECT_EQ(*Write(*file, "tail", &offset, {false, false, true}), 4u);
    EXPECT_EQ(offset, 14) << "an append moves the position to the end first";
    EXPECT_EQ(*Write(*file, "S", &offset, {false, true, false}), 1u);
    EXPECT_EQ(Read(*file), "0123456789tailS");
    EXPECT_TRUE(file->Sync(false).ok());
    EXPECT_TRUE(file->Sync(true).ok());
    SetAttr set;
    set.mask = SetAttr::kSize | SetAttr::kMode | SetAttr::kMtime;
    set.size = 3;
    set.mode = 0600;
    set.mtime = {1000, 5};
    ASSERT_TRUE((*made)->SetAttributes(set).ok());
    Attr attr = *(*made)->GetAttr();
    EXPECT_EQ(attr.size, 3u);
    EXPECT_EQ(attr.mode & 07777, 0600u);
    EXPECT_EQ(attr.mtime, (TimeSpec{1000, 5}));
    EXPECT_EQ(dir_.Read("new"), "012");
    EXPECT_EQ(root_->Create("new", {0640, 0, 0}).error(), kEEXIST);
    auto map = file->Map(0, 4096, true);
    ASSERT_TRUE(map.ok());
    EXPECT_EQ(fcntl(map->fd, F_GETFL) & O_ACCMODE, O_RDWR);
    auto private_map = file->Map(0, 4096, false);
    EXPECT_EQ(fcntl(private_map->fd, F_GETFL) & O_ACCMODE, O_RDONLY);
  });
}

TEST_F(GoferFsTest, UnlinkedOpenFileWorksOn) {
  Start(false, GoferCache::kRevalidate);
  OnFiber([&] {
    Ref<Inode> top = Find({"top"});
    Ref<FileDescription> file = Open(top, abi::kO_RDWR);
    ASSERT_TRUE(root_->Unlink("top", *top).ok());
    EXPECT_FALSE(std::filesystem::exists(dir_ / "top"));
    EXPECT_EQ(top->GetAttr()->nlink, 0u);
    int64_t offset = 3;
    EXPECT_EQ(*Write(*file, "ping", &offset), 4u);
    EXPECT_EQ(Read(*file), "topping");
    SetAttr set;
    set.mask = SetAttr::kSize | SetAttr::kMode;
    set.size = 1;
    set.mode = 0400;
    ASSERT_TRUE(top->SetAttributes(set).ok());
    EXPECT_EQ(Read(*file), "t");
    Ref<FileDescription> again = Open(top, abi::kO_RDONLY);  // as /proc/self/fd does
    ASSERT_TRUE(again);
    EXPECT_EQ(Read(*again), "t");
    EXPECT_EQ(root_->Lookup("top").error(), kENOENT);
  });
}

TEST_F(GoferFsTest, TreeOperationsReachTheHost) {
  Start(false, GoferCache::kExclusive);
  OnFiber([&] {
    NewInode node{0755, geteuid(), getegid()};
    auto dir = root_->Mkdir("dir", node);
    ASSERT_TRUE(dir.ok());
    ASSERT_TRUE((*dir)->Symlink("link", "/to", node).ok());
    EXPECT_EQ(std::filesystem::read_symlink(dir_ / "dir/link"), "/to");
    Ref<Inode> top = Find({"top"});
    ASSERT_TRUE((*dir)->Link("hard", *top).ok());
    EXPECT_EQ(top->GetAttr()->nlink, 2u);
    EXPECT_TRUE((*dir)->Lookup("hard").value() == top) << "hard links are one inode";
    ASSERT_TRUE((*dir)->Mknod("fifo", abi::kS_IFIFO, 0, node).ok());
    EXPECT_EQ((*dir)->Mknod("null", abi::kS_IFCHR, 0x103, node).error(), kEPERM);
    EXPECT_EQ(root_->Rmdir("dir", **dir).error(), kENOTEMPTY);
    // Rename over an open file, which must stay usable.
    auto victim = root_->Create("victim", node);
    Ref<FileDescription> open_victim = Open(*victim, abi::kO_RDWR);
    int64_t offset = 0;
    EXPECT_TRUE(Write(*open_victim, "victim", &offset).ok());
    ASSERT_TRUE((*dir)->Rename("hard", *top, *root_, "victim", victim->get(), 0).ok());
    EXPECT_EQ(dir_.Read("victim"), "top");
    EXPECT_EQ(Read(*open_victim), "victim");
    EXPECT_EQ((*victim)->GetAttr()->nlink, 0u);
    SetAttr set;
    set.mask = SetAttr::kMode;
    set.mode = 0604;
    EXPECT_TRUE((*victim)->SetAttributes(set).ok()) << "by the handle kept";
    EXPECT_TRUE(top->SetAttributes(set).ok()) << "by its new name";
    struct stat st;
    ASSERT_EQ(stat((dir_ / "victim").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0604u);
    ASSERT_TRUE(root_->Rename("dir", **dir, *Find({"a"}), "moved", nullptr, 0).ok());
    EXPECT_TRUE((*dir)->Lookup("link").ok()) << "a renamed directory is still reached";
    EXPECT_TRUE(root_->Unlink("top", *top).ok());
    EXPECT_EQ(top->GetAttr()->nlink, 1u);
    auto unnamed = root_->CreateUnnamed(node);
    if (unnamed.ok()) {
      EXPECT_EQ((*unnamed)->GetAttr()->nlink, 0u);
      Ref<FileDescription> file = Open(*unnamed, abi::kO_RDWR);
      offset = 0;
      EXPECT_TRUE(Write(*file, "tmp", &offset).ok());
      ASSERT_TRUE(root_->Link("named", **unnamed).ok());
      EXPECT_EQ(dir_.Read("named"), "tmp");
    }
  });
}

TEST_F(GoferFsTest, ReadOnlyRootRefusesChanges) {
  Start(true);
  OnFiber([&] {
    NewInode node{0755, 0, 0};
    Ref<Inode> top = Find({"top"});
    EXPECT_EQ(root_->Create("x", node).error(), kEROFS);
    EXPECT_EQ(root_->Mkdir("x", node).error(), kEROFS);
    EXPECT_EQ(root_->Unlink("top", *top).error(), kEROFS);
    EXPECT_EQ(top->Open(Path{}, abi::kO_RDWR).error(), kEROFS);
    SetAttr set;
    set.mask = SetAttr::kMode;
    EXPECT_EQ(top->SetAttributes(set).error(), kEROFS);
    EXPECT_EQ(top->SetXattr("user.a", "b", 0).error(), kEROFS);
    EXPECT_EQ(fs_->Stat()->flags & 1, 1u);
  });
}

TEST_F(GoferFsTest, HandlesAndDescriptorsAreBounded) {
  for (int i = 0; i < 200; ++i) {
    std::string name = "d" + std::to_string(i);
    std::filesystem::create_directory(dir_ / name);
    dir_.Write(name + "/f", name);
  }
  Start(true, GoferCache::kExclusive, {}, 80, 10);
  OnFiber([&] {
    std::vector<Ref<Inode>> dirs, files;
    std::vector<std::string> names;
    for (int i = 0; i < 200; ++i) names.push_back("d" + std::to_string(i));
    for (const auto& name : names) {
      dirs.push_back(*root_->Lookup(name));
      auto f = dirs.back()->Lookup("f");
      ASSERT_TRUE(f.ok()) << name << " " << static_cast<int>(f.error());
      files.push_back(*f);
    }
    EXPECT_LE(server_->session().open_handles(), 80u);
    for (int i = 0; i < 200; ++i) {
      EXPECT_EQ(dirs[i]->Lookup("none").error(), kENOENT) << i;
      EXPECT_EQ(Read(*Open(files[i], abi::kO_RDONLY)), names[i]);
    }
    EXPECT_LE(server_->session().open_handles(), 80u);
  });
}

TEST_F(GoferFsTest, HiddenPathsAreEmpty) {
  Start(false, GoferCache::kTimed, {"a/b/file", "a/b/c"});
  dir_.Write("a/b/c/inside", "secret");
  OnFiber([&] {
    Ref<Inode> file = Find({"a", "b", "file"});
    ASSERT_TRUE(file);
    EXPECT_EQ(file->GetAttr()->size, 0u);
    Ref<FileDescription> open = Open(file, abi::kO_RDONLY);
    EXPECT_EQ(Read(*open), "");
    EXPECT_EQ(file->GetAttr()->mode, 0100444u) << "not that of what stands for it";
    Ref<Inode> dir = Find({"a", "b", "c"});
    EXPECT_EQ(dir->Lookup("inside").error(), kENOENT);
    EXPECT_EQ(dir->Create("x", {0644, 0, 0}).error(), kEACCES);
    Listing listing;
    int64_t position = 0;
    ASSERT_TRUE(Open(dir, abi::kO_RDONLY)->ReadDir(listing, &position).ok());
    EXPECT_EQ(listing.names, (std::vector<std::string>{".", ".."}));
  });
}

TEST_F(GoferFsTest, ExtendedAttributes) {
  Start(false);
  OnFiber([&] {
    Ref<Inode> top = Find({"top"});
    auto set = top->SetXattr("user.key", "value", 0);
    if (set.error() == kEOPNOTSUPP) return;
    ASSERT_TRUE(set.ok());
    EXPECT_EQ(*top->GetXattr("user.key"), "value");
    EXPECT_EQ(*top->ListXattr(), std::string("user.key\0", 9));
    EXPECT_EQ(top->GetXattr("system.posix_acl_access").error(), kENODATA);
    EXPECT_TRUE(top->RemoveXattr("user.key").ok());
    EXPECT_EQ(top->GetXattr("user.key").error(), kENODATA);
  });
}

TEST_F(GoferFsTest, KilledFiberLeavesAtOnceAndTheLateReplyIsDropped) {
  StartThreadsOnce();
  auto pair = *host::Socketpair(abi::kAF_UNIX, abi::kSOCK_SEQPACKET | abi::kSOCK_CLOEXEC, 0);
  Ref<GoferClient> client = GoferClient::Create(std::move(pair.first));
  std::atomic<Fiber*> fiber{nullptr};
  std::atomic<bool> done{false};
  Executor::Get().Post([&] {
    fiber = Fiber::Current();
    gofer::Writer w;
    w.Put(gofer::AttachRequest{});
    EXPECT_EQ(client->Call(gofer::Op::kAttach, w).error(), kEINTR);
    done = true;
  });
  std::thread killer([&] {
    while (!fiber) usleep(100);
    usleep(5000);
    fiber.load()->Kill();
  });
  Executor::Get().RunUntil([&] { return done.load(); });
  killer.join();
  // The reply comes when the next call has been made, with a descriptor; that call must not mistake it for its own.
  int null = open("/dev/null", O_RDONLY);
  std::thread late([&] {
    std::byte request[256];
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(host::Recvfrom(pair.second.get(), request, sizeof request, 0).ok());
    gofer::Writer w;
    w.Put(gofer::AttachReply{});
    EXPECT_TRUE(host::SendWithFds(pair.second.get(), w.FinishReply(1, Errno{0}, 1), std::span(&null, 1)).ok());
    EXPECT_TRUE(host::SendWithFds(pair.second.get(), w.FinishReply(2, kENODEV, 0), {}).ok());
  });
  OnFiber([&] {
    gofer::Writer request;
    request.Put(gofer::AttachRequest{});
    EXPECT_EQ(client->Call(gofer::Op::kAttach, request).error(), kENODEV);
  });
  late.join();
  close(null);
}

TEST_F(GoferFsTest, DeathOfTheGoferIsAnErrorNotAHang) {
  Start(true);
  OnFiber([&] {
    server_->StopThreads();
    EXPECT_EQ(root_->Lookup("a").error(), kEIO);
    EXPECT_EQ(root_->Lookup("b").error(), kEIO);
  });
}

TEST_F(GoferFsTest, ManyFibersAtOnce) {
  for (int i = 0; i < 64; ++i) dir_.Write("f" + std::to_string(i), std::to_string(i));
  Start(true);
  std::atomic<int> left{64};
  for (int i = 0; i < 64; ++i) {
    Executor::Get().Post([&, i] {
      for (int k = 0; k < 20; ++k) {
        std::string name = "f" + std::to_string((i * 7 + k) % 64);
        auto inode = root_->Lookup(name);
        EXPECT_TRUE(inode.ok());
        if (inode.ok()) EXPECT_EQ("f" + Read(*Open(*inode, abi::kO_RDONLY)), name);
      }
      --left;
    });
  }
  Executor::Get().RunUntil([&] { return left == 0; });
}

}  // namespace
}  // namespace moat
