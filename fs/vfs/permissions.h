// Who may do what to a file: mode bits, POSIX ACLs, capabilities (capabilities(7), path_resolution(7), acl(5)).
#pragma once

#include <cstdint>

#include "base/kern/credentials.h"
#include "base/util/error.h"
#include "fs/vfs/attr.h"
#include "fs/vfs/dentry.h"

namespace moat {

enum May : int { kMayExec = 1, kMayWrite = 2, kMayRead = 4 };

// kEACCES unless `creds` may do `may` (kMay*, or'ed) to the inode.
ErrorOr<void> InodePermission(const Credentials& creds, Inode& inode, int may);
// As above for callers that have the attributes.
ErrorOr<void> InodePermission(const Credentials& creds, Inode& inode, const Attr& attr, int may);
// And kEROFS for writing to a read-only mount, kEACCES for executing on a noexec one.
ErrorOr<void> PathPermission(const Credentials& creds, const Path& path, int may);

// The file's owner, or CAP_FOWNER.
bool IsOwnerOrCapable(const Credentials& creds, const Attr& attr);
// kEROFS if the mount may not be written to.
ErrorOr<void> MayWriteMount(const Path& path);
// Making and removing names in `dir`. kEACCES; kEPERM (sticky), kENOENT if the directory itself is deleted.
ErrorOr<void> MayCreate(const Credentials& creds, const Path& dir);
ErrorOr<void> MayDelete(const Credentials& creds, const Path& dir, Dentry& victim);

// Owner and mode of a new inode in `dir` (umask applied by the caller): inherits the group of a set-gid directory, drops
// a set-gid bit that `creds` may not give.
NewInode PrepareNewInode(const Credentials& creds, const Attr& dir, uint32_t mode, bool is_dir);

// `mode` without the set-id bits that a change of owner or content takes away from a regular file (should_remove_suid).
uint32_t WithoutSetId(const Credentials& creds, const Attr& attr);

}  // namespace moat
