#include "sentry/boot/control_channel.h"

#include <array>

#include "abi/epoll.h"
#include "abi/socket.h"
#include "base/fiber/host_watch.h"
#include "base/host/socket.h"
#include "sentry/boot/config.h"

namespace moat {

bool SendControl(const ControlMessage& message) {
  std::string bytes = EncodeControl(message);
  // A kDelivered replaces the one before: no reason to wait for a `moat` that is stopped.
  const uint32_t wait = message.type == ControlType::kDelivered ? abi::kMSG_DONTWAIT : 0;
  return host::Sendto(kFdControl, bytes.data(), bytes.size(), abi::kMSG_NOSIGNAL | wait).ok();
}

ErrorOr<void> ListenControl(std::function<void(const ControlMessage&)> on_message, std::function<void()> on_end) {
  auto drain = [on_message = std::move(on_message), on_end = std::move(on_end)](uint32_t) {
    std::array<char, kMaxControlBytes> buffer;
    for (;;) {
      ErrorOr<size_t> n = host::Recvfrom(kFdControl, buffer.data(), buffer.size(), abi::kMSG_DONTWAIT);
      if (!n.ok() && n.error() == kEAGAIN) return;
      if (!n.ok() || *n == 0) {
        on_end();
        return;
      }
      ErrorOr<ControlMessage> message = DecodeControl({buffer.data(), *n});
      if (message.ok()) on_message(*message);
    }
  };
  return WatchHostFd(kFdControl, abi::kEPOLLIN | abi::kEPOLLRDHUP, std::move(drain));
}

}  // namespace moat
