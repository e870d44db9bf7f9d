// futex(2): sleeping on a word of guest memory.
//
// WAIT enqueues, then reads and compares; a wake that hit it meanwhile is passed on (no host call under the bucket lock).
// Read-modify-write operations go through MemoryManager::Atomic. Keys come from the book (MemoryManager::KeyOf).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/kern/user_memory.h"
#include "base/util/error.h"

namespace moat {

class MemoryManager;
class Task;

class FutexManager {
 public:
  FutexManager();
  ~FutexManager();

  // The calls; errors as futex(2). `deadline_ns` is CLOCK_MONOTONIC (the caller converts), kForever without a timeout.
  ErrorOr<void> Wait(Task& t, UserAddr addr, bool shared, uint32_t value, uint32_t bitset, int64_t deadline_ns);
  ErrorOr<int> Wake(Task& t, UserAddr addr, bool shared, int count, uint32_t bitset);
  ErrorOr<int> Requeue(Task& t, UserAddr from, UserAddr to, bool shared, int wake, int move, const uint32_t* expected);
  ErrorOr<int> WakeOp(Task& t, UserAddr addr1, UserAddr addr2, bool shared, int wake1, int wake2, uint32_t op);
  ErrorOr<void> LockPi(Task& t, UserAddr addr, bool shared, int64_t deadline_ns, bool try_only);
  ErrorOr<void> UnlockPi(Task& t, UserAddr addr, bool shared);
  ErrorOr<void> WaitRequeuePi(Task& t, UserAddr from, UserAddr to, bool shared, uint32_t value, uint32_t bitset,
                              int64_t deadline_ns);
  ErrorOr<int> RequeuePi(Task& t, UserAddr from, UserAddr to, bool shared, int move, uint32_t expected);
  struct VectorEntry {
    UserAddr addr;
    uint32_t value;
    bool shared;
  };
  // futex_waitv(2): the index of one that was woken.
  ErrorOr<int> WaitV(Task& t, std::span<const VectorEntry> entries, int64_t deadline_ns);

  // Wakes waiters of a word without a task: clear_child_tid.
  void WakeAddress(MemoryManager& mm, UserAddr addr, int count);
  // The end of a task, in its own handler: marks what its robust list names (FUTEX_OWNER_DIED), hands PI locks on.
  void ExitRobustList(Task& t);
  void ExitPi(Task& t);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat
