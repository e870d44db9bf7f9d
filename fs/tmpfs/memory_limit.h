// A bound on memory, shared by whatever is charged to it: the size= of a tmpfs, the sandbox's own limit for shared memory. What is
// charged to any of them is charged to the whole sandbox's as well.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/util/error.h"
#include "base/util/ref.h"

namespace moat {

// A counter below a limit. Any thread.
struct PageAccount {
  std::atomic<uint64_t> pages;
  std::atomic<uint64_t> used{0};

  ErrorOr<void> Charge(uint64_t n) {
    uint64_t now = used.load(std::memory_order_relaxed);
    do {
      uint64_t limit = pages.load(std::memory_order_relaxed);
      if (now > limit || n > limit - now) return kENOSPC;
    } while (!used.compare_exchange_weak(now, now + n, std::memory_order_relaxed));
    return {};
  }
  uint64_t free() const {
    uint64_t limit = pages.load(std::memory_order_relaxed), now = used.load(std::memory_order_relaxed);
    return now < limit ? limit - now : 0;
  }
};

class MemoryLimit final : public RefCounted {
 public:
  explicit MemoryLimit(uint64_t pages) : mine_{pages} {}

  // The files in memory of the whole sandbox, all limits together.
  static void SetTotalLimit(uint64_t pages) { total_.pages.store(pages, std::memory_order_relaxed); }
  static uint64_t total_used() { return total_.used.load(std::memory_order_relaxed); }

  // kENOSPC if they do not fit.
  ErrorOr<void> Charge(uint64_t pages) {
    TRY(mine_.Charge(pages));
    ErrorOr<void> charged = total_.Charge(pages);
    if (!charged.ok()) mine_.used.fetch_sub(pages, std::memory_order_relaxed);
    return charged;
  }
  // For pages that exist already (written through a mapping).
  void ChargeAlways(uint64_t pages) {
    mine_.used.fetch_add(pages, std::memory_order_relaxed);
    total_.used.fetch_add(pages, std::memory_order_relaxed);
  }
  void Uncharge(uint64_t pages) {
    mine_.used.fetch_sub(pages, std::memory_order_relaxed);
    total_.used.fetch_sub(pages, std::memory_order_relaxed);
  }

  uint64_t pages() const { return mine_.pages.load(std::memory_order_relaxed); }
  uint64_t used() const { return mine_.used.load(std::memory_order_relaxed); }
  // What is left: the sandbox may have less than the file system.
  uint64_t free() const { return std::min(mine_.free(), total_.free()); }
  void set_pages(uint64_t pages) { mine_.pages.store(pages, std::memory_order_relaxed); }

 private:
  static inline PageAccount total_{INT64_MAX / 4096};
  PageAccount mine_;
};

}  // namespace moat
