// The open file of an AF_UNIX socket (unix(7)).
#pragma once

#include "sentry/net/socket.h"
#include "sentry/net/unix/endpoint.h"

namespace moat {

class UnixSocket final : public Socket {
 public:
  // `type` is SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET (SOCK_RAW means SOCK_DGRAM). kEPROTONOSUPPORT, kESOCKTNOSUPPORT.
  static ErrorOr<Ref<UnixSocket>> Create(const SocketCaller& caller, int type, int protocol, uint32_t flags);
  struct Ends {
    Ref<UnixSocket> a, b;
  };
  static ErrorOr<Ends> CreatePair(const SocketCaller& caller, int type, int protocol, uint32_t flags);

  UnixEndpoint& endpoint() const { return *endpoint_; }

  ErrorOr<void> Bind(const SocketCaller& caller, const SocketAddress& address) override;
  ErrorOr<void> Listen(const SocketCaller& caller, int backlog) override;
  ErrorOr<void> Connect(const SocketCaller& caller, const SocketAddress& address, bool nonblocking) override;
  ErrorOr<Ref<Socket>> TryAccept(const SocketCaller& caller) override;
  ErrorOr<size_t> TrySend(const SocketCaller* caller, IoSource& src, SendInfo& info) override;
  ErrorOr<size_t> TryReceive(IoSink& dst, ReceiveInfo& info) override;
  ErrorOr<void> Shutdown(int how) override { return endpoint_->Shutdown(how); }
  ErrorOr<SocketAddress> LocalName() override;
  ErrorOr<SocketAddress> PeerName() override;
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &endpoint_->outbox().queue(); }

 protected:
  bool listening() override { return endpoint_->listening(); }
  int TakeError() override { return endpoint_->TakeError(); }
  void OptionsChanged() override;
  ErrorOr<std::string> PeerCredentials() override;
  ErrorOr<size_t> BytesToRead() override { return endpoint_->BytesToRead(); }
  ErrorOr<size_t> BytesToSend() override { return endpoint_->outbox().charged(); }

 private:
  UnixSocket(Ref<UnixEndpoint> endpoint, int protocol, uint32_t flags, const Credentials* owner);
  ~UnixSocket() override;

  const Ref<UnixEndpoint> endpoint_;
};

// Real ids of a caller, as SCM_CREDENTIALS has them; effective ones, as SO_PEERCRED has them.
abi::Ucred RealUcred(const SocketCaller& caller);
abi::Ucred EffectiveUcred(const SocketCaller& caller);

}  // namespace moat
