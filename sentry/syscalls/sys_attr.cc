// Changing files' attributes: mode, owner, times, size, extended attributes.
#include "abi/fcntl.h"
#include "abi/limits.h"
#include "abi/rlimit.h"
#include "abi/signal.h"
#include "abi/time.h"
#include "abi/xattr.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/vfs.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"

namespace moat {
namespace {

// --- Mode and owner. ---

ErrorOr<void> SysFchmodat2(Task& t, int dirfd, UserAddr path, uint32_t mode, uint32_t flags) {
  if (flags & ~(abi::kAT_SYMLINK_NOFOLLOW | abi::kAT_EMPTY_PATH)) return kEINVAL;
  return vfs::Chmod(t.creds(), TRY(ResolveAt(t, dirfd, path, flags)), mode & 07777);
}
ErrorOr<void> SysFchmodat(Task& t, int dirfd, UserAddr path, uint32_t mode) {
  return SysFchmodat2(t, dirfd, path, mode, 0);
}
ErrorOr<void> SysChmod(Task& t, UserAddr path, uint32_t mode) { return SysFchmodat2(t, abi::kAT_FDCWD, path, mode, 0); }
ErrorOr<void> SysFchmod(Task& t, int fd, uint32_t mode) {
  return vfs::Chmod(t.creds(), TRY(PathOf(t, fd)), mode & 07777);
}

ErrorOr<void> SysFchownat(Task& t, int dirfd, UserAddr path, uint32_t uid, uint32_t gid, uint32_t flags) {
  if (flags & ~(abi::kAT_SYMLINK_NOFOLLOW | abi::kAT_EMPTY_PATH)) return kEINVAL;
  return vfs::Chown(t.creds(), TRY(ResolveAt(t, dirfd, path, flags)), uid, gid);
}
ErrorOr<void> SysChown(Task& t, UserAddr path, uint32_t uid, uint32_t gid) {
  return SysFchownat(t, abi::kAT_FDCWD, path, uid, gid, 0);
}
ErrorOr<void> SysLchown(Task& t, UserAddr path, uint32_t uid, uint32_t gid) {
  return SysFchownat(t, abi::kAT_FDCWD, path, uid, gid, abi::kAT_SYMLINK_NOFOLLOW);
}
ErrorOr<void> SysFchown(Task& t, int fd, uint32_t uid, uint32_t gid) {
  return vfs::Chown(t.creds(), TRY(PathOf(t, fd)), uid, gid);
}

// --- Times. ---

bool ValidNsec(int64_t nsec) {
  return (nsec >= 0 && nsec < 1'000'000'000) || nsec == abi::kUTIME_NOW || nsec == abi::kUTIME_OMIT;
}

// The file of the utime family: a null path means the descriptor itself (utimensat(2), NOTES).
ErrorOr<Path> TimesTarget(Task& t, int dirfd, UserAddr path, uint32_t flags) {
  if (path == 0 && dirfd != abi::kAT_FDCWD) {
    if (flags) return kEINVAL;
    return PathOf(t, dirfd);
  }
  return ResolveAt(t, dirfd, path, flags);
}

ErrorOr<void> SysUtimensat(Task& t, int dirfd, UserAddr path, UserAddr times_addr, uint32_t flags) {
  if (flags & ~(abi::kAT_SYMLINK_NOFOLLOW | abi::kAT_EMPTY_PATH)) return kEINVAL;
  abi::Timespec times[2];
  if (times_addr) {
    TRY(t.mm().CopyIn(times_addr, times, sizeof times));
    if (!ValidNsec(times[0].tv_nsec) || !ValidNsec(times[1].tv_nsec)) return kEINVAL;
    if (times[0].tv_nsec == abi::kUTIME_OMIT && times[1].tv_nsec == abi::kUTIME_OMIT) return {};
  }
  return vfs::Utimes(t.creds(), TRY(TimesTarget(t, dirfd, path, flags)), times_addr ? times : nullptr);
}

ErrorOr<void> SysFutimesat(Task& t, int dirfd, UserAddr path, UserAddr times_addr) {
  abi::Timespec times[2];
  if (times_addr) {
    abi::Timeval tv[2];
    TRY(t.mm().CopyIn(times_addr, tv, sizeof tv));
    for (int i = 0; i < 2; ++i) {
      if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1'000'000) return kEINVAL;
      times[i] = {tv[i].tv_sec, tv[i].tv_usec * 1000};
    }
  }
  return vfs::Utimes(t.creds(), TRY(TimesTarget(t, dirfd, path, 0)), times_addr ? times : nullptr);
}
ErrorOr<void> SysUtimes(Task& t, UserAddr path, UserAddr times) {
  return SysFutimesat(t, abi::kAT_FDCWD, path, times);
}
ErrorOr<void> SysUtime(Task& t, UserAddr path, UserAddr times_addr) {
  struct Utimbuf {
    int64_t actime, modtime;
  };
  abi::Timespec times[2];
  if (times_addr) {
    Utimbuf buf = TRY(t.mm().Read<Utimbuf>(times_addr));
    times[0] = {buf.actime, 0};
    times[1] = {buf.modtime, 0};
  }
  return vfs::Utimes(t.creds(), TRY(ResolveAt(t, abi::kAT_FDCWD, path, 0)), times_addr ? times : nullptr);
}

// --- Size. ---

ErrorOr<void> CheckSizeLimit(Task& t, int64_t size) {
  if (size < 0) return kEINVAL;
  if (static_cast<uint64_t>(size) > t.group().Limit(abi::kRLIMIT_FSIZE)) {
    t.SendSignal(MakeSigInfo(abi::kSIGXFSZ, abi::kSI_USER));
    return kEFBIG;
  }
  return {};
}
ErrorOr<void> SysTruncate(Task& t, UserAddr path, int64_t size) {
  if (size < 0) return kEINVAL;
  Path place = TRY(ResolveAt(t, abi::kAT_FDCWD, path, 0));
  TRY(CheckSizeLimit(t, size));
  return vfs::Truncate(t.creds(), place, static_cast<uint64_t>(size));
}
ErrorOr<void> SysFtruncate(Task& t, int fd, int64_t size) {
  if (size < 0) return kEINVAL;
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  TRY(CheckSizeLimit(t, size));
  return vfs::TruncateFile(t.creds(), *file, static_cast<uint64_t>(size));
}

// --- Extended attributes. ---

ErrorOr<std::string> ReadAttrName(Task& t, UserAddr addr) {
  ErrorOr<std::string> name = t.mm().ReadString(addr, abi::kXATTR_NAME_MAX + 1);
  if (!name.ok()) return name.error() == kENAMETOOLONG ? kERANGE : name.error();
  if (name->empty()) return kERANGE;
  return name;
}

ErrorOr<void> SetAttr(Task& t, const Path& path, UserAddr name_addr, UserAddr value, uint64_t size, int flags) {
  if (flags & ~(abi::kXATTR_CREATE | abi::kXATTR_REPLACE)) return kEINVAL;
  std::string name = TRY(ReadAttrName(t, name_addr));
  if (size > abi::kXATTR_SIZE_MAX) return kE2BIG;
  std::string bytes(size, '\0');
  if (size) TRY(t.mm().CopyIn(value, bytes.data(), size));
  return vfs::SetXattr(t.creds(), path, name, bytes, flags);
}

// Hands out `bytes` under getxattr's size rules: 0 asks for the length.
ErrorOr<uint64_t> GiveBytes(Task& t, const std::string& bytes, UserAddr out, uint64_t size) {
  if (size == 0) return bytes.size();
  if (bytes.size() > size) return kERANGE;
  TRY(t.mm().CopyOut(out, bytes.data(), bytes.size()));
  return bytes.size();
}

ErrorOr<uint64_t> GetAttr(Task& t, const Path& path, UserAddr name_addr, UserAddr value, uint64_t size) {
  std::string name = TRY(ReadAttrName(t, name_addr));
  return GiveBytes(t, TRY(vfs::GetXattr(t.creds(), path, name)), value, size);
}
ErrorOr<uint64_t> ListAttr(Task& t, const Path& path, UserAddr list, uint64_t size) {
  return GiveBytes(t, TRY(vfs::ListXattr(t.creds(), path)), list, size);
}
ErrorOr<void> RemoveAttr(Task& t, const Path& path, UserAddr name_addr) {
  return vfs::RemoveXattr(t.creds(), path, TRY(ReadAttrName(t, name_addr)));
}

ErrorOr<Path> Followed(Task& t, UserAddr path) { return ResolveAt(t, abi::kAT_FDCWD, path, 0); }
ErrorOr<Path> NotFollowed(Task& t, UserAddr path) {
  return ResolveAt(t, abi::kAT_FDCWD, path, abi::kAT_SYMLINK_NOFOLLOW);
}

ErrorOr<void> SysSetxattr(Task& t, UserAddr path, UserAddr name, UserAddr value, uint64_t size, int flags) {
  return SetAttr(t, TRY(Followed(t, path)), name, value, size, flags);
}
ErrorOr<void> SysLsetxattr(Task& t, UserAddr path, UserAddr name, UserAddr value, uint64_t size, int flags) {
  return SetAttr(t, TRY(NotFollowed(t, path)), name, value, size, flags);
}
ErrorOr<void> SysFsetxattr(Task& t, int fd, UserAddr name, UserAddr value, uint64_t size, int flags) {
  return SetAttr(t, TRY(PathOf(t, fd)), name, value, size, flags);
}
ErrorOr<uint64_t> SysGetxattr(Task& t, UserAddr path, UserAddr name, UserAddr value, uint64_t size) {
  return GetAttr(t, TRY(Followed(t, path)), name, value, size);
}
ErrorOr<uint64_t> SysLgetxattr(Task& t, UserAddr path, UserAddr name, UserAddr value, uint64_t size) {
  return GetAttr(t, TRY(NotFollowed(t, path)), name, value, size);
}
ErrorOr<uint64_t> SysFgetxattr(Task& t, int fd, UserAddr name, UserAddr value, uint64_t size) {
  return GetAttr(t, TRY(PathOf(t, fd)), name, value, size);
}
ErrorOr<uint64_t> SysListxattr(Task& t, UserAddr path, UserAddr list, uint64_t size) {
  return ListAttr(t, TRY(Followed(t, path)), list, size);
}
ErrorOr<uint64_t> SysLlistxattr(Task& t, UserAddr path, UserAddr list, uint64_t size) {
  return ListAttr(t, TRY(NotFollowed(t, path)), list, size);
}
ErrorOr<uint64_t> SysFlistxattr(Task& t, int fd, UserAddr list, uint64_t size) {
  return ListAttr(t, TRY(PathOf(t, fd)), list, size);
}
ErrorOr<void> SysRemovexattr(Task& t, UserAddr path, UserAddr name) {
  return RemoveAttr(t, TRY(Followed(t, path)), name);
}
ErrorOr<void> SysLremovexattr(Task& t, UserAddr path, UserAddr name) {
  return RemoveAttr(t, TRY(NotFollowed(t, path)), name);
}
ErrorOr<void> SysFremovexattr(Task& t, int fd, UserAddr name) { return RemoveAttr(t, TRY(PathOf(t, fd)), name); }

constexpr SyscallRow kRows[] = {
    CALL(chmod, SysChmod, "path oct"),
    CALL(fchmod, SysFchmod, "fd oct"),
    CALL(fchmodat, SysFchmodat, "dirfd path oct"),
    CALL(fchmodat2, SysFchmodat2, "dirfd path oct flags:at"),
    CALL(chown, SysChown, "path uint uint"),
    CALL(lchown, SysLchown, "path uint uint"),
    CALL(fchown, SysFchown, "fd uint uint"),
    CALL(fchownat, SysFchownat, "dirfd path uint uint flags:at"),
    CALL(utimensat, SysUtimensat, "dirfd path ptr flags:at"),
    CALL(futimesat, SysFutimesat, "dirfd path ptr"),
    CALL(utimes, SysUtimes, "path ptr"),
    CALL(utime, SysUtime, "path ptr"),
    CALL(truncate, SysTruncate, "path int"),
    CALL(ftruncate, SysFtruncate, "fd int"),
    CALL(setxattr, SysSetxattr, "path str buf:3 u64 hex"),
    CALL(lsetxattr, SysLsetxattr, "path str buf:3 u64 hex"),
    CALL(fsetxattr, SysFsetxattr, "fd str buf:3 u64 hex"),
    CALL(getxattr, SysGetxattr, "path str out:3 u64"),
    CALL(lgetxattr, SysLgetxattr, "path str out:3 u64"),
    CALL(fgetxattr, SysFgetxattr, "fd str out:3 u64"),
    CALL(listxattr, SysListxattr, "path out:2 u64"),
    CALL(llistxattr, SysLlistxattr, "path out:2 u64"),
    CALL(flistxattr, SysFlistxattr, "fd out:2 u64"),
    CALL(removexattr, SysRemovexattr, "path str"),
    CALL(lremovexattr, SysLremovexattr, "path str"),
    CALL(fremovexattr, SysFremovexattr, "fd str"),
};

}  // namespace

const SyscallFamily kAttrCalls = {"file attributes", kRows};

}  // namespace moat
