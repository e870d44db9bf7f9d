// The host system calls that the sentry may make.
#pragma once

#include "base/seccomp/rule.h"

namespace moat {

// The list: one row a call, with its place, its reason and what it would give an attacker inside.
seccomp::Filter SentryFilter();

}  // namespace moat
