// Files in memory without a name in any directory: memfd_create(2), shared anonymous mappings, SysV segments.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fs/tmpfs/memory_limit.h"
#include "fs/vfs/file_description.h"

namespace moat {

// Sets what such memory is charged to. Before the first of them is made; without it half of the host's 64-bit range.
void SetSharedMemoryLimit(Ref<MemoryLimit> limit);

// memfd_create(2): MFD_* flags but for MFD_CLOEXEC, which is the fd table's. kEINVAL, kENOSYS (MFD_HUGETLB).
ErrorOr<Ref<FileDescription>> CreateMemfd(std::string_view name, uint32_t flags, uint32_t uid, uint32_t gid);
// fcntl(2)'s F_ADD_SEALS and F_GET_SEALS. kEINVAL for files that cannot be sealed, kEPERM if not writable or sealed.
ErrorOr<void> AddSeals(FileDescription& file, uint32_t seals);
ErrorOr<uint32_t> GetSeals(FileDescription& file);

// Memory for a MAP_SHARED|MAP_ANONYMOUS mapping, `size` bytes (whole pages); shown as "/dev/zero (deleted)".
ErrorOr<Ref<FileDescription>> MakeSharedAnonymous(uint64_t size);
// Memory under another name: "/SYSV00000001 (deleted)".
ErrorOr<Ref<FileDescription>> MakeSharedMemory(std::string name, uint64_t size, uint32_t mode, uint32_t uid, uint32_t gid);

}  // namespace moat
