// Starts the sentry and the gofer of one sandbox.
#pragma once

#include <string>

#include "base/util/unique_fd.h"
#include "runtime/sandbox/caller.h"
#include "runtime/sandbox/plan.h"

namespace moat {

// False only in builds for sanitizers, which are no sandboxes.
#ifdef MOAT_UNSAFE_KEEP_ROOT
inline constexpr bool kEmptyRoot = false;
#else
inline constexpr bool kEmptyRoot = true;
#endif

struct Sandbox {
  int sentry_pid = -1;  // children of ours, to be reaped by us
  int gofer_pid = -1;
  UniqueFd control;  // sentry/control/protocol.h

  // The sentry's oom_score_adj: raised, so that guest processes inherit it; to be set back to `oom_score_before`.
  UniqueFd oom_score;
  std::string oom_score_before;
};

// Where the programs write; -1 for none.
struct LaunchFiles {
  int log = 2;
  int strace = -1;
};

// Starts both programs and returns when they execute. Signals that the caller handles must be blocked
// already: the children start with an empty mask. Throws Failure, with no child left.
Sandbox Launch(const SandboxPlan& plan, const Caller& caller, const LaunchFiles& files);

// The host, when it runs out of memory, shall take guest processes before anything else: those that started by now have what the
// sentry had, which now gets the caller's value back. For when the zygote runs.
void SpareSentry(Sandbox& sandbox);

// Kills what still runs of the two and reaps them.
void Destroy(Sandbox& sandbox);

}  // namespace moat
