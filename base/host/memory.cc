#include "base/host/memory.h"

#include <malloc.h>

#include "abi/mman.h"
#include "abi/syscall_nr.h"

#include "base/host/raw.h"
#include "base/util/sanitizers.h"

// The linker's: from the ELF header to the end of the code. Nothing in between is writable.
extern "C" const char __executable_start, etext;

namespace moat::host {

ErrorOr<void*> Mmap(void* addr, size_t length, int prot, uint32_t flags, int fd, uint64_t offset) {
  return Call<void*>(abi::kNr_mmap, addr, length, prot, flags, fd, offset);
}
ErrorOr<void> Munmap(void* addr, size_t length) { return Call<void>(abi::kNr_munmap, addr, length); }
ErrorOr<void> Mprotect(void* addr, size_t length, int prot) { return Call<void>(abi::kNr_mprotect, addr, length, prot); }
ErrorOr<void> Madvise(void* addr, size_t length, int advice) { return Call<void>(abi::kNr_madvise, addr, length, advice); }
ErrorOr<void*> Mremap(void* addr, size_t old_length, size_t new_length, uint32_t flags, void* new_addr) {
  return Call<void*>(abi::kNr_mremap, addr, old_length, new_length, flags, new_addr);
}
ErrorOr<void> Msync(void* addr, size_t length, uint32_t flags) { return Call<void>(abi::kNr_msync, addr, length, flags); }
ErrorOr<void> Mlock2(const void* addr, size_t length, uint32_t flags) {
  return Call<void>(abi::kNr_mlock2, addr, length, flags);
}
ErrorOr<void> Munlock(const void* addr, size_t length) { return Call<void>(abi::kNr_munlock, addr, length); }
ErrorOr<void> Mincore(void* addr, size_t length, uint8_t* resident) {
  return Call<void>(abi::kNr_mincore, addr, length, resident);
}
void ReleaseImagePages() {
  constexpr uintptr_t kPage = 4096;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(&__executable_start) & ~(kPage - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(&etext) & ~(kPage - 1);
  // Private pages that were never written are dropped without loss; a failure costs memory only.
  (void)Madvise(reinterpret_cast<void*>(begin), end - begin, abi::kMADV_DONTNEED);
}
void TrimHeap() {
  // A sanitizer's heap is its own. libc's, never used, would start itself and ask for random bytes, which the filters refuse.
#if !defined(MOAT_ASAN) && !defined(MOAT_TSAN)
  (void)malloc_trim(0);
#endif
}
ErrorOr<long> Membarrier(int command, uint32_t flags) { return Call<long>(abi::kNr_membarrier, command, flags, 0); }

}  // namespace moat::host
