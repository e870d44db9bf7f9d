// Puts a compiled filter in force.
#pragma once

#include <span>

#include "abi/seccomp.h"
#include "base/util/error.h"

namespace moat::seccomp {

// Sets no_new_privs and installs `program` for this thread, and with `all_threads` for every other thread as well, or for none:
// kEBUSY (with a log line that names the thread) if one of them could not be synchronized.
ErrorOr<void> InstallFilter(std::span<const abi::SockFilter> program, bool all_threads);

}  // namespace moat::seccomp
