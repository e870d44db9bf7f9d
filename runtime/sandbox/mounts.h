// The mounts of a sandbox and the gofer's roots below them.
#pragma once

#include <string>

#include "runtime/sandbox/caller.h"
#include "runtime/sandbox/options.h"
#include "runtime/sandbox/plan.h"

namespace moat {

// Fills in plan.sentry.mounts, plan.gofer.roots and plan.gofer.hidden. `cwd` is where the command will start:
// if it lies below a directory that starts empty (/tmp, /run), it is shown there with a throwaway layer of
// its own.
void PlanMounts(const DoOptions& options, const Caller& caller, const std::string& cwd, SandboxPlan& plan);

}  // namespace moat
