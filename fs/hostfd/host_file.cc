#include "fs/hostfd/host_file.h"

#include <algorithm>
#include <vector>

#include "abi/epoll.h"
#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/poll.h"
#include "abi/stat.h"
#include "abi/tty.h"
#include "abi/uio.h"
#include "base/fiber/host_watch.h"
#include "base/fiber/offload.h"
#include "base/host/file.h"
#include "base/host/poll.h"
#include "base/util/log.h"

namespace moat {

namespace {

constexpr size_t kChunk = 64 * 1024;  // bytes moved per host call

// The inode of a host descriptor: attributes are the host's at each look.
class HostInode final : public Inode {
 public:
  HostInode(FileSystem& fs, uint32_t type, int fd) : Inode(fs, type), fd_(fd) {}

  ErrorOr<Attr> GetAttr() override {
    abi::Stat s = TRY(host::Fstat(fd_));
    Attr a;
    a.dev = fs().dev();
    a.ino = s.st_ino;
    a.mode = s.st_mode;
    a.nlink = static_cast<uint32_t>(s.st_nlink);
    a.uid = 0;
    a.gid = 0;
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
    if (set.mask & SetAttr::kSize) return host::Ftruncate(fd_, set.size);
    return {};
  }
  // Opening it again (/proc/self/fd/0) would need the host's path.
  ErrorOr<Ref<FileDescription>> Open(const Path&, uint32_t) override { return kENXIO; }

 private:
  const int fd_;  // the HostFile's, which outlives it only while open; see ~HostFile
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

HostFile::HostFile(UniqueFd fd, Path path, uint32_t flags, uint32_t type, bool tty)
    : FileDescription(path, flags), fd_(std::move(fd)), regular_(type == abi::kS_IFREG), tty_(tty) {}

ErrorOr<Ref<HostFile>> HostFile::Create(UniqueFd fd) {
  abi::Stat s = TRY(host::Fstat(fd.get()));
  constexpr uint32_t kKept = abi::kO_ACCMODE | abi::kO_APPEND | abi::kO_NONBLOCK;
  uint32_t flags = TRY(host::FcntlGetfl(fd.get())) & kKept;
  abi::Termios termios;
  bool tty = host::Ioctl(fd.get(), abi::kTCGETS, &termios).ok();
  uint32_t type = s.st_mode & abi::kS_IFMT;
  Ref<Inode> inode = MakeRef<HostInode>(*HostFdFs::Get(), type, fd.get());
  Path path{nullptr, Dentry::MakeAnonymous(std::move(inode), NameOf(s, tty))};
  Ref<HostFile> file(new HostFile(std::move(fd), path, flags, type, tty), AdoptRef{});
  if (!file->regular_) {
    constexpr uint32_t kEvents = abi::kEPOLLIN | abi::kEPOLLOUT | abi::kEPOLLRDHUP | abi::kEPOLLHUP | abi::kEPOLLERR;
    HostFile* raw = file.get();
    // /dev/null and other devices cannot be polled: they are always ready.
    (void)WatchHostFd(raw->fd(), kEvents, [raw](uint32_t events) { raw->queue_.Wake(events); });
  } else {
    file->set_position(static_cast<int64_t>(host::Lseek(file->fd(), 0, abi::kSEEK_CUR).value_or(0)));
  }
  return file;
}

HostFile::~HostFile() {
  if (!regular_) UnwatchHostFd(fd_.get());
}

bool HostFile::ReadyNow(EventMask events) {
  abi::Pollfd p{.fd = fd_.get(), .events = static_cast<int16_t>(events)};
  abi::Timespec none{};
  ErrorOr<size_t> n = host::Ppoll(&p, 1, &none);
  return n.ok() && *n > 0;
}

// `offset` -1: at the host's own position (streams).
ErrorOr<size_t> HostFile::ReadHost(void* buffer, size_t n, int64_t offset) {
  abi::Iovec iov{reinterpret_cast<uint64_t>(buffer), n};
  ErrorOr<size_t> r = host::Preadv2(fd_.get(), &iov, 1, offset, abi::kRWF_NOWAIT);
  if (r.ok() || (r.error() != kEOPNOTSUPP && !(regular_ && r.error() == kEAGAIN))) return r;
  if (!regular_ && !ReadyNow(abi::kPOLLIN)) return kEAGAIN;
  Offload([&] { r = host::Preadv2(fd_.get(), &iov, 1, offset, 0); });
  return r;
}

ErrorOr<size_t> HostFile::WriteHost(const void* buffer, size_t n, int64_t offset) {
  abi::Iovec iov{reinterpret_cast<uint64_t>(buffer), n};
  if (regular_) {
    ErrorOr<size_t> r;
    r = host::Pwritev2(fd_.get(), &iov, 1, offset, 0);
    return r;
  }
  ErrorOr<size_t> r = host::Pwritev2(fd_.get(), &iov, 1, -1, abi::kRWF_NOWAIT);
  if (r.ok() || r.error() != kEOPNOTSUPP) return r;
  if (!ReadyNow(abi::kPOLLOUT)) return kEAGAIN;
  Offload([&] { r = host::Pwritev2(fd_.get(), &iov, 1, -1, 0); });
  return r;
}

ErrorOr<size_t> HostFile::TryRead(IoSink& dst, int64_t* offset, IoFlags flags) {
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
    if (*n < want || put < *n || !regular_) return done;
  }
  return done;
}

ErrorOr<size_t> HostFile::TryWrite(IoSource& src, int64_t* offset, IoFlags flags) {
  if (offset && flags.append) *offset = TRY(SeekFrom(0, abi::kSEEK_END));
  std::vector<std::byte> buffer(std::min(src.remaining(), kChunk));
  size_t done = 0;
  while (src.remaining() > 0) {
    // A pipe may have room for less than was taken: ask for no more than surely fits when it is not empty.
    size_t want = std::min(src.remaining(), buffer.size());
    if (!regular_ && !ReadyNow(abi::kPOLLOUT)) return done ? ErrorOr<size_t>(done) : kEAGAIN;
    if (!regular_ && !tty_) want = std::min<size_t>(want, 4096);  // POLLOUT: at least PIPE_BUF fits
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
  abi::Pollfd p{.fd = fd_.get(), .events = static_cast<int16_t>(kAll)};
  abi::Timespec none{};
  if (!host::Ppoll(&p, 1, &none).ok()) return 0;
  return static_cast<EventMask>(static_cast<uint16_t>(p.revents));
}

ErrorOr<int64_t> HostFile::SeekFrom(int64_t offset, int whence) {
  return static_cast<int64_t>(TRY(host::Lseek(fd_.get(), offset, whence)));
}

ErrorOr<void> HostFile::Sync(bool data_only) {
  if (!regular_) return kEINVAL;
  ErrorOr<void> r;
  Offload([&] { r = data_only ? host::Fdatasync(fd_.get()) : host::Fsync(fd_.get()); });
  return r;
}

ErrorOr<HostBacking> HostFile::Map(uint64_t offset, uint64_t length, bool shared_writable) {
  if (!regular_) return kENODEV;
  return HostBacking{fd_.get(), offset};
}

// Only what a program needs of its terminal, each with its own argument: nothing is passed through unchecked.
ErrorOr<uint64_t> HostFile::Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) {
  if (command == abi::kFIONREAD) {
    int n = 0;
    TRY(host::Ioctl(fd_.get(), abi::kFIONREAD, &n));
    TRY(memory.Write(arg, n));
    return uint64_t{0};
  }
  if (!tty_) return kENOTTY;
  switch (command) {
    case abi::kTCGETS: {
      abi::Termios t;
      TRY(host::Ioctl(fd_.get(), abi::kTCGETS, &t));
      TRY(memory.Write(arg, t));
      return uint64_t{0};
    }
    case abi::kTCSETS: case abi::kTCSETSW: case abi::kTCSETSF: {
      abi::Termios t = TRY(memory.Read<abi::Termios>(arg));
      TRY(host::Ioctl(fd_.get(), command, &t));
      return uint64_t{0};
    }
    case abi::kTIOCGWINSZ: {
      abi::Winsize w;
      TRY(host::Ioctl(fd_.get(), abi::kTIOCGWINSZ, &w));
      TRY(memory.Write(arg, w));
      return uint64_t{0};
    }
    case abi::kTIOCSWINSZ: {
      abi::Winsize w = TRY(memory.Read<abi::Winsize>(arg));
      TRY(host::Ioctl(fd_.get(), abi::kTIOCSWINSZ, &w));
      return uint64_t{0};
    }
    case abi::kTCFLSH: case abi::kTCXONC:
      TRY(host::Ioctl(fd_.get(), command, static_cast<long>(arg & 3)));
      return uint64_t{0};
    case abi::kTIOCOUTQ: {
      int n = 0;
      TRY(host::Ioctl(fd_.get(), abi::kTIOCOUTQ, &n));
      TRY(memory.Write(arg, n));
      return uint64_t{0};
    }
    default:
      return kENOTTY;
  }
}

}  // namespace moat
