#include "sentry/net/inet/inet_socket.h"

#include <algorithm>
#include <array>

#include "abi/capability.h"
#include "base/kern/tunables.h"
#include "sentry/net/inet/tcp_socket.h"
#include "sentry/net/inet/udp_socket.h"

namespace moat {

namespace {

// Options that are checked and remembered; those that matter are asked for by OptionValue.
struct OptionSpec {
  int level, name;
  int initial, least, most;
};
constexpr int kAnyInt = INT32_MAX;
constexpr OptionSpec kOptions[] = {
    {abi::kSOL_IP, abi::kIP_TOS, 0, 0, 255},
    {abi::kSOL_IP, abi::kIP_TTL, 64, 1, 255},
    {abi::kSOL_IP, abi::kIP_PKTINFO, 0, 0, 1},
    {abi::kSOL_IP, abi::kIP_RECVTTL, 0, 0, 1},
    {abi::kSOL_IP, abi::kIP_RECVTOS, 0, 0, 1},
    {abi::kSOL_IP, abi::kIP_RECVERR, 0, 0, 1},
    {abi::kSOL_IP, abi::kIP_RECVORIGDSTADDR, 0, 0, 1},
    {abi::kSOL_IP, abi::kIP_MTU_DISCOVER, abi::kIP_PMTUDISC_WANT, 0, 5},
    {abi::kSOL_IP, abi::kIP_FREEBIND, 0, 0, 1},
    {abi::kSOL_IP, abi::kIP_BIND_ADDRESS_NO_PORT, 0, 0, 1},
    {abi::kSOL_IP, abi::kIP_MULTICAST_TTL, 1, -1, 255},
    {abi::kSOL_IP, abi::kIP_MULTICAST_LOOP, 1, 0, 1},
    {abi::kSOL_IP, abi::kIP_MULTICAST_ALL, 1, 0, 1},
    {abi::kSOL_IPV6, abi::kIPV6_V6ONLY, 0, 0, 1},
    {abi::kSOL_IPV6, abi::kIPV6_UNICAST_HOPS, 64, -1, 255},
    {abi::kSOL_IPV6, abi::kIPV6_MULTICAST_HOPS, 1, -1, 255},
    {abi::kSOL_IPV6, abi::kIPV6_MULTICAST_LOOP, 1, 0, 1},
    {abi::kSOL_IPV6, abi::kIPV6_MULTICAST_IF, 0, 0, 1},
    {abi::kSOL_IPV6, abi::kIPV6_RECVPKTINFO, 0, 0, 1},
    {abi::kSOL_IPV6, abi::kIPV6_RECVHOPLIMIT, 0, 0, 1},
    {abi::kSOL_IPV6, abi::kIPV6_RECVTCLASS, 0, 0, 1},
    {abi::kSOL_IPV6, abi::kIPV6_RECVERR, 0, 0, 1},
    {abi::kSOL_IPV6, abi::kIPV6_TCLASS, 0, -1, 255},
    {abi::kSOL_IPV6, abi::kIPV6_MTU_DISCOVER, abi::kIP_PMTUDISC_WANT, 0, 5},
    {abi::kSOL_IPV6, abi::kIPV6_DONTFRAG, 0, 0, 1},
    {abi::kSOL_IPV6, abi::kIPV6_AUTOFLOWLABEL, 1, 0, 1},
    {abi::kSOL_IPV6, abi::kIPV6_ADDR_PREFERENCES, 2, 0, kAnyInt},
    {abi::kSOL_IPV6, abi::kIPV6_FREEBIND, 0, 0, 1},
    {abi::kSOL_TCP, abi::kTCP_NODELAY, 0, 0, 1},
    {abi::kSOL_TCP, abi::kTCP_MAXSEG, 65483, 88, 32767 * 2},
    {abi::kSOL_TCP, abi::kTCP_CORK, 0, 0, 1},
    {abi::kSOL_TCP, abi::kTCP_KEEPIDLE, 7200, 1, 32767},
    {abi::kSOL_TCP, abi::kTCP_KEEPINTVL, 75, 1, 32767},
    {abi::kSOL_TCP, abi::kTCP_KEEPCNT, 9, 1, 127},
    {abi::kSOL_TCP, abi::kTCP_SYNCNT, 6, 1, 127},
    {abi::kSOL_TCP, abi::kTCP_LINGER2, 60, -1, 120},
    {abi::kSOL_TCP, abi::kTCP_DEFER_ACCEPT, 0, 0, kAnyInt},
    {abi::kSOL_TCP, abi::kTCP_WINDOW_CLAMP, 0, 0, kAnyInt},
    {abi::kSOL_TCP, abi::kTCP_QUICKACK, 1, 0, 1},
    {abi::kSOL_TCP, abi::kTCP_USER_TIMEOUT, 0, 0, kAnyInt},
    {abi::kSOL_TCP, abi::kTCP_FASTOPEN, 0, 0, kAnyInt},
    {abi::kSOL_TCP, abi::kTCP_NOTSENT_LOWAT, 0, 0, kAnyInt},
    {abi::kSOL_TCP, abi::kTCP_THIN_LINEAR_TIMEOUTS, 0, 0, 1},
    {abi::kSOL_TCP, abi::kTCP_THIN_DUPACK, 0, 0, 1},
    {abi::kSOL_UDP, abi::kUDP_NO_CHECK6_TX, 0, 0, 1},
    {abi::kSOL_UDP, abi::kUDP_NO_CHECK6_RX, 0, 0, 1},
};
constexpr size_t kOptionCount = std::size(kOptions);

const OptionSpec* FindOption(int level, int name) {
  auto it = std::find_if(std::begin(kOptions), std::end(kOptions),
                         [&](const OptionSpec& o) { return o.level == level && o.name == name; });
  return it == std::end(kOptions) ? nullptr : it;
}

bool JoinsGroup(int level, int name) {
  return (level == abi::kSOL_IP && (name == abi::kIP_ADD_MEMBERSHIP || name == abi::kIP_ADD_SOURCE_MEMBERSHIP)) ||
         (level == abi::kSOL_IPV6 && name == abi::kIPV6_JOIN_GROUP);
}
bool LeavesGroup(int level, int name) {
  return (level == abi::kSOL_IP && (name == abi::kIP_DROP_MEMBERSHIP || name == abi::kIP_DROP_SOURCE_MEMBERSHIP)) ||
         (level == abi::kSOL_IPV6 && name == abi::kIPV6_LEAVE_GROUP);
}

}  // namespace

struct InetSocket::Values {
  Values() {
    for (size_t i = 0; i < kOptionCount; ++i) of[i].store(kOptions[i].initial, std::memory_order_relaxed);
  }
  std::array<std::atomic<int>, kOptionCount> of;
};

InetSocket::InetSocket(int family, int type, int protocol, uint32_t flags, const Credentials* owner, PortTable& ports,
                       Ref<SocketQueue> queue)
    : Socket(family, type, protocol, flags, owner), ports_(ports), queue_(std::move(queue)), values_(new Values) {}

InetSocket::~InetSocket() = default;

ErrorOr<Ref<Socket>> CreateInetSocket(const SocketCaller& caller, int family, int type, int protocol, uint32_t flags) {
  if (protocol < 0 || protocol > abi::kIPPROTO_MPTCP) return kEINVAL;
  switch (type) {
    case abi::kSOCK_STREAM:
      if (protocol && protocol != abi::kIPPROTO_TCP) return kEPROTONOSUPPORT;
      return Ref<Socket>(TcpSocket::Create(caller, family, flags));
    case abi::kSOCK_DGRAM:
      // ping_group_range is empty by default.
      if (protocol == abi::kIPPROTO_ICMP || protocol == abi::kIPPROTO_ICMPV6) return kEACCES;
      if (protocol && protocol != abi::kIPPROTO_UDP) return kEPROTONOSUPPORT;
      return Ref<Socket>(UdpSocket::Create(caller, family, flags));
    case abi::kSOCK_RAW: return kEPERM;
    default: return kESOCKTNOSUPPORT;
  }
}

// --- Names. ---

ErrorOr<InetName> InetSocket::CheckBind(const SocketCaller& caller, const SocketAddress& address) const {
  InetName name;
  // bind(2) of AF_INET takes AF_UNSPEC for AF_INET if the address is 0.0.0.0.
  if (family() == abi::kAF_INET && address.length >= sizeof(abi::SockaddrIn) && address.family() == abi::kAF_UNSPEC) {
    auto in = address.As<abi::SockaddrIn>();
    if (in.sin_addr.s_addr) return kEAFNOSUPPORT;
    name = {IpAddress::V4(0), __builtin_bswap16(in.sin_port)};
  } else {
    name = TRY(ParseInetAddress(family(), address));
  }
  if (name.address.is_v4() && family() == abi::kAF_INET6 && v6_only()) return kEINVAL;
  if (!name.address.is_any() && !name.address.is_loopback()) return kEADDRNOTAVAIL;
  const bool privileged = name.port && name.port < g_tunables.first_unprivileged_port.load(std::memory_order_relaxed);
  if (privileged && !caller.creds().Has(abi::kCAP_NET_BIND_SERVICE)) {
    return kEACCES;
  }
  return name;
}

ErrorOr<InetName> InetSocket::CheckDestination(const SocketAddress& address) const {
  InetName name;
  if (family() == abi::kAF_INET6 && address.family() == abi::kAF_INET) {
    // A datagram socket of AF_INET6 takes the other family's addresses too.
    if (is_stream()) return kEAFNOSUPPORT;
    name = TRY(ParseInetAddress(abi::kAF_INET, address));
  } else {
    name = TRY(ParseInetAddress(family(), address));
  }
  if (name.address.is_v4() && family() == abi::kAF_INET6 && v6_only()) return kENETUNREACH;
  if (name.address.is_any()) name.address = IpAddress::Loopback(name.address.is_v4());
  if (name.address.is_broadcast() && !is_stream() && !broadcast_.load(std::memory_order_relaxed)) return kEACCES;
  TRY(RouteTo(name.address));
  return name;
}

PortTable::Request InetSocket::BindRequest(const IpAddress& address, uint16_t port, uint32_t uid, bool for_connect) const {
  PortTable::Request request;
  request.where = BoundAddresses::Of(family(), address, v6_only());
  request.port = port;
  request.uid = uid;
  request.reuse_address = reuse_address_.load(std::memory_order_relaxed);
  request.reuse_port = reuse_port_.load(std::memory_order_relaxed);
  request.for_connect = for_connect;
  return request;
}

// --- Options. ---

bool InetSocket::HasLevel(int level) const {
  switch (level) {
    case abi::kSOL_IP: return true;
    case abi::kSOL_IPV6: return family() == abi::kAF_INET6;
    case abi::kSOL_TCP: return is_stream();
    case abi::kSOL_UDP: return !is_stream();
    default: return false;
  }
}

int InetSocket::OptionValue(int level, int name) const {
  const OptionSpec* spec = FindOption(level, name);
  return spec ? values_->of[static_cast<size_t>(spec - kOptions)].load(std::memory_order_relaxed) : 0;
}

ErrorOr<void> InetSocket::SetFamilyOption(const SocketCaller&, int level, int name, std::span<const std::byte> value) {
  if (!HasLevel(level)) return kENOPROTOOPT;
  ErrorOr<void> own = SetProtocolOption(level, name, value);
  if (own.ok() || own.error() != kENOPROTOOPT) return own;
  // No interface here takes part in multicast.
  if (JoinsGroup(level, name)) return kENODEV;
  if (LeavesGroup(level, name)) return kEADDRNOTAVAIL;
  if (level == abi::kSOL_IP && name == abi::kIP_MULTICAST_IF) return value.size() < 4 ? kEINVAL : ErrorOr<void>();
  const OptionSpec* spec = FindOption(level, name);
  if (!spec) return kENOPROTOOPT;
  int v;
  if (level == abi::kSOL_IP && value.size() >= 1 && value.size() < sizeof v) {
    v = static_cast<int>(value[0]);  // ip(7) takes a byte too
  } else {
    v = TRY(OptionAsInt(value));
  }
  if (spec->least == 0 && spec->most == 1) v = v != 0;
  if (v == -1 && spec->least == -1) v = spec->initial;
  if (v < spec->least || v > spec->most) return kEINVAL;
  if (name == abi::kIPV6_V6ONLY && level == abi::kSOL_IPV6 && is_bound()) return kEINVAL;
  values_->of[static_cast<size_t>(spec - kOptions)].store(v, std::memory_order_relaxed);
  return {};
}

ErrorOr<std::string> InetSocket::GetFamilyOption(int level, int name, size_t room) {
  if (!HasLevel(level)) return level == abi::kSOL_IPV6 ? kENOPROTOOPT : kEOPNOTSUPP;
  ErrorOr<std::string> own = GetProtocolOption(level, name, room);
  if (own.ok() || own.error() != kENOPROTOOPT) return own;
  constexpr int kLoopbackMtu = 65536;
  if ((level == abi::kSOL_IP && name == abi::kIP_MTU) || (level == abi::kSOL_IPV6 && name == abi::kIPV6_MTU)) {
    return PeerName().ok() ? ErrorOr<std::string>(OptionInt(kLoopbackMtu)) : kENOTCONN;
  }
  if (level == abi::kSOL_IP && name == abi::kIP_MULTICAST_IF) return OptionInt(0);
  if (!FindOption(level, name)) return kENOPROTOOPT;
  int v = OptionValue(level, name);
  if (level == abi::kSOL_IP && room > 0 && room < sizeof v && v >= 0 && v <= 255) return std::string(1, static_cast<char>(v));
  return OptionInt(v);
}

void InetSocket::InheritInetOptions(const InetSocket& from) {
  InheritOptions(from);
  for (size_t i = 0; i < kOptionCount; ++i) {
    values_->of[i].store(from.values_->of[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
}

}  // namespace moat
