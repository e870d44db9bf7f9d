// /proc/PID/fd and /proc/PID/fdinfo.
#pragma once

#include "fs/proc/task_dir.h"

namespace moat::proc {

Ref<Inode> MakeFdDir(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino);
Ref<Inode> MakeFdInfoDir(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino);

}  // namespace moat::proc
