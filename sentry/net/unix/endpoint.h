// The core of an AF_UNIX socket (struct unix_sock): queue, peer, name. The open file (UnixSocket) owns one; peers and
// names lead to it. A connection that was not accepted yet is an endpoint without a file.
//
// Locks: mu_ is short, and never held together with another endpoint's. receive_lock_ serializes readers, who copy out of
// the front message without mu_: only they remove messages (and Close, when no reader is left).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "base/sync/task_mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/dentry.h"
#include "sentry/net/socket.h"
#include "sentry/net/unix/message.h"

namespace moat {

class BoundName;
struct UnixName;

class UnixEndpoint final : public RefCounted {
 public:
  explicit UnixEndpoint(int type);

  int type() const { return type_; }
  bool is_stream() const { return type_ == abi::kSOCK_STREAM; }
  bool is_datagram() const { return type_ == abi::kSOCK_DGRAM; }
  Outbox& outbox() { return *outbox_; }

  // --- Names. ---
  std::string name();
  ErrorOr<void> Bind(const SocketCaller& caller, const SocketAddress& address);
  ErrorOr<void> BindIfUnnamed();  // SO_PASSCRED sockets get a name

  // --- Connections. ---
  static void Pair(Ref<UnixEndpoint> a, Ref<UnixEndpoint> b, const abi::Ucred& owner);
  ErrorOr<void> Listen(int backlog, const abi::Ucred& owner);
  ErrorOr<void> Connect(const SocketCaller& caller, const SocketAddress& address);
  ErrorOr<Ref<UnixEndpoint>> Accept();
  ErrorOr<std::string> PeerName();
  ErrorOr<abi::Ucred> PeerCredentials();
  ErrorOr<void> Shutdown(int how);
  // The file is gone.
  void Close() { CloseAs(false); }

  // --- Data. ---
  ErrorOr<size_t> Send(const SocketCaller* caller, IoSource& src, SendInfo& info);
  ErrorOr<size_t> Receive(IoSink& dst, ReceiveInfo& info, bool with_credentials);
  EventMask Readiness();
  bool listening();
  int TakeError();
  ErrorOr<size_t> BytesToRead();

  // For the search for circles of sockets in flight.
  void AppendUnaccepted(std::vector<Ref<UnixEndpoint>>& out);
  template <class F>
  void VisitQueuedFiles(F visit) {
    MutexLock lock(mu_);
    for (auto& message : queue_) visit(message->files);
  }

 private:
  enum class State : uint8_t { kFresh, kConnecting, kConnected, kListening, kClosed };
  static constexpr int kShutReceive = 1, kShutSend = 2, kShutBoth = 3;
  // net.unix.max_dgram_qlen: messages from strangers that may wait.
  static constexpr size_t kMaxStrangersMessages = 10;
  static constexpr size_t kStreamChunk = 64 * 1024;  // of a stream, in one message

  ~UnixEndpoint() override;
  void CloseAs(bool unaccepted);
  void Wake(EventMask events) { outbox_->queue().Wake(events); }
  void WakeAll(EventMask async);  // with the bit of fs/vfs/file_async.h

  // Connections.
  ErrorOr<void> ConnectStream(const SocketCaller& caller, const UnixName& name);
  ErrorOr<void> ConnectDatagram(const SocketCaller& caller, const SocketAddress& address);
  ErrorOr<void> BeginConnect();
  void GiveUpConnect();
  // Connected to `peer` whose owner is `credentials`; a new endpoint gets the listener's name too.
  void BecomeConnected(Ref<UnixEndpoint> peer, const abi::Ucred& credentials, std::string name = {});
  // On a listener. kECONNREFUSED; kEAGAIN: full, `from` is woken when there is room. `owner` is who called listen(2).
  ErrorOr<void> OfferConnection(Ref<UnixEndpoint> embryo, const Ref<Outbox>& from, abi::Ucred* owner);
  // Swaps the peer of a datagram socket.
  void SetPeer(Ref<UnixEndpoint> peer);
  // Takes what a datagram socket got from the peer that it leaves.
  void DropQueue();
  Ref<UnixEndpoint> peer();
  void PeerShut(int bits, int error);
  // A datagram socket lost its peer to another one.
  void Disconnected(const UnixEndpoint& by);

  // Sending.
  // The peer of a connection. kENOTCONN, kEISCONN, kEOPNOTSUPP, kEPIPE.
  ErrorOr<Ref<UnixEndpoint>> ConnectedTarget(const SendInfo& info);
  ErrorOr<Ref<UnixEndpoint>> DatagramTarget(const SocketCaller* caller, const SendInfo& info);
  ErrorOr<size_t> SendStream(const SocketCaller* caller, IoSource& src, SendInfo& info);
  ErrorOr<size_t> SendMessage(const SocketCaller* caller, IoSource& src, SendInfo& info);
  // A failed delivery: what was taken goes back.
  static void TakeBack(std::unique_ptr<UnixMessage> message, IoSource& src, SendInfo& info);
  // Datagrams: the peer is dead, forget it.
  void ForgetPeer(const UnixEndpoint& dead);
  ErrorOr<std::unique_ptr<UnixMessage>> MakeMessage(const SocketCaller* caller, IoSource& src, size_t size,
                                                    SendInfo& info);
  // Queues `message` here. kEPIPE (shut), kECONNREFUSED (closed), kEPERM, kEAGAIN (full: `from` is woken when there is
  // room).
  ErrorOr<void> Deliver(std::unique_ptr<UnixMessage>& message, UnixEndpoint& from);
  // Whether Deliver would say no now.
  ErrorOr<void> MayDeliver(UnixEndpoint& from);
  ErrorOr<void> MayDeliverLocked(UnixEndpoint& from) MOAT_REQUIRES(mu_);
  void WaitForRoom(const Ref<Outbox>& who) MOAT_REQUIRES(mu_);
  void RoomCame();

  // Receiving.
  ErrorOr<size_t> ReceiveStream(IoSink& dst, ReceiveInfo& info, bool with_credentials) MOAT_REQUIRES(receive_lock_);
  ErrorOr<size_t> ReceiveMessage(IoSink& dst, ReceiveInfo& info, bool with_credentials) MOAT_REQUIRES(receive_lock_);
  // The message at `index` of the queue, or null.
  UnixMessage* MessageAt(size_t index) MOAT_REQUIRES(receive_lock_);
  ErrorOr<void> MayReceive(const ReceiveInfo& info);
  ErrorOr<size_t> NothingThere(const ReceiveInfo& info);
  // Takes `n` bytes off the first message, and the message off the queue when it is empty.
  void ConsumeFront(size_t n) MOAT_REQUIRES(receive_lock_);
  std::unique_ptr<UnixMessage> PopFront() MOAT_REQUIRES(receive_lock_);
  // Descriptors and credentials of `message` to the receiver; descriptors that it has no room for are dropped.
  static void TakeControl(UnixMessage& message, ReceiveInfo& info, bool with_credentials);

  const int type_;
  const Ref<Outbox> outbox_ = MakeRef<Outbox>();
  TaskMutex receive_lock_{LockRank::kPipe};

  Mutex mu_;
  State state_ MOAT_GUARDED_BY(mu_) = State::kFresh;
  int shut_ MOAT_GUARDED_BY(mu_) = 0;
  int error_ MOAT_GUARDED_BY(mu_) = 0;
  Ref<UnixEndpoint> peer_ MOAT_GUARDED_BY(mu_);  // stays when the peer closes
  bool has_peer_credentials_ MOAT_GUARDED_BY(mu_) = false;
  abi::Ucred peer_credentials_ MOAT_GUARDED_BY(mu_){};
  abi::Ucred own_credentials_ MOAT_GUARDED_BY(mu_){};  // of listen(2)
  std::deque<std::unique_ptr<UnixMessage>> queue_ MOAT_GUARDED_BY(mu_);
  size_t queued_bytes_ MOAT_GUARDED_BY(mu_) = 0;
  std::deque<Ref<UnixEndpoint>> unaccepted_ MOAT_GUARDED_BY(mu_);
  size_t backlog_ MOAT_GUARDED_BY(mu_) = 0;
  std::vector<Ref<Outbox>> waiting_for_room_ MOAT_GUARDED_BY(mu_);
  bool binding_ MOAT_GUARDED_BY(mu_) = false;
  std::string name_ MOAT_GUARDED_BY(mu_);
  Ref<BoundName> bound_ MOAT_GUARDED_BY(mu_);  // or null
  Path place_ MOAT_GUARDED_BY(mu_);            // keeps the inode of a path name

  friend class UnixSocket;
};

}  // namespace moat
