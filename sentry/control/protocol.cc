#include "sentry/control/protocol.h"

#include <string.h>

#include <algorithm>

namespace moat {
namespace {

struct Header {
  uint32_t type;
  int32_t value;
  int32_t detail;
  uint32_t text_size;
};
static_assert(sizeof(Header) + kMaxControlText == kMaxControlBytes);

bool HasText(ControlType type) { return type == ControlType::kExecFailed || type == ControlType::kNotice; }

}  // namespace

std::string EncodeControl(const ControlMessage& message) {
  const size_t text_size = std::min(message.text.size(), kMaxControlText);
  const Header header{static_cast<uint32_t>(message.type), message.value, message.detail,
                      static_cast<uint32_t>(text_size)};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  return bytes.append(message.text, 0, text_size);
}

ErrorOr<ControlMessage> DecodeControl(std::string_view datagram) {
  Header header;
  if (datagram.size() < sizeof(header)) return kEINVAL;
  memcpy(&header, datagram.data(), sizeof(header));
  datagram.remove_prefix(sizeof(header));
  const auto type = static_cast<ControlType>(header.type);
  if (type < ControlType::kSignal || type > ControlType::kMemory) return kEINVAL;
  if (header.text_size != datagram.size() || header.text_size > kMaxControlText) return kEINVAL;
  if (!datagram.empty() && !HasText(type)) return kEINVAL;
  return ControlMessage{type, header.value, header.detail, std::string(datagram)};
}

}  // namespace moat
