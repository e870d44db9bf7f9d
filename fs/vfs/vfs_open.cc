#include <utility>

#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/inotify.h"
#include "abi/limits.h"
#include "abi/stat.h"
#include "fs/vfs/dentry_cache.h"
#include "fs/vfs/inotify.h"
#include "fs/vfs/permissions.h"
#include "fs/vfs/special.h"
#include "fs/vfs/vfs.h"

namespace moat {

namespace {

// O_TMPFILE without the O_DIRECTORY that it contains.
constexpr uint32_t kTmpfileBit = abi::kO_TMPFILE & ~abi::kO_DIRECTORY;
// All that counts beside O_PATH.
constexpr uint32_t kPathFlags = abi::kO_DIRECTORY | abi::kO_NOFOLLOW | abi::kO_PATH;
// What is not a state of the open file.
constexpr uint32_t kCreationFlags = abi::kO_CREAT | abi::kO_EXCL | abi::kO_NOCTTY | abi::kO_TRUNC;

// An O_PATH descriptor: a place and nothing else.
class PathFile final : public FileDescription {
 public:
  PathFile(const Path& path, uint32_t flags) : FileDescription(path, flags) {}
  ErrorOr<size_t> TryRead(IoSink&, int64_t*, IoFlags) override { return kEBADF; }
  ErrorOr<size_t> TryWrite(IoSource&, int64_t*, IoFlags) override { return kEBADF; }
};

// What the access mode asks permission for.
int MayOf(uint32_t flags) {
  switch (flags & abi::kO_ACCMODE) {
    case abi::kO_RDONLY: return kMayRead;
    case abi::kO_WRONLY: return kMayWrite;
    default: return kMayRead | kMayWrite;
  }
}

bool ForWriting(uint32_t flags) {
  uint32_t access = flags & abi::kO_ACCMODE;
  return access == abi::kO_WRONLY || access == abi::kO_RDWR;
}

ErrorOr<uint32_t> CheckFlags(const vfs::OpenHow& how) {
  uint32_t flags = how.flags & ~abi::kO_CLOEXEC;
  if (flags & abi::kO_PATH) return flags & kPathFlags;
  if (flags & kTmpfileBit) {
    if (!(flags & abi::kO_DIRECTORY) || (flags & abi::kO_CREAT) || !(MayOf(flags) & kMayWrite)) return kEINVAL;
  } else if ((flags & abi::kO_CREAT) && (flags & abi::kO_DIRECTORY)) {
    return kEINVAL;
  }
  if ((how.resolve & abi::kRESOLVE_CACHED) && (flags & (abi::kO_CREAT | abi::kO_TRUNC | kTmpfileBit))) return kEAGAIN;
  return flags;
}

}  // namespace

// One open(2).
class FileOpener {
 public:
  FileOpener(const WalkContext& context, const Path& start, uint32_t flags, uint32_t mode, uint64_t resolve)
      : context_(context), start_(start), flags_(flags), mode_(mode), resolve_(resolve) {}

  ErrorOr<Ref<FileDescription>> Run(std::string_view name) {
    if (flags_ & abi::kO_PATH) {
      return Ref<FileDescription>(MakeRef<PathFile>(TRY(Find(name)), flags_));
    }
    if (flags_ & kTmpfileBit) return OpenTmpfile(name);
    if (!(flags_ & abi::kO_CREAT)) return OpenFound(context_.creds, TRY(Find(name)), flags_, MayOf(flags_));
    Path path = TRY(FindOrCreate(name));
    if (created_) return OpenFound(context_.creds, path, flags_ & ~abi::kO_TRUNC, 0);
    if (flags_ & abi::kO_EXCL) return kEEXIST;
    if (path.dentry->inode()->is_dir()) return kEISDIR;
    return OpenFound(context_.creds, path, flags_, MayOf(flags_));
  }

  // The checks on what was found, and the opening. `may` 0: a file that was just made.
  static ErrorOr<Ref<FileDescription>> OpenFound(const Credentials& creds, const Path& path, uint32_t flags, int may) {
    Inode& inode = *path.dentry->inode();
    if (inode.is_symlink()) return kELOOP;
    if ((flags & abi::kO_DIRECTORY) && !inode.is_dir()) return kENOTDIR;
    if (!inode.is_regular() && !inode.is_dir()) flags &= ~abi::kO_TRUNC;
    if (flags & abi::kO_TRUNC) may |= kMayWrite;
    if (inode.is_dir() && (may & kMayWrite)) return kEISDIR;
    bool device = inode.type() == abi::kS_IFCHR || inode.type() == abi::kS_IFBLK;
    if (device && path.mount && (path.mount->flags() & kMountNoDev)) return kEACCES;
    if (may) TRY(PathPermission(creds, path, may));
    if ((flags & abi::kO_NOATIME) && !IsOwnerOrCapable(creds, TRY(inode.GetAttr()))) return kEPERM;
    Ref<FileDescription> file = TRY(OpenByType(path, flags));
    file->announced_ = true;
    NotifyFile(path, abi::kIN_OPEN);
    return file;
  }

 private:
  WalkFlags Flags() const {
    bool exclusive = (flags_ & abi::kO_CREAT) && (flags_ & abi::kO_EXCL);
    return {.follow = !(flags_ & abi::kO_NOFOLLOW) && !exclusive,
            .directory = (flags_ & abi::kO_DIRECTORY) != 0,
            .resolve = resolve_};
  }

  ErrorOr<Path> Find(std::string_view name) { return Walk(context_, start_, name, Flags()); }

  ErrorOr<Path> FindOrCreate(std::string_view name) {
    WalkFlags walk_flags = Flags();
    Walker walker(context_, start_, walk_flags);
    TRY(walker.Begin(name));
    for (;;) {
      TRY(walker.ToParent());
      if (walker.last_type() != LastType::kNormal) {
        TRY(walker.ToEnd(false));
        return walker.place();
      }
      if (walker.trailing_slash()) return kEISDIR;
      if (walker.last().size() > abi::kNAME_MAX) return kENAMETOOLONG;
      Ref<Dentry> child = TRY(LookupOrCreate(walker.place(), walker.last()));
      if (created_) return Path{walker.place().mount, std::move(child)};
      TRY(walker.EnterChild(std::move(child)));
      if (!walk_flags.follow || !walker.place().dentry->inode()->is_symlink()) return walker.place();
      if (!TRY(walker.FollowLast())) return walker.place();
    }
  }

  ErrorOr<Ref<Dentry>> LookupOrCreate(const Path& dir, const std::string& name) {
    Ref<Dentry> child = DentryCache::FindValid(*dir.dentry, name);
    if (child && !child->negative()) return child;
    Inode& inode = *dir.dentry->inode();
    TaskMutexLock lock(inode.lock());
    child = TRY(DentryCache::LookupLocked(*dir.dentry, name));
    if (!child->negative()) return child;
    TRY(MayCreate(context_.creds, dir));
    NewInode made = PrepareNewInode(context_.creds, TRY(inode.GetAttr()), mode_, false);
    child = DentryCache::Instantiate(*dir.dentry, name, TRY(inode.Create(name, made)));
    created_ = true;
    NotifyName(inode, name, child->inode(), abi::kIN_CREATE);
    return child;
  }

  ErrorOr<Ref<FileDescription>> OpenTmpfile(std::string_view name) {
    Path dir = TRY(Find(name));
    Inode& inode = *dir.dentry->inode();
    TRY(MayCreate(context_.creds, dir));
    NewInode made = PrepareNewInode(context_.creds, TRY(inode.GetAttr()), mode_, false);
    Ref<Inode> file;
    {
      TaskMutexLock lock(inode.lock());
      file = TRY(inode.CreateUnnamed(made));
    }
    file->set_linkable(!(flags_ & abi::kO_EXCL));
    std::string shown = "#" + std::to_string(TRY(file->GetAttr()).ino);
    Path path{dir.mount, DentryCache::MakeUnhashed(*dir.dentry, std::move(shown), std::move(file))};
    return OpenFound(context_.creds, path, flags_ & ~abi::kO_TMPFILE, 0);
  }

  static ErrorOr<Ref<FileDescription>> OpenByType(const Path& path, uint32_t flags) {
    Inode& inode = *path.dentry->inode();
    uint32_t kept = (flags & ~kCreationFlags) | abi::kO_LARGEFILE;
    if (inode.OpensItself()) return inode.Open(path, kept | (flags & abi::kO_NOCTTY));
    switch (inode.type()) {
      case abi::kS_IFCHR:
        return OpenCharDevice(TRY(inode.GetAttr()).rdev, path, kept | (flags & abi::kO_NOCTTY));
      case abi::kS_IFIFO: return OpenFifo(path, kept);
      case abi::kS_IFBLK:
      case abi::kS_IFSOCK: return kENXIO;
      case abi::kS_IFREG: return OpenRegular(path, flags, kept);
      default: return inode.Open(path, kept);
    }
  }

  static ErrorOr<Ref<FileDescription>> OpenRegular(const Path& path, uint32_t flags, uint32_t kept) {
    Inode& inode = *path.dentry->inode();
    if (!ForWriting(flags) && !(flags & abi::kO_TRUNC)) return inode.Open(path, kept);
    TRY(inode.GetWriteAccess());
    ErrorOr<Ref<FileDescription>> file = inode.Open(path, kept);
    ErrorOr<void> truncated;
    if (file.ok() && (flags & abi::kO_TRUNC)) truncated = Empty(inode);
    if (file.ok() && truncated.ok() && ForWriting(flags)) {
      (*file)->holds_write_access_ = true;
    } else {
      inode.PutWriteAccess();
    }
    if (!truncated.ok()) return truncated.error();
    if (file.ok() && (flags & abi::kO_TRUNC)) NotifyFile(path, abi::kIN_MODIFY);
    return file;
  }

  // O_TRUNC.
  static ErrorOr<void> Empty(Inode& inode) {
    TaskMutexLock lock(inode.lock());
    SetAttr set;
    set.mask = SetAttr::kSize | SetAttr::kCtime;
    return inode.SetAttributes(set);
  }

  const WalkContext& context_;
  const Path& start_;
  const uint32_t flags_, mode_;
  const uint64_t resolve_;
  bool created_ = false;
};

namespace vfs {

ErrorOr<Ref<FileDescription>> Open(const WalkContext& context, const Path& start, std::string_view name, OpenHow how,
                                   uint32_t umask) {
  uint32_t flags = TRY(CheckFlags(how));
  return FileOpener(context, start, flags, how.mode & ~umask & abi::kS_IALLUGO, how.resolve).Run(name);
}

ErrorOr<Ref<FileDescription>> OpenAt(const Credentials& creds, const Path& path, uint32_t flags, int extra_may) {
  if (flags & abi::kO_PATH) return Ref<FileDescription>(MakeRef<PathFile>(path, flags & kPathFlags));
  return FileOpener::OpenFound(creds, path, flags & ~abi::kO_CLOEXEC, MayOf(flags) | extra_may);
}

}  // namespace vfs

}  // namespace moat
