// Sending, receiving and readiness of AF_UNIX sockets.
#include <algorithm>

#include "abi/capability.h"
#include "abi/poll.h"
#include "sentry/net/unix/endpoint.h"
#include "sentry/net/unix/names.h"
#include "sentry/net/unix/unix_socket.h"

namespace moat {

namespace {

constexpr EventMask kReadable = abi::kPOLLIN | abi::kPOLLRDNORM;
// A message must leave this much of the send buffer (Linux's check of SOCK_DGRAM).
constexpr size_t kDatagramMargin = 32;


}  // namespace

// --- Sending. ---

ErrorOr<size_t> UnixEndpoint::Send(const SocketCaller* caller, IoSource& src, SendInfo& info) {
  if (info.flags & abi::kMSG_OOB) return kEOPNOTSUPP;
  return is_stream() ? SendStream(caller, src, info) : SendMessage(caller, src, info);
}

ErrorOr<Ref<UnixEndpoint>> UnixEndpoint::ConnectedTarget(const SendInfo& info) {
  MutexLock lock(mu_);
  bool connected = state_ == State::kConnected;
  if (is_stream() && info.to) return connected ? kEISCONN : kEOPNOTSUPP;
  if (!connected || !peer_) return kENOTCONN;
  if (shut_ & kShutSend) return kEPIPE;
  return peer_;
}

ErrorOr<Ref<UnixEndpoint>> UnixEndpoint::DatagramTarget(const SocketCaller* caller, const SendInfo& info) {
  Ref<UnixEndpoint> target;
  if (info.to && caller) {
    UnixName name = TRY(ParseUnixAddress(*info.to));
    if (name.autobind()) return kEINVAL;
    target = TRY(FindEndpoint(*caller, name, type_));
  }
  MutexLock lock(mu_);
  if (error_) return Errno{static_cast<uint16_t>(std::exchange(error_, 0))};
  if (shut_ & kShutSend) return kEPIPE;
  if (!target) target = peer_;
  if (!target) return kENOTCONN;
  return target;
}

ErrorOr<std::unique_ptr<UnixMessage>> UnixEndpoint::MakeMessage(const SocketCaller* caller, IoSource& src, size_t size,
                                                                SendInfo& info) {
  std::unique_ptr<UnixMessage> message = TRY(UnixMessage::Create(src, size, outbox_));
  if (caller && !info.files.empty()) {
    const Credentials& creds = caller->creds();
    bool privileged = creds.Has(abi::kCAP_SYS_RESOURCE) || creds.Has(abi::kCAP_SYS_ADMIN);
    ErrorOr<FilesInFlight> files = FilesInFlight::Send(info.files, creds.uid, caller->descriptor_limit(), privileged);
    if (!files.ok()) {
      src.Unget(size);
      return files.error();
    }
    message->files = std::move(*files);
  }
  message->sender_credentials =
      info.has_credentials ? info.credentials : caller ? RealUcred(*caller) : CurrentSocketCaller();
  message->sender_name = name();
  return message;
}

void UnixEndpoint::TakeBack(std::unique_ptr<UnixMessage> message, IoSource& src, SendInfo& info) {
  src.Unget(message->size());
  if (!message->files.empty()) info.files = message->files.Land();
}

ErrorOr<size_t> UnixEndpoint::SendStream(const SocketCaller* caller, IoSource& src, SendInfo& info) {
  Ref<UnixEndpoint> target = TRY(ConnectedTarget(info));
  size_t done = 0;
  auto stopped = [&done](Errno error) { return done ? ErrorOr<size_t>(done) : error; };
  while (src.remaining() > 0) {
    ErrorOr<void> may = target->MayDeliver(*this);
    if (!may.ok()) return stopped(may.error());
    if (!outbox_->has_room()) return stopped(kEAGAIN);
    size_t size = std::min({src.remaining(), kStreamChunk, static_cast<size_t>(outbox_->limit()) / 2});
    ErrorOr<std::unique_ptr<UnixMessage>> message = MakeMessage(caller, src, size, info);
    if (!message.ok()) return stopped(message.error());
    ErrorOr<void> delivered = target->Deliver(*message, *this);
    if (!delivered.ok()) {
      TakeBack(std::move(*message), src, info);
      return stopped(delivered.error());
    }
    done += size;
  }
  return done;
}

ErrorOr<size_t> UnixEndpoint::SendMessage(const SocketCaller* caller, IoSource& src, SendInfo& info) {
  Ref<UnixEndpoint> target = TRY(is_datagram() ? DatagramTarget(caller, info) : ConnectedTarget(info));
  size_t size = src.remaining();
  if (size > static_cast<size_t>(outbox_->limit()) - kDatagramMargin) return kEMSGSIZE;
  ErrorOr<void> may = target->MayDeliver(*this);
  if (may.ok() && !outbox_->has_room()) return kEAGAIN;
  if (may.ok()) {
    std::unique_ptr<UnixMessage> message = TRY(MakeMessage(caller, src, size, info));
    may = target->Deliver(message, *this);
    if (!may.ok()) TakeBack(std::move(message), src, info);
  }
  if (!may.ok()) {
    if (may.error() == kECONNREFUSED) ForgetPeer(*target);
    return may.error();
  }
  return size;
}

void UnixEndpoint::ForgetPeer(const UnixEndpoint& dead) {
  Ref<UnixEndpoint> dropped;
  MutexLock lock(mu_);
  if (peer_.get() != &dead) return;
  dropped = std::move(peer_);
  if (state_ == State::kConnected) state_ = State::kFresh;
}

ErrorOr<void> UnixEndpoint::MayDeliverLocked(UnixEndpoint& from) {
  if (state_ == State::kClosed) return is_datagram() ? kECONNREFUSED : kEPIPE;
  if (shut_ & kShutReceive) return kEPIPE;
  if (!is_datagram() || peer_.get() == &from) return {};
  if (peer_) return kEPERM;
  if (&from != this && queue_.size() > kMaxStrangersMessages) {
    WaitForRoom(from.outbox_);
    return kEAGAIN;
  }
  return {};
}

ErrorOr<void> UnixEndpoint::MayDeliver(UnixEndpoint& from) {
  MutexLock lock(mu_);
  return MayDeliverLocked(from);
}

ErrorOr<void> UnixEndpoint::Deliver(std::unique_ptr<UnixMessage>& message, UnixEndpoint& from) {
  {
    MutexLock lock(mu_);
    TRY(MayDeliverLocked(from));
    queued_bytes_ += message->size();
    queue_.push_back(std::move(message));
  }
  Wake(kReadable);
  return {};
}

// --- Receiving. ---

ErrorOr<size_t> UnixEndpoint::Receive(IoSink& dst, ReceiveInfo& info, bool with_credentials) {
  if (info.flags & abi::kMSG_OOB) return kEOPNOTSUPP;
  TaskMutexLock reader(receive_lock_);
  TRY(MayReceive(info));
  return is_stream() ? ReceiveStream(dst, info, with_credentials) : ReceiveMessage(dst, info, with_credentials);
}

ErrorOr<void> UnixEndpoint::MayReceive(const ReceiveInfo&) {
  MutexLock lock(mu_);
  if (!is_datagram() && state_ != State::kConnected) return is_stream() ? kEINVAL : kENOTCONN;
  if (!is_stream() && error_) return Errno{static_cast<uint16_t>(std::exchange(error_, 0))};
  return {};
}

UnixMessage* UnixEndpoint::MessageAt(size_t index) {
  MutexLock lock(mu_);
  return index < queue_.size() ? queue_[index].get() : nullptr;
}

ErrorOr<size_t> UnixEndpoint::NothingThere(const ReceiveInfo& info) {
  MutexLock lock(mu_);
  if (!queue_.empty()) return kEAGAIN;  // came meanwhile: the caller tries again after its wake
  if (error_) return Errno{static_cast<uint16_t>(std::exchange(error_, 0))};
  // A datagram socket that does not wait does not look at that (recv(2) gives EAGAIN).
  if ((shut_ & kShutReceive) && !(is_datagram() && (info.flags & abi::kMSG_DONTWAIT))) return size_t{0};
  return kEAGAIN;
}

void UnixEndpoint::TakeControl(UnixMessage& message, ReceiveInfo& info, bool with_credentials) {
  if (with_credentials) {
    info.has_credentials = true;
    info.credentials = message.sender_credentials;
  }
  if (message.files.empty()) return;
  if (info.flags & abi::kMSG_PEEK) {
    if (info.wants_control) info.files = message.files.Copy();
  } else {
    std::vector<Ref<FileDescription>> files = message.files.Land();
    if (info.wants_control) {
      info.files = std::move(files);
    } else {
      info.out_flags |= abi::kMSG_CTRUNC;
      DropFiles(std::move(files));
    }
  }
}

std::unique_ptr<UnixMessage> UnixEndpoint::PopFront() {
  MutexLock lock(mu_);
  std::unique_ptr<UnixMessage> message = std::move(queue_.front());
  queue_.pop_front();
  queued_bytes_ -= message->size();
  return message;
}

void UnixEndpoint::ConsumeFront(size_t n) {
  std::unique_ptr<UnixMessage> done;
  MutexLock lock(mu_);
  queue_.front()->Consume(n);
  queued_bytes_ -= n;
  if (queue_.front()->size() > 0) return;
  done = std::move(queue_.front());
  queue_.pop_front();
}

ErrorOr<size_t> UnixEndpoint::ReceiveStream(IoSink& dst, ReceiveInfo& info, bool with_credentials) {
  bool peek = (info.flags & abi::kMSG_PEEK) != 0;
  size_t done = 0, index = 0;
  UnixMessage* first = MessageAt(0);
  if (!first) return NothingThere(info);
  abi::Ucred sender = first->sender_credentials;
  if (!first->sender_name.empty()) info.from = MakeUnixAddress(first->sender_name);
  do {
    UnixMessage* message = MessageAt(index);
    if (!message) break;
    const abi::Ucred& other = message->sender_credentials;
    if (with_credentials && (other.pid != sender.pid || other.uid != sender.uid || other.gid != sender.gid)) break;
    size_t want = std::min(message->size(), dst.remaining());
    ErrorOr<size_t> put = want ? dst.Put(message->bytes().first(want)) : ErrorOr<size_t>(0);
    if (!put.ok()) return done ? ErrorOr<size_t>(done) : put;
    bool carried = !message->files.empty();
    TakeControl(*message, info, with_credentials);
    done += *put;
    if (peek) {
      ++index;
    } else {
      ConsumeFront(*put);
    }
    if (carried || *put < want) break;
  } while (dst.remaining() > 0);
  return done;
}

ErrorOr<size_t> UnixEndpoint::ReceiveMessage(IoSink& dst, ReceiveInfo& info, bool with_credentials) {
  UnixMessage* message = MessageAt(0);
  if (!message) return NothingThere(info);
  if (!message->sender_name.empty()) info.from = MakeUnixAddress(message->sender_name);
  size_t size = message->size();
  size_t want = std::min(size, dst.remaining());
  ErrorOr<size_t> put = want ? dst.Put(message->bytes().first(want)) : ErrorOr<size_t>(0);
  bool whole = put.ok() && *put == want;
  if (whole) {
    TakeControl(*message, info, with_credentials);
    if (want < size) info.out_flags |= abi::kMSG_TRUNC;
  }
  if (!(info.flags & abi::kMSG_PEEK)) {
    PopFront().reset();
    RoomCame();
  }
  if (!whole) return kEFAULT;
  return info.flags & abi::kMSG_TRUNC ? size : want;
}

// --- Readiness. ---

EventMask UnixEndpoint::Readiness() {
  EventMask events = 0;
  bool writable = outbox_->writable();
  Ref<UnixEndpoint> other;
  {
    MutexLock lock(mu_);
    if (error_) events |= abi::kPOLLERR;
    if (shut_ == kShutBoth) events |= abi::kPOLLHUP;
    if (shut_ & kShutReceive) events |= abi::kPOLLRDHUP | kReadable;
    if (!queue_.empty() || !unaccepted_.empty()) events |= kReadable;
    if (!is_datagram() && state_ == State::kFresh) events |= abi::kPOLLHUP;
    if (state_ == State::kListening) writable = false;
    if (is_datagram()) other = peer_;
  }
  // A full receiver makes its sender unwritable; MayDeliver leaves word to wake it.
  if (writable && other) {
    ErrorOr<void> may = other->MayDeliver(*this);
    writable = may.ok() || may.error() != kEAGAIN;
  }
  if (writable) events |= abi::kPOLLOUT | abi::kPOLLWRNORM | abi::kPOLLWRBAND;
  return events;
}

ErrorOr<size_t> UnixEndpoint::BytesToRead() {
  MutexLock lock(mu_);
  if (state_ == State::kListening) return kEINVAL;
  if (!is_datagram()) return queued_bytes_;
  return queue_.empty() ? size_t{0} : queue_.front()->size();
}

}  // namespace moat
