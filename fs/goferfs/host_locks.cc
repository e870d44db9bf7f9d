#include "fs/goferfs/host_locks.h"

#include "abi/fcntl.h"
#include "base/host/file.h"
#include "fs/goferfs/gofer_file.h"

namespace moat {

namespace {

// All guests' locks of an inode are one open file's on the host: conflicts among guests are FileLocks' business.
class GoferLocks final : public HostLocks {
 public:
  explicit GoferLocks(Ref<HostFd> fd) : fd_(std::move(fd)) {}

  ErrorOr<void> SetRange(FileRange range, Type type) override {
    abi::Flock lock = AsFlock(range, type);
    return host::FcntlLock(fd_->get(), abi::kF_OFD_SETLK, lock);
  }

  ErrorOr<void> SetFlock(Type type) override {
    uint32_t operation = type == Type::kNone ? abi::kLOCK_UN : type == Type::kShared ? abi::kLOCK_SH : abi::kLOCK_EX;
    return host::Flock(fd_->get(), operation | abi::kLOCK_NB);
  }

  std::optional<RecordLock> Test(const RecordLock& wanted) override {
    abi::Flock lock = AsFlock(wanted.range, wanted.exclusive ? Type::kExclusive : Type::kShared);
    if (!host::FcntlLock(fd_->get(), abi::kF_OFD_GETLK, lock).ok() || lock.l_type == abi::kF_UNLCK) return std::nullopt;
    RecordLock found{.exclusive = lock.l_type == abi::kF_WRLCK};
    found.range = MakeFileRange(lock.l_start, lock.l_len).value_or(FileRange{});
    found.pid = lock.l_pid < 0 ? -1 : 0;  // a process of the host has no number here (fcntl(2): 0)
    return found;
  }

 private:
  static abi::Flock AsFlock(FileRange range, Type type) {
    abi::Flock lock{};
    lock.l_type = static_cast<int16_t>(type == Type::kNone     ? abi::kF_UNLCK
                                       : type == Type::kShared ? abi::kF_RDLCK
                                                               : abi::kF_WRLCK);
    lock.l_whence = abi::kSEEK_SET;
    lock.l_start = range.start;
    lock.l_len = range.end == INT64_MAX ? 0 : range.end - range.start + 1;
    return lock;
  }

  const Ref<HostFd> fd_;
};

}  // namespace

ErrorOr<Ref<HostLocks>> GoferFile::LocksOnHost() {
  GoferFs& fs = inode_->gofer_fs();
  if (fs.read_only() || fs.options().cache != GoferCache::kRevalidate || MayHang()) return Ref<HostLocks>();
  if (Ref<HostLocks> present = inode_->locks().host()) return present;
  // Read locks need a descriptor that reads, write locks one that writes. Its locks end when its last duplicate goes, so it is
  // nobody else's.
  ErrorOr<Ref<HostFd>> fd = inode_->OpenHostFd(abi::kO_RDWR);
  if (!fd.ok()) fd = inode_->OpenHostFd(flags() & abi::kO_ACCMODE);
  if (!fd.ok()) return kENOLCK;
  return Ref<HostLocks>(MakeRef<GoferLocks>(std::move(*fd)));
}

ErrorOr<Ref<HostLocks>> LocksOnHost(FileDescription& file) {
  GoferFile* gofer_file = dynamic_cast<GoferFile*>(&file);
  return gofer_file ? gofer_file->LocksOnHost() : Ref<HostLocks>();
}

}  // namespace moat
