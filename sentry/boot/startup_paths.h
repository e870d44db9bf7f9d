// Which names of the root the start-up will look at: asked for at once, they cost one trip to the gofer instead of one each.
#pragma once

#include <string>
#include <vector>

#include "sentry/boot/config.h"

namespace moat {

// Mount points, the directory to start in, the places where the command may be. A guess: what is missing costs a trip, what
// is too much a lookup.
std::vector<std::string> StartupPaths(const SandboxConfig& config);

}  // namespace moat
