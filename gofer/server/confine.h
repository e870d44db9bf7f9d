// How the gofer gives up what it does not need, in the order of start-up. Each step fails closed: the error names it.
#pragma once

#include <string>
#include <vector>

#include "base/util/error.h"
#include "base/util/unique_fd.h"
#include "gofer/server/filter.h"

namespace moat::gofer {

// A directory to serve, before it is opened.
struct RootSpec {
  std::string path;
  bool writable;
};

// Every descriptor above `last_kept` is closed, no core dumps, as many descriptors as the hard limit allows, umask 0, not
// dumpable: other processes of the user can neither trace it nor read its memory. Returns the limit of descriptors.
ErrorOr<uint64_t> ConfineProcess(int last_kept_fd);

// With CAP_SYS_ADMIN over a mount namespace of our own: opens each root as a detached copy of its mount tree (".." leads
// nowhere; read-only and nosuid by the kernel), and /proc/self/fd likewise into `proc`; chroots to the first directory.
ErrorOr<std::vector<UniqueFd>> ConfineByMounts(const std::vector<RootSpec>& roots, UniqueFd* proc);
// Makes a user and mount namespace in which the above is allowed to anybody. Ids other than our own are not mapped in it.
ErrorOr<void> EnterUserNamespace();

// Without privilege: opens the roots and lets Landlock bound every later open to them. kEOPNOTSUPP, kENOSYS: the host has
// no Landlock.
ErrorOr<std::vector<UniqueFd>> ConfineByLandlock(const std::vector<RootSpec>& roots);

// Drops every capability but those for files of other owners; all of them if not `privileged`.
ErrorOr<void> DropCapabilities(bool privileged, bool writable);

// Installs the filter on all threads.
ErrorOr<void> InstallGoferFilter(const FilterParams& params);

}  // namespace moat::gofer
