// Descriptors: open, close, dup, fcntl, flock, ioctl.
#include <algorithm>

#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/poll.h"
#include "abi/rlimit.h"
#include "abi/stat.h"
#include "fs/goferfs/host_locks.h"
#include "fs/pipe/pipe_file.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/file_lock.h"
#include "fs/vfs/permissions.h"
#include "fs/vfs/vfs.h"
#include "sentry/kernel/file_owner.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"

namespace moat {
namespace {

uint64_t FdLimit(Task& t) { return t.group().Limit(abi::kRLIMIT_NOFILE); }

ErrorOr<uint64_t> OpenFor(Task& t, int dirfd, UserAddr path, vfs::OpenHow how) {
  std::string name = TRY(t.mm().ReadPath(path));
  // With RESOLVE_IN_ROOT the directory is the root of absolute paths too.
  Path start = TRY(StartOf(t, dirfd, how.resolve & abi::kRESOLVE_IN_ROOT ? std::string_view() : name));
  WalkContext walk = t.WalkView();
  Ref<FileDescription> file = TRY(vfs::Open(walk, start, name, how, t.fs().umask()));
  if (WaitQueue* queue = file->wait_queue()) {
    // A FIFO's open waits for the other end.
    TRY(t.BlockOn(*queue, ~0u, kForever, [&] { return file->FinishOpen(); }));
  } else {
    TRY(file->FinishOpen());
  }
  return TRY(t.fds().Install(std::move(file), (how.flags & abi::kO_CLOEXEC) != 0, FdLimit(t)));
}

ErrorOr<uint64_t> SysOpenat(Task& t, int dirfd, UserAddr path, uint32_t flags, uint32_t mode) {
  flags &= abi::kVALID_OPEN_FLAGS;
  // O_PATH forgets every other flag (open(2)).
  if (flags & abi::kO_PATH) flags &= abi::kO_PATH | abi::kO_DIRECTORY | abi::kO_NOFOLLOW | abi::kO_CLOEXEC;
  bool creates = (flags & abi::kO_CREAT) || (flags & abi::kO_TMPFILE) == abi::kO_TMPFILE;
  return OpenFor(t, dirfd, path, {.flags = flags, .mode = creates ? mode & 07777 : 0});
}
ErrorOr<uint64_t> SysOpen(Task& t, UserAddr path, uint32_t flags, uint32_t mode) {
  return SysOpenat(t, abi::kAT_FDCWD, path, flags, mode);
}
ErrorOr<uint64_t> SysCreat(Task& t, UserAddr path, uint32_t mode) {
  return SysOpenat(t, abi::kAT_FDCWD, path, abi::kO_CREAT | abi::kO_WRONLY | abi::kO_TRUNC, mode);
}

ErrorOr<uint64_t> SysOpenat2(Task& t, int dirfd, UserAddr path, UserAddr how_addr, uint64_t size) {
  constexpr uint64_t kResolveKnown = abi::kRESOLVE_NO_XDEV | abi::kRESOLVE_NO_MAGICLINKS | abi::kRESOLVE_NO_SYMLINKS |
                                     abi::kRESOLVE_BENEATH | abi::kRESOLVE_IN_ROOT | abi::kRESOLVE_CACHED;
  if (size < sizeof(abi::OpenHow)) return kEINVAL;
  abi::OpenHow how = TRY(ReadExtensible<abi::OpenHow>(t.mm(), how_addr, size));
  if (how.flags & ~uint64_t{abi::kVALID_OPEN_FLAGS}) return kEINVAL;
  if (how.resolve & ~kResolveKnown) return kEINVAL;
  if ((how.resolve & abi::kRESOLVE_BENEATH) && (how.resolve & abi::kRESOLVE_IN_ROOT)) return kEINVAL;
  uint32_t flags = static_cast<uint32_t>(how.flags);
  bool creates = (flags & abi::kO_CREAT) || (flags & abi::kO_TMPFILE) == abi::kO_TMPFILE;
  if (creates ? (how.mode & ~uint64_t{07777}) != 0 : how.mode != 0) return kEINVAL;
  constexpr uint32_t kWithPath = abi::kO_PATH | abi::kO_DIRECTORY | abi::kO_NOFOLLOW | abi::kO_CLOEXEC;
  if ((flags & abi::kO_PATH) && (flags & ~kWithPath)) return kEINVAL;
  constexpr uint32_t kNotCached = abi::kO_TRUNC | abi::kO_CREAT | abi::kO_TMPFILE;
  if ((how.resolve & abi::kRESOLVE_CACHED) && (flags & kNotCached & ~abi::kO_DIRECTORY)) return kEAGAIN;
  return OpenFor(t, dirfd, path, {.flags = flags, .mode = static_cast<uint32_t>(how.mode), .resolve = how.resolve});
}

ErrorOr<void> SysClose(Task& t, int fd) { return t.fds().Close(fd); }

ErrorOr<void> SysCloseRange(Task& t, uint32_t first, uint32_t last, uint32_t flags) {
  if (flags & ~(abi::kCLOSE_RANGE_UNSHARE | abi::kCLOSE_RANGE_CLOEXEC) || first > last) return kEINVAL;
  if (flags & abi::kCLOSE_RANGE_UNSHARE) t.Unshare(false, true);
  t.fds().CloseRange(first, last, (flags & abi::kCLOSE_RANGE_CLOEXEC) != 0);
  return {};
}

ErrorOr<uint64_t> SysDup(Task& t, int fd) {
  Ref<FileDescription> file = TRY(t.fds().GetRaw(fd));
  return TRY(t.fds().Install(std::move(file), false, FdLimit(t)));
}
ErrorOr<uint64_t> SysDup3(Task& t, int old_fd, int new_fd, uint32_t flags) {
  if (flags & ~abi::kO_CLOEXEC || old_fd == new_fd) return kEINVAL;
  if (new_fd < 0) return kEBADF;
  Ref<FileDescription> file = TRY(t.fds().GetRaw(old_fd));
  return TRY(t.fds().InstallAt(std::move(file), new_fd, (flags & abi::kO_CLOEXEC) != 0, FdLimit(t)));
}
ErrorOr<uint64_t> SysDup2(Task& t, int old_fd, int new_fd) {
  if (old_fd == new_fd) {
    TRY(t.fds().GetRaw(old_fd));
    return static_cast<uint64_t>(new_fd);
  }
  return SysDup3(t, old_fd, new_fd, 0);
}

// --- fcntl ---

ErrorOr<int64_t> LockStart(FileDescription& file, const abi::Flock& f) {
  int64_t base = 0;
  switch (f.l_whence) {
    case abi::kSEEK_SET: break;
    case abi::kSEEK_CUR: base = file.position(); break;
    case abi::kSEEK_END: base = static_cast<int64_t>(TRY(file.inode().GetAttr()).size); break;
    default: return kEINVAL;
  }
  int64_t start;
  if (__builtin_add_overflow(base, f.l_start, &start)) return kEOVERFLOW;
  return start;
}

struct LockCall {
  bool ofd;   // F_OFD_*
  bool wait;
};

ErrorOr<RecordLock> DecodeLock(Task& t, FileDescription& file, const abi::Flock& f, bool ofd) {
  if (ofd && f.l_pid != 0) return kEINVAL;
  int64_t start = TRY(LockStart(file, f));
  RecordLock lock{.range = TRY(MakeFileRange(start, f.l_len)), .exclusive = f.l_type == abi::kF_WRLCK};
  lock.owner = ofd ? static_cast<LockOwner>(&file) : static_cast<LockOwner>(&t.fds());
  lock.pid = ofd ? -1 : t.tgid();
  return lock;
}

ErrorOr<void> SetLock(Task& t, FileDescription& file, UserAddr addr, LockCall call) {
  abi::Flock f = TRY(t.mm().Read<abi::Flock>(addr));
  RecordLock lock = TRY(DecodeLock(t, file, f, call.ofd));
  FileLocks& locks = file.inode().locks();
  switch (f.l_type) {
    case abi::kF_UNLCK: return locks.Unlock(lock.owner, lock.range);
    case abi::kF_RDLCK: if (!file.readable()) return kEBADF; break;
    case abi::kF_WRLCK: if (!file.writable()) return kEBADF; break;
    default: return kEINVAL;
  }
  Ref<HostLocks> host = TRY(LocksOnHost(file));
  if (!call.wait) return locks.Set(lock, nullptr, host);
  LockWait wait;
  return t.BlockOn(locks.queue(), ~0u, kForever, [&] { return locks.Set(lock, call.ofd ? nullptr : &wait, host); });
}

ErrorOr<void> GetLock(Task& t, FileDescription& file, UserAddr addr, bool ofd) {
  abi::Flock f = TRY(t.mm().Read<abi::Flock>(addr));
  if (f.l_type != abi::kF_RDLCK && f.l_type != abi::kF_WRLCK && !(ofd && f.l_type == abi::kF_UNLCK)) return kEINVAL;
  RecordLock lock = TRY(DecodeLock(t, file, f, ofd));
  std::optional<RecordLock> conflict = file.inode().locks().Test(lock, TRY(LocksOnHost(file)));
  if (!conflict) {
    f.l_type = abi::kF_UNLCK;
  } else {
    f.l_type = conflict->exclusive ? abi::kF_WRLCK : abi::kF_RDLCK;
    f.l_whence = abi::kSEEK_SET;
    f.l_start = conflict->range.start;
    f.l_len = conflict->range.end == INT64_MAX ? 0 : conflict->range.end - conflict->range.start + 1;
    f.l_pid = conflict->pid;
  }
  return t.mm().Write(addr, f);
}

ErrorOr<void> SetFileFlags(Task& t, int fd, FileDescription& file, uint32_t wanted) {
  if (wanted & ~file.flags() & abi::kO_NOATIME) {
    if (!IsOwnerOrCapable(t.creds(), TRY(file.inode().GetAttr()))) return kEPERM;
  }
  if ((wanted ^ file.flags()) & abi::kO_ASYNC && file.async_kind() != AsyncKind::kNone) {
    TRY(SetFileAsync(t, fd, file, (wanted & abi::kO_ASYNC) != 0));
  }
  uint32_t flags = (file.flags() & ~abi::kSETFL_MASK) | (wanted & abi::kSETFL_MASK);
  return file.SetFlags(flags);
}

ErrorOr<uint64_t> DupFrom(Task& t, Ref<FileDescription> file, uint64_t lowest, bool cloexec) {
  if (lowest >= FdLimit(t)) return kEINVAL;
  return TRY(t.fds().Install(std::move(file), cloexec, FdLimit(t), static_cast<int>(lowest)));
}

// Commands that O_PATH descriptors take too (open(2)).
bool AllowedOnPath(int command) {
  return command == abi::kF_DUPFD || command == abi::kF_DUPFD_CLOEXEC || command == abi::kF_GETFD ||
         command == abi::kF_SETFD || command == abi::kF_GETFL;
}

ErrorOr<uint64_t> OwnerCommand(Task& t, FileDescription& file, int command, uint64_t arg) {
  switch (command) {
    case abi::kF_SETOWN:
      TRY(SetFileOwner(t, file, static_cast<int>(arg)));
      return uint64_t{0};
    case abi::kF_GETOWN: return static_cast<uint64_t>(static_cast<int64_t>(GetFileOwnerNumber(t, file)));
    case abi::kF_SETSIG:
      if (arg > abi::kNSIG) return kEINVAL;
      file.MakeAsync().SetSignal(static_cast<int>(arg));
      return uint64_t{0};
    case abi::kF_GETSIG: return static_cast<uint64_t>(file.async() ? file.async()->signal() : 0);
    case abi::kF_SETOWN_EX:
      TRY(SetFileOwner(t, file, TRY(t.mm().Read<abi::FOwnerEx>(arg))));
      return uint64_t{0};
    default:
      TRY(t.mm().Write(arg, GetFileOwner(t, file)));
      return uint64_t{0};
  }
}

ErrorOr<uint64_t> LockCommand(Task& t, FileDescription& file, int command, UserAddr arg) {
  switch (command) {
    case abi::kF_GETLK: TRY(GetLock(t, file, arg, false)); break;
    case abi::kF_OFD_GETLK: TRY(GetLock(t, file, arg, true)); break;
    case abi::kF_SETLK: TRY(SetLock(t, file, arg, {.ofd = false, .wait = false})); break;
    case abi::kF_SETLKW: TRY(SetLock(t, file, arg, {.ofd = false, .wait = true})); break;
    case abi::kF_OFD_SETLK: TRY(SetLock(t, file, arg, {.ofd = true, .wait = false})); break;
    default: TRY(SetLock(t, file, arg, {.ofd = true, .wait = true})); break;
  }
  return uint64_t{0};
}

ErrorOr<uint64_t> SysFcntl(Task& t, int fd, int command, uint64_t arg) {
  Ref<FileDescription> file = TRY(t.fds().GetRaw(fd));
  if (file->is_path_only() && !AllowedOnPath(command)) return kEBADF;
  switch (command) {
    case abi::kF_DUPFD: return DupFrom(t, std::move(file), arg & 0xffffffff, false);
    case abi::kF_DUPFD_CLOEXEC: return DupFrom(t, std::move(file), arg & 0xffffffff, true);
    case abi::kF_GETFD: return TRY(t.fds().GetCloexec(fd)) ? abi::kFD_CLOEXEC : 0;
    case abi::kF_SETFD:
      TRY(t.fds().SetCloexec(fd, (arg & abi::kFD_CLOEXEC) != 0));
      return uint64_t{0};
    case abi::kF_GETFL: return uint64_t{file->flags()};
    case abi::kF_SETFL:
      TRY(SetFileFlags(t, fd, *file, static_cast<uint32_t>(arg)));
      return uint64_t{0};
    case abi::kF_GETLK: case abi::kF_SETLK: case abi::kF_SETLKW:
    case abi::kF_OFD_GETLK: case abi::kF_OFD_SETLK: case abi::kF_OFD_SETLKW:
      return LockCommand(t, *file, command, arg);
    case abi::kF_SETOWN: case abi::kF_GETOWN: case abi::kF_SETSIG: case abi::kF_GETSIG:
    case abi::kF_SETOWN_EX: case abi::kF_GETOWN_EX:
      return OwnerCommand(t, *file, command, arg);
    case abi::kF_SETPIPE_SZ: case abi::kF_GETPIPE_SZ: {
      Ref<PipeFile> pipe_file = RefCast<PipeFile>(file);
      if (pipe_file && command == abi::kF_SETPIPE_SZ) {
        return uint64_t{TRY(pipe_file->pipe().Resize(static_cast<uint32_t>(arg), t.creds().Has(abi::kCAP_SYS_RESOURCE)))};
      }
      ErrorOr<uint64_t> r = file->Fcntl(command, arg);
      bool pipe = file->inode().type() == abi::kS_IFIFO;
      return !pipe && !r.ok() ? kEBADF : r;
    }
    default:
      return file->Fcntl(command, arg);
  }
}

ErrorOr<void> SysFlock(Task& t, int fd, int operation) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  FileLocks& locks = file->inode().locks();
  bool wait = !(operation & abi::kLOCK_NB);
  switch (operation & ~abi::kLOCK_NB) {
    case abi::kLOCK_UN:
      locks.FlockUnlock(file.get());
      return {};
    case abi::kLOCK_SH: case abi::kLOCK_EX: break;
    default: return kEINVAL;
  }
  bool exclusive = (operation & ~abi::kLOCK_NB) == abi::kLOCK_EX;
  Ref<HostLocks> host = TRY(LocksOnHost(*file));
  auto attempt = [&] { return locks.Flock(file.get(), exclusive, t.tgid(), host); };
  return wait ? t.BlockOn(locks.queue(), ~0u, kForever, attempt) : attempt();
}

ErrorOr<uint64_t> SysIoctl(Task& t, int fd, uint32_t command, uint64_t arg) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  switch (command) {
    case abi::kFIOCLEX:
      TRY(t.fds().SetCloexec(fd, true));
      return uint64_t{0};
    case abi::kFIONCLEX:
      TRY(t.fds().SetCloexec(fd, false));
      return uint64_t{0};
    case abi::kFIONBIO: {
      int on = TRY(t.mm().Read<int>(arg));
      TRY(SetFileFlags(t, fd, *file, on ? file->flags() | abi::kO_NONBLOCK : file->flags() & ~abi::kO_NONBLOCK));
      return uint64_t{0};
    }
    case abi::kFIOASYNC: {
      int on = TRY(t.mm().Read<int>(arg));
      if ((on != 0) != ((file->flags() & abi::kO_ASYNC) != 0)) TRY(SetFileAsync(t, fd, *file, on != 0));
      return uint64_t{0};
    }
    case abi::kFIOSETOWN: case abi::kSIOCSPGRP: case abi::kFIOGETOWN: case abi::kSIOCGPGRP:
      if (file->async_kind() != AsyncKind::kSocket) break;
      if (command == abi::kFIOSETOWN || command == abi::kSIOCSPGRP) {
        TRY(SetFileOwner(t, *file, TRY(t.mm().Read<int>(arg))));
      } else {
        TRY(t.mm().Write<int>(arg, GetFileOwnerNumber(t, *file)));
      }
      return uint64_t{0};
    case abi::kFIONREAD:
      if (file->inode().is_regular() && file->seekable()) {
        int64_t left = static_cast<int64_t>(TRY(file->inode().GetAttr()).size) - file->position();
        TRY(t.mm().Write<int>(arg, static_cast<int>(std::clamp<int64_t>(left, INT32_MIN, INT32_MAX))));
        return uint64_t{0};
      }
      break;
    default: break;
  }
  return file->Ioctl(command, arg, t.mm());
}

constexpr SyscallRow kRows[] = {
    CALL(open, SysOpen, "path flags:open oct"),
    CALL(openat, SysOpenat, "dirfd path flags:open oct"),
    CALL(openat2, SysOpenat2, "dirfd path ptr u64"),
    CALL(creat, SysCreat, "path oct"),
    CALL(close, SysClose, "fd"),
    CALL(close_range, SysCloseRange, "uint uint hex"),
    CALL(dup, SysDup, "fd"),
    CALL(dup2, SysDup2, "fd int"),
    CALL(dup3, SysDup3, "fd int flags:open"),
    CALL_PARTIAL(fcntl, SysFcntl, "fd flags:fcntl hex", "no leases, no F_NOTIFY"),
    CALL(flock, SysFlock, "fd hex"),
    CALL(ioctl, SysIoctl, "fd hex hex"),
};

}  // namespace

const SyscallFamily kOpenCalls = {"descriptors", kRows};

}  // namespace moat
