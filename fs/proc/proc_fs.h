// proc(5).
#pragma once

#include "base/util/ref.h"
#include "fs/proc/source.h"
#include "fs/vfs/inode.h"

namespace moat {

// A proc file system that shows `source`, which must outlive it.
Ref<FileSystem> MakeProcFs(ProcSource& source);

}  // namespace moat
