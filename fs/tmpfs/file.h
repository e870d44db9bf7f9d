// A regular file of tmpfs, and an open one.
#pragma once

#include <atomic>

#include "fs/tmpfs/inode.h"
#include "fs/tmpfs/page_store.h"
#include "fs/vfs/file_description.h"

namespace moat {

class TmpfsFile final : public TmpfsInode {
 public:
  TmpfsFile(Tmpfs& fs, uint64_t ino, const NewInode& made);

  ErrorOr<void> SetAttributes(const SetAttr& set) override;
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override;

  // The calls of open files. Those that change the file take lock(), below the lock of an overlay's inode.
  ErrorOr<size_t> Read(IoSink& dst, int64_t* offset);
  ErrorOr<size_t> Write(IoSource& src, int64_t* offset, bool append);
  ErrorOr<int64_t> Seek(int64_t offset, int whence);
  ErrorOr<void> Allocate(uint32_t mode, uint64_t offset, uint64_t length);
  ErrorOr<HostBacking> Map(uint64_t offset, bool shared_writable);

  // Seals (F_SEAL_*) of memfds; F_SEAL_SEAL for all other files. kEPERM once sealed, kEBUSY (F_SEAL_WRITE, mapped).
  uint32_t seals() const { return seals_.load(std::memory_order_relaxed); }
  ErrorOr<void> AddSeals(uint32_t seals);
  void InitSeals(uint32_t seals) { seals_.store(seals, std::memory_order_relaxed); }
  // Goes to a memfd at once (shared memory that is about to be mapped).
  ErrorOr<void> MakeMappable(uint64_t size);

 private:
  ErrorOr<void> SetSize(uint64_t size) override;
  void Refresh() override;
  uint64_t Size() const;
  void SetSizeAttr(uint64_t size);
  ErrorOr<void> CheckSealsForWrite(uint64_t end) const;

  PageStore store_;
  std::atomic<uint32_t> seals_;
};

}  // namespace moat
