// Looking at files: stat and its kin, access, statfs.
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/vfs.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"

namespace moat {
namespace {

abi::Stat ToStat(const Attr& a) {
  abi::Stat s{};
  s.st_dev = a.dev;
  s.st_ino = a.ino;
  s.st_nlink = a.nlink;
  s.st_mode = a.mode;
  s.st_uid = a.uid;
  s.st_gid = a.gid;
  s.st_rdev = a.rdev;
  s.st_size = static_cast<int64_t>(a.size);
  s.st_blksize = a.blksize;
  s.st_blocks = static_cast<int64_t>(a.blocks);
  s.st_atim = {a.atime.sec, a.atime.nsec};
  s.st_mtim = {a.mtime.sec, a.mtime.nsec};
  s.st_ctim = {a.ctime.sec, a.ctime.nsec};
  return s;
}

ErrorOr<void> StatTo(Task& t, const Path& path, UserAddr out) {
  Attr attr = TRY(vfs::Stat(path));
  return t.mm().Write(out, ToStat(attr));
}

ErrorOr<void> SysNewfstatat(Task& t, int dirfd, UserAddr path, UserAddr out, uint32_t flags) {
  if (flags & ~(abi::kAT_SYMLINK_NOFOLLOW | abi::kAT_EMPTY_PATH | abi::kAT_NO_AUTOMOUNT)) return kEINVAL;
  return StatTo(t, TRY(ResolveAt(t, dirfd, path, flags)), out);
}
ErrorOr<void> SysStat(Task& t, UserAddr path, UserAddr out) { return SysNewfstatat(t, abi::kAT_FDCWD, path, out, 0); }
ErrorOr<void> SysLstat(Task& t, UserAddr path, UserAddr out) {
  return SysNewfstatat(t, abi::kAT_FDCWD, path, out, abi::kAT_SYMLINK_NOFOLLOW);
}
ErrorOr<void> SysFstat(Task& t, int fd, UserAddr out) {
  Ref<FileDescription> file = TRY(t.fds().GetRaw(fd));
  return StatTo(t, file->path(), out);
}

abi::StatxTimestamp ToStatxTime(const TimeSpec& ts) {
  return {.tv_sec = ts.sec, .tv_nsec = static_cast<uint32_t>(ts.nsec)};
}

ErrorOr<void> SysStatx(Task& t, int dirfd, UserAddr path, uint32_t flags, uint32_t mask, UserAddr out) {
  constexpr uint32_t kSyncBits = abi::kAT_STATX_FORCE_SYNC | abi::kAT_STATX_DONT_SYNC;
  if (flags & ~(abi::kAT_SYMLINK_NOFOLLOW | abi::kAT_EMPTY_PATH | abi::kAT_NO_AUTOMOUNT | kSyncBits)) return kEINVAL;
  if ((flags & kSyncBits) == kSyncBits || (mask & abi::kSTATX__RESERVED)) return kEINVAL;
  Path place = TRY(ResolveAt(t, dirfd, path, flags & ~kSyncBits));
  Attr a = TRY(vfs::Stat(place));
  abi::Statx s{};
  s.stx_mask = abi::kSTATX_BASIC_STATS;
  s.stx_blksize = a.blksize;
  s.stx_nlink = a.nlink;
  s.stx_uid = a.uid;
  s.stx_gid = a.gid;
  s.stx_mode = static_cast<uint16_t>(a.mode);
  s.stx_ino = a.ino;
  s.stx_size = a.size;
  s.stx_blocks = a.blocks;
  s.stx_atime = ToStatxTime(a.atime);
  s.stx_mtime = ToStatxTime(a.mtime);
  s.stx_ctime = ToStatxTime(a.ctime);
  if (a.btime.sec || a.btime.nsec) {
    s.stx_btime = ToStatxTime(a.btime);
    s.stx_mask |= abi::kSTATX_BTIME;
  }
  s.stx_dev_major = abi::DevMajor(a.dev);
  s.stx_dev_minor = abi::DevMinor(a.dev);
  s.stx_rdev_major = abi::DevMajor(a.rdev);
  s.stx_rdev_minor = abi::DevMinor(a.rdev);
  s.stx_attributes_mask = abi::kSTATX_ATTR_MOUNT_ROOT;
  if (place.mount) {
    s.stx_mnt_id = place.mount->id();
    s.stx_mask |= abi::kSTATX_MNT_ID;
    if (place.mount->root() == place.dentry) s.stx_attributes |= abi::kSTATX_ATTR_MOUNT_ROOT;
  }
  return t.mm().Write(out, s);
}

// access(2) asks with the real ids; capabilities count as if they were effective for root (faccessat2(2)).
Ref<Credentials> RealCredentials(const Credentials& c) {
  Ref<Credentials> real = MakeRef<Credentials>(c);
  real->fsuid = c.uid;
  real->fsgid = c.gid;
  real->effective = c.uid == 0 ? c.permitted : 0;
  return real;
}

ErrorOr<void> SysFaccessat2(Task& t, int dirfd, UserAddr path, uint32_t mode, uint32_t flags) {
  if (mode & ~7u) return kEINVAL;
  if (flags & ~(abi::kAT_EACCESS | abi::kAT_SYMLINK_NOFOLLOW | abi::kAT_EMPTY_PATH)) return kEINVAL;
  Ref<Credentials> real = (flags & abi::kAT_EACCESS) ? MakeRef<Credentials>(t.creds()) : RealCredentials(t.creds());
  std::string name;
  if (path || !(flags & abi::kAT_EMPTY_PATH)) name = TRY(t.mm().ReadPath(path));
  Path start = TRY(StartOf(t, dirfd, name));
  WalkContext walk = t.WalkView();
  WalkContext as_real{walk.root, walk.cwd, *real, walk.mounts};
  Path place = name.empty() && (flags & abi::kAT_EMPTY_PATH)
                   ? start
                   : TRY(Walk(as_real, start, name, {.follow = !(flags & abi::kAT_SYMLINK_NOFOLLOW)}));
  return vfs::Access(*real, place, mode);
}
ErrorOr<void> SysFaccessat(Task& t, int dirfd, UserAddr path, uint32_t mode) {
  return SysFaccessat2(t, dirfd, path, mode, 0);
}
ErrorOr<void> SysAccess(Task& t, UserAddr path, uint32_t mode) {
  return SysFaccessat2(t, abi::kAT_FDCWD, path, mode, 0);
}

ErrorOr<uint64_t> SysReadlinkat(Task& t, int dirfd, UserAddr path, UserAddr buf, int size) {
  if (size <= 0) return kEINVAL;
  std::string name = TRY(t.mm().ReadPath(path));
  Path start = TRY(StartOf(t, dirfd, name));
  WalkContext walk = t.WalkView();
  Path place = name.empty() && dirfd != abi::kAT_FDCWD ? start : TRY(Walk(walk, start, name, {.follow = false}));
  if (name.empty() && !(place.dentry->inode() && place.dentry->inode()->is_symlink())) return kENOENT;
  std::string target = TRY(vfs::ReadLink(place));
  size_t n = std::min(target.size(), static_cast<size_t>(size));
  TRY(t.mm().CopyOut(buf, target.data(), n));
  return n;
}
ErrorOr<uint64_t> SysReadlink(Task& t, UserAddr path, UserAddr buf, int size) {
  return SysReadlinkat(t, abi::kAT_FDCWD, path, buf, size);
}

ErrorOr<void> StatfsTo(Task& t, const Path& path, UserAddr out) {
  StatFs s = TRY(vfs::StatFsOf(path));
  abi::Statfs o{};
  o.f_type = s.type;
  o.f_bsize = s.bsize;
  o.f_blocks = static_cast<uint64_t>(s.blocks);
  o.f_bfree = static_cast<uint64_t>(s.bfree);
  o.f_bavail = static_cast<uint64_t>(s.bavail);
  o.f_files = static_cast<uint64_t>(s.files);
  o.f_ffree = static_cast<uint64_t>(s.ffree);
  o.f_namelen = s.namelen;
  o.f_frsize = s.frsize;
  o.f_flags = static_cast<int64_t>(s.flags);
  memcpy(&o.f_fsid, &s.fsid, sizeof o.f_fsid);
  return t.mm().Write(out, o);
}
ErrorOr<void> SysStatfs(Task& t, UserAddr path, UserAddr out) {
  return StatfsTo(t, TRY(ResolveAt(t, abi::kAT_FDCWD, path, 0)), out);
}
ErrorOr<void> SysFstatfs(Task& t, int fd, UserAddr out) {
  Ref<FileDescription> file = TRY(t.fds().GetRaw(fd));
  return StatfsTo(t, file->path(), out);
}

constexpr SyscallRow kRows[] = {
    CALL(stat, SysStat, "path ptr"),
    CALL(lstat, SysLstat, "path ptr"),
    CALL(fstat, SysFstat, "fd ptr"),
    CALL(newfstatat, SysNewfstatat, "dirfd path ptr flags:at"),
    CALL(statx, SysStatx, "dirfd path flags:at hex ptr"),
    CALL(access, SysAccess, "path oct"),
    CALL(faccessat, SysFaccessat, "dirfd path oct"),
    CALL(faccessat2, SysFaccessat2, "dirfd path oct flags:at"),
    CALL(readlink, SysReadlink, "path out:2 int"),
    CALL(readlinkat, SysReadlinkat, "dirfd path out:3 int"),
    CALL(statfs, SysStatfs, "path ptr"),
    CALL(fstatfs, SysFstatfs, "fd ptr"),
};

}  // namespace

const SyscallFamily kStatCalls = {"looking at files", kRows};

}  // namespace moat
