// What the sanitizers' own runtime calls.
#pragma once

#include "base/seccomp/rule.h"

namespace moat::seccomp {

// Adds rows for the calls that a sanitizer makes to do its work and to report. Adds nothing in any other build.
void AddSanitizerRows(Filter& filter);

}  // namespace moat::seccomp
