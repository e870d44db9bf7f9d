// The first stack of a program: strings, argc, argv, envp, auxv (the x86-64 psABI, "Process Initialization").
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/util/error.h"
#include "sentry/mm/memory_manager.h"

namespace moat {

struct StackStrings {
  const std::vector<std::string>& argv;
  const std::vector<std::string>& envp;
  const std::string& filename;  // AT_EXECFN
};

struct BuiltStack {
  UserAddr sp = 0;
  UserAddr arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  std::vector<uint64_t> auxv;  // as written, pairs
};

// Bytes that the strings and pointers need: checked against the limits by the caller (E2BIG).
uint64_t StackBytes(const StackStrings& strings);

// Writes it below `top`. AT_RANDOM, AT_EXECFN, AT_PLATFORM and AT_NULL are added to `auxv`.
ErrorOr<BuiltStack> BuildStack(MemoryManager& mm, UserAddr top, const StackStrings& strings,
                               std::vector<std::pair<uint64_t, uint64_t>> auxv);

}  // namespace moat
