#include "fs/tmpfs/directory.h"

#include "abi/dirent.h"
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "base/util/check.h"
#include "fs/tmpfs/file.h"

namespace moat {

namespace {

constexpr int64_t kFirstPosition = 2;       // after "." and ".."
constexpr uint64_t kBytesPerEntry = 20;     // st_size grows by this for each, as Linux's
constexpr size_t kListBatch = 64;

// An open directory.
class TmpfsDirFile final : public FileDescription {
 public:
  TmpfsDirFile(const Path& path, uint32_t flags) : FileDescription(path, flags) {}

  ErrorOr<size_t> TryRead(IoSink&, int64_t*, IoFlags) override { return kEISDIR; }
  ErrorOr<int64_t> SeekFrom(int64_t, int) override { return kEINVAL; }
  ErrorOr<void> Sync(bool) override { return {}; }

  ErrorOr<void> ReadDir(DirSink& sink, int64_t* position) override {
    auto& dir = static_cast<TmpfsDirectory&>(inode());
    if (*position < 0) return kEINVAL;
    if (*position == 0) {
      if (!sink.Entry(".", dir.ino(), abi::kDT_DIR, 1)) return {};
      *position = 1;
    }
    if (*position == 1) {
      uint64_t parent_ino = TRY(path().dentry->parent()->inode()->GetAttr()).ino;
      if (!sink.Entry("..", parent_ino, abi::kDT_DIR, kFirstPosition)) return {};
      *position = kFirstPosition;
    }
    for (;;) {
      std::vector<TmpfsDirectory::Listed> batch = dir.List(*position, kListBatch);
      if (batch.empty()) return {};
      for (const auto& e : batch) {
        if (!sink.Entry(e.name, e.ino, e.type, e.position + 1)) return {};
        *position = e.position + 1;
      }
    }
  }
};

TmpfsInode& AsTmpfs(Inode& inode) { return static_cast<TmpfsInode&>(inode); }

}  // namespace

TmpfsDirectory::TmpfsDirectory(Tmpfs& fs, uint64_t ino, const NewInode& made) : TmpfsInode(fs, abi::kS_IFDIR, ino, made) {
  MutexLock lock(mu_);
  attr_.nlink = 2;
  attr_.size = 2 * kBytesPerEntry;
  next_position_ = kFirstPosition;
}

TmpfsDirectory::~TmpfsDirectory() {
  std::vector<Ref<Inode>> children;
  {
    MutexLock lock(mu_);
    for (auto& [position, entry] : entries_) children.push_back(std::move(entry.inode));
  }
  if (!children.empty()) tmpfs().Bury(std::move(children));
}

void TmpfsDirectory::Insert(std::string_view name, Ref<TmpfsInode> inode) {
  MutexLock lock(mu_);
  int64_t position = next_position_++;
  auto it = entries_.emplace(position, Entry{std::string(name), std::move(inode)}).first;
  by_name_.emplace(it->second.name, position);
  attr_.size += kBytesPerEntry;
}

Ref<TmpfsInode> TmpfsDirectory::Remove(std::string_view name) {
  MutexLock lock(mu_);
  auto it = by_name_.find(name);
  CHECK(it != by_name_.end());
  auto entry = entries_.find(it->second);
  by_name_.erase(it);
  Ref<TmpfsInode> inode = std::move(entry->second.inode);
  entries_.erase(entry);
  attr_.size -= kBytesPerEntry;
  return inode;
}

Ref<TmpfsInode> TmpfsDirectory::Replace(std::string_view name, Ref<TmpfsInode> inode) {
  MutexLock lock(mu_);
  auto it = by_name_.find(name);
  CHECK(it != by_name_.end());
  std::swap(entries_.find(it->second)->second.inode, inode);
  return inode;
}

ErrorOr<Ref<Inode>> TmpfsDirectory::Lookup(std::string_view name) {
  MutexLock lock(mu_);
  auto it = by_name_.find(name);
  if (it == by_name_.end()) return kENOENT;
  return Ref<Inode>(entries_.find(it->second)->second.inode);
}

template <class T, class... Args>
ErrorOr<Ref<Inode>> TmpfsDirectory::Make(std::string_view name, Args&&... args) {
  uint64_t ino = TRY(tmpfs().TakeInode());
  Ref<T> inode = MakeRef<T>(tmpfs(), ino, std::forward<Args>(args)...);
  Insert(name, inode);
  TouchModified();
  return Ref<Inode>(std::move(inode));
}

ErrorOr<Ref<Inode>> TmpfsDirectory::Create(std::string_view name, const NewInode& made) {
  return Make<TmpfsFile>(name, made);
}

ErrorOr<Ref<Inode>> TmpfsDirectory::Mkdir(std::string_view name, const NewInode& made) {
  Ref<Inode> dir = TRY(Make<TmpfsDirectory>(name, made));
  AddLinks(1);
  return dir;
}

ErrorOr<Ref<Inode>> TmpfsDirectory::Mknod(std::string_view name, uint32_t type, uint64_t rdev, const NewInode& made) {
  if (type == abi::kS_IFREG) return Create(name, made);
  uint64_t ino = TRY(tmpfs().TakeInode());
  Ref<TmpfsSpecial> inode = MakeRef<TmpfsSpecial>(tmpfs(), type, ino, made, rdev, std::string());
  Insert(name, inode);
  TouchModified();
  return Ref<Inode>(std::move(inode));
}

ErrorOr<Ref<Inode>> TmpfsDirectory::Symlink(std::string_view name, std::string_view target, const NewInode& made) {
  uint64_t ino = TRY(tmpfs().TakeInode());
  Ref<TmpfsSpecial> inode = MakeRef<TmpfsSpecial>(tmpfs(), abi::kS_IFLNK, ino, made, uint64_t{0}, std::string(target));
  Insert(name, inode);
  TouchModified();
  return Ref<Inode>(std::move(inode));
}

ErrorOr<void> TmpfsDirectory::Link(std::string_view name, Inode& target) {
  AsTmpfs(target).AddLinks(1);
  Insert(name, Ref<TmpfsInode>(&AsTmpfs(target)));
  TouchModified();
  return {};
}

ErrorOr<void> TmpfsDirectory::Unlink(std::string_view name, Inode& victim) {
  Ref<TmpfsInode> removed = Remove(name);
  removed->AddLinks(-1);
  TouchModified();
  return {};
}

ErrorOr<void> TmpfsDirectory::Rmdir(std::string_view name, Inode& victim) {
  if (!static_cast<TmpfsDirectory&>(victim).empty()) return kENOTEMPTY;
  Ref<TmpfsInode> removed = Remove(name);
  removed->AddLinks(-2);
  AddLinks(-1);
  TouchModified();
  return {};
}

ErrorOr<void> TmpfsDirectory::Rename(std::string_view old_name, Inode& source, Inode& new_dir_, std::string_view new_name,
                                     Inode* target, uint32_t flags) {
  auto& new_dir = static_cast<TmpfsDirectory&>(new_dir_);
  Ref<TmpfsInode> replaced;
  if (flags & abi::kRENAME_EXCHANGE) {
    Replace(old_name, Ref<TmpfsInode>(&AsTmpfs(*target)));
    new_dir.Replace(new_name, Ref<TmpfsInode>(&AsTmpfs(source)));
    int shift = (target->is_dir() ? 1 : 0) - (source.is_dir() ? 1 : 0);
    if (shift && &new_dir != this) {
      AddLinks(shift);
      new_dir.AddLinks(-shift);
    }
    AsTmpfs(*target).TouchChanged();
  } else {
    if (target && target->is_dir() && !static_cast<TmpfsDirectory*>(target)->empty()) return kENOTEMPTY;
    if (target) {
      replaced = new_dir.Replace(new_name, Ref<TmpfsInode>(&AsTmpfs(source)));
      replaced->AddLinks(target->is_dir() ? -2 : -1);
      if (target->is_dir()) new_dir.AddLinks(-1);
    } else {
      new_dir.Insert(new_name, Ref<TmpfsInode>(&AsTmpfs(source)));
    }
    Remove(old_name);
    if (source.is_dir() && &new_dir != this) {
      AddLinks(-1);
      new_dir.AddLinks(1);
    }
  }
  AsTmpfs(source).TouchChanged();
  TouchModified();
  new_dir.TouchModified();
  return {};
}

ErrorOr<Ref<Inode>> TmpfsDirectory::CreateUnnamed(const NewInode& made) {
  uint64_t ino = TRY(tmpfs().TakeInode());
  Ref<TmpfsFile> file = MakeRef<TmpfsFile>(tmpfs(), ino, made);
  file->AddLinks(-1);
  return Ref<Inode>(std::move(file));
}

ErrorOr<Ref<FileDescription>> TmpfsDirectory::Open(const Path& path, uint32_t flags) {
  return Ref<FileDescription>(MakeRef<TmpfsDirFile>(path, flags));
}

std::vector<TmpfsDirectory::Listed> TmpfsDirectory::List(int64_t from, size_t limit) {
  std::vector<Listed> out;
  MutexLock lock(mu_);
  for (auto it = entries_.lower_bound(from); it != entries_.end() && out.size() < limit; ++it) {
    const Entry& e = it->second;
    out.push_back({e.name, e.inode->ino(), abi::ModeToDirentType(e.inode->type()), it->first});
  }
  return out;
}

bool TmpfsDirectory::empty() {
  MutexLock lock(mu_);
  return entries_.empty();
}

}  // namespace moat
