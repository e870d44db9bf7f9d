// Users of the sandbox: numbers, or names of its own /etc/passwd.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moat {

struct UserIds {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;

  bool operator==(const UserIds&) const = default;
};

// Resolves `UID[:GID]` or a name, with the texts of passwd(5) and group(5). A number without group takes the
// group of its passwd entry, or the same number. Throws Failure for an unknown name or a bad number.
UserIds ResolveUser(const std::string& spec, const std::string& passwd, const std::string& group);

}  // namespace moat
