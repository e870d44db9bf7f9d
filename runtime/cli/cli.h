// The command line of `moat`.
#pragma once

#include "runtime/sandbox/options.h"

namespace moat {

// The whole program: parses, runs, returns the exit status. Errors are one line on standard error.
int Main(int argc, char** argv, char** envp);

// `moat do`: runs a command in a new sandbox and returns its status (see Supervise). Throws Failure.
int Do(const DoOptions& options, char** envp);

}  // namespace moat
