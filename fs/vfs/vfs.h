// The calls on files by name and by place, with Linux's checks: what system call handlers use.
//
// Calls that make or remove names take (context, start, name): `start` is the directory of the *at call (context.cwd for
// AT_FDCWD). Calls on existing files take the Path that Walk found or that a FileDescription holds. All may park.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "abi/time.h"
#include "fs/vfs/attr.h"
#include "fs/vfs/file_description.h"
#include "fs/vfs/path_walk.h"

namespace moat::vfs {

struct OpenHow {
  uint32_t flags = 0;    // O_*; unknown ones are the caller's business
  uint32_t mode = 0;     // of a new file; the umask is applied here
  uint64_t resolve = 0;  // RESOLVE_*
};
// open(2), openat2(2). A FIFO may need FinishOpen. The O_CLOEXEC flag is the fd table's business.
ErrorOr<Ref<FileDescription>> Open(const WalkContext& context, const Path& start, std::string_view name, OpenHow how,
                                   uint32_t umask);
// Opens what is at `path` already, with the permission checks of open(2) (O_RDONLY for exec: use kMayExec too).
ErrorOr<Ref<FileDescription>> OpenAt(const Credentials& creds, const Path& path, uint32_t flags, int extra_may = 0);

// Names (vfs_names.cc, vfs_rename.cc).
ErrorOr<void> Mkdir(const WalkContext&, const Path& start, std::string_view name, uint32_t mode, uint32_t umask);
// `mode` holds the type (S_IFREG if none); kEPERM without CAP_MKNOD for devices. The new place goes to `made` if not null.
ErrorOr<void> Mknod(const WalkContext&, const Path& start, std::string_view name, uint32_t mode, uint64_t rdev,
                    uint32_t umask, Path* made = nullptr);
ErrorOr<void> Symlink(const WalkContext&, std::string_view target, const Path& start, std::string_view name);
ErrorOr<void> Link(const WalkContext&, const Path& existing, const Path& start, std::string_view name);
ErrorOr<void> Unlink(const WalkContext&, const Path& start, std::string_view name);
ErrorOr<void> Rmdir(const WalkContext&, const Path& start, std::string_view name);
ErrorOr<void> Rename(const WalkContext&, const Path& old_start, std::string_view old_name, const Path& new_start,
                     std::string_view new_name, uint32_t flags);

// Attributes (vfs_attr.cc).
ErrorOr<Attr> Stat(const Path& path);
ErrorOr<StatFs> StatFsOf(const Path& path);  // flags hold the mount's ST_*
ErrorOr<void> Chmod(const Credentials&, const Path& path, uint32_t mode);
inline constexpr uint32_t kKeepId = ~0u;
ErrorOr<void> Chown(const Credentials&, const Path& path, uint32_t uid, uint32_t gid);
// `times` null: both now. UTIME_NOW and UTIME_OMIT as in utimensat(2).
ErrorOr<void> Utimes(const Credentials&, const Path& path, const abi::Timespec times[2]);
ErrorOr<void> Truncate(const Credentials&, const Path& path, uint64_t size);
ErrorOr<void> TruncateFile(const Credentials&, FileDescription& file, uint64_t size);  // ftruncate(2)
// access(2) with the ids that the caller put into `creds` (fsuid, fsgid, effective). `mode` is R_OK|W_OK|X_OK.
ErrorOr<void> Access(const Credentials& creds, const Path& path, uint32_t mode);
ErrorOr<std::string> ReadLink(const Path& path);  // kEINVAL if not a symlink; a magic link's text

// Extended attributes with the rules of xattr(7) (vfs_xattr.cc).
ErrorOr<std::string> GetXattr(const Credentials&, const Path& path, std::string_view name);
ErrorOr<void> SetXattr(const Credentials&, const Path& path, std::string_view name, std::string_view value, int flags);
ErrorOr<void> RemoveXattr(const Credentials&, const Path& path, std::string_view name);
ErrorOr<std::string> ListXattr(const Credentials&, const Path& path);

// Around reads and writes of open files (vfs_attr.cc). AfterRead: atime (noatime, relatime) and IN_ACCESS. BeforeWrite:
// takes set-id bits away. AfterWrite: IN_MODIFY.
void AfterRead(FileDescription& file);
ErrorOr<void> BeforeWrite(const Credentials&, FileDescription& file);
void AfterWrite(FileDescription& file);

// The clock of file times, CLOCK_REALTIME_COARSE.
TimeSpec CurrentTime();

}  // namespace moat::vfs
