#include "base/host/confine.h"

#include "abi/seccomp.h"
#include "abi/syscall_nr.h"
#include "base/host/raw.h"

namespace moat::host {

ErrorOr<long> SeccompSetModeFilter(uint32_t flags, std::span<const abi::SockFilter> program) {
  if (program.size() > abi::kBPF_MAXINSNS) return kEINVAL;
  abi::SockFprog fprog{static_cast<uint16_t>(program.size()), {}, reinterpret_cast<uint64_t>(program.data())};
  return Call<long>(abi::kNr_seccomp, abi::kSECCOMP_SET_MODE_FILTER, flags, &fprog);
}

namespace {
constexpr uint32_t kCreateRulesetVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
constexpr int kRulePathBeneath = 1;            // LANDLOCK_RULE_PATH_BENEATH
// struct landlock_ruleset_attr; a shorter size is an older version of it.
struct RulesetAttr {
  uint64_t handled_access_fs;
  uint64_t handled_access_net;
  uint64_t scoped;
};
struct __attribute__((packed)) PathBeneathAttr {
  uint64_t allowed_access;
  int32_t parent_fd;
};
}  // namespace

ErrorOr<int> LandlockVersion() {
  return Call<int>(abi::kNr_landlock_create_ruleset, nullptr, 0, kCreateRulesetVersion);
}
ErrorOr<UniqueFd> LandlockCreateRuleset(uint64_t handled_fs, uint64_t handled_net, uint64_t scoped) {
  RulesetAttr attr{handled_fs, handled_net, scoped};
  // An older kernel refuses a longer struct even if the rest is 0.
  size_t size = scoped ? sizeof attr : handled_net ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
  return Call<UniqueFd>(abi::kNr_landlock_create_ruleset, &attr, size, 0);
}
ErrorOr<void> LandlockAddPathBeneath(int ruleset, int fd, uint64_t access) {
  PathBeneathAttr attr{access, fd};
  return Call<void>(abi::kNr_landlock_add_rule, ruleset, kRulePathBeneath, &attr, 0);
}
ErrorOr<void> LandlockRestrictSelf(int ruleset) { return Call<void>(abi::kNr_landlock_restrict_self, ruleset, 0); }

}  // namespace moat::host
