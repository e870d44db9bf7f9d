#include "sentry/syscalls/file_io.h"

#include <algorithm>

#include "abi/fcntl.h"
#include "abi/limits.h"
#include "abi/poll.h"
#include "abi/rlimit.h"
#include "abi/signal.h"
#include "abi/uio.h"
#include "fs/vfs/vfs.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/socket_io.h"

namespace moat {

namespace {

constexpr EventMask kReadEvents = abi::kPOLLIN | abi::kPOLLRDNORM | abi::kPOLLHUP | abi::kPOLLERR | abi::kPOLLRDHUP;
constexpr EventMask kWriteEvents = abi::kPOLLOUT | abi::kPOLLWRNORM | abi::kPOLLHUP | abi::kPOLLERR;

IoFlags WithFileFlags(const FileDescription& file, IoFlags flags) {
  uint32_t f = file.flags();
  flags.nonblocking |= (f & abi::kO_NONBLOCK) != 0;
  flags.append |= (f & abi::kO_APPEND) != 0;
  flags.sync |= (f & (abi::kO_SYNC | abi::kO_DSYNC)) != 0;
  return flags;
}

// Waits on `queue` while `attempt` says kEAGAIN; sockets have time-outs (SO_RCVTIMEO, SO_SNDTIMEO).
template <class F>
ErrorOr<size_t> BlockForIo(Task& t, FileDescription& file, WaitQueue& queue, EventMask mask, F&& attempt) {
  ErrorOr<size_t> first = attempt();
  if (first.ok() || first.error() != kEAGAIN) return first;
  int64_t timeout = INT64_MAX;
  if (auto* socket = dynamic_cast<Socket*>(&file)) {
    timeout = mask == kReadEvents ? socket->receive_timeout_ns() : socket->send_timeout_ns();
  }
  ErrorOr<size_t> r = t.BlockOn(queue, mask, SocketDeadline(timeout), attempt);
  return r.ok() ? r : SocketWaitError(r.error(), timeout);
}

// Streams: loops until all is written, as a blocking pipe or socket write does.
ErrorOr<size_t> WriteStream(Task& t, FileDescription& file, IoSource& src, IoFlags flags) {
  size_t done = 0;
  auto attempt = [&] { return file.TryWrite(src, nullptr, flags); };
  WaitQueue* queue = file.wait_queue();
  bool takes_messages = file.inode().type() == 0;  // eventfd and its like: one value a call
  for (;;) {
    ErrorOr<size_t> r = flags.nonblocking || !queue ? attempt() : BlockForIo(t, file, *queue, kWriteEvents, attempt);
    if (!r.ok()) {
      if (done && r.error() == kEPIPE) t.SendSignal(MakeSigInfo(abi::kSIGPIPE, abi::kSI_USER));
      return done ? ErrorOr<size_t>(done) : r;
    }
    done += *r;
    if (src.remaining() == 0 || flags.nonblocking || *r == 0 || takes_messages) return done;
  }
}

// RLIMIT_FSIZE: a write that would begin beyond it raises SIGXFSZ, one that crosses it is cut (setrlimit(2)).
ErrorOr<size_t> RoomBelowLimit(Task& t, FileDescription& file, int64_t offset, size_t wanted) {
  uint64_t limit = t.group().Limit(abi::kRLIMIT_FSIZE);
  if (limit == abi::kRLIM64_INFINITY || !file.inode().is_regular()) return wanted;
  if (static_cast<uint64_t>(offset) >= limit) {
    t.SendSignal(MakeSigInfo(abi::kSIGXFSZ, abi::kSI_USER));
    return kEFBIG;
  }
  return std::min<uint64_t>(wanted, limit - static_cast<uint64_t>(offset));
}

// A source cut to its first bytes.
class LimitedSource final : public IoSource {
 public:
  LimitedSource(IoSource& inner, size_t limit) : inner_(inner), left_(limit) {}
  size_t remaining() const override { return std::min(left_, inner_.remaining()); }
  ErrorOr<size_t> Get(std::span<std::byte> buffer) override {
    size_t n = TRY(inner_.Get(buffer.first(std::min(buffer.size(), left_))));
    left_ -= n;
    return n;
  }
  void Unget(size_t n) override {
    inner_.Unget(n);
    left_ += n;
  }

 private:
  IoSource& inner_;
  size_t left_;
};

// Holds the position of a file that tasks may share.
template <class F>
ErrorOr<uint64_t> AtPosition(FileDescription& file, F io) {
  if (!file.seekable()) return io(nullptr);
  TaskMutexLock lock(file.position_lock());
  int64_t position = file.position();
  ErrorOr<size_t> r = io(&position);
  if (r.ok()) file.set_position(position);
  return r.ok() ? ErrorOr<uint64_t>(*r) : ErrorOr<uint64_t>(r.error());
}

}  // namespace

ErrorOr<size_t> ReadUnlocked(Task& t, FileDescription& file, IoSink& dst, int64_t* offset, IoFlags flags) {
  flags = WithFileFlags(file, flags);
  auto attempt = [&] { return file.TryRead(dst, offset, flags); };
  WaitQueue* queue = file.wait_queue();
  ErrorOr<size_t> r = flags.nonblocking || !queue ? attempt() : BlockForIo(t, file, *queue, kReadEvents, attempt);
  if (r.ok() && *r > 0) vfs::AfterRead(file);
  return r;
}

ErrorOr<size_t> WriteUnlocked(Task& t, FileDescription& file, IoSource& src, int64_t* offset, IoFlags flags) {
  flags = WithFileFlags(file, flags);
  if (src.remaining() > 0) TRY(vfs::BeforeWrite(t.creds(), file));
  ErrorOr<size_t> r = size_t{0};
  if (!offset) {
    r = WriteStream(t, file, src, flags);
  } else {
    int64_t start = *offset;
    if (flags.append && t.group().Limit(abi::kRLIMIT_FSIZE) != abi::kRLIM64_INFINITY) {
      start = static_cast<int64_t>(TRY(file.inode().GetAttr()).size);
    }
    size_t room = src.remaining() ? TRY(RoomBelowLimit(t, file, start, src.remaining())) : 0;
    LimitedSource limited(src, room);
    auto attempt = [&] { return file.TryWrite(limited, offset, flags); };
    WaitQueue* queue = file.wait_queue();
    r = flags.nonblocking || !queue ? attempt() : BlockForIo(t, file, *queue, kWriteEvents, attempt);
  }
  if (r.ok() && *r > 0) vfs::AfterWrite(file);
  if (!r.ok() && r.error() == kEPIPE) t.SendSignal(MakeSigInfo(abi::kSIGPIPE, abi::kSI_USER));
  return r;
}

ErrorOr<uint64_t> ReadFile(Task& t, FileDescription& file, IoSink& dst, IoFlags flags) {
  if (!file.readable()) return kEBADF;
  return AtPosition(file, [&](int64_t* offset) { return ReadUnlocked(t, file, dst, offset, flags); });
}

ErrorOr<uint64_t> WriteFile(Task& t, FileDescription& file, IoSource& src, IoFlags flags) {
  if (!file.writable()) return kEBADF;
  return AtPosition(file, [&](int64_t* offset) { return WriteUnlocked(t, file, src, offset, flags); });
}

ErrorOr<uint64_t> ReadFileAt(Task& t, FileDescription& file, IoSink& dst, int64_t offset, IoFlags flags) {
  if (offset < 0) return kEINVAL;
  if (!file.readable()) return kEBADF;
  if (!file.seekable()) return kESPIPE;
  return TRY(ReadUnlocked(t, file, dst, &offset, flags));
}

ErrorOr<uint64_t> WriteFileAt(Task& t, FileDescription& file, IoSource& src, int64_t offset, IoFlags flags) {
  if (offset < 0) return kEINVAL;
  if (!file.writable()) return kEBADF;
  if (!file.seekable()) return kESPIPE;
  return TRY(WriteUnlocked(t, file, src, &offset, flags));
}

ErrorOr<std::vector<UserRange>> ReadIovec(Task& t, UserAddr iov, uint64_t count) {
  std::vector<abi::Iovec> raw = TRY(t.mm().ReadArray<abi::Iovec>(iov, count, abi::kUIO_MAXIOV));
  std::vector<UserRange> out;
  out.reserve(raw.size());
  size_t total = 0;
  for (const abi::Iovec& v : raw) {
    if (static_cast<int64_t>(v.iov_len) < 0) return kEINVAL;
    if (v.iov_base + v.iov_len < v.iov_base || v.iov_base + v.iov_len > t.mm().platform_info().task_size) {
      if (v.iov_len) return kEFAULT;
    }
    size_t n = std::min<size_t>(v.iov_len, kMaxIo - total);
    total += n;
    out.push_back({v.iov_base, n});
  }
  return out;
}

}  // namespace moat
