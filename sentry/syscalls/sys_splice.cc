// Moving data between files without the guest's memory: splice, tee, vmsplice, sendfile, copy_file_range.
//
// Pipes hold bytes of their own, so that "moving" is one copy in the sentry.
#include <algorithm>
#include <optional>
#include <vector>

#include "abi/fcntl.h"
#include "abi/poll.h"
#include "abi/signal.h"
#include "fs/pipe/pipe_file.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/signal_queue.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/file_io.h"

namespace moat {
namespace {

constexpr uint32_t kSpliceFlags = abi::kSPLICE_F_MOVE | abi::kSPLICE_F_NONBLOCK | abi::kSPLICE_F_MORE | abi::kSPLICE_F_GIFT;
constexpr size_t kBounce = 64 * 1024;  // bytes that sendfile and copy_file_range hold at a time

Pipe* PipeOf(FileDescription& file) {
  PipeFile* end = dynamic_cast<PipeFile*>(&file);
  return end ? &end->pipe() : nullptr;
}

// Sleeps on `queue` until `ready()`.
template <class F>
ErrorOr<void> WaitUntil(Task& t, WaitQueue& queue, F ready) {
  return t.BlockOn(queue, ~0u, kForever, [&]() -> ErrorOr<void> {
    if (ready()) return {};
    return kEAGAIN;
  });
}

// As the kernel's wait_for_space: EPIPE raises SIGPIPE.
ErrorOr<size_t> WithSigpipe(Task& t, ErrorOr<size_t> r) {
  if (!r.ok() && r.error() == kEPIPE) t.SendSignal(MakeSigInfo(abi::kSIGPIPE, abi::kSI_USER));
  return r;
}

// Where a transfer reads or writes in a seekable file: at an offset in guest memory or at the file's own position. As in
// Linux the position is not held during the transfer, which may wait for long.
class Cursor {
 public:
  Cursor(Task& t, FileDescription& file, UserAddr addr) : t_(t), file_(file), addr_(addr) {}

  // kESPIPE for an offset into a stream, kEINVAL if it is negative.
  ErrorOr<void> Start() {
    if (addr_) {
      value_ = TRY(t_.mm().Read<int64_t>(addr_));
      if (!file_.seekable()) return kESPIPE;
      if (value_ < 0) return kEINVAL;
    } else if (file_.seekable()) {
      TaskMutexLock lock(file_.position_lock());
      value_ = file_.position();
    }
    return {};
  }
  int64_t* get() { return file_.seekable() ? &value_ : nullptr; }  // null: a stream
  ErrorOr<void> Finish() {
    if (addr_) return t_.mm().Write(addr_, value_);
    if (!file_.seekable()) return {};
    TaskMutexLock lock(file_.position_lock());
    file_.set_position(value_);
    return {};
  }

 private:
  Task& t_;
  FileDescription& file_;
  const UserAddr addr_;
  int64_t value_ = 0;
};

// --- Between a file and a pipe. The file is never waited for under the pipe's lock. ---

class FileSource final : public IoSource {
 public:
  FileSource(Task& t, FileDescription& file, int64_t* offset, size_t length)
      : t_(t), file_(file), offset_(offset), left_(length) {}
  size_t remaining() const override { return left_; }
  ErrorOr<size_t> Get(std::span<std::byte> buffer) override {
    BufferSink sink(buffer.first(std::min(buffer.size(), left_)));
    ErrorOr<size_t> n = ReadUnlocked(t_, file_, sink, offset_, {.nonblocking = file_.wait_queue() != nullptr});
    starved = !n.ok() && n.error() == kEAGAIN;
    if (n.ok()) left_ -= *n;
    return n;
  }
  bool starved = false;  // the file had nothing

 private:
  Task& t_;
  FileDescription& file_;
  int64_t* offset_;
  size_t left_;
};

class FileSink final : public IoSink {
 public:
  FileSink(Task& t, FileDescription& file, int64_t* offset, size_t length)
      : t_(t), file_(file), offset_(offset), left_(length) {}
  size_t remaining() const override { return left_; }
  ErrorOr<size_t> Put(std::span<const std::byte> data) override {
    BufferSource source(data.first(std::min(data.size(), left_)));
    ErrorOr<size_t> n = WriteUnlocked(t_, file_, source, offset_, {.nonblocking = file_.wait_queue() != nullptr});
    choked = !n.ok() && n.error() == kEAGAIN;
    if (n.ok()) left_ -= *n;
    return n;
  }
  bool choked = false;  // the file took nothing

 private:
  Task& t_;
  FileDescription& file_;
  int64_t* offset_;
  size_t left_;
};

ErrorOr<size_t> FileToPipe(Task& t, FileDescription& in, int64_t* offset, Pipe& pipe, size_t length, bool nonblocking) {
  for (;;) {
    FileSource source(t, in, offset, length);
    ErrorOr<size_t> r = WithSigpipe(t, pipe.Write(source, false));
    if (r.ok() || r.error() != kEAGAIN) return r;
    if (nonblocking || (source.starved && in.nonblocking())) return r;
    if (source.starved) {
      TRY(WaitUntil(t, *in.wait_queue(), [&] { return (in.Readiness() & ~EventMask{abi::kPOLLOUT | abi::kPOLLWRNORM}) != 0; }));
    } else {
      TRY(WaitUntil(t, pipe.queue(), [&] { return !pipe.full() || pipe.readers() == 0; }));
    }
  }
}

ErrorOr<size_t> PipeToFile(Task& t, Pipe& pipe, FileDescription& out, int64_t* offset, size_t length, bool nonblocking) {
  for (;;) {
    FileSink sink(t, out, offset, length);
    ErrorOr<size_t> r = pipe.Read(sink);
    if (r.ok() || r.error() != kEAGAIN) return r;
    if (sink.choked) {
      if (out.nonblocking()) return r;
      TRY(WaitUntil(t, *out.wait_queue(), [&] { return (out.Readiness() & ~EventMask{abi::kPOLLIN | abi::kPOLLRDNORM}) != 0; }));
    } else {
      if (nonblocking) return r;
      TRY(WaitUntil(t, pipe.queue(), [&] { return !pipe.empty() || pipe.writers() == 0; }));
    }
  }
}

ErrorOr<size_t> PipeToPipe(Task& t, Pipe& from, Pipe& to, size_t length, bool nonblocking, bool consume) {
  for (;;) {
    ErrorOr<size_t> r = WithSigpipe(t, consume ? Pipe::Move(from, to, length) : Pipe::Tee(from, to, length));
    if (r.ok() || r.error() != kEAGAIN || nonblocking) return r;
    // One of the two, whichever stopped it.
    if (from.empty()) {
      TRY(WaitUntil(t, from.queue(), [&] { return !from.empty() || from.writers() == 0; }));
    } else {
      TRY(WaitUntil(t, to.queue(), [&] { return !to.full() || to.readers() == 0; }));
    }
  }
}

// What splice(2) and sendfile(2) can read from and write to besides pipes: data, not the values of eventfds and their like.
bool HasContent(FileDescription& file) { return file.inode().type() != 0 && !file.inode().is_dir(); }

// --- splice, tee, vmsplice. ---

ErrorOr<uint64_t> SysSplice(Task& t, int fd_in, UserAddr off_in, int fd_out, UserAddr off_out, uint64_t length,
                            uint32_t flags) {
  if (length == 0) return uint64_t{0};
  if (flags & ~kSpliceFlags) return kEINVAL;
  Ref<FileDescription> in = TRY(t.fds().Get(fd_in));
  Ref<FileDescription> out = TRY(t.fds().Get(fd_out));
  Pipe* from = PipeOf(*in);
  Pipe* to = PipeOf(*out);
  if ((from && off_in) || (to && off_out)) return kESPIPE;
  if (!in->readable() || !out->writable()) return kEBADF;
  size_t n = std::min<uint64_t>(length, kMaxIo);
  bool nonblocking = (flags & abi::kSPLICE_F_NONBLOCK) != 0;
  if (from && to) {
    if (from == to) return kEINVAL;
    return TRY(PipeToPipe(t, *from, *to, n, nonblocking || in->nonblocking() || out->nonblocking(), true));
  }
  if (from) {
    if (off_out && !out->seekable()) return kEINVAL;
    if (out->flags() & abi::kO_APPEND || !HasContent(*out)) return kEINVAL;
    Cursor at(t, *out, off_out);
    TRY(at.Start());
    size_t done = TRY(PipeToFile(t, *from, *out, at.get(), n, nonblocking || in->nonblocking()));
    TRY(at.Finish());
    return done;
  }
  if (!to) return kEINVAL;
  if (off_in && !in->seekable()) return kEINVAL;
  if (!HasContent(*in)) return kEINVAL;
  Cursor at(t, *in, off_in);
  TRY(at.Start());
  size_t done = TRY(FileToPipe(t, *in, at.get(), *to, n, nonblocking || out->nonblocking()));
  TRY(at.Finish());
  return done;
}

ErrorOr<uint64_t> SysTee(Task& t, int fd_in, int fd_out, uint64_t length, uint32_t flags) {
  if (flags & ~kSpliceFlags) return kEINVAL;
  if (length == 0) return uint64_t{0};
  Ref<FileDescription> in = TRY(t.fds().Get(fd_in));
  Ref<FileDescription> out = TRY(t.fds().Get(fd_out));
  if (!in->readable() || !out->writable()) return kEBADF;
  Pipe* from = PipeOf(*in);
  Pipe* to = PipeOf(*out);
  if (!from || !to || from == to) return kEINVAL;
  bool nonblocking = (flags & abi::kSPLICE_F_NONBLOCK) || in->nonblocking() || out->nonblocking();
  return TRY(PipeToPipe(t, *from, *to, std::min<uint64_t>(length, kMaxIo), nonblocking, false));
}

ErrorOr<uint64_t> SysVmsplice(Task& t, int fd, UserAddr iov, uint64_t count, uint32_t flags) {
  if (flags & ~kSpliceFlags) return kEINVAL;
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  Pipe* pipe = PipeOf(*file);
  if (!pipe) return kEBADF;
  std::vector<UserRange> ranges = TRY(ReadIovec(t, iov, count));
  bool nonblocking = (flags & abi::kSPLICE_F_NONBLOCK) != 0;
  if (file->writable()) {
    UserSource source(t.mm(), std::move(ranges));
    if (source.remaining() == 0) return uint64_t{0};
    auto write = [&] { return pipe->Write(source, false); };
    return TRY(WithSigpipe(t, nonblocking ? write() : t.BlockOn(pipe->queue(), ~0u, kForever, write)));
  }
  UserSink sink(t.mm(), std::move(ranges));
  if (sink.remaining() == 0) return uint64_t{0};
  auto read = [&] { return pipe->Read(sink); };
  return TRY(nonblocking ? read() : t.BlockOn(pipe->queue(), ~0u, kForever, read));
}

// --- sendfile, copy_file_range: through a buffer. ---

// Copies up to `length` bytes; stops early at the end of `in`, at an error after some bytes, or to let a signal in.
ErrorOr<size_t> CopyThrough(Task& t, FileDescription& in, int64_t* from, FileDescription& out, int64_t* to, size_t length) {
  std::vector<std::byte> buffer(std::min(length, kBounce));
  size_t done = 0;
  while (done < length) {
    int64_t start = *from;
    BufferSink sink{std::span<std::byte>(buffer).first(std::min(length - done, buffer.size()))};
    ErrorOr<size_t> got = ReadUnlocked(t, in, sink, from, {});
    if (!got.ok()) return done ? ErrorOr<size_t>(done) : got;
    if (*got == 0) break;
    BufferSource source(std::span<const std::byte>(buffer).first(*got));
    ErrorOr<size_t> put = WriteUnlocked(t, out, source, to, {});
    *from = start + static_cast<int64_t>(put.ok() ? *put : 0);
    if (!put.ok()) return done ? ErrorOr<size_t>(done) : put;
    done += *put;
    if (*put < *got || t.interrupted()) break;
  }
  return done;
}

// How much of `length` may be copied; an error refuses.
using CopyCheck = ErrorOr<size_t> (*)(FileDescription& in, int64_t from, FileDescription& out, int64_t to, size_t length);

ErrorOr<size_t> CopyBetween(Task& t, FileDescription& in, UserAddr off_in, FileDescription& out, UserAddr off_out,
                            size_t length, CopyCheck check) {
  Cursor from(t, in, off_in), to(t, out, off_out);
  TRY(from.Start());
  TRY(to.Start());
  size_t n = check ? TRY(check(in, *from.get(), out, *to.get(), length)) : length;
  size_t done = TRY(CopyThrough(t, in, from.get(), out, to.get(), n));
  TRY(from.Finish());
  TRY(to.Finish());
  return done;
}

ErrorOr<uint64_t> SysSendfile(Task& t, int fd_out, int fd_in, UserAddr offset, uint64_t count) {
  Ref<FileDescription> in = TRY(t.fds().Get(fd_in));
  if (!in->readable()) return kEBADF;
  if (offset && !in->seekable()) return kESPIPE;
  Ref<FileDescription> out = TRY(t.fds().Get(fd_out));
  if (!out->writable()) return kEBADF;
  size_t n = std::min<uint64_t>(count, kMaxIo);
  if (!in->seekable() || !HasContent(*in)) return kEINVAL;
  if (Pipe* pipe = PipeOf(*out)) {
    Cursor at(t, *in, offset);
    TRY(at.Start());
    if (n == 0) return uint64_t{0};
    size_t done = TRY(FileToPipe(t, *in, at.get(), *pipe, n, out->nonblocking()));
    TRY(at.Finish());
    return done;
  }
  if (out->flags() & abi::kO_APPEND || !HasContent(*out)) return kEINVAL;
  return TRY(CopyBetween(t, *in, offset, *out, 0, n, nullptr));
}

// copy_file_range(2): cut at the end of `in`; ranges of one file may not overlap.
ErrorOr<size_t> CheckRanges(FileDescription& in, int64_t from, FileDescription& out, int64_t to, size_t length) {
  int64_t end;
  if (__builtin_add_overflow(from, static_cast<int64_t>(length), &end) ||
      __builtin_add_overflow(to, static_cast<int64_t>(length), &end)) {
    return kEOVERFLOW;
  }
  int64_t size = static_cast<int64_t>(TRY(in.inode().GetAttr()).size);
  if (from >= size) return size_t{0};
  int64_t n = std::min<int64_t>(static_cast<int64_t>(length), size - from);
  if (&in.inode() == &out.inode() && from < to + n && to < from + n) return kEINVAL;
  return static_cast<size_t>(n);
}

ErrorOr<uint64_t> SysCopyFileRange(Task& t, int fd_in, UserAddr off_in, int fd_out, UserAddr off_out, uint64_t length,
                                   uint32_t flags) {
  Ref<FileDescription> in = TRY(t.fds().Get(fd_in));
  Ref<FileDescription> out = TRY(t.fds().Get(fd_out));
  if (flags) return kEINVAL;
  if (in->inode().is_dir() || out->inode().is_dir()) return kEISDIR;
  if (!in->inode().is_regular() || !out->inode().is_regular()) return kEINVAL;
  if (!in->readable() || !out->writable() || (out->flags() & abi::kO_APPEND)) return kEBADF;
  if (static_cast<int64_t>(length) < 0) return kEOVERFLOW;
  return TRY(CopyBetween(t, *in, off_in, *out, off_out, std::min<uint64_t>(length, kMaxIo), CheckRanges));
}

constexpr SyscallRow kRows[] = {
    CALL(splice, SysSplice, "fd ptr fd ptr u64 hex"),
    CALL(tee, SysTee, "fd fd u64 hex"),
    CALL(vmsplice, SysVmsplice, "fd iov:2 u64 hex"),
    CALL(sendfile, SysSendfile, "fd fd ptr u64"),
    CALL(copy_file_range, SysCopyFileRange, "fd ptr fd ptr u64 hex"),
};

}  // namespace

const SyscallFamily kSpliceCalls = {"moving data between files", kRows};

}  // namespace moat
