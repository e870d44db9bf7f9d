// From a bare process to the first guest byte. docs/ARCHITECTURE.md describes the order and why it is this one.
#pragma once

namespace moat {

// Runs the sandbox that kFdConfig describes, to its end. Returns the process's exit status: 0 after kExited or kExecFailed
// was reported, 125 if the sandbox could not be made (said on the control channel and in the log).
int BootSandbox();

}  // namespace moat
