#include "fs/memtree/node.h"

#include <gtest/gtest.h>

#include "abi/fcntl.h"
#include "abi/stat.h"
#include "base/kern/io.h"

namespace moat {
namespace {

struct Names final : DirSink {
  std::vector<std::string> names;
  std::vector<int64_t> next;
  size_t limit = SIZE_MAX;
  bool Entry(std::string_view name, uint64_t, uint8_t, int64_t n) override {
    if (names.size() == limit) return false;
    names.emplace_back(name);
    next.push_back(n);
    return true;
  }
};

class MemTree : public testing::Test {
 protected:
  MemTree() : fs_(MakeRef<TreeFs>("test", 0x1234)), root_(MakeRef<StaticDir>(*fs_, kTreeRootIno)) { fs_->set_root(root_); }
  ~MemTree() override { fs_->Unmounted(); }

  Ref<FileDescription> Open(Ref<Inode> inode, uint32_t flags = abi::kO_RDONLY) {
    return *inode->Open(Path{nullptr, Dentry::MakeRoot(inode)}, flags);
  }
  std::string Read(FileDescription& file, int64_t* offset, size_t size) {
    std::string out(size, '\0');
    BufferSink sink(std::as_writable_bytes(std::span(out)));
    ErrorOr<size_t> n = file.TryRead(sink, offset, {});
    out.resize(n.value_or(0));
    return out;
  }

  Ref<TreeFs> fs_;
  Ref<StaticDir> root_;
};

TEST_F(MemTree, TextStaysTheSameForOnePass) {
  int made = 0;
  root_->AddText("n", 0444, [&]() -> ErrorOr<std::string> { return "pass" + std::to_string(++made); });
  Ref<FileDescription> file = Open(*root_->Lookup("n"));
  EXPECT_EQ(made, 0);
  int64_t at = 0;
  EXPECT_EQ(Read(*file, &at, 3), "pas");
  EXPECT_EQ(Read(*file, &at, 100), "s1");
  EXPECT_EQ(Read(*file, &at, 100), "");
  at = 0;
  EXPECT_EQ(Read(*file, &at, 100), "pass2");
}

TEST_F(MemTree, WritesReachTheWriterWhole) {
  std::string got;
  root_->AddText("w", 0644, []() -> ErrorOr<std::string> { return std::string(); },
                 [&](std::string_view text) -> ErrorOr<void> {
                   if (text == "bad") return kEINVAL;
                   got = text;
                   return {};
                 });
  Ref<FileDescription> file = Open(*root_->Lookup("w"), abi::kO_WRONLY);
  int64_t at = 0;
  std::string good = "42\n", bad = "bad";
  BufferSource source(std::as_bytes(std::span(good))), wrong(std::as_bytes(std::span(bad)));
  EXPECT_EQ(*file->TryWrite(source, &at, {}), 3u);
  EXPECT_EQ(got, "42\n");
  EXPECT_EQ(file->TryWrite(wrong, &at, {}).error(), kEINVAL);
}

TEST_F(MemTree, ErrorsOfTheTextAreTheReads) {
  root_->AddText("gone", 0444, []() -> ErrorOr<std::string> { return kESRCH; });
  Ref<FileDescription> file = Open(*root_->Lookup("gone"));
  std::byte byte;
  BufferSink sink(std::span(&byte, 1));
  int64_t at = 0;
  EXPECT_EQ(file->TryRead(sink, &at, {}).error(), kESRCH);
}

TEST_F(MemTree, DirectoriesAreListedFromAnyPosition) {
  root_->AddDir("a");
  root_->AddText("b", std::string("text"));
  root_->AddLink("c", "a");
  Ref<FileDescription> dir = Open(root_);
  Names some;
  some.limit = 3;
  int64_t at = 0;
  ASSERT_TRUE(dir->ReadDir(some, &at).ok());
  EXPECT_EQ(some.names, (std::vector<std::string>{".", "..", "a"}));
  EXPECT_EQ(at, some.next.back());
  Names rest;
  ASSERT_TRUE(dir->ReadDir(rest, &at).ok());
  EXPECT_EQ(rest.names, (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(root_->GetAttr()->nlink, 3u);
}

TEST_F(MemTree, LazyDirectoriesAreFilledOnceAtTheFirstLook) {
  int filled = 0;
  auto fill = [&](StaticDir& dir) {
    ++filled;
    dir.AddDir("sub");
    dir.AddText("file", std::string("text"));
  };
  for (const char* name : {"looked up", "listed", "asked"}) root_->AddLazyDir(name, fill);
  EXPECT_EQ(root_->GetAttr()->nlink, 5u);
  Ref<Inode> looked_up = *root_->Lookup("looked up"), listed = *root_->Lookup("listed"), asked = *root_->Lookup("asked");
  EXPECT_EQ(filled, 0);
  EXPECT_EQ((*looked_up->Lookup("file"))->GetAttr()->ino, ChildIno(looked_up->GetAttr()->ino, "file"));
  EXPECT_EQ(looked_up->Lookup("other").error(), kENOENT);
  EXPECT_EQ(filled, 1);
  Names names;
  int64_t at = 0;
  ASSERT_TRUE(Open(listed)->ReadDir(names, &at).ok());
  EXPECT_EQ(names.names, (std::vector<std::string>{".", "..", "sub", "file"}));
  EXPECT_EQ(filled, 2);
  EXPECT_EQ(asked->GetAttr()->nlink, 3u);
  EXPECT_EQ(filled, 3);
}

TEST_F(MemTree, ThingsCannotBeMadeOrChanged) {
  EXPECT_EQ(root_->Mkdir("new", NewInode{}).error(), kENOENT);
  EXPECT_EQ(root_->Create("new", NewInode{}).error(), kENOENT);
  EXPECT_EQ(root_->Lookup("new").error(), kENOENT);
  EXPECT_EQ(root_->SetAttributes({.mask = SetAttr::kMode}).error(), kEPERM);
}

TEST_F(MemTree, NumbersFollowNames) {
  EXPECT_EQ(ChildIno(1, "stat"), ChildIno(1, "stat"));
  EXPECT_NE(ChildIno(1, "stat"), ChildIno(1, "statm"));
  EXPECT_NE(ChildIno(1, "stat"), ChildIno(2, "stat"));
}

}  // namespace
}  // namespace moat
