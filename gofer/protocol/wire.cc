#include "gofer/protocol/wire.h"

#include "base/util/check.h"

namespace moat::gofer {

void Writer::PutBytes(const void* data, size_t n) {
  const auto* p = static_cast<const std::byte*>(data);
  bytes_.insert(bytes_.end(), p, p + n);
}

void Writer::PutString(std::string_view s) {
  CHECK(s.size() <= UINT16_MAX);
  Put(static_cast<uint16_t>(s.size()));
  PutBytes(s.data(), s.size());
}

std::span<const std::byte> Writer::FinishRequest(uint64_t id, Op op) {
  RequestHeader header{id, static_cast<uint16_t>(op), 0, static_cast<uint32_t>(bytes_.size())};
  Patch(0, header);
  return bytes_;
}

std::span<const std::byte> Writer::FinishReply(uint64_t id, Errno error, uint16_t fd_count) {
  static_assert(sizeof(ReplyHeader) == kHeader);
  if (error != Errno{0}) Clear();
  ReplyHeader header{id, static_cast<uint16_t>(error), fd_count, static_cast<uint32_t>(bytes_.size())};
  Patch(0, header);
  return bytes_;
}

ErrorOr<void> Reader::GetBytes(void* out, size_t n) {
  if (n > bytes_.size()) return kEPROTO;
  if (n) memcpy(out, bytes_.data(), n);
  bytes_ = bytes_.subspan(n);
  return {};
}

ErrorOr<std::string_view> Reader::GetString(size_t limit) {
  size_t n = TRY(Get<uint16_t>());
  if (n > bytes_.size()) return kEPROTO;
  if (n > limit) return kENAMETOOLONG;
  std::string_view s(reinterpret_cast<const char*>(bytes_.data()), n);
  bytes_ = bytes_.subspan(n);
  return s;
}

ErrorOr<std::span<const std::byte>> Reader::GetSpan(size_t n) {
  if (n > bytes_.size()) return kEPROTO;
  auto s = bytes_.first(n);
  bytes_ = bytes_.subspan(n);
  return s;
}

ErrorOr<void> Reader::End() const {
  if (!bytes_.empty()) return kEPROTO;
  return {};
}

ErrorOr<RequestHeader> ReadRequestHeader(Reader& message, size_t length) {
  RequestHeader h = TRY(message.Get<RequestHeader>());
  if (h.length != length || h.zero != 0 || h.op == 0 || h.op >= kOpCount) return kEPROTO;
  if (h.id == 0 && h.op != static_cast<uint16_t>(Op::kClose)) return kEPROTO;
  return h;
}

ErrorOr<ReplyHeader> ReadReplyHeader(Reader& message, size_t length) {
  ReplyHeader h = TRY(message.Get<ReplyHeader>());
  if (h.length != length || h.fd_count > 1) return kEPROTO;
  if (h.error != 0 && length != sizeof(ReplyHeader)) return kEPROTO;
  return h;
}

ErrorOr<void> CheckName(std::string_view name) {
  if (name.size() > kMaxName) return kENAMETOOLONG;
  if (name.empty() || name == "." || name == "..") return kEINVAL;
  for (char c : name) {
    if (c == '/' || c == '\0') return kEINVAL;
  }
  return {};
}

}  // namespace moat::gofer
