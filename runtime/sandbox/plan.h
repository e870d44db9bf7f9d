// From what the user asked and who calls to the configurations of the sentry and the gofer: the one place
// that decides what a sandbox sees. Looks at the host's files, changes nothing.
#pragma once

#include <string>
#include <vector>

#include "gofer/protocol/config.h"
#include "runtime/sandbox/caller.h"
#include "runtime/sandbox/options.h"
#include "sentry/boot/config.h"

namespace moat {

struct SandboxPlan {
  SandboxConfig sentry;
  GoferConfig gofer;
  std::vector<std::string> notices;  // lines for the user
};

// Throws Failure: a path that does not exist, an unknown user, a malformed flag value.
SandboxPlan MakePlan(const DoOptions& options, const Caller& caller);

}  // namespace moat
