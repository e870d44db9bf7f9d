#include "sentry/net/inet/address.h"

namespace moat {

namespace {

constexpr size_t kV4Offset = 12;  // of the IPv4 address in its mapped form

}  // namespace

IpAddress IpAddress::V4(uint32_t network_order) {
  IpAddress a;
  a.bytes_[10] = a.bytes_[11] = 0xff;
  memcpy(&a.bytes_[kV4Offset], &network_order, sizeof network_order);
  return a;
}

IpAddress IpAddress::V6(const abi::In6Addr& from) {
  IpAddress a;
  memcpy(a.bytes_.data(), &from, a.bytes_.size());
  return a;
}

IpAddress IpAddress::Loopback6() {
  IpAddress a;
  a.bytes_[15] = 1;
  return a;
}

bool IpAddress::is_v4() const {
  for (size_t i = 0; i < 10; ++i) {
    if (bytes_[i]) return false;
  }
  return bytes_[10] == 0xff && bytes_[11] == 0xff;
}

uint32_t IpAddress::v4() const {
  uint32_t a;
  memcpy(&a, &bytes_[kV4Offset], sizeof a);
  return a;
}

abi::In6Addr IpAddress::v6() const {
  abi::In6Addr a;
  memcpy(&a, bytes_.data(), bytes_.size());
  return a;
}

bool IpAddress::is_any() const { return *this == IpAddress() || *this == V4(0); }
bool IpAddress::is_loopback() const { return is_v4() ? bytes_[kV4Offset] == 127 : *this == Loopback6(); }
bool IpAddress::is_broadcast() const { return *this == V4(abi::kINADDR_BROADCAST); }
bool IpAddress::is_multicast() const { return is_v4() ? (bytes_[kV4Offset] & 0xf0) == 0xe0 : bytes_[0] == 0xff; }

ErrorOr<InetName> ParseInetAddress(int family, const SocketAddress& address) {
  InetName name;
  if (family == abi::kAF_INET) {
    if (address.length < sizeof(abi::SockaddrIn)) return kEINVAL;
    auto in = address.As<abi::SockaddrIn>();
    if (in.sin_family != abi::kAF_INET) return kEAFNOSUPPORT;
    name.address = IpAddress::V4(in.sin_addr.s_addr);
    name.port = __builtin_bswap16(in.sin_port);
    return name;
  }
  if (address.length < abi::kSIN6_LEN_RFC2133) return kEINVAL;
  auto in6 = address.As<abi::SockaddrIn6>();
  if (in6.sin6_family != abi::kAF_INET6) return kEAFNOSUPPORT;
  name.address = IpAddress::V6(in6.sin6_addr);
  name.port = __builtin_bswap16(in6.sin6_port);
  return name;
}

SocketAddress MakeInetAddress(int family, const InetName& name) {
  if (family == abi::kAF_INET) {
    abi::SockaddrIn in{};
    in.sin_family = abi::kAF_INET;
    in.sin_port = __builtin_bswap16(name.port);
    in.sin_addr.s_addr = name.address.v4();
    return SocketAddress::From(in);
  }
  abi::SockaddrIn6 in6{};
  in6.sin6_family = abi::kAF_INET6;
  in6.sin6_port = __builtin_bswap16(name.port);
  // An unspecified IPv4 address of an IPv6 socket is shown as ::.
  in6.sin6_addr = name.address.is_any() ? abi::In6Addr{} : name.address.v6();
  return SocketAddress::From(in6);
}

ErrorOr<void> RouteTo(const IpAddress& to) {
  if (to.is_any() || to.is_loopback()) return {};
  return kENETUNREACH;
}

}  // namespace moat
