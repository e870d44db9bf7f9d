// A debugger's access to memory: FOLL_FORCE of Linux's get_user_pages(). It grows no stacks.
#include <algorithm>

#include "abi/mman.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/mm/mm_internal.h"

namespace moat {

// The page is opened for the time of the copy: other threads of the guest could use that, but only against themselves.
ErrorOr<size_t> MemoryManager::WithAccess(UserAddr addr, bool write, const std::function<ErrorOr<size_t>()>& copy) {
  constexpr int kRead = static_cast<int>(abi::kPROT_READ), kWrite = static_cast<int>(abi::kPROT_WRITE);
  TaskMutexLock lock(mmap_lock_);
  Vma v;
  {
    MutexLock book(mu_);
    const Vma* found = book_.Find(addr);
    if (!found) return kEFAULT;
    v = *found;
  }
  // Nothing is gained where the protection is not what stood in the way (a page beyond the end of its file).
  if (write ? v.shared || (v.prot & kWrite) : (v.prot & kRead) || !(v.max_prot & kRead)) return kEFAULT;
  const UserAddr page = mm::PageDown(addr);
  TRY(space_->Protect(page, mm::kPage, v.prot | kRead | (write ? kWrite : 0)));
  ErrorOr<size_t> done = copy();
  TRY(space_->Protect(page, mm::kPage, v.prot));
  return done;
}

ErrorOr<size_t> MemoryManager::ForceCopyIn(UserAddr src, std::span<std::byte> dst) {
  size_t done = 0;
  while (done < dst.size()) {
    const UserAddr at = src + done;
    std::span<std::byte> rest = dst.subspan(done);
    ErrorOr<size_t> got = space_->CopyIn(at, rest);
    if (!got.ok()) {
      rest = rest.first(std::min<size_t>(rest.size(), mm::kPage - (at & (mm::kPage - 1))));
      got = WithAccess(at, false, [&] { return space_->CopyIn(at, rest); });
    }
    if (!got.ok() || *got == 0) break;
    done += *got;
  }
  return done || dst.empty() ? ErrorOr<size_t>(done) : kEFAULT;
}

ErrorOr<size_t> MemoryManager::ForceCopyOut(UserAddr dst, std::span<const std::byte> src) {
  size_t done = 0;
  while (done < src.size()) {
    const UserAddr at = dst + done;
    std::span<const std::byte> rest = src.subspan(done);
    ErrorOr<size_t> put = space_->CopyOut(at, rest);
    if (!put.ok()) {
      rest = rest.first(std::min<size_t>(rest.size(), mm::kPage - (at & (mm::kPage - 1))));
      put = WithAccess(at, true, [&] { return space_->CopyOut(at, rest); });
    }
    if (!put.ok() || *put == 0) break;
    done += *put;
  }
  return done || src.empty() ? ErrorOr<size_t>(done) : kEFAULT;
}

}  // namespace moat
