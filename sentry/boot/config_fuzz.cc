// No bytes make the decoder of the configuration read or allocate out of bounds.
#include <stddef.h>
#include <stdint.h>

#include "base/util/check.h"
#include "sentry/boot/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const moat::ErrorOr<moat::SandboxConfig> config = moat::DecodeConfig(bytes);
  if (config.ok()) CHECK(moat::EncodeConfig(*config) == bytes);
  return 0;
}
