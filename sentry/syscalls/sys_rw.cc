// Reading, writing, seeking, syncing.
#include "abi/fcntl.h"
#include "abi/uio.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/mount_namespace.h"
#include "fs/vfs/vfs.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/file_io.h"

namespace moat {
namespace {

std::vector<UserRange> OneRange(UserAddr buf, uint64_t count) {
  return {{buf, std::min<uint64_t>(count, kMaxIo)}};
}

ErrorOr<void> CheckRange(Task& t, UserAddr buf, uint64_t count) {
  if (static_cast<int64_t>(count) < 0) return kEINVAL;
  if (buf + count < buf || buf + count > t.mm().platform_info().task_size) return kEFAULT;
  return {};
}

ErrorOr<uint64_t> SysRead(Task& t, int fd, UserAddr buf, uint64_t count) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (!file->readable()) return kEBADF;
  TRY(CheckRange(t, buf, count));
  UserSink sink(t.mm(), OneRange(buf, count));
  return ReadFile(t, *file, sink);
}

ErrorOr<uint64_t> SysWrite(Task& t, int fd, UserAddr buf, uint64_t count) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (!file->writable()) return kEBADF;
  TRY(CheckRange(t, buf, count));
  UserSource source(t.mm(), OneRange(buf, count));
  return WriteFile(t, *file, source);
}

ErrorOr<uint64_t> SysPread64(Task& t, int fd, UserAddr buf, uint64_t count, int64_t offset) {
  if (offset < 0) return kEINVAL;
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (!file->seekable()) return kESPIPE;
  if (!file->readable()) return kEBADF;
  TRY(CheckRange(t, buf, count));
  UserSink sink(t.mm(), OneRange(buf, count));
  return ReadFileAt(t, *file, sink, offset);
}

ErrorOr<uint64_t> SysPwrite64(Task& t, int fd, UserAddr buf, uint64_t count, int64_t offset) {
  if (offset < 0) return kEINVAL;
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (!file->seekable()) return kESPIPE;
  if (!file->writable()) return kEBADF;
  TRY(CheckRange(t, buf, count));
  UserSource source(t.mm(), OneRange(buf, count));
  return WriteFileAt(t, *file, source, offset);
}

// RWF_* of preadv2(2).
ErrorOr<IoFlags> DecodeRwf(uint32_t flags, bool write) {
  constexpr uint32_t kKnown = abi::kRWF_HIPRI | abi::kRWF_DSYNC | abi::kRWF_SYNC | abi::kRWF_NOWAIT | abi::kRWF_APPEND;
  if (flags & ~kKnown) return kEOPNOTSUPP;
  if (!write && (flags & abi::kRWF_APPEND)) return kEOPNOTSUPP;
  return IoFlags{.nonblocking = (flags & abi::kRWF_NOWAIT) != 0,
                 .sync = (flags & (abi::kRWF_DSYNC | abi::kRWF_SYNC)) != 0,
                 .append = (flags & abi::kRWF_APPEND) != 0};
}

ErrorOr<uint64_t> ReadVector(Task& t, int fd, UserAddr iov, uint64_t count, const int64_t* offset, uint32_t rwf) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (offset && !file->seekable()) return kESPIPE;
  if (!file->readable()) return kEBADF;
  UserSink sink(t.mm(), TRY(ReadIovec(t, iov, count)));
  IoFlags flags = TRY(DecodeRwf(rwf, false));
  return offset ? ReadFileAt(t, *file, sink, *offset, flags) : ReadFile(t, *file, sink, flags);
}

ErrorOr<uint64_t> WriteVector(Task& t, int fd, UserAddr iov, uint64_t count, const int64_t* offset, uint32_t rwf) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (offset && !file->seekable()) return kESPIPE;
  if (!file->writable()) return kEBADF;
  UserSource source(t.mm(), TRY(ReadIovec(t, iov, count)));
  IoFlags flags = TRY(DecodeRwf(rwf, true));
  return offset ? WriteFileAt(t, *file, source, *offset, flags) : WriteFile(t, *file, source, flags);
}

ErrorOr<uint64_t> SysReadv(Task& t, int fd, UserAddr iov, uint64_t n) { return ReadVector(t, fd, iov, n, nullptr, 0); }
ErrorOr<uint64_t> SysWritev(Task& t, int fd, UserAddr iov, uint64_t n) { return WriteVector(t, fd, iov, n, nullptr, 0); }

ErrorOr<uint64_t> SysPreadv(Task& t, int fd, UserAddr iov, uint64_t n, int64_t offset) {
  if (offset < 0) return kEINVAL;
  return ReadVector(t, fd, iov, n, &offset, 0);
}
ErrorOr<uint64_t> SysPwritev(Task& t, int fd, UserAddr iov, uint64_t n, int64_t offset) {
  if (offset < 0) return kEINVAL;
  return WriteVector(t, fd, iov, n, &offset, 0);
}
ErrorOr<uint64_t> SysPreadv2(Task& t, int fd, UserAddr iov, uint64_t n, int64_t offset, uint64_t high, uint32_t flags) {
  return ReadVector(t, fd, iov, n, offset == -1 ? nullptr : &offset, flags);
}
ErrorOr<uint64_t> SysPwritev2(Task& t, int fd, UserAddr iov, uint64_t n, int64_t offset, uint64_t high, uint32_t flags) {
  return WriteVector(t, fd, iov, n, offset == -1 ? nullptr : &offset, flags);
}

ErrorOr<uint64_t> SysLseek(Task& t, int fd, int64_t offset, int whence) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (whence < 0 || whence > abi::kSEEK_HOLE) return kEINVAL;
  if (!file->seekable()) return kESPIPE;
  TaskMutexLock lock(file->position_lock());
  int64_t target = offset;
  if (whence == abi::kSEEK_CUR) {
    if (__builtin_add_overflow(file->position(), offset, &target)) return kEOVERFLOW;
  } else if (whence != abi::kSEEK_SET) {
    target = TRY(file->SeekFrom(offset, whence));
  }
  if (target < 0) return kEINVAL;
  file->set_position(target);
  return static_cast<uint64_t>(target);
}

ErrorOr<void> SyncFd(Task& t, int fd, bool data_only) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  return file->Sync(data_only);
}
ErrorOr<void> SysFsync(Task& t, int fd) { return SyncFd(t, fd, false); }
ErrorOr<void> SysFdatasync(Task& t, int fd) { return SyncFd(t, fd, true); }

ErrorOr<void> SysSyncFileRange(Task& t, int fd, int64_t offset, int64_t length, uint32_t flags) {
  constexpr uint32_t kKnown = 7;  // SYNC_FILE_RANGE_*
  if (flags & ~kKnown || offset < 0 || length < 0 || length > INT64_MAX - offset) return kEINVAL;
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (!file->seekable()) return kESPIPE;
  return flags ? file->Sync(true) : ErrorOr<void>();
}

ErrorOr<void> SysSyncfs(Task& t, int fd) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  return file->inode().fs().Sync();
}

ErrorOr<void> SysSync(Task& t) {
  for (const Ref<Mount>& mount : t.WalkView().mounts.List()) (void)mount->fs().Sync();
  return {};
}

ErrorOr<void> SysFallocate(Task& t, int fd, int mode, int64_t offset, int64_t length) {
  if (offset < 0 || length <= 0) return kEINVAL;
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (!file->writable()) return kEBADF;
  int64_t end;
  if (__builtin_add_overflow(offset, length, &end)) return kEFBIG;
  if (!file->seekable()) return kESPIPE;
  if (file->inode().is_dir()) return kEISDIR;
  if (!file->inode().is_regular()) return kENODEV;
  TRY(vfs::BeforeWrite(t.creds(), *file));
  TRY(file->Allocate(mode, offset, length));
  vfs::AfterWrite(*file);
  return {};
}

ErrorOr<void> SysFadvise64(Task& t, int fd, int64_t offset, int64_t length, int advice) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (!file->seekable()) return kESPIPE;
  if (length < 0 || advice < 0 || advice > abi::kPOSIX_FADV_NOREUSE) return kEINVAL;
  return {};  // only a hint
}

ErrorOr<void> SysReadahead(Task& t, int fd, int64_t offset, uint64_t count) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (!file->readable()) return kEBADF;
  if (!file->inode().is_regular()) return kEINVAL;
  return {};  // only a hint
}

constexpr SyscallRow kRows[] = {
    CALL(read, SysRead, "fd out:2 u64"),
    CALL(write, SysWrite, "fd buf:2 u64"),
    CALL(pread64, SysPread64, "fd out:2 u64 int"),
    CALL(pwrite64, SysPwrite64, "fd buf:2 u64 int"),
    CALL(readv, SysReadv, "fd ptr u64"),
    CALL(writev, SysWritev, "fd iov:2 u64"),
    CALL(preadv, SysPreadv, "fd ptr u64 int"),
    CALL(pwritev, SysPwritev, "fd iov:2 u64 int"),
    CALL(preadv2, SysPreadv2, "fd ptr u64 int int hex"),
    CALL(pwritev2, SysPwritev2, "fd iov:2 u64 int int hex"),
    CALL(lseek, SysLseek, "fd int int"),
    CALL(fsync, SysFsync, "fd"),
    CALL(fdatasync, SysFdatasync, "fd"),
    CALL(sync_file_range, SysSyncFileRange, "fd int int hex"),
    CALL(syncfs, SysSyncfs, "fd"),
    CALL(sync, SysSync, ""),
    CALL(fallocate, SysFallocate, "fd hex int int"),
    CALL(fadvise64, SysFadvise64, "fd int int int"),
    CALL(readahead, SysReadahead, "fd int u64"),
};

}  // namespace

const SyscallFamily kFileIoCalls = {"reading and writing", kRows};

}  // namespace moat
