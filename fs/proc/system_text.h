// The texts of system-wide files: proc_meminfo(5), proc_stat(5), ...
#pragma once

#include "fs/memtree/node.h"
#include "fs/proc/source.h"

namespace moat::proc {

// /proc/cpuinfo for these CPUs, from the processor itself.
std::string CpuInfo(uint64_t online_cpus);

// Adds the files of proc's root that show the system (not its directories).
void AddSystemFiles(StaticDir& root, ProcSource& source);
// /proc/sys.
void AddSysctls(StaticDir& sys, ProcSource& source);
// /proc/PID/net.
void AddNetFiles(StaticDir& net, ProcSource& source);

}  // namespace moat::proc
