// /proc/PID/mem.
#pragma once

#include "fs/proc/task_dir.h"

namespace moat::proc {

Ref<Inode> MakeMemFile(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino);

}  // namespace moat::proc
