// Lines of /proc/locks and of fdinfo's "lock:" (proc_locks(5)).
#pragma once

#include <string>

#include "fs/vfs/attr.h"
#include "fs/vfs/file_lock.h"

namespace moat::proc {

// The `number`th lock, which is one on the inode with `attr`; ends in a newline.
std::string LockLine(int number, const FileLocks::Entry& entry, const Attr& attr);
// All locks of the sandbox. May park: asks files for their numbers.
std::string LocksTable();

}  // namespace moat::proc
