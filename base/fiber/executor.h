// Runs fibers, posted work and timers on the workers. A process has one.
//
// A worker is a host thread of the platform: it calls RunReady() whenever it has no trap to handle, then sleeps in its
// own way (wait4, a futex) until a trap comes or the kick function, given by the platform, is called.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "base/fiber/fiber.h"
#include "base/sync/mutex.h"

namespace moat {

class Timer;

class Executor {
 public:
  static Executor& Get();

  // Runs `body` on a spare fiber of this worker right away; returns when it ended or parked. Workers only.
  void Run(std::function<void()> body);
  // Queues `body` for a worker (run on a fiber of its own). Any thread.
  void Post(std::function<void()> body);
  // Runs runnable fibers, posted work and due timers until there is nothing left to do now. Workers only.
  void RunReady();
  // True if RunReady would find something to do. Any thread.
  bool HasReady() const;
  // When the next timer is due (CLOCK_MONOTONIC ns), INT64_MAX if none. A worker that goes to sleep arms its own alarm.
  int64_t NextDeadline() const;

  // Called (from any thread) after something became runnable or the earliest deadline moved forward in time, unless the
  // caller is a worker. Must be async-signal-unsafe-free and cheap; set once before other threads start.
  void SetKick(void (*kick)(void* arg), void* arg);

  // For unit tests: plays worker on the calling thread until `done` returns true, sleeping between.
  void RunUntil(const std::function<bool()>& done);

 private:
  friend class Fiber;
  friend class Timer;
  template <class T> friend class NoDestructor;
  Executor();
  ~Executor();
  struct Impl;
  void PushReady(Fiber& fiber);
  std::unique_ptr<Impl> impl_;
};

// A one-shot timer. Arm and Cancel: on workers. The callback runs on a worker, on a fiber, and never after Cancel returned
// (or the Timer was destroyed) on that same worker.
class Timer {
 public:
  explicit Timer(std::function<void()> on_expiry);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void Arm(int64_t deadline_ns);  // CLOCK_MONOTONIC; replaces an earlier deadline
  void Cancel();
  bool armed() const;

 private:
  friend class Executor;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace moat
