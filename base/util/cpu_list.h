// Sets of CPUs as text.
#pragma once

#include <cstdint>
#include <string>

namespace moat {

// "0-1,3" for 0b1011: the list format of cpuset(7). Empty for an empty set.
std::string CpuList(uint64_t mask);

}  // namespace moat
