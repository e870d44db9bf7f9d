// /proc/PID/pagemap (proc_pid_pagemap(5)): which pages of a process are in memory.
#pragma once

#include "fs/proc/task_dir.h"
#include "fs/proc/task_node.h"

namespace moat::proc {

Ref<Inode> MakePagemapFile(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino);

}  // namespace moat::proc
