// What stat and its setters carry.
#pragma once

#include <cstdint>

namespace moat {

struct TimeSpec {
  int64_t sec = 0;
  int64_t nsec = 0;
  bool operator==(const TimeSpec&) const = default;
};

// As struct kstat.
struct Attr {
  uint64_t dev = 0;  // in st_dev's encoding (abi/stat.h)
  uint64_t ino = 0;
  uint32_t mode = 0;  // type and permission bits
  uint32_t nlink = 1;
  uint32_t uid = 0, gid = 0;
  uint64_t rdev = 0;
  uint64_t size = 0;
  uint32_t blksize = 4096;
  uint64_t blocks = 0;  // of 512 bytes
  TimeSpec atime, mtime, ctime, btime;
};

// As struct iattr: what to change. The vfs has checked permissions and prepared set-id bits; times are concrete values.
struct SetAttr {
  // kCtime: stamp the change time with the current time. Set in all but the access time updates of reads.
  enum : uint32_t { kMode = 1, kUid = 2, kGid = 4, kSize = 8, kAtime = 16, kMtime = 32, kCtime = 64 };
  uint32_t mask = 0;
  uint32_t mode = 0;  // permission bits only
  uint32_t uid = 0, gid = 0;
  uint64_t size = 0;
  TimeSpec atime, mtime;
};

struct StatFs {
  int64_t type = 0, bsize = 4096, blocks = 0, bfree = 0, bavail = 0, files = 0, ffree = 0, namelen = 255, frsize = 4096;
  uint64_t fsid = 0;
  uint64_t flags = 0;  // ST_*; the mount's are added
};

}  // namespace moat
