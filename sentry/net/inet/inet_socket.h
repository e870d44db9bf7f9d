// What TCP and UDP sockets share: names, the bound port, options of IP and IPv6 that are remembered (ip(7), ipv6(7)).
#pragma once

#include <memory>
#include <string>

#include "base/kern/wait_queue.h"
#include "sentry/net/inet/address.h"
#include "sentry/net/inet/port_table.h"
#include "sentry/net/socket.h"

namespace moat {

// A socket's wait queue; outlives the socket while the other side of a connection may still wake it.
struct SocketQueue final : RefCounted {
  WaitQueue queue;
};

// socket(2) of AF_INET and AF_INET6. kEPERM: raw sockets; kEACCES: ping sockets; kEPROTONOSUPPORT, kESOCKTNOSUPPORT.
ErrorOr<Ref<Socket>> CreateInetSocket(const SocketCaller& caller, int family, int type, int protocol, uint32_t flags);

class InetSocket : public Socket {
 public:
  WaitQueue* wait_queue() override { return &queue_->queue; }

 protected:
  InetSocket(int family, int type, int protocol, uint32_t flags, const Credentials* owner, PortTable& ports,
             Ref<SocketQueue> queue);
  ~InetSocket() override;

  bool v6_only() const { return OptionValue(abi::kSOL_IPV6, abi::kIPV6_V6ONLY) != 0; }
  // Checks an address to bind to: kEINVAL, kEAFNOSUPPORT, kEADDRNOTAVAIL, kEACCES (port).
  ErrorOr<InetName> CheckBind(const SocketCaller& caller, const SocketAddress& address) const;
  // Where a connect or send goes: an unspecified address means this machine. kENETUNREACH, kEAFNOSUPPORT, kEACCES
  // (broadcast).
  ErrorOr<InetName> CheckDestination(const SocketAddress& address) const;
  PortTable::Request BindRequest(const IpAddress& address, uint16_t port, uint32_t uid, bool for_connect) const;
  // SO_REUSEADDR and SO_REUSEPORT count from when they are set, not from the bind.
  void SetSharing(PortBinding& binding) const {
    binding.reuse_address.store(reuse_address_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    binding.reuse_port.store(reuse_port_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  // The address that this machine speaks from to `to`.
  static IpAddress SourceFor(const IpAddress& to) { return IpAddress::Loopback(to.is_v4()); }

  // Options. The value of one of the table's; 0 if it is not there.
  int OptionValue(int level, int name) const;
  ErrorOr<void> SetFamilyOption(const SocketCaller& caller, int level, int name, std::span<const std::byte> value) override;
  ErrorOr<std::string> GetFamilyOption(int level, int name, size_t room) override;
  // The protocol's own (TCP_INFO and such), asked before the table. kENOPROTOOPT: not one of those.
  virtual ErrorOr<void> SetProtocolOption(int level, int name, std::span<const std::byte> value) { return kENOPROTOOPT; }
  virtual ErrorOr<std::string> GetProtocolOption(int level, int name, size_t room) { return kENOPROTOOPT; }
  virtual bool is_bound() = 0;
  void InheritInetOptions(const InetSocket& from);

  PortTable& ports_;
  const Ref<SocketQueue> queue_;

 private:
  struct Values;
  bool HasLevel(int level) const;
  const std::unique_ptr<Values> values_;
};

}  // namespace moat
