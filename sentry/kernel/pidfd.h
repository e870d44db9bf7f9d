// pidfd_open(2): a file that stands for a process and becomes readable when it exits.
#pragma once

#include "base/util/error.h"
#include "fs/vfs/file_description.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

class PidFd final : public FileDescription {
 public:
  PidFd(Ref<ThreadGroup> group, uint32_t flags);

  // Null between the reservation of a clone's pidfd and the birth of its child; no guest sees it then.
  void Bind(Ref<ThreadGroup> group) { group_ = std::move(group); }
  ThreadGroup& group() const { return *group_; }
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &group_->exit_event; }
  bool pollable() const override { return true; }
  bool seekable() const override { return false; }
  std::string FdInfo() override;

 private:
  Ref<ThreadGroup> group_;
};

// A new close-on-exec descriptor of `t` for `group`; EMFILE.
ErrorOr<int> InstallPidfd(Task& t, ThreadGroup& group, bool nonblocking);

}  // namespace moat
