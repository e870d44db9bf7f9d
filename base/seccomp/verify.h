// Compares a compiled program with its rows on made-up calls. For the unit tests of every process's list.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/seccomp/rule.h"

namespace moat::seccomp {

// For each row: a call that it allows, then the same with one thing wrong at a time (each argument, each of its bits, the
// instruction pointer, the architecture, the x32 bit); besides, every call number. Returns a line for each call on which the
// program and the rows differ or the program misbehaves; empty if all is well.
std::vector<std::string> VerifyFilter(const Filter& filter, std::span<const abi::SockFilter> program);

// A call that meets `rule`.
abi::SeccompData MatchingCall(const Rule& rule);

}  // namespace moat::seccomp
