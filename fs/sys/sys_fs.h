// sysfs(5): what programs ask of /sys: processors, memory nodes, the loopback interface, and empty places for the rest.
#pragma once

#include <cstdint>
#include <functional>

#include "base/util/ref.h"
#include "fs/vfs/inode.h"

namespace moat {

// Bytes, free <= total.
struct SysMemory {
  uint64_t total = 0, free = 0;
};

struct SysInfo {
  uint64_t online_cpus = 1;           // bit mask
  std::function<SysMemory()> memory;  // now
};

Ref<FileSystem> MakeSysFs(const SysInfo& info);

}  // namespace moat
