// AF_NETLINK (netlink(7)): NETLINK_ROUTE answers what there is to know of the loopback interface; NETLINK_KOBJECT_UEVENT
// exists and is silent, since no device comes or goes.
#pragma once

#include <deque>
#include <string>

#include "base/kern/wait_queue.h"
#include "base/sync/task_mutex.h"
#include "sentry/net/socket.h"

namespace moat {

class NetlinkSocket final : public Socket {
 public:
  // kESOCKTNOSUPPORT, kEPROTONOSUPPORT.
  static ErrorOr<Ref<NetlinkSocket>> Create(const SocketCaller& caller, int type, int protocol, uint32_t flags);

  ErrorOr<void> Bind(const SocketCaller& caller, const SocketAddress& address) override;
  ErrorOr<void> Connect(const SocketCaller& caller, const SocketAddress& address, bool nonblocking) override;
  ErrorOr<size_t> TrySend(const SocketCaller* caller, IoSource& src, SendInfo& info) override;
  ErrorOr<size_t> TryReceive(IoSink& dst, ReceiveInfo& info) override;
  ErrorOr<SocketAddress> LocalName() override;
  ErrorOr<SocketAddress> PeerName() override;
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &queue_; }

 protected:
  ErrorOr<void> SetFamilyOption(const SocketCaller&, int level, int name, std::span<const std::byte> value) override;
  ErrorOr<std::string> GetFamilyOption(int level, int name, size_t room) override;

 private:
  NetlinkSocket(int type, int protocol, uint32_t flags, const Credentials* owner)
      : Socket(abi::kAF_NETLINK, type, protocol, flags, owner) {}
  ~NetlinkSocket() override;
  ErrorOr<void> BindLocked(uint32_t wanted, uint32_t fallback) MOAT_REQUIRES(mu_);

  WaitQueue queue_;
  TaskMutex reader_{LockRank::kPipe};
  Mutex mu_;
  uint32_t port_ MOAT_GUARDED_BY(mu_) = 0;  // nl_pid; 0: not bound
  uint32_t groups_ MOAT_GUARDED_BY(mu_) = 0;
  std::deque<std::string> answers_ MOAT_GUARDED_BY(mu_);
  size_t queued_ MOAT_GUARDED_BY(mu_) = 0;
};

}  // namespace moat
