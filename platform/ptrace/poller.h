// Decides when the tracer looks for posted calls instead of sleeping. Looking pays while calls come in quick succession and a CPU
// is to spare for it: never while as many guest threads run as there are CPUs, and not while the host has other work for ours.
// Tracer thread only.
#pragma once

#include <cstdint>
#include <vector>

namespace moat::ptrace {

class Pinner;
class PtraceThread;
class Tracer;

class Poller {
 public:
  Poller(Tracer& tracer, Pinner& pinner) : tracer_(tracer), pinner_(pinner) {}

  // There are CPUs enough for it at all.
  bool possible() const;
  // A thread with an express page.
  void Add(PtraceThread& thread) { threads_.push_back({&thread}); }
  void Remove(PtraceThread& thread);

  // A call of `thread` came by a stop that could have come by its page; it has not been served.
  void OnMissed(PtraceThread& thread, int64_t now_ns);

  // Looking begins, if there is anything to look for: threads post from now on. Ends it.
  bool Begin(int64_t now_ns);
  void End();
  // A running thread that has posted a call, or null.
  PtraceThread* Posted() const;
  void OnServed(PtraceThread& thread);
  // A session ended without one call.
  void OnSilence();
  // Somebody else had our CPU for a while.
  void OnPreempted(int64_t now_ns);

 private:
  struct Candidate {
    PtraceThread* thread;
    int wanted = 0;  // quick calls in a row that could have been posted
    int missed = 0;  // calls while it was apart and nobody looked
    int silent = 0;  // sessions in a row without a call of it
    bool polled = false;
  };
  Candidate* Find(PtraceThread& thread);
  void Join(Candidate& c, int64_t until_ns);

  Tracer& tracer_;
  Pinner& pinner_;
  std::vector<Candidate> threads_;
  int64_t not_before_ns_ = 0;
};

}  // namespace moat::ptrace
