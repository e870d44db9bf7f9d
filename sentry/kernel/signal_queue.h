// Signals that wait for delivery (struct sigpending) and how each is handled (struct sighand_struct).
#pragma once

#include <array>
#include <cstdint>
#include <deque>

#include "abi/signal.h"
#include "base/util/error.h"
#include "base/util/ref.h"

namespace moat {

// The pending signals of one task or of one thread group. Guarded by the thread group's signal lock. A standard signal is
// held once, real-time ones queue in order, lowest number first (signal(7)).
class PendingSignals {
 public:
  abi::SigSet set() const { return set_; }
  // False if it was already pending (standard signals) and is dropped.
  bool Add(const abi::SigInfo& info);
  // Takes the next signal in `wanted`: synchronous faults first, then by number. False if none.
  bool Take(abi::SigSet wanted, abi::SigInfo* out);
  // Drops every instance of the signals in `set`.
  void Discard(abi::SigSet set);
  size_t size() const { return queue_.size(); }
  const std::deque<abi::SigInfo>& queue() const { return queue_; }  // in the order of sending

 private:
  abi::SigSet set_ = 0;
  std::deque<abi::SigInfo> queue_;
};

// The actions of a process; shared by CLONE_SIGHAND. Guarded by the signal lock of the thread groups that share it (the
// kernel's signal lock is one per sharing set: this object's).
class SignalActions final : public RefCounted {
 public:
  SignalActions() = default;
  SignalActions(const SignalActions& o) : actions(o.actions) {}
  // actions[n - 1] is signal n's.
  std::array<abi::Sigaction, abi::kNSIG> actions{};
  abi::Sigaction& of(int signo) { return actions[static_cast<size_t>(signo - 1)]; }

  bool Ignored(int signo);       // SIG_IGN, or SIG_DFL of a signal that is ignored by default
  void ResetForExec();           // handlers to SIG_DFL, SIG_IGN stays
};

// What SIG_DFL does (signal(7)).
enum class DefaultAction : uint8_t { kTerminate, kCore, kIgnore, kStop, kContinue };
DefaultAction DefaultActionOf(int signo);

// Makes a siginfo.
abi::SigInfo MakeSigInfo(int signo, int code);

}  // namespace moat
