// Pieces shared by the vfs_*.cc files.
#pragma once

#include "fs/vfs/dentry.h"
#include "fs/vfs/nested_lock.h"

namespace moat::vfs {

// After a name of `victim` was removed: inotify's view of the inode behind it.
void AfterNameRemoved(Dentry& victim);

}  // namespace moat::vfs
