// Identity, caching and how an inode is reached. The operations are in gofer_inode_read.cc and gofer_inode_write.cc.
#include "fs/goferfs/gofer_inode.h"

#include <atomic>

#include "abi/stat.h"
#include "base/host/time.h"
#include "fs/goferfs/gofer_call.h"

namespace moat {

namespace {

constexpr int64_t kTimedNs = 1'000'000'000;
// kRevalidate: an answer serves the call that asked for it (a walk looks at it several times), not the next one.
constexpr int64_t kOneCallNs = 100'000;
std::atomic<uint64_t> g_next_serial{1};

}  // namespace

GoferInode::GoferInode(GoferFs& fs, const gofer::WireAttr& attr)
    : Inode(fs, attr.mode & abi::kS_IFMT),
      serial_(g_next_serial.fetch_add(1, std::memory_order_relaxed)),
      host_dev_(attr.dev),
      host_ino_(attr.ino),
      hidden_(attr.flags & gofer::kAttrHidden),
      attr_(attr) {
  attr_time_ns_ = host::NowMonotonicNs();
}

GoferInode::~GoferInode() {
  gofer_fs().Forget(*this);
  gofer_fs().client().CloseHandle(handle_);
}

bool GoferInode::Fresh(int64_t time_ns) const {
  if (time_ns == 0) return false;
  switch (gofer_fs().options().cache) {
    case GoferCache::kExclusive: return true;
    case GoferCache::kTimed: return host::NowMonotonicNs() - time_ns < kTimedNs;
    case GoferCache::kRevalidate: return host::NowMonotonicNs() - time_ns < kOneCallNs;
  }
  return false;
}

// Numbers are reused: the same (dev, ino) with another type or birth is another file.
bool GoferInode::SameFile(const gofer::WireAttr& attr) const {
  if ((attr.mode & abi::kS_IFMT) != type() || hidden_ != static_cast<bool>(attr.flags & gofer::kAttrHidden)) return false;
  MutexLock lock(mu_);
  return attr.btime_sec == attr_.btime_sec && attr.btime_nsec == attr_.btime_nsec;
}

void GoferInode::Update(const gofer::WireAttr& attr) {
  int64_t now = host::NowMonotonicNs();
  MutexLock lock(mu_);
  attr_ = attr;
  attr_time_ns_ = now;
}

void GoferInode::AttributesChanged() {
  MutexLock lock(mu_);
  attr_time_ns_ = 0;
}

void GoferInode::SetPlace(Ref<GoferInode> parent, std::string_view name) {
  int64_t now = host::NowMonotonicNs();
  MutexLock lock(mu_);
  std::swap(parent_, parent);  // the old one goes after the lock
  if (name_ != name) name_ = name;
  unreachable_ = false;
  entry_time_ns_ = now;
}

Ref<GoferInode> GoferInode::parent() const {
  MutexLock lock(mu_);
  return parent_;
}

bool GoferInode::StillValid(std::string_view name) {
  if (hidden_) return true;
  MutexLock lock(mu_);
  return name == name_ && parent_ && Fresh(entry_time_ns_);
}

bool GoferInode::CachesNegative() { return gofer_fs().options().cache == GoferCache::kExclusive; }

Attr GoferInode::ToAttr(const gofer::WireAttr& w) const {
  GoferFs& fs = gofer_fs();
  Attr a;
  a.dev = fs.MapDevice(w.dev);
  a.ino = w.ino;
  a.mode = w.mode;
  a.nlink = w.nlink;
  a.uid = fs.MapId(w.uid);
  a.gid = fs.MapId(w.gid);
  a.rdev = w.rdev;
  a.size = w.size;
  a.blksize = w.blksize;
  a.blocks = w.blocks;
  a.atime = {w.atime_sec, w.atime_nsec};
  a.mtime = {w.mtime_sec, w.mtime_nsec};
  a.ctime = {w.ctime_sec, w.ctime_nsec};
  a.btime = {w.btime_sec, w.btime_nsec};
  return a;
}

void GoferInode::AdoptHandle(Handle handle) {
  if (handle == 0) return;
  bool is_root;
  Handle surplus;
  {
    MutexLock lock(mu_);
    is_root = !parent_;
    surplus = std::exchange(handle_, handle);
  }
  gofer_fs().client().CloseHandle(surplus);
  // The root's could not be renewed, a deleted file's neither.
  if (is_dir() && !is_root) gofer_fs().NoteHandle(*this);
}

void GoferInode::DropHandle() {
  Handle dropped;
  {
    MutexLock lock(mu_);
    if (!parent_) return;
    dropped = std::exchange(handle_, 0);
  }
  gofer_fs().client().CloseHandle(dropped);
}

void GoferInode::RenewHandle(Handle stale) {
  MutexLock lock(mu_);
  if (handle_ == stale) handle_ = 0;
}

// The handle of this directory, got from its parent's if need be. Recursion: one level per directory up to the first with
// a handle, as deep as a path.
ErrorOr<gofer::Handle> GoferInode::EnsureHandle() {
  if (hidden_) return kEACCES;
  Ref<GoferInode> parent;
  std::string name;
  {
    MutexLock lock(mu_);
    if (handle_ != 0) return handle_;
    if (!parent_ || unreachable_) return kESTALE;
    parent = parent_;
    name = name_;
  }
  std::string_view one[] = {name};
  for (int i = 0; i < 2; ++i) {
    auto walked = TRY(parent->WalkTrip(one));
    if (walked.found.empty() || walked.found[0] != this) return kESTALE;
    {
      MutexLock lock(mu_);
      if (handle_ != 0) return handle_;
    }
    // The gofer holds its limit for us, perhaps with what we are done with.
    TRY(gofer_fs().client().AwaitCloses());
  }
  return kENFILE;
}

// By name also for a directory without a handle: getting one would be a trip more.
ErrorOr<GoferInode::Address> GoferInode::FindAddress() {
  Address a;
  if (is_dir() && hidden_) return kEACCES;
  {
    MutexLock lock(mu_);
    if (handle_ != 0) {
      a.target.handle = handle_;
      a.owner = Ref<GoferInode>(this);
      return a;
    }
    if (!parent_ || unreachable_) return kESTALE;
    a.owner = parent_;
    a.name = name_;
  }
  a.target.handle = TRY(a.owner->EnsureHandle());
  a.target.dev = host_dev_;
  a.target.ino = host_ino_;
  return a;
}

void GoferInode::DropCachedFd() {
  Ref<HostFd> dropped;
  MutexLock lock(mu_);
  std::swap(dropped, read_fd_);
}

void GoferInode::CacheReadFd(UniqueFd fd) {
  auto made = MakeRef<HostFd>(std::move(fd));
  {
    MutexLock lock(mu_);
    if (read_fd_) return;  // the new one is closed
    read_fd_ = std::move(made);
  }
  gofer_fs().NoteCachedFd(*this);
}

void GoferInode::AddOpenFd(HostFd& fd) {
  MutexLock lock(mu_);
  open_fds_.push_back(&fd);
}

void GoferInode::RemoveOpenFd(HostFd& fd) {
  MutexLock lock(mu_);
  for (size_t i = 0; i < open_fds_.size(); ++i) {
    if (open_fds_[i] != &fd) continue;
    open_fds_[i] = open_fds_.back();
    open_fds_.pop_back();
    return;
  }
}

Ref<HostFd> GoferInode::AnyFd() {
  MutexLock lock(mu_);
  if (read_fd_) return read_fd_;
  return open_fds_.empty() ? Ref<HostFd>() : Ref<HostFd>(open_fds_.front());
}

bool GoferInode::MustKeep() {
  MutexLock lock(mu_);
  return handle_ == 0 && (!open_fds_.empty() || attr_.nlink > 1);
}

}  // namespace moat
