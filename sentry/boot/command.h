// Finding the command to run, as execvp(3) does.
#pragma once

#include <string>

#include "base/util/error.h"
#include "fs/vfs/path_walk.h"
#include "sentry/boot/config.h"

namespace moat {

struct FoundCommand {
  Path file;
  std::string filename;  // the path it was found at
};

// argv[0] with a slash is a path from the current directory; else $PATH of the guest's environment is searched. kENOENT,
// kEACCES (found but not executable), what the walk says.
ErrorOr<FoundCommand> FindCommand(const WalkContext& walk, const SandboxConfig& config);

// The paths that FindCommand tries, in order; relative ones start at the current directory.
std::vector<std::string> CommandPlaces(const SandboxConfig& config);

}  // namespace moat
