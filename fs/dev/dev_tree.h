// The tree at /dev: a tmpfs with the nodes and links that every program expects.
#pragma once

#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/inode.h"

namespace moat {

// /dev with its device nodes, /dev/fd and the standard streams' links, and empty directories pts, shm and mqueue for mounts.
ErrorOr<Ref<FileSystem>> MakeDevTree();

}  // namespace moat
