// Guest memory as a type: nothing dereferences a UserAddr, bytes move by CopyIn and CopyOut only.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/util/error.h"

namespace moat {

using UserAddr = uint64_t;

// The address space of one guest task, as handlers see it.
class UserMemory {
 public:
  // Copy `dst.size()` bytes from / to the guest. Return the bytes done: less than asked only when a fault stopped the
  // copy after at least one byte; kEFAULT when the first byte already faults.
  virtual ErrorOr<size_t> CopyInPartial(UserAddr src, std::span<std::byte> dst) = 0;
  virtual ErrorOr<size_t> CopyOutPartial(UserAddr dst, std::span<const std::byte> src) = 0;

  // All or kEFAULT.
  ErrorOr<void> CopyIn(UserAddr src, void* dst, size_t n);
  ErrorOr<void> CopyOut(UserAddr dst, const void* src, size_t n);
  template <class T> ErrorOr<T> Read(UserAddr src) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    TRY(CopyIn(src, &value, sizeof value));
    return value;
  }
  template <class T> ErrorOr<void> Write(UserAddr dst, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return CopyOut(dst, &value, sizeof value);
  }
  // `count` elements; kEINVAL if they do not fit `limit` elements.
  template <class T> ErrorOr<std::vector<T>> ReadArray(UserAddr src, size_t count, size_t limit) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (count > limit) return kEINVAL;
    std::vector<T> v(count);
    if (count) TRY(CopyIn(src, v.data(), count * sizeof(T)));
    return v;
  }
  // A NUL-terminated string of at most `limit` bytes with its NUL: kENAMETOOLONG beyond, kEFAULT on a fault.
  ErrorOr<std::string> ReadString(UserAddr src, size_t limit);
  // A path for a path-taking call: at most PATH_MAX bytes.
  ErrorOr<std::string> ReadPath(UserAddr src) { return ReadString(src, 4096); }
  ErrorOr<void> Zero(UserAddr dst, size_t n);

 protected:
  ~UserMemory() = default;
};

}  // namespace moat
