#include "sentry/boot/mount_point.h"

#include <algorithm>

#include "fs/vfs/vfs.h"

namespace moat {

ErrorOr<Path> MountPoint(const WalkContext& walk, std::string_view target) {
  ErrorOr<Path> found = Walk(walk, walk.root, target);
  if (found.ok() || found.error() != kENOENT) return found;
  for (size_t slash = 0; slash < target.size();) {
    slash = std::min(target.find('/', slash + 1), target.size());
    const std::string_view prefix = target.substr(0, slash);
    const ErrorOr<void> made = vfs::Mkdir(walk, walk.root, prefix, 0755, 0);
    // What exists may not be writable: only what is missing has to be made.
    if (!made.ok() && !Walk(walk, walk.root, prefix).ok()) return made.error();
  }
  return Walk(walk, walk.root, target);
}

}  // namespace moat
