// What the process of the kernel holds for its guests, against limits of the whole sandbox.
//
// One sandbox is one process, so the accounts are static. File content (tmpfs, memfds, shared memory) has an account of its own,
// fs/tmpfs/memory_limit.h. These catch the usual hogs with the error that Linux gives; `moat` measures the process as a whole
// (runtime/sandbox/memory_guard.h) and is the backstop for what is not counted here.
#pragma once

#include <atomic>
#include <cstdint>

namespace moat {

// Bytes of kernel objects that guests can make many of: pipe and socket buffers, descriptor tables, messages, inodes.
class HeldMemory {
 public:
  static void SetLimit(uint64_t bytes) { limit_.store(bytes, std::memory_order_relaxed); }
  // False if they do not fit: nothing was taken.
  [[nodiscard]] static bool Take(uint64_t bytes) {
    uint64_t used = used_.load(std::memory_order_relaxed);
    do {
      uint64_t limit = limit_.load(std::memory_order_relaxed);
      if (used > limit || bytes > limit - used) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return true;
  }
  // For small things on paths that asked full() before, or cannot fail.
  static void TakeAlways(uint64_t bytes) { used_.fetch_add(bytes, std::memory_order_relaxed); }
  static void Give(uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  static bool full() { return used() >= limit_.load(std::memory_order_relaxed); }
  static uint64_t used() { return used_.load(std::memory_order_relaxed); }

 private:
  static inline std::atomic<uint64_t> limit_{INT64_MAX};
  static inline std::atomic<uint64_t> used_{0};
};

// A number of things, counted against a limit.
template <class Tag>
class HeldCount {
 public:
  static void SetLimit(int64_t limit) { limit_.store(limit, std::memory_order_relaxed); }
  static int64_t limit() { return limit_.load(std::memory_order_relaxed); }
  static int64_t used() { return used_.load(std::memory_order_relaxed); }
  // Is there room for one more?
  static bool full() { return used() >= limit(); }
  static bool over() { return used() > limit(); }
  static void Add() { used_.fetch_add(1, std::memory_order_relaxed); }
  static void Drop() { used_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  static inline std::atomic<int64_t> limit_{INT64_MAX};
  static inline std::atomic<int64_t> used_{0};
};

// Open files of all guests (fs.file-max; ENFILE).
using OpenFiles = HeldCount<struct OpenFilesTag>;
// Host descriptors that stand for guests' files. Below RLIMIT_NOFILE, so that the kernel's own work never lacks one (ENFILE).
using HostFds = HeldCount<struct HostFdsTag>;

}  // namespace moat
