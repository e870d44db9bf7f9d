#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/inotify.h"
#include "abi/stat.h"
#include "abi/xattr.h"
#include "base/host/time.h"
#include "fs/vfs/acl.h"
#include "fs/vfs/inotify.h"
#include "fs/vfs/permissions.h"
#include "fs/vfs/vfs.h"

namespace moat::vfs {

namespace {

// relatime updates an access time that is older than this, seconds.
constexpr int64_t kRelatimePeriod = 24 * 60 * 60;

bool NotNewer(const TimeSpec& a, const TimeSpec& b) { return a.sec < b.sec || (a.sec == b.sec && a.nsec <= b.nsec); }

Inode& InodeOf(const Path& path) { return *path.dentry->inode(); }

uint64_t StFlags(uint32_t mount_flags) {
  uint64_t st = abi::kST_VALID;
  if (mount_flags & kMountReadOnly) st |= abi::kST_RDONLY;
  if (mount_flags & kMountNoSuid) st |= abi::kST_NOSUID;
  if (mount_flags & kMountNoDev) st |= abi::kST_NODEV;
  if (mount_flags & kMountNoExec) st |= abi::kST_NOEXEC;
  if (mount_flags & kMountNoAtime) st |= abi::kST_NOATIME;
  if (mount_flags & kMountNoDirAtime) st |= abi::kST_NODIRATIME;
  if (mount_flags & kMountRelatime) st |= abi::kST_RELATIME;
  if (mount_flags & kMountNoSymfollow) st |= abi::kST_NOSYMFOLLOW;
  return st;
}

ErrorOr<void> SetSize(const Credentials& creds, Inode& inode, uint64_t size) {
  TaskMutexLock lock(inode.lock());
  SetAttr set;
  set.mask = SetAttr::kSize | SetAttr::kCtime;
  set.size = size;
  if (!creds.Has(abi::kCAP_FSETID)) {
    Attr attr = TRY(inode.GetAttr());
    if (uint32_t mode = WithoutSetId(creds, attr); mode != (attr.mode & abi::kS_IALLUGO)) {
      set.mask |= SetAttr::kMode;
      set.mode = mode;
    }
  }
  return inode.SetAttributes(set);
}

}  // namespace

TimeSpec CurrentTime() {
  ErrorOr<abi::Timespec> now = host::ClockGettime(abi::kCLOCK_REALTIME_COARSE);
  if (!now.ok()) return {};
  return {now->tv_sec, now->tv_nsec};
}

ErrorOr<Attr> Stat(const Path& path) { return InodeOf(path).GetAttr(); }

ErrorOr<StatFs> StatFsOf(const Path& path) {
  StatFs s = TRY(InodeOf(path).fs().Stat());
  s.flags |= StFlags(path.mount ? path.mount->flags() : 0);
  return s;
}

ErrorOr<void> Chmod(const Credentials& creds, const Path& path, uint32_t mode) {
  Inode& inode = InodeOf(path);
  TRY(MayWriteMount(path));
  {
    TaskMutexLock lock(inode.lock());
    Attr attr = TRY(inode.GetAttr());
    if (!IsOwnerOrCapable(creds, attr)) return kEPERM;
    if (inode.is_symlink()) return kEOPNOTSUPP;
    SetAttr set;
    set.mask = SetAttr::kMode | SetAttr::kCtime;
    set.mode = mode & abi::kS_IALLUGO;
    if (!creds.InGroup(attr.gid) && !creds.Has(abi::kCAP_FSETID)) set.mode &= ~abi::kS_ISGID;
    TRY(inode.SetAttributes(set));
    if (inode.MayHaveAcl()) {
      ErrorOr<std::string> value = inode.GetXattr(abi::kXATTR_NAME_POSIX_ACL_ACCESS);
      if (std::optional<Acl> acl = value.ok() ? Acl::Parse(*value) : std::nullopt) {
        acl->ApplyMode(set.mode);
        TRY(inode.SetXattr(abi::kXATTR_NAME_POSIX_ACL_ACCESS, acl->Serialize(), 0));
      }
    }
  }
  NotifyFile(path, abi::kIN_ATTRIB);
  return {};
}

ErrorOr<void> Chown(const Credentials& creds, const Path& path, uint32_t uid, uint32_t gid) {
  Inode& inode = InodeOf(path);
  TRY(MayWriteMount(path));
  {
    TaskMutexLock lock(inode.lock());
    Attr attr = TRY(inode.GetAttr());
    bool capable = creds.Has(abi::kCAP_CHOWN), owner = creds.fsuid == attr.uid;
    SetAttr set;
    set.mask = SetAttr::kCtime;
    if (uid != kKeepId) {
      if (!capable && !(owner && uid == attr.uid)) return kEPERM;
      set.mask |= SetAttr::kUid;
      set.uid = uid;
    }
    if (gid != kKeepId) {
      if (!capable && !(owner && (gid == attr.gid || creds.InGroup(gid)))) return kEPERM;
      set.mask |= SetAttr::kGid;
      set.gid = gid;
    }
    if (!inode.is_dir() && !inode.is_symlink()) {
      if (uint32_t mode = WithoutSetId(creds, attr); mode != (attr.mode & abi::kS_IALLUGO)) {
        set.mask |= SetAttr::kMode;
        set.mode = mode;
      }
    }
    TRY(inode.SetAttributes(set));
    if (inode.is_regular()) static_cast<void>(inode.RemoveXattr(abi::kXATTR_NAME_CAPS));  // most files have none
  }
  NotifyFile(path, abi::kIN_ATTRIB);
  return {};
}

ErrorOr<void> Utimes(const Credentials& creds, const Path& path, const abi::Timespec times[2]) {
  static constexpr abi::Timespec kBothNow[2] = {{0, abi::kUTIME_NOW}, {0, abi::kUTIME_NOW}};
  if (!times) times = kBothNow;
  for (int i = 0; i < 2; ++i) {
    int64_t n = times[i].tv_nsec;
    if (n != abi::kUTIME_NOW && n != abi::kUTIME_OMIT && (n < 0 || n >= abi::kNSEC_PER_SEC)) return kEINVAL;
  }
  if (times[0].tv_nsec == abi::kUTIME_OMIT && times[1].tv_nsec == abi::kUTIME_OMIT) return {};
  bool both_now = times[0].tv_nsec == abi::kUTIME_NOW && times[1].tv_nsec == abi::kUTIME_NOW;
  Inode& inode = InodeOf(path);
  TRY(MayWriteMount(path));
  {
    TaskMutexLock lock(inode.lock());
    Attr attr = TRY(inode.GetAttr());
    if (!IsOwnerOrCapable(creds, attr)) {
      if (!both_now) return kEPERM;
      TRY(InodePermission(creds, inode, attr, kMayWrite));
    }
    TimeSpec now = CurrentTime();
    auto value = [&](const abi::Timespec& t) {
      return t.tv_nsec == abi::kUTIME_NOW ? now : TimeSpec{t.tv_sec, t.tv_nsec};
    };
    SetAttr set;
    set.mask = SetAttr::kCtime;
    if (times[0].tv_nsec != abi::kUTIME_OMIT) set.mask |= SetAttr::kAtime;
    if (times[1].tv_nsec != abi::kUTIME_OMIT) set.mask |= SetAttr::kMtime;
    set.atime = value(times[0]);
    set.mtime = value(times[1]);
    TRY(inode.SetAttributes(set));
  }
  NotifyFile(path, abi::kIN_ATTRIB);
  return {};
}

ErrorOr<void> Truncate(const Credentials& creds, const Path& path, uint64_t size) {
  Inode& inode = InodeOf(path);
  if (inode.is_dir()) return kEISDIR;
  if (!inode.is_regular()) return kEINVAL;
  TRY(PathPermission(creds, path, kMayWrite));
  TRY(inode.GetWriteAccess());
  ErrorOr<void> result = SetSize(creds, inode, size);
  inode.PutWriteAccess();
  if (result.ok()) NotifyFile(path, abi::kIN_MODIFY);
  return result;
}

ErrorOr<void> TruncateFile(const Credentials& creds, FileDescription& file, uint64_t size) {
  if (file.is_path_only()) return kEBADF;
  if (!file.inode().is_regular() || !file.writable()) return kEINVAL;
  TRY(SetSize(creds, file.inode(), size));
  NotifyFile(file.path(), abi::kIN_MODIFY);
  return {};
}

ErrorOr<void> Access(const Credentials& creds, const Path& path, uint32_t mode) {
  Inode& inode = InodeOf(path);
  int may = static_cast<int>(mode & (abi::kR_OK | abi::kW_OK | abi::kX_OK));  // R_OK, W_OK, X_OK are kMay*'s numbers
  if ((may & kMayExec) && inode.is_regular() && path.mount && (path.mount->flags() & kMountNoExec)) return kEACCES;
  TRY(InodePermission(creds, inode, may));
  bool special = !inode.is_regular() && !inode.is_dir() && !inode.is_symlink();
  if ((may & kMayWrite) && !special) TRY(MayWriteMount(path));
  return {};
}

ErrorOr<std::string> ReadLink(const Path& path) {
  Inode& inode = InodeOf(path);
  if (!inode.is_symlink()) return kEINVAL;
  return inode.ReadLink();
}

void AfterRead(FileDescription& file) {
  const Path& path = file.path();
  Inode& inode = InodeOf(path);
  NotifyFile(path, abi::kIN_ACCESS);
  if (!path.mount || (file.flags() & abi::kO_NOATIME) || !inode.KeepsAtime()) return;
  uint32_t flags = path.mount->flags();
  if (flags & (kMountReadOnly | kMountNoAtime)) return;
  if ((flags & kMountNoDirAtime) && inode.is_dir()) return;
  ErrorOr<Attr> attr = inode.GetAttr();
  if (!attr.ok()) return;
  TimeSpec now = CurrentTime();
  if (flags & kMountRelatime) {
    bool old = NotNewer(attr->atime, attr->mtime) || NotNewer(attr->atime, attr->ctime);
    if (!old && now.sec - attr->atime.sec < kRelatimePeriod) return;
  }
  if (attr->atime == now) return;
  SetAttr set;
  set.mask = SetAttr::kAtime;
  set.atime = now;
  TaskMutexLock lock(inode.lock());
  static_cast<void>(inode.SetAttributes(set));  // a read does not fail for its time stamp
}

ErrorOr<void> BeforeWrite(const Credentials& creds, FileDescription& file) {
  Inode& inode = file.inode();
  if (creds.Has(abi::kCAP_FSETID) || !inode.is_regular()) return {};
  Attr attr = TRY(inode.GetAttr());
  uint32_t mode = WithoutSetId(creds, attr);
  if (mode == (attr.mode & abi::kS_IALLUGO)) return {};
  SetAttr set;
  set.mask = SetAttr::kMode | SetAttr::kCtime;
  set.mode = mode;
  TaskMutexLock lock(inode.lock());
  return inode.SetAttributes(set);
}

void AfterWrite(FileDescription& file) { NotifyFile(file.path(), abi::kIN_MODIFY); }

}  // namespace moat::vfs
