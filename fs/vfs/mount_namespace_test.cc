#include "fs/vfs/mount_namespace.h"

#include <gtest/gtest.h>

#include "fs/vfs/test_tree.h"

namespace moat {
namespace {

class MountTest : public testing::Test {
 protected:
  void SetUp() override {
    t.Mkdir("/a");
    t.Mkdir("/b");
    t.Write("/f", "f");
  }
  Errno Attach(std::string_view at) { return t.ns->Attach(TestTree::NewTmpfs(), *t.Walk(at), 0, "m").error(); }
  TestTree t;
};

TEST_F(MountTest, CoversAndUncovers) {
  t.Write("/a/below", "");
  EXPECT_EQ(Attach("/a"), Errno{0});
  EXPECT_EQ(t.List("/a"), ". ..");
  t.Write("/a/above", "");
  EXPECT_EQ(t.Rmdir("/a"), kEBUSY);
  EXPECT_EQ(t.Rename("/a", "/c"), kEBUSY);
  EXPECT_TRUE(t.ns->Umount(*t.Walk("/a"), false).ok());
  EXPECT_EQ(t.List("/a"), ". .. below");
  EXPECT_EQ(t.ns->Umount(*t.Walk("/a"), false).error(), kEINVAL);
  EXPECT_EQ(Attach("/f"), kENOTDIR);
}

TEST_F(MountTest, StacksOnOnePlace) {
  EXPECT_EQ(Attach("/a"), Errno{0});
  t.Write("/a/first", "");
  EXPECT_EQ(Attach("/a"), Errno{0});
  EXPECT_EQ(t.List("/a"), ". ..");
  EXPECT_TRUE(t.ns->Umount(*t.Walk("/a"), false).ok());
  EXPECT_EQ(t.List("/a"), ". .. first");
}

TEST_F(MountTest, BusyWhileUsedUnlessDetached) {
  EXPECT_EQ(Attach("/a"), Errno{0});
  t.Write("/a/x", "kept");
  Ref<FileDescription> file = *t.Open("/a/x", abi::kO_RDONLY);
  EXPECT_EQ(t.ns->Umount(*t.Walk("/a"), false).error(), kEBUSY);
  EXPECT_TRUE(t.ns->Umount(*t.Walk("/a"), true).ok());
  EXPECT_EQ(t.List("/a"), ". ..");
  EXPECT_EQ(TestTree::ReadFrom(*file), "kept");
  EXPECT_EQ(DPath(t.root, file->path()).text, "/x");  // no longer connected
}

TEST_F(MountTest, BindShowsTheSameFiles) {
  t.Write("/a/x", "1");
  EXPECT_TRUE(t.ns->Bind(*t.Walk("/a"), *t.Walk("/b"), false).ok());
  EXPECT_EQ(t.Read("/b/x"), "1");
  t.Write("/b/y", "2");
  EXPECT_EQ(t.Read("/a/y"), "2");
  EXPECT_EQ(t.Rename("/a/x", "/b/x"), kEXDEV);
  EXPECT_TRUE(t.ns->Remount(*t.Walk("/b"), kMountReadOnly).ok());
  EXPECT_EQ(t.Write("/b/z", ""), kEROFS);
  EXPECT_EQ(t.Write("/a/z", ""), Errno{0});
  EXPECT_NE(t.ns->FormatMountInfo(t.root).find(" /a /b ro - tmpfs"), std::string::npos) << t.ns->FormatMountInfo(t.root);
  t.Write("/file", "bound");
  EXPECT_TRUE(t.ns->Bind(*t.Walk("/file"), *t.Walk("/f"), false).ok());
  EXPECT_EQ(t.Read("/f"), "bound");
}

TEST_F(MountTest, ALockedMountKeepsItsPlaceAndItsFlags) {
  EXPECT_EQ(Attach("/a"), Errno{0});
  ASSERT_TRUE(t.ns->Remount(*t.Walk("/a"), kMountReadOnly | kMountRelatime).ok());
  t.Walk("/a")->mount->Lock();
  EXPECT_EQ(t.ns->Umount(*t.Walk("/a"), false).error(), kEINVAL);
  EXPECT_EQ(t.ns->Umount(*t.Walk("/a"), true).error(), kEINVAL);
  EXPECT_EQ(t.ns->Move(*t.Walk("/a"), *t.Walk("/b")).error(), kEINVAL);
  EXPECT_EQ(t.ns->Remount(*t.Walk("/a"), 0).error(), kEPERM);
  EXPECT_TRUE(t.ns->Remount(*t.Walk("/a"), kMountReadOnly | kMountNoExec).ok());
}

TEST_F(MountTest, ACopyOfALockedMountMayGoButKeepsItsFlags) {
  EXPECT_EQ(Attach("/a"), Errno{0});
  ASSERT_TRUE(t.ns->Remount(*t.Walk("/a"), kMountReadOnly).ok());
  t.Walk("/a")->mount->Lock();
  ASSERT_TRUE(t.ns->Bind(*t.Walk("/a"), *t.Walk("/b"), false).ok());
  EXPECT_EQ(t.ns->Remount(*t.Walk("/b"), 0).error(), kEPERM);
  EXPECT_TRUE(t.ns->Umount(*t.Walk("/b"), false).ok());
}

TEST_F(MountTest, WhatALockedMountHidesCannotBeBoundAround) {
  t.Mkdir("/a/sub");
  t.Write("/a/sub/hidden", "1");
  EXPECT_EQ(Attach("/a/sub"), Errno{0});
  t.Walk("/a/sub")->mount->Lock();
  EXPECT_EQ(t.ns->Bind(*t.Walk("/a"), *t.Walk("/b"), false).error(), kEINVAL);
  EXPECT_TRUE(t.ns->Bind(*t.Walk("/a"), *t.Walk("/b"), true).ok());
  EXPECT_EQ(t.List("/b/sub"), ". ..");
  EXPECT_EQ(t.ns->Umount(*t.Walk("/b/sub"), true).error(), kEINVAL) << "locked in the copy too";
  EXPECT_TRUE(t.ns->Umount(*t.Walk("/b"), true).ok()) << "with all that is in it";
}

TEST_F(MountTest, RecursiveBindTakesSubmounts) {
  t.Mkdir("/a/sub");
  EXPECT_EQ(Attach("/a/sub"), Errno{0});
  t.Write("/a/sub/x", "deep");
  EXPECT_TRUE(t.ns->Bind(*t.Walk("/a"), *t.Walk("/b"), false).ok());
  EXPECT_EQ(t.List("/b/sub"), ". ..");
  EXPECT_TRUE(t.ns->Umount(*t.Walk("/b"), false).ok());
  EXPECT_TRUE(t.ns->Bind(*t.Walk("/a"), *t.Walk("/b"), true).ok());
  EXPECT_EQ(t.Read("/b/sub/x"), "deep");
}

TEST_F(MountTest, MoveTakesTheTreeAlong) {
  EXPECT_EQ(Attach("/a"), Errno{0});
  t.Mkdir("/a/in");
  EXPECT_EQ(t.ns->Move(*t.Walk("/a"), *t.Walk("/a/in")).error(), kELOOP);
  EXPECT_TRUE(t.ns->Move(*t.Walk("/a"), *t.Walk("/b")).ok());
  EXPECT_EQ(t.List("/b"), ". .. in");
  EXPECT_EQ(t.List("/a"), ". ..");
  EXPECT_EQ(t.ns->Move(*t.Walk("/b/in"), *t.Walk("/a")).error(), kEINVAL);
}

TEST_F(MountTest, PivotRootThenDetachTheOldOne) {
  EXPECT_EQ(Attach("/a"), Errno{0});
  t.Mkdir("/a/old");
  t.Write("/a/new", "n");
  EXPECT_EQ(t.ns->PivotRoot(t.root, *t.Walk("/b"), *t.Walk("/b")).error(), kEBUSY);
  EXPECT_EQ(t.ns->PivotRoot(t.root, *t.Walk("/a"), *t.Walk("/b")).error(), kEBUSY);
  Path new_root = *t.Walk("/a"), put_old = *t.Walk("/a/old");
  ASSERT_TRUE(t.ns->PivotRoot(t.root, new_root, put_old).ok());
  t.root = t.cwd = t.ns->root();
  EXPECT_EQ(t.Read("/new"), "n");
  EXPECT_EQ(t.Read("/old/f"), "f");
  EXPECT_TRUE(t.ns->Umount(*t.Walk("/old"), true).ok());
  EXPECT_EQ(t.List("/old"), ". ..");
}

TEST_F(MountTest, PivotRootOntoItself) {
  EXPECT_EQ(Attach("/a"), Errno{0});
  t.Write("/a/new", "n");
  Path new_root = *t.Walk("/a");
  ASSERT_TRUE(t.ns->PivotRoot(t.root, new_root, new_root).ok());
  t.root = t.cwd = new_root;
  EXPECT_TRUE(t.ns->Umount(new_root, true).ok());  // the old root lies on top of it
  EXPECT_EQ(t.Read("/new"), "n");
  EXPECT_EQ(t.ns->root(), new_root);
}

TEST_F(MountTest, CloneIsIndependent) {
  EXPECT_EQ(Attach("/a"), Errno{0});
  t.Write("/a/x", "1");
  Path root = t.root, cwd = *t.Walk("/a");
  Ref<MountNamespace> copy = *t.ns->Clone({&root, &cwd});
  EXPECT_EQ(copy->List().size(), 2u);
  ASSERT_TRUE(copy->Umount(Path{cwd.mount, cwd.dentry}, true).ok());
  EXPECT_EQ(t.Read("/a/x"), "1");
}

TEST_F(MountTest, ListsForProc) {
  t.Mkdir("/with space");
  ASSERT_TRUE(t.ns->Attach(TestTree::NewTmpfs(), *t.Walk("/with space"), kMountNoSuid | kMountNoExec, "src").ok());
  EXPECT_EQ(t.ns->FormatMounts(t.root), "test / tmpfs rw 0 0\nsrc /with\\040space tmpfs rw,nosuid,noexec 0 0\n");
}

}  // namespace
}  // namespace moat
