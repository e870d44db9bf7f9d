// System V shared memory: segments and their attachments (shmget(2), shmat(2), shmctl(2)).
//
// An attachment is a file of its own over the segment's memory: an address space maps it like any file, hands it on at fork
// and drops it at exit, exec and munmap; the book of mappings tells it how many of its entries show it (shm_nattch).
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "fs/vfs/file_description.h"
#include "sentry/kernel/ipc/ipc_table.h"

namespace moat {

class SharedSegments;

class ShmSegment final : public IpcObject {
 public:
  ShmSegment(SharedSegments& owner, int32_t key, int mode, const Credentials& creds, uint64_t size, int pid,
             Ref<FileDescription> file)
      : IpcObject(key, mode, creds), size(size), file(std::move(file)), creator(pid), owner_(owner) {}

  const uint64_t size;              // as asked for
  const Ref<FileDescription> file;  // the memory, whole pages
  const int creator;
  std::atomic<int64_t> attach_time{0}, detach_time{0};  // seconds; 0: never
  std::atomic<int> last_pid{0};
  std::atomic<int64_t> mappings{0};

  abi::Shmid64Ds DescribeLocked() const MOAT_REQUIRES(mu);

 private:
  friend class SharedSegments;
  friend class ShmAttachment;
  SharedSegments& owner_;
  int attachments_ MOAT_GUARDED_BY(mu) = 0;  // files; a mapping on its way in or out counts here already or still
};

class ShmAttachment final : public FileDescription {
 public:
  ErrorOr<HostBacking> Map(uint64_t offset, uint64_t length, bool shared_writable) override {
    return segment_->file->Map(offset, length, shared_writable);
  }
  void OnMapped(int change) override;
  ShmSegment& segment() const { return *segment_; }

 private:
  friend class SharedSegments;
  ShmAttachment(Ref<ShmSegment> segment, uint32_t flags);
  ~ShmAttachment() override;

  const Ref<ShmSegment> segment_;
};

class SharedSegments {
 public:
  // shmget(2). kEINVAL (size), kENOSYS (SHM_HUGETLB), and what IpcTable::Get gives.
  ErrorOr<int> Get(const Credentials& creds, int32_t key, uint64_t size, int flags, int pid);
  // The file to map for shmat(2); `access` is 0400, 0200, 0100 or'ed. kEINVAL, kEACCES.
  ErrorOr<Ref<ShmAttachment>> Attach(const Credentials& creds, int id, int access, int pid);

  // shmctl(2)'s commands. kEINVAL, kEACCES, kEPERM.
  ErrorOr<abi::Shmid64Ds> Stat(const Credentials& creds, int id);
  // SHM_STAT, SHM_STAT_ANY (`any`): by index; *id is the identifier.
  ErrorOr<abi::Shmid64Ds> StatAt(const Credentials& creds, int index, bool any, int* id);
  ErrorOr<void> Set(const Credentials& creds, int id, const abi::Shmid64Ds& from);
  ErrorOr<void> Remove(const Credentials& creds, int id);
  // SHM_LOCK and SHM_UNLOCK: remembered, no page is pinned. `may_lock`: RLIMIT_MEMLOCK is not 0.
  ErrorOr<void> SetLocked(const Credentials& creds, int id, bool locked, bool may_lock);
  abi::Shminfo64 Limits() const;
  abi::ShmInfo Info() const;
  int HighestIndex() const { return table_.HighestIndex(); }

  // /proc/sysvipc/shm without its header line.
  std::string Format() const;

 private:
  friend class ShmAttachment;
  void Detached(ShmSegment& segment);

  IpcTable<ShmSegment> table_{abi::kSHMMNI};
};

}  // namespace moat
