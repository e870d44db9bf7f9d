// The calls of the memory family that look at other processes or at NUMA nodes; rows are in sys_mmap.cc.
#pragma once

#include <cstdint>

#include "base/kern/user_memory.h"
#include "base/util/error.h"

namespace moat {

class Task;

ErrorOr<uint64_t> SysProcessVmReadv(Task& t, int pid, UserAddr local, uint64_t local_count, UserAddr remote,
                                    uint64_t remote_count, uint64_t flags);
ErrorOr<uint64_t> SysProcessVmWritev(Task& t, int pid, UserAddr local, uint64_t local_count, UserAddr remote,
                                     uint64_t remote_count, uint64_t flags);
ErrorOr<uint64_t> SysProcessMadvise(Task& t, int pidfd, UserAddr iov, uint64_t count, int advice, uint32_t flags);

ErrorOr<void> SysMbind(Task& t, UserAddr start, uint64_t length, uint64_t mode, UserAddr nodes, uint64_t max_node,
                       uint32_t flags);
ErrorOr<void> SysSetMempolicy(Task& t, int mode, UserAddr nodes, uint64_t max_node);
ErrorOr<void> SysGetMempolicy(Task& t, UserAddr policy, UserAddr nodes, uint64_t max_node, UserAddr addr, uint64_t flags);
ErrorOr<void> SysSetMempolicyHomeNode(Task& t, UserAddr start, uint64_t length, uint64_t node, uint64_t flags);
ErrorOr<uint64_t> SysMigratePages(Task& t, int pid, uint64_t max_node, UserAddr from, UserAddr to);
ErrorOr<void> SysMovePages(Task& t, int pid, uint64_t count, UserAddr pages, UserAddr nodes, UserAddr status, int flags);

}  // namespace moat
