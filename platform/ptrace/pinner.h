// Keeps chatty guest threads on the tracer's CPU: a hand-off there costs a sixth of one that wakes another
// CPU. A thread is chatty while its calls come less than 100 us apart; a computing one keeps the freedom of
// all CPUs. One whose calls the tracer polls for is kept apart from it instead. Tracer thread only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/fiber/executor.h"

namespace moat::ptrace {

// One guest thread's placement.
struct Placement {
  int tid = 0;
  uint64_t mask = ~uint64_t{0};  // CPUs that the guest asked for
  int64_t last_call_ns = 0;
  uint8_t quick_calls = 0;
  bool pinned = false;
  bool apart = false;  // pinned to all CPUs but the tracer's
  bool running = false;
};

class Pinner {
 public:
  // The zygote goes with the tracer: its clones start where they are needed.
  explicit Pinner(int zygote_tid);

  void OnTrap(Placement& p, int64_t now_ns);
  // A thread whose call was taken without a trap waits.
  void OnParked(Placement& p) { SetRunning(p, false); }
  void OnResume(Placement& p) {
    SetRunning(p, true);
    if (p.pinned && (!ticking_ || (here_ > 1 && !hurried_))) StartTicking();
  }
  // A new thread cloned by `parent` inherits its CPUs; it counts as chatty until it shows otherwise.
  void OnClone(const Placement& parent, Placement& child, int64_t now_ns);
  // Before and after the zygote's clone of a fresh address space: starting programs make many calls.
  void BeforeSpawn();
  void OnSpawn(Placement& p, int64_t now_ns);
  void SetMask(Placement& p, uint64_t mask);
  void Forget(Placement& p);
  // Moves a stopped thread off the tracer's CPU, or to it. Separate: false if there is no other CPU for it.
  bool Separate(Placement& p);
  void Join(Placement& p);
  // CPUs that the sentry and its guests have.
  int cpus() const;

 private:
  // On the tracer's CPU, or waiting for it.
  static bool IsHere(const Placement& p) { return p.pinned && !p.apart && p.running; }
  // Every change of what IsHere tells.
  template <class Change>
  void Update(Placement& p, Change change) {
    here_ -= IsHere(p);
    change();
    here_ += IsHere(p);
  }
  void SetRunning(Placement& p, bool running) {
    Update(p, [&] { p.running = running; });
  }
  void AddPinned(Placement& p, bool apart);
  void Pin(Placement& p);
  void Unpin(Placement& p);
  void Leave(Placement& p);
  void Drop(Placement& p);
  void StartTicking();
  void Tick();
  void PinTracer();
  void MaskOf(const Placement& p, std::span<uint64_t, 16> mask) const;
  void ApplyMask(const Placement& p);

  std::vector<Placement*> pinned_;
  uint64_t allowed_[16] = {};  // the sentry's own CPUs at start
  int tracer_cpu_ = -1;        // -1: not pinned itself
  const int zygote_tid_;
  int here_ = 0;
  bool ticking_ = false;
  bool hurried_ = false;  // the tick comes early: threads that run are waiting for each other
  Timer timer_;
};

}  // namespace moat::ptrace
