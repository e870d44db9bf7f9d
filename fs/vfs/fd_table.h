// A file descriptor table (struct files_struct): shared by CLONE_FILES, copied by fork. It is also the owner of POSIX record
// locks, as in Linux.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"

namespace moat {

class FdTable final : public RefCounted {
 public:
  FdTable() = default;
  // Closes everything. May park, so the last reference is dropped on a fiber.
  ~FdTable() override;

  // The open file of `fd`; kEBADF. Get refuses O_PATH descriptors, as most calls do; GetRaw gives them too.
  ErrorOr<Ref<FileDescription>> Get(int fd) const;
  ErrorOr<Ref<FileDescription>> GetRaw(int fd) const;

  // Puts `file` at the lowest free number >= `lowest` and below `limit` (RLIMIT_NOFILE). kEMFILE; kEINVAL if lowest >= limit;
  // kENFILE if the sandbox has more files open than it may; kENOMEM if a larger table does not fit its memory.
  ErrorOr<int> Install(Ref<FileDescription> file, bool cloexec, uint64_t limit, int lowest = 0);
  // dup3(2)'s second half: replaces what `fd` was (closing it, errors dropped). kEBADF if fd >= limit; kENOMEM.
  ErrorOr<int> InstallAt(Ref<FileDescription> file, int fd, bool cloexec, uint64_t limit);
  // close(2): the descriptor is gone whatever Flush says. kEBADF.
  ErrorOr<void> Close(int fd);
  // Takes an fd out of the table without the rest of close(2), to undo an Install whose number the guest never saw.
  Ref<FileDescription> Remove(int fd);
  // close_range(2): closes, or with `cloexec_only` marks, [first, last].
  void CloseRange(uint32_t first, uint32_t last, bool cloexec_only);
  void CloseOnExec();

  ErrorOr<bool> GetCloexec(int fd) const;
  ErrorOr<void> SetCloexec(int fd, bool on);

  // fork(2), unshare(CLONE_FILES): the same files in a table of its own; descriptors from `below` on are left out.
  Ref<FdTable> Copy(uint32_t below = ~0u) const;

  // Open descriptors in rising order, for /proc/PID/fd: the lowest >= `from`, or -1.
  int NextFd(int from) const;
  size_t count() const;
  // A number above every open descriptor (FDSize of /proc/PID/status).
  size_t capacity() const;

 private:
  struct Slot {
    Ref<FileDescription> file;  // null: free
    bool cloexec = false;
  };
  ErrorOr<void> GrowLocked(size_t count) MOAT_REQUIRES(mu_);
  // What close(2) does once the slot is free.
  ErrorOr<void> Finish(Ref<FileDescription> file);

  mutable Mutex mu_;
  std::vector<Slot> slots_ MOAT_GUARDED_BY(mu_);
  size_t lowest_free_ MOAT_GUARDED_BY(mu_) = 0;  // no free slot below
  size_t open_ MOAT_GUARDED_BY(mu_) = 0;
};

}  // namespace moat
