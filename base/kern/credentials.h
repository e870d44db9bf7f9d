// What a task may do: ids, groups, capabilities. Immutable once published (as struct cred): changes make a copy.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/util/ref.h"

namespace moat {

inline constexpr uint64_t kAllCapabilities = (1ull << 41) - 1;  // CAP_CHOWN..CAP_CHECKPOINT_RESTORE

struct Credentials final : RefCounted {
  uint32_t uid = 0, euid = 0, suid = 0, fsuid = 0;
  uint32_t gid = 0, egid = 0, sgid = 0, fsgid = 0;
  std::vector<uint32_t> groups;  // sorted
  // Capability sets, bit n = capability n (capabilities(7)).
  uint64_t effective = 0, permitted = 0, inheritable = 0, bounding = kAllCapabilities, ambient = 0;
  uint32_t securebits = 0;

  Credentials() = default;
  Credentials(const Credentials& o)
      : uid(o.uid), euid(o.euid), suid(o.suid), fsuid(o.fsuid), gid(o.gid), egid(o.egid), sgid(o.sgid), fsgid(o.fsgid),
        groups(o.groups), effective(o.effective), permitted(o.permitted), inheritable(o.inheritable),
        bounding(o.bounding), ambient(o.ambient), securebits(o.securebits) {}

  bool Has(int capability) const { return (effective >> capability) & 1; }
  bool InGroup(uint32_t g) const { return g == fsgid || std::binary_search(groups.begin(), groups.end(), g); }
};

}  // namespace moat
