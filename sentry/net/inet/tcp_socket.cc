#include "sentry/net/inet/tcp_socket.h"

#include <algorithm>

#include "abi/ioctl.h"
#include "abi/poll.h"

namespace moat {

namespace {

constexpr EventMask kReadable = abi::kPOLLIN | abi::kPOLLRDNORM;
constexpr EventMask kWritable = abi::kPOLLOUT | abi::kPOLLWRNORM;

}  // namespace

TcpSocket::TcpSocket(int family, uint32_t flags, const Credentials* owner, Ref<SocketQueue> queue)
    : InetSocket(family, abi::kSOCK_STREAM, abi::kIPPROTO_TCP, flags, owner, PortTable::Tcp(), std::move(queue)) {
  MutexLock lock(mu_);
  local_.address = IpAddress::Any(family == abi::kAF_INET);
}

TcpSocket::~TcpSocket() {
  StopListening();
  Ref<TcpStream> stream;
  Ref<PortBinding> binding;
  {
    MutexLock lock(mu_);
    stream = std::move(stream_);
    binding = std::move(binding_);
  }
  bool abort = linger_on_.load(std::memory_order_relaxed) && linger_seconds_.load(std::memory_order_relaxed) == 0;
  if (stream) {
    stream->Close(abort);
  } else if (binding) {
    ports_.Unbind(*binding);
  }
}

Ref<TcpSocket> TcpSocket::Create(const SocketCaller& caller, int family, uint32_t flags) {
  return Ref<TcpSocket>(new TcpSocket(family, flags, &caller.creds(), MakeRef<SocketQueue>()), AdoptRef{});
}

Ref<TcpStream> TcpSocket::stream() {
  MutexLock lock(mu_);
  return stream_;
}

bool TcpSocket::is_bound() {
  MutexLock lock(mu_);
  return binding_ != nullptr;
}

bool TcpSocket::listening() {
  MutexLock lock(mu_);
  return state_ == State::kListening;
}

// --- Names. ---

ErrorOr<void> TcpSocket::BindLocked(const PortTable::Request& request) {
  binding_ = TRY(ports_.Bind(request));
  local_ = {request.where.address, binding_->port};
  return {};
}

ErrorOr<void> TcpSocket::Bind(const SocketCaller& caller, const SocketAddress& address) {
  InetName name = TRY(CheckBind(caller, address));
  MutexLock lock(mu_);
  if (state_ != State::kClosed || binding_) return kEINVAL;
  return BindLocked(BindRequest(name.address, name.port, caller.creds().euid, false));
}

ErrorOr<SocketAddress> TcpSocket::LocalName() {
  MutexLock lock(mu_);
  return MakeInetAddress(family(), stream_ ? stream_->local() : local_);
}

ErrorOr<SocketAddress> TcpSocket::PeerName() {
  MutexLock lock(mu_);
  if (!stream_ || stream_->state() != TcpStream::State::kEstablished || stream_->tcp_state() == abi::kTCP_CLOSE) {
    return kENOTCONN;
  }
  return MakeInetAddress(family(), stream_->remote());
}

// --- Listening. ---

ErrorOr<void> TcpSocket::Listen(const SocketCaller& caller, int backlog) {
  size_t limit = ClampBacklog(backlog);
  MutexLock lock(mu_);
  if (state_ == State::kListening) {
    listener_->set_backlog(limit);
    return {};
  }
  if (state_ != State::kClosed || stream_) return kEINVAL;
  if (!binding_) {
    TRY(BindLocked(BindRequest(IpAddress::Any(family() == abi::kAF_INET), 0, caller.creds().euid, false)));
  }
  Ref<TcpListener> listener = MakeRef<TcpListener>(queue_, limit);
  TRY(ports_.Listen(*binding_, listener));
  listener_ = std::move(listener);
  state_ = State::kListening;
  return {};
}

void TcpSocket::StopListening() {
  Ref<TcpListener> listener;
  {
    MutexLock lock(mu_);
    if (state_ != State::kListening) return;
    state_ = State::kClosed;
    ports_.StopListening(*binding_);
    listener = std::move(listener_);
  }
  listener->Close();
}

ErrorOr<Ref<Socket>> TcpSocket::TryAccept(const SocketCaller& caller) {
  Ref<TcpListener> listener;
  {
    MutexLock lock(mu_);
    if (state_ != State::kListening) return kEINVAL;
    listener = listener_;
  }
  Ref<LoopbackLink> link = TRY(listener->Accept());
  Ref<LoopbackStream> stream = MakeRef<LoopbackStream>(link, 1);
  Ref<TcpSocket> socket(new TcpSocket(family(), 0, &caller.creds(), stream->queue()), AdoptRef{});
  {
    MutexLock lock(socket->mu_);
    socket->state_ = State::kConnected;
    socket->stream_ = stream;
    socket->local_ = stream->local();
  }
  socket->InheritInetOptions(*this);
  socket->Configure(*stream);
  return Ref<Socket>(std::move(socket));
}

// --- Connecting. ---

Ref<TcpStream> TcpSocket::OpenStream(const InetName& to, Ref<PortBinding> binding) {
  LoopbackLink::Side client, server;
  IpAddress from = binding->where.address;
  client.name = {from.is_any() ? SourceFor(to.address) : from, binding->port};
  client.queue = queue_;
  client.binding = std::move(binding);
  server.name = to;
  server.queue = MakeRef<SocketQueue>();
  Ref<PortBinding> listens;
  Ref<TcpListener> listener = RefCast<TcpListener>(ports_.FindListener(to, &listens));
  if (listens) {
    int version = to.address.is_v4() ? abi::kAF_INET : abi::kAF_INET6;
    server.binding = ports_.Share(*listens, BoundAddresses::Of(version, to.address, false));
  }
  Ref<LoopbackLink> link = MakeRef<LoopbackLink>(std::move(client), std::move(server), ports_);
  if (!listener || !listener->Offer(link)) link->Refuse();
  return MakeRef<LoopbackStream>(std::move(link), 0);
}

ErrorOr<void> TcpSocket::StartConnect(const SocketCaller& caller, const InetName& to) {
  Ref<PortBinding> binding;
  {
    MutexLock lock(mu_);
    if (!binding_) {
      TRY(BindLocked(BindRequest(IpAddress::Any(to.address.is_v4()), 0, caller.creds().euid, true)));
    }
    binding = binding_;
    state_ = State::kOpening;
  }
  Ref<TcpStream> stream = OpenStream(to, binding);
  Configure(*stream);
  MutexLock lock(mu_);
  stream_ = std::move(stream);
  return {};
}

ErrorOr<void> TcpSocket::Connect(const SocketCaller& caller, const SocketAddress& address, bool nonblocking) {
  if (address.length < sizeof(uint16_t)) return kEINVAL;
  if (address.family() == abi::kAF_UNSPEC) {
    Disconnect();
    return {};
  }
  State state;
  {
    MutexLock lock(mu_);
    state = state_;
  }
  if (state == State::kConnected || state == State::kListening) return kEISCONN;
  if (state == State::kOpening) {
    ErrorOr<void> r = FinishConnect();
    if (r.ok() || r.error() != kEAGAIN) return r;
    return nonblocking ? kEALREADY : kEINPROGRESS;
  }
  InetName to = TRY(CheckDestination(address));
  TRY(StartConnect(caller, to));
  if (nonblocking) {
    // As over a wire: the outcome is told by poll(2) and the next call.
    queue_->queue.Wake(kWritable | kReadable | kAsyncNothing);
    return kEINPROGRESS;
  }
  ErrorOr<void> r = FinishConnect();
  return r.ok() || r.error() != kEAGAIN ? r : kEINPROGRESS;
}

ErrorOr<void> TcpSocket::FinishConnect() {
  Ref<TcpStream> refused;
  Errno error{0};
  {
    MutexLock lock(mu_);
    if (state_ == State::kConnected) return {};
    if (state_ != State::kOpening) return kECONNABORTED;
    if (!stream_) return kEAGAIN;  // another call is at it
    switch (stream_->state()) {
      case TcpStream::State::kConnecting: return kEAGAIN;
      case TcpStream::State::kEstablished: state_ = State::kConnected; return {};
      case TcpStream::State::kRefused: break;
    }
    int e = stream_->TakeError();
    error = e ? Errno{static_cast<uint16_t>(e)} : kECONNABORTED;  // SO_ERROR told already
    state_ = State::kClosed;
    refused = std::move(stream_);
    // The port stays bound if it was named.
    if (binding_->explicit_port) {
      PortTable::Request request = BindRequest(binding_->where.address, binding_->port, binding_->uid, true);
      refused->Close(true);
      binding_ = nullptr;
      ErrorOr<void> again = BindLocked(request);
      if (!again.ok()) local_.port = 0;
    } else {
      binding_ = nullptr;
      local_ = {IpAddress::Any(family() == abi::kAF_INET), 0};
    }
  }
  refused->Close(true);
  return error;
}

// connect(2) with AF_UNSPEC: as new, the connection is reset.
void TcpSocket::Disconnect() {
  StopListening();
  Ref<TcpStream> stream;
  Ref<PortBinding> binding;
  {
    MutexLock lock(mu_);
    stream = std::move(stream_);
    binding = std::move(binding_);
    state_ = State::kClosed;
    local_ = {IpAddress::Any(family() == abi::kAF_INET), 0};
  }
  if (stream) {
    stream->Close(true);
  } else if (binding) {
    ports_.Unbind(*binding);
  }
  queue_->queue.Wake(kReadable | kWritable | abi::kPOLLHUP | kAsyncNothing);
}

// --- Data. ---

ErrorOr<size_t> TcpSocket::TrySend(const SocketCaller* caller, IoSource& src, SendInfo& info) {
  Ref<TcpStream> s = stream();
  if (!s) return kEPIPE;
  ErrorOr<size_t> sent = s->Send(src, (info.flags & abi::kMSG_OOB) != 0);
  if (src.remaining() > 0) MissedRoom();
  return sent;
}

ErrorOr<size_t> TcpSocket::TryReceive(IoSink& dst, ReceiveInfo& info) {
  if (info.flags & abi::kMSG_ERRQUEUE) return kEAGAIN;
  Ref<TcpStream> s = stream();
  if (!s) return kENOTCONN;
  bool peek = (info.flags & abi::kMSG_PEEK) != 0;
  if (info.flags & abi::kMSG_OOB) {
    size_t n = TRY(s->ReceiveUrgent(dst, peek));
    info.out_flags |= abi::kMSG_OOB;
    return n;
  }
  return s->Receive(dst, {.peek = peek, .discard = (info.flags & abi::kMSG_TRUNC) != 0 && !peek});
}

ErrorOr<void> TcpSocket::Shutdown(int how) {
  if (how < abi::kSHUT_RD || how > abi::kSHUT_RDWR) return kEINVAL;
  if (listening()) {
    if (how != abi::kSHUT_WR) StopListening();
    return {};
  }
  Ref<TcpStream> s = stream();
  if (!s || s->tcp_state() == abi::kTCP_CLOSE) return kENOTCONN;
  if (s->state() == TcpStream::State::kConnecting) {
    Disconnect();
    return {};
  }
  if (how != abi::kSHUT_WR) s->ShutReceive();
  if (how != abi::kSHUT_RD) s->ShutSend();
  return {};
}

EventMask TcpSocket::Readiness() {
  Ref<TcpListener> listener;
  Ref<TcpStream> s;
  {
    MutexLock lock(mu_);
    listener = listener_;
    s = stream_;
  }
  if (listener) return listener->has_connection() ? kReadable : 0;
  if (s) {
    EventMask events = s->Readiness(static_cast<size_t>(receive_low_water_.load(std::memory_order_relaxed)));
    if (!(events & abi::kPOLLOUT)) MissedRoom();
    return events;
  }
  return kWritable | abi::kPOLLHUP;
}

ErrorOr<size_t> TcpSocket::BytesToRead() {
  if (listening()) return kEINVAL;
  Ref<TcpStream> s = stream();
  return s ? s->bytes_to_read() : 0;
}

ErrorOr<size_t> TcpSocket::BytesToSend() {
  if (listening()) return kEINVAL;
  Ref<TcpStream> s = stream();
  return s ? s->bytes_to_send() : 0;
}

ErrorOr<uint64_t> TcpSocket::Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) {
  if (command != abi::kSIOCATMARK) return Socket::Ioctl(command, arg, memory);
  Ref<TcpStream> s = stream();
  TRY(memory.Write<int>(arg, s && s->AtMark()));
  return uint64_t{0};
}

// --- Options. ---

int TcpSocket::TakeError() {
  Ref<TcpStream> s = stream();
  return s ? s->TakeError() : 0;
}

void TcpSocket::Configure(TcpStream& s) {
  s.SetReceiveBuffer(static_cast<size_t>(receive_buffer_.load(std::memory_order_relaxed)));
  s.SetSendBuffer(static_cast<size_t>(send_buffer_.load(std::memory_order_relaxed)));
  s.SetUrgentInline(oob_inline_.load(std::memory_order_relaxed));
}

void TcpSocket::OptionsChanged() {
  {
    MutexLock lock(mu_);
    if (binding_) SetSharing(*binding_);
  }
  if (Ref<TcpStream> s = stream()) Configure(*s);
}

ErrorOr<void> TcpSocket::SetProtocolOption(int level, int name, std::span<const std::byte> value) {
  if (level != abi::kSOL_TCP) return kENOPROTOOPT;
  switch (name) {
    case abi::kTCP_CONGESTION: {
      std::string_view algorithm(reinterpret_cast<const char*>(value.data()), value.size());
      algorithm = algorithm.substr(0, algorithm.find('\0'));
      if (algorithm.empty()) return kEINVAL;
      if (algorithm != "cubic" && algorithm != "reno") return kENOENT;
      MutexLock lock(mu_);
      congestion_ = algorithm;
      return {};
    }
    case abi::kTCP_ULP: return kENOENT;  // no kernel TLS
    case abi::kTCP_MD5SIG: case abi::kTCP_REPAIR: return kEPERM;
    default: return kENOPROTOOPT;
  }
}

ErrorOr<std::string> TcpSocket::GetProtocolOption(int level, int name, size_t room) {
  if (level != abi::kSOL_TCP) return kENOPROTOOPT;
  constexpr size_t kNameRoom = 16;  // TCP_CA_NAME_MAX
  Ref<TcpStream> s = stream();
  switch (name) {
    case abi::kTCP_CONGESTION: {
      MutexLock lock(mu_);
      std::string text = congestion_;
      text.resize(kNameRoom);
      return text;
    }
    case abi::kTCP_INFO: {
      abi::TcpInfo info{};
      info.tcpi_state = s ? s->tcp_state() : listening() ? abi::kTCP_LISTEN : abi::kTCP_CLOSE;
      info.tcpi_snd_mss = info.tcpi_rcv_mss = info.tcpi_advmss = 65483;
      info.tcpi_pmtu = 65535;
      info.tcpi_rto = 201000;
      info.tcpi_snd_cwnd = 10;
      return OptionBytes(&info, sizeof info);
    }
    case abi::kTCP_ULP: return std::string();
    default: return kENOPROTOOPT;
  }
}

}  // namespace moat
