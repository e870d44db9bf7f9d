#include "fs/hostfd/host_file.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/poll.h"
#include "abi/stat.h"
#include "abi/tty.h"
#include "abi/uio.h"
#include "base/fiber/offload.h"
#include "base/host/file.h"
#include "base/host/poll.h"
#include "base/util/log.h"
#include "fs/hostfd/host_terminal.h"

namespace moat {

namespace {

std::atomic<uint32_t> owner_uid{0}, owner_gid{0};

constexpr size_t kChunk = 64 * 1024;  // bytes moved per host call

// The inode of a host descriptor: attributes are the host's at each look.
class HostInode final : public Inode {
 public:
  HostInode(FileSystem& fs, Ref<HostEnd> end) : Inode(fs, end->type()), end_(std::move(end)) {}

  ErrorOr<Attr> GetAttr() override {
    abi::Stat s = TRY(host::Fstat(end_->fd()));
    Attr a;
    a.dev = fs().dev();
    a.ino = s.st_ino;
    a.mode = s.st_mode;
    a.nlink = static_cast<uint32_t>(s.st_nlink);
    // The host's ids mean nothing to the guest: what it was given is the sandbox user's.
    a.uid = owner_uid.load(std::memory_order_relaxed);
    a.gid = owner_gid.load(std::memory_order_relaxed);
    a.rdev = s.st_rdev;
    a.size = static_cast<uint64_t>(s.st_size);
    a.blksize = static_cast<uint32_t>(s.st_blksize);
    a.blocks = static_cast<uint64_t>(s.st_blocks);
    a.atime = {s.st_atim.tv_sec, s.st_atim.tv_nsec};
    a.mtime = {s.st_mtim.tv_sec, s.st_mtim.tv_nsec};
    a.ctime = {s.st_ctim.tv_sec, s.st_ctim.tv_nsec};
    return a;
  }
  ErrorOr<void> SetAttributes(const SetAttr& set) override {
    if (set.mask & ~(SetAttr::kSize | SetAttr::kMtime | SetAttr::kCtime | SetAttr::kAtime)) return kEPERM;
    if (set.mask & SetAttr::kSize) return host::Ftruncate(end_->fd(), set.size);
    return {};
  }
  // The guest was given it: whoever could use the descriptor may open it again.
  ErrorOr<void> CheckAccess(const Credentials&, int) override { return {}; }
  bool OpensItself() override { return !is_regular() && !abi::IsSock(type()); }
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override {
    if (abi::IsSock(type())) return kENXIO;
    return HostFile::OpenAgain(end_, path, flags);
  }

 private:
  const Ref<HostEnd> end_;
};

class HostFdFs final : public FileSystem {
 public:
  static Ref<HostFdFs> Get() {
    static HostFdFs* fs = new HostFdFs;
    return Ref<HostFdFs>(fs);
  }
  std::string_view type() const override { return "hostfd"; }
  Ref<Inode> root() override { return nullptr; }
  ErrorOr<StatFs> Stat() override { return StatFs{}; }
};

std::string NameOf(const abi::Stat& s, bool tty) {
  if (tty) return "/dev/tty";
  if (abi::IsReg(s.st_mode)) return "/dev/stdio";
  if (abi::IsFifo(s.st_mode)) return "pipe:[" + std::to_string(s.st_ino) + "]";
  if (abi::IsSock(s.st_mode)) return "socket:[" + std::to_string(s.st_ino) + "]";
  return "/dev/stdio";
}

}  // namespace

HostFile::HostFile(Ref<HostEnd> end, const Path& path, uint32_t flags, bool owns_position)
    : FileDescription(path, flags),
      end_(std::move(end)),
      terminal_(end_->tty() ? HostTerminal::Of(end_) : nullptr),
      owns_position_(owns_position) {}

HostFile::~HostFile() = default;

ErrorOr<Ref<HostFile>> HostFile::Create(UniqueFd fd, const Path* console) {
  abi::Stat s = TRY(host::Fstat(fd.get()));
  Ref<HostEnd> end = TRY(HostEnd::Create(std::move(fd)));
  Path path;
  if (end->tty() && console && console->dentry) {
    path = *console;
  } else {
    path.dentry = Dentry::MakeAnonymous(MakeRef<HostInode>(*HostFdFs::Get(), end), NameOf(s, end->tty()));
  }
  uint32_t flags = end->flags();
  return Ref<HostFile>(new HostFile(std::move(end), path, flags, false), AdoptRef{});
}

ErrorOr<Ref<FileDescription>> HostFile::OpenAgain(const Ref<HostEnd>& end, const Path& path, uint32_t flags) {
  uint32_t have = end->flags() & abi::kO_ACCMODE, want = flags & abi::kO_ACCMODE;
  if (have != abi::kO_RDWR && have != want) return kEACCES;
  return Ref<FileDescription>(new HostFile(end, path, flags & ~abi::kO_NOCTTY, true), AdoptRef{});
}

void HostFile::SetOwner(uint32_t uid, uint32_t gid) {
  owner_uid.store(uid, std::memory_order_relaxed);
  owner_gid.store(gid, std::memory_order_relaxed);
}

Terminal* HostFile::terminal() { return terminal_.get(); }

AsyncKind HostFile::async_kind() const {
  if (end_->regular()) return AsyncKind::kNone;
  if (end_->tty()) return AsyncKind::kTerminal;
  return abi::IsFifo(end_->type()) ? AsyncKind::kPipe : AsyncKind::kPlain;
}

int64_t HostFile::position() const {
  if (owns_position_ || !end_->regular()) return FileDescription::position();
  return static_cast<int64_t>(host::Lseek(fd(), 0, abi::kSEEK_CUR).value_or(0));
}

void HostFile::set_position(int64_t p) {
  if (owns_position_ || !end_->regular()) return FileDescription::set_position(p);
  (void)host::Lseek(fd(), p, abi::kSEEK_SET);
}

// `offset` -1: at the host's own position (streams).
ErrorOr<size_t> HostFile::ReadHost(void* buffer, size_t n, int64_t offset) {
  abi::Iovec iov{reinterpret_cast<uint64_t>(buffer), n};
  ErrorOr<size_t> r = host::Preadv2(fd(), &iov, 1, offset, abi::kRWF_NOWAIT);
  if (r.ok() || (r.error() != kEOPNOTSUPP && !(end_->regular() && r.error() == kEAGAIN))) return r;
  if (!end_->regular() && !end_->ReadyNow(abi::kPOLLIN)) return kEAGAIN;
  Offload([&] { r = host::Preadv2(fd(), &iov, 1, offset, 0); });
  return r;
}

ErrorOr<size_t> HostFile::WriteHost(const void* buffer, size_t n, int64_t offset) {
  abi::Iovec iov{reinterpret_cast<uint64_t>(buffer), n};
  if (end_->regular()) {
    ErrorOr<size_t> r;
    r = host::Pwritev2(fd(), &iov, 1, offset, 0);
    return r;
  }
  ErrorOr<size_t> r = host::Pwritev2(fd(), &iov, 1, -1, abi::kRWF_NOWAIT);
  if (r.ok() || r.error() != kEOPNOTSUPP) return r;
  if (!end_->ReadyNow(abi::kPOLLOUT)) return kEAGAIN;
  Offload([&] { r = host::Pwritev2(fd(), &iov, 1, -1, 0); });
  return r;
}

ErrorOr<size_t> HostFile::TryRead(IoSink& dst, int64_t* offset, IoFlags flags) {
  if (terminal_) TRY(JobControl::Get().CheckRead(*terminal_));
  std::vector<std::byte> buffer(std::min(dst.remaining(), kChunk));
  size_t done = 0;
  while (dst.remaining() > 0) {
    size_t want = std::min(dst.remaining(), buffer.size());
    ErrorOr<size_t> n = ReadHost(buffer.data(), want, offset ? *offset : -1);
    if (!n.ok()) return done ? ErrorOr<size_t>(done) : n;
    if (*n == 0) return done;
    size_t put = TRY(dst.Put(std::span(buffer).first(*n)));
    done += put;
    if (offset) *offset += static_cast<int64_t>(put);
    if (*n < want || put < *n || !end_->regular()) return done;
  }
  return done;
}

ErrorOr<size_t> HostFile::TryWrite(IoSource& src, int64_t* offset, IoFlags flags) {
  if (terminal_ && terminal_->StopsBackgroundOutput()) TRY(JobControl::Get().CheckChange(*terminal_));
  if (offset && flags.append) *offset = TRY(SeekFrom(0, abi::kSEEK_END));
  if (!end_->regular() && !end_->ReadyNow(abi::kPOLLOUT)) MissedRoom();
  std::vector<std::byte> buffer(std::min(src.remaining(), kChunk));
  size_t done = 0;
  while (src.remaining() > 0) {
    // A pipe may have room for less than was taken: ask for no more than surely fits when it is not empty.
    size_t want = std::min(src.remaining(), buffer.size());
    if (!end_->regular() && !end_->ReadyNow(abi::kPOLLOUT)) return done ? ErrorOr<size_t>(done) : kEAGAIN;
    if (!end_->regular() && !end_->tty()) want = std::min<size_t>(want, 4096);  // POLLOUT: at least PIPE_BUF fits
    size_t got = TRY(src.Get(std::span(buffer).first(want)));
    ErrorOr<size_t> n = WriteHost(buffer.data(), got, offset ? *offset : -1);
    if (!n.ok()) return done ? ErrorOr<size_t>(done) : n;
    done += *n;
    if (offset) *offset += static_cast<int64_t>(*n);
    if (*n < got) return done;
  }
  return done;
}

EventMask HostFile::Readiness() {
  constexpr EventMask kAll = abi::kPOLLIN | abi::kPOLLOUT | abi::kPOLLPRI | abi::kPOLLRDHUP | abi::kPOLLRDNORM | abi::kPOLLWRNORM;
  abi::Pollfd p{.fd = fd(), .events = static_cast<int16_t>(kAll)};
  abi::Timespec none{};
  if (!host::Ppoll(&p, 1, &none).ok()) return 0;
  return static_cast<EventMask>(static_cast<uint16_t>(p.revents));
}

// Says where that would be; the position itself is set_position's, and the host's may belong to another open file.
ErrorOr<int64_t> HostFile::SeekFrom(int64_t offset, int whence) {
  uint64_t before = TRY(host::Lseek(fd(), 0, abi::kSEEK_CUR));
  ErrorOr<uint64_t> there = host::Lseek(fd(), offset, whence);
  (void)host::Lseek(fd(), static_cast<int64_t>(before), abi::kSEEK_SET);
  return static_cast<int64_t>(TRY(std::move(there)));
}

ErrorOr<void> HostFile::Sync(bool data_only) {
  if (!end_->regular()) return kEINVAL;
  ErrorOr<void> r;
  Offload([&] { r = data_only ? host::Fdatasync(fd()) : host::Fsync(fd()); });
  return r;
}

ErrorOr<HostBacking> HostFile::Map(uint64_t offset, uint64_t length, bool shared_writable) {
  if (!end_->regular()) return kENODEV;
  return HostBacking{fd(), offset};
}

// Only what a program needs of its terminal, each with its own argument: nothing is passed through unchecked.
ErrorOr<uint64_t> HostFile::Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) {
  if (command == abi::kFIONREAD) {
    int n = 0;
    TRY(host::Ioctl(fd(), abi::kFIONREAD, &n));
    TRY(memory.Write(arg, n));
    return uint64_t{0};
  }
  if (!terminal_) return kENOTTY;
  if (IsJobControlIoctl(command)) return JobControl::Get().Ioctl(*terminal_, *this, command, arg, memory, false);
  return TerminalIoctl(command, arg, memory);
}

ErrorOr<uint64_t> HostFile::TerminalIoctl(uint32_t command, uint64_t arg, UserMemory& memory) {
  constexpr uint64_t kDone = 0;
  switch (command) {
    case abi::kTCGETS: {
      abi::Termios t;
      TRY(host::Ioctl(fd(), abi::kTCGETS, &t));
      TRY(memory.Write(arg, t));
      return kDone;
    }
    case abi::kTCSETS: case abi::kTCSETSW: case abi::kTCSETSF: {
      abi::Termios t = TRY(memory.Read<abi::Termios>(arg));
      TRY(JobControl::Get().CheckChange(*terminal_));
      TRY(host::Ioctl(fd(), command, &t));
      return kDone;
    }
    case abi::kTIOCGWINSZ: {
      abi::Winsize w;
      TRY(host::Ioctl(fd(), abi::kTIOCGWINSZ, &w));
      TRY(memory.Write(arg, w));
      return kDone;
    }
    case abi::kTIOCSWINSZ: {
      abi::Winsize w = TRY(memory.Read<abi::Winsize>(arg));
      TRY(host::Ioctl(fd(), abi::kTIOCSWINSZ, &w));
      return kDone;
    }
    case abi::kTCFLSH: case abi::kTCXONC:
      if (arg > 3) return kEINVAL;
      TRY(JobControl::Get().CheckChange(*terminal_));
      TRY(host::Ioctl(fd(), command, static_cast<long>(arg)));
      return kDone;
    case abi::kTIOCOUTQ: {
      int n = 0;
      TRY(host::Ioctl(fd(), abi::kTIOCOUTQ, &n));
      TRY(memory.Write(arg, n));
      return kDone;
    }
    default: return kENOTTY;
  }
}

}  // namespace moat
