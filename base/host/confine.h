// Host calls by which a process gives up rights: seccomp(2) and landlock(7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/util/error.h"
#include "base/util/unique_fd.h"

namespace moat::abi {
struct SockFilter;
}

namespace moat::host {

// SECCOMP_SET_MODE_FILTER. The call's result: 0, a listener's fd with NEW_LISTENER, or with TSYNC the tid of a thread that
// could not be synchronized.
ErrorOr<long> SeccompSetModeFilter(uint32_t flags, std::span<const abi::SockFilter> program);

// The Landlock ABI version of the host; kENOSYS or kEOPNOTSUPP without Landlock.
ErrorOr<int> LandlockVersion();
// A ruleset that handles (denies unless a rule allows) the LANDLOCK_ACCESS_FS_* and _NET_* bits, and the LANDLOCK_SCOPE_*
// bits. Pass only bits that LandlockVersion knows; EINVAL or E2BIG otherwise.
ErrorOr<UniqueFd> LandlockCreateRuleset(uint64_t handled_fs, uint64_t handled_net, uint64_t scoped);
// Allows `access` below the directory (or for the file) `fd`.
ErrorOr<void> LandlockAddPathBeneath(int ruleset, int fd, uint64_t access);
// Needs no_new_privs or CAP_SYS_ADMIN.
ErrorOr<void> LandlockRestrictSelf(int ruleset);

}  // namespace moat::host
