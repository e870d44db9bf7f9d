#include "fs/vfs/inotify.h"

#include <gtest/gtest.h>

#include <cstring>

#include "abi/inotify.h"
#include "abi/poll.h"
#include "fs/vfs/test_tree.h"

namespace moat {
namespace {

class InotifyTest : public testing::Test {
 protected:
  void SetUp() override { t.Mkdir("/d"); }
  // "wd:mask:name ..." of everything queued.
  std::string Drain() {
    std::string buffer(65536, '\0');
    BufferSink sink(std::as_writable_bytes(std::span(buffer)));
    int64_t offset = 0;
    ErrorOr<size_t> n = in->TryRead(sink, &offset, {});
    if (!n.ok()) return n.error() == kEAGAIN ? "" : "error";
    std::string out;
    for (size_t at = 0; at < *n;) {
      abi::InotifyEvent e;
      memcpy(&e, buffer.data() + at, sizeof e);
      char line[400];
      snprintf(line, sizeof line, "%s%d:%x:%s", out.empty() ? "" : " ", e.wd, e.mask,
               e.len ? buffer.data() + at + sizeof e : "");
      out += line;
      at += sizeof e + e.len;
    }
    return out;
  }
  int Watch(std::string_view path, uint32_t mask) { return *in->AddWatch(*t.Walk(path), mask); }
  TestTree t;
  Ref<InotifyInstance> in = InotifyInstance::Create(0);
};

TEST_F(InotifyTest, DirectoryEvents) {
  EXPECT_EQ(Watch("/d", abi::kIN_ALL_EVENTS), 1);
  EXPECT_EQ(in->Readiness(), 0u);
  t.Write("/d/f", "");
  EXPECT_EQ(in->Readiness(), abi::kPOLLIN | abi::kPOLLRDNORM);
  EXPECT_EQ(Drain(), "1:100:f 1:20:f 1:8:f");
  t.Mkdir("/d/s");
  EXPECT_EQ(Drain(), "1:40000100:s");
  t.Rename("/d/f", "/d/g");
  EXPECT_EQ(Drain(), "1:40:f 1:80:g");
  ASSERT_TRUE(vfs::Chmod(t.creds, *t.Walk("/d/g"), 0600).ok());
  EXPECT_EQ(Drain(), "1:4:g");
  t.Unlink("/d/g");
  EXPECT_EQ(Drain(), "1:200:g");
  t.Rmdir("/d/s");
  EXPECT_EQ(Drain(), "1:40000200:s");
  t.Rmdir("/d");
  EXPECT_EQ(Drain(), "1:400: 1:8000:");
}

TEST_F(InotifyTest, FileItselfAndItsEnd) {
  t.Write("/d/f", "x");
  int wd = Watch("/d/f", abi::kIN_ALL_EVENTS);
  Ref<FileDescription> f = *t.Open("/d/f", abi::kO_RDWR);
  vfs::AfterWrite(*f);
  vfs::AfterWrite(*f);  // joined with the one before
  vfs::AfterRead(*f);
  EXPECT_EQ(Drain(), "1:20: 1:2: 1:1:");
  t.Unlink("/d/f");
  EXPECT_EQ(Drain(), "1:4:");  // still open
  f = nullptr;
  EXPECT_EQ(Drain(), "1:8: 1:400: 1:8000:");
  EXPECT_EQ(in->RemoveWatch(wd).error(), kEINVAL);
}

TEST_F(InotifyTest, MaskHandling) {
  EXPECT_EQ(in->AddWatch(*t.Walk("/d"), 0).error(), kEINVAL);
  int wd = Watch("/d", abi::kIN_CREATE);
  EXPECT_EQ(Watch("/d", abi::kIN_DELETE | abi::kIN_MASK_ADD), wd);
  EXPECT_EQ(in->AddWatch(*t.Walk("/d"), abi::kIN_CREATE | abi::kIN_MASK_CREATE).error(), kEEXIST);
  t.Write("/d/f", "");
  t.Unlink("/d/f");
  EXPECT_EQ(Drain(), "1:100:f 1:200:f");
  EXPECT_EQ(Watch("/d", abi::kIN_CREATE | abi::kIN_ONESHOT), wd);
  t.Write("/d/f", "");
  t.Write("/d/g", "");
  EXPECT_EQ(Drain(), "1:100:f 1:8000:");
  EXPECT_EQ(Watch("/d", abi::kIN_CREATE), 2);
  EXPECT_TRUE(in->RemoveWatch(2).ok());
  EXPECT_EQ(Drain(), "2:8000:");
}

TEST_F(InotifyTest, ExclUnlinkHidesDeletedChildren) {
  t.Write("/d/f", "");
  Watch("/d", abi::kIN_MODIFY | abi::kIN_EXCL_UNLINK);
  Ref<FileDescription> f = *t.Open("/d/f", abi::kO_RDWR);
  vfs::AfterWrite(*f);
  t.Unlink("/d/f");
  EXPECT_EQ(Drain(), "1:2:f");
  vfs::AfterWrite(*f);
  EXPECT_EQ(Drain(), "");
}

TEST_F(InotifyTest, OverflowIsReportedOnce) {
  for (size_t i = 0; i < kMaxQueuedEvents + 10; ++i) in->Queue(1, i % 2 ? 1 : 2, 0, "n");
  std::string all;
  while (true) {
    std::string part = Drain();
    if (part.empty()) break;
    all = part;
  }
  EXPECT_TRUE(all.ends_with("-1:4000:")) << all.substr(all.size() - 40);
}

TEST_F(InotifyTest, ShortBuffers) {
  Watch("/d", abi::kIN_CREATE);
  t.Write("/d/f", "");
  std::string buffer(20, '\0');
  BufferSink sink(std::as_writable_bytes(std::span(buffer)));
  EXPECT_EQ(in->TryRead(sink, nullptr, {}).error(), kEINVAL);
}

TEST_F(InotifyTest, ClosingForgetsWatches) {
  Watch("/d", abi::kIN_CREATE);
  in = nullptr;
  EXPECT_TRUE(t.Walk("/d")->dentry->inode()->marks()->empty());
  t.Write("/d/f", "");
}

}  // namespace
}  // namespace moat
