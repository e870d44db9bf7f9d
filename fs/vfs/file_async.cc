#include "fs/vfs/file_async.h"

#include <utility>

#include "abi/poll.h"
#include "abi/signal.h"

namespace moat {

namespace {
constexpr EventMask kSaysWhat = kAsyncIn | kAsyncOut | kAsyncError | kAsyncHangup | kAsyncNothing;
}

FileAsync::FileAsync(AsyncKind kind, bool reads, bool writes, WaitQueue* queue)
    : Waiter(~0u), kind_(kind), reads_(reads), writes_(writes), queue_(kind == AsyncKind::kNone ? nullptr : queue) {
  if (queue_) queue_->Add(*this);
}

FileAsync::~FileAsync() {
  if (queue_) queue_->Remove(*this);
}

Ref<FileOwner> FileAsync::owner() {
  MutexLock lock(mu_);
  return owner_;
}

void FileAsync::SetOwner(Ref<FileOwner> owner) {
  MutexLock lock(mu_);
  std::swap(owner_, owner);  // the former one goes after the lock
}

int FileAsync::signal() {
  MutexLock lock(mu_);
  return signal_;
}

void FileAsync::SetSignal(int signo) {
  MutexLock lock(mu_);
  signal_ = signo;
}

void FileAsync::Enable(int fd) {
  MutexLock lock(mu_);
  enabled_ = true;
  fd_ = fd;
}

void FileAsync::Disable() {
  MutexLock lock(mu_);
  enabled_ = false;
}

int FileAsync::CodeOf(EventMask events) {
  if (events & kAsyncNothing) return 0;
  if (events & kAsyncIn) return abi::kPOLL_IN;
  if (events & kAsyncOut) return writes_ ? abi::kPOLL_OUT : 0;
  if (events & kAsyncError) return abi::kPOLL_ERR;
  if (events & kAsyncHangup) return abi::kPOLL_HUP;
  if ((events & abi::kPOLLIN) && reads_) return abi::kPOLL_IN;
  if ((events & abi::kPOLLOUT) && writes_) {
    bool news = kind_ == AsyncKind::kPipe || wants_room_.exchange(false, std::memory_order_relaxed);
    return news ? abi::kPOLL_OUT : 0;
  }
  return events & abi::kPOLLERR && kind_ != AsyncKind::kPipe ? abi::kPOLL_ERR : 0;
}

bool FileAsync::OnWake(EventMask events) {
  MutexLock lock(mu_);
  if (!owner_) return false;
  if (kind_ == AsyncKind::kSocket && (events & abi::kPOLLPRI) && !(events & kSaysWhat)) {
    owner_->SignalUrgent();
    // Who did not choose a signal has SIGURG and hears of no SIGIO for it.
    if (enabled_ && signal_) owner_->Signal(signal_, abi::kPOLL_PRI, fd_);
  }
  if (!enabled_) return false;
  if (int code = CodeOf(events)) owner_->Signal(signal_, code, fd_);
  return false;
}

}  // namespace moat
