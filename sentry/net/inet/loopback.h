// TCP within the sandbox: two byte queues between two ends, with TCP's visible rules (tcp(7)): what the other side's close
// does, resets, urgent data, back-pressure.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/sync/mutex.h"
#include "base/sync/task_mutex.h"
#include "sentry/net/inet/port_table.h"
#include "sentry/net/inet/tcp_stream.h"

namespace moat {

// Both ends: side 0 connected, side 1 was accepted.
class LoopbackLink final : public RefCounted {
 public:
  struct Side {
    InetName name;
    Ref<SocketQueue> queue;
    Ref<PortBinding> binding;  // held until both sides closed
  };
  LoopbackLink(Side client, Side server, PortTable& ports);

  // The listener takes or refuses it.
  void Establish();
  void Refuse();

 private:
  friend class LoopbackStream;
  struct Chunk {
    std::unique_ptr<std::byte[]> data;
    size_t begin = 0, end = 0, capacity = 0;
  };
  // Bytes towards one side.
  struct Inbound {
    std::deque<Chunk> chunks;
    size_t bytes = 0, reserved = 0;  // queued; promised to senders that copy
    uint64_t consumed = 0;           // ever
    bool fin = false;                // the sender is done
    bool shut = false;               // the receiver does not read any more
    bool has_urgent = false, urgent_taken = false;
    std::byte urgent{};
    uint64_t mark = 0;               // where in the stream the urgent byte was
    size_t limit = 2 * 212992;
    size_t send_part = 212992, receive_part = 212992;
  };

  ~LoopbackLink() override = default;
  size_t Room(int to) const MOAT_REQUIRES(mu_) {
    size_t used = in_[to].bytes + in_[to].reserved;
    return used < in_[to].limit ? in_[to].limit - used : 0;
  }
  void Append(Inbound& in, std::unique_ptr<std::byte[]> data, size_t size) MOAT_REQUIRES(mu_);
  // Side `side` learns of a reset.
  void ResetSide(int side, int error) MOAT_REQUIRES(mu_);
  void Wake(int side, EventMask events) { sides_[side].queue->queue.Wake(events); }

  PortTable& ports_;
  Side sides_[2];  // names and queues do not change
  TaskMutex readers_[2] = {TaskMutex(LockRank::kPipe), TaskMutex(LockRank::kPipe)};
  Mutex mu_;
  TcpStream::State state_ MOAT_GUARDED_BY(mu_) = TcpStream::State::kConnecting;
  Inbound in_[2] MOAT_GUARDED_BY(mu_);
  bool send_shut_[2] MOAT_GUARDED_BY(mu_) = {};
  bool closed_[2] MOAT_GUARDED_BY(mu_) = {};
  bool reset_[2] MOAT_GUARDED_BY(mu_) = {};
  int error_[2] MOAT_GUARDED_BY(mu_) = {};
  bool inline_urgent_[2] MOAT_GUARDED_BY(mu_) = {};
  int first_fin_ MOAT_GUARDED_BY(mu_) = -1;  // who closed first waits in TIME_WAIT
};

class LoopbackStream final : public TcpStream {
 public:
  LoopbackStream(Ref<LoopbackLink> link, int side) : link_(std::move(link)), me_(side), peer_(1 - side) {}
  Ref<SocketQueue> queue() { return link_->sides_[me_].queue; }

  State state() override;
  uint8_t tcp_state() override;
  InetName local() override { return link_->sides_[me_].name; }
  InetName remote() override { return link_->sides_[peer_].name; }
  ErrorOr<size_t> Send(IoSource& src, bool urgent) override;
  ErrorOr<size_t> Receive(IoSink& dst, ReceiveHow how) override;
  ErrorOr<size_t> ReceiveUrgent(IoSink& dst, bool peek) override;
  bool AtMark() override;
  void ShutReceive() override;
  void ShutSend() override;
  void Close(bool reset) override;
  EventMask Readiness(size_t low_water) override;
  int TakeError() override;
  size_t bytes_to_read() override;
  size_t bytes_to_send() override { return 0; }  // acknowledged at once
  void SetReceiveBuffer(size_t bytes) override;
  void SetSendBuffer(size_t bytes) override;
  void SetUrgentInline(bool on) override;

 private:
  ~LoopbackStream() override { Close(false); }
  // How much of `want` may be sent now; promised to the caller.
  ErrorOr<size_t> Reserve(size_t want);
  // The bytes at `skip` of the stream that lie in one piece, up to the urgent mark; empty: none.
  std::span<const std::byte> Piece(size_t skip, bool* at_mark);
  ErrorOr<size_t> NothingThere();
  void Consume(size_t n);

  const Ref<LoopbackLink> link_;
  const int me_, peer_;
};

// Who listens on a port: connections that wait for accept(2), and those that wait for room among these.
class TcpListener final : public RefCounted {
 public:
  TcpListener(Ref<SocketQueue> queue, size_t backlog) : queue_(std::move(queue)), backlog_(backlog) {}

  void set_backlog(size_t backlog);
  // Takes the connection now or later (its state says which). False: closed.
  bool Offer(Ref<LoopbackLink> link);
  // kEAGAIN; kEINVAL after Close.
  ErrorOr<Ref<LoopbackLink>> Accept();
  bool has_connection();
  // Resets who was not accepted.
  void Close();

 private:
  const Ref<SocketQueue> queue_;
  Mutex mu_;
  bool open_ MOAT_GUARDED_BY(mu_) = true;
  size_t backlog_ MOAT_GUARDED_BY(mu_);
  std::deque<Ref<LoopbackLink>> ready_ MOAT_GUARDED_BY(mu_), waiting_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat
