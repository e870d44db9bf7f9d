// Inside of base/fiber: how fibers are made, switched and kept for reuse.
#pragma once

#include <cstddef>
#include <functional>

#include "base/fiber/fiber.h"

namespace moat {

// What a host thread needs to run fibers. One a thread, reached through ThisWorker only: a fiber may go on on another thread
// after a switch, so nothing keeps the reference across one.
struct Worker {
  ~Worker();
  Fiber* current = nullptr;  // the fiber that runs here
  int depth = 0;             // > 0 inside Executor::Run or RunReady
  static constexpr int kMaxSpares = 16;
  Fiber* spares[kMaxSpares];
  int spare_count = 0;
};
Worker& ThisWorker();

struct FiberOps {
  // Where a fiber is. Unpark moves kRunning -> kRunningWoken (the token), kParking -> kParkingWoken (the worker that is
  // switching away from it sees that and goes on with it), kParked -> kReady (it is queued). Parking is a state of its own
  // because a fiber may not be resumed before its registers are saved.
  enum State : int { kSpare, kRunning, kRunningWoken, kParking, kParkingWoken, kParked, kReady };

  // Runs `body` on a spare fiber, on this thread, until it ends or parks.
  static void Start(std::function<void()> body);
  // Goes on with a kReady fiber, on this thread, until it ends or parks.
  static void Resume(Fiber& fiber);

 private:
  friend class Fiber;
  friend struct Worker;
  static void Run(Fiber& fiber);
  static Fiber& TakeSpare(Worker& worker);
  static void KeepSpare(Worker& worker, Fiber& fiber);
  static void KeepCold(Fiber& fiber);
  static Fiber* NewFiber();
  static void Main(Fiber& fiber);
  static void SwitchTo(Fiber& fiber);
  static void SwitchBack(Fiber& fiber);
  template <class Transfer> static void Entry(Transfer transfer);
};

}  // namespace moat
