// The host calls of the gofer, once it serves.
#pragma once

#include "base/seccomp/rule.h"

namespace moat::gofer {

struct FilterParams {
  int connection_fd;
  int log_fd;
  int proc_fd;    // Reopener::proc_fd
  bool writable;  // some root may be changed
};

seccomp::Filter MakeFilter(const FilterParams& params);

}  // namespace moat::gofer
