// Guest memory for unit tests: one range of bytes, everything around it faults.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/kern/user_memory.h"

namespace moat {

class FakeUserMemory final : public UserMemory {
 public:
  FakeUserMemory(UserAddr base, size_t size) : base_(base), bytes_(size) {}

  ErrorOr<size_t> CopyInPartial(UserAddr src, std::span<std::byte> dst) override {
    ++copies;
    size_t n = Fits(src, dst.size());
    if (n == 0 && !dst.empty()) return kEFAULT;
    if (n) memcpy(dst.data(), &bytes_[src - base_], n);
    return n;
  }
  ErrorOr<size_t> CopyOutPartial(UserAddr dst, std::span<const std::byte> src) override {
    ++copies;
    size_t n = Fits(dst, src.size());
    if (n == 0 && !src.empty()) return kEFAULT;
    if (n) memcpy(&bytes_[dst - base_], src.data(), n);
    return n;
  }
  std::byte* data() { return bytes_.data(); }

  int copies = 0;  // calls of the two above

 private:
  size_t Fits(UserAddr addr, size_t n) const {
    if (addr < base_ || addr - base_ >= bytes_.size()) return 0;
    return std::min<size_t>(n, bytes_.size() - (addr - base_));
  }
  UserAddr base_;
  std::vector<std::byte> bytes_;
};

}  // namespace moat
