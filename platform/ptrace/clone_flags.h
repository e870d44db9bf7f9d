// The two kinds of clone that a stub makes; its seccomp list knows no others.
#pragma once

#include <cstdint>

#include "abi/clone.h"
#include "abi/signal.h"

namespace moat::ptrace {

// A new address space. CLONE_PARENT: all stubs are children of the sentry, which is what makes it their tracer and reaper.
inline constexpr uint64_t kForkFlags = abi::kCLONE_PARENT | abi::kSIGCHLD;
// A thread; the guest's own CLONE_* flags are the sentry's business.
inline constexpr uint64_t kThreadFlags = abi::kCLONE_VM | abi::kCLONE_FS | abi::kCLONE_FILES | abi::kCLONE_SIGHAND |
                                         abi::kCLONE_THREAD | abi::kCLONE_SYSVSEM;

}  // namespace moat::ptrace
