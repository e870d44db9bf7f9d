#include "fs/overlay/overlay.h"

#include <gtest/gtest.h>

#include "abi/stat.h"
#include "fs/vfs/dentry_cache.h"
#include "fs/vfs/test_tree.h"

namespace moat {
namespace {

class OverlayTest : public testing::Test {
 protected:
  // The lower layer is filled first.
  OverlayTest() {
    lower.Mkdir("/dir");
    lower.Mkdir("/dir/sub");
    lower.Write("/dir/a", "lower a");
    lower.Write("/dir/b", "lower b");
    lower.Write("/file", "lower");
    lower.Symlink("dir/a", "/link");
    lower.Mkdir("/empty");
    EXPECT_TRUE(vfs::Chmod(lower.creds, *lower.Walk("/file"), 0640).ok());
    EXPECT_TRUE(vfs::SetXattr(lower.creds, *lower.Walk("/file"), "user.k", "v", 0).ok());
    upper_fs = TestTree::NewTmpfs();
    t = std::make_unique<TestTree>(*Overlay::Create({upper_fs, {Ref<FileSystem>(&lower.root.mount->fs())}, ""}));
  }
  TestTree lower;
  Ref<FileSystem> upper_fs;
  std::unique_ptr<TestTree> t;
};

TEST_F(OverlayTest, ShowsTheLowerLayer) {
  EXPECT_EQ(t->Read("/file"), "lower");
  EXPECT_EQ(t->Read("/link"), "lower a");
  EXPECT_EQ(t->List("/dir"), ". .. sub a b");
  EXPECT_EQ(t->Read("/none"), "errno 2");
  EXPECT_EQ(t->Stat("/file").dev, t->Stat("/").dev);
}

TEST_F(OverlayTest, WritingCopiesUpAndLeavesTheLowerAlone) {
  Attr before = t->Stat("/file"), dir_before = t->Stat("/dir");
  Ref<FileDescription> old_reader = *t->Open("/file", abi::kO_RDONLY);
  EXPECT_EQ(TestTree::ReadFrom(*old_reader), "lower");
  Ref<FileDescription> f = *t->Open("/file", abi::kO_RDWR);
  EXPECT_EQ(*TestTree::WriteTo(*f, "UPPER", 0), 5u);
  EXPECT_EQ(t->Read("/file"), "UPPER");
  EXPECT_EQ(TestTree::ReadFrom(*old_reader), "UPPER");
  EXPECT_EQ(lower.Read("/file"), "lower");
  Attr after = t->Stat("/file");
  EXPECT_EQ(after.ino, before.ino);
  EXPECT_EQ(after.dev, before.dev);
  EXPECT_EQ(after.mode, before.mode);
  EXPECT_EQ(*vfs::GetXattr(t->creds, *t->Walk("/file"), "user.k"), "v");
  EXPECT_EQ(*vfs::ListXattr(t->creds, *t->Walk("/file")), std::string("user.k\0", 7));
  EXPECT_EQ(vfs::SetXattr(t->creds, *t->Walk("/file"), "trusted.overlay.opaque", "y", 0).error(), kEOPNOTSUPP);
  f = old_reader = nullptr;
  DentryCache::Shrink();
  EXPECT_EQ(t->Stat("/file").ino, before.ino);  // found again by the upper layer alone
  t->Write("/dir/a", "x");
  EXPECT_EQ(t->Stat("/dir").ino, dir_before.ino);
  EXPECT_EQ(t->Stat("/dir").mtime, dir_before.mtime);
}

TEST_F(OverlayTest, AttributesCopyUpToo) {
  ASSERT_TRUE(vfs::Chmod(t->creds, *t->Walk("/dir/sub"), 0700).ok());
  EXPECT_EQ(t->Stat("/dir/sub").mode & 0777, 0700u);
  EXPECT_EQ(lower.Stat("/dir/sub").mode & 0777, 0755u);
  ASSERT_TRUE(vfs::Truncate(t->creds, *t->Walk("/dir/a"), 5).ok());
  EXPECT_EQ(t->Read("/dir/a"), "lower");
  EXPECT_EQ(lower.Read("/dir/a"), "lower a");
  ASSERT_TRUE(vfs::Chown(t->creds, *t->Walk("/link", {.follow = false}), 5, 5).ok());
  EXPECT_EQ(t->Stat("/link", false).uid, 5u);
  EXPECT_EQ(*vfs::ReadLink(*t->Walk("/link", {.follow = false})), "dir/a");
}

TEST_F(OverlayTest, RemovedNamesStayRemoved) {
  EXPECT_EQ(t->Unlink("/dir/a"), Errno{0});
  EXPECT_EQ(t->Read("/dir/a"), "errno 2");
  EXPECT_EQ(t->List("/dir"), ". .. sub b");
  DentryCache::Shrink();
  EXPECT_EQ(t->Read("/dir/a"), "errno 2");
  EXPECT_EQ(lower.Read("/dir/a"), "lower a");
  EXPECT_EQ(t->Write("/dir/a", "new"), Errno{0});
  EXPECT_EQ(t->Read("/dir/a"), "new");
  EXPECT_EQ(t->List("/dir"), ". .. a sub b");
  EXPECT_EQ(t->Unlink("/dir/a"), Errno{0});
  EXPECT_EQ(t->Read("/dir/a"), "errno 2");
}

TEST_F(OverlayTest, RemovedDirectoriesComeBackEmpty) {
  EXPECT_EQ(t->Rmdir("/dir"), kENOTEMPTY);
  EXPECT_EQ(t->Unlink("/dir/a"), Errno{0});
  EXPECT_EQ(t->Unlink("/dir/b"), Errno{0});
  EXPECT_EQ(t->Rmdir("/dir/sub"), Errno{0});
  EXPECT_EQ(t->List("/dir"), ". ..");
  EXPECT_EQ(t->Rmdir("/dir"), Errno{0});
  EXPECT_EQ(t->Read("/dir/a"), "errno 2");
  EXPECT_EQ(t->Mkdir("/dir"), Errno{0});
  EXPECT_EQ(t->List("/dir"), ". ..");
  DentryCache::Shrink();
  EXPECT_EQ(t->Read("/dir/a"), "errno 2");
  EXPECT_EQ(lower.Read("/dir/a"), "lower a");
}

TEST_F(OverlayTest, RenamesOfFilesCopyAndHide) {
  uint64_t ino = t->Stat("/file").ino;
  EXPECT_EQ(t->Rename("/file", "/dir/moved"), Errno{0});
  EXPECT_EQ(t->Read("/file"), "errno 2");
  EXPECT_EQ(t->Read("/dir/moved"), "lower");
  EXPECT_EQ(t->Stat("/dir/moved").ino, ino);
  EXPECT_EQ(t->Rename("/dir/moved", "/dir/b"), Errno{0});
  EXPECT_EQ(t->Read("/dir/b"), "lower");
  DentryCache::Shrink();
  EXPECT_EQ(t->List("/dir"), ". .. b sub a");
  EXPECT_EQ(t->Rename("/dir/a", "/dir/b", abi::kRENAME_EXCHANGE), Errno{0});
  EXPECT_EQ(t->Read("/dir/a"), "lower");
  EXPECT_EQ(t->Read("/dir/b"), "lower a");
}

TEST_F(OverlayTest, RenamesOfDirectories) {
  EXPECT_EQ(t->Rename("/dir", "/elsewhere"), kEXDEV);
  EXPECT_EQ(t->Mkdir("/mine"), Errno{0});
  EXPECT_EQ(t->Write("/mine/x", "x"), Errno{0});
  EXPECT_EQ(t->Rename("/mine", "/empty"), Errno{0});  // over an empty lower one
  EXPECT_EQ(t->Read("/empty/x"), "x");
  EXPECT_EQ(t->List("/empty"), ". .. x");
  EXPECT_EQ(t->Rename("/empty", "/dir"), kENOTEMPTY);
  EXPECT_EQ(t->Rename("/empty", "/again"), Errno{0});
  EXPECT_EQ(t->Read("/again/x"), "x");
  EXPECT_EQ(t->Read("/empty/x"), "errno 2");
}

TEST_F(OverlayTest, DirectoryOverARemovedOneHidesItsContent) {
  t->Unlink("/dir/a");
  t->Unlink("/dir/b");
  t->Rmdir("/dir/sub");
  ASSERT_EQ(t->Rmdir("/dir"), Errno{0});
  t->Mkdir("/new");
  ASSERT_EQ(t->Rename("/new", "/dir"), Errno{0});
  DentryCache::Shrink();
  EXPECT_EQ(t->List("/dir"), ". ..");
}

TEST_F(OverlayTest, HardLinksShareOneInode) {
  EXPECT_EQ(t->Link("/file", "/dir/hard"), Errno{0});
  EXPECT_EQ(t->Stat("/dir/hard").ino, t->Stat("/file").ino);
  EXPECT_EQ(t->Stat("/file").nlink, 2u);
  EXPECT_TRUE(t->Walk("/file")->dentry->inode() == t->Walk("/dir/hard")->dentry->inode());
  DentryCache::Shrink();
  t->Write("/dir/hard", "both");
  EXPECT_EQ(t->Read("/file"), "both");
}

TEST_F(OverlayTest, OpenFileOutlivesItsName) {
  Ref<FileDescription> f = *t->Open("/file", abi::kO_RDONLY);
  EXPECT_EQ(t->Unlink("/file"), Errno{0});
  EXPECT_EQ(TestTree::ReadFrom(*f), "lower");
  EXPECT_TRUE(vfs::Chmod(t->creds, f->path(), 0600).ok());  // a copy without a name
  EXPECT_EQ(TestTree::ReadFrom(*f), "lower");
  EXPECT_EQ(t->List("/"), ". .. dir link empty");
}

TEST_F(OverlayTest, NewFilesAndNumbersAreDistinct) {
  t->Write("/new", "n");
  EXPECT_NE(t->Stat("/new").ino, t->Stat("/file").ino);
  EXPECT_EQ(t->List("/"), ". .. new dir file link empty");
  Ref<FileDescription> tmp = *t->Open("/dir", abi::kO_TMPFILE | abi::kO_RDWR);
  WalkContext c = t->context();
  EXPECT_TRUE(vfs::Link(c, tmp->path(), t->cwd, "/dir/a2").ok());
  EXPECT_EQ(t->Read("/dir/a2"), "");
}

TEST_F(OverlayTest, ReadDirPositionsSurviveChanges) {
  struct OneSink final : DirSink {
    std::string name;
    bool taken = false;
    bool Entry(std::string_view n, uint64_t, uint8_t, int64_t) override {
      if (taken) return false;
      name = std::string(n);
      return taken = true;
    }
  };
  Ref<FileDescription> d = *t->Open("/dir", abi::kO_RDONLY | abi::kO_DIRECTORY);
  int64_t position = 0;
  std::string all;
  for (int i = 0; i < 10; ++i) {
    OneSink sink;
    ASSERT_TRUE(d->ReadDir(sink, &position).ok());
    if (!sink.taken) break;
    all += sink.name + " ";
    if (sink.name == "sub") t->Unlink("/dir/a");
  }
  EXPECT_EQ(all, ". .. sub a b ");
}

TEST_F(OverlayTest, ReadOnlyWithoutUpper) {
  TestTree ro(*Overlay::Create({nullptr, {Ref<FileSystem>(&lower.root.mount->fs())}, ""}));
  EXPECT_EQ(ro.Read("/file"), "lower");
  EXPECT_EQ(ro.Write("/file", "x"), kEROFS);
  EXPECT_EQ(ro.Mkdir("/x"), kEROFS);
  EXPECT_EQ(ro.Unlink("/file"), kEROFS);
}

TEST_F(OverlayTest, TwoLowersMerge) {
  TestTree top;
  top.Mkdir("/dir");
  top.Write("/dir/a", "top a");
  top.Write("/dir/c", "top c");
  TestTree two(*Overlay::Create(
      {TestTree::NewTmpfs(), {Ref<FileSystem>(&top.root.mount->fs()), Ref<FileSystem>(&lower.root.mount->fs())}, ""}));
  EXPECT_EQ(two.Read("/dir/a"), "top a");
  EXPECT_EQ(two.Read("/dir/b"), "lower b");
  EXPECT_EQ(two.List("/dir"), ". .. a c sub b");
  EXPECT_EQ(two.Unlink("/dir/a"), Errno{0});
  EXPECT_EQ(two.Read("/dir/a"), "errno 2");
}

TEST_F(OverlayTest, CopyUpOfSparseFilesKeepsContent) {
  Ref<FileDescription> f = *lower.Open("/dir/big", abi::kO_RDWR | abi::kO_CREAT);
  ASSERT_TRUE(vfs::TruncateFile(lower.creds, *f, 700'000).ok());
  ASSERT_TRUE(TestTree::WriteTo(*f, "tail", 600'000).ok());
  Ref<FileDescription> g = *t->Open("/dir/big", abi::kO_RDWR);
  EXPECT_EQ(t->Stat("/dir/big").size, 700'000u);
  EXPECT_EQ(TestTree::ReadFrom(*g, 600'000, 4), "tail");
  EXPECT_EQ(TestTree::ReadFrom(*g, 0, 3), std::string(3, '\0'));
  EXPECT_LT(t->Stat("/dir/big").blocks, 1000u);
}

TEST_F(OverlayTest, LocksAreTakenInOrder) {
  OnFiber([&] {
    EXPECT_EQ(t->Write("/file", "new"), Errno{0});
    EXPECT_TRUE(vfs::Chmod(t->creds, *t->Walk("/dir/sub"), 0700).ok());
    EXPECT_TRUE(vfs::Truncate(t->creds, *t->Walk("/dir/a"), 3).ok());
    EXPECT_EQ(t->Link("/dir/b", "/hard"), Errno{0});
    EXPECT_EQ(t->Mkdir("/mine"), Errno{0});
    EXPECT_EQ(t->Mkdir("/mine/in"), Errno{0});
    EXPECT_EQ(t->Rename("/mine/in", "/dir/in"), Errno{0});
    EXPECT_EQ(t->Rename("/hard", "/dir/in/hard"), Errno{0});
    EXPECT_EQ(t->Rename("/dir/in/hard", "/dir/a", abi::kRENAME_EXCHANGE), Errno{0});
    EXPECT_EQ(t->Unlink("/dir/in/hard"), Errno{0});
    EXPECT_EQ(t->Rmdir("/dir/in"), Errno{0});
    EXPECT_EQ(t->Rmdir("/empty"), Errno{0});
    EXPECT_TRUE(vfs::SetXattr(t->creds, *t->Walk("/link", {.follow = true}), "user.x", "1", 0).ok());
    EXPECT_EQ(t->List("/dir"), ". .. sub a b");
  });
}

TEST_F(OverlayTest, MappingALowerFileGivesItsOwnDescriptor) {
  HostBacking below = *(*lower.Open("/file", abi::kO_RDONLY))->Map(0, 5, false);
  Ref<FileDescription> f = *t->Open("/file", abi::kO_RDONLY);
  EXPECT_EQ(f->Map(0, 5, false)->fd, below.fd);
}

}  // namespace
}  // namespace moat
