#include "fs/tmpfs/tmpfs.h"

#include <gtest/gtest.h>

#include "abi/stat.h"
#include "base/host/file.h"
#include "fs/tmpfs/memfd.h"
#include "fs/vfs/test_tree.h"

namespace moat {
namespace {

class TmpfsTest : public testing::Test {
 protected:
  Ref<FileDescription> File(std::string_view path) { return *t.Open(path, abi::kO_RDWR | abi::kO_CREAT); }
  static Tmpfs& FsOf(TestTree& tree) { return static_cast<Tmpfs&>(tree.root.mount->fs()); }
  TestTree t;
};

TEST_F(TmpfsTest, HolesReadAsZerosAndDoNotCount) {
  Ref<FileDescription> f = File("/f");
  EXPECT_EQ(*TestTree::WriteTo(*f, "end", 100'000), 3u);
  EXPECT_EQ(t.Stat("/f").size, 100'003u);
  EXPECT_EQ(t.Stat("/f").blocks, 8u);
  EXPECT_EQ(TestTree::ReadFrom(*f, 99'998), std::string("\0\0end", 5));
  EXPECT_EQ(TestTree::ReadFrom(*f, 200'000), "");
  EXPECT_EQ(*f->SeekFrom(0, abi::kSEEK_DATA), 98'304);
  EXPECT_EQ(*f->SeekFrom(0, abi::kSEEK_HOLE), 0);
  EXPECT_EQ(*f->SeekFrom(98'304, abi::kSEEK_HOLE), 100'003);
  EXPECT_EQ(f->SeekFrom(100'003, abi::kSEEK_DATA).error(), kENXIO);
  EXPECT_EQ(*f->SeekFrom(-3, abi::kSEEK_END), 100'000);
}

TEST_F(TmpfsTest, ShrinkingAndGrowingLeavesZeros) {
  Ref<FileDescription> f = File("/f");
  EXPECT_EQ(*TestTree::WriteTo(*f, "abcdef", 0), 6u);
  ASSERT_TRUE(vfs::TruncateFile(t.creds, *f, 3).ok());
  ASSERT_TRUE(vfs::TruncateFile(t.creds, *f, 6).ok());
  EXPECT_EQ(TestTree::ReadFrom(*f), std::string("abc\0\0\0", 6));
}

TEST_F(TmpfsTest, BigFilesMoveToAMemfdUnchanged) {
  Ref<FileDescription> f = File("/f");
  std::string half(700'000, 'x');
  EXPECT_EQ(*TestTree::WriteTo(*f, half, 5), half.size());
  uint64_t used = FsOf(t).limit().used();
  EXPECT_EQ(used, 171u);
  EXPECT_EQ(*TestTree::WriteTo(*f, half, 700'005), half.size());
  EXPECT_EQ(TestTree::ReadFrom(*f, 0, 7), std::string("\0\0\0\0\0xx", 7));
  EXPECT_EQ(TestTree::ReadFrom(*f, 1'400'000, 100).size(), 5u);
  EXPECT_EQ(t.Stat("/f").size, 1'400'005u);
  EXPECT_EQ(FsOf(t).limit().used(), 342u);
  ASSERT_TRUE(vfs::TruncateFile(t.creds, *f, 0).ok());
  EXPECT_EQ(FsOf(t).limit().used(), 0u);
}

TEST_F(TmpfsTest, MappingSharesContentWithReadAndWrite) {
  Ref<FileDescription> f = File("/f");
  EXPECT_EQ(*TestTree::WriteTo(*f, "before", 0), 6u);
  HostBacking map = *f->Map(4096, 4096, true);
  EXPECT_EQ(map.offset, 4096u);
  ASSERT_TRUE(host::Pwrite(map.fd, "B", 1, 0).ok());
  EXPECT_EQ(TestTree::ReadFrom(*f), "Before");
  EXPECT_EQ(*TestTree::WriteTo(*f, "after", 6), 5u);
  char got[11];
  ASSERT_EQ(*host::Pread(map.fd, got, 11, 0), 11u);
  EXPECT_EQ(std::string(got, 11), "Beforeafter");
}

TEST_F(TmpfsTest, FallocateModes) {
  Ref<FileDescription> f = File("/f");
  EXPECT_EQ(*TestTree::WriteTo(*f, std::string(10'000, 'x'), 0), 10'000u);
  ASSERT_TRUE(f->Allocate(abi::kFALLOC_FL_PUNCH_HOLE | abi::kFALLOC_FL_KEEP_SIZE, 100, 9'000).ok());
  std::string content = TestTree::ReadFrom(*f);
  EXPECT_EQ(content, std::string(100, 'x') + std::string(9'000, '\0') + std::string(900, 'x'));
  EXPECT_EQ(t.Stat("/f").blocks, 16u);
  ASSERT_TRUE(f->Allocate(abi::kFALLOC_FL_KEEP_SIZE, 0, 20'000).ok());
  EXPECT_EQ(t.Stat("/f").size, 10'000u);
  EXPECT_EQ(t.Stat("/f").blocks, 40u);
  ASSERT_TRUE(f->Allocate(0, 0, 20'000).ok());
  EXPECT_EQ(t.Stat("/f").size, 20'000u);
  ASSERT_TRUE(f->Allocate(abi::kFALLOC_FL_ZERO_RANGE, 0, 10).ok());
  EXPECT_EQ(TestTree::ReadFrom(*f, 0, 11), std::string(10, '\0') + "x");
  EXPECT_EQ(f->Allocate(abi::kFALLOC_FL_COLLAPSE_RANGE, 0, 4096).error(), kEOPNOTSUPP);
  EXPECT_EQ(f->Allocate(abi::kFALLOC_FL_PUNCH_HOLE, 0, 4096).error(), kEOPNOTSUPP);
}

TEST_F(TmpfsTest, FullFileSystemsSaySo) {
  TestTree small(TestTree::NewTmpfs(4));
  EXPECT_EQ(small.Write("/f", std::string(4 * 4096, 'x')), Errno{0});
  EXPECT_EQ(small.Write("/g", "y"), kENOSPC);
  Ref<FileDescription> f = *small.Open("/f", abi::kO_RDWR);
  EXPECT_EQ(*TestTree::WriteTo(*f, "over", 0), 4u);  // what is there can be changed
  EXPECT_EQ(vfs::StatFsOf(small.root)->bfree, 0);
  f = nullptr;
  EXPECT_EQ(small.Unlink("/f"), Errno{0});
  EXPECT_EQ(vfs::StatFsOf(small.root)->bfree, 4);
  EXPECT_EQ(small.Write("/g", "y"), Errno{0});
  EXPECT_EQ(*TestTree::WriteTo(**small.Open("/g", abi::kO_RDWR), std::string(8 * 4096, 'z'), 0), 4u * 4096);
}

TEST_F(TmpfsTest, InodesAreLimited) {
  TmpfsOptions options;
  options.limit = MakeRef<MemoryLimit>(100);
  options.max_inodes = 3;
  TestTree small(Tmpfs::Create(std::move(options)));
  EXPECT_EQ(small.Write("/a", ""), Errno{0});
  EXPECT_EQ(small.Mkdir("/b"), Errno{0});
  EXPECT_EQ(small.Write("/c", ""), kENOSPC);
  EXPECT_EQ(small.Unlink("/a"), Errno{0});
  EXPECT_EQ(small.Symlink("x", "/c"), Errno{0});
}

TEST_F(TmpfsTest, DeletedFilesLiveWhileOpen) {
  Ref<FileDescription> f = File("/f");
  EXPECT_EQ(*TestTree::WriteTo(*f, "still", 0), 5u);
  EXPECT_EQ(t.Unlink("/f"), Errno{0});
  EXPECT_EQ(TestTree::ReadFrom(*f), "still");
  EXPECT_EQ(f->inode().GetAttr()->nlink, 0u);
  EXPECT_EQ(FsOf(t).limit().used(), 1u);
  f = nullptr;
  EXPECT_EQ(FsOf(t).limit().used(), 0u);
}

TEST_F(TmpfsTest, DirectoryPositionsAreStable) {
  for (char c = 'a'; c <= 'e'; ++c) t.Write(std::string("/") + c, "");
  struct Sink final : DirSink {
    size_t limit;
    std::string out;
    bool Entry(std::string_view name, uint64_t, uint8_t, int64_t) override {
      if (limit == 0) return false;
      --limit;
      out += name;
      return true;
    }
  } sink;
  Ref<FileDescription> d = *t.Open("/", abi::kO_RDONLY | abi::kO_DIRECTORY);
  int64_t position = 0;
  sink.limit = 4;
  ASSERT_TRUE(d->ReadDir(sink, &position).ok());
  EXPECT_EQ(sink.out, "...ab");
  t.Unlink("/a");
  t.Unlink("/c");
  t.Write("/f", "");
  sink.limit = 100;
  ASSERT_TRUE(d->ReadDir(sink, &position).ok());
  EXPECT_EQ(sink.out, "...abdef");
}

TEST_F(TmpfsTest, AppendGoesToTheEnd) {
  t.Write("/f", "abc");
  Ref<FileDescription> f = *t.Open("/f", abi::kO_WRONLY | abi::kO_APPEND);
  EXPECT_EQ(*TestTree::WriteTo(*f, "def", 0), 3u);
  EXPECT_EQ(t.Read("/f"), "abcdef");
}

TEST_F(TmpfsTest, MountOptions) {
  Ref<Tmpfs> fs = *Tmpfs::CreateFromOptions("size=64k,mode=0700,uid=5,nr_inodes=10", 1000);
  EXPECT_EQ(fs->limit().pages(), 16u);
  EXPECT_EQ(fs->root()->GetAttr()->mode, abi::kS_IFDIR | 0700u);
  EXPECT_EQ(fs->root()->GetAttr()->uid, 5u);
  EXPECT_EQ(fs->Stat()->files, 10);
  EXPECT_EQ(Tmpfs::CreateFromOptions("size=x", 1).error(), kEINVAL);
  EXPECT_EQ(Tmpfs::CreateFromOptions("frobnicate=1", 1).error(), kEINVAL);
  fs->Unmounted();
  fs = *Tmpfs::CreateFromOptions("", 7);
  EXPECT_EQ(fs->limit().pages(), 7u);
  fs->Unmounted();
}

TEST_F(TmpfsTest, TreesDeeperThanAStackAreFreed) {
  Ref<FileSystem> fs = TestTree::NewTmpfs();
  Ref<Inode> dir = fs->root();
  for (int i = 0; i < 100'000; ++i) dir = *dir->Mkdir("d", {0755, 0, 0});
  dir = nullptr;
  fs->Unmounted();
  EXPECT_EQ(fs->Stat()->files - fs->Stat()->ffree, 0);
}

TEST_F(TmpfsTest, MemfdSeals) {
  Ref<FileDescription> f = *CreateMemfd("m", abi::kMFD_ALLOW_SEALING, 0, 0);
  EXPECT_EQ(DPath(t.root, f->path()).Display(), "/memfd:m (deleted)");
  EXPECT_EQ(*GetSeals(*f), 0u);
  EXPECT_EQ(*f->Fcntl(abi::kF_GET_SEALS, 0), 0u);
  EXPECT_EQ(*TestTree::WriteTo(*f, "data", 0), 4u);
  ASSERT_TRUE(AddSeals(*f, abi::kF_SEAL_SHRINK | abi::kF_SEAL_GROW).ok());
  EXPECT_EQ(vfs::TruncateFile(t.creds, *f, 1).error(), kEPERM);
  EXPECT_EQ(vfs::TruncateFile(t.creds, *f, 9).error(), kEPERM);
  EXPECT_EQ(TestTree::WriteTo(*f, "data!", 0).error(), kEPERM);
  EXPECT_EQ(*TestTree::WriteTo(*f, "DATA", 0), 4u);
  f->inode().CountWritableMapping(1);
  EXPECT_EQ(AddSeals(*f, abi::kF_SEAL_WRITE).error(), kEBUSY);
  f->inode().CountWritableMapping(-1);
  ASSERT_TRUE(AddSeals(*f, abi::kF_SEAL_WRITE | abi::kF_SEAL_SEAL).ok());
  EXPECT_EQ(TestTree::WriteTo(*f, "x", 0).error(), kEPERM);
  EXPECT_EQ(f->Map(0, 4096, true).error(), kEPERM);
  EXPECT_TRUE(f->Map(0, 4096, false).ok());
  EXPECT_EQ(AddSeals(*f, abi::kF_SEAL_EXEC).error(), kEPERM);
  EXPECT_EQ(*GetSeals(**CreateMemfd("n", 0, 0, 0)), abi::kF_SEAL_SEAL);
  EXPECT_EQ(*GetSeals(**CreateMemfd("n", abi::kMFD_NOEXEC_SEAL, 0, 0)), abi::kF_SEAL_EXEC);
  EXPECT_EQ(CreateMemfd(std::string(250, 'n'), 0, 0, 0).error(), kEINVAL);
  EXPECT_EQ(CreateMemfd("n", 0x40, 0, 0).error(), kEINVAL);
}

TEST_F(TmpfsTest, NoexecMemfdsKeepTheirMode) {
  Ref<FileDescription> f = *CreateMemfd("m", abi::kMFD_NOEXEC_SEAL, 0, 0);
  EXPECT_EQ(vfs::Chmod(t.creds, f->path(), 0777).error(), kEPERM);
  EXPECT_TRUE(vfs::Chmod(t.creds, f->path(), 0600).ok());
}

TEST_F(TmpfsTest, SharedMemoryIsMappable) {
  Ref<FileDescription> f = *MakeSharedAnonymous(8192);
  EXPECT_EQ(DPath(t.root, f->path()).Display(), "/dev/zero (deleted)");
  HostBacking map = *f->Map(4096, 4096, true);
  EXPECT_EQ(host::Fstat(map.fd)->st_size, 8192);
}

}  // namespace
}  // namespace moat
