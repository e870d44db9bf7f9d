// Giving up rights. Everything here fails closed: the caller refuses to start.
#pragma once

#include "base/util/error.h"

namespace moat {

// Drops every capability, also from the bounding set, and sets no_new_privs. Before the zygote, which inherits it.
ErrorOr<void> DropPrivileges();
// Nobody may ptrace or read this process any more. After the zygote, which must stay dumpable.
ErrorOr<void> MakeUndumpable();
// Installs the system call list for all threads. After every thread was started.
ErrorOr<void> InstallSentryFilter();
// Compares what the kernel says of this process with what it must be.
ErrorOr<void> CheckPosture();

}  // namespace moat
