#include "base/kern/io.h"

#include <algorithm>
#include <cstring>

namespace moat {

ErrorOr<size_t> IoSink::PutZeros(size_t n) {
  static constexpr std::byte kZeros[4096] = {};
  size_t done = 0;
  while (done < n && remaining() > 0) {
    size_t step = std::min(n - done, sizeof kZeros);
    ErrorOr<size_t> put = Put({kZeros, step});
    if (!put.ok()) return done ? ErrorOr<size_t>(done) : put;
    done += *put;
    if (*put < step) break;
  }
  return done;
}

ErrorOr<size_t> BufferSink::Put(std::span<const std::byte> data) {
  size_t n = std::min(data.size(), remaining());
  if (n) memcpy(buffer_.data() + done_, data.data(), n);
  done_ += n;
  return n;
}

ErrorOr<size_t> BufferSource::Get(std::span<std::byte> buffer) {
  size_t n = std::min(buffer.size(), remaining());
  if (n) memcpy(buffer.data(), buffer_.data() + done_, n);
  done_ += n;
  return n;
}

void BufferSource::Unget(size_t n) { done_ -= std::min(n, done_); }

namespace {

size_t TotalLength(const std::vector<UserRange>& ranges) {
  size_t total = 0;
  for (const UserRange& r : ranges) total += r.length;
  return total;
}

// Walks `ranges` from (index, offset), calling copy(addr, done so far, length) -> ErrorOr<size_t> for each piece of `want` bytes.
template <class Copy>
ErrorOr<size_t> Walk(const std::vector<UserRange>& ranges, size_t want, size_t& index, size_t& offset, size_t& remaining,
                     Copy copy) {
  size_t done = 0;
  while (done < want && index < ranges.size()) {
    const UserRange& r = ranges[index];
    if (offset == r.length) {
      ++index;
      offset = 0;
      continue;
    }
    size_t n = std::min(want - done, r.length - offset);
    ErrorOr<size_t> moved = copy(r.addr + offset, done, n);
    if (!moved.ok()) return done ? ErrorOr<size_t>(done) : moved;
    done += *moved;
    offset += *moved;
    remaining -= *moved;
    if (*moved < n) break;
  }
  return done;
}

}  // namespace

UserSink::UserSink(UserMemory& memory, std::vector<UserRange> ranges)
    : memory_(memory), ranges_(std::move(ranges)), remaining_(TotalLength(ranges_)) {}

ErrorOr<size_t> UserSink::Put(std::span<const std::byte> data) {
  return Walk(ranges_, data.size(), index_, offset_, remaining_, [&](UserAddr addr, size_t done, size_t n) {
    return memory_.CopyOutPartial(addr, data.subspan(done, n));
  });
}

UserSource::UserSource(UserMemory& memory, std::vector<UserRange> ranges)
    : memory_(memory), ranges_(std::move(ranges)), remaining_(TotalLength(ranges_)) {}

void UserSource::Unget(size_t n) {
  while (n > 0 && (offset_ > 0 || index_ > 0)) {
    if (offset_ == 0) {
      offset_ = ranges_[--index_].length;
      continue;
    }
    size_t step = std::min(n, offset_);
    offset_ -= step;
    remaining_ += step;
    n -= step;
  }
}

ErrorOr<size_t> UserSource::Get(std::span<std::byte> buffer) {
  return Walk(ranges_, buffer.size(), index_, offset_, remaining_, [&](UserAddr addr, size_t done, size_t n) {
    return memory_.CopyInPartial(addr, buffer.subspan(done, n));
  });
}

}  // namespace moat
