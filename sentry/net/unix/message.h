// What lies in the queues of AF_UNIX sockets, and what it costs its sender.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "abi/socket.h"
#include "base/kern/io.h"
#include "base/kern/wait_queue.h"
#include "base/util/ref.h"
#include "sentry/net/unix/in_flight.h"

namespace moat {

// The sending half of a socket: how many bytes of it lie unread in others' queues, and who waits on the socket. Outlives
// the socket while messages of it are queued.
class Outbox final : public RefCounted {
 public:
  WaitQueue& queue() { return queue_; }
  int limit() const { return limit_.load(std::memory_order_relaxed); }
  void set_limit(int bytes) { limit_.store(bytes, std::memory_order_relaxed); }
  size_t charged() const { return charged_.load(std::memory_order_acquire); }
  // sock_alloc_send_skb: a send may start while less than the limit is out.
  bool has_room() const { return charged() < static_cast<size_t>(limit()); }
  // unix_writable: what poll(2) calls writable.
  bool writable() const { return charged() * 4 <= static_cast<size_t>(limit()); }
  void Charge(size_t bytes) { charged_.fetch_add(bytes, std::memory_order_acq_rel); }
  void Uncharge(size_t bytes);

 private:
  WaitQueue queue_;
  std::atomic<int> limit_{212992};
  std::atomic<size_t> charged_{0};
};

class UnixMessage {
 public:
  // Bookkeeping of a message, charged besides its bytes: a sender of empty messages fills its buffer too.
  static constexpr size_t kOverhead = 512;

  // Takes `size` bytes out of `src` and charges them. kEFAULT, kENOBUFS.
  static ErrorOr<std::unique_ptr<UnixMessage>> Create(IoSource& src, size_t size, Ref<Outbox> sender);
  ~UnixMessage();
  UnixMessage(const UnixMessage&) = delete;

  // Not yet consumed.
  std::span<const std::byte> bytes() const { return {data_.get() + consumed_, size_ - consumed_}; }
  size_t size() const { return size_ - consumed_; }
  void Consume(size_t n) { consumed_ += n; }

  FilesInFlight files;
  abi::Ucred sender_credentials{};
  std::string sender_name;  // sun_path bytes; empty: unnamed

 private:
  UnixMessage() = default;
  std::unique_ptr<std::byte[]> data_;
  size_t size_ = 0, consumed_ = 0;
  size_t charge_ = 0;
  Ref<Outbox> sender_;
};

}  // namespace moat
