// Calls that make and remove names.
#include "abi/capability.h"
#include "abi/inotify.h"
#include "abi/limits.h"
#include "abi/stat.h"
#include "fs/vfs/dentry_cache.h"
#include "fs/vfs/inotify.h"
#include "fs/vfs/permissions.h"
#include "fs/vfs/vfs.h"
#include "fs/vfs/vfs_internal.h"

namespace moat::vfs {

namespace {

struct NewName {
  std::string_view name;
  uint32_t mode = 0;
  bool is_dir = false;
};

// Makes `name`: finds the parent, checks, calls make(directory inode, last component, NewInode), publishes the inode.
template <class Make>
ErrorOr<Path> MakeName(const WalkContext& context, const Path& start, const NewName& what, Make make) {
  WalkedParent at = TRY(WalkParent(context, start, what.name));
  if (at.type != LastType::kNormal) return kEEXIST;
  Dentry& dir = *at.parent.dentry;
  Inode& inode = *dir.inode();
  TaskMutexLock lock(inode.lock());
  Ref<Dentry> child = TRY(DentryCache::LookupLocked(dir, at.last));
  if (!child->negative()) return kEEXIST;
  if (at.trailing_slash && !what.is_dir) return kENOENT;
  TRY(MayCreate(context.creds, at.parent));
  NewInode attributes = PrepareNewInode(context.creds, TRY(inode.GetAttr()), what.mode, what.is_dir);
  child = DentryCache::Instantiate(dir, at.last, TRY(make(inode, at.last, attributes)));
  NotifyName(inode, at.last, child->inode(), abi::kIN_CREATE);
  return Path{at.parent.mount, std::move(child)};
}

}  // namespace

ErrorOr<void> Mkdir(const WalkContext& context, const Path& start, std::string_view name, uint32_t mode, uint32_t umask) {
  mode = mode & (abi::kS_IRWXUGO | abi::kS_ISVTX) & ~umask;
  TRY(MakeName(context, start, {name, mode, true}, [](Inode& dir, const std::string& last, const NewInode& made) {
    return dir.Mkdir(last, made);
  }));
  return {};
}

ErrorOr<void> Mknod(const WalkContext& context, const Path& start, std::string_view name, uint32_t mode, uint64_t rdev,
                    uint32_t umask, Path* made_at) {
  uint32_t type = mode & abi::kS_IFMT;
  switch (type) {
    case 0: type = abi::kS_IFREG; break;
    case abi::kS_IFREG:
    case abi::kS_IFIFO:
    case abi::kS_IFSOCK: break;
    case abi::kS_IFCHR:
    case abi::kS_IFBLK: {
      bool whiteout = type == abi::kS_IFCHR && rdev == 0;
      if (!whiteout && !context.creds.Has(abi::kCAP_MKNOD)) return kEPERM;
      break;
    }
    case abi::kS_IFDIR: return kEPERM;
    default: return kEINVAL;
  }
  bool device = type == abi::kS_IFCHR || type == abi::kS_IFBLK;
  NewName what{name, mode & abi::kS_IALLUGO & ~umask, false};
  Path path = TRY(MakeName(context, start, what, [&](Inode& dir, const std::string& last, const NewInode& made) {
    if (type == abi::kS_IFREG) return dir.Create(last, made);
    return dir.Mknod(last, type, device ? rdev : 0, made);
  }));
  if (made_at) *made_at = std::move(path);
  return {};
}

ErrorOr<void> Symlink(const WalkContext& context, std::string_view target, const Path& start, std::string_view name) {
  if (target.empty()) return kENOENT;
  if (target.size() >= abi::kPATH_MAX) return kENAMETOOLONG;
  NewName what{name, abi::kS_IRWXUGO, false};
  TRY(MakeName(context, start, what, [&](Inode& dir, const std::string& last, const NewInode& made) {
    return dir.Symlink(last, target, made);
  }));
  return {};
}

ErrorOr<void> Link(const WalkContext& context, const Path& existing, const Path& start, std::string_view name) {
  Inode& target = *existing.dentry->inode();
  WalkedParent at = TRY(WalkParent(context, start, name));
  if (at.type != LastType::kNormal) return kEEXIST;
  Dentry& dir = *at.parent.dentry;
  TaskMutexLock lock(dir.inode()->lock());
  Ref<Dentry> child = TRY(DentryCache::LookupLocked(dir, at.last));
  if (!child->negative()) return kEEXIST;
  if (at.trailing_slash) return kENOENT;
  if (existing.mount != at.parent.mount) return kEXDEV;
  TRY(MayCreate(context.creds, at.parent));
  if (target.is_dir()) return kEPERM;
  TaskMutexLock target_lock(target.lock());
  if (TRY(target.GetAttr()).nlink == 0 && !target.linkable()) return kENOENT;
  TRY(dir.inode()->Link(at.last, target));
  DentryCache::Instantiate(dir, at.last, Ref<Inode>(&target));
  NotifyInode(target, abi::kIN_ATTRIB);
  NotifyName(*dir.inode(), at.last, &target, abi::kIN_CREATE);
  return {};
}

void AfterNameRemoved(Dentry& victim) {
  Inode& inode = *victim.inode();
  InotifyMarks* marks = inode.marks();
  if (!marks) return;
  ErrorOr<Attr> attr = inode.GetAttr();
  bool gone = inode.is_dir() || (attr.ok() && attr->nlink == 0);
  if (!inode.is_dir()) NotifyInode(inode, abi::kIN_ATTRIB);
  if (!gone) return;
  victim.MarkInodeGone();
  marks->Unpin();
}

ErrorOr<void> Unlink(const WalkContext& context, const Path& start, std::string_view name) {
  WalkedParent at = TRY(WalkParent(context, start, name));
  if (at.type != LastType::kNormal) return kEISDIR;
  Dentry& dir = *at.parent.dentry;
  Ref<Dentry> victim;  // outlives the locks: its end may be the file's
  TaskMutexLock lock(dir.inode()->lock());
  victim = TRY(DentryCache::LookupLocked(dir, at.last));
  if (victim->negative()) return kENOENT;
  Inode& inode = *victim->inode();
  if (at.trailing_slash) return inode.is_dir() ? kEISDIR : kENOTDIR;
  TRY(MayDelete(context.creds, at.parent, *victim));
  if (inode.is_dir()) return kEISDIR;
  if (victim->is_mountpoint()) return kEBUSY;
  {
    TaskMutexLock inode_lock(inode.lock());
    TRY(dir.inode()->Unlink(at.last, inode));
  }
  inode.set_linkable(false);
  DentryCache::Unhash(*victim);
  AfterNameRemoved(*victim);
  NotifyName(*dir.inode(), at.last, &inode, abi::kIN_DELETE);
  return {};
}

ErrorOr<void> Rmdir(const WalkContext& context, const Path& start, std::string_view name) {
  WalkedParent at = TRY(WalkParent(context, start, name));
  switch (at.type) {
    case LastType::kDot: return kEINVAL;
    case LastType::kDotDot: return kENOTEMPTY;
    case LastType::kRoot: return kEBUSY;
    case LastType::kNormal: break;
  }
  Dentry& dir = *at.parent.dentry;
  Ref<Dentry> victim;
  TaskMutexLock lock(dir.inode()->lock());
  victim = TRY(DentryCache::LookupLocked(dir, at.last));
  if (victim->negative()) return kENOENT;
  Inode& inode = *victim->inode();
  TRY(MayDelete(context.creds, at.parent, *victim));
  if (!inode.is_dir()) return kENOTDIR;
  if (victim->is_mountpoint()) return kEBUSY;
  {
    NestedTaskLock inode_lock(inode.lock());
    TRY(dir.inode()->Rmdir(at.last, inode));
    DentryCache::Unhash(*victim);
  }
  AfterNameRemoved(*victim);
  NotifyName(*dir.inode(), at.last, &inode, abi::kIN_DELETE);
  return {};
}

}  // namespace moat::vfs
