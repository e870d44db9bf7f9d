// An open regular file of the gofer's: reads and writes go straight to a host descriptor.
#pragma once

#include "fs/goferfs/gofer_inode.h"
#include "fs/vfs/file_description.h"
#include "fs/vfs/file_lock.h"

namespace moat {

class GoferFile final : public FileDescription {
 public:
  // `fd` has the access mode of `flags` (read-write also serves the others).
  static Ref<GoferFile> Create(const Path& path, uint32_t flags, Ref<GoferInode> inode, Ref<HostFd> fd);

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) override;
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags flags) override;
  ErrorOr<int64_t> SeekFrom(int64_t offset, int whence) override;
  ErrorOr<void> Sync(bool data_only) override;
  ErrorOr<void> Allocate(int mode, int64_t offset, int64_t length) override;
  ErrorOr<HostBacking> Map(uint64_t offset, uint64_t length, bool shared_writable) override;

  int host_fd() const { return fd_->get(); }
  // See fs/goferfs/host_locks.h.
  ErrorOr<Ref<HostLocks>> LocksOnHost();

 private:
  GoferFile(const Path& path, uint32_t flags, Ref<GoferInode> inode, Ref<HostFd> fd);
  ~GoferFile() override;

  // One piece of a read or write: bytes done, 0 at the end.
  ErrorOr<size_t> ReadPiece(std::byte* buffer, size_t n, int64_t offset, bool nonblocking);
  ErrorOr<size_t> WritePiece(const std::byte* buffer, size_t n, int64_t offset, IoFlags flags);
  bool MayHang();

  const Ref<GoferInode> inode_;
  const Ref<HostFd> fd_;
  std::atomic<int> may_hang_{-1};  // the host file system is a remote one; -1: not asked yet
  Mutex map_mu_;
  Ref<HostFd> map_fd_ MOAT_GUARDED_BY(map_mu_);  // read only, for private mappings of a file opened for writing
};

}  // namespace moat
