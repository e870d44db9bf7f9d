// Host calls on names, attributes and extended attributes. The Linux calls of the same names; see file.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "abi/time.h"
#include "base/util/error.h"

namespace moat::host {

// The target's length, cut at `size`; no NUL is added.
ErrorOr<size_t> Readlinkat(int dirfd, const char* path, char* buffer, size_t size);
// The whole target.
ErrorOr<std::string> ReadlinkatString(int dirfd, const char* path);
// Fills `buffer` with struct linux_dirent64 records; 0 at the end.
ErrorOr<size_t> Getdents64(int fd, void* buffer, size_t size);
ErrorOr<void> Faccessat2(int dirfd, const char* path, uint32_t mode, uint32_t flags);
ErrorOr<void> Mkdirat(int dirfd, const char* path, uint32_t mode);
ErrorOr<void> Mknodat(int dirfd, const char* path, uint32_t mode, uint64_t dev);
ErrorOr<void> Symlinkat(const char* target, int dirfd, const char* path);
ErrorOr<void> Linkat(int old_dirfd, const char* old_path, int new_dirfd, const char* new_path, uint32_t flags);
ErrorOr<void> Unlinkat(int dirfd, const char* path, uint32_t flags);
ErrorOr<void> Renameat2(int old_dirfd, const char* old_path, int new_dirfd, const char* new_path, uint32_t flags);

ErrorOr<void> Fchmod(int fd, uint32_t mode);
ErrorOr<void> Fchmodat(int dirfd, const char* path, uint32_t mode);  // follows symlinks
ErrorOr<void> Fchown(int fd, uint32_t uid, uint32_t gid);
ErrorOr<void> Fchownat(int dirfd, const char* path, uint32_t uid, uint32_t gid, uint32_t flags);
// `times` is access and modification time (UTIME_NOW, UTIME_OMIT); null sets both to now. `path` null means `dirfd` itself.
ErrorOr<void> Utimensat(int dirfd, const char* path, const abi::Timespec times[2], uint32_t flags);

ErrorOr<size_t> Fgetxattr(int fd, const char* name, void* value, size_t size);
ErrorOr<void> Fsetxattr(int fd, const char* name, const void* value, size_t size, uint32_t flags);
ErrorOr<size_t> Flistxattr(int fd, char* list, size_t size);
ErrorOr<void> Fremovexattr(int fd, const char* name);
// By path, following symlinks (for "/proc/self/fd/N" of an O_PATH descriptor).
ErrorOr<size_t> Getxattr(const char* path, const char* name, void* value, size_t size);
ErrorOr<void> Setxattr(const char* path, const char* name, const void* value, size_t size, uint32_t flags);
ErrorOr<size_t> Listxattr(const char* path, char* list, size_t size);
ErrorOr<void> Removexattr(const char* path, const char* name);
ErrorOr<size_t> Lgetxattr(const char* path, const char* name, void* value, size_t size);

// Returns the mask that was in force.
uint32_t Umask(uint32_t mask);

}  // namespace moat::host
