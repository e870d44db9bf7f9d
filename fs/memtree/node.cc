#include "fs/memtree/node.h"

#include <algorithm>
#include <memory>

#include "abi/dirent.h"
#include "abi/fcntl.h"
#include "abi/mman.h"
#include "abi/stat.h"
#include "fs/vfs/file_description.h"
#include "fs/vfs/vfs.h"

namespace moat {

namespace {

constexpr size_t kListBatch = 64;

// An open TextNode. The text of one pass stays the same however small the reads are; reading from offset 0 makes it anew.
class TextDescription final : public FileDescription {
 public:
  TextDescription(const Path& path, uint32_t flags) : FileDescription(path, flags) {}

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags) override {
    std::shared_ptr<const std::string> text = Current();
    if (*offset == 0 || !text) {
      text = std::make_shared<const std::string>(TRY(node().Generate()));
      MutexLock lock(mu_);
      text_ = text;
    }
    if (static_cast<uint64_t>(*offset) >= text->size()) return size_t{0};
    std::string_view rest = std::string_view(*text).substr(static_cast<size_t>(*offset));
    rest = rest.substr(0, dst.remaining());
    size_t n = TRY(dst.Put(std::as_bytes(std::span(rest))));
    *offset += static_cast<int64_t>(n);
    return n;
  }

  // As most files of proc: one write is one command, at most a page of it is looked at.
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags) override {
    std::string text(std::min<size_t>(src.remaining(), abi::kPAGE_SIZE), '\0');
    text.resize(TRY(src.Get(std::as_writable_bytes(std::span(text)))));
    TRY(node().Store(text, *offset));
    *offset += static_cast<int64_t>(text.size());
    return text.size();
  }

  ErrorOr<int64_t> SeekFrom(int64_t, int) override { return kEINVAL; }  // as seq_lseek

 private:
  TextNode& node() const { return static_cast<TextNode&>(inode()); }
  std::shared_ptr<const std::string> Current() {
    MutexLock lock(mu_);
    return text_;
  }

  Mutex mu_;
  std::shared_ptr<const std::string> text_ MOAT_GUARDED_BY(mu_);
};

class DirDescription final : public FileDescription {
 public:
  DirDescription(const Path& path, uint32_t flags) : FileDescription(path, flags) {}
  ErrorOr<size_t> TryRead(IoSink&, int64_t*, IoFlags) override { return kEISDIR; }
  ErrorOr<int64_t> SeekFrom(int64_t, int) override { return kEINVAL; }

  ErrorOr<void> ReadDir(DirSink& sink, int64_t* position) override {
    auto& dir = static_cast<DirNode&>(inode());
    if (*position < 0) return kEINVAL;
    if (*position == 0) {
      if (!sink.Entry(".", dir.ino(), abi::kDT_DIR, 1)) return {};
      *position = 1;
    }
    if (*position == 1) {
      uint64_t parent_ino = TRY(path().dentry->parent()->inode()->GetAttr()).ino;
      if (!sink.Entry("..", parent_ino, abi::kDT_DIR, DirNode::kFirstPosition)) return {};
      *position = DirNode::kFirstPosition;
    }
    for (;;) {
      std::vector<DirNode::Listed> batch = TRY(dir.List(*position, kListBatch));
      if (batch.empty()) return {};
      for (const DirNode::Listed& e : batch) {
        if (!sink.Entry(e.name, e.ino, abi::ModeToDirentType(e.type), e.position + 1)) return {};
        *position = e.position + 1;
      }
    }
  }
};

}  // namespace

uint64_t ChildIno(uint64_t parent, std::string_view name) {
  uint64_t h = 0xcbf29ce484222325ull ^ parent;  // FNV-1a
  h *= 0x100000001b3ull;
  for (char c : name) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  h ^= h >> 40;
  return (h & 0xffffffffull) | 0x100000000ull;  // never 0, 1 or what a 32-bit counter gives
}

Ref<Inode> TreeFs::root() {
  MutexLock lock(mu_);
  return root_;
}

void TreeFs::set_root(Ref<Inode> root) {
  MutexLock lock(mu_);
  root_ = std::move(root);
}

ErrorOr<StatFs> TreeFs::Stat() {
  StatFs s;
  s.type = magic_;
  s.fsid = dev();
  return s;
}

void TreeFs::Unmounted() {
  Ref<FileSystem> self(this);
  Ref<Inode> root;
  MutexLock lock(mu_);
  root = std::move(root_);
}

Node::Node(FileSystem& fs, uint32_t mode, uint64_t ino)
    : Inode(fs, mode & abi::kS_IFMT), mode_(mode), ino_(ino), made_(vfs::CurrentTime()) {}

ErrorOr<Attr> Node::GetAttr() {
  Attr a;
  a.dev = fs().dev();
  a.ino = ino_;
  a.mode = mode_;
  a.nlink = is_dir() ? 2 : 1;
  a.blksize = 1024;
  a.atime = a.mtime = a.ctime = a.btime = made_;
  TRY(Refresh(a));
  return a;
}

ErrorOr<void> Node::SetAttributes(const SetAttr& set) {
  if (set.mask & (SetAttr::kMode | SetAttr::kUid | SetAttr::kGid)) return kEPERM;
  return {};
}

TextNode::TextNode(FileSystem& fs, uint32_t perm, uint64_t ino) : Node(fs, abi::kS_IFREG | perm, ino) {}

ErrorOr<Ref<FileDescription>> TextNode::Open(const Path& path, uint32_t flags) {
  return Ref<FileDescription>(MakeRef<TextDescription>(path, flags));
}

TextFile::TextFile(FileSystem& fs, uint32_t perm, uint64_t ino, Reader reader, Writer writer, uint64_t size)
    : TextNode(fs, perm, ino), reader_(std::move(reader)), writer_(std::move(writer)), size_(size) {}

ErrorOr<void> TextFile::Store(std::string_view text, int64_t) {
  if (!writer_) return kEIO;
  return writer_(text);
}

ErrorOr<void> TextFile::Refresh(Attr& attr) {
  attr.size = size_;
  return {};
}

DirNode::DirNode(FileSystem& fs, uint32_t perm, uint64_t ino) : Node(fs, abi::kS_IFDIR | perm, ino) {}

ErrorOr<Ref<FileDescription>> DirNode::Open(const Path& path, uint32_t flags) {
  return Ref<FileDescription>(MakeRef<DirDescription>(path, flags));
}

void StaticDir::Add(std::string name, Ref<Inode> child, uint64_t child_ino) {
  if (child->is_dir()) ++subdirectories_;
  by_name_.emplace(name, children_.size());
  children_.push_back({std::move(name), child_ino, std::move(child)});
}

Ref<StaticDir> StaticDir::AddDir(std::string name) {
  Ref<StaticDir> dir = MakeRef<StaticDir>(fs(), ChildIno(ino(), name));
  Add(std::move(name), dir, dir->ino());
  return dir;
}

void StaticDir::AddLazyDir(std::string name, std::function<void(StaticDir&)> fill) {
  Ref<LazyDir> dir = MakeRef<LazyDir>(fs(), ChildIno(ino(), name), std::move(fill));
  Add(std::move(name), dir, dir->ino());
}

void StaticDir::AddText(std::string name, uint32_t perm, TextFile::Reader reader, TextFile::Writer writer, uint64_t size) {
  Ref<TextFile> file =
      MakeRef<TextFile>(fs(), perm, ChildIno(ino(), name), std::move(reader), std::move(writer), size);
  Add(std::move(name), file, file->ino());
}

void StaticDir::AddText(std::string name, std::string text, uint64_t size) {
  AddText(std::move(name), 0444, [text = std::move(text)]() -> ErrorOr<std::string> { return text; }, nullptr, size);
}

void StaticDir::AddLink(std::string name, std::string target) {
  Ref<LinkNode> link = MakeRef<LinkNode>(fs(), ChildIno(ino(), name),
                                         [target = std::move(target)]() -> ErrorOr<std::string> { return target; });
  Add(std::move(name), link, link->ino());
}

ErrorOr<Ref<Inode>> StaticDir::Lookup(std::string_view name) {
  auto it = by_name_.find(name);
  if (it == by_name_.end()) return kENOENT;
  return children_[it->second].inode;
}

ErrorOr<std::vector<DirNode::Listed>> StaticDir::List(int64_t from, size_t limit) {
  std::vector<Listed> out;
  for (size_t i = static_cast<size_t>(std::max<int64_t>(from - kFirstPosition, 0)); i < children_.size(); ++i) {
    if (out.size() == limit) break;
    const Child& c = children_[i];
    out.push_back({c.name, c.ino, c.inode->type(), static_cast<int64_t>(i) + kFirstPosition});
  }
  return out;
}

ErrorOr<void> StaticDir::Refresh(Attr& attr) {
  attr.nlink = 2 + subdirectories_;
  return {};
}

void LazyDir::Fill() {
  MutexLock lock(mu_);
  if (!fill_) return;
  fill_(*this);
  fill_ = nullptr;
}

ErrorOr<Ref<Inode>> LazyDir::Lookup(std::string_view name) {
  Fill();
  return StaticDir::Lookup(name);
}

ErrorOr<std::vector<DirNode::Listed>> LazyDir::List(int64_t from, size_t limit) {
  Fill();
  return StaticDir::List(from, limit);
}

// The number of links counts the subdirectories.
ErrorOr<void> LazyDir::Refresh(Attr& attr) {
  Fill();
  return StaticDir::Refresh(attr);
}

LinkNode::LinkNode(FileSystem& fs, uint64_t ino, Target target)
    : Node(fs, abi::kS_IFLNK | 0777, ino), target_(std::move(target)) {}

}  // namespace moat
