#include "sentry/net/unix/unix_socket.h"

#include "abi/poll.h"
#include "sentry/net/unix/in_flight.h"
#include "sentry/net/unix/names.h"

namespace moat {

abi::Ucred RealUcred(const SocketCaller& caller) { return {caller.pid(), caller.creds().uid, caller.creds().gid}; }
abi::Ucred EffectiveUcred(const SocketCaller& caller) { return {caller.pid(), caller.creds().euid, caller.creds().egid}; }

namespace {

ErrorOr<int> CheckedType(int type, int protocol) {
  if (protocol && protocol != abi::kAF_UNIX) return kEPROTONOSUPPORT;
  switch (type) {
    case abi::kSOCK_STREAM: case abi::kSOCK_DGRAM: case abi::kSOCK_SEQPACKET: return type;
    case abi::kSOCK_RAW: return abi::kSOCK_DGRAM;
    default: return kESOCKTNOSUPPORT;
  }
}

}  // namespace

UnixSocket::UnixSocket(Ref<UnixEndpoint> endpoint, int protocol, uint32_t flags, const Credentials* owner)
    : Socket(abi::kAF_UNIX, endpoint->type(), protocol, flags, owner), endpoint_(std::move(endpoint)) {}

UnixSocket::~UnixSocket() {
  endpoint_->Close();
  CollectInFlightGarbage();
}

ErrorOr<Ref<UnixSocket>> UnixSocket::Create(const SocketCaller& caller, int type, int protocol, uint32_t flags) {
  type = TRY(CheckedType(type, protocol));
  return Ref<UnixSocket>(new UnixSocket(MakeRef<UnixEndpoint>(type), 0, flags, &caller.creds()), AdoptRef{});
}

ErrorOr<UnixSocket::Ends> UnixSocket::CreatePair(const SocketCaller& caller, int type, int protocol, uint32_t flags) {
  Ends ends{TRY(Create(caller, type, protocol, flags)), TRY(Create(caller, type, protocol, flags))};
  UnixEndpoint::Pair(ends.a->endpoint_, ends.b->endpoint_, EffectiveUcred(caller));
  return ends;
}

void UnixSocket::OptionsChanged() {
  endpoint_->outbox().set_limit(send_buffer_.load(std::memory_order_relaxed));
  endpoint_->outbox().Uncharge(0);  // there may be room now
}

ErrorOr<void> UnixSocket::Bind(const SocketCaller& caller, const SocketAddress& address) {
  return endpoint_->Bind(caller, address);
}

ErrorOr<void> UnixSocket::Listen(const SocketCaller& caller, int backlog) {
  return endpoint_->Listen(backlog, EffectiveUcred(caller));
}

ErrorOr<void> UnixSocket::Connect(const SocketCaller& caller, const SocketAddress& address, bool) {
  if (pass_credentials_.load(std::memory_order_relaxed)) TRY(endpoint_->BindIfUnnamed());
  return endpoint_->Connect(caller, address);
}

ErrorOr<Ref<Socket>> UnixSocket::TryAccept(const SocketCaller& caller) {
  Ref<UnixEndpoint> endpoint = TRY(endpoint_->Accept());
  Ref<UnixSocket> socket(new UnixSocket(std::move(endpoint), 0, 0, &caller.creds()), AdoptRef{});
  socket->pass_credentials_.store(pass_credentials_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  return Ref<Socket>(std::move(socket));
}

ErrorOr<size_t> UnixSocket::TrySend(const SocketCaller* caller, IoSource& src, SendInfo& info) {
  if (pass_credentials_.load(std::memory_order_relaxed)) TRY(endpoint_->BindIfUnnamed());
  ErrorOr<size_t> sent = endpoint_->Send(caller, src, info);
  if (src.remaining() > 0 || (!sent.ok() && sent.error() == kEAGAIN)) MissedRoom();
  return sent;
}

ErrorOr<size_t> UnixSocket::TryReceive(IoSink& dst, ReceiveInfo& info) {
  return endpoint_->Receive(dst, info, pass_credentials_.load(std::memory_order_relaxed));
}

EventMask UnixSocket::Readiness() {
  EventMask events = endpoint_->Readiness();
  if (!(events & abi::kPOLLOUT)) MissedRoom();
  return events;
}

ErrorOr<SocketAddress> UnixSocket::LocalName() { return MakeUnixAddress(endpoint_->name()); }

ErrorOr<SocketAddress> UnixSocket::PeerName() { return MakeUnixAddress(TRY(endpoint_->PeerName())); }

ErrorOr<std::string> UnixSocket::PeerCredentials() {
  abi::Ucred cred = TRY(endpoint_->PeerCredentials());
  return OptionBytes(&cred, sizeof cred);
}

}  // namespace moat
