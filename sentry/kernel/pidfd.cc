#include "sentry/kernel/pidfd.h"

#include "abi/fcntl.h"
#include "abi/poll.h"
#include "abi/rlimit.h"
#include "fs/vfs/anon.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/kernel.h"

namespace moat {

PidFd::PidFd(Ref<ThreadGroup> group, uint32_t flags)
    : FileDescription(MakeAnonPath("anon_inode:[pidfd]", 0), flags), group_(std::move(group)) {}

EventMask PidFd::Readiness() {
  MutexLock lock(group_->kernel().tasks_lock);
  return group_->exited ? abi::kPOLLIN | abi::kPOLLRDNORM : 0;
}

std::string PidFd::FdInfo() {
  MutexLock lock(group_->kernel().tasks_lock);
  std::string pid = std::to_string(group_->reaped ? -1 : group_->tgid());
  return "Pid:\t" + pid + "\nNSpid:\t" + pid + "\n";
}

ErrorOr<int> InstallPidfd(Task& t, ThreadGroup& group, bool nonblocking) {
  uint32_t flags = abi::kO_RDWR | (nonblocking ? abi::kO_NONBLOCK : 0);
  return t.fds().Install(MakeRef<PidFd>(Ref<ThreadGroup>(&group), flags), true, t.group().Limit(abi::kRLIMIT_NOFILE));
}

}  // namespace moat
