#include "sentry/net/inet/loopback.h"

#include <algorithm>

#include "abi/poll.h"
#include "fs/vfs/file_async.h"
#include "sentry/net/memory.h"

namespace moat {

namespace {

constexpr EventMask kReadable = abi::kPOLLIN | abi::kPOLLRDNORM;
constexpr EventMask kWritable = abi::kPOLLOUT | abi::kPOLLWRNORM;
constexpr EventMask kEverything =
    kReadable | kWritable | abi::kPOLLPRI | abi::kPOLLRDHUP | abi::kPOLLHUP | abi::kPOLLERR;
constexpr size_t kChunk = 64 * 1024;    // copied at once
constexpr size_t kSmallChunk = 4096;    // small writes share one

}  // namespace

LoopbackLink::LoopbackLink(Side client, Side server, PortTable& ports)
    : ports_(ports), sides_{std::move(client), std::move(server)} {}

void LoopbackLink::Establish() {
  {
    MutexLock lock(mu_);
    if (state_ != TcpStream::State::kConnecting) return;
    state_ = TcpStream::State::kEstablished;
  }
  Wake(0, kEverything | kAsyncOut);
}

void LoopbackLink::Refuse() {
  {
    MutexLock lock(mu_);
    if (state_ != TcpStream::State::kConnecting) return;
    state_ = TcpStream::State::kRefused;
    error_[0] = static_cast<int>(kECONNREFUSED);
  }
  Wake(0, kEverything | kAsyncError);
}

void LoopbackLink::Append(Inbound& in, std::unique_ptr<std::byte[]> data, size_t size) {
  in.bytes += size;
  SocketMemory::Take(size);
  if (!in.chunks.empty()) {
    // The reader looks at [begin, end) of a chunk only: what is behind is free.
    Chunk& last = in.chunks.back();
    if (last.capacity - last.end >= size) {
      memcpy(last.data.get() + last.end, data.get(), size);
      last.end += size;
      return;
    }
  }
  Chunk chunk;
  chunk.capacity = std::max(size, kSmallChunk);
  if (size < kSmallChunk) {
    chunk.data.reset(new std::byte[kSmallChunk]);
    memcpy(chunk.data.get(), data.get(), size);
  } else {
    chunk.data = std::move(data);
  }
  chunk.end = size;
  in.chunks.push_back(std::move(chunk));
}

void LoopbackLink::ResetSide(int side, int error) {
  if (closed_[side] || reset_[side]) return;
  reset_[side] = true;
  // After the other's FIN only senders care (tcp_reset: EPIPE).
  error_[side] = in_[side].fin && error == static_cast<int>(kECONNRESET) ? static_cast<int>(kEPIPE) : error;
}

// --- An end. ---

TcpStream::State LoopbackStream::state() {
  MutexLock lock(link_->mu_);
  return link_->state_;
}

uint8_t LoopbackStream::tcp_state() {
  MutexLock lock(link_->mu_);
  if (link_->state_ == State::kConnecting) return abi::kTCP_SYN_SENT;
  if (link_->state_ == State::kRefused || link_->reset_[me_]) return abi::kTCP_CLOSE;
  bool sent = link_->send_shut_[me_], got = link_->in_[me_].fin;
  if (sent && got) return link_->first_fin_ == me_ ? abi::kTCP_TIME_WAIT : abi::kTCP_CLOSE;
  if (sent) return abi::kTCP_FIN_WAIT2;
  return got ? abi::kTCP_CLOSE_WAIT : abi::kTCP_ESTABLISHED;
}

ErrorOr<size_t> LoopbackStream::Reserve(size_t want) {
  MutexLock lock(link_->mu_);
  if (link_->state_ == State::kConnecting) return kEAGAIN;
  if (link_->error_[me_]) return Errno{static_cast<uint16_t>(std::exchange(link_->error_[me_], 0))};
  if (link_->send_shut_[me_] || link_->reset_[me_] || link_->state_ == State::kRefused) return kEPIPE;
  LoopbackLink::Inbound& to = link_->in_[peer_];
  if (link_->closed_[peer_]) {
    // The bytes reach nobody; the answer is a reset.
    link_->ResetSide(me_, static_cast<int>(kECONNRESET));
    return size_t{0};
  }
  size_t n = std::min({want, link_->Room(peer_), kChunk});
  if (n == 0) return kEAGAIN;
  if (SocketMemory::full()) return kENOBUFS;
  to.reserved += n;
  return n;
}

ErrorOr<size_t> LoopbackStream::Send(IoSource& src, bool urgent) {
  size_t done = 0;
  auto stopped = [&done](Errno e) { return done ? ErrorOr<size_t>(done) : e; };
  while (src.remaining() > 0) {
    size_t want = src.remaining();
    bool last_is_urgent = urgent && want == 1;
    if (urgent && want > 1) --want;
    ErrorOr<size_t> room = Reserve(want);
    if (!room.ok()) return stopped(room.error());
    if (*room == 0) {  // to a closed end
      done += src.remaining();
      link_->Wake(me_, kEverything | kAsyncError);
      return done;
    }
    std::unique_ptr<std::byte[]> data(new std::byte[*room]);
    ErrorOr<size_t> got = src.Get({data.get(), *room});
    {
      MutexLock lock(link_->mu_);
      LoopbackLink::Inbound& to = link_->in_[peer_];
      to.reserved -= *room;
      if (got.ok() && *got > 0) {
        if (last_is_urgent) {
          to.has_urgent = true;
          to.urgent_taken = false;
          to.urgent = data[0];
          to.mark = to.consumed + to.bytes;
        }
        bool keep = !last_is_urgent || link_->inline_urgent_[peer_];
        if (keep && !to.shut && !link_->closed_[peer_]) link_->Append(to, std::move(data), *got);
      }
    }
    if (!got.ok()) return stopped(got.error());
    done += *got;
    link_->Wake(peer_, last_is_urgent ? kReadable | abi::kPOLLPRI : kReadable);
    if (*got < *room) return done;
  }
  return done;
}

std::span<const std::byte> LoopbackStream::Piece(size_t skip, bool* at_mark) {
  MutexLock lock(link_->mu_);
  LoopbackLink::Inbound& in = link_->in_[me_];
  uint64_t position = in.consumed + skip;
  size_t limit = SIZE_MAX;
  *at_mark = false;
  if (in.has_urgent && in.mark >= position) {
    limit = in.mark - position;
    *at_mark = limit == 0;
    if (limit == 0) limit = SIZE_MAX;  // a read that begins at the mark goes past it
  }
  for (LoopbackLink::Chunk& chunk : in.chunks) {
    size_t n = chunk.end - chunk.begin;
    if (skip < n) return {chunk.data.get() + chunk.begin + skip, std::min(n - skip, limit)};
    skip -= n;
  }
  return {};
}

ErrorOr<size_t> LoopbackStream::NothingThere() {
  MutexLock lock(link_->mu_);
  LoopbackLink::Inbound& in = link_->in_[me_];
  if (link_->state_ == State::kConnecting) return kEAGAIN;
  if (in.bytes > 0) return kEAGAIN;  // came meanwhile
  if (in.fin) return size_t{0};
  if (link_->error_[me_]) return Errno{static_cast<uint16_t>(std::exchange(link_->error_[me_], 0))};
  if (in.shut || link_->reset_[me_] || link_->state_ == State::kRefused) return size_t{0};
  return kEAGAIN;
}

void LoopbackStream::Consume(size_t n) {
  bool room = false;
  std::vector<LoopbackLink::Chunk> done;
  {
    MutexLock lock(link_->mu_);
    LoopbackLink::Inbound& in = link_->in_[me_];
    in.bytes -= n;
    SocketMemory::Give(n);
    in.consumed += n;
    while (n > 0) {
      LoopbackLink::Chunk& front = in.chunks.front();
      size_t here = std::min(n, front.end - front.begin);
      front.begin += here;
      n -= here;
      if (front.begin == front.end) {
        done.push_back(std::move(front));
        in.chunks.pop_front();
      }
    }
    room = in.bytes * 3 <= in.limit * 2;  // sk_stream_is_writeable: a third is free
  }
  if (room) link_->Wake(peer_, kWritable);
}

ErrorOr<size_t> LoopbackStream::Receive(IoSink& dst, ReceiveHow how) {
  TaskMutexLock reader(link_->readers_[me_]);
  size_t done = 0;
  while (dst.remaining() > 0) {
    bool at_mark;
    std::span<const std::byte> piece = Piece(how.peek ? done : 0, &at_mark);
    if (piece.empty() || (at_mark && done)) break;
    piece = piece.first(std::min(piece.size(), dst.remaining()));
    ErrorOr<size_t> put = how.discard ? dst.PutZeros(0) : dst.Put(piece);
    if (how.discard) put = piece.size();
    if (!put.ok()) return done ? ErrorOr<size_t>(done) : put;
    if (!how.peek) Consume(*put);
    done += *put;
    if (how.discard || *put < piece.size()) break;
  }
  return done || dst.remaining() == 0 ? ErrorOr<size_t>(done) : NothingThere();
}

ErrorOr<size_t> LoopbackStream::ReceiveUrgent(IoSink& dst, bool peek) {
  std::byte byte;
  {
    MutexLock lock(link_->mu_);
    LoopbackLink::Inbound& in = link_->in_[me_];
    if (link_->inline_urgent_[me_] || !in.has_urgent || in.urgent_taken) return kEINVAL;
    byte = in.urgent;
    if (!peek) in.urgent_taken = true;
  }
  if (dst.remaining() == 0) return size_t{0};
  return dst.Put({&byte, 1});
}

bool LoopbackStream::AtMark() {
  MutexLock lock(link_->mu_);
  LoopbackLink::Inbound& in = link_->in_[me_];
  return in.has_urgent && in.mark == in.consumed;
}

void LoopbackStream::ShutReceive() {
  {
    MutexLock lock(link_->mu_);
    link_->in_[me_].shut = true;
  }
  link_->Wake(me_, kEverything | kAsyncNothing);
}

void LoopbackStream::ShutSend() {
  bool both = false;  // directions are done
  {
    MutexLock lock(link_->mu_);
    if (link_->send_shut_[me_]) return;
    link_->send_shut_[me_] = true;
    link_->in_[peer_].fin = true;
    if (link_->first_fin_ < 0) link_->first_fin_ = me_;
    both = link_->send_shut_[peer_];
  }
  link_->Wake(peer_, kReadable | abi::kPOLLRDHUP | abi::kPOLLHUP | (both ? kAsyncHangup : kAsyncIn));
  link_->Wake(me_, kEverything | kAsyncNothing);
}

void LoopbackStream::Close(bool reset) {
  Ref<PortBinding> released[2];
  Ref<PortBinding> lingers;
  std::deque<LoopbackLink::Chunk> dropped;
  EventMask news = kAsyncIn;
  {
    MutexLock lock(link_->mu_);
    if (link_->closed_[me_]) return;
    link_->closed_[me_] = true;
    if (link_->closed_[peer_]) news = kAsyncNothing;
    LoopbackLink::Inbound& in = link_->in_[me_];
    reset |= in.bytes > 0;  // data that was not read is lost: the other side must know
    dropped.swap(in.chunks);
    SocketMemory::Give(std::exchange(in.bytes, 0));
    if (reset || link_->state_ != State::kEstablished) {
      link_->ResetSide(peer_, static_cast<int>(kECONNRESET));
      link_->reset_[me_] = true;
      news = kAsyncError;
    } else {
      if (link_->send_shut_[me_]) news = kAsyncNothing;  // the other side knows
      else if (link_->send_shut_[peer_]) news = kAsyncHangup;
      link_->send_shut_[me_] = true;
      link_->in_[peer_].fin = true;
      if (link_->first_fin_ < 0) link_->first_fin_ = me_;
    }
    if (link_->state_ == State::kConnecting) link_->state_ = State::kRefused;
    bool over = link_->closed_[peer_] || link_->reset_[0] || link_->reset_[1] || link_->state_ == State::kRefused;
    if (over) {
      for (int side : {0, 1}) released[side] = std::move(link_->sides_[side].binding);
      if (!link_->reset_[0] && !link_->reset_[1] && link_->state_ == State::kEstablished) {
        lingers = std::move(released[link_->first_fin_]);
      }
    }
  }
  for (auto& binding : released) {
    if (binding) link_->ports_.Unbind(*binding);
  }
  if (lingers) link_->ports_.TimeWait(*lingers);
  link_->Wake(peer_, kEverything | news);
}

EventMask LoopbackStream::Readiness(size_t low_water) {
  MutexLock lock(link_->mu_);
  LoopbackLink::Inbound& in = link_->in_[me_];
  EventMask events = link_->error_[me_] ? abi::kPOLLERR : 0;
  if (link_->state_ == State::kConnecting) return events;
  bool over = link_->reset_[me_] || link_->state_ == State::kRefused;
  bool receive_shut = in.fin || in.shut || over;
  bool send_shut = link_->send_shut_[me_] || over;
  if (receive_shut && send_shut) events |= abi::kPOLLHUP;
  if (receive_shut) events |= kReadable | abi::kPOLLRDHUP;
  if (in.bytes >= std::max<size_t>(low_water, 1)) events |= kReadable;
  size_t used = link_->in_[peer_].bytes + link_->in_[peer_].reserved;
  if (send_shut || used * 3 <= link_->in_[peer_].limit * 2) events |= kWritable;
  if (in.has_urgent && !in.urgent_taken && !link_->inline_urgent_[me_]) events |= abi::kPOLLPRI;
  return events;
}

int LoopbackStream::TakeError() {
  MutexLock lock(link_->mu_);
  return std::exchange(link_->error_[me_], 0);
}

size_t LoopbackStream::bytes_to_read() {
  MutexLock lock(link_->mu_);
  return link_->in_[me_].bytes;
}

void LoopbackStream::SetReceiveBuffer(size_t bytes) {
  MutexLock lock(link_->mu_);
  link_->in_[me_].receive_part = bytes;
  link_->in_[me_].limit = bytes + link_->in_[me_].send_part;
}

void LoopbackStream::SetSendBuffer(size_t bytes) {
  MutexLock lock(link_->mu_);
  link_->in_[peer_].send_part = bytes;
  link_->in_[peer_].limit = bytes + link_->in_[peer_].receive_part;
}

void LoopbackStream::SetUrgentInline(bool on) {
  MutexLock lock(link_->mu_);
  link_->inline_urgent_[me_] = on;
}

// --- Listeners. ---

void TcpListener::set_backlog(size_t backlog) {
  MutexLock lock(mu_);
  backlog_ = backlog;
}

bool TcpListener::Offer(Ref<LoopbackLink> link) {
  Ref<LoopbackLink> taken;
  {
    MutexLock lock(mu_);
    if (!open_) return false;
    if (ready_.size() > backlog_) {
      waiting_.push_back(std::move(link));
      return true;
    }
    taken = link;
    ready_.push_back(std::move(link));
  }
  taken->Establish();
  queue_->queue.Wake(kReadable);
  return true;
}

ErrorOr<Ref<LoopbackLink>> TcpListener::Accept() {
  Ref<LoopbackLink> out, next;
  {
    MutexLock lock(mu_);
    if (!open_) return kEINVAL;
    if (ready_.empty()) return kEAGAIN;
    out = std::move(ready_.front());
    ready_.pop_front();
    if (!waiting_.empty()) {
      next = std::move(waiting_.front());
      waiting_.pop_front();
      ready_.push_back(next);
    }
  }
  if (next) {
    next->Establish();
    queue_->queue.Wake(kReadable);
  }
  return out;
}

bool TcpListener::has_connection() {
  MutexLock lock(mu_);
  return !ready_.empty();
}

void TcpListener::Close() {
  std::deque<Ref<LoopbackLink>> ready, waiting;
  {
    MutexLock lock(mu_);
    open_ = false;
    ready.swap(ready_);
    waiting.swap(waiting_);
  }
  for (auto& link : waiting) link->Refuse();
  for (auto& link : ready) MakeRef<LoopbackStream>(link, 1)->Close(true);
  queue_->queue.Wake(kEverything | kAsyncNothing);
}

}  // namespace moat
