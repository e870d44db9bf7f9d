// Host calls on file descriptors. Each wrapper is the Linux call of its name (see its man page for the errors): lengths in
// bytes, EINTR and short counts are returned as they come unless a comment says otherwise, new descriptors are owned.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/fcntl.h"
#include "abi/stat.h"
#include "base/util/error.h"
#include "base/util/unique_fd.h"

namespace moat::abi {
struct Iovec;
}

namespace moat::host {

ErrorOr<size_t> Read(int fd, void* buffer, size_t length);
ErrorOr<size_t> Write(int fd, const void* buffer, size_t length);
ErrorOr<size_t> Pread(int fd, void* buffer, size_t length, uint64_t offset);
ErrorOr<size_t> Pwrite(int fd, const void* buffer, size_t length, uint64_t offset);
ErrorOr<size_t> Readv(int fd, const abi::Iovec* iov, size_t count);
ErrorOr<size_t> Writev(int fd, const abi::Iovec* iov, size_t count);
// `offset` -1 uses and moves the file position. `flags` RWF_*.
ErrorOr<size_t> Preadv2(int fd, const abi::Iovec* iov, size_t count, int64_t offset, uint32_t flags);
ErrorOr<size_t> Pwritev2(int fd, const abi::Iovec* iov, size_t count, int64_t offset, uint32_t flags);

// Repeat until all is done; EINTR is retried. ReadFull returns less than `length` at the end of the file only.
ErrorOr<size_t> ReadFull(int fd, void* buffer, size_t length);
ErrorOr<void> WriteFull(int fd, const void* buffer, size_t length);

// EINTR is retried by both: nothing was opened.
ErrorOr<UniqueFd> Openat(int dirfd, const char* path, uint32_t flags, uint32_t mode = 0);
ErrorOr<UniqueFd> Openat2(int dirfd, const char* path, const abi::OpenHow& how);
// EINTR counts as success: Linux has freed the descriptor by then.
ErrorOr<void> Close(int fd);
ErrorOr<void> CloseRange(uint32_t first, uint32_t last, uint32_t flags);

ErrorOr<abi::Stat> Fstat(int fd);
ErrorOr<abi::Stat> Fstatat(int dirfd, const char* path, uint32_t flags);
ErrorOr<abi::Statx> Statx(int dirfd, const char* path, uint32_t flags, uint32_t mask);
ErrorOr<abi::Statfs> Fstatfs(int fd);
ErrorOr<uint64_t> Lseek(int fd, int64_t offset, int whence);
ErrorOr<void> Ftruncate(int fd, uint64_t length);
ErrorOr<void> Fallocate(int fd, uint32_t mode, uint64_t offset, uint64_t length);
ErrorOr<void> Fadvise64(int fd, uint64_t offset, uint64_t length, int advice);
ErrorOr<void> Fsync(int fd);
ErrorOr<void> Fdatasync(int fd);
ErrorOr<void> Syncfs(int fd);
ErrorOr<void> SyncFileRange(int fd, uint64_t offset, uint64_t length, uint32_t flags);
ErrorOr<size_t> CopyFileRange(int in, uint64_t in_offset, int out, uint64_t out_offset, size_t length);
ErrorOr<void> Flock(int fd, uint32_t operation);

// The commands of fcntl(2), one function each.
ErrorOr<UniqueFd> FcntlDupfdCloexec(int fd, int lowest);
// Makes room for `count` descriptors, as far as RLIMIT_NOFILE allows, at 8 bytes of kernel memory each. Before a second thread
// starts: from then on the kernel enlarges the table only after a grace period of all CPUs, 10 ms and more. `fd`: any open one.
void ReserveFds(int fd, int count);
ErrorOr<uint32_t> FcntlGetfd(int fd);
ErrorOr<void> FcntlSetfd(int fd, uint32_t flags);
ErrorOr<uint32_t> FcntlGetfl(int fd);
ErrorOr<void> FcntlSetfl(int fd, uint32_t flags);
ErrorOr<uint32_t> FcntlGetSeals(int fd);
ErrorOr<void> FcntlAddSeals(int fd, uint32_t seals);
ErrorOr<uint32_t> FcntlGetPipeSize(int fd);
ErrorOr<uint32_t> FcntlSetPipeSize(int fd, uint32_t size);
// F_GETLK, F_SETLK, F_SETLKW and their OFD forms.
ErrorOr<void> FcntlLock(int fd, int command, abi::Flock& lock);
ErrorOr<long> Fcntl(int fd, int command, long argument);

ErrorOr<long> Ioctl(int fd, uint64_t request, void* argument);
ErrorOr<long> Ioctl(int fd, uint64_t request, long argument);

ErrorOr<UniqueFd> Dup(int fd);
// `to` names a descriptor of the caller's choice, which it keeps owning.
ErrorOr<void> Dup3(int from, int to, uint32_t flags);
struct PipeEnds {
  UniqueFd read;
  UniqueFd write;
};
ErrorOr<PipeEnds> Pipe2(uint32_t flags);
ErrorOr<UniqueFd> MemfdCreate(const char* name, uint32_t flags);

}  // namespace moat::host
