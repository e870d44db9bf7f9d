#include "sentry/net/netlink/netlink_socket.h"

#include <algorithm>
#include <unordered_set>

#include "abi/capability.h"
#include "abi/netlink.h"
#include "abi/poll.h"
#include "base/util/no_destructor.h"
#include "sentry/net/netlink/route.h"

namespace moat {

namespace {

constexpr EventMask kReadable = abi::kPOLLIN | abi::kPOLLRDNORM;
constexpr EventMask kWritable = abi::kPOLLOUT | abi::kPOLLWRNORM | abi::kPOLLWRBAND;
constexpr size_t kMaxRequest = 32 * 1024;  // of one send
constexpr size_t kMaxQueued = 256 * 1024;  // answers that were not read: further ones are lost

// nl_pid of bound sockets.
struct Ports {
  Mutex mu;
  std::unordered_set<uint32_t> taken MOAT_GUARDED_BY(mu);
  uint32_t next MOAT_GUARDED_BY(mu) = 0xffffefff;  // chosen ones go down from here (as Linux's -4097)
};
Ports& ThePorts() {
  static NoDestructor<Ports> ports;
  return *ports;
}

}  // namespace

ErrorOr<Ref<NetlinkSocket>> NetlinkSocket::Create(const SocketCaller& caller, int type, int protocol, uint32_t flags) {
  if (type != abi::kSOCK_RAW && type != abi::kSOCK_DGRAM) return kESOCKTNOSUPPORT;
  if (protocol != abi::kNETLINK_ROUTE && protocol != abi::kNETLINK_KOBJECT_UEVENT) return kEPROTONOSUPPORT;
  return Ref<NetlinkSocket>(new NetlinkSocket(type, protocol, flags, &caller.creds()), AdoptRef{});
}

NetlinkSocket::~NetlinkSocket() {
  MutexLock lock(mu_);
  if (!port_) return;
  Ports& ports = ThePorts();
  MutexLock ports_lock(ports.mu);
  ports.taken.erase(port_);
}

ErrorOr<void> NetlinkSocket::BindLocked(uint32_t wanted, uint32_t fallback) {
  if (port_) return {};
  Ports& ports = ThePorts();
  MutexLock lock(ports.mu);
  uint32_t port = wanted ? wanted : fallback;
  if (port == 0 || !ports.taken.insert(port).second) {
    if (wanted) return kEADDRINUSE;
    do {
      port = ports.next--;
    } while (!ports.taken.insert(port).second);
  }
  port_ = port;
  return {};
}

ErrorOr<void> NetlinkSocket::Bind(const SocketCaller& caller, const SocketAddress& address) {
  if (address.length < sizeof(abi::SockaddrNl)) return kEINVAL;
  auto nl = address.As<abi::SockaddrNl>();
  if (nl.nl_family != abi::kAF_NETLINK) return kEINVAL;
  MutexLock lock(mu_);
  if (port_ && nl.nl_pid && nl.nl_pid != port_) return kEINVAL;
  TRY(BindLocked(nl.nl_pid, static_cast<uint32_t>(caller.pid())));
  groups_ = nl.nl_groups;
  return {};
}

ErrorOr<void> NetlinkSocket::Connect(const SocketCaller& caller, const SocketAddress& address, bool) {
  if (address.length < sizeof(uint16_t)) return kEINVAL;
  if (address.family() == abi::kAF_UNSPEC) return {};
  if (address.family() != abi::kAF_NETLINK || address.length < sizeof(abi::SockaddrNl)) return kEINVAL;
  if (address.As<abi::SockaddrNl>().nl_pid != 0) return kEPERM;  // the kernel only
  MutexLock lock(mu_);
  return BindLocked(0, static_cast<uint32_t>(caller.pid()));
}

ErrorOr<size_t> NetlinkSocket::TrySend(const SocketCaller* caller, IoSource& src, SendInfo& info) {
  if (info.flags & abi::kMSG_OOB) return kEOPNOTSUPP;
  if (info.to) {
    if (info.to->length < sizeof(abi::SockaddrNl)) return kEINVAL;
    auto nl = info.to->As<abi::SockaddrNl>();
    if (nl.nl_family != abi::kAF_NETLINK) return kEINVAL;
    if (nl.nl_pid) return kECONNREFUSED;  // no other process's socket takes messages
    if (nl.nl_groups) return kEPERM;
  }
  size_t size = src.remaining();
  if (size > kMaxRequest) return kEMSGSIZE;
  std::string request(size, '\0');
  if (size && TRY(src.Get(std::as_writable_bytes(std::span(request)))) < size) return kEFAULT;
  bool privileged = caller && caller->creds().Has(abi::kCAP_NET_ADMIN);
  {
    MutexLock lock(mu_);
    TRY(BindLocked(0, caller ? static_cast<uint32_t>(caller->pid()) : 0));
    if (protocol() != abi::kNETLINK_ROUTE) return kEPERM;
    for (std::string& answer : AnswerRoute(request, port_, privileged)) {
      if (queued_ + answer.size() > kMaxQueued) return kENOBUFS;
      queued_ += answer.size();
      answers_.push_back(std::move(answer));
    }
  }
  queue_.Wake(kReadable);
  return size;
}

ErrorOr<size_t> NetlinkSocket::TryReceive(IoSink& dst, ReceiveInfo& info) {
  if (info.flags & abi::kMSG_OOB) return kEOPNOTSUPP;
  TaskMutexLock reader(reader_);
  const std::string* front = nullptr;
  {
    MutexLock lock(mu_);
    if (answers_.empty()) return kEAGAIN;
    front = &answers_.front();
  }
  size_t size = front->size();
  size_t want = std::min(size, dst.remaining());
  ErrorOr<size_t> put = want ? dst.Put(std::as_bytes(std::span(*front)).first(want)) : ErrorOr<size_t>(0);
  abi::SockaddrNl kernel{};
  kernel.nl_family = abi::kAF_NETLINK;
  info.from = SocketAddress::From(kernel);
  if (want < size) info.out_flags |= abi::kMSG_TRUNC;
  if (pass_credentials_.load(std::memory_order_relaxed)) {
    info.has_credentials = true;
    info.credentials = {};
  }
  if (!(info.flags & abi::kMSG_PEEK)) {
    MutexLock lock(mu_);
    queued_ -= size;
    answers_.pop_front();
  }
  if (!put.ok() || *put < want) return kEFAULT;
  return info.flags & abi::kMSG_TRUNC ? size : want;
}

ErrorOr<SocketAddress> NetlinkSocket::LocalName() {
  MutexLock lock(mu_);
  return SocketAddress::From(abi::SockaddrNl{abi::kAF_NETLINK, 0, port_, groups_});
}

ErrorOr<SocketAddress> NetlinkSocket::PeerName() {
  return SocketAddress::From(abi::SockaddrNl{abi::kAF_NETLINK, 0, 0, 0});
}

EventMask NetlinkSocket::Readiness() {
  MutexLock lock(mu_);
  return kWritable | (answers_.empty() ? 0 : kReadable);
}

ErrorOr<void> NetlinkSocket::SetFamilyOption(const SocketCaller&, int level, int name, std::span<const std::byte> value) {
  if (level != abi::kSOL_NETLINK) return kENOPROTOOPT;
  TRY(OptionAsInt(value));
  switch (name) {
    // Nothing is ever announced and answers are small: these change nothing here.
    case abi::kNETLINK_ADD_MEMBERSHIP: case abi::kNETLINK_DROP_MEMBERSHIP: case abi::kNETLINK_PKTINFO:
    case abi::kNETLINK_BROADCAST_ERROR: case abi::kNETLINK_NO_ENOBUFS: case abi::kNETLINK_CAP_ACK:
    case abi::kNETLINK_EXT_ACK: case abi::kNETLINK_GET_STRICT_CHK:
      return {};
    default: return kENOPROTOOPT;
  }
}

ErrorOr<std::string> NetlinkSocket::GetFamilyOption(int level, int, size_t) {
  return level == abi::kSOL_NETLINK ? ErrorOr<std::string>(OptionInt(0)) : kENOPROTOOPT;
}

}  // namespace moat
