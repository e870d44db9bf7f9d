#include "base/host/file.h"

#include "abi/syscall_nr.h"

#include "base/host/raw.h"

namespace moat::host {

ErrorOr<size_t> Read(int fd, void* buffer, size_t length) { return Call<size_t>(abi::kNr_read, fd, buffer, length); }
ErrorOr<size_t> Write(int fd, const void* buffer, size_t length) { return Call<size_t>(abi::kNr_write, fd, buffer, length); }
ErrorOr<size_t> Pread(int fd, void* buffer, size_t length, uint64_t offset) {
  return Call<size_t>(abi::kNr_pread64, fd, buffer, length, offset);
}
ErrorOr<size_t> Pwrite(int fd, const void* buffer, size_t length, uint64_t offset) {
  return Call<size_t>(abi::kNr_pwrite64, fd, buffer, length, offset);
}
ErrorOr<size_t> Readv(int fd, const abi::Iovec* iov, size_t count) { return Call<size_t>(abi::kNr_readv, fd, iov, count); }
ErrorOr<size_t> Writev(int fd, const abi::Iovec* iov, size_t count) { return Call<size_t>(abi::kNr_writev, fd, iov, count); }
// The offset is passed as a low and a high half; on x86-64 the low one holds all of it.
ErrorOr<size_t> Preadv2(int fd, const abi::Iovec* iov, size_t count, int64_t offset, uint32_t flags) {
  return Call<size_t>(abi::kNr_preadv2, fd, iov, count, offset, 0, flags);
}
ErrorOr<size_t> Pwritev2(int fd, const abi::Iovec* iov, size_t count, int64_t offset, uint32_t flags) {
  return Call<size_t>(abi::kNr_pwritev2, fd, iov, count, offset, 0, flags);
}

ErrorOr<size_t> ReadFull(int fd, void* buffer, size_t length) {
  size_t done = 0;
  while (done < length) {
    size_t n = TRY(RetryEintr([&] { return Read(fd, static_cast<char*>(buffer) + done, length - done); }));
    if (n == 0) break;
    done += n;
  }
  return done;
}

ErrorOr<void> WriteFull(int fd, const void* buffer, size_t length) {
  size_t done = 0;
  while (done < length) {
    done += TRY(RetryEintr([&] { return Write(fd, static_cast<const char*>(buffer) + done, length - done); }));
  }
  return {};
}

ErrorOr<UniqueFd> Openat(int dirfd, const char* path, uint32_t flags, uint32_t mode) {
  return RetryEintr([&] { return Call<UniqueFd>(abi::kNr_openat, dirfd, path, flags, mode); });
}
ErrorOr<UniqueFd> Openat2(int dirfd, const char* path, const abi::OpenHow& how) {
  return RetryEintr([&] { return Call<UniqueFd>(abi::kNr_openat2, dirfd, path, &how, sizeof how); });
}
ErrorOr<void> Close(int fd) {
  ErrorOr<void> result = Call<void>(abi::kNr_close, fd);
  if (result.error() == kEINTR) return {};
  return result;
}
ErrorOr<void> CloseRange(uint32_t first, uint32_t last, uint32_t flags) {
  return Call<void>(abi::kNr_close_range, first, last, flags);
}

ErrorOr<abi::Stat> Fstat(int fd) {
  abi::Stat stat;
  TRY(Call<void>(abi::kNr_fstat, fd, &stat));
  return stat;
}
ErrorOr<abi::Stat> Fstatat(int dirfd, const char* path, uint32_t flags) {
  abi::Stat stat;
  TRY(Call<void>(abi::kNr_newfstatat, dirfd, path, &stat, flags));
  return stat;
}
ErrorOr<abi::Statx> Statx(int dirfd, const char* path, uint32_t flags, uint32_t mask) {
  abi::Statx statx;
  TRY(Call<void>(abi::kNr_statx, dirfd, path, flags, mask, &statx));
  return statx;
}
ErrorOr<abi::Statfs> Fstatfs(int fd) {
  abi::Statfs statfs;
  TRY(Call<void>(abi::kNr_fstatfs, fd, &statfs));
  return statfs;
}
ErrorOr<uint64_t> Lseek(int fd, int64_t offset, int whence) { return Call<uint64_t>(abi::kNr_lseek, fd, offset, whence); }
ErrorOr<void> Ftruncate(int fd, uint64_t length) { return Call<void>(abi::kNr_ftruncate, fd, length); }
ErrorOr<void> Fallocate(int fd, uint32_t mode, uint64_t offset, uint64_t length) {
  return Call<void>(abi::kNr_fallocate, fd, mode, offset, length);
}
ErrorOr<void> Fadvise64(int fd, uint64_t offset, uint64_t length, int advice) {
  return Call<void>(abi::kNr_fadvise64, fd, offset, length, advice);
}
ErrorOr<void> Fsync(int fd) { return Call<void>(abi::kNr_fsync, fd); }
ErrorOr<void> Fdatasync(int fd) { return Call<void>(abi::kNr_fdatasync, fd); }
ErrorOr<void> Syncfs(int fd) { return Call<void>(abi::kNr_syncfs, fd); }
ErrorOr<void> SyncFileRange(int fd, uint64_t offset, uint64_t length, uint32_t flags) {
  return Call<void>(abi::kNr_sync_file_range, fd, offset, length, flags);
}
ErrorOr<size_t> CopyFileRange(int in, uint64_t in_offset, int out, uint64_t out_offset, size_t length) {
  return Call<size_t>(abi::kNr_copy_file_range, in, &in_offset, out, &out_offset, length, 0);
}
ErrorOr<void> Flock(int fd, uint32_t operation) { return Call<void>(abi::kNr_flock, fd, operation); }

ErrorOr<long> Fcntl(int fd, int command, long argument) { return Call<long>(abi::kNr_fcntl, fd, command, argument); }
ErrorOr<UniqueFd> FcntlDupfdCloexec(int fd, int lowest) {
  return Call<UniqueFd>(abi::kNr_fcntl, fd, abi::kF_DUPFD_CLOEXEC, lowest);
}
void ReserveFds(int fd, int count) {
  while (count > fd + 1 && FcntlDupfdCloexec(fd, count - 1).error() == kEINVAL) count /= 2;  // beyond the limit
}
ErrorOr<uint32_t> FcntlGetfd(int fd) { return Call<uint32_t>(abi::kNr_fcntl, fd, abi::kF_GETFD); }
ErrorOr<void> FcntlSetfd(int fd, uint32_t flags) { return Call<void>(abi::kNr_fcntl, fd, abi::kF_SETFD, flags); }
ErrorOr<uint32_t> FcntlGetfl(int fd) { return Call<uint32_t>(abi::kNr_fcntl, fd, abi::kF_GETFL); }
ErrorOr<void> FcntlSetfl(int fd, uint32_t flags) { return Call<void>(abi::kNr_fcntl, fd, abi::kF_SETFL, flags); }
ErrorOr<uint32_t> FcntlGetSeals(int fd) { return Call<uint32_t>(abi::kNr_fcntl, fd, abi::kF_GET_SEALS); }
ErrorOr<void> FcntlAddSeals(int fd, uint32_t seals) { return Call<void>(abi::kNr_fcntl, fd, abi::kF_ADD_SEALS, seals); }
ErrorOr<uint32_t> FcntlGetPipeSize(int fd) { return Call<uint32_t>(abi::kNr_fcntl, fd, abi::kF_GETPIPE_SZ); }
ErrorOr<uint32_t> FcntlSetPipeSize(int fd, uint32_t size) {
  return Call<uint32_t>(abi::kNr_fcntl, fd, abi::kF_SETPIPE_SZ, size);
}
ErrorOr<void> FcntlLock(int fd, int command, abi::Flock& lock) { return Call<void>(abi::kNr_fcntl, fd, command, &lock); }

ErrorOr<long> Ioctl(int fd, uint64_t request, void* argument) { return Call<long>(abi::kNr_ioctl, fd, request, argument); }
ErrorOr<long> Ioctl(int fd, uint64_t request, long argument) { return Call<long>(abi::kNr_ioctl, fd, request, argument); }

ErrorOr<UniqueFd> Dup(int fd) { return Call<UniqueFd>(abi::kNr_dup, fd); }
ErrorOr<void> Dup3(int from, int to, uint32_t flags) { return Call<void>(abi::kNr_dup3, from, to, flags); }
ErrorOr<PipeEnds> Pipe2(uint32_t flags) {
  int fds[2];
  TRY(Call<void>(abi::kNr_pipe2, fds, flags));
  return PipeEnds{UniqueFd(fds[0]), UniqueFd(fds[1])};
}
ErrorOr<UniqueFd> MemfdCreate(const char* name, uint32_t flags) { return Call<UniqueFd>(abi::kNr_memfd_create, name, flags); }

}  // namespace moat::host
