#include "fs/vfs/fd_table.h"

#include <gtest/gtest.h>

#include "fs/vfs/file_lock.h"
#include "fs/vfs/test_tree.h"

namespace moat {
namespace {

class FdTableTest : public testing::Test {
 protected:
  void SetUp() override { t.Write("/f", "x"); }
  Ref<FileDescription> File() { return *t.Open("/f", abi::kO_RDWR); }
  TestTree t;
  Ref<FdTable> fds = MakeRef<FdTable>();
};

TEST_F(FdTableTest, LowestFreeNumberFirst) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(*fds->Install(File(), false, 1024), i);
  EXPECT_TRUE(fds->Close(1).ok());
  EXPECT_TRUE(fds->Close(3).ok());
  EXPECT_EQ(*fds->Install(File(), false, 1024), 1);
  EXPECT_EQ(*fds->Install(File(), false, 1024), 3);
  EXPECT_EQ(*fds->Install(File(), false, 1024), 5);
  EXPECT_EQ(*fds->Install(File(), true, 1024, 100), 100);
  EXPECT_EQ(*fds->Install(File(), false, 1024), 6);
  EXPECT_EQ(fds->Install(File(), false, 7).error(), kEMFILE);
  EXPECT_EQ(fds->Install(File(), false, 7, 7).error(), kEINVAL);
  EXPECT_EQ(fds->count(), 8u);
}

TEST_F(FdTableTest, GetAndClose) {
  Ref<FileDescription> f = File();
  int fd = *fds->Install(f, false, 1024);
  EXPECT_TRUE(*fds->Get(fd) == f);
  EXPECT_EQ(fds->Get(-1).error(), kEBADF);
  EXPECT_EQ(fds->Get(5000).error(), kEBADF);
  EXPECT_TRUE(fds->Close(fd).ok());
  EXPECT_EQ(fds->Close(fd).error(), kEBADF);
  EXPECT_EQ(fds->Get(fd).error(), kEBADF);
  EXPECT_EQ(f->ref_count(), 1u);
  int path_fd = *fds->Install(*t.Open("/f", abi::kO_PATH), false, 1024);
  EXPECT_EQ(fds->Get(path_fd).error(), kEBADF);
  EXPECT_TRUE(fds->GetRaw(path_fd).ok());
}

TEST_F(FdTableTest, DupReplaces) {
  Ref<FileDescription> a = File(), b = File();
  EXPECT_EQ(*fds->InstallAt(a, 200, false, 1024), 200);
  EXPECT_EQ(*fds->InstallAt(b, 200, true, 1024), 200);
  EXPECT_EQ(a->ref_count(), 1u);
  EXPECT_TRUE(*fds->GetCloexec(200));
  EXPECT_EQ(fds->InstallAt(a, 1024, false, 1024).error(), kEBADF);
  EXPECT_EQ(fds->count(), 1u);
}

TEST_F(FdTableTest, ExecRangesAndCopies) {
  for (int i = 0; i < 6; ++i) fds->Install(File(), i % 2 == 1, 1024).value();
  Ref<FdTable> copy = fds->Copy();
  fds->CloseOnExec();
  EXPECT_EQ(fds->count(), 3u);
  EXPECT_EQ(copy->count(), 6u);
  copy->CloseRange(2, 3, false);
  EXPECT_EQ(copy->NextFd(2), 4);
  copy->CloseRange(4, ~0u, true);
  EXPECT_TRUE(*copy->GetCloexec(4));
  EXPECT_EQ(copy->NextFd(6), -1);
  EXPECT_EQ(copy->Copy(4)->count(), 2u);
  EXPECT_EQ(*copy->Install(File(), false, 1024), 2);
}

TEST_F(FdTableTest, ClosingAnyDescriptorDropsPosixLocks) {
  Ref<FileDescription> a = File(), b = File();
  int fd_a = *fds->Install(a, false, 1024), fd_b = *fds->Install(b, false, 1024);
  FileLocks& locks = a->inode().locks();
  ASSERT_TRUE(locks.Set({{0, 9}, true, fds.get(), 1}).ok());
  Ref<FdTable> other = MakeRef<FdTable>();
  EXPECT_EQ(locks.Set({{5, 5}, true, other.get(), 2}).error(), kEAGAIN);
  EXPECT_TRUE(fds->Close(fd_b).ok());
  EXPECT_TRUE(locks.Set({{5, 5}, true, other.get(), 2}).ok());
  EXPECT_TRUE(fds->Close(fd_a).ok());
}

}  // namespace
}  // namespace moat
