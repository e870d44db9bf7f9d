// Internet addresses and names (address and port) of sockets.
#pragma once

#include <array>
#include <cstdint>

#include "base/util/error.h"
#include "sentry/net/socket.h"

namespace moat {

// An IPv6 address, or an IPv4 one in its mapped form (::ffff:a.b.c.d). Which of both it is can be told except for the
// unspecified ones: ::ffff:0.0.0.0 and ::.
class IpAddress {
 public:
  IpAddress() = default;  // ::
  static IpAddress V4(uint32_t network_order);
  static IpAddress V6(const abi::In6Addr& a);
  static IpAddress Loopback(bool v4) { return v4 ? V4(__builtin_bswap32(abi::kINADDR_LOOPBACK)) : Loopback6(); }
  static IpAddress Any(bool v4) { return v4 ? V4(0) : IpAddress(); }

  bool is_v4() const;
  bool is_any() const;        // 0.0.0.0 or ::
  bool is_loopback() const;   // 127.0.0.0/8 or ::1
  bool is_broadcast() const;  // 255.255.255.255
  bool is_multicast() const;
  uint32_t v4() const;  // network order
  abi::In6Addr v6() const;
  bool operator==(const IpAddress&) const = default;

 private:
  static IpAddress Loopback6();
  std::array<uint8_t, 16> bytes_{};
};

struct InetName {
  IpAddress address;
  uint16_t port = 0;  // host order
  bool operator==(const InetName&) const = default;
};

// A sockaddr_in or sockaddr_in6 for a socket of `family`. kEINVAL: too short; kEAFNOSUPPORT: of another family.
ErrorOr<InetName> ParseInetAddress(int family, const SocketAddress& address);
SocketAddress MakeInetAddress(int family, const InetName& name);

// Where a datagram or connection to `to` goes: ok means through loopback, the only interface there is. kENETUNREACH.
ErrorOr<void> RouteTo(const IpAddress& to);

}  // namespace moat
