#include "fs/tmpfs/file.h"

#include <algorithm>

#include "abi/fcntl.h"
#include "abi/stat.h"
#include "fs/tmpfs/memfd.h"
#include "fs/vfs/nested_lock.h"

namespace moat {

namespace {

constexpr uint64_t kMaxSize = INT64_MAX;
constexpr uint64_t kBlocksPerPage = 8;

class TmpfsOpenFile final : public FileDescription {
 public:
  TmpfsOpenFile(const Path& path, uint32_t flags) : FileDescription(path, flags) {}

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags) override { return file().Read(dst, offset); }
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags io) override {
    return file().Write(src, offset, io.append || (flags() & abi::kO_APPEND));
  }
  ErrorOr<int64_t> SeekFrom(int64_t offset, int whence) override {
    if (whence == abi::kSEEK_DATA || whence == abi::kSEEK_HOLE) return file().Seek(offset, whence);
    return FileDescription::SeekFrom(offset, whence);
  }
  ErrorOr<void> Sync(bool) override { return {}; }
  ErrorOr<void> Allocate(int mode, int64_t offset, int64_t length) override {
    return file().Allocate(static_cast<uint32_t>(mode), static_cast<uint64_t>(offset), static_cast<uint64_t>(length));
  }
  ErrorOr<HostBacking> Map(uint64_t offset, uint64_t, bool shared_writable) override {
    return file().Map(offset, shared_writable);
  }
  ErrorOr<uint64_t> Fcntl(int command, uint64_t arg) override {
    if (command == abi::kF_GET_SEALS) return uint64_t{TRY(GetSeals(*this))};
    if (command != abi::kF_ADD_SEALS || arg > UINT32_MAX) return kEINVAL;
    TRY(AddSeals(*this, static_cast<uint32_t>(arg)));
    return uint64_t{0};
  }

 private:
  TmpfsFile& file() { return static_cast<TmpfsFile&>(inode()); }
};

}  // namespace

TmpfsFile::TmpfsFile(Tmpfs& fs, uint64_t ino, const NewInode& made)
    : TmpfsInode(fs, abi::kS_IFREG, ino, made), store_(fs.limit_ref()), seals_(abi::kF_SEAL_SEAL) {}

ErrorOr<void> TmpfsFile::SetAttributes(const SetAttr& set) {
  if ((set.mask & SetAttr::kMode) && (seals() & abi::kF_SEAL_EXEC)) {
    MutexLock lock(mu_);
    if ((attr_.mode ^ set.mode) & abi::kS_IXUGO) return kEPERM;
  }
  return TmpfsInode::SetAttributes(set);
}

ErrorOr<Ref<FileDescription>> TmpfsFile::Open(const Path& path, uint32_t flags) {
  return Ref<FileDescription>(MakeRef<TmpfsOpenFile>(path, flags));
}

uint64_t TmpfsFile::Size() const {
  MutexLock lock(mu_);
  return attr_.size;
}

void TmpfsFile::SetSizeAttr(uint64_t size) {
  MutexLock lock(mu_);
  attr_.size = size;
}

void TmpfsFile::Refresh() {
  uint64_t pages = store_.CountPages();
  MutexLock lock(mu_);
  attr_.blocks = pages * kBlocksPerPage;
}

ErrorOr<size_t> TmpfsFile::Read(IoSink& dst, int64_t* offset) {
  uint64_t size = Size(), at = static_cast<uint64_t>(*offset);
  if (at >= size || dst.remaining() == 0) return size_t{0};
  size_t n = static_cast<size_t>(std::min<uint64_t>(dst.remaining(), size - at));
  size_t done = TRY(store_.Read(dst, at, n));
  *offset += static_cast<int64_t>(done);
  return done;
}

ErrorOr<void> TmpfsFile::CheckSealsForWrite(uint64_t end) const {
  uint32_t s = seals();
  if (s & (abi::kF_SEAL_WRITE | abi::kF_SEAL_FUTURE_WRITE)) return kEPERM;
  if ((s & abi::kF_SEAL_GROW) && end > Size()) return kEPERM;
  return {};
}

ErrorOr<size_t> TmpfsFile::Write(IoSource& src, int64_t* offset, bool append) {
  if (src.remaining() == 0) return size_t{0};
  NestedTaskLock lock(this->lock());
  uint64_t size = Size();
  uint64_t at = append ? size : static_cast<uint64_t>(*offset);
  if (src.remaining() > kMaxSize - at) return kEFBIG;
  TRY(CheckSealsForWrite(at + src.remaining()));
  size_t done = TRY(store_.Write(src, at, size));
  if (at + done > size) SetSizeAttr(at + done);
  *offset = static_cast<int64_t>(at + done);
  if (done) TouchModified();
  return done;
}

ErrorOr<void> TmpfsFile::SetSize(uint64_t size) {
  if (size > kMaxSize) return kEFBIG;
  uint64_t old = Size();
  if (size < old && (seals() & abi::kF_SEAL_SHRINK)) return kEPERM;
  if (size > old && (seals() & abi::kF_SEAL_GROW)) return kEPERM;
  TRY(store_.Resize(old, size));
  SetSizeAttr(size);
  return {};
}

ErrorOr<int64_t> TmpfsFile::Seek(int64_t offset, int whence) {
  if (offset < 0) return kENXIO;
  NestedTaskLock lock(this->lock());
  uint64_t at = static_cast<uint64_t>(offset);
  uint64_t to = TRY(whence == abi::kSEEK_DATA ? store_.SeekData(at, Size()) : store_.SeekHole(at, Size()));
  return static_cast<int64_t>(to);
}

ErrorOr<void> TmpfsFile::Allocate(uint32_t mode, uint64_t offset, uint64_t length) {
  constexpr uint32_t kPunch = abi::kFALLOC_FL_PUNCH_HOLE | abi::kFALLOC_FL_KEEP_SIZE;
  constexpr uint32_t kKnown = kPunch | abi::kFALLOC_FL_ZERO_RANGE;
  if (mode & ~kKnown) return kEOPNOTSUPP;
  if (length > kMaxSize - offset) return kEFBIG;
  NestedTaskLock lock(this->lock());
  uint64_t size = Size(), end = offset + length;
  if (mode & abi::kFALLOC_FL_PUNCH_HOLE) {
    if (mode != kPunch) return kEOPNOTSUPP;
    if (seals() & (abi::kF_SEAL_WRITE | abi::kF_SEAL_FUTURE_WRITE)) return kEPERM;
    TRY(store_.Punch(offset, end));
    TouchModified();
    return {};
  }
  bool grows = !(mode & abi::kFALLOC_FL_KEEP_SIZE) && end > size;
  if (grows && (seals() & abi::kF_SEAL_GROW)) return kEPERM;
  if (mode & abi::kFALLOC_FL_ZERO_RANGE) {
    if (seals() & (abi::kF_SEAL_WRITE | abi::kF_SEAL_FUTURE_WRITE)) return kEPERM;
    TRY(store_.Punch(offset, std::min(end, std::max(offset, size))));
  }
  TRY(store_.Allocate(offset, end, size));
  if (grows) {
    TRY(store_.Resize(size, end));
    SetSizeAttr(end);
  }
  TouchModified();
  return {};
}

ErrorOr<HostBacking> TmpfsFile::Map(uint64_t offset, bool shared_writable) {
  if (shared_writable && (seals() & (abi::kF_SEAL_WRITE | abi::kF_SEAL_FUTURE_WRITE))) return kEPERM;
  int fd = TRY(store_.ToMemfd(Size()));
  return HostBacking{fd, offset};
}

ErrorOr<void> TmpfsFile::AddSeals(uint32_t seals) {
  constexpr uint32_t kKnown = abi::kF_SEAL_SEAL | abi::kF_SEAL_SHRINK | abi::kF_SEAL_GROW | abi::kF_SEAL_WRITE |
                              abi::kF_SEAL_FUTURE_WRITE | abi::kF_SEAL_EXEC;
  if (seals & ~kKnown) return kEINVAL;
  NestedTaskLock lock(this->lock());
  uint32_t old = seals_.load(std::memory_order_relaxed);
  if (old & abi::kF_SEAL_SEAL) return kEPERM;
  if ((seals & abi::kF_SEAL_WRITE) && !(old & abi::kF_SEAL_WRITE) && writable_mappings() > 0) return kEBUSY;
  seals_.store(old | seals, std::memory_order_relaxed);
  return {};
}

ErrorOr<void> TmpfsFile::MakeMappable(uint64_t size) {
  NestedTaskLock lock(this->lock());
  TRY(store_.ToMemfd(size));
  SetSizeAttr(size);
  return {};
}

}  // namespace moat
