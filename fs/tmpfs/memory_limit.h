// A bound on memory, shared by whatever is charged to it: the size= of a tmpfs, the sandbox's own limit for shared memory.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/util/error.h"
#include "base/util/ref.h"

namespace moat {

class MemoryLimit final : public RefCounted {
 public:
  explicit MemoryLimit(uint64_t pages) : pages_(pages) {}

  // kENOSPC if they do not fit.
  ErrorOr<void> Charge(uint64_t pages) {
    uint64_t used = used_.load(std::memory_order_relaxed);
    do {
      uint64_t limit = pages_.load(std::memory_order_relaxed);
      if (used > limit || pages > limit - used) return kENOSPC;
    } while (!used_.compare_exchange_weak(used, used + pages, std::memory_order_relaxed));
    return {};
  }
  // For pages that exist already (written through a mapping).
  void ChargeAlways(uint64_t pages) { used_.fetch_add(pages, std::memory_order_relaxed); }
  void Uncharge(uint64_t pages) { used_.fetch_sub(pages, std::memory_order_relaxed); }

  uint64_t pages() const { return pages_.load(std::memory_order_relaxed); }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  uint64_t free() const { return used() < pages() ? pages() - used() : 0; }
  void set_pages(uint64_t pages) { pages_.store(pages, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> pages_;
  std::atomic<uint64_t> used_{0};
};

}  // namespace moat
