// Reading and writing open files for a task: waiting, positions, limits, SIGPIPE. One place for read(2) and all its kin.
#pragma once

#include <cstdint>

#include "base/kern/io.h"
#include "base/util/error.h"
#include "fs/vfs/file_description.h"
#include "sentry/kernel/task.h"

namespace moat {

inline constexpr size_t kMaxIo = 0x7ffff000;  // MAX_RW_COUNT: longer transfers are cut

// At the file's own position (or a stream's front). Blocks until there is something unless the file or `flags` say not to.
ErrorOr<uint64_t> ReadFile(Task& t, FileDescription& file, IoSink& dst, IoFlags flags = {});
ErrorOr<uint64_t> WriteFile(Task& t, FileDescription& file, IoSource& src, IoFlags flags = {});
// At `offset`, without moving the position; kESPIPE for streams.
ErrorOr<uint64_t> ReadFileAt(Task& t, FileDescription& file, IoSink& dst, int64_t offset, IoFlags flags = {});
ErrorOr<uint64_t> WriteFileAt(Task& t, FileDescription& file, IoSource& src, int64_t offset, IoFlags flags = {});

// At *offset, which moves (null: a stream), in a file whose access mode the caller has checked and whose position it guards.
ErrorOr<size_t> ReadUnlocked(Task& t, FileDescription& file, IoSink& dst, int64_t* offset, IoFlags flags);
ErrorOr<size_t> WriteUnlocked(Task& t, FileDescription& file, IoSource& src, int64_t* offset, IoFlags flags);

// iovec arrays of readv(2): kEINVAL beyond IOV_MAX or when the lengths overflow; cut at kMaxIo.
ErrorOr<std::vector<UserRange>> ReadIovec(Task& t, UserAddr iov, uint64_t count);

}  // namespace moat
