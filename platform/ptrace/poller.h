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

  // `thread` stopped. `on_path`: at a call that could have come by its page. It has not been served.
  void OnStop(PtraceThread& thread, bool on_path, int64_t now_ns);

  // Looking begins, if there is anything to look for: threads post from now on. Ends it.
  bool Begin(int64_t now_ns);
  void End();
  // A running thread that has posted a call, or null.
  PtraceThread* Posted() const;
  void OnServed(PtraceThread& thread);
  // Somebody else had our CPU for a while.
  void OnPreempted(int64_t now_ns);

 private:
  struct Candidate {
    PtraceThread* thread;
    // Calls that are, or could be, taken from its page, against stops, each of which costs as much as some calls save if the
    // thread is kept apart: it wakes another CPU.
    int balance = 0;
    bool polled = false;
    int64_t not_before_ns = 0;  // it stays with the tracer until then
  };
  Candidate* Find(PtraceThread& thread);
  void Join(Candidate& c, int64_t until_ns);
  // A CPU is to spare for the tracer beside `running` guest threads.
  bool HasCpuFor(int running, int64_t now_ns) const;

  Tracer& tracer_;
  Pinner& pinner_;
  std::vector<Candidate> threads_;
  int64_t not_before_ns_ = 0;  // the host has other work until then
};

}  // namespace moat::ptrace
