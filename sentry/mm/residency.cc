// mincore(2), msync(2).
#include <algorithm>

#include "abi/mman.h"
#include "fs/vfs/attr.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/vfs.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/mm/mm_internal.h"

namespace moat {

namespace {
constexpr size_t kChunkPages = 4096;

// Stores through a mapping do not pass the sentry, so files whose times it keeps take theirs at msync (POSIX: "between the
// store and the next msync"). A host file's times are the host's.
void StampStores(const Vma& v) {
  Inode& inode = v.file->inode();
  if (!(v.prot & static_cast<int>(abi::kPROT_WRITE)) || !inode.is_regular()) return;
  if (inode.fs().type() != "tmpfs" && inode.fs().type() != "overlay") return;
  TaskMutexLock lock(inode.lock());
  (void)inode.SetAttributes({.mask = SetAttr::kMtime | SetAttr::kCtime, .mtime = vfs::CurrentTime()});
}
}  // namespace

bool MemoryManager::IsResident(UserAddr page) {
  TaskMutexLock lock(mmap_lock_);
  uint8_t byte = 0;
  return space_->Residency(page, std::span(&byte, 1)).ok() && (byte & abi::kMINCORE_RESIDENT);
}

ErrorOr<void> MemoryManager::Residency(UserAddr addr, std::span<uint8_t> out) {
  TaskMutexLock lock(mmap_lock_);
  return space_->Residency(addr, out);
}

ErrorOr<void> MemoryManager::Mincore(UserAddr addr, uint64_t length, UserAddr vec) {
  if (!mm::Aligned(addr)) return kEINVAL;
  if (addr > info_.task_size || length > info_.task_size - addr) return kENOMEM;
  uint64_t pages = mm::PageUp(length) / mm::kPage;
  if (vec > info_.task_size || pages > info_.task_size - vec) return kEFAULT;
  UserAddr end = addr + pages * mm::kPage;
  std::vector<uint8_t> bytes;
  while (addr < end) {
    {
      TaskMutexLock lock(mmap_lock_);
      LearnGrowth(addr, end);
      UserAddr stop = 0;
      {
        MutexLock book(mu_);
        stop = book_.MappedUntil(addr, std::min(end, addr + kChunkPages * mm::kPage));
      }
      if (stop == addr) return kENOMEM;
      bytes.assign((stop - addr) / mm::kPage, 0);
      TRY(space_->Residency(addr, bytes));
    }
    for (uint8_t& b : bytes) b &= abi::kMINCORE_RESIDENT;
    TRY(CopyOut(vec, bytes.data(), bytes.size()));
    vec += bytes.size();
    addr += bytes.size() * mm::kPage;
  }
  return {};
}

ErrorOr<void> MemoryManager::Msync(UserAddr addr, uint64_t length, int flags) {
  constexpr int kAsync = abi::kMS_ASYNC, kInvalidate = abi::kMS_INVALIDATE, kSync = abi::kMS_SYNC;
  if (flags & ~(kAsync | kInvalidate | kSync)) return kEINVAL;
  if (!mm::Aligned(addr)) return kEINVAL;
  if ((flags & kAsync) && (flags & kSync)) return kEINVAL;
  uint64_t whole = mm::PageUp(length);
  UserAddr end = addr + whole;
  if (end < addr || (length != 0 && whole == 0)) return kENOMEM;
  if (end == addr) return {};
  std::vector<Vma> parts;
  bool holes = false;
  {
    TaskMutexLock lock(mmap_lock_);
    LearnGrowth(addr, end);
    MutexLock book(mu_);
    parts = book_.Slice(addr, end);
    holes = book_.MappedUntil(addr, end) != end;
  }
  for (const Vma& v : parts) {
    if ((flags & kInvalidate) && v.locked) return kEBUSY;
    if (!v.shared || !v.file) continue;
    StampStores(v);
    if (!(flags & kSync)) continue;
    // The stores are in the host's page cache already: what is left is the file's fsync. Special files have none.
    ErrorOr<void> r = v.file->Sync(true);
    if (!r.ok() && r.error() != kEINVAL) return r;
  }
  if (holes) return kENOMEM;
  return {};
}

}  // namespace moat
