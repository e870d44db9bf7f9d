// Open files and directories of the overlay.
#include <map>

#include "abi/dirent.h"
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "fs/overlay/inode.h"

namespace moat {

namespace {

Path RealPath(Ref<Inode> inode, const Path& shown) {
  return Path{nullptr, Dentry::MakeAnonymous(std::move(inode), shown.dentry->name())};
}

// A regular file: forwards to the real one. Opened for reading from a lower layer, it follows a later copy-up.
class OverlayFile final : public FileDescription {
 public:
  OverlayFile(const Path& path, uint32_t flags, Ref<FileDescription> real, bool lower)
      : FileDescription(path, flags), first_(std::move(real)), first_is_lower_(lower) {}

  ErrorOr<void> SetFlags(uint32_t flags) override {
    TRY(TRY(Real())->SetFlags(flags));
    return FileDescription::SetFlags(flags);
  }
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags io) override {
    return TRY(Real())->TryRead(dst, offset, io);
  }
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags io) override {
    return TRY(Real())->TryWrite(src, offset, io);
  }
  ErrorOr<int64_t> SeekFrom(int64_t offset, int whence) override { return TRY(Real())->SeekFrom(offset, whence); }
  ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) override {
    return TRY(Real())->Ioctl(command, arg, memory);
  }
  ErrorOr<void> Sync(bool data_only) override { return TRY(Real())->Sync(data_only); }
  ErrorOr<void> Allocate(int mode, int64_t offset, int64_t length) override {
    return TRY(Real())->Allocate(mode, offset, length);
  }
  ErrorOr<HostBacking> Map(uint64_t offset, uint64_t length, bool shared_writable) override {
    return TRY(Real())->Map(offset, length, shared_writable);
  }
  ErrorOr<void> Flush(const void* owner) override { return TRY(Real())->Flush(owner); }

 private:
  ErrorOr<Ref<FileDescription>> Real() {
    if (!first_is_lower_) return first_;
    {
      MutexLock lock(mu_);
      if (second_) return second_;
    }
    Ref<Inode> upper = static_cast<OverlayInode&>(inode()).upper();
    if (!upper) return first_;
    Ref<FileDescription> opened = TRY(upper->Open(RealPath(upper, path()), flags()));
    MutexLock lock(mu_);
    if (!second_) second_ = std::move(opened);
    return second_;
  }

  const Ref<FileDescription> first_;  // stays: mappings use its fd
  const bool first_is_lower_;
  Mutex mu_;
  Ref<FileDescription> second_ MOAT_GUARDED_BY(mu_);  // after a copy-up
};

}  // namespace

// A directory: shows the merged entries as they were at the last rewind.
class OverlayDirFile final : public FileDescription {
 public:
  OverlayDirFile(const Path& path, uint32_t flags) : FileDescription(path, flags) {}

  ErrorOr<size_t> TryRead(IoSink&, int64_t*, IoFlags) override { return kEISDIR; }
  ErrorOr<int64_t> SeekFrom(int64_t, int) override { return kEINVAL; }
  ErrorOr<void> Sync(bool) override { return {}; }

  // The position lock is held: entries_ has one user.
  ErrorOr<void> ReadDir(DirSink& sink, int64_t* position) override {
    constexpr int64_t kFirst = 2;  // after "." and ".."
    if (*position < 0) return kEINVAL;
    auto& dir = static_cast<OverlayInode&>(inode());
    if (*position == 0 || !listed_) {
      entries_ = TRY(dir.List());
      listed_ = true;
    }
    if (*position == 0) {
      if (!sink.Entry(".", TRY(dir.GetAttr()).ino, abi::kDT_DIR, 1)) return {};
      *position = 1;
    }
    if (*position == 1) {
      uint64_t parent = TRY(path().dentry->parent()->inode()->GetAttr()).ino;
      if (!sink.Entry("..", parent, abi::kDT_DIR, kFirst)) return {};
      *position = kFirst;
    }
    while (static_cast<uint64_t>(*position - kFirst) < entries_.size()) {
      const OverlayInode::Listed& e = entries_[static_cast<size_t>(*position - kFirst)];
      if (!sink.Entry(e.name, e.ino, e.type, *position + 1)) return {};
      ++*position;
    }
    return {};
  }

 private:
  std::vector<OverlayInode::Listed> entries_;
  bool listed_ = false;
};

namespace {

struct RealSink final : DirSink {
  std::vector<OverlayInode::Listed> entries;
  bool Entry(std::string_view name, uint64_t ino, uint8_t type, int64_t) override {
    if (name != "." && name != "..") entries.push_back({std::string(name), ino, type});
    return true;
  }
};

ErrorOr<std::vector<OverlayInode::Listed>> ListReal(Inode& dir) {
  Path path{nullptr, Dentry::MakeAnonymous(Ref<Inode>(&dir), "overlay")};
  Ref<FileDescription> file = TRY(dir.Open(path, abi::kO_RDONLY | abi::kO_DIRECTORY | abi::kO_LARGEFILE));
  RealSink sink;
  int64_t position = 0;
  TRY(file->ReadDir(sink, &position));
  return std::move(sink.entries);
}

}  // namespace

ErrorOr<std::vector<OverlayInode::Listed>> OverlayInode::List() {
  std::vector<Listed> merged;
  std::map<std::string, size_t, std::less<>> seen;  // index in `merged`, or kHidden
  constexpr size_t kHidden = SIZE_MAX;
  if (Ref<Inode> up = upper()) {
    for (Listed& e : TRY(ListReal(*up))) {
      ErrorOr<Ref<Inode>> inode = up->Lookup(e.name);
      if (!inode.ok()) continue;  // removed meanwhile
      if (IsWhiteout(**inode)) {
        seen.emplace(std::move(e.name), kHidden);
        continue;
      }
      uint64_t origin = OriginOf(**inode);
      e.ino = origin ? origin : overlay().MapIno(overlay().upper_layer(), e.ino);
      if (!lower_.empty()) seen.emplace(e.name, merged.size());
      merged.push_back(std::move(e));
    }
  }
  for (const Lower& lower : lower_) {
    for (Listed& e : TRY(ListReal(*lower.inode))) {
      if (seen.contains(e.name)) continue;
      bool hidden = false;
      if (e.type == abi::kDT_CHR) {
        ErrorOr<Ref<Inode>> inode = lower.inode->Lookup(e.name);
        hidden = inode.ok() && IsWhiteout(**inode);
      }
      if (lower_.size() > 1 || hidden) seen.emplace(e.name, hidden ? kHidden : merged.size());
      if (hidden) continue;
      e.ino = overlay().MapIno(lower.layer, e.ino);
      merged.push_back(std::move(e));
    }
  }
  return merged;
}

ErrorOr<Ref<FileDescription>> OverlayInode::Open(const Path& path, uint32_t flags) {
  if (is_dir()) return Ref<FileDescription>(MakeRef<OverlayDirFile>(path, flags));
  if (!is_regular()) return kENXIO;
  Ref<Inode> source = (flags & abi::kO_ACCMODE) == abi::kO_RDONLY ? real() : TRY(CopyUp());
  Ref<FileDescription> file = TRY(source->Open(RealPath(source, path), flags));
  bool lower = !(upper() == source);
  return Ref<FileDescription>(MakeRef<OverlayFile>(path, flags, std::move(file), lower));
}

}  // namespace moat
