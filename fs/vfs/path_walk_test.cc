#include "fs/vfs/path_walk.h"

#include <gtest/gtest.h>

#include "fs/vfs/dentry_cache.h"
#include "fs/vfs/test_tree.h"

namespace moat {
namespace {

class PathWalkTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(t.Mkdir("/a"), Errno{0});
    ASSERT_EQ(t.Mkdir("/a/b"), Errno{0});
    ASSERT_EQ(t.Write("/a/b/file", "x"), Errno{0});
  }
  std::string Where(std::string_view path, WalkFlags flags = {}) {
    ErrorOr<Path> p = t.Walk(path, flags);
    return p.ok() ? DPath(t.root, *p).Display() : "errno " + std::to_string(static_cast<int>(p.error()));
  }
  std::string Err(Errno e) { return "errno " + std::to_string(static_cast<int>(e)); }
  TestTree t;
};

TEST_F(PathWalkTest, PlainPathsDotsAndSlashes) {
  EXPECT_EQ(Where("/a/b/file"), "/a/b/file");
  EXPECT_EQ(Where("a//./b/../b/file"), "/a/b/file");
  EXPECT_EQ(Where("/../.."), "/");
  EXPECT_EQ(Where("//"), "/");
  EXPECT_EQ(Where("a/b/"), "/a/b");
  EXPECT_EQ(Where("a/b/file/"), Err(kENOTDIR));
  EXPECT_EQ(Where("a/b/file/.."), Err(kENOTDIR));
  EXPECT_EQ(Where("a/none"), Err(kENOENT));
  EXPECT_EQ(Where(""), Err(kENOENT));
  EXPECT_EQ(Where("", {.empty_path = true}), "/");
  EXPECT_EQ(Where("a/b/file", {.directory = true}), Err(kENOTDIR));
}

TEST_F(PathWalkTest, LengthLimits) {
  EXPECT_EQ(Where(std::string(256, 'n')), Err(kENAMETOOLONG));
  EXPECT_EQ(Where(std::string(255, 'n')), Err(kENOENT));
  std::string deep;
  while (deep.size() < 4096) deep += "./";
  EXPECT_EQ(Where(deep), Err(kENAMETOOLONG));
}

TEST_F(PathWalkTest, SymlinksAreFollowed) {
  t.Symlink("b", "/a/rel");
  t.Symlink("/a/b", "/abs");
  t.Symlink("file", "/a/b/last");
  EXPECT_EQ(Where("/a/rel/file"), "/a/b/file");
  EXPECT_EQ(Where("/abs/last"), "/a/b/file");
  EXPECT_EQ(Where("/abs/last", {.follow = false}), "/a/b/last");
  EXPECT_EQ(Where("/abs/", {.follow = false}), "/a/b");  // a slash behind it follows
  EXPECT_EQ(Where("/abs/../rel/file"), "/a/b/file");
  t.Symlink("nowhere", "/dangling");
  EXPECT_EQ(Where("/dangling"), Err(kENOENT));
  t.Symlink("b/file/", "/a/slashed");
  EXPECT_EQ(Where("/a/slashed"), Err(kENOTDIR));
}

TEST_F(PathWalkTest, FortySymlinksAreTheLimit) {
  t.Symlink("a", "/l0");
  for (int i = 1; i <= 41; ++i) t.Symlink("l" + std::to_string(i - 1), "/l" + std::to_string(i));
  EXPECT_EQ(Where("/l39"), "/a");
  EXPECT_EQ(Where("/l40"), Err(kELOOP));
  t.Symlink("self", "/self");
  EXPECT_EQ(Where("/self"), Err(kELOOP));
}

TEST_F(PathWalkTest, SearchPermissionIsNeededOnTheWay) {
  WalkContext c = t.context();
  ASSERT_TRUE(vfs::Chmod(t.creds, *t.Walk("/a"), 0700).ok());
  t.who = &t.user;
  EXPECT_EQ(Where("/a/b"), Err(kEACCES));
  EXPECT_EQ(Where("/a"), "/a");
  EXPECT_EQ(Where("/a/none"), Err(kEACCES));
}

TEST_F(PathWalkTest, ResolveFlags) {
  t.Symlink("/a/b", "/a/abs");
  t.Symlink("b", "/a/rel");
  t.Symlink("../..", "/a/b/up");
  t.cwd = *t.Walk("/a");
  EXPECT_EQ(Where("rel/file", {.resolve = abi::kRESOLVE_NO_SYMLINKS}), Err(kELOOP));
  EXPECT_EQ(Where("rel/file", {.resolve = abi::kRESOLVE_BENEATH}), "/a/b/file");
  EXPECT_EQ(Where("../a", {.resolve = abi::kRESOLVE_BENEATH}), Err(kEXDEV));
  EXPECT_EQ(Where("b/up", {.resolve = abi::kRESOLVE_BENEATH}), Err(kEXDEV));
  EXPECT_EQ(Where("abs/file", {.resolve = abi::kRESOLVE_BENEATH}), Err(kEXDEV));
  EXPECT_EQ(Where("/b", {.resolve = abi::kRESOLVE_BENEATH}), Err(kEXDEV));
  EXPECT_EQ(Where("b/..", {.resolve = abi::kRESOLVE_BENEATH}), "/a");
  EXPECT_EQ(Where("/b/file", {.resolve = abi::kRESOLVE_IN_ROOT}), "/a/b/file");
  EXPECT_EQ(Where("b/up/b", {.resolve = abi::kRESOLVE_IN_ROOT}), "/a/b");
  EXPECT_EQ(Where("../../b", {.resolve = abi::kRESOLVE_IN_ROOT}), "/a/b");
  DentryCache::Shrink();
  EXPECT_EQ(Where("rel", {.resolve = abi::kRESOLVE_CACHED}), Err(kEAGAIN));
  EXPECT_EQ(Where("rel"), "/a/b");
  EXPECT_EQ(Where("rel", {.resolve = abi::kRESOLVE_CACHED}), "/a/b");
}

TEST_F(PathWalkTest, MountsAreCrossedBothWays) {
  ASSERT_TRUE(t.ns->Attach(TestTree::NewTmpfs(), *t.Walk("/a/b"), 0, "inner").ok());
  EXPECT_EQ(Where("/a/b/file"), Err(kENOENT));
  ASSERT_EQ(t.Mkdir("/a/b/c"), Errno{0});
  EXPECT_EQ(Where("/a/b/c/../.."), "/a");
  EXPECT_EQ(Where("a/b/c", {.resolve = abi::kRESOLVE_NO_XDEV}), Err(kEXDEV));
  t.cwd = *t.Walk("/a/b/c");
  EXPECT_EQ(Where("../..", {.resolve = abi::kRESOLVE_NO_XDEV}), Err(kEXDEV));
  EXPECT_EQ(Where("..", {.resolve = abi::kRESOLVE_NO_XDEV}), "/a/b");
}

TEST_F(PathWalkTest, ChrootConfinesDotDotAndAbsoluteLinks) {
  t.Symlink("/b/file", "/a/inside");
  Path a = *t.Walk("/a");
  t.root = t.cwd = a;
  EXPECT_EQ(Where("/../../b"), "/b");
  EXPECT_EQ(Where("inside"), "/b/file");
  TestTree other;
  PathString outside = DPath(t.root, t.ns->root());
  EXPECT_FALSE(outside.reachable);
}

TEST_F(PathWalkTest, DeletedPlacesSaySo) {
  Path p = *t.Walk("/a/b/file");
  ASSERT_EQ(t.Unlink("/a/b/file"), Errno{0});
  EXPECT_EQ(DPath(t.root, p).Display(), "/a/b/file (deleted)");
}

TEST_F(PathWalkTest, WalkParentNamesTheLastComponent) {
  WalkContext c = t.context();
  WalkedParent p = *WalkParent(c, t.cwd, "a/b/new/");
  EXPECT_EQ(p.last, "new");
  EXPECT_TRUE(p.trailing_slash);
  EXPECT_EQ(DPath(t.root, p.parent).text, "/a/b");
  EXPECT_EQ(WalkParent(c, t.cwd, "a/..")->type, LastType::kDotDot);
  EXPECT_EQ(WalkParent(c, t.cwd, "a/.")->type, LastType::kDot);
  EXPECT_EQ(WalkParent(c, t.cwd, "/")->type, LastType::kRoot);
}

TEST_F(PathWalkTest, TheCacheIsBounded) {
  WalkContext c = t.context();
  for (int i = 0; i < 20000; ++i) static_cast<void>(Where("missing" + std::to_string(i)));
  EXPECT_LE(DentryCache::size(), 16384u);
  DentryCache::Shrink();
  EXPECT_EQ(DentryCache::size(), 0u);
  EXPECT_EQ(Where("/a/b/file"), "/a/b/file");
}

TEST_F(PathWalkTest, VeryDeepTreesComeApartWithoutRecursion) {
  Path here = t.cwd;
  for (int i = 0; i < 30000; ++i) {
    ASSERT_EQ(t.Mkdir("d"), Errno{0});
    t.cwd = *t.Walk("d");
  }
  t.cwd = here;
  DentryCache::Shrink();
  EXPECT_EQ(Where("d/d/d"), "/d/d/d");
  t.root = t.cwd = Path();
  here = Path();
  t.ns = nullptr;  // frees the tree
}

}  // namespace
}  // namespace moat
