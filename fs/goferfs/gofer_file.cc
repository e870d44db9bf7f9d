#include "fs/goferfs/gofer_file.h"

#include <algorithm>
#include <memory>
#include <new>

#include "abi/fcntl.h"
#include "abi/stat.h"
#include "abi/uio.h"
#include "base/fiber/offload.h"
#include "base/host/file.h"

namespace moat {

namespace {

// Data moves in pieces of at most this through a buffer of ours (guest memory is not ours to read into).
constexpr size_t kPiece = 256 * 1024;
constexpr size_t kDirectAlignment = 4096;  // O_DIRECT: at least the logical block size
constexpr int64_t kCifsMagic = 0xff534d42, kSmb2Magic = 0xfe534d42, kCephMagic = 0xc36400;

// Owned by the call, so that an offload thread may go on using it.
class Buffer {
 public:
  explicit Buffer(size_t n)
      : bytes_(static_cast<std::byte*>(::operator new(n, std::align_val_t(kDirectAlignment))), Free{}) {}
  std::byte* get() const { return bytes_.get(); }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t(kDirectAlignment)); }
  };
  std::unique_ptr<std::byte, Free> bytes_;
};

abi::Iovec IovecOf(const std::byte* p, size_t n) { return {reinterpret_cast<uint64_t>(p), n}; }

}  // namespace

Ref<GoferFile> GoferFile::Create(const Path& path, uint32_t flags, Ref<GoferInode> inode, Ref<HostFd> fd) {
  return Ref<GoferFile>(new GoferFile(path, flags, std::move(inode), std::move(fd)), AdoptRef{});
}

GoferFile::GoferFile(const Path& path, uint32_t flags, Ref<GoferInode> inode, Ref<HostFd> fd)
    : FileDescription(path, flags), inode_(std::move(inode)), fd_(std::move(fd)) {
  inode_->AddOpenFd(*fd_);
}

GoferFile::~GoferFile() { inode_->RemoveOpenFd(*fd_); }

// Asked where RWF_NOWAIT is not known: of local file systems a plain call waits for a disk at most, of these for ever.
bool GoferFile::MayHang() {
  int known = may_hang_.load(std::memory_order_relaxed);
  if (known < 0) {
    auto s = host::Fstatfs(fd_->get());
    int64_t t = s.ok() ? s->f_type : abi::kFUSE_SUPER_MAGIC;
    known = t == abi::kFUSE_SUPER_MAGIC || t == abi::kNFS_SUPER_MAGIC || t == abi::kV9FS_MAGIC || t == kCifsMagic ||
            t == kSmb2Magic || t == kCephMagic;
    may_hang_.store(known, std::memory_order_relaxed);
  }
  return known;
}

ErrorOr<size_t> GoferFile::ReadPiece(std::byte* buffer, size_t n, int64_t offset, bool nonblocking) {
  abi::Iovec iov = IovecOf(buffer, n);
  int fd = fd_->get();
  auto got = host::Preadv2(fd, &iov, 1, offset, abi::kRWF_NOWAIT);
  if (got.ok() || (got.error() != kEAGAIN && got.error() != kEOPNOTSUPP)) return got;
  if (got.error() == kEOPNOTSUPP && !MayHang()) return host::Preadv2(fd, &iov, 1, offset, 0);
  if (nonblocking) return kEAGAIN;
  Offload([&] { got = host::Preadv2(fd, &iov, 1, offset, 0); });
  return got;
}

ErrorOr<size_t> GoferFile::TryRead(IoSink& dst, int64_t* offset, IoFlags flags) {
  if (!offset) return kESPIPE;
  size_t piece = std::min(dst.remaining(), kPiece);
  if (piece == 0) return 0;
  Buffer buffer(piece);
  size_t done = 0;
  while (dst.remaining() > 0) {
    size_t want = std::min(dst.remaining(), piece);
    auto got = ReadPiece(buffer.get(), want, *offset, flags.nonblocking);
    if (got.error() == kEINTR) continue;
    if (!got.ok()) {
      if (done > 0) break;
      return got.error();
    }
    if (*got == 0) break;
    auto put = dst.Put(std::span(buffer.get(), *got));
    if (!put.ok()) {
      if (done > 0) break;
      return put.error();
    }
    done += *put;
    *offset += static_cast<int64_t>(*put);
    if (*put < *got) break;  // a fault in the guest's buffer
    // Less than asked: the end, or the rest is not in memory. The next round tells.
  }
  return done;
}

ErrorOr<size_t> GoferFile::WritePiece(const std::byte* buffer, size_t n, int64_t offset, IoFlags flags) {
  abi::Iovec iov = IovecOf(buffer, n);
  int fd = fd_->get();
  uint32_t rwf = 0;
  if (flags.sync) rwf |= this->flags() & abi::kO_SYNC ? abi::kRWF_SYNC : abi::kRWF_DSYNC;
  // With -1 the call moves the descriptor's own position, which tells where the append ended.
  if (flags.append) rwf |= abi::kRWF_APPEND, offset = -1;
  ErrorOr<size_t> put = kEAGAIN;
  auto write = [&] { put = host::Pwritev2(fd, &iov, 1, offset, rwf); };
  if (flags.sync || (this->flags() & abi::kO_DIRECT) || MayHang()) Offload(write);
  else write();
  return put;
}

ErrorOr<size_t> GoferFile::TryWrite(IoSource& src, int64_t* offset, IoFlags flags) {
  if (!offset) return kESPIPE;
  size_t piece = std::min(src.remaining(), kPiece);
  if (piece == 0) return 0;
  Buffer buffer(piece);
  size_t done = 0;
  inode_->AttributesChanged();
  while (src.remaining() > 0) {
    auto taken = src.Get(std::span(buffer.get(), std::min(src.remaining(), piece)));
    if (!taken.ok()) {
      if (done > 0) break;
      return taken.error();
    }
    if (*taken == 0) break;
    size_t written = 0;
    while (written < *taken) {
      auto put = WritePiece(buffer.get() + written, *taken - written, *offset, flags);
      if (put.error() == kEINTR) continue;
      if (!put.ok() || *put == 0) {
        if (done > 0) return done;
        return put.ok() ? kEIO : put.error();
      }
      written += *put;
      done += *put;
      if (flags.append) *offset = static_cast<int64_t>(TRY(host::Lseek(fd_->get(), 0, abi::kSEEK_CUR)));
      else *offset += static_cast<int64_t>(*put);
    }
  }
  return done;
}

ErrorOr<int64_t> GoferFile::SeekFrom(int64_t offset, int whence) {
  if (whence != abi::kSEEK_DATA && whence != abi::kSEEK_HOLE) return FileDescription::SeekFrom(offset, whence);
  if (offset < 0) return kENXIO;
  // The position of the shared descriptor that this moves is used by nobody.
  return static_cast<int64_t>(TRY(host::Lseek(fd_->get(), offset, whence)));
}

ErrorOr<void> GoferFile::Sync(bool data_only) {
  int fd = fd_->get();
  ErrorOr<void> result;
  Offload([&] { result = data_only ? host::Fdatasync(fd) : host::Fsync(fd); });
  return result;
}

ErrorOr<void> GoferFile::Allocate(int mode, int64_t offset, int64_t length) {
  int fd = fd_->get();
  ErrorOr<void> result;
  Offload([&] {
    result = host::Fallocate(fd, static_cast<uint32_t>(mode), static_cast<uint64_t>(offset), static_cast<uint64_t>(length));
  });
  inode_->AttributesChanged();
  return result;
}

ErrorOr<HostBacking> GoferFile::Map(uint64_t offset, uint64_t, bool shared_writable) {
  // A mapping gets a descriptor with just its rights, see HostBacking.
  bool read_only = (flags() & abi::kO_ACCMODE) == abi::kO_RDONLY;
  if (shared_writable) {
    if ((flags() & abi::kO_ACCMODE) != abi::kO_RDWR) return kEACCES;
    inode_->AttributesChanged();
    return HostBacking{fd_->get(), offset};
  }
  if (read_only) return HostBacking{fd_->get(), offset};
  {
    MutexLock lock(map_mu_);
    if (map_fd_) return HostBacking{map_fd_->get(), offset};
  }
  Ref<HostFd> fd = TRY(inode_->ReadFd());
  MutexLock lock(map_mu_);
  if (!map_fd_) map_fd_ = std::move(fd);
  return HostBacking{map_fd_->get(), offset};
}

}  // namespace moat
