// Signal handlers and masks for the length of a scope, and a handler that counts.
#pragma once

#include <signal.h>
#include <time.h>

#include <atomic>
#include <initializer_list>

#include "tests/util/matchers.h"

namespace moat::test {

// The set of these signals.
inline sigset_t SignalSet(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int sig : signals) sigaddset(&set, sig);
  return set;
}

// Installs an action for one signal and puts the former one back at destruction.
class ScopedSigaction {
 public:
  ScopedSigaction(int sig, const struct sigaction& action) : sig_(sig) {
    EXPECT_THAT(sigaction(sig, &action, &old_), SyscallSucceeds());
  }
  ScopedSigaction(int sig, void (*handler)(int), int flags = 0) : sig_(sig) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    EXPECT_THAT(sigaction(sig, &action, &old_), SyscallSucceeds());
  }
  ScopedSigaction(int sig, void (*handler)(int, siginfo_t*, void*), int flags) : sig_(sig) {
    struct sigaction action = {};
    action.sa_sigaction = handler;
    action.sa_flags = flags | SA_SIGINFO;
    EXPECT_THAT(sigaction(sig, &action, &old_), SyscallSucceeds());
  }
  ScopedSigaction(const ScopedSigaction&) = delete;
  ScopedSigaction& operator=(const ScopedSigaction&) = delete;
  ~ScopedSigaction() { sigaction(sig_, &old_, nullptr); }

 private:
  int sig_;
  struct sigaction old_;
};

// Changes the calling thread's mask (SIG_BLOCK, SIG_UNBLOCK or SIG_SETMASK) and puts the former one back.
class ScopedSignalMask {
 public:
  ScopedSignalMask(int how, std::initializer_list<int> signals) {
    const sigset_t set = SignalSet(signals);
    EXPECT_EQ(pthread_sigmask(how, &set, &old_), 0);
  }
  ScopedSignalMask(const ScopedSignalMask&) = delete;
  ScopedSignalMask& operator=(const ScopedSignalMask&) = delete;
  ~ScopedSignalMask() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

 private:
  sigset_t old_;
};

// Counts the deliveries of one signal while in scope; flags as for sigaction (SA_RESTART, ...).
class SignalCounter {
 public:
  explicit SignalCounter(int sig, int flags = 0) : sig_(sig), action_(sig, &SignalCounter::Count, flags) {
    counts_[sig] = 0;
  }
  int count() const { return counts_[sig_]; }
  void Clear() { counts_[sig_] = 0; }

 private:
  static void Count(int sig) { ++counts_[sig]; }
  static inline std::atomic<int> counts_[65];
  int sig_;
  ScopedSigaction action_;
};

// Discards a pending instance of each of these blocked signals.
inline void DrainSignals(std::initializer_list<int> signals) {
  const sigset_t set = SignalSet(signals);
  const timespec zero = {};
  while (sigtimedwait(&set, nullptr, &zero) > 0) {
  }
}

}  // namespace moat::test
