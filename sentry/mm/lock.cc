// mlock(2), mlockall(2). Locked memory is populated and kept in the book; the host's own limit (8 MiB a user, for all
// sandboxes together) is too small to lock it there.
#include <algorithm>

#include "abi/mman.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/mm/mm_internal.h"

namespace moat {

namespace {
constexpr int kCurrent = abi::kMCL_CURRENT, kFuture = abi::kMCL_FUTURE, kOnFault = abi::kMCL_ONFAULT;
}  // namespace

// __mm_populate(): faults the pages in, for writing where a store would make a private copy.
ErrorOr<void> MemoryManager::Populate(UserAddr start, UserAddr end) {
  std::vector<Vma> parts;
  {
    MutexLock book(mu_);
    parts = book_.Slice(start, end);
  }
  for (const Vma& v : parts) {
    if (v.prot == 0) return kENOMEM;
    bool write = (v.prot & static_cast<int>(abi::kPROT_WRITE)) && !v.shared;
    ErrorOr<void> r = space_->Advise(v.start, v.length(), write ? abi::kMADV_POPULATE_WRITE : abi::kMADV_POPULATE_READ);
    if (r.error() == kEFAULT) return kENOMEM;
    if (r.error() == kENOMEM) return kEAGAIN;
  }
  return {};
}

// The checks of mlock and munlock; returns the end of the range, `*start` is rounded down.
ErrorOr<UserAddr> MemoryManager::CheckLock(UserAddr* start, uint64_t length, bool lock, const MemoryLimits& limits) {
  if (lock && limits.memlock == 0 && !limits.can_lock_any) return kEPERM;
  length = mm::PageUp(length + (*start & (mm::kPage - 1)));
  *start = mm::PageDown(*start);
  UserAddr end = *start + length;
  if (end > *start) LearnGrowth(*start, end);
  MutexLock book(mu_);
  if (lock && !limits.can_lock_any) {
    uint64_t locked = book_.locked_bytes();
    if (end > *start) locked -= book_.LockedBytesIn(*start, end);
    if (locked > limits.memlock || length > limits.memlock - locked) return kENOMEM;
  }
  if (end < *start) return kEINVAL;
  if (end != *start && !book_.Find(*start)) return kENOMEM;
  return end;
}

ErrorOr<void> MemoryManager::Mlock(UserAddr addr, uint64_t length, bool on_fault, const MemoryLimits& limits) {
  TaskMutexLock lock(mmap_lock_);
  UserAddr end = TRY(CheckLock(&addr, length, true, limits));
  if (end == addr) return {};
  UserAddr stop = 0;
  {
    MutexLock book(mu_);
    stop = book_.MappedUntil(addr, end);
    book_.Update(addr, stop, [](Vma& v) { v.locked = true; });
  }
  if (stop != end) return kENOMEM;
  if (on_fault) return {};
  return Populate(addr, end);
}

ErrorOr<void> MemoryManager::Munlock(UserAddr addr, uint64_t length) {
  TaskMutexLock lock(mmap_lock_);
  UserAddr end = TRY(CheckLock(&addr, length, false, {}));
  if (end == addr) return {};
  MutexLock book(mu_);
  UserAddr stop = book_.MappedUntil(addr, end);
  book_.Update(addr, stop, [](Vma& v) { v.locked = false; });
  if (stop != end) return kENOMEM;
  return {};
}

ErrorOr<void> MemoryManager::Mlockall(int flags, const MemoryLimits& limits) {
  if (flags == 0 || (flags & ~(kCurrent | kFuture | kOnFault)) || flags == kOnFault) return kEINVAL;
  if (limits.memlock == 0 && !limits.can_lock_any) return kEPERM;
  TaskMutexLock lock(mmap_lock_);
  LearnGrowth(0, info_.task_size);
  std::vector<Vma> all;
  {
    MutexLock book(mu_);
    if ((flags & kCurrent) && !limits.can_lock_any && book_.total_bytes() > limits.memlock) return kENOMEM;
    lock_future_ = flags & kFuture ? flags & (kFuture | kOnFault) : 0;
    if (!(flags & kCurrent)) return {};
    book_.Update(0, info_.task_size, [](Vma& v) { v.locked = true; });
    all = book_.Slice(0, info_.task_size);
  }
  if (flags & kOnFault) return {};
  for (const Vma& v : all) (void)Populate(v.start, v.end);  // what cannot be populated is skipped
  return {};
}

ErrorOr<void> MemoryManager::Munlockall() {
  TaskMutexLock lock(mmap_lock_);
  MutexLock book(mu_);
  lock_future_ = 0;
  book_.Update(0, info_.task_size, [](Vma& v) { v.locked = false; });
  return {};
}

}  // namespace moat
