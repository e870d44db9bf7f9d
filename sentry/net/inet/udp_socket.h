// UDP sockets (udp(7)).
#pragma once

#include <deque>
#include <memory>

#include "base/sync/task_mutex.h"
#include "sentry/net/inet/inet_socket.h"

namespace moat {

// What arrives for a UDP socket; the port table holds it while the socket is bound.
class UdpInbox final : public RefCounted {
 public:
  struct Datagram {
    std::unique_ptr<std::byte[]> data;
    size_t size = 0;
    InetName from, to;
    int64_t time_ns = 0;  // CLOCK_REALTIME
    int ttl = 0, tos = 0;
  };
  explicit UdpInbox(Ref<SocketQueue> queue) : queue_(std::move(queue)) {}

  void set_limit(size_t bytes) { limit_.store(bytes, std::memory_order_relaxed); }
  // Drops it if there is no room: nobody is told.
  void Deliver(Datagram datagram);
  // An ICMP message for this socket.
  void Fail(Errno error);
  int TakeError();
  // The first one, which stays until Pop; null: none. One reader at a time.
  const Datagram* Front();
  Datagram Pop();
  size_t first_size();

  TaskMutex reader{LockRank::kPipe};

 private:
  friend class UdpSocket;
  ~UdpInbox() override;
  static constexpr size_t kOverhead = 256;  // counted besides the bytes

  const Ref<SocketQueue> queue_;
  std::atomic<size_t> limit_{212992};
  Mutex mu_;
  std::deque<Datagram> datagrams_ MOAT_GUARDED_BY(mu_);
  size_t bytes_ MOAT_GUARDED_BY(mu_) = 0;
  int error_ MOAT_GUARDED_BY(mu_) = 0;
};

class UdpSocket final : public InetSocket {
 public:
  static Ref<UdpSocket> Create(const SocketCaller& caller, int family, uint32_t flags);

  ErrorOr<void> Bind(const SocketCaller& caller, const SocketAddress& address) override;
  ErrorOr<void> Connect(const SocketCaller& caller, const SocketAddress& address, bool nonblocking) override;
  ErrorOr<size_t> TrySend(const SocketCaller* caller, IoSource& src, SendInfo& info) override;
  ErrorOr<size_t> TryReceive(IoSink& dst, ReceiveInfo& info) override;
  ErrorOr<void> Shutdown(int how) override;
  ErrorOr<SocketAddress> LocalName() override;
  ErrorOr<SocketAddress> PeerName() override;
  EventMask Readiness() override;

 protected:
  int TakeError() override { return inbox_->TakeError(); }
  void OptionsChanged() override;
  ErrorOr<size_t> BytesToRead() override { return inbox_->first_size(); }
  ErrorOr<size_t> BytesToSend() override { return size_t{0}; }
  bool is_bound() override;

 private:
  UdpSocket(int family, uint32_t flags, const Credentials* owner, Ref<SocketQueue> queue);
  ~UdpSocket() override;
  ErrorOr<void> BindLocked(const IpAddress& address, uint16_t port, uint32_t uid) MOAT_REQUIRES(mu_);
  struct Destination {
    InetName from, to;
    bool connected;
  };
  ErrorOr<Destination> FindDestination(const SendInfo& info);
  void AddControl(const UdpInbox::Datagram& datagram, ReceiveInfo& info);

  const Ref<UdpInbox> inbox_;
  const uint32_t owner_uid_;
  Mutex mu_;
  Ref<PortBinding> binding_ MOAT_GUARDED_BY(mu_);  // or null
  InetName local_ MOAT_GUARDED_BY(mu_);
  bool connected_ MOAT_GUARDED_BY(mu_) = false;
  InetName peer_ MOAT_GUARDED_BY(mu_);
  int shut_ MOAT_GUARDED_BY(mu_) = 0;  // 1: receive, 2: send
};

}  // namespace moat
