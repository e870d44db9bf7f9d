// Who has which port: bind(2)'s conflicts, ephemeral ports, and who gets what arrives. One table for TCP, one for UDP.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "sentry/net/inet/address.h"

namespace moat {

// The addresses that a socket is bound to.
struct BoundAddresses {
  IpAddress address;
  bool v4 = false, v6 = false;  // of which versions (an IPv6 socket bound to :: may have both)
  // `family` AF_INET or AF_INET6, `v6_only` IPV6_V6ONLY.
  static BoundAddresses Of(int family, const IpAddress& address, bool v6_only);
  bool Overlaps(const BoundAddresses& o) const;
  bool Has(const IpAddress& a) const;  // takes what is sent to `a`
};

class PortTable;

// A socket's hold on a port.
class PortBinding final : public RefCounted {
 public:
  const BoundAddresses where;
  const uint16_t port;
  const uint32_t uid;
  const bool explicit_port;  // named by bind(2), not chosen
  std::atomic<bool> reuse_address, reuse_port;  // may change after the bind, as in Linux

 private:
  friend class PortTable;
  template <class T, class... A>
  friend Ref<T> MakeRef(A&&...);
  PortBinding(const BoundAddresses& w, uint16_t p, uint32_t u, bool named, bool reuse_a, bool reuse_p)
      : where(w), port(p), uid(u), explicit_port(named), reuse_address(reuse_a), reuse_port(reuse_p) {}
  // The table's lock.
  Ref<RefCounted> target_;  // the listener or datagram socket that gets what arrives, or null
  bool listening_ = false;
  bool has_peer_ = false;   // takes datagrams of `peer_` only
  InetName peer_;
  int64_t expires_ns_ = 0;  // TIME_WAIT; 0: alive
};

class PortTable {
 public:
  static PortTable& Tcp();
  static PortTable& Udp();

  struct Request {
    BoundAddresses where;
    uint16_t port = 0;  // 0: choose one
    uint32_t uid = 0;
    bool reuse_address = false, reuse_port = false;
    bool for_connect = false;  // connect(2) chooses: ports in TIME_WAIT do
  };
  // kEADDRINUSE; kEADDRNOTAVAIL if no port is left for connect(2).
  ErrorOr<Ref<PortBinding>> Bind(const Request& request);
  // A further holder of the same port (an accepted connection).
  Ref<PortBinding> Share(const PortBinding& binding, const BoundAddresses& where);
  void Unbind(PortBinding& binding);
  // The binding stays for 60 seconds, without a target.
  void TimeWait(PortBinding& binding);

  // listen(2): kEADDRINUSE if somebody else listens there.
  ErrorOr<void> Listen(PortBinding& binding, Ref<RefCounted> listener);
  void StopListening(PortBinding& binding);
  void SetTarget(PortBinding& binding, Ref<RefCounted> target);
  void SetPeer(PortBinding& binding, const InetName* peer);  // null: none

  // Who gets what `from` sends to `to`: the most specific binding. Null: nobody.
  Ref<RefCounted> FindListener(const InetName& to, Ref<PortBinding>* binding);
  Ref<RefCounted> FindReceiver(const InetName& to, const InetName& from);

 private:
  static constexpr int64_t kTimeWaitNs = 60'000'000'000;
  static constexpr size_t kMaxTimeWait = 16384;  // tcp_max_tw_buckets: beyond it the oldest go

  bool ConflictsLocked(const Request& request, uint16_t port) MOAT_REQUIRES(mu_);
  static bool Conflicts(const Request& request, const PortBinding& other);
  ErrorOr<uint16_t> ChooseLocked(const Request& request) MOAT_REQUIRES(mu_);
  void ExpireLocked(int64_t now_ns) MOAT_REQUIRES(mu_);
  Ref<PortBinding> TakeLocked(PortBinding& binding) MOAT_REQUIRES(mu_);
  template <class Score>
  PortBinding* FindLocked(uint16_t port, Score score) MOAT_REQUIRES(mu_);

  Mutex mu_;
  std::unordered_map<uint16_t, std::vector<Ref<PortBinding>>> ports_ MOAT_GUARDED_BY(mu_);
  struct Lingering {
    int64_t due_ns;
    Ref<PortBinding> binding;
  };
  std::deque<Lingering> time_wait_ MOAT_GUARDED_BY(mu_);  // by due_ns
  uint32_t turn_ MOAT_GUARDED_BY(mu_) = 0;  // SO_REUSEPORT: whose turn it is
};

}  // namespace moat
