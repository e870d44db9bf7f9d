#include <gtest/gtest.h>

#include <cstring>

#include "abi/stat.h"
#include "abi/xattr.h"
#include "fs/vfs/permissions.h"
#include "fs/vfs/test_tree.h"

namespace moat {
namespace {

class VfsNamesTest : public testing::Test {
 protected:
  TestTree t;
};

TEST_F(VfsNamesTest, MkdirAndRmdir) {
  EXPECT_EQ(t.Mkdir("/d/"), Errno{0});
  EXPECT_EQ(t.Mkdir("/d"), kEEXIST);
  EXPECT_EQ(t.Mkdir("/."), kEEXIST);
  EXPECT_EQ(t.Mkdir("/x/y"), kENOENT);
  EXPECT_EQ(t.Mkdir("/d/sub"), Errno{0});
  EXPECT_EQ(t.Stat("/d").nlink, 3u);
  EXPECT_EQ(t.Rmdir("/d"), kENOTEMPTY);
  EXPECT_EQ(t.Unlink("/d"), kEISDIR);
  EXPECT_EQ(t.Rmdir("/d/sub/."), kEINVAL);
  EXPECT_EQ(t.Rmdir("/d/sub/.."), kENOTEMPTY);
  EXPECT_EQ(t.Rmdir("/"), kEBUSY);
  t.cwd = *t.Walk("/d/sub");
  EXPECT_EQ(t.Rmdir("/d/sub"), Errno{0});
  EXPECT_EQ(t.Write("new", ""), kENOENT);  // in a directory that is gone
  EXPECT_EQ(t.Rmdir("/d"), Errno{0});
}

TEST_F(VfsNamesTest, HardLinksShareTheInode) {
  t.Write("/f", "one");
  EXPECT_EQ(t.Link("/f", "/g"), Errno{0});
  EXPECT_EQ(t.Stat("/f").nlink, 2u);
  EXPECT_EQ(t.Stat("/f").ino, t.Stat("/g").ino);
  EXPECT_EQ(t.Link("/f", "/g"), kEEXIST);
  EXPECT_EQ(t.Unlink("/f"), Errno{0});
  EXPECT_EQ(t.Read("/g"), "one");
  EXPECT_EQ(t.Stat("/g").nlink, 1u);
  t.Mkdir("/d");
  EXPECT_EQ(t.Link("/d", "/e"), kEPERM);
}

TEST_F(VfsNamesTest, UnlinkWithTrailingSlash) {
  t.Write("/f", "");
  t.Mkdir("/d");
  EXPECT_EQ(t.Unlink("/f/"), kENOTDIR);
  EXPECT_EQ(t.Unlink("/d/"), kEISDIR);
  EXPECT_EQ(t.Unlink("/none/"), kENOENT);
  EXPECT_EQ(t.Rmdir("/f"), kENOTDIR);
  EXPECT_EQ(t.Symlink("x", "/new/"), kENOENT);
}

TEST_F(VfsNamesTest, RenameReplacesAndMoves) {
  t.Write("/f", "f");
  t.Write("/g", "g");
  t.Mkdir("/d");
  t.Mkdir("/e");
  EXPECT_EQ(t.Rename("/f", "/g"), Errno{0});
  EXPECT_EQ(t.Read("/g"), "f");
  EXPECT_EQ(t.Read("/f"), "errno 2");
  EXPECT_EQ(t.Rename("/g", "/d/h"), Errno{0});
  EXPECT_EQ(t.Rename("/d", "/e"), Errno{0});  // onto an empty directory
  EXPECT_EQ(t.Read("/e/h"), "f");
  t.Mkdir("/full");
  t.Write("/full/x", "");
  EXPECT_EQ(t.Rename("/e", "/full"), kENOTEMPTY);
  EXPECT_EQ(t.Rename("/e", "/e/in"), kEINVAL);
  EXPECT_EQ(t.Rename("/e/h", "/e"), kENOTEMPTY);
  EXPECT_EQ(t.Rename("/full/x", "/e"), kEISDIR);
  EXPECT_EQ(t.Rename("/e", "/full/x"), kENOTDIR);
  EXPECT_EQ(t.Rename("/none", "/x"), kENOENT);
  EXPECT_EQ(t.Rename("/full/x/", "/y"), kENOTDIR);
  EXPECT_EQ(t.Rename("/full/.", "/y"), kEBUSY);
}

TEST_F(VfsNamesTest, RenameFlags) {
  t.Write("/f", "f");
  t.Mkdir("/d");
  t.Write("/d/g", "g");
  EXPECT_EQ(t.Rename("/f", "/d/g", abi::kRENAME_NOREPLACE), kEEXIST);
  EXPECT_EQ(t.Rename("/f", "/none", abi::kRENAME_EXCHANGE), kENOENT);
  EXPECT_EQ(t.Rename("/f", "/d/g", abi::kRENAME_EXCHANGE), Errno{0});
  EXPECT_EQ(t.Read("/f"), "g");
  EXPECT_EQ(t.Read("/d/g"), "f");
  EXPECT_EQ(t.Mkdir("/e"), Errno{0});
  EXPECT_EQ(t.Rename("/e", "/d/g", abi::kRENAME_EXCHANGE), Errno{0});
  EXPECT_EQ(t.Stat("/d").nlink, 3u);
  EXPECT_EQ(t.Rename("/f", "/x", abi::kRENAME_WHITEOUT), kEINVAL);
  EXPECT_EQ(t.Rename("/d", "/d/g/x", abi::kRENAME_NOREPLACE), kEINVAL);
}

TEST_F(VfsNamesTest, RenameKeepsOpenFilesAndPaths) {
  t.Mkdir("/d");
  t.Write("/d/f", "x");
  Path p = *t.Walk("/d/f");
  t.Rename("/d", "/moved");
  EXPECT_EQ(DPath(t.root, p).text, "/moved/f");
  EXPECT_EQ(t.Read("/d/f"), "errno 2");
}

TEST_F(VfsNamesTest, StickyDirectoriesProtectOthersFiles) {
  t.Mkdir("/tmp");
  ASSERT_TRUE(vfs::Chmod(t.creds, *t.Walk("/tmp"), 01777).ok());
  t.Write("/tmp/roots", "x");
  t.who = &t.user;
  EXPECT_EQ(t.Unlink("/tmp/roots"), kEPERM);
  EXPECT_EQ(t.Rename("/tmp/roots", "/tmp/mine"), kEPERM);
  EXPECT_EQ(t.Write("/tmp/mine", "y"), Errno{0});
  EXPECT_EQ(t.Unlink("/tmp/mine"), Errno{0});
}

TEST_F(VfsNamesTest, SetGidDirectoriesGiveTheirGroup) {
  t.Mkdir("/d");
  ASSERT_TRUE(vfs::Chown(t.creds, *t.Walk("/d"), 0, 77).ok());
  ASSERT_TRUE(vfs::Chmod(t.creds, *t.Walk("/d"), 02777).ok());
  t.who = &t.user;
  t.Write("/d/f", "");
  t.Mkdir("/d/sub");
  EXPECT_EQ(t.Stat("/d/f").gid, 77u);
  EXPECT_EQ(t.Stat("/d/f").uid, 1000u);
  EXPECT_EQ(t.Stat("/d/sub").mode & 07777, 02755u);
}

TEST_F(VfsNamesTest, ChownAndWritesDropSetIdBits) {
  t.Write("/f", "x");
  Path f = *t.Walk("/f");
  ASSERT_TRUE(vfs::Chown(t.creds, f, 1000, 1000).ok());
  ASSERT_TRUE(vfs::Chmod(t.creds, f, 06755).ok());
  EXPECT_EQ(vfs::Stat(f)->mode & 07777, 06755u);
  ASSERT_TRUE(vfs::Chown(t.creds, f, 1000, 1000).ok());
  EXPECT_EQ(vfs::Stat(f)->mode & 07777, 0755u);
  ASSERT_TRUE(vfs::Chmod(t.user, f, 06755).ok());
  ASSERT_TRUE(vfs::Truncate(t.user, f, 0).ok());
  EXPECT_EQ(vfs::Stat(f)->mode & 07777, 0755u);
  EXPECT_EQ(vfs::Chown(t.user, f, 0, vfs::kKeepId).error(), kEPERM);
  EXPECT_EQ(vfs::Chown(t.user, f, vfs::kKeepId, 5).error(), kEPERM);
  t.user.groups = {5};
  EXPECT_TRUE(vfs::Chown(t.user, f, vfs::kKeepId, 5).ok());
}

TEST_F(VfsNamesTest, UtimesRules) {
  t.Write("/f", "x");
  Path f = *t.Walk("/f");
  abi::Timespec times[2] = {{10, 20}, {0, abi::kUTIME_OMIT}};
  ASSERT_TRUE(vfs::Utimes(t.creds, f, times).ok());
  EXPECT_EQ(vfs::Stat(f)->atime, (TimeSpec{10, 20}));
  EXPECT_EQ(vfs::Utimes(t.user, f, times).error(), kEPERM);
  EXPECT_EQ(vfs::Utimes(t.user, f, nullptr).error(), kEACCES);
  ASSERT_TRUE(vfs::Chmod(t.creds, f, 0666).ok());
  EXPECT_TRUE(vfs::Utimes(t.user, f, nullptr).ok());
  times[0].tv_nsec = 1'000'000'000;
  EXPECT_EQ(vfs::Utimes(t.creds, f, times).error(), kEINVAL);
}

TEST_F(VfsNamesTest, RelatimeUpdatesOnceAfterAChange) {
  ASSERT_TRUE(t.ns->Remount(t.root, kMountRelatime).ok());
  t.Write("/f", "x");
  Path p = *t.Walk("/f");
  abi::Timespec times[2] = {{10, 0}, {20, 0}};
  ASSERT_TRUE(vfs::Utimes(t.creds, p, times).ok());
  Ref<FileDescription> f = *t.Open("/f", abi::kO_RDONLY);
  vfs::AfterRead(*f);
  EXPECT_GT(vfs::Stat(p)->atime.sec, 1'000'000);
  ASSERT_TRUE(t.ns->Remount(t.root, kMountNoAtime).ok());
  ASSERT_TRUE(vfs::Utimes(t.creds, p, times).ok());
  vfs::AfterRead(*f);
  EXPECT_EQ(vfs::Stat(p)->atime.sec, 10);
}

TEST_F(VfsNamesTest, XattrNamespaces) {
  t.Write("/f", "x");
  t.Symlink("f", "/l");
  Path f = *t.Walk("/f"), l = *t.Walk("/l", {.follow = false});
  EXPECT_TRUE(vfs::SetXattr(t.creds, f, "user.a", "1", 0).ok());
  EXPECT_EQ(vfs::SetXattr(t.creds, f, "user.a", "1", abi::kXATTR_CREATE).error(), kEEXIST);
  EXPECT_EQ(vfs::SetXattr(t.creds, f, "user.b", "1", abi::kXATTR_REPLACE).error(), kENODATA);
  EXPECT_EQ(*vfs::GetXattr(t.user, f, "user.a"), "1");
  EXPECT_EQ(vfs::SetXattr(t.user, f, "user.a", "2", 0).error(), kEACCES);
  EXPECT_EQ(vfs::SetXattr(t.creds, l, "user.a", "1", 0).error(), kEPERM);
  EXPECT_EQ(vfs::GetXattr(t.creds, l, "user.a").error(), kENODATA);
  EXPECT_TRUE(vfs::SetXattr(t.creds, f, "trusted.t", "1", 0).ok());
  EXPECT_EQ(vfs::SetXattr(t.user, f, "trusted.t", "1", 0).error(), kEPERM);
  EXPECT_EQ(vfs::GetXattr(t.user, f, "trusted.t").error(), kENODATA);
  EXPECT_EQ(vfs::SetXattr(t.creds, f, "nonsense", "1", 0).error(), kEOPNOTSUPP);
  EXPECT_EQ(*vfs::ListXattr(t.user, f), std::string("user.a\0", 7));
  EXPECT_EQ(*vfs::ListXattr(t.creds, f), std::string("trusted.t\0user.a\0", 17));
  EXPECT_TRUE(vfs::RemoveXattr(t.creds, f, "user.a").ok());
  EXPECT_EQ(vfs::RemoveXattr(t.creds, f, "user.a").error(), kENODATA);
}

std::string AclOf(std::initializer_list<std::array<uint32_t, 3>> entries) {
  std::string out("\2\0\0\0", 4);
  for (auto& [tag, perm, id] : entries) {
    uint16_t head[2] = {static_cast<uint16_t>(tag), static_cast<uint16_t>(perm)};
    out.append(reinterpret_cast<const char*>(head), 4);
    out.append(reinterpret_cast<const char*>(&id), 4);
  }
  return out;
}

TEST_F(VfsNamesTest, AccessControlLists) {
  t.Write("/f", "x");
  Path f = *t.Walk("/f");
  ASSERT_TRUE(vfs::Chmod(t.creds, f, 0600).ok());
  EXPECT_FALSE(InodePermission(t.user, *f.dentry->inode(), kMayRead).ok());
  std::string acl = AclOf({{1, 6, ~0u}, {2, 6, 1000}, {4, 0, ~0u}, {16, 4, ~0u}, {32, 0, ~0u}});
  ASSERT_TRUE(vfs::SetXattr(t.creds, f, abi::kXATTR_NAME_POSIX_ACL_ACCESS, acl, 0).ok());
  EXPECT_EQ(vfs::Stat(f)->mode & 0777, 0640u);  // the mask shows as the group's bits
  EXPECT_TRUE(InodePermission(t.user, *f.dentry->inode(), kMayRead).ok());
  EXPECT_FALSE(InodePermission(t.user, *f.dentry->inode(), kMayWrite).ok());  // masked
  ASSERT_TRUE(vfs::Chmod(t.creds, f, 0660).ok());
  EXPECT_TRUE(InodePermission(t.user, *f.dentry->inode(), kMayWrite).ok());
  EXPECT_EQ(vfs::SetXattr(t.creds, f, abi::kXATTR_NAME_POSIX_ACL_ACCESS, "junk", 0).error(), kEINVAL);
  std::string minimal = AclOf({{1, 6, ~0u}, {4, 4, ~0u}, {32, 4, ~0u}});
  ASSERT_TRUE(vfs::SetXattr(t.creds, f, abi::kXATTR_NAME_POSIX_ACL_ACCESS, minimal, 0).ok());
  EXPECT_EQ(vfs::Stat(f)->mode & 0777, 0644u);
  EXPECT_EQ(vfs::GetXattr(t.creds, f, abi::kXATTR_NAME_POSIX_ACL_ACCESS).error(), kENODATA);
}

TEST_F(VfsNamesTest, CapabilitiesOverrideModeBits) {
  t.Write("/f", "x");
  Path f = *t.Walk("/f");
  ASSERT_TRUE(vfs::Chmod(t.creds, f, 0).ok());
  EXPECT_TRUE(vfs::Access(t.creds, f, 6).ok());
  EXPECT_EQ(vfs::Access(t.creds, f, 1).error(), kEACCES);  // nobody has x
  EXPECT_EQ(vfs::Access(t.user, f, 4).error(), kEACCES);
  t.user.effective = 1ull << 2;  // CAP_DAC_READ_SEARCH
  EXPECT_TRUE(vfs::Access(t.user, f, 4).ok());
  EXPECT_EQ(vfs::Access(t.user, f, 2).error(), kEACCES);
}

}  // namespace
}  // namespace moat
