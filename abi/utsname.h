// Linux's uname(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kNEW_UTS_LEN = 64;

struct Utsname {
  char sysname[kNEW_UTS_LEN + 1];
  char nodename[kNEW_UTS_LEN + 1];
  char release[kNEW_UTS_LEN + 1];
  char version[kNEW_UTS_LEN + 1];
  char machine[kNEW_UTS_LEN + 1];
  char domainname[kNEW_UTS_LEN + 1];
};
using NewUtsname = Utsname;
static_assert(sizeof(Utsname) == 390);

}  // namespace moat::abi
