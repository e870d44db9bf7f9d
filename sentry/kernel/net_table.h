// The tables of /proc/net that list sockets.
#pragma once

#include <string>
#include <string_view>

namespace moat {

class Kernel;

// The lines of /proc/net/NAME below its header: "unix", "tcp", "tcp6", "udp", "udp6"; empty for others. Sockets that some
// descriptor of a task leads to.
std::string FormatNetTable(Kernel& kernel, std::string_view name);

}  // namespace moat
