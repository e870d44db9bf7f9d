// Host calls on this process's own memory. The Linux calls of the same names.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/util/error.h"

namespace moat::host {

ErrorOr<void*> Mmap(void* addr, size_t length, int prot, uint32_t flags, int fd, uint64_t offset);
ErrorOr<void> Munmap(void* addr, size_t length);
ErrorOr<void> Mprotect(void* addr, size_t length, int prot);
ErrorOr<void> Madvise(void* addr, size_t length, int advice);
ErrorOr<void*> Mremap(void* addr, size_t old_length, size_t new_length, uint32_t flags, void* new_addr = nullptr);
ErrorOr<void> Msync(void* addr, size_t length, uint32_t flags);
ErrorOr<void> Mlock2(const void* addr, size_t length, uint32_t flags);
ErrorOr<void> Munlock(const void* addr, size_t length);
ErrorOr<void> Mincore(void* addr, size_t length, uint8_t* resident);
// Lets go of the pages of this program's code and constants; what is used again is mapped again from the page cache, 64 KiB
// and some microseconds at a time. For a process that mostly waits: it is most of its resident memory. Writable and relocated
// data stay. Any thread, at any time; a debugger's breakpoints in software go with the pages.
void ReleaseImagePages();
// Gives memory that the heap holds but does not use back to the kernel. Takes milliseconds for a large heap.
void TrimHeap();
ErrorOr<long> Membarrier(int command, uint32_t flags);

}  // namespace moat::host
