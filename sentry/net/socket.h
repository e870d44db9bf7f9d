// Sockets of any family: what the system calls of sockets need (socket(2) and its kin).
//
// Sockets never block: a call that would returns kEAGAIN and the handler sleeps on wait_queue() (whose owner wakes POLLIN,
// POLLOUT, POLLHUP as states change) until a deadline of SO_RCVTIMEO or SO_SNDTIMEO. Senders that wait for room at somebody
// else's queue are woken through their own wait_queue() too.
//
// Lock order: a socket's receive lock (TaskMutex, held while bytes are copied out) > the families' short locks.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "abi/netinet.h"
#include "abi/socket.h"
#include "base/kern/credentials.h"
#include "fs/vfs/file_description.h"

namespace moat {

struct WalkContext;

// A struct sockaddr as the guest gave it or gets it.
struct SocketAddress {
  uint32_t length = 0;  // bytes in use
  alignas(8) std::array<std::byte, sizeof(abi::SockaddrStorage)> bytes{};

  // AF_UNSPEC if there is not even a family.
  uint16_t family() const {
    uint16_t f = 0;
    if (length >= sizeof f) memcpy(&f, bytes.data(), sizeof f);
    return f;
  }
  // The first bytes as a T, zeros beyond `length`.
  template <class T>
  T As() const {
    static_assert(sizeof(T) <= sizeof(abi::SockaddrStorage));
    T value;
    memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  template <class T>
  static SocketAddress From(const T& value, uint32_t length = sizeof(T)) {
    SocketAddress address;
    address.length = length;
    memcpy(address.bytes.data(), &value, sizeof value);
    return address;
  }
};

// In whose name a call is made.
class SocketCaller {
 public:
  virtual const Credentials& creds() const = 0;
  virtual int pid() const = 0;  // of the process
  // For names of AF_UNIX in the file system.
  virtual WalkContext walk() const = 0;
  virtual uint32_t umask() const = 0;
  virtual uint64_t descriptor_limit() const = 0;  // RLIMIT_NOFILE

 protected:
  ~SocketCaller() = default;
};

// A control message of a family (IP_PKTINFO and the like), as received.
struct SocketControlMessage {
  int level;
  int type;
  std::string data;
};

// What goes with the bytes of a send. `files` and `credentials` are consumed when the call returns ok.
struct SendInfo {
  const SocketAddress* to = nullptr;  // or null
  uint32_t flags = 0;                 // MSG_*; MSG_DONTWAIT is set for O_NONBLOCK too
  std::vector<Ref<FileDescription>> files;  // SCM_RIGHTS
  bool has_credentials = false;
  abi::Ucred credentials{};           // SCM_CREDENTIALS, already checked
  std::vector<SocketControlMessage> control;  // all others
};

// What comes with the bytes of a receive.
struct ReceiveInfo {
  uint32_t flags = 0;       // in: MSG_*, with MSG_DONTWAIT for O_NONBLOCK
  bool wants_control = true;  // in: false if there is no room: descriptors are dropped
  SocketAddress from;       // length 0: no name is written
  uint32_t out_flags = 0;   // MSG_TRUNC, MSG_OOB, MSG_ERRQUEUE...
  std::vector<Ref<FileDescription>> files;
  bool has_credentials = false;
  abi::Ucred credentials{};
  std::vector<SocketControlMessage> control;
};

class Socket : public FileDescription {
 public:
  int family() const { return family_; }
  int type() const { return type_; }
  int protocol() const { return protocol_; }
  // Bytes without boundaries: a send may be done in parts, MSG_WAITALL is meant.
  bool is_stream() const { return type_ == abi::kSOCK_STREAM; }

  virtual ErrorOr<void> Bind(const SocketCaller& caller, const SocketAddress& address) { return kEOPNOTSUPP; }
  virtual ErrorOr<void> Listen(const SocketCaller& caller, int backlog) { return kEOPNOTSUPP; }
  // kEAGAIN: not now, call again after a wake. kEINPROGRESS: the connection is under way; wait for POLLOUT and call
  // FinishConnect.
  virtual ErrorOr<void> Connect(const SocketCaller& caller, const SocketAddress& address, bool nonblocking) {
    return kEOPNOTSUPP;
  }
  // The outcome of a connection under way: kEAGAIN while it is, else ok or why it failed.
  virtual ErrorOr<void> FinishConnect() { return {}; }
  virtual ErrorOr<Ref<Socket>> TryAccept(const SocketCaller& caller) { return kEOPNOTSUPP; }
  // Sends what fits (streams) or the whole message. kEPIPE: the signal is the caller's business.
  virtual ErrorOr<size_t> TrySend(const SocketCaller* caller, IoSource& src, SendInfo& info) = 0;
  // Streams: the bytes there are. Messages: one, its whole length if MSG_TRUNC was asked for.
  virtual ErrorOr<size_t> TryReceive(IoSink& dst, ReceiveInfo& info) = 0;
  virtual ErrorOr<void> Shutdown(int how) { return kEOPNOTSUPP; }
  virtual ErrorOr<SocketAddress> LocalName() = 0;
  virtual ErrorOr<SocketAddress> PeerName() { return kEOPNOTSUPP; }
  // setsockopt(2), getsockopt(2). Get returns the whole value; the handler cuts it. `room` is the guest's buffer size.
  ErrorOr<void> SetOption(const SocketCaller& caller, int level, int name, std::span<const std::byte> value);
  ErrorOr<std::string> GetOption(const SocketCaller& caller, int level, int name, size_t room);

  int64_t receive_timeout_ns() const { return receive_timeout_ns_.load(std::memory_order_relaxed); }  // INT64_MAX: none
  int64_t send_timeout_ns() const { return send_timeout_ns_.load(std::memory_order_relaxed); }

  // FileDescription.
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) override;
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags flags) override;
  bool pollable() const override { return true; }
  bool seekable() const override { return false; }
  AsyncKind async_kind() const override { return AsyncKind::kSocket; }
  ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) override;

  // Buffer sizes as Linux keeps them (twice what SO_SNDBUF asked for) and their bounds (net.core.*mem_max).
  static constexpr int kDefaultBuffer = 212992;
  static constexpr int kMaxBuffer = 212992;
  static constexpr int kMinSendBuffer = 4608;
  static constexpr int kMinReceiveBuffer = 2304;

 protected:
  Socket(int family, int type, int protocol, uint32_t flags, const Credentials* owner);

  // What the families know of the options at SOL_SOCKET.
  virtual bool listening() { return false; }  // SO_ACCEPTCONN
  virtual int TakeError() { return 0; }       // SO_ERROR: reading it clears it
  virtual void OptionsChanged() {}            // one of the options that families look at
  virtual ErrorOr<std::string> PeerCredentials() { return kENOPROTOOPT; }  // SO_PEERCRED
  virtual ErrorOr<std::string> PeerGroups() { return kENOPROTOOPT; }       // SO_PEERGROUPS
  // Options of other levels. kENOPROTOOPT; kEOPNOTSUPP for a level that the family does not have.
  virtual ErrorOr<void> SetFamilyOption(const SocketCaller&, int level, int name, std::span<const std::byte> value) {
    return kEOPNOTSUPP;
  }
  virtual ErrorOr<std::string> GetFamilyOption(int level, int name, size_t room) { return kEOPNOTSUPP; }
  // SIOCINQ and SIOCOUTQ.
  virtual ErrorOr<size_t> BytesToRead() { return kENOTTY; }
  virtual ErrorOr<size_t> BytesToSend() { return kENOTTY; }

  // Options that families look at.
  std::atomic<int> send_buffer_{kDefaultBuffer}, receive_buffer_{kDefaultBuffer};
  std::atomic<bool> pass_credentials_{false};
  std::atomic<bool> reuse_address_{false}, reuse_port_{false}, keep_alive_{false}, broadcast_{false}, oob_inline_{false};
  std::atomic<bool> timestamp_{false}, timestamp_ns_{false};
  std::atomic<bool> linger_on_{false};
  std::atomic<int> linger_seconds_{0};
  std::atomic<int> receive_low_water_{1};

  // Copies what an accepted socket has from its listener.
  void InheritOptions(const Socket& listener);

 private:
  ErrorOr<void> SetSocketOption(const SocketCaller& caller, int name, std::span<const std::byte> value);
  ErrorOr<void> SetTimeout(std::atomic<int64_t>& timeout_ns, std::span<const std::byte> value);
  ErrorOr<void> SetBuffer(const SocketCaller& caller, int name, int value);
  ErrorOr<std::string> GetSocketOption(int name);
  std::atomic<bool>* FlagOption(int name);

  const int family_, type_, protocol_;
  const uint64_t cookie_;
  std::atomic<int64_t> receive_timeout_ns_{INT64_MAX}, send_timeout_ns_{INT64_MAX};
  // Remembered only.
  std::atomic<bool> debug_{false}, dont_route_{false}, no_check_{false}, zero_copy_{false}, rxq_overflow_{false};
  std::atomic<int> priority_{0}, mark_{0}, busy_poll_{0}, timestamping_{0};
};

// listen(2)'s argument within net.core.somaxconn; negative means the most.
size_t ClampBacklog(int backlog);

// Who calls read(2) and write(2) on sockets: set once by whoever makes sockets. Null: nobody (unit tests).
void SetSocketCallerSource(abi::Ucred (*source)());
abi::Ucred CurrentSocketCaller();

// Helpers for option values.
std::string OptionBytes(const void* value, size_t size);
inline std::string OptionInt(int value) { return OptionBytes(&value, sizeof value); }
// The first four bytes as an int; kEINVAL if there are fewer.
ErrorOr<int> OptionAsInt(std::span<const std::byte> value);

}  // namespace moat
