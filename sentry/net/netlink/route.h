// rtnetlink(7): requests to answers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moat {

// Answers the messages in `request` (the bytes of one send), in datagrams of the kernel's, addressed to `port`.
// `privileged`: CAP_NET_ADMIN.
std::vector<std::string> AnswerRoute(std::string_view request, uint32_t port, bool privileged);

}  // namespace moat
