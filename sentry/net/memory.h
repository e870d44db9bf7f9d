// What lies unread in the sockets of the sandbox, all together. Buffers bound one socket; a guest may have many, and
// connections that nobody accepted outlive the sockets that filled them.
#pragma once

#include <atomic>
#include <cstddef>

#include "base/kern/held.h"

namespace moat {

class SocketMemory {
 public:
  // Enough for a thousand full connections; then sends fail with ENOBUFS (datagrams are dropped), as in Linux beyond tcp_mem.
  static constexpr size_t kLimit = size_t{512} << 20;

  static void Take(size_t bytes) {
    used_.fetch_add(bytes, std::memory_order_relaxed);
    HeldMemory::TakeAlways(bytes);
  }
  static void Give(size_t bytes) {
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    HeldMemory::Give(bytes);
  }
  static size_t used() { return used_.load(std::memory_order_relaxed); }
  static bool full() { return used() >= kLimit || HeldMemory::full(); }

 private:
  static inline std::atomic<size_t> used_{0};
};

}  // namespace moat
