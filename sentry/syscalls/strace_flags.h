// Names of flag bits and signals for strace.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moat {

// "O_RDWR|O_CREAT" for the set "open"; hex for an unknown set or left-over bits.
std::string FlagsText(std::string_view set, uint64_t value);
// "SIGCHLD", "SIGRT_3".
std::string SignalName(int signo);

}  // namespace moat
