// signalfd(2): pending signals as a file. It shows the signals of whoever asks, so that a child that inherits it reads its
// own.
#pragma once

#include <atomic>
#include <vector>

#include "abi/signal.h"
#include "base/sync/mutex.h"
#include "fs/vfs/file_description.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

class SignalFd final : public FileDescription {
 public:
  // `mask`: the signals to show; SIGKILL and SIGSTOP are dropped. `flags`: SFD_NONBLOCK. `group` made it.
  SignalFd(Ref<ThreadGroup> group, abi::SigSet mask, uint32_t flags);

  void SetMask(abi::SigSet mask);
  abi::SigSet mask() const { return mask_.load(std::memory_order_relaxed); }

  // Whole struct signalfd_siginfo; kEINVAL if none fits, kEAGAIN if no signal of the mask is pending.
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) override;
  EventMask Readiness() override;
  WaitQueue* wait_queue() override;  // the asking process's
  bool pollable() const override { return true; }
  bool seekable() const override { return false; }
  std::string FdInfo() override;

 private:
  // Processes whose queues this file handed out and therefore keeps: the maker and those that inherited it and waited.
  static constexpr size_t kMaxGroups = 64;
  std::atomic<abi::SigSet> mask_;
  Mutex mu_;
  std::vector<Ref<ThreadGroup>> groups_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat
