// What an honest client gets.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <set>

#include "abi/fcntl.h"
#include "gofer/server/raw_client.h"

namespace moat::gofer {
namespace {

WalkComponent Component(const RawReply& reply, size_t i) {
  WalkComponent c{};
  size_t at = sizeof(WalkReply) + i * sizeof c;
  EXPECT_LE(at + sizeof c, reply.body.size());
  if (at + sizeof c <= reply.body.size()) memcpy(&c, reply.body.data() + at, sizeof c);
  return c;
}

std::string ReadAll(int fd) {
  char buffer[4096];
  ssize_t n = pread(fd, buffer, sizeof buffer, 0);
  return n < 0 ? "error" : std::string(buffer, n);
}

class SessionTest : public ::testing::Test {
 protected:
  SessionTest() {
    std::filesystem::create_directories(dir_ / "a/b/c");
    dir_.Write("a/b/file", "hello");
    dir_.Write("top", "top");
    std::filesystem::create_symlink("b/file", dir_ / "a/link");
  }
  TempDir dir_;
};

TEST_F(SessionTest, WalkReturnsEveryComponentAndOpensTheLast) {
  RunningServer server(MakeService({{dir_.path(), true}}));
  RawClient client(server.fd());
  RawReply reply = client.Walk(client.Attach(), {"a", "b", "file"}, kWalkOpenLast | kWalkHandles);
  ASSERT_EQ(reply.error, Errno{0});
  auto walk = reply.As<WalkReply>();
  EXPECT_EQ(walk.count, 3);
  EXPECT_EQ(walk.stop, static_cast<uint16_t>(WalkStop::kDone));
  EXPECT_NE(Component(reply, 0).handle, 0u);
  EXPECT_NE(Component(reply, 1).handle, 0u);
  EXPECT_EQ(Component(reply, 2).handle, 0u);
  EXPECT_EQ(Component(reply, 2).attr.size, 5u);
  struct stat st;
  ASSERT_EQ(stat((dir_ / "a/b/file").c_str(), &st), 0);
  EXPECT_EQ(Component(reply, 2).attr.ino, st.st_ino);
  EXPECT_EQ(Component(reply, 2).attr.dev, st.st_dev);
  ASSERT_EQ(reply.fds.size(), 1u);
  EXPECT_EQ(ReadAll(reply.fds[0].get()), "hello");
  EXPECT_EQ(write(reply.fds[0].get(), "x", 1), -1);
}

TEST_F(SessionTest, WalkStopsAtSymlinksFilesAndMissingNames) {
  RunningServer server(MakeService({{dir_.path(), true}}));
  RawClient client(server.fd());
  Handle root = client.Attach();
  RawReply link = client.Walk(root, {"a", "link", "x"});
  EXPECT_EQ(link.As<WalkReply>().count, 2);
  EXPECT_EQ(link.As<WalkReply>().stop, static_cast<uint16_t>(WalkStop::kSymlink));
  Reader tail(std::span<const std::byte>(link.body).subspan(sizeof(WalkReply) + 2 * sizeof(WalkComponent)));
  EXPECT_EQ(*tail.GetString(kMaxTarget), "b/file");
  RawReply file = client.Walk(root, {"top", "x"});
  EXPECT_EQ(file.As<WalkReply>().stop, static_cast<uint16_t>(WalkStop::kNotDirectory));
  RawReply missing = client.Walk(root, {"a", "none", "x"});
  EXPECT_EQ(missing.As<WalkReply>().count, 1);
  EXPECT_EQ(missing.As<WalkReply>().stop, static_cast<uint16_t>(WalkStop::kError));
  EXPECT_EQ(Errno{missing.As<WalkReply>().error}, kENOENT);
}

TEST_F(SessionTest, WalkManyAnswersEveryWalkOfOneMessage) {
  RunningServer server(MakeService({{dir_.path(), true}}));
  RawClient client(server.fd());
  Handle root = client.Attach();
  auto ask = [&](uint32_t count, const std::vector<std::vector<std::string>>& walks) {
    Writer w;
    w.Put(BatchRequest{count, 0});
    for (const auto& names : walks) {
      w.Put(WalkRequest{root, static_cast<uint16_t>(names.size()), kWalkHandles});
      for (const auto& name : names) w.PutString(name);
    }
    return client.Call(Op::kWalkMany, w);
  };
  RawReply reply = ask(3, {{"a", "b", "file"}, {"none"}, {"a", "link", "x"}});
  ASSERT_EQ(reply.error, Errno{0});
  Reader in(reply.body);
  EXPECT_EQ(in.Get<BatchRequest>()->count, 3u);
  auto first = *in.Get<WalkReply>();
  EXPECT_EQ(first.count, 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(in.Get<WalkComponent>()->handle != 0, i < 2);
  auto second = *in.Get<WalkReply>();
  EXPECT_EQ(second.count, 0);
  EXPECT_EQ(Errno{second.error}, kENOENT);
  auto third = *in.Get<WalkReply>();
  EXPECT_EQ(third.count, 2);
  EXPECT_EQ(third.stop, static_cast<uint16_t>(WalkStop::kSymlink));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(in.Get<WalkComponent>().ok());
  EXPECT_EQ(*in.GetString(kMaxTarget), "b/file");
  EXPECT_TRUE(in.End().ok());
  EXPECT_EQ(ask(2, {{"a"}}).error, kEPROTO);
  EXPECT_EQ(ask(1, {{"a"}, {"a"}}).error, kEPROTO);
  EXPECT_EQ(ask(1, {{".."}}).error, Errno{0}) << "the walk itself says EINVAL";
  EXPECT_EQ(ask(kMaxBatchTargets + 1, {}).error, kEINVAL);
  // More than a message holds: as many as fit.
  std::vector<std::string> deep(kMaxWalkNames, "a");
  EXPECT_LE(ask(kMaxBatchTargets, std::vector<std::vector<std::string>>(kMaxBatchTargets, deep)).body.size(), kMaxMessage);
}

TEST_F(SessionTest, ReadDirOfANamedDirectoryBringsItsHandle) {
  RunningServer server(MakeService({{dir_.path(), true}}));
  RawClient client(server.fd());
  Handle root = client.Attach();
  auto list = [&](Target target, const char* name, uint32_t flags) {
    Writer w;
    w.Put(ReadDirRequest{target, 4096, flags, 0}), w.PutString(name);
    return client.Call(Op::kReadDir, w);
  };
  RawReply reply = list({.handle = root}, "a", kReadDirHandle);
  ASSERT_EQ(reply.error, Errno{0});
  auto head = reply.As<ReadDirReply>();
  EXPECT_EQ(head.count, 2u) << "b and link";
  EXPECT_EQ(head.end, 1u);
  EXPECT_EQ(head.stream, 0u);
  ASSERT_NE(head.directory, 0u);
  EXPECT_EQ(client.Walk(head.directory, {"link"}).As<WalkReply>().count, 1);
  EXPECT_EQ(server.session().open_handles(), 2u);
  EXPECT_EQ(list({.handle = root}, "a", 0).As<ReadDirReply>().directory, 0u);
  EXPECT_EQ(list({.handle = root, .dev = 1, .ino = 1}, "a", kReadDirHandle).error, kESTALE);
  EXPECT_EQ(list({.handle = root}, "top", kReadDirHandle).error, kENOTDIR);
  EXPECT_EQ(list({.handle = root}, "..", kReadDirHandle).error, kEINVAL);
  EXPECT_EQ(list({.handle = root}, "a", 2).error, kEINVAL);
  EXPECT_EQ(server.session().open_handles(), 2u);
}

TEST_F(SessionTest, ReadDirGivesEveryNameOnceThroughSmallReplies) {
  std::set<std::string> expected{"a", "top"};
  for (int i = 0; i < 300; ++i) {
    std::string name = "entry" + std::to_string(i);
    dir_.Write(name, name);
    expected.insert(name);
  }
  RunningServer server(MakeService({{dir_.path(), true}}));
  RawClient client(server.fd());
  std::set<std::string> seen;
  ReadDirRequest request{{.handle = client.Attach()}, 4096, 0, 0};
  for (bool end = false; !end;) {
    Writer w;
    w.Put(request), w.PutString("");
    RawReply reply = client.Call(Op::kReadDir, w);
    ASSERT_EQ(reply.error, Errno{0});
    EXPECT_LE(reply.body.size(), 4096u);
    Reader r(reply.body);
    auto head = *r.Get<ReadDirReply>();
    for (uint32_t i = 0; i < head.count; ++i) {
      auto entry = *r.Get<DirEntry>();
      std::string name(*r.GetString(kMaxName));
      EXPECT_TRUE(seen.insert(name).second) << name;
      EXPECT_EQ(entry.has_attr, 1u);
      EXPECT_EQ(entry.attr.ino, entry.ino);
      request.cookie = entry.next;
    }
    request.target.handle = head.stream;
    end = head.end;
  }
  EXPECT_EQ(seen, expected);
}

TEST_F(SessionTest, CreatedFileHasTheOwnerAndModeAsked) {
  RunningServer server(MakeService({{dir_.path(), false}}));
  RawClient client(server.fd());
  Handle root = client.Attach();
  umask(0);
  uint32_t uid = geteuid() == 0 ? 1234 : geteuid();
  Writer w;
  w.Put(CreateRequest{root, {06755, uid, getegid()}, abi::kO_WRONLY, kOpenHandle});
  w.PutString("new");
  RawReply reply = client.Call(Op::kCreate, w);
  ASSERT_EQ(reply.error, Errno{0});
  ASSERT_EQ(reply.fds.size(), 1u);
  struct stat st;
  ASSERT_EQ(stat((dir_ / "new").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, uid);
  EXPECT_EQ(st.st_mode & 07777, 06755u);  // before the write, which takes the set-id bits of an ordinary user's file
  EXPECT_EQ(write(reply.fds[0].get(), "data", 4), 4);
  EXPECT_EQ(ReadAll(reply.fds[0].get()), "error") << "write-only was asked for";
  EXPECT_EQ(client.Call(Op::kCreate, w).error, kEEXIST);
}

TEST_F(SessionTest, UnlinkedFileLivesOnThroughItsHandle) {
  RunningServer server(MakeService({{dir_.path(), false}}));
  RawClient client(server.fd());
  Handle root = client.Attach();
  Writer w;
  w.Put(UnlinkRequest{root, kUnlinkKeep, 0, 0});
  w.PutString("top");
  RawReply reply = client.Call(Op::kUnlink, w);
  ASSERT_EQ(reply.error, Errno{0});
  auto node = reply.As<NodeReply>();
  EXPECT_EQ(node.attr.nlink, 0u);
  ASSERT_NE(node.handle, 0u);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "top"));
  SetAttrRequest set{};
  set.target.handle = node.handle;
  set.mask = kSetMode | kSetSize;
  set.mode = 0600;
  set.size = 2;
  Writer s;
  s.Put(set);
  s.PutString("");
  RawReply changed = client.Call(Op::kSetAttr, s);
  ASSERT_EQ(changed.error, Errno{0});
  EXPECT_EQ(changed.As<AttrReply>().attr.mode & 07777, 0600u);
  EXPECT_EQ(changed.As<AttrReply>().attr.size, 2u);
  RawReply opened = client.Open(node.handle, "", abi::kO_RDONLY);
  ASSERT_EQ(opened.fds.size(), 1u);
  EXPECT_EQ(ReadAll(opened.fds[0].get()), "to");
}

TEST_F(SessionTest, TreeChangesReachTheHost) {
  RunningServer server(MakeService({{dir_.path(), false}}));
  RawClient client(server.fd());
  Handle root = client.Attach();
  NewNode node{0750, geteuid(), getegid()};
  Writer w;
  w.Put(MkdirRequest{root, node});
  w.PutString("dir");
  RawReply made = client.Call(Op::kMkdir, w);
  ASSERT_EQ(made.error, Errno{0});
  Handle dir = made.As<NodeReply>().handle;
  w.Clear();
  w.Put(SymlinkRequest{dir, node});
  w.PutString("link");
  w.PutString("/anywhere");
  EXPECT_EQ(client.Call(Op::kSymlink, w).error, Errno{0});
  EXPECT_EQ(std::filesystem::read_symlink(dir_ / "dir/link"), "/anywhere");
  w.Clear();
  w.Put(LinkRequest{{root, 0, 0, 0}, dir, 0});
  w.PutString("top");
  w.PutString("hard");
  EXPECT_EQ(client.Call(Op::kLink, w).As<AttrReply>().attr.nlink, 2u);
  w.Clear();
  w.Put(MknodRequest{dir, abi::kS_IFIFO, node});
  w.PutString("fifo");
  EXPECT_EQ(client.Call(Op::kMknod, w).error, Errno{0});
  w.Clear();
  w.Put(RenameRequest{dir, root, 0, 0});
  w.PutString("hard");
  w.PutString("moved");
  EXPECT_EQ(client.Call(Op::kRename, w).error, Errno{0});
  EXPECT_EQ(dir_.Read("moved"), "top");
  w.Clear();
  w.Put(UnlinkRequest{root, 0, 0, 0});
  w.PutString("dir");
  EXPECT_EQ(client.Call(Op::kRmdir, w).error, kENOTEMPTY);
  EXPECT_EQ(client.Call(Op::kUnlink, w).error, kEISDIR);
}

TEST_F(SessionTest, ExtendedAttributesOfUsersOnly) {
  RunningServer server(MakeService({{dir_.path(), false}}));
  RawClient client(server.fd());
  Handle root = client.Attach();
  Writer w;
  auto request = [&](Op op, const std::string& name, const std::string& value) {
    w.Clear();
    w.Put(XattrRequest{{root, 0, 0, 0}, 0, static_cast<uint32_t>(value.size())});
    w.PutString("top");
    w.PutString(name);
    w.PutBytes(value.data(), value.size());
    return client.Call(op, w);
  };
  RawReply set = request(Op::kSetXattr, "user.key", "value");
  if (set.error == kEOPNOTSUPP) GTEST_SKIP() << "no user attributes here";
  ASSERT_EQ(set.error, Errno{0});
  RawReply got = request(Op::kGetXattr, "user.key", "");
  EXPECT_EQ(std::string(reinterpret_cast<char*>(got.body.data()), got.body.size()), "value");
  EXPECT_EQ(request(Op::kSetXattr, "security.capability", "x").error, kEOPNOTSUPP);
  EXPECT_EQ(request(Op::kSetXattr, "trusted.overlay.opaque", "y").error, kEOPNOTSUPP);
  EXPECT_EQ(request(Op::kGetXattr, "trusted.overlay.opaque", "").error, kENODATA);
  EXPECT_EQ(request(Op::kRemoveXattr, "user.key", "").error, Errno{0});
  EXPECT_EQ(request(Op::kGetXattr, "user.key", "").error, kENODATA);
}

}  // namespace
}  // namespace moat::gofer
