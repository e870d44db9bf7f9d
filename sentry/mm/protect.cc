// mprotect(2), mseal(2).
#include "abi/mman.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/mm/mm_internal.h"

namespace moat {

ErrorOr<void> MemoryManager::Mprotect(UserAddr addr, uint64_t length, int prot, const MemoryLimits& limits) {
  constexpr uint32_t kGrows = abi::kPROT_GROWSDOWN | abi::kPROT_GROWSUP;
  uint32_t grows = static_cast<uint32_t>(prot) & kGrows;
  prot &= ~static_cast<int>(kGrows);
  if (grows == kGrows) return kEINVAL;
  if (!mm::Aligned(addr)) return kEINVAL;
  if (length == 0) return {};
  length = mm::PageUp(length);
  UserAddr end = addr + length;
  if (length == 0 || end <= addr) return kENOMEM;
  if (prot & ~static_cast<int>(mm::kProtMask | abi::kPROT_SEM)) return kEINVAL;
  prot &= mm::kProtMask;

  TaskMutexLock lock(mmap_lock_);
  LearnGrowth(addr, end);
  // The host and the book change up to the first place that refuses, as Linux's walk does.
  UserAddr stop = addr;
  ErrorOr<void> result;
  {
    MutexLock book(mu_);
    const Vma* first = book_.FindFrom(addr);
    if (!first) return kENOMEM;
    if (grows & abi::kPROT_GROWSDOWN) {
      if (first->start >= end) return kENOMEM;
      if (!first->grows_down) return kEINVAL;
      stop = addr = first->start;
    } else if (first->start > addr) {
      return kENOMEM;
    } else if (grows & abi::kPROT_GROWSUP) {
      return kEINVAL;
    }
    if (book_.AnySealed(addr, end)) return kEPERM;
    if (book_.count() + 2 > mm::kMaxMapCount) return kENOMEM;
    uint64_t new_data = 0;
    for (const Vma& v : book_.Slice(addr, end)) {
      if (v.start != stop) break;
      if (prot & ~v.max_prot) {
        result = kEACCES;
        break;
      }
      Vma after = v;
      after.prot = prot;
      if (after.is_data() && !v.is_data()) {
        new_data += v.length();
        if (!CheckExpand(0, false, 0, 0, limits).ok() || book_.data_bytes() > limits.data ||
            new_data > limits.data - book_.data_bytes()) {
          result = kENOMEM;
          break;
        }
      }
      stop = v.end;
    }
    if (result.ok() && stop < end) result = kENOMEM;
  }
  if (stop == addr) return result;
  TRY(space_->Protect(addr, stop - addr, prot));
  MutexLock book(mu_);
  book_.Update(addr, stop, [prot](Vma& v) { v.prot = prot; });
  return result;
}

ErrorOr<void> MemoryManager::Mseal(UserAddr addr, uint64_t length) {
  if (!mm::Aligned(addr)) return kEINVAL;
  uint64_t whole = mm::PageUp(length);
  if (length != 0 && whole == 0) return kEINVAL;
  UserAddr end = addr + whole;
  if (end < addr) return kEINVAL;
  if (end == addr) return {};
  TaskMutexLock lock(mmap_lock_);
  LearnGrowth(addr, end);
  MutexLock book(mu_);
  if (book_.MappedUntil(addr, end) != end) return kENOMEM;
  book_.Update(addr, end, [](Vma& v) { v.sealed = true; });
  return {};
}

}  // namespace moat
