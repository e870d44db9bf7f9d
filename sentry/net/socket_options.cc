// The options at SOL_SOCKET (socket(7)).
#include <algorithm>

#include "abi/capability.h"
#include "abi/time.h"
#include "base/kern/tunables.h"
#include "sentry/net/socket.h"

namespace moat {

std::string OptionBytes(const void* value, size_t size) { return std::string(static_cast<const char*>(value), size); }

ErrorOr<int> OptionAsInt(std::span<const std::byte> value) {
  int i;
  if (value.size() < sizeof i) return kEINVAL;
  memcpy(&i, value.data(), sizeof i);
  return i;
}

std::atomic<bool>* Socket::FlagOption(int name) {
  switch (name) {
    case abi::kSO_DEBUG: return &debug_;
    case abi::kSO_REUSEADDR: return &reuse_address_;
    case abi::kSO_REUSEPORT: return &reuse_port_;
    case abi::kSO_DONTROUTE: return &dont_route_;
    case abi::kSO_BROADCAST: return &broadcast_;
    case abi::kSO_KEEPALIVE: return &keep_alive_;
    case abi::kSO_OOBINLINE: return &oob_inline_;
    case abi::kSO_NO_CHECK: return &no_check_;
    case abi::kSO_PASSCRED: return &pass_credentials_;
    case abi::kSO_TIMESTAMP: return &timestamp_;
    case abi::kSO_TIMESTAMPNS: return &timestamp_ns_;
    case abi::kSO_RXQ_OVFL: return &rxq_overflow_;
    case abi::kSO_ZEROCOPY: return &zero_copy_;
    default: return nullptr;
  }
}

ErrorOr<void> Socket::SetOption(const SocketCaller& caller, int level, int name, std::span<const std::byte> value) {
  if (level == abi::kSOL_SOCKET) return SetSocketOption(caller, name, value);
  return SetFamilyOption(caller, level, name, value);
}

ErrorOr<std::string> Socket::GetOption(const SocketCaller&, int level, int name, size_t room) {
  return level == abi::kSOL_SOCKET ? GetSocketOption(name) : GetFamilyOption(level, name, room);
}

ErrorOr<void> Socket::SetTimeout(std::atomic<int64_t>& timeout_ns, std::span<const std::byte> value) {
  abi::Timeval tv;
  if (value.size() < sizeof tv) return kEINVAL;
  memcpy(&tv, value.data(), sizeof tv);
  if (tv.tv_usec < 0 || tv.tv_usec >= abi::kUSEC_PER_SEC) return kEDOM;
  constexpr int64_t kTooLong = INT64_MAX / abi::kNSEC_PER_SEC - 1;
  int64_t ns = INT64_MAX;  // 0.0 and what no clock reaches: forever
  if (tv.tv_sec < 0) {
    ns = 0;
  } else if ((tv.tv_sec || tv.tv_usec) && tv.tv_sec < kTooLong) {
    ns = tv.tv_sec * abi::kNSEC_PER_SEC + tv.tv_usec * abi::kNSEC_PER_USEC;
  }
  timeout_ns.store(ns, std::memory_order_relaxed);
  return {};
}

ErrorOr<void> Socket::SetBuffer(const SocketCaller& caller, int name, int value) {
  bool force = name == abi::kSO_SNDBUFFORCE || name == abi::kSO_RCVBUFFORCE;
  if (force && !caller.creds().Has(abi::kCAP_NET_ADMIN)) return kEPERM;
  // FORCE gets past the administrator's bound, not past what a guest may make the sentry hold.
  const bool sends = name == abi::kSO_SNDBUF || name == abi::kSO_SNDBUFFORCE;
  const std::atomic<int64_t>& most = sends ? g_tunables.wmem_max : g_tunables.rmem_max;
  const int bound = static_cast<int>(std::min<int64_t>(kMaxBuffer, most.load(std::memory_order_relaxed)));
  int wanted = std::clamp(value, 0, force ? kMaxBuffer : bound) * 2;
  if (sends) {
    send_buffer_.store(std::max(wanted, kMinSendBuffer), std::memory_order_relaxed);
  } else {
    receive_buffer_.store(std::max(wanted, kMinReceiveBuffer), std::memory_order_relaxed);
  }
  OptionsChanged();
  return {};
}

ErrorOr<void> Socket::SetSocketOption(const SocketCaller& caller, int name, std::span<const std::byte> value) {
  if (name == abi::kSO_BINDTODEVICE) {
    std::string_view device(reinterpret_cast<const char*>(value.data()), value.size());
    device = device.substr(0, device.find('\0'));
    return device.empty() || device == "lo" ? ErrorOr<void>() : kENODEV;
  }
  int v = TRY(OptionAsInt(value));
  if (std::atomic<bool>* flag = FlagOption(name)) {
    if (name == abi::kSO_REUSEPORT && v && family_ == abi::kAF_UNIX) return kEOPNOTSUPP;
    if (name == abi::kSO_DEBUG && v && !caller.creds().Has(abi::kCAP_NET_ADMIN)) return kEACCES;
    if (name == abi::kSO_ZEROCOPY && v) return kEOPNOTSUPP;
    flag->store(v != 0, std::memory_order_relaxed);
    OptionsChanged();
    return {};
  }
  switch (name) {
    case abi::kSO_TYPE: case abi::kSO_PROTOCOL: case abi::kSO_DOMAIN: case abi::kSO_ERROR: return kENOPROTOOPT;
    case abi::kSO_SNDBUF: case abi::kSO_RCVBUF: case abi::kSO_SNDBUFFORCE: case abi::kSO_RCVBUFFORCE:
      return SetBuffer(caller, name, v);
    case abi::kSO_LINGER: {
      abi::Linger linger;
      if (value.size() < sizeof linger) return kEINVAL;
      memcpy(&linger, value.data(), sizeof linger);
      linger_seconds_.store(linger.l_linger, std::memory_order_relaxed);
      linger_on_.store(linger.l_onoff != 0, std::memory_order_relaxed);
      return {};
    }
    case abi::kSO_RCVTIMEO: case abi::kSO_RCVTIMEO_NEW: return SetTimeout(receive_timeout_ns_, value);
    case abi::kSO_SNDTIMEO: case abi::kSO_SNDTIMEO_NEW: return SetTimeout(send_timeout_ns_, value);
    case abi::kSO_RCVLOWAT: receive_low_water_.store(v <= 0 ? 1 : v, std::memory_order_relaxed); return {};
    case abi::kSO_PRIORITY:
      if ((v < 0 || v > 6) && !caller.creds().Has(abi::kCAP_NET_ADMIN)) return kEPERM;
      priority_.store(v, std::memory_order_relaxed);
      return {};
    case abi::kSO_MARK:
      if (!caller.creds().Has(abi::kCAP_NET_ADMIN)) return kEPERM;
      mark_.store(v, std::memory_order_relaxed);
      return {};
    case abi::kSO_BUSY_POLL: busy_poll_.store(v, std::memory_order_relaxed); return {};
    case abi::kSO_TIMESTAMPING: timestamping_.store(v, std::memory_order_relaxed); return {};
    default: return kENOPROTOOPT;
  }
}

ErrorOr<std::string> Socket::GetSocketOption(int name) {
  if (std::atomic<bool>* flag = FlagOption(name)) return OptionInt(flag->load(std::memory_order_relaxed));
  auto timeout = [](int64_t ns) {
    abi::Timeval tv{};
    if (ns != INT64_MAX) tv = {ns / abi::kNSEC_PER_SEC, ns % abi::kNSEC_PER_SEC / abi::kNSEC_PER_USEC};
    return OptionBytes(&tv, sizeof tv);
  };
  switch (name) {
    case abi::kSO_TYPE: return OptionInt(type_);
    case abi::kSO_PROTOCOL: return OptionInt(protocol_);
    case abi::kSO_DOMAIN: return OptionInt(family_);
    case abi::kSO_ERROR: return OptionInt(TakeError());
    case abi::kSO_ACCEPTCONN: return OptionInt(listening());
    case abi::kSO_SNDBUF: return OptionInt(send_buffer_.load(std::memory_order_relaxed));
    case abi::kSO_RCVBUF: return OptionInt(receive_buffer_.load(std::memory_order_relaxed));
    case abi::kSO_LINGER: {
      abi::Linger linger{linger_on_.load(std::memory_order_relaxed), linger_seconds_.load(std::memory_order_relaxed)};
      return OptionBytes(&linger, sizeof linger);
    }
    case abi::kSO_RCVTIMEO: case abi::kSO_RCVTIMEO_NEW: return timeout(receive_timeout_ns());
    case abi::kSO_SNDTIMEO: case abi::kSO_SNDTIMEO_NEW: return timeout(send_timeout_ns());
    case abi::kSO_RCVLOWAT: return OptionInt(receive_low_water_.load(std::memory_order_relaxed));
    case abi::kSO_SNDLOWAT: return OptionInt(1);
    case abi::kSO_PRIORITY: return OptionInt(priority_.load(std::memory_order_relaxed));
    case abi::kSO_MARK: return OptionInt(mark_.load(std::memory_order_relaxed));
    case abi::kSO_BUSY_POLL: return OptionInt(busy_poll_.load(std::memory_order_relaxed));
    case abi::kSO_TIMESTAMPING: return OptionInt(timestamping_.load(std::memory_order_relaxed));
    case abi::kSO_COOKIE: return OptionBytes(&cookie_, sizeof cookie_);
    case abi::kSO_INCOMING_CPU: return OptionInt(0);
    case abi::kSO_BINDTODEVICE: return std::string();
    case abi::kSO_PEERCRED: return PeerCredentials();
    case abi::kSO_PEERGROUPS: return PeerGroups();
    case abi::kSO_PEERNAME: {
      SocketAddress peer = TRY(PeerName());
      return OptionBytes(peer.bytes.data(), peer.length);
    }
    default: return kENOPROTOOPT;
  }
}

void Socket::InheritOptions(const Socket& from) {
  for (auto member : {&Socket::pass_credentials_, &Socket::reuse_address_, &Socket::reuse_port_, &Socket::keep_alive_,
                      &Socket::oob_inline_, &Socket::linger_on_}) {
    (this->*member).store((from.*member).load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  for (auto member : {&Socket::send_buffer_, &Socket::receive_buffer_, &Socket::linger_seconds_, &Socket::priority_}) {
    (this->*member).store((from.*member).load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  for (auto member : {&Socket::receive_timeout_ns_, &Socket::send_timeout_ns_}) {
    (this->*member).store((from.*member).load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  OptionsChanged();
}

}  // namespace moat
