// The directories that file systems are mounted on.
#pragma once

#include <string_view>

#include "base/util/error.h"
#include "fs/vfs/path_walk.h"

namespace moat {

// The place `target`, an absolute path; directories that are missing on the way are made, owned by root. Another root may
// lack even /proc, and /tmp starts empty. What Walk and mkdir return: kENOTDIR, kEROFS, ...
ErrorOr<Path> MountPoint(const WalkContext& walk, std::string_view target);

}  // namespace moat
