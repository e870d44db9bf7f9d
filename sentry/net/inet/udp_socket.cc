#include "sentry/net/inet/udp_socket.h"

#include <algorithm>

#include "abi/poll.h"
#include "abi/time.h"
#include "base/host/time.h"
#include "fs/vfs/vfs.h"
#include "sentry/net/memory.h"

namespace moat {

namespace {

constexpr EventMask kReadable = abi::kPOLLIN | abi::kPOLLRDNORM;
constexpr EventMask kWritable = abi::kPOLLOUT | abi::kPOLLWRNORM | abi::kPOLLWRBAND;
constexpr size_t kMaxPayload = 65507;   // of IPv4: 65535 less two headers
constexpr size_t kMaxPayload6 = 65527;  // of IPv6
constexpr int kShutReceive = 1, kShutSend = 2;
constexpr int kLoopbackIndex = 1;

}  // namespace

// --- The inbox. ---

UdpInbox::~UdpInbox() {
  MutexLock lock(mu_);
  SocketMemory::Give(bytes_);
}

void UdpInbox::Deliver(Datagram datagram) {
  {
    MutexLock lock(mu_);
    size_t cost = datagram.size + kOverhead;
    if (bytes_ + cost > limit_.load(std::memory_order_relaxed) || SocketMemory::full()) return;
    bytes_ += cost;
    SocketMemory::Take(cost);
    datagrams_.push_back(std::move(datagram));
  }
  queue_->queue.Wake(kReadable);
}

void UdpInbox::Fail(Errno error) {
  {
    MutexLock lock(mu_);
    error_ = static_cast<int>(error);
  }
  queue_->queue.Wake(abi::kPOLLERR);
}

int UdpInbox::TakeError() {
  MutexLock lock(mu_);
  return std::exchange(error_, 0);
}

const UdpInbox::Datagram* UdpInbox::Front() {
  MutexLock lock(mu_);
  return datagrams_.empty() ? nullptr : &datagrams_.front();
}

UdpInbox::Datagram UdpInbox::Pop() {
  MutexLock lock(mu_);
  Datagram d = std::move(datagrams_.front());
  datagrams_.pop_front();
  bytes_ -= d.size + kOverhead;
  SocketMemory::Give(d.size + kOverhead);
  return d;
}

size_t UdpInbox::first_size() {
  MutexLock lock(mu_);
  return datagrams_.empty() ? 0 : datagrams_.front().size;
}

// --- The socket. ---

UdpSocket::UdpSocket(int family, uint32_t flags, const Credentials* owner, Ref<SocketQueue> queue)
    : InetSocket(family, abi::kSOCK_DGRAM, abi::kIPPROTO_UDP, flags, owner, PortTable::Udp(), queue),
      inbox_(MakeRef<UdpInbox>(queue)),
      owner_uid_(owner->euid) {
  MutexLock lock(mu_);
  local_.address = IpAddress::Any(family == abi::kAF_INET);
}

UdpSocket::~UdpSocket() {
  MutexLock lock(mu_);
  if (binding_) ports_.Unbind(*binding_);
}

Ref<UdpSocket> UdpSocket::Create(const SocketCaller& caller, int family, uint32_t flags) {
  return Ref<UdpSocket>(new UdpSocket(family, flags, &caller.creds(), MakeRef<SocketQueue>()), AdoptRef{});
}

void UdpSocket::OptionsChanged() {
  inbox_->set_limit(static_cast<size_t>(receive_buffer_.load(std::memory_order_relaxed)));
  MutexLock lock(mu_);
  if (binding_) SetSharing(*binding_);
}

bool UdpSocket::is_bound() {
  MutexLock lock(mu_);
  return binding_ != nullptr;
}

ErrorOr<void> UdpSocket::BindLocked(const IpAddress& address, uint16_t port, uint32_t uid) {
  binding_ = TRY(ports_.Bind(BindRequest(address, port, uid, false)));
  ports_.SetTarget(*binding_, inbox_);
  local_ = {address, binding_->port};
  return {};
}

ErrorOr<void> UdpSocket::Bind(const SocketCaller& caller, const SocketAddress& address) {
  InetName name = TRY(CheckBind(caller, address));
  MutexLock lock(mu_);
  if (binding_) return kEINVAL;
  return BindLocked(name.address, name.port, caller.creds().euid);
}

ErrorOr<void> UdpSocket::Connect(const SocketCaller& caller, const SocketAddress& address, bool) {
  if (address.length < sizeof(uint16_t)) return kEINVAL;
  if (address.family() == abi::kAF_UNSPEC) {
    MutexLock lock(mu_);
    connected_ = false;
    if (!binding_) return {};
    ports_.SetPeer(*binding_, nullptr);
    if (binding_->explicit_port) {
      local_.address = binding_->where.address;
    } else {
      ports_.Unbind(*binding_);
      binding_ = nullptr;
      local_ = {IpAddress::Any(family() == abi::kAF_INET), 0};
    }
    return {};
  }
  InetName to = TRY(CheckDestination(address));
  MutexLock lock(mu_);
  if (!binding_) TRY(BindLocked(IpAddress::Any(family() == abi::kAF_INET), 0, caller.creds().euid));
  peer_ = to;
  connected_ = true;
  if (binding_->where.address.is_any()) local_.address = SourceFor(to.address);
  ports_.SetPeer(*binding_, &peer_);
  return {};
}

ErrorOr<SocketAddress> UdpSocket::LocalName() {
  MutexLock lock(mu_);
  return MakeInetAddress(family(), local_);
}

ErrorOr<SocketAddress> UdpSocket::PeerName() {
  MutexLock lock(mu_);
  if (!connected_) return kENOTCONN;
  return MakeInetAddress(family(), peer_);
}

ErrorOr<void> UdpSocket::Shutdown(int how) {
  if (how < abi::kSHUT_RD || how > abi::kSHUT_RDWR) return kEINVAL;
  bool connected;
  {
    MutexLock lock(mu_);
    connected = connected_;
    shut_ |= how + 1;
  }
  queue_->queue.Wake(kReadable | kWritable | abi::kPOLLRDHUP | abi::kPOLLHUP | kAsyncNothing);
  return connected ? ErrorOr<void>() : kENOTCONN;  // takes effect all the same
}

// --- Sending. ---

ErrorOr<UdpSocket::Destination> UdpSocket::FindDestination(const SendInfo& info) {
  Destination d;
  if (info.to && info.to->family() != abi::kAF_UNSPEC) {
    d.to = TRY(CheckDestination(*info.to));
    if (d.to.port == 0) return kEINVAL;
  } else if (info.to && family() == abi::kAF_INET && info.to->length < sizeof(abi::SockaddrIn)) {
    return kEINVAL;
  }
  MutexLock lock(mu_);
  if (!info.to || info.to->family() == abi::kAF_UNSPEC) {
    if (!connected_) return kEDESTADDRREQ;
    d.to = peer_;
  }
  if (shut_ & kShutSend) return kEPIPE;
  d.connected = connected_ && d.to == peer_;
  if (!binding_) TRY(BindLocked(IpAddress::Any(family() == abi::kAF_INET), 0, owner_uid_));
  d.from = {local_.address.is_any() ? SourceFor(d.to.address) : local_.address, local_.port};
  if (d.from.address.is_v4() != d.to.address.is_v4()) return kENETUNREACH;
  return d;
}

ErrorOr<size_t> UdpSocket::TrySend(const SocketCaller*, IoSource& src, SendInfo& info) {
  if (info.flags & abi::kMSG_OOB) return kEOPNOTSUPP;
  size_t size = src.remaining();
  if (size > 0xffff) return kEMSGSIZE;
  Destination d = TRY(FindDestination(info));
  if (int error = inbox_->TakeError()) return Errno{static_cast<uint16_t>(error)};
  if (size > (d.to.address.is_v4() ? kMaxPayload : kMaxPayload6)) return kEMSGSIZE;
  UdpInbox::Datagram datagram;
  datagram.data.reset(new std::byte[size]);
  datagram.size = size;
  if (size) {
    size_t got = TRY(src.Get({datagram.data.get(), size}));
    if (got < size) return kEFAULT;
  }
  datagram.from = d.from;
  datagram.to = d.to;
  TimeSpec now = vfs::CurrentTime();
  datagram.time_ns = now.sec * abi::kNSEC_PER_SEC + now.nsec;
  bool v4 = d.to.address.is_v4();
  datagram.ttl = v4 ? OptionValue(abi::kSOL_IP, abi::kIP_TTL) : OptionValue(abi::kSOL_IPV6, abi::kIPV6_UNICAST_HOPS);
  datagram.tos = v4 ? OptionValue(abi::kSOL_IP, abi::kIP_TOS) : OptionValue(abi::kSOL_IPV6, abi::kIPV6_TCLASS);
  Ref<UdpInbox> to = RefCast<UdpInbox>(ports_.FindReceiver(d.to, d.from));
  if (to) {
    to->Deliver(std::move(datagram));
  } else if (d.connected) {
    inbox_->Fail(kECONNREFUSED);
  }
  return size;
}

// --- Receiving. ---

void UdpSocket::AddControl(const UdpInbox::Datagram& datagram, ReceiveInfo& info) {
  if (timestamp_ns_.load(std::memory_order_relaxed)) {
    abi::Timespec ts{datagram.time_ns / abi::kNSEC_PER_SEC, datagram.time_ns % abi::kNSEC_PER_SEC};
    info.control.push_back({abi::kSOL_SOCKET, abi::kSCM_TIMESTAMPNS, OptionBytes(&ts, sizeof ts)});
  } else if (timestamp_.load(std::memory_order_relaxed)) {
    abi::Timeval tv{datagram.time_ns / abi::kNSEC_PER_SEC, datagram.time_ns % abi::kNSEC_PER_SEC / abi::kNSEC_PER_USEC};
    info.control.push_back({abi::kSOL_SOCKET, abi::kSCM_TIMESTAMP, OptionBytes(&tv, sizeof tv)});
  }
  if (datagram.to.address.is_v4()) {
    if (OptionValue(abi::kSOL_IP, abi::kIP_PKTINFO)) {
      abi::InPktinfo pkt{kLoopbackIndex, {datagram.to.address.v4()}, {datagram.to.address.v4()}};
      info.control.push_back({abi::kSOL_IP, abi::kIP_PKTINFO, OptionBytes(&pkt, sizeof pkt)});
    }
    if (OptionValue(abi::kSOL_IP, abi::kIP_RECVTTL)) {
      info.control.push_back({abi::kSOL_IP, abi::kIP_TTL, OptionInt(datagram.ttl)});
    }
    if (OptionValue(abi::kSOL_IP, abi::kIP_RECVTOS)) {
      info.control.push_back({abi::kSOL_IP, abi::kIP_TOS, std::string(1, static_cast<char>(datagram.tos))});
    }
  }
  if (family() != abi::kAF_INET6) return;
  if (OptionValue(abi::kSOL_IPV6, abi::kIPV6_RECVPKTINFO)) {
    abi::In6Pktinfo pkt{datagram.to.address.v6(), kLoopbackIndex};
    info.control.push_back({abi::kSOL_IPV6, abi::kIPV6_PKTINFO, OptionBytes(&pkt, sizeof pkt)});
  }
  if (OptionValue(abi::kSOL_IPV6, abi::kIPV6_RECVHOPLIMIT)) {
    info.control.push_back({abi::kSOL_IPV6, abi::kIPV6_HOPLIMIT, OptionInt(datagram.ttl)});
  }
  if (OptionValue(abi::kSOL_IPV6, abi::kIPV6_RECVTCLASS)) {
    info.control.push_back({abi::kSOL_IPV6, abi::kIPV6_TCLASS, OptionInt(datagram.tos)});
  }
}

ErrorOr<size_t> UdpSocket::TryReceive(IoSink& dst, ReceiveInfo& info) {
  if (info.flags & abi::kMSG_ERRQUEUE) return kEAGAIN;
  if (info.flags & abi::kMSG_OOB) return kEOPNOTSUPP;
  TaskMutexLock reader(inbox_->reader);
  if (int error = inbox_->TakeError()) return Errno{static_cast<uint16_t>(error)};
  const UdpInbox::Datagram* d = inbox_->Front();
  if (!d) {
    MutexLock lock(mu_);
    return (shut_ & kShutReceive) && !(info.flags & abi::kMSG_DONTWAIT) ? ErrorOr<size_t>(0) : kEAGAIN;
  }
  size_t size = d->size;
  size_t want = std::min(size, dst.remaining());
  ErrorOr<size_t> put = want ? dst.Put({d->data.get(), want}) : ErrorOr<size_t>(0);
  bool whole = put.ok() && *put == want;
  if (whole) {
    info.from = MakeInetAddress(family(), d->from);
    if (info.wants_control) AddControl(*d, info);
    if (want < size) info.out_flags |= abi::kMSG_TRUNC;
  }
  if (!(info.flags & abi::kMSG_PEEK)) inbox_->Pop();
  if (!whole) return kEFAULT;
  return info.flags & abi::kMSG_TRUNC ? size : want;
}

EventMask UdpSocket::Readiness() {
  EventMask events = kWritable;
  {
    MutexLock lock(inbox_->mu_);
    if (inbox_->error_) events |= abi::kPOLLERR;
    if (!inbox_->datagrams_.empty()) events |= kReadable;
  }
  MutexLock lock(mu_);
  if (shut_ & kShutReceive) events |= kReadable | abi::kPOLLRDHUP;
  if (shut_ == (kShutReceive | kShutSend)) events |= abi::kPOLLHUP;
  return events;
}

}  // namespace moat
