#include "fs/proc/fd_dir.h"

#include "abi/fcntl.h"
#include "abi/stat.h"
#include "fs/proc/format.h"
#include "fs/proc/locks_text.h"
#include "fs/proc/task_node.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/file_description.h"
#include "fs/vfs/file_lock.h"
#include "fs/vfs/path_walk.h"

namespace moat::proc {

namespace {

ErrorOr<Ref<FileDescription>> FileOf(ProcSource& source, TaskKey key, int fd) {
  ErrorOr<Ref<FdTable>> fds = source.Fds(key);
  if (!fds.ok()) return kENOENT;
  ErrorOr<Ref<FileDescription>> file = (*fds)->GetRaw(fd);
  if (!file.ok()) return kENOENT;
  return file;
}

// The locks that were taken through the file: record locks belong to the descriptors of a process.
std::string LocksOf(const FdTable& fds, FileDescription& file) {
  FileLocks* locks = file.inode().locks_or_null();
  if (!locks) return {};
  std::string out;
  Attr attr = file.inode().GetAttr().value_or(Attr{});
  int number = 0;
  for (const FileLocks::Entry& e : locks->List()) {
    if (e.lock.owner == static_cast<LockOwner>(&file) || e.lock.owner == static_cast<LockOwner>(&fds)) {
      out += "lock:\t" + LockLine(++number, e, attr);
    }
  }
  return out;
}

// A magic link: opening it opens what the descriptor refers to anew.
class FdLink final : public TaskNode<Node> {
 public:
  FdLink(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino, int fd)
      : TaskNode(fs, context, key, abi::kS_IFLNK, ino), fd_(fd) {}

  bool StillValid(std::string_view) override { return FileOf(source(), key(), fd_).ok(); }
  ErrorOr<std::string> ReadLink() override {
    Path path;
    TRY(FollowMagic(&path));
    return DPath(source().CurrentRoot(), path).Display();
  }
  ErrorOr<void> FollowMagic(Path* out) override {
    TRY(source().MayInspect(key()));
    *out = TRY(FileOf(source(), key(), fd_))->path();
    return {};
  }

 protected:
  // The owner's bits say how the descriptor was opened.
  ErrorOr<void> Refresh(Attr& attr) override {
    TRY(TaskNode::Refresh(attr));
    Ref<FileDescription> file = TRY(FileOf(source(), key(), fd_));
    attr.mode = abi::kS_IFLNK | abi::kS_IXUSR;
    if (file->readable()) attr.mode |= abi::kS_IRUSR;
    if (file->writable()) attr.mode |= abi::kS_IWUSR;
    attr.size = 64;
    return {};
  }

 private:
  const int fd_;
};

class FdInfoNode final : public TaskNode<TextNode> {
 public:
  FdInfoNode(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino, int fd)
      : TaskNode(fs, context, key, 0400u, ino), fd_(fd) {}
  bool StillValid(std::string_view) override { return FileOf(source(), key(), fd_).ok(); }

  ErrorOr<std::string> Generate() override {
    TRY(source().MayInspect(key()));
    Ref<FdTable> fds = TRY(source().Fds(key()));
    Ref<FileDescription> file = TRY(FileOf(source(), key(), fd_));
    uint32_t flags = file->flags();
    if (fds->GetCloexec(fd_).value_or(false)) flags |= abi::kO_CLOEXEC;
    const Path& path = file->path();
    std::string out;
    Appendf(out, "pos:\t%lli\nflags:\t0%o\nmnt_id:\t%llu\nino:\t%llu\n", static_cast<long long>(file->position()), flags,
            static_cast<unsigned long long>(path.mount ? path.mount->id() : 0),
            static_cast<unsigned long long>(TRY(file->inode().GetAttr()).ino));
    return out + LocksOf(*fds, *file) + file->FdInfo();
  }

 private:
  const int fd_;
};

// Both directories: numbers of open descriptors.
template <class Child, uint32_t kType>
class FdDir final : public TaskNode<DirNode> {
 public:
  FdDir(FileSystem& fs, const Context& context, TaskKey key, uint32_t perm, uint64_t ino)
      : TaskNode(fs, context, key, perm, ino) {}

  ErrorOr<Ref<Inode>> Lookup(std::string_view name) override {
    int fd = ParseNumber(name);
    if (fd < 0) return kENOENT;
    TRY(FileOf(source(), key(), fd));
    return Ref<Inode>(MakeRef<Child>(fs(), context(), key(), ChildIno(ino(), name), fd));
  }

  ErrorOr<std::vector<Listed>> List(int64_t from, size_t limit) override {
    std::vector<Listed> out;
    ErrorOr<Ref<FdTable>> fds = source().Fds(key());
    if (!fds.ok()) return kENOENT;
    int fd = (*fds)->NextFd(static_cast<int>(std::min<int64_t>(from - kFirstPosition, INT32_MAX)));
    for (; fd >= 0 && out.size() < limit; fd = (*fds)->NextFd(fd + 1)) {
      std::string name = std::to_string(fd);
      out.push_back({name, ChildIno(ino(), name), kType, fd + kFirstPosition});
    }
    return out;
  }

  // A process may always use its own descriptors, even after it gave up its ids (proc_fd_permission).
  ErrorOr<void> CheckAccess(const Credentials&, int) override { return source().MayInspect(key()); }

 protected:
  ErrorOr<void> Refresh(Attr& attr) override {
    TRY(TaskNode<DirNode>::Refresh(attr));
    ErrorOr<Ref<FdTable>> fds = source().Fds(key());
    attr.size = fds.ok() ? (*fds)->count() : 0;
    return {};
  }
};

}  // namespace

Ref<Inode> MakeFdDir(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino) {
  return MakeRef<FdDir<FdLink, abi::kS_IFLNK>>(fs, context, key, 0500u, ino);
}

Ref<Inode> MakeFdInfoDir(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino) {
  return MakeRef<FdDir<FdInfoNode, abi::kS_IFREG>>(fs, context, key, 0555u, ino);
}

}  // namespace moat::proc
