// Inodes of files without a name: pipes, sockets, eventfd, epoll, ... (Linux: pipefs, sockfs, anon_inodefs).
#pragma once

#include <cstdint>
#include <string>

#include "fs/vfs/dentry.h"

namespace moat {

// A place for a nameless file. `type` S_IFIFO and S_IFSOCK: `name` is "pipe", "socket" and is shown as "pipe:[INO]"; type 0:
// as given ("anon_inode:[eventfd]"). The path has no mount.
Path MakeAnonPath(std::string name, uint32_t type, uint32_t uid = 0, uint32_t gid = 0);

}  // namespace moat
