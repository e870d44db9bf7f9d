#include "base/kern/wait_queue.h"

namespace moat {

namespace {
constexpr EventMask kAlwaysReported = 0x008 | 0x010;  // POLLERR | POLLHUP, poll(2)
}

void WaitQueue::Add(Waiter& w) {
  MutexLock lock(mu_);
  if (w.exclusive_) {
    waiters_.PushBack(w);
  } else {
    waiters_.PushFront(w);
  }
}

void WaitQueue::Remove(Waiter& w) {
  MutexLock lock(mu_);
  w.node_.Unlink();
}

void WaitQueue::Wake(EventMask events, int exclusive_limit) {
  MutexLock lock(mu_);
  Waiter* next = nullptr;
  for (Waiter* w = waiters_.front(); w; w = next) {
    next = waiters_.Next(*w);
    if (!(events & (w->mask_ | kAlwaysReported))) continue;
    if (w->exclusive_ && exclusive_limit <= 0) continue;
    if (w->OnWake(events) && w->exclusive_) --exclusive_limit;
  }
}

bool WaitQueue::empty() const {
  MutexLock lock(mu_);
  return waiters_.empty();
}

}  // namespace moat
