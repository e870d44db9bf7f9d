#include <gtest/gtest.h>

#include "abi/stat.h"
#include "fs/vfs/anon.h"
#include "fs/vfs/special.h"
#include "fs/vfs/test_tree.h"

namespace moat {
namespace {

class VfsOpenTest : public testing::Test {
 protected:
  Errno OpenError(std::string_view path, uint32_t flags) { return t.Open(path, flags).error(); }
  TestTree t;
};

TEST_F(VfsOpenTest, CreatesWritesAndReads) {
  EXPECT_EQ(t.Read("/f"), "errno 2");
  EXPECT_EQ(t.Write("/f", "hello"), Errno{0});
  EXPECT_EQ(t.Read("/f"), "hello");
  EXPECT_EQ(t.Stat("/f").mode, abi::kS_IFREG | 0644u);
  EXPECT_EQ(t.Write("/f", "hi"), Errno{0});
  EXPECT_EQ(t.Read("/f"), "hi");
}

TEST_F(VfsOpenTest, ExclusiveCreationRefusesEverythingThatExists) {
  t.Write("/f", "x");
  t.Symlink("nowhere", "/dangling");
  EXPECT_EQ(OpenError("/f", abi::kO_CREAT | abi::kO_EXCL), kEEXIST);
  EXPECT_EQ(OpenError("/dangling", abi::kO_CREAT | abi::kO_EXCL), kEEXIST);
  EXPECT_EQ(OpenError("/", abi::kO_CREAT | abi::kO_EXCL), kEEXIST);
  EXPECT_EQ(OpenError("/dangling", abi::kO_CREAT | abi::kO_WRONLY), Errno{0});
  EXPECT_EQ(t.Read("/nowhere"), "");
}

TEST_F(VfsOpenTest, DirectoriesAreNotWritable) {
  t.Mkdir("/d");
  EXPECT_EQ(OpenError("/d", abi::kO_RDONLY), Errno{0});
  EXPECT_EQ(OpenError("/d", abi::kO_RDWR), kEISDIR);
  EXPECT_EQ(OpenError("/d", abi::kO_CREAT), kEISDIR);
  EXPECT_EQ(OpenError("/d/new/", abi::kO_CREAT), kEISDIR);
  EXPECT_EQ(OpenError("/d", abi::kO_TRUNC), kEISDIR);
  EXPECT_EQ(OpenError("/d", abi::kO_CREAT | abi::kO_DIRECTORY), kEINVAL);
  t.Write("/f", "");
  EXPECT_EQ(OpenError("/f", abi::kO_DIRECTORY), kENOTDIR);
}

TEST_F(VfsOpenTest, SymlinkRules) {
  t.Write("/f", "x");
  t.Symlink("f", "/l");
  EXPECT_EQ(OpenError("/l", abi::kO_NOFOLLOW), kELOOP);
  EXPECT_EQ(OpenError("/l", abi::kO_NOFOLLOW | abi::kO_CREAT), kELOOP);
  EXPECT_EQ(OpenError("/l", abi::kO_NOFOLLOW | abi::kO_DIRECTORY), kENOTDIR);
  Ref<FileDescription> p = *t.Open("/l", abi::kO_PATH | abi::kO_NOFOLLOW);
  EXPECT_TRUE(p->inode().is_symlink());
  EXPECT_FALSE(p->readable());
  EXPECT_EQ(TestTree::ReadFrom(*p), "errno 9");
  EXPECT_EQ(*vfs::ReadLink(p->path()), "f");
}

TEST_F(VfsOpenTest, PermissionsDecide) {
  t.Write("/f", "x");
  ASSERT_TRUE(vfs::Chmod(t.creds, *t.Walk("/f"), 0640).ok());
  t.who = &t.user;
  EXPECT_EQ(OpenError("/f", abi::kO_RDONLY), kEACCES);
  EXPECT_EQ(OpenError("/new", abi::kO_CREAT), kEACCES);
  t.user.gid = t.user.fsgid = 0;
  EXPECT_EQ(OpenError("/f", abi::kO_RDONLY), Errno{0});
  EXPECT_EQ(OpenError("/f", abi::kO_RDWR), kEACCES);
  EXPECT_EQ(OpenError("/f", abi::kO_TRUNC), kEACCES);
  EXPECT_EQ(OpenError("/f", abi::kO_NOATIME), kEPERM);
  t.who = &t.creds;
  EXPECT_TRUE(t.Open("/ro", abi::kO_CREAT | abi::kO_RDWR, 0).ok());  // the maker may write whatever the mode says
}

TEST_F(VfsOpenTest, ReadOnlyMounts) {
  t.Write("/f", "x");
  ASSERT_TRUE(t.ns->Remount(t.root, kMountReadOnly).ok());
  EXPECT_EQ(OpenError("/f", abi::kO_RDWR), kEROFS);
  EXPECT_EQ(OpenError("/f", abi::kO_CREAT), Errno{0});
  EXPECT_EQ(OpenError("/new", abi::kO_CREAT), kEROFS);
  EXPECT_EQ(t.Mkdir("/f"), kEEXIST);
  EXPECT_EQ(t.Mkdir("/d"), kEROFS);
  EXPECT_EQ(t.Unlink("/f"), kEROFS);
}

TEST_F(VfsOpenTest, TextBusy) {
  t.Write("/prog", "x");
  Path p = *t.Walk("/prog");
  {
    Ref<FileDescription> writer = *t.Open("/prog", abi::kO_RDWR);
    EXPECT_EQ(p.dentry->inode()->DenyWriteAccess().error(), kETXTBSY);
  }
  ASSERT_TRUE(p.dentry->inode()->DenyWriteAccess().ok());
  EXPECT_EQ(OpenError("/prog", abi::kO_WRONLY), kETXTBSY);
  EXPECT_EQ(vfs::Truncate(t.creds, p, 0).error(), kETXTBSY);
  p.dentry->inode()->AllowWriteAccess();
  EXPECT_EQ(OpenError("/prog", abi::kO_WRONLY), Errno{0});
}

TEST_F(VfsOpenTest, TmpfileIsNamelessUntilLinked) {
  Ref<FileDescription> f = *t.Open("/", abi::kO_TMPFILE | abi::kO_RDWR);
  EXPECT_EQ(f->inode().GetAttr()->nlink, 0u);
  EXPECT_EQ(*TestTree::WriteTo(*f, "data", 0), 4u);
  WalkContext c = t.context();
  ASSERT_TRUE(vfs::Link(c, f->path(), t.cwd, "named").ok());
  EXPECT_EQ(t.Read("/named"), "data");
  Ref<FileDescription> g = *t.Open("/", abi::kO_TMPFILE | abi::kO_EXCL | abi::kO_RDWR);
  EXPECT_EQ(vfs::Link(c, g->path(), t.cwd, "other").error(), kENOENT);
  EXPECT_EQ(OpenError("/", abi::kO_TMPFILE | abi::kO_RDONLY), kEINVAL);
}

TEST_F(VfsOpenTest, DevicesAndFifosGoToTheirOpeners) {
  static int opened;
  RegisterCharDevice(241, 7, 2, [](const Path& path, uint32_t flags) -> ErrorOr<Ref<FileDescription>> {
    ++opened;
    return kEIO;
  });
  WalkContext c = t.context();
  ASSERT_TRUE(vfs::Mknod(c, t.cwd, "dev", abi::kS_IFCHR | 0666, abi::MakeDev(241, 8), 0).ok());
  ASSERT_TRUE(vfs::Mknod(c, t.cwd, "none", abi::kS_IFCHR | 0666, abi::MakeDev(241, 9), 0).ok());
  ASSERT_TRUE(vfs::Mknod(c, t.cwd, "sock", abi::kS_IFSOCK | 0666, 0, 0).ok());
  EXPECT_EQ(OpenError("/dev", abi::kO_RDWR), kEIO);
  EXPECT_EQ(opened, 1);
  EXPECT_EQ(OpenError("/none", abi::kO_RDWR), kENXIO);
  EXPECT_EQ(OpenError("/sock", abi::kO_RDWR), kENXIO);
  ASSERT_TRUE(t.ns->Remount(t.root, kMountNoDev).ok());
  EXPECT_EQ(OpenError("/dev", abi::kO_RDWR), kEACCES);
  t.who = &t.user;
  WalkContext u = t.context();
  EXPECT_EQ(vfs::Mknod(u, t.cwd, "dev2", abi::kS_IFCHR | 0666, abi::MakeDev(1, 3), 0).error(), kEPERM);
}

TEST_F(VfsOpenTest, FlagsOfTheOpenFile) {
  t.Write("/f", "x");
  Ref<FileDescription> f = *t.Open("/f", abi::kO_RDWR | abi::kO_APPEND | abi::kO_CREAT | abi::kO_TRUNC);
  EXPECT_EQ(f->flags(), abi::kO_RDWR | abi::kO_APPEND | abi::kO_LARGEFILE);
  ASSERT_TRUE(f->SetFlags(abi::kO_NONBLOCK).ok());
  EXPECT_EQ(f->flags(), abi::kO_RDWR | abi::kO_NONBLOCK | abi::kO_LARGEFILE);
}

TEST_F(VfsOpenTest, AnonymousPathsHaveNames) {
  Path p = MakeAnonPath("pipe", abi::kS_IFIFO);
  EXPECT_EQ(DPath(t.root, p).Display(), "pipe:[" + std::to_string(vfs::Stat(p)->ino) + "]");
  EXPECT_EQ(DPath(t.root, MakeAnonPath("anon_inode:[eventfd]", 0)).Display(), "anon_inode:[eventfd]");
}

}  // namespace
}  // namespace moat
