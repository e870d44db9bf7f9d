#include "base/kern/user_memory.h"

#include <algorithm>

namespace moat {

ErrorOr<void> UserMemory::CopyIn(UserAddr src, void* dst, size_t n) {
  if (n == 0) return {};
  size_t done = TRY(CopyInPartial(src, {static_cast<std::byte*>(dst), n}));
  if (done != n) return kEFAULT;
  return {};
}

ErrorOr<void> UserMemory::CopyOut(UserAddr dst, const void* src, size_t n) {
  if (n == 0) return {};
  size_t done = TRY(CopyOutPartial(dst, {static_cast<const std::byte*>(src), n}));
  if (done != n) return kEFAULT;
  return {};
}

ErrorOr<std::string> UserMemory::ReadString(UserAddr src, size_t limit) {
  constexpr size_t kPage = 4096;
  constexpr size_t kFirstChunk = 256;  // most paths are short: one small copy
  std::string out;
  size_t chunk = kFirstChunk;
  while (out.size() < limit) {
    // Never read across a page boundary that the string may not reach.
    size_t n = std::min({chunk, limit - out.size(), kPage - static_cast<size_t>((src + out.size()) % kPage)});
    size_t old = out.size();
    out.resize(old + n);
    size_t done = TRY(CopyInPartial(src + old, {reinterpret_cast<std::byte*>(out.data()) + old, n}));
    if (const void* nul = memchr(out.data() + old, 0, done)) {
      out.resize(static_cast<size_t>(static_cast<const char*>(nul) - out.data()));
      return out;
    }
    if (done != n) return kEFAULT;
    chunk = kPage;
  }
  return kENAMETOOLONG;
}

ErrorOr<void> UserMemory::Zero(UserAddr dst, size_t n) {
  static constexpr std::byte kZeros[4096] = {};
  while (n > 0) {
    size_t step = std::min(n, sizeof kZeros);
    TRY(CopyOut(dst, kZeros, step));
    dst += step;
    n -= step;
  }
  return {};
}

}  // namespace moat
