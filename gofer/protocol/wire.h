// Builds and takes apart messages: bounds are checked at every step, nothing is allocated by a length that was not checked.
#pragma once

#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/util/error.h"
#include "gofer/protocol/messages.h"

namespace moat::gofer {

// Strings on the wire: a 16-bit length, then the bytes, no NUL.
class Writer {
 public:
  // Starts a message; the header (RequestHeader or ReplyHeader) is put in by FinishRequest or FinishReply.
  Writer() : bytes_(kHeader) {}

  template <class T> void Put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    PutBytes(&value, sizeof value);
  }
  void PutBytes(const void* data, size_t n);
  void PutString(std::string_view s);  // at most 65535 bytes
  // Overwrites what was put at `offset` (of size()).
  template <class T> void Patch(size_t offset, const T& value) { memcpy(bytes_.data() + offset, &value, sizeof value); }
  size_t size() const { return bytes_.size(); }
  // Forgets everything put since size() was `size`.
  void Truncate(size_t size) { bytes_.resize(size); }
  void Clear() { bytes_.resize(kHeader); }

  std::span<const std::byte> FinishRequest(uint64_t id, Op op);
  // With an error the body is dropped.
  std::span<const std::byte> FinishReply(uint64_t id, Errno error, uint16_t fd_count);

 private:
  static constexpr size_t kHeader = sizeof(RequestHeader);
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  // Each returns kEPROTO when the message is too short.
  template <class T> ErrorOr<T> Get() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    TRY(GetBytes(&value, sizeof value));
    return value;
  }
  ErrorOr<void> GetBytes(void* out, size_t n);
  ErrorOr<std::string_view> GetString(size_t limit);  // kENAMETOOLONG beyond `limit` bytes; points into the message
  ErrorOr<std::span<const std::byte>> GetSpan(size_t n);
  std::span<const std::byte> rest() const { return bytes_; }
  // kEPROTO unless everything was taken: a request with a tail is refused.
  ErrorOr<void> End() const;

 private:
  std::span<const std::byte> bytes_;
};

// Splits a received message; kEPROTO if the header does not match what arrived.
ErrorOr<RequestHeader> ReadRequestHeader(Reader& message, size_t length);
ErrorOr<ReplyHeader> ReadReplyHeader(Reader& message, size_t length);

// A name that may be given to a directory: not empty, at most kMaxName bytes, no '/', no NUL, not "." or "..".
// kEINVAL (kENAMETOOLONG).
ErrorOr<void> CheckName(std::string_view name);

}  // namespace moat::gofer
