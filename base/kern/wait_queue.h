// Who waits for an object to become ready. Objects own a WaitQueue and Wake it after their state changed (after dropping
// their own lock); tasks, epoll items and poll entries hang Waiters on it.
#pragma once

#include <cstdint>

#include "base/sync/mutex.h"
#include "base/util/intrusive_list.h"

namespace moat {

// Readiness bits: poll(2)'s POLLIN, POLLOUT, ... (the same numbers as EPOLL*).
using EventMask = uint32_t;

class Waiter {
 public:
  explicit Waiter(EventMask mask, bool exclusive = false) : mask_(mask), exclusive_(exclusive) {}

  // Called by Wake with the queue's lock held, on any thread: mark and unpark, take no lock that is held while calling
  // Add, Remove or Wake. Returns true if it made use of the wake (counts against Wake's limit of exclusive waiters).
  virtual bool OnWake(EventMask events) = 0;

 protected:
  virtual ~Waiter() = default;

 private:
  friend class WaitQueue;
  EventMask mask_;
  bool exclusive_;
  ListNode node_;
};

class WaitQueue {
 public:
  void Add(Waiter& w);     // exclusive waiters go to the end
  void Remove(Waiter& w);  // after it, OnWake is not running and will not be called
  // Wakes every non-exclusive waiter whose mask meets `events` (POLLERR|POLLHUP always count), and exclusive ones until
  // `exclusive_limit` of them took it.
  void Wake(EventMask events, int exclusive_limit = 1);
  bool empty() const;

 private:
  mutable Mutex mu_;
  mutable IntrusiveList<Waiter, &Waiter::node_> waiters_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat
