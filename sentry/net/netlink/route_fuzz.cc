// Requests of guests are taken apart by AnswerRoute: whatever they hold, answers are well-formed messages.
#include <cstdint>
#include <cstring>
#include <string_view>

#include "abi/netlink.h"
#include "base/util/check.h"
#include "sentry/net/netlink/route.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moat;
  std::string_view request(reinterpret_cast<const char*>(data), size);
  for (bool privileged : {false, true}) {
    for (std::string_view answer : AnswerRoute(request, 1, privileged)) {
      while (!answer.empty()) {
        abi::Nlmsghdr header;
        CHECK(answer.size() >= sizeof header);
        memcpy(&header, answer.data(), sizeof header);
        CHECK(header.nlmsg_len >= sizeof header && header.nlmsg_len <= answer.size());
        answer.remove_prefix(header.nlmsg_len);
      }
    }
  }
  return 0;
}
