// TCP sockets (tcp(7)).
#pragma once

#include "sentry/net/inet/inet_socket.h"
#include "sentry/net/inet/loopback.h"
#include "sentry/net/inet/tcp_stream.h"

namespace moat {

class TcpSocket final : public InetSocket {
 public:
  static Ref<TcpSocket> Create(const SocketCaller& caller, int family, uint32_t flags);

  ErrorOr<void> Bind(const SocketCaller& caller, const SocketAddress& address) override;
  ErrorOr<void> Listen(const SocketCaller& caller, int backlog) override;
  ErrorOr<void> Connect(const SocketCaller& caller, const SocketAddress& address, bool nonblocking) override;
  ErrorOr<void> FinishConnect() override;
  ErrorOr<Ref<Socket>> TryAccept(const SocketCaller& caller) override;
  ErrorOr<size_t> TrySend(const SocketCaller* caller, IoSource& src, SendInfo& info) override;
  ErrorOr<size_t> TryReceive(IoSink& dst, ReceiveInfo& info) override;
  ErrorOr<void> Shutdown(int how) override;
  ErrorOr<SocketAddress> LocalName() override;
  ErrorOr<SocketAddress> PeerName() override;
  EventMask Readiness() override;
  ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) override;

 protected:
  bool listening() override;
  int TakeError() override;
  void OptionsChanged() override;
  ErrorOr<size_t> BytesToRead() override;
  ErrorOr<size_t> BytesToSend() override;
  ErrorOr<void> SetProtocolOption(int level, int name, std::span<const std::byte> value) override;
  ErrorOr<std::string> GetProtocolOption(int level, int name, size_t room) override;
  bool is_bound() override;

 private:
  // kOpening: connect(2) has not told how it went.
  enum class State : uint8_t { kClosed, kListening, kOpening, kConnected };

  TcpSocket(int family, uint32_t flags, const Credentials* owner, Ref<SocketQueue> queue);
  ~TcpSocket() override;
  Ref<TcpStream> stream();  // or null
  ErrorOr<void> StartConnect(const SocketCaller& caller, const InetName& to);
  // Makes the connection; how it went is in the stream's state.
  Ref<TcpStream> OpenStream(const InetName& to, Ref<PortBinding> binding);
  ErrorOr<void> BindLocked(const PortTable::Request& request) MOAT_REQUIRES(mu_);
  void Disconnect();
  void StopListening();
  void Configure(TcpStream& stream);

  Mutex mu_;
  State state_ MOAT_GUARDED_BY(mu_) = State::kClosed;
  Ref<PortBinding> binding_ MOAT_GUARDED_BY(mu_);  // or null; with a stream, the stream's link holds it too
  InetName local_ MOAT_GUARDED_BY(mu_);
  Ref<TcpStream> stream_ MOAT_GUARDED_BY(mu_);     // or null
  Ref<TcpListener> listener_ MOAT_GUARDED_BY(mu_);  // or null
  std::string congestion_ MOAT_GUARDED_BY(mu_) = "cubic";
};

}  // namespace moat
