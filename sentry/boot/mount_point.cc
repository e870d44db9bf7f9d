#include "sentry/boot/mount_point.h"

#include <algorithm>
#include <string>

#include "abi/stat.h"
#include "fs/vfs/vfs.h"

namespace moat {

namespace {

constexpr int kMaxLinks = 40;  // as in a walk

// Makes what is missing of `path`. A symlink to nowhere on the way is replaced by its text: then `path` has changed and the
// caller has to look again.
ErrorOr<bool> MakeMissing(const WalkContext& walk, std::string& path, bool directory) {
  for (size_t end = 0; end < path.size();) {
    end = std::min(path.find('/', end + 1), path.size());
    const std::string prefix = path.substr(0, end);
    if (Walk(walk, walk.root, prefix).ok()) continue;
    const ErrorOr<Path> link = Walk(walk, walk.root, prefix, {.follow = false});
    if (link.ok() && link->dentry->inode()->is_symlink()) {
      const std::string text = TRY(link->dentry->inode()->ReadLink());
      const std::string base = text.starts_with('/') ? "" : prefix.substr(0, prefix.rfind('/') + 1);
      path = base + text + path.substr(end);
      return true;
    }
    if (end < path.size() || directory) TRY(vfs::Mkdir(walk, walk.root, prefix, 0755, 0));
    else TRY(vfs::Mknod(walk, walk.root, prefix, abi::kS_IFREG | 0644, 0, 0));
  }
  return false;
}

}  // namespace

ErrorOr<Path> MountPoint(const WalkContext& walk, std::string_view target, bool directory) {
  std::string path(target);
  for (int links = 0; links <= kMaxLinks; ++links) {
    ErrorOr<Path> found = Walk(walk, walk.root, path);
    if (found.ok() || found.error() != kENOENT) return found;
    if (!TRY(MakeMissing(walk, path, directory))) return Walk(walk, walk.root, path);
  }
  return kELOOP;
}

}  // namespace moat
