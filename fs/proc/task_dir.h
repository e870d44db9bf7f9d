// /proc/PID and /proc/PID/task/TID.
#pragma once

#include "fs/memtree/node.h"
#include "fs/proc/source.h"

namespace moat::proc {

// What all nodes of one proc file system share.
struct Context {
  ProcSource& source;
  Ref<Inode> net_dir;  // of /proc/PID/net: the same for all
};

// The directory of a task. `group`: /proc/PID, which shows the process; else task/TID.
Ref<Inode> MakeTaskDir(FileSystem& fs, const Context& context, TaskKey key, bool group, uint64_t ino);

// A number as proc's names are written: no sign, no leading zero. -1 if it is not one.
int ParseNumber(std::string_view name);

}  // namespace moat::proc
