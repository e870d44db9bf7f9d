// One mapping of a guest address space (struct vm_area_struct).
#pragma once

#include <cstdint>

#include "base/kern/user_memory.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"

namespace moat {

// [start, end), page aligned.
struct Vma {
  UserAddr start = 0, end = 0;
  int prot = 0;         // PROT_*
  int max_prot = 7;     // what mprotect may reach (shared mapping of a read-only fd: no PROT_WRITE)
  bool shared = false;  // MAP_SHARED
  bool grows_down = false;
  bool locked = false;
  bool dont_fork = false, wipe_on_fork = false, dont_dump = false;
  bool no_reserve = false;
  bool sealed = false;  // mseal(2)
  Ref<FileDescription> file;  // or null: anonymous (shared anonymous memory has a file too)
  uint64_t offset = 0;        // of `start` in `file`
  const char* name = nullptr;  // "[stack]", "[heap]", "[vdso]": static text, or null

  uint64_t length() const { return end - start; }
  bool Holds(UserAddr addr) const { return addr >= start && addr < end; }
  // Counts against RLIMIT_DATA: private, writable, not a stack.
  bool is_data() const { return (prot & 2) != 0 && !shared && !grows_down; }
};

}  // namespace moat
