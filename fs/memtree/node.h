// Inodes of file systems whose content is computed: proc, sysfs. A tree of nodes in memory, nothing behind them.
//
//   TreeFs      the file system; holds the root
//   Node        attributes; the rest derive from it
//   TextNode    a regular file whose text is made when it is read from the beginning, as a seq_file's
//   DirNode     a directory that lists and looks up what it computes; StaticDir: a fixed set of children; LazyDir: the same,
//               made when somebody looks
//   LinkNode    a symlink with a computed text, or a magic link
//
// Inode numbers are hashes of what a node stands for (ChildIno), so that a node made anew on the next lookup keeps its number.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/sync/mutex.h"
#include "fs/vfs/file_description.h"
#include "fs/vfs/inode.h"

namespace moat {

inline constexpr uint64_t kTreeRootIno = 1;
// The number of the child `name` of the directory `parent`.
uint64_t ChildIno(uint64_t parent, std::string_view name);

class TreeFs final : public FileSystem {
 public:
  // `type` is static text; `magic` as statfs(2) shows it.
  TreeFs(std::string_view type, int64_t magic) : type_(type), magic_(magic) {}
  std::string_view type() const override { return type_; }
  Ref<Inode> root() override;
  ErrorOr<StatFs> Stat() override;
  void Unmounted() override;
  void set_root(Ref<Inode> root);

 private:
  const std::string_view type_;
  const int64_t magic_;
  Mutex mu_;
  Ref<Inode> root_ MOAT_GUARDED_BY(mu_);
};

class Node : public Inode {
 public:
  ErrorOr<Attr> GetAttr() override;
  // Truncation does nothing (O_TRUNC of a file that is written whole); the rest is kEPERM.
  ErrorOr<void> SetAttributes(const SetAttr& set) override;
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override { return kENXIO; }
  bool CachesNegative() override { return false; }
  uint64_t ino() const { return ino_; }

 protected:
  // `mode` holds type and permission bits.
  Node(FileSystem& fs, uint32_t mode, uint64_t ino);
  // Fills in what depends on the present (owner, link count, size).
  virtual ErrorOr<void> Refresh(Attr& attr) { return {}; }

 private:
  const uint32_t mode_;
  const uint64_t ino_;
  const TimeSpec made_;
};

class TextNode : public Node {
 public:
  // The whole text. May park.
  virtual ErrorOr<std::string> Generate() = 0;
  // One write(2) of `text` at file offset `offset`. kEACCES for files that nobody writes.
  virtual ErrorOr<void> Store(std::string_view text, int64_t offset) { return kEIO; }
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override;

 protected:
  TextNode(FileSystem& fs, uint32_t perm, uint64_t ino);
};

// A TextNode made of functions.
class TextFile final : public TextNode {
 public:
  using Reader = std::function<ErrorOr<std::string>()>;
  using Writer = std::function<ErrorOr<void>(std::string_view)>;
  TextFile(FileSystem& fs, uint32_t perm, uint64_t ino, Reader reader, Writer writer = nullptr, uint64_t size = 0);
  ErrorOr<std::string> Generate() override { return reader_(); }
  ErrorOr<void> Store(std::string_view text, int64_t offset) override;

 protected:
  ErrorOr<void> Refresh(Attr& attr) override;

 private:
  const Reader reader_;
  const Writer writer_;
  const uint64_t size_;
};

class DirNode : public Node {
 public:
  struct Listed {
    std::string name;
    uint64_t ino;
    uint32_t type;     // S_IF*
    int64_t position;  // where it stands; rising, stable for as long as it exists
  };
  // At most `limit` entries at positions >= `from` in rising order; the first position is kFirstPosition. kESRCH, ...
  virtual ErrorOr<std::vector<Listed>> List(int64_t from, size_t limit) = 0;
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override;
  // Nothing can be made here: a name that is not there is ENOENT even to those who want to make it, as in proc.
  ErrorOr<Ref<Inode>> Create(std::string_view, const NewInode&) override { return kENOENT; }
  ErrorOr<Ref<Inode>> Mkdir(std::string_view, const NewInode&) override { return kENOENT; }
  ErrorOr<Ref<Inode>> Mknod(std::string_view, uint32_t, uint64_t, const NewInode&) override { return kENOENT; }
  ErrorOr<Ref<Inode>> Symlink(std::string_view, std::string_view, const NewInode&) override { return kENOENT; }
  static constexpr int64_t kFirstPosition = 2;  // after "." and ".."

 protected:
  DirNode(FileSystem& fs, uint32_t perm, uint64_t ino);
};

// Filled before it is shared.
class StaticDir : public DirNode {
 public:
  StaticDir(FileSystem& fs, uint64_t ino, uint32_t perm = 0555) : DirNode(fs, perm, ino) {}
  void Add(std::string name, Ref<Inode> child, uint64_t child_ino);
  // Adds a child of a class T(fs, ..., ino derived from the name, args...).
  Ref<StaticDir> AddDir(std::string name);
  void AddLazyDir(std::string name, std::function<void(StaticDir&)> fill);
  void AddText(std::string name, uint32_t perm, TextFile::Reader reader, TextFile::Writer writer = nullptr,
               uint64_t size = 0);
  // A file with a fixed text.
  void AddText(std::string name, std::string text, uint64_t size = 0);
  void AddLink(std::string name, std::string target);

  ErrorOr<Ref<Inode>> Lookup(std::string_view name) override;
  ErrorOr<std::vector<Listed>> List(int64_t from, size_t limit) override;

 protected:
  ErrorOr<void> Refresh(Attr& attr) override;

 private:
  struct Child {
    std::string name;
    uint64_t ino;
    Ref<Inode> inode;
  };
  std::vector<Child> children_;
  std::map<std::string, size_t, std::less<>> by_name_;
  uint32_t subdirectories_ = 0;
};

// A StaticDir whose children are made at the first look into it: most sandboxes never look into most of proc and sysfs.
class LazyDir final : public StaticDir {
 public:
  // `fill` adds the children; called at most once, on any thread. It must not park.
  LazyDir(FileSystem& fs, uint64_t ino, std::function<void(StaticDir&)> fill)
      : StaticDir(fs, ino), fill_(std::move(fill)) {}
  ErrorOr<Ref<Inode>> Lookup(std::string_view name) override;
  ErrorOr<std::vector<Listed>> List(int64_t from, size_t limit) override;

 protected:
  ErrorOr<void> Refresh(Attr& attr) override;

 private:
  void Fill();
  Mutex mu_;
  std::function<void(StaticDir&)> fill_ MOAT_GUARDED_BY(mu_);  // null: done
};

class LinkNode final : public Node {
 public:
  using Target = std::function<ErrorOr<std::string>()>;
  LinkNode(FileSystem& fs, uint64_t ino, Target target);
  ErrorOr<std::string> ReadLink() override { return target_(); }

 private:
  const Target target_;
};

}  // namespace moat
