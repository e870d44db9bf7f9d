// What handlers share: directory descriptors, extensible structs, permission to touch another task.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

#include "abi/fcntl.h"
#include "base/kern/user_memory.h"
#include "base/util/error.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/file_description.h"
#include "sentry/kernel/task.h"

namespace moat {

// Where `path` of a *at call starts: the current directory for AT_FDCWD (and for absolute paths, where it does not matter),
// else the file that `dirfd` refers to. kEBADF; kENOTDIR is the walk's.
ErrorOr<Path> StartOf(Task& t, int dirfd, std::string_view path);
// The file a stat-like call means: walks `path` from `dirfd` with AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH of `at_flags`.
ErrorOr<Path> ResolveAt(Task& t, int dirfd, UserAddr path, uint32_t at_flags);
// The path of an open descriptor (fchmod, fchdir): kEBADF.
ErrorOr<Path> PathOf(Task& t, int fd);

// A struct that grows with kernels (clone_args, open_how): `size` bytes at `addr`; what is beyond T must be zero (kE2BIG).
template <class T>
ErrorOr<T> ReadExtensible(UserMemory& memory, UserAddr addr, uint64_t size) {
  constexpr uint64_t kPageSize = 4096;
  if (size > kPageSize) return kE2BIG;
  T value{};
  TRY(memory.CopyIn(addr, &value, std::min<uint64_t>(size, sizeof(T))));
  if (size > sizeof(T)) {
    std::byte rest[kPageSize];
    TRY(memory.CopyIn(addr + sizeof(T), rest, size - sizeof(T)));
    if (std::any_of(rest, rest + (size - sizeof(T)), [](std::byte b) { return b != std::byte{0}; })) return kE2BIG;
  }
  return value;
}

// ptrace(2)'s access check (PTRACE_MODE_ATTACH_REALCREDS): same user and dumpable, or CAP_SYS_PTRACE.
bool MayTrace(Task& t, Task& target);
// kill(2)'s.
bool MaySignal(Task& t, Task& target, int signo);

}  // namespace moat
