// Names and connections of AF_UNIX sockets.
#include "sentry/net/unix/endpoint.h"

#include <algorithm>

#include "abi/poll.h"
#include "sentry/net/unix/names.h"
#include "sentry/net/unix/unix_socket.h"

namespace moat {

namespace {

constexpr EventMask kRoomEvents = abi::kPOLLOUT | abi::kPOLLWRNORM | abi::kPOLLWRBAND;
constexpr EventMask kAllEvents = kRoomEvents | abi::kPOLLIN | abi::kPOLLRDNORM | abi::kPOLLRDHUP | abi::kPOLLHUP | abi::kPOLLERR;

}  // namespace

UnixEndpoint::UnixEndpoint(int type) : type_(type) {}

UnixEndpoint::~UnixEndpoint() { Close(); }

void UnixEndpoint::WakeAll(EventMask async) { Wake(kAllEvents | async); }

Ref<UnixEndpoint> UnixEndpoint::peer() {
  MutexLock lock(mu_);
  return peer_;
}

// --- Names. ---

std::string UnixEndpoint::name() {
  MutexLock lock(mu_);
  return name_;
}

ErrorOr<void> UnixEndpoint::Bind(const SocketCaller& caller, const SocketAddress& address) {
  UnixName name = TRY(ParseUnixAddress(address));
  if (name.autobind()) return BindIfUnnamed();
  {
    MutexLock lock(mu_);
    if (!name_.empty() || binding_) return kEINVAL;
    binding_ = true;
  }
  Path place;
  ErrorOr<Ref<BoundName>> bound =
      name.abstract() ? BindAbstract(*this, name.text) : BindPath(caller, *this, name.text, &place);
  MutexLock lock(mu_);
  binding_ = false;
  if (!bound.ok()) return bound.error();
  bound_ = std::move(*bound);
  name_ = name.text;
  place_ = std::move(place);
  return {};
}

ErrorOr<void> UnixEndpoint::BindIfUnnamed() {
  MutexLock lock(mu_);
  if (!name_.empty() || binding_) return {};
  bound_ = TRY(BindAutomatically(*this, &name_));
  return {};
}

// --- Connections. ---

void UnixEndpoint::BecomeConnected(Ref<UnixEndpoint> peer, const abi::Ucred& credentials, std::string name) {
  MutexLock lock(mu_);
  state_ = State::kConnected;
  peer_ = std::move(peer);
  peer_credentials_ = credentials;
  has_peer_credentials_ = true;
  if (!name.empty()) name_ = std::move(name);
}

void UnixEndpoint::Pair(Ref<UnixEndpoint> a, Ref<UnixEndpoint> b, const abi::Ucred& owner) {
  a->BecomeConnected(b, owner);
  b->BecomeConnected(a, owner);
}

ErrorOr<void> UnixEndpoint::Listen(int backlog, const abi::Ucred& owner) {
  if (is_datagram()) return kEOPNOTSUPP;
  std::vector<Ref<Outbox>> woken;
  {
    MutexLock lock(mu_);
    if (name_.empty() || (state_ != State::kFresh && state_ != State::kListening)) return kEINVAL;
    state_ = State::kListening;
    backlog_ = ClampBacklog(backlog);
    own_credentials_ = owner;
    woken.swap(waiting_for_room_);  // a longer backlog has room
  }
  for (auto& outbox : woken) outbox->queue().Wake(kRoomEvents);
  return {};
}

ErrorOr<void> UnixEndpoint::Connect(const SocketCaller& caller, const SocketAddress& address) {
  if (is_datagram()) return ConnectDatagram(caller, address);
  UnixName name = TRY(ParseUnixAddress(address));
  if (name.autobind()) return kEINVAL;
  return ConnectStream(caller, name);
}

ErrorOr<void> UnixEndpoint::BeginConnect() {
  MutexLock lock(mu_);
  if (state_ == State::kConnected) return kEISCONN;
  if (state_ != State::kFresh) return kEINVAL;
  state_ = State::kConnecting;
  return {};
}

void UnixEndpoint::GiveUpConnect() {
  MutexLock lock(mu_);
  if (state_ == State::kConnecting) state_ = State::kFresh;
}

ErrorOr<void> UnixEndpoint::OfferConnection(Ref<UnixEndpoint> embryo, const Ref<Outbox>& from, abi::Ucred* owner) {
  {
    MutexLock lock(mu_);
    if (state_ != State::kListening || (shut_ & kShutReceive)) return kECONNREFUSED;
    if (unaccepted_.size() > backlog_) {
      WaitForRoom(from);
      return kEAGAIN;
    }
    *owner = own_credentials_;
    unaccepted_.push_back(std::move(embryo));
  }
  Wake(abi::kPOLLIN | abi::kPOLLRDNORM);
  return {};
}

ErrorOr<void> UnixEndpoint::ConnectStream(const SocketCaller& caller, const UnixName& name) {
  Ref<UnixEndpoint> listener = TRY(FindEndpoint(caller, name, type_));
  TRY(BeginConnect());
  Ref<UnixEndpoint> embryo = MakeRef<UnixEndpoint>(type_);
  embryo->BecomeConnected(Ref<UnixEndpoint>(this), EffectiveUcred(caller), listener->name());
  abi::Ucred owner;
  ErrorOr<void> offered = listener->OfferConnection(embryo, outbox_, &owner);
  if (!offered.ok()) {
    GiveUpConnect();
    embryo->SetPeer(nullptr);
    return offered.error();
  }
  BecomeConnected(std::move(embryo), owner);
  return {};
}

ErrorOr<Ref<UnixEndpoint>> UnixEndpoint::Accept() {
  if (is_datagram()) return kEOPNOTSUPP;
  Ref<UnixEndpoint> out;
  {
    MutexLock lock(mu_);
    if (state_ != State::kListening) return kEINVAL;
    if (unaccepted_.empty()) return shut_ & kShutReceive ? kEINVAL : kEAGAIN;
    out = std::move(unaccepted_.front());
    unaccepted_.pop_front();
  }
  RoomCame();
  return out;
}

void UnixEndpoint::SetPeer(Ref<UnixEndpoint> peer) {
  MutexLock lock(mu_);
  std::swap(peer_, peer);  // the old one goes after the lock
}

ErrorOr<void> UnixEndpoint::ConnectDatagram(const SocketCaller& caller, const SocketAddress& address) {
  Ref<UnixEndpoint> other;
  if (address.length >= sizeof(uint16_t) && address.family() == abi::kAF_UNSPEC) {
    // AF_UNSPEC dissolves the association.
  } else {
    UnixName name = TRY(ParseUnixAddress(address));
    if (name.autobind()) return kEINVAL;
    other = TRY(FindEndpoint(caller, name, type_));
    MutexLock lock(other->mu_);
    if (other->peer_ && other->peer_.get() != this) return kEPERM;
  }
  Ref<UnixEndpoint> old;
  {
    MutexLock lock(mu_);
    old = std::move(peer_);
    peer_ = other;
    state_ = other ? State::kConnected : State::kFresh;
  }
  if (old && old != other) {
    DropQueue();
    old->Disconnected(*this);
  }
  return {};
}

void UnixEndpoint::DropQueue() {
  std::deque<std::unique_ptr<UnixMessage>> dropped;
  {
    TaskMutexLock reader(receive_lock_);
    MutexLock lock(mu_);
    dropped.swap(queue_);
    queued_bytes_ = 0;
  }
  dropped.clear();
  RoomCame();
}

void UnixEndpoint::Disconnected(const UnixEndpoint& by) {
  {
    MutexLock lock(mu_);
    if (peer_.get() != &by || state_ == State::kClosed) return;
    error_ = static_cast<int>(kECONNRESET);
  }
  WakeAll(kAsyncError);
}

ErrorOr<std::string> UnixEndpoint::PeerName() {
  Ref<UnixEndpoint> other = peer();
  if (!other) return kENOTCONN;
  return other->name();
}

ErrorOr<abi::Ucred> UnixEndpoint::PeerCredentials() {
  MutexLock lock(mu_);
  if (!has_peer_credentials_) return abi::Ucred{0, ~0u, ~0u};
  return peer_credentials_;
}

ErrorOr<void> UnixEndpoint::Shutdown(int how) {
  if (how < abi::kSHUT_RD || how > abi::kSHUT_RDWR) return kEINVAL;
  int bits = how + 1;  // SHUT_RD, SHUT_WR, SHUT_RDWR are kShutReceive, kShutSend, kShutBoth less one
  Ref<UnixEndpoint> other;
  {
    MutexLock lock(mu_);
    shut_ |= bits;
    other = peer_;
  }
  if (other && !is_datagram()) {
    other->PeerShut((bits & kShutReceive ? kShutSend : 0) | (bits & kShutSend ? kShutReceive : 0), 0);
  }
  WakeAll(kAsyncNothing);
  RoomCame();
  return {};
}

void UnixEndpoint::PeerShut(int bits, int error) {
  {
    MutexLock lock(mu_);
    shut_ |= bits;
    if (error) error_ = error;
  }
  WakeAll(bits == kShutBoth ? kAsyncHangup : bits & kShutReceive ? kAsyncIn : kAsyncNothing);
}

void UnixEndpoint::CloseAs(bool unaccepted) {
  std::deque<std::unique_ptr<UnixMessage>> messages;
  std::deque<Ref<UnixEndpoint>> embryos;
  Ref<UnixEndpoint> other;
  Ref<BoundName> bound;
  std::string abstract;
  Path place;
  {
    MutexLock lock(mu_);
    if (state_ == State::kClosed) return;
    state_ = State::kClosed;
    shut_ = kShutBoth;
    messages.swap(queue_);
    embryos.swap(unaccepted_);
    other = std::move(peer_);
    bound = std::move(bound_);
    place = std::move(place_);
    if (bound && name_[0] == '\0') abstract = name_;
  }
  if (bound) bound->Clear();
  if (!abstract.empty()) ForgetAbstract(abstract);
  bool unread = !messages.empty() || unaccepted;
  if (other && !is_datagram()) other->PeerShut(kShutBoth, unread ? static_cast<int>(kECONNRESET) : 0);
  for (auto& embryo : embryos) embryo->CloseAs(true);
  messages.clear();
  RoomCame();
  WakeAll(kAsyncNothing);
}

void UnixEndpoint::WaitForRoom(const Ref<Outbox>& who) {
  if (std::find(waiting_for_room_.begin(), waiting_for_room_.end(), who) == waiting_for_room_.end()) {
    waiting_for_room_.push_back(who);
  }
}

void UnixEndpoint::RoomCame() {
  std::vector<Ref<Outbox>> woken;
  {
    MutexLock lock(mu_);
    woken.swap(waiting_for_room_);
  }
  for (auto& outbox : woken) outbox->queue().Wake(kRoomEvents);
}

bool UnixEndpoint::listening() {
  MutexLock lock(mu_);
  return state_ == State::kListening;
}

int UnixEndpoint::TakeError() {
  MutexLock lock(mu_);
  return std::exchange(error_, 0);
}

void UnixEndpoint::AppendUnaccepted(std::vector<Ref<UnixEndpoint>>& out) {
  MutexLock lock(mu_);
  out.insert(out.end(), unaccepted_.begin(), unaccepted_.end());
}

}  // namespace moat
