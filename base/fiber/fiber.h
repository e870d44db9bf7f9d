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

 private:
  friend class Executor;
  Fiber() = default;
  ~Fiber() = default;
  struct Impl;

  std::atomic<int> state_{0};
  std::atomic<bool> killed_{false};
  void* context_ = nullptr;       // jump_fcontext's handle while switched out
  void* stack_ = nullptr;         // lowest usable address
  void* fake_stack_ = nullptr;    // ASan's
  void* tsan_fiber_ = nullptr;    // TSan's
  std::function<void()> body_;
  ListNode ready_node_;
};

// A one-shot event that one fiber waits for and any thread completes.
class Completion {
 public:
  void Complete();  // any thread, once; the waiter may destroy the Completion as soon as Wait returned
  void Wait();      // on a fiber
  // As Wait, but kEINTR if the fiber is killed first: then the completer may still hold a reference, so the Completion
  // must live in a shared object.
  ErrorOr<void> WaitKillable();
  bool done() const { return done_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> done_{false};
  std::atomic<Fiber*> waiter_{nullptr};
};

}  // namespace moat
