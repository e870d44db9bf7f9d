// Fibers: kernel stacks for handlers that may have to wait. Straight-line blocking code without a host thread each.
//
// A fiber runs on a worker (a host thread inside Executor::RunReady) until it returns or parks. Whoever makes its
// condition true unparks it, from any thread, and a worker resumes it. Rules: a parked fiber holds no short Mutex; a fiber
// always runs to its end and is never destroyed while parked (a kill is an error that unwinds); no errno and no
// thread_local survives a park. Stacks are 64 KiB (256 KiB under ASan) with a guard page, pooled.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "base/util/error.h"
#include "base/util/intrusive_list.h"

namespace moat {

class Fiber {
 public:
  // The fiber that runs here, or null on a bare host thread.
  static Fiber* Current();

  // Parks the current fiber until Unpark. An Unpark that came first makes it return at once (one token, not a count), so
  // callers re-check their condition in a loop.
  static void Park();
  // Makes `this` runnable. Any thread. The fiber must not have ended.
  void Unpark();

  // Marks the fiber as killed and unparks it: killable waits return kEINTR from now on. Any thread.
  void Kill();
  bool killed() const { return killed_.load(std::memory_order_acquire); }

  // What the code on this fiber acts for (the kernel's task), or null. Set and cleared by the fiber itself.
  void* actor = nullptr;

 private:
  friend class Executor;
  friend class TaskMutex;
  friend struct FiberOps;
  Fiber() = default;
  ~Fiber() = default;  // never destroyed: a late Unpark may still touch a fiber that ended

  std::atomic<int> state_{0};     // FiberOps::State
  std::atomic<bool> killed_{false};
  void* context_ = nullptr;       // jump_fcontext's handle of this fiber while it is switched out
  void* caller_ = nullptr;        // ... and of whoever switched to it, while it runs
  char* stack_ = nullptr;         // lowest usable address
  std::function<void()> body_;
  ListNode ready_node_;
  // TaskMutex ranks held, for the rank check of debug builds.
  static constexpr int kMaxRanks = 16;
  int ranks_[kMaxRanks];
  int rank_count_ = 0;
  // For the sanitizers: this fiber's and its caller's stacks.
  void* fake_stack_ = nullptr;
  const void* caller_stack_ = nullptr;
  size_t caller_stack_size_ = 0;
  void* tsan_fiber_ = nullptr;
  void* tsan_caller_ = nullptr;
};

// A one-shot event that one fiber waits for and any thread completes.
class Completion {
 public:
  void Complete();  // any thread, once; the waiter may destroy the Completion as soon as Wait returned
  void Wait();      // on a fiber
  // As Wait, but kEINTR if the fiber is killed first: then the completer may still hold a reference, so the Completion
  // must live in a shared object.
  ErrorOr<void> WaitKillable();
  bool done() const { return waiter_.load(std::memory_order_acquire) == kDone; }

 private:
  // Null, the waiting fiber, or kDone. One word, so that the completer's last access is the one that lets the waiter go.
  static constexpr uintptr_t kDone = 1;
  std::atomic<uintptr_t> waiter_{0};
};

}  // namespace moat
