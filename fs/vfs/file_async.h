// Signal-driven I/O of an open file (fcntl(2): F_SETOWN, F_SETSIG, O_ASYNC): who is told, by which signal, and about what.
//
// A file's FileAsync hangs on its wait queue from the first F_SETOWN, F_SETSIG or O_ASYNC until the file is taken apart, and
// turns wakes into signals. Lock order: WaitQueue > FileAsync::mu_ > Kernel::tasks_lock; so nobody wakes the queue of a file
// that has an async_kind() with tasks_lock held.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "base/util/ref.h"

namespace moat {

// What a wake means for signals where its events do not say it, as bits above poll(2)'s: POLL_OUT, POLL_ERR, POLL_HUP or
// nothing at all. Without one of them POLLPRI of a socket is urgent data, and POLLIN means POLL_IN, else POLLOUT means POLL_OUT, else
// POLLERR means POLL_ERR.
inline constexpr EventMask kAsyncOut = 1u << 16;
inline constexpr EventMask kAsyncError = 1u << 17;
inline constexpr EventMask kAsyncHangup = 1u << 18;
inline constexpr EventMask kAsyncNothing = 1u << 19;
inline constexpr EventMask kAsyncIn = 1u << 20;

// How a kind of file signals (Linux: its fasync).
enum class AsyncKind : uint8_t {
  kNone,      // O_ASYNC has no effect
  kPipe,      // input for readers, room for writers, always
  kPlain,     // input, and room after it was missed
  kTerminal,  // as kPlain; O_ASYNC gives it an owner
  kSocket,    // as kPlain; POLLPRI is SIGURG
};

// Whom F_SETOWN named. The kernel's.
class FileOwner : public RefCounted {
 public:
  // Sends `signo` (0: plain SIGIO) with POLL_* in si_code about descriptor `fd`, to whom the caller of F_SETOWN was allowed to
  // signal.
  virtual void Signal(int signo, int code, int fd) = 0;
  // Sends SIGURG.
  virtual void SignalUrgent() = 0;
};

class FileAsync final : private Waiter {
 public:
  // For a file with this wait queue (null: nothing ever happens).
  FileAsync(AsyncKind kind, bool reads, bool writes, WaitQueue* queue);
  ~FileAsync() override;

  Ref<FileOwner> owner();  // or null
  void SetOwner(Ref<FileOwner> owner);
  // F_SETSIG; 0: SIGIO.
  int signal();
  void SetSignal(int signo);
  // O_ASYNC; signals name `fd` from now on.
  void Enable(int fd);
  void Disable();

  // Somebody found the file not writable: its next POLLOUT is news. Any lock may be held.
  void MissedRoom() { wants_room_.store(true, std::memory_order_relaxed); }

 private:
  bool OnWake(EventMask events) override;
  // The POLL_* code of these events, 0: none.
  int CodeOf(EventMask events);

  const AsyncKind kind_;
  const bool reads_, writes_;
  WaitQueue* const queue_;
  std::atomic<bool> wants_room_{false};
  Mutex mu_;
  Ref<FileOwner> owner_ MOAT_GUARDED_BY(mu_);
  int signal_ MOAT_GUARDED_BY(mu_) = 0;
  bool enabled_ MOAT_GUARDED_BY(mu_) = false;
  int fd_ MOAT_GUARDED_BY(mu_) = -1;
};

}  // namespace moat
