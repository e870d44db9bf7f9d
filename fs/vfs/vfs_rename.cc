#include "abi/fcntl.h"
#include "abi/inotify.h"
#include "fs/vfs/dentry_cache.h"
#include "fs/vfs/inotify.h"
#include "fs/vfs/permissions.h"
#include "fs/vfs/vfs.h"
#include "fs/vfs/vfs_internal.h"

namespace moat::vfs {

namespace {

// The directory locks of a rename: with two directories also the file system's rename lock, which keeps ancestry as it is.
class RenameLock {
 public:
  RenameLock(Dentry& from, Dentry& to) MOAT_NO_THREAD_SAFETY_ANALYSIS : first_(&from), second_(nullptr) {
    if (&from == &to) {
      from.inode()->lock().Lock();
      return;
    }
    from.inode()->fs().rename_lock().Lock();
    second_ = &to;
    if (!to.IsWithin(from)) std::swap(first_, second_);
    first_->inode()->lock().Lock();
    second_->inode()->lock().LockNested();
  }
  ~RenameLock() MOAT_NO_THREAD_SAFETY_ANALYSIS {
    if (second_) second_->inode()->lock().Unlock();
    first_->inode()->lock().Unlock();
    if (second_) first_->inode()->fs().rename_lock().Unlock();
  }
  RenameLock(const RenameLock&) = delete;

 private:
  Dentry* first_;
  Dentry* second_;
};

struct Sides {
  const WalkedParent& from;
  const WalkedParent& to;
  Dentry& source;
  Dentry& target;  // may be negative
  uint32_t flags;
  bool exchange() const { return flags & abi::kRENAME_EXCHANGE; }
  bool same_dir() const { return from.parent.dentry == to.parent.dentry; }
};

// What the names themselves forbid.
ErrorOr<void> CheckNames(const Sides& s) {
  if (s.source.negative()) return kENOENT;
  if ((s.flags & abi::kRENAME_NOREPLACE) && !s.target.negative()) return kEEXIST;
  if (s.exchange()) {
    if (s.target.negative()) return kENOENT;
    if (!s.target.inode()->is_dir() && s.to.trailing_slash) return kENOTDIR;
  }
  if (!s.source.inode()->is_dir()) {
    if (s.from.trailing_slash || (!s.exchange() && s.to.trailing_slash)) return kENOTDIR;
  }
  if (s.to.parent.dentry->IsWithin(s.source)) return kEINVAL;
  if (!s.target.negative() && s.from.parent.dentry->IsWithin(s.target)) return s.exchange() ? kEINVAL : kENOTEMPTY;
  return {};
}

// What permissions and types forbid.
ErrorOr<void> CheckAllowed(const Credentials& creds, const Sides& s) {
  TRY(MayDelete(creds, s.from.parent, s.source));
  bool source_dir = s.source.inode()->is_dir();
  if (s.target.negative()) {
    TRY(MayCreate(creds, s.to.parent));
  } else {
    TRY(MayDelete(creds, s.to.parent, s.target));
    bool target_dir = s.target.inode()->is_dir();
    if (!s.exchange() && source_dir && !target_dir) return kENOTDIR;
    if (!s.exchange() && !source_dir && target_dir) return kEISDIR;
    if (s.exchange() && target_dir && !s.same_dir()) TRY(InodePermission(creds, *s.target.inode(), kMayWrite));
  }
  // A directory that gets another parent has its ".." written.
  if (source_dir && !s.same_dir()) TRY(InodePermission(creds, *s.source.inode(), kMayWrite));
  if (s.source.is_mountpoint() || s.target.is_mountpoint()) return kEBUSY;
  return {};
}

void NotifyRename(const Sides& s, Inode* replaced) {
  Inode& from = *s.from.parent.dentry->inode();
  Inode& to = *s.to.parent.dentry->inode();
  uint32_t cookie = NextMoveCookie();
  NotifyName(from, s.from.last, s.source.inode(), abi::kIN_MOVED_FROM, cookie);
  NotifyName(to, s.to.last, s.source.inode(), abi::kIN_MOVED_TO, cookie);
  NotifyInode(*s.source.inode(), abi::kIN_MOVE_SELF);
  if (s.exchange()) {
    cookie = NextMoveCookie();
    NotifyName(to, s.to.last, s.target.inode(), abi::kIN_MOVED_FROM, cookie);
    NotifyName(from, s.from.last, s.target.inode(), abi::kIN_MOVED_TO, cookie);
    NotifyInode(*s.target.inode(), abi::kIN_MOVE_SELF);
  } else if (replaced) {
    AfterNameRemoved(s.target);
  }
}

ErrorOr<void> RenameLocked(const WalkContext& context, const Sides& s) {
  TRY(CheckNames(s));
  Inode* target = s.target.inode();
  if (s.source.inode() == target) return {};
  TRY(CheckAllowed(context.creds, s));
  TRY(s.from.parent.dentry->inode()->Rename(s.from.last, *s.source.inode(), *s.to.parent.dentry->inode(), s.to.last,
                                            target, s.flags));
  if (s.exchange()) {
    DentryCache::Exchange(s.source, s.target);
  } else {
    DentryCache::Move(s.source, *s.to.parent.dentry, s.to.last);
  }
  NotifyRename(s, target);
  return {};
}

}  // namespace

ErrorOr<void> Rename(const WalkContext& context, const Path& old_start, std::string_view old_name, const Path& new_start,
                     std::string_view new_name, uint32_t flags) {
  constexpr uint32_t kKnown = abi::kRENAME_NOREPLACE | abi::kRENAME_EXCHANGE;  // no whiteouts from guests
  if ((flags & ~kKnown) || flags == kKnown) return kEINVAL;
  WalkedParent from = TRY(WalkParent(context, old_start, old_name));
  WalkedParent to = TRY(WalkParent(context, new_start, new_name));
  if (from.parent.mount != to.parent.mount) return kEXDEV;
  if (from.type != LastType::kNormal) return kEBUSY;
  if (to.type != LastType::kNormal) return flags & abi::kRENAME_NOREPLACE ? kEEXIST : kEBUSY;
  Ref<Dentry> source, target;  // outlive the locks
  RenameLock lock(*from.parent.dentry, *to.parent.dentry);
  source = TRY(DentryCache::LookupLocked(*from.parent.dentry, from.last));
  target = TRY(DentryCache::LookupLocked(*to.parent.dentry, to.last));
  return RenameLocked(context, {from, to, *source, *target, flags});
}

}  // namespace moat::vfs
