// Where read data goes and written data comes from: guest iovecs, or a kernel buffer (splice, exec, tests).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/kern/user_memory.h"
#include "base/util/error.h"

namespace moat {

// A destination. Sinks and sources move forward by what was taken; a fault after some bytes gives a short count, a fault on
// the first byte kEFAULT.
class IoSink {
 public:
  virtual ~IoSink() = default;
  virtual size_t remaining() const = 0;  // bytes that still fit
  // Takes a prefix of `data`; returns its length (all of it if it fits and no fault).
  virtual ErrorOr<size_t> Put(std::span<const std::byte> data) = 0;
  virtual ErrorOr<size_t> PutZeros(size_t n);
};

class IoSource {
 public:
  virtual ~IoSource() = default;
  virtual size_t remaining() const = 0;
  // Fills a prefix of `buffer`, returns its length (min(buffer, remaining) if no fault). 0 at the end.
  virtual ErrorOr<size_t> Get(std::span<std::byte> buffer) = 0;
  // Takes the last `n` bytes back: an object looked at them and had no room. Sources that cannot go back end here.
  virtual void Unget(size_t n) {}
};

class BufferSink final : public IoSink {
 public:
  explicit BufferSink(std::span<std::byte> buffer) : buffer_(buffer) {}
  size_t remaining() const override { return buffer_.size() - done_; }
  ErrorOr<size_t> Put(std::span<const std::byte> data) override;
  size_t done() const { return done_; }

 private:
  std::span<std::byte> buffer_;
  size_t done_ = 0;
};

class BufferSource final : public IoSource {
 public:
  explicit BufferSource(std::span<const std::byte> buffer) : buffer_(buffer) {}
  size_t remaining() const override { return buffer_.size() - done_; }
  ErrorOr<size_t> Get(std::span<std::byte> buffer) override;
  void Unget(size_t n) override;
  size_t done() const { return done_; }

 private:
  std::span<const std::byte> buffer_;
  size_t done_ = 0;
};

// One guest range of an iovec.
struct UserRange {
  UserAddr addr;
  size_t length;
};

class UserSink final : public IoSink {
 public:
  UserSink(UserMemory& memory, std::vector<UserRange> ranges);
  size_t remaining() const override { return remaining_; }
  ErrorOr<size_t> Put(std::span<const std::byte> data) override;

 private:
  UserMemory& memory_;
  std::vector<UserRange> ranges_;
  size_t index_ = 0, offset_ = 0, remaining_ = 0;
};

class UserSource final : public IoSource {
 public:
  UserSource(UserMemory& memory, std::vector<UserRange> ranges);
  size_t remaining() const override { return remaining_; }
  ErrorOr<size_t> Get(std::span<std::byte> buffer) override;
  void Unget(size_t n) override;

 private:
  UserMemory& memory_;
  std::vector<UserRange> ranges_;
  size_t index_ = 0, offset_ = 0, remaining_ = 0;
};

}  // namespace moat
