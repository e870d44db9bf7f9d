// What `moat do` keeps from the command unless told otherwise: usual places of credentials, and environment
// variables that carry them. A blacklist, so no boundary: docs/SECURITY.md says what it is worth.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moat {

// Absolute host paths to hide, whether they exist or not; `home` may be empty.
std::vector<std::string> DefaultHidePaths(const std::string& home);

// Does the variable's name look as if its value were a secret?
bool IsSecretName(std::string_view name);

}  // namespace moat
