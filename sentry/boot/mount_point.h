// The directories that file systems are mounted on.
#pragma once

#include <string_view>

#include "base/util/error.h"
#include "fs/vfs/path_walk.h"

namespace moat {

// The place `target`, an absolute path; what is missing on the way is made, owned by root: directories, at the end an empty
// file unless `directory`. Another root may lack even /proc, and /tmp starts empty. Symlinks are followed inside the sandbox,
// also those that lead nowhere yet. What Walk, mkdir and mknod return: kENOTDIR, kEROFS, ...
ErrorOr<Path> MountPoint(const WalkContext& walk, std::string_view target, bool directory);

}  // namespace moat
