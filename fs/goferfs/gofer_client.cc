#include "fs/goferfs/gofer_client.h"

#include "abi/epoll.h"
#include "abi/poll.h"
#include "abi/socket.h"
#include "abi/uio.h"
#include "base/fiber/executor.h"
#include "base/fiber/host_watch.h"
#include "base/fiber/offload.h"
#include "base/host/fd_passing.h"
#include "base/host/poll.h"
#include "base/host/process.h"
#include "base/host/socket.h"
#include "base/host/time.h"
#include "base/util/log.h"

namespace moat {

namespace {
// How long a fiber looks for its reply before it parks. A round trip takes 15 to 30 us if the gofer is awake, and up to 100 us
// if its CPU sleeps and it reads a directory; parking costs two wake-ups more (the watch thread's and this one's). With
// 40 us three of four requests of `find` parked, and it took a tenth longer.
constexpr int64_t kPollNs = 100'000;
// Handles are closed in batches of this many, unless a request goes out anyway.
constexpr size_t kCloseBatch = 64;

ErrorOr<size_t> SendOn(int socket, std::span<const std::byte> bytes, uint32_t flags) {
  abi::Iovec iov{reinterpret_cast<uint64_t>(bytes.data()), bytes.size()};
  abi::Msghdr message{};
  message.msg_iov = reinterpret_cast<uint64_t>(&iov);
  message.msg_iovlen = 1;
  return host::Sendmsg(socket, &message, flags | abi::kMSG_NOSIGNAL);
}
}  // namespace

Ref<GoferClient> GoferClient::Create(UniqueFd socket) {
  return Ref<GoferClient>(new GoferClient(std::move(socket)), AdoptRef{});
}

GoferClient::GoferClient(UniqueFd socket) : socket_(std::move(socket)), read_buffer_(gofer::kMaxMessage) {}

GoferClient::~GoferClient() = default;  // never while watched: the watch holds a reference

ErrorOr<void> GoferClient::Send(std::span<const std::byte> bytes) {
  if (broken()) return kEIO;
  auto sent = SendOn(socket_.get(), bytes, abi::kMSG_DONTWAIT);
  if (sent.error() == kEAGAIN || sent.error() == kEINTR) {
    // The gofer is behind by a whole socket buffer: wait on a thread that may.
    std::vector<std::byte> copy(bytes.begin(), bytes.end());
    Offload([&] { sent = SendOn(socket_.get(), copy, 0); });
  }
  if (sent.ok()) return {};
  if (sent.error() != kEPIPE) LOG(kError, "gofer: send: error %d", static_cast<int>(sent.error()));
  Break();
  return kEIO;
}

void GoferClient::FlushCloses(bool all) {
  std::vector<gofer::Handle> handles;
  {
    MutexLock lock(mu_);
    if (to_close_.empty() || (!all && to_close_.size() < kCloseBatch)) return;
    handles.swap(to_close_);
  }
  for (size_t i = 0; i < handles.size(); i += gofer::kMaxCloseHandles) {
    size_t n = std::min(handles.size() - i, gofer::kMaxCloseHandles);
    gofer::Writer w;
    w.Put(gofer::CloseRequest{static_cast<uint32_t>(n), 0});
    w.PutBytes(handles.data() + i, n * sizeof(gofer::Handle));
    (void)Send(w.FinishRequest(0, gofer::Op::kClose));
  }
}

ErrorOr<void> GoferClient::AwaitCloses() {
  FlushCloses(true);
  // The gofer's threads take requests in any order: only a reply tells that those before it were heard of.
  gofer::Writer w;
  w.Put(gofer::CloseRequest{0, 0});
  TRY(Call(gofer::Op::kClose, w));
  return {};
}

void GoferClient::CloseHandle(gofer::Handle handle) {
  if (handle == 0) return;
  MutexLock lock(mu_);
  to_close_.push_back(handle);
}

ErrorOr<GoferClient::Reply> GoferClient::Call(gofer::Op op, gofer::Writer& request) {
  FlushCloses(false);
  uint64_t id = next_id_.fetch_add(1, std::memory_order_relaxed);
  auto call = MakeRef<Pending>();
  {
    MutexLock lock(mu_);
    pending_[id] = call;
  }
  ErrorOr<void> waited = Send(request.FinishRequest(id, op));
  if (waited.ok()) {
    Poll(*call);
    if (!call->done.done()) waited = Park(*call);
  }
  if (!waited.ok()) {
    MutexLock lock(mu_);
    pending_.erase(id);
    return waited.error();
  }
  if (call->error != Errno{0}) return call->error;
  return std::move(call->reply);
}

// Looks for the reply for a while. Only if nothing else could run on this worker meanwhile.
void GoferClient::Poll(Pending& call) {
  bool on_fiber = Fiber::Current() != nullptr;
  int64_t deadline = host::NowMonotonicNs() + kPollNs;
  while (!call.done.done()) {
    if (ReadReplies()) continue;
    if (!on_fiber) {
      abi::Pollfd p{socket_.get(), abi::kPOLLIN, 0};
      (void)host::Ppoll(&p, 1, nullptr);
      continue;
    }
    if (Executor::Get().HasReady() || host::NowMonotonicNs() >= deadline) return;
    host::SchedYield();  // the gofer may have been put on this CPU
  }
}

ErrorOr<void> GoferClient::Park(Pending& call) {
  ErrorOr<void> watching;
  {
    MutexLock lock(watch_mu_);
    ++parked_;
    // A reply that is there already makes the new watch fire at once.
    if (!watched_) {
      watching = WatchHostFd(socket_.get(), abi::kEPOLLIN, [self = Ref<GoferClient>(this)](uint32_t) { self->OnReady(); });
      watched_ = watching.ok();
    }
  }
  if (watching.ok()) watching = call.done.WaitKillable();
  MutexLock lock(watch_mu_);
  --parked_;
  return watching;
}

void GoferClient::OnReady() {
  while (ReadReplies()) {
  }
  MutexLock lock(watch_mu_);
  if (parked_ > 0 || !watched_) return;
  UnwatchHostFd(socket_.get());
  watched_ = false;
}

bool GoferClient::ReadReplies() {
  std::vector<UniqueFd> fds;
  MutexLock lock(read_mu_);
  auto got = host::RecvWithFds(socket_.get(), read_buffer_, abi::kMSG_DONTWAIT);
  if (!got.ok() && got.error() == kEAGAIN) return false;
  if (!got.ok() || got->length == 0 || got->truncated) {
    if (!broken()) LOG(kInfo, "gofer: connection lost");  // `moat` knows too and tells the user
    Break();
    return false;
  }
  Dispatch(std::span(read_buffer_).first(got->length), std::move(got->fds));
  return true;
}

void GoferClient::Dispatch(std::span<const std::byte> message, std::vector<UniqueFd> fds) {
  gofer::Reader reader(message);
  auto header = gofer::ReadReplyHeader(reader, message.size());
  if (!header.ok() || header->fd_count != fds.size()) return Break();
  Ref<Pending> call;
  {
    MutexLock lock(mu_);
    auto it = pending_.find(header->id);
    if (it == pending_.end()) return;  // its fiber was killed
    call = std::move(it->second);
    pending_.erase(it);
  }
  call->error = Errno{header->error};
  call->reply.bytes_.assign(message.begin(), message.end());
  if (!fds.empty()) call->reply.fd_ = std::move(fds[0]);
  call->done.Complete();
}

// Nothing more comes: everybody who waits gets kEIO.
void GoferClient::Break() {
  broken_.store(true, std::memory_order_relaxed);
  std::unordered_map<uint64_t, Ref<Pending>> orphans;
  {
    MutexLock lock(mu_);
    orphans.swap(pending_);
  }
  for (auto& [id, call] : orphans) {
    call->error = kEIO;
    call->done.Complete();
  }
}

}  // namespace moat
