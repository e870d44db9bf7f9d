// Host calls that make up a process's view of the file tree. The Linux calls of the same names; start-up only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/util/error.h"
#include "base/util/unique_fd.h"

namespace moat::host {

ErrorOr<void> Mount(const char* source, const char* target, const char* type, uint64_t flags, const void* data);
ErrorOr<void> Umount2(const char* target, uint32_t flags);
ErrorOr<void> PivotRoot(const char* new_root, const char* put_old);
ErrorOr<void> Chroot(const char* path);
ErrorOr<void> Chdir(const char* path);
ErrorOr<void> Fchdir(int fd);
ErrorOr<UniqueFd> OpenTree(int dirfd, const char* path, uint32_t flags);
ErrorOr<void> MoveMount(int from_dirfd, const char* from, int to_dirfd, const char* to, uint32_t flags);
// `attr` is struct mount_attr.
ErrorOr<void> MountSetattr(int dirfd, const char* path, uint32_t flags, const void* attr, size_t size);

}  // namespace moat::host
