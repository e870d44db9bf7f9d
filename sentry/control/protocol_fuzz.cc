// Whatever a hostile sentry sends, `moat` decodes it or refuses it; what it decodes, it would encode the same
// way.
#include <stddef.h>
#include <stdint.h>

#include "base/util/check.h"
#include "sentry/control/protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view datagram(reinterpret_cast<const char*>(data), size);
  const moat::ErrorOr<moat::ControlMessage> message = moat::DecodeControl(datagram);
  if (message.ok()) CHECK(moat::EncodeControl(*message) == datagram);
  return 0;
}
