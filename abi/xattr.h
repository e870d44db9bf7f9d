// Linux's extended attributes: xattr(7). The limits of their names and values are in abi/limits.h.
#pragma once

#include <stdint.h>

#include "abi/limits.h"

namespace moat::abi {

inline constexpr uint32_t kXATTR_CREATE = 1;
inline constexpr uint32_t kXATTR_REPLACE = 2;
inline constexpr char kXATTR_USER_PREFIX[] = "user.";
inline constexpr char kXATTR_TRUSTED_PREFIX[] = "trusted.";
inline constexpr char kXATTR_SECURITY_PREFIX[] = "security.";
inline constexpr char kXATTR_SYSTEM_PREFIX[] = "system.";
inline constexpr char kXATTR_NAME_CAPS[] = "security.capability";
inline constexpr char kXATTR_NAME_POSIX_ACL_ACCESS[] = "system.posix_acl_access";
inline constexpr char kXATTR_NAME_POSIX_ACL_DEFAULT[] = "system.posix_acl_default";

// setxattrat(2).
struct XattrArgs {
  uint64_t value;
  uint32_t size;
  uint32_t flags;
};

}  // namespace moat::abi
