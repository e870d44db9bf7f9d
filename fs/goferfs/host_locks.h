// Locks of files in directories that are shared with the host: taken there too, so that guests and the host's processes keep
// each other out.
#pragma once

#include "base/util/error.h"
#include "fs/vfs/file_lock.h"

namespace moat {

class FileDescription;

// What locks through `file` need to be seen by the host's processes: null for files that are not shared for writing, or lie
// where the host's own locks may hang (network file systems). May park. kENOLCK.
ErrorOr<Ref<HostLocks>> LocksOnHost(FileDescription& file);

}  // namespace moat
