// How much memory the sandbox may use, and what is known of its use.
//
// The limit is kept in two ways. What this process holds for guests is counted where it is made and refused with Linux's error:
// files in memory (fs/tmpfs/memory_limit.h) may take half of the limit, other objects (base/kern/held.h) a quarter, open files
// have a number. What guests hold themselves is the host's memory in their own processes: `moat` measures that, with this process,
// and ends the largest guest process when all together is too much (runtime/sandbox/memory_guard.h).
#pragma once

#include <cstdint>

#include "base/util/error.h"

namespace moat {

class SandboxMemory {
 public:
  // Bytes; 0: as much as the host has. Before the first guest.
  static void SetLimit(uint64_t bytes);
  // Host descriptors that this process may have (RLIMIT_NOFILE): some of them stay for its own work.
  static void SetHostFdLimit(uint64_t count);
  // What `moat` measured of the guests' processes.
  static void SetGuestBytes(uint64_t bytes);

  struct State {
    uint64_t total = 0, free = 0, available = 0;  // bytes, as /proc/meminfo has them
    uint64_t files = 0;                           // of files in memory ("Shmem")
  };
  static ErrorOr<State> Look();
};

}  // namespace moat
