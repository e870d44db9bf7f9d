#include "fs/tmpfs/inode.h"

#include "abi/stat.h"
#include "abi/xattr.h"
#include "base/kern/held.h"
#include "fs/vfs/vfs.h"

namespace moat {

TmpfsInode::TmpfsInode(Tmpfs& fs, uint32_t type, uint64_t ino, const NewInode& made, uint64_t rdev)
    : Inode(fs, type), ino_(ino) {
  MutexLock lock(mu_);
  attr_.dev = fs.dev();
  attr_.ino = ino;
  attr_.mode = type | (made.mode & abi::kS_IALLUGO);
  attr_.uid = made.uid;
  attr_.gid = made.gid;
  attr_.rdev = rdev;
  attr_.atime = attr_.mtime = attr_.ctime = attr_.btime = vfs::CurrentTime();
}

TmpfsInode::~TmpfsInode() {
  {
    MutexLock lock(mu_);
    if (xattrs_) HeldMemory::Give(xattrs_->bytes);
  }
  tmpfs().DropInode();
}

ErrorOr<Attr> TmpfsInode::GetAttr() {
  Refresh();
  MutexLock lock(mu_);
  return attr_;
}

ErrorOr<void> TmpfsInode::SetAttributes(const SetAttr& set) {
  if (set.mask & SetAttr::kSize) TRY(SetSize(set.size));
  MutexLock lock(mu_);
  if (set.mask & SetAttr::kMode) attr_.mode = type() | (set.mode & abi::kS_IALLUGO);
  if (set.mask & SetAttr::kUid) attr_.uid = set.uid;
  if (set.mask & SetAttr::kGid) attr_.gid = set.gid;
  TimeSpec now = set.mask & (SetAttr::kSize | SetAttr::kCtime) ? vfs::CurrentTime() : TimeSpec{};
  if (set.mask & SetAttr::kSize) attr_.mtime = now;
  if (set.mask & SetAttr::kAtime) attr_.atime = set.atime;
  if (set.mask & SetAttr::kMtime) attr_.mtime = set.mtime;
  if (set.mask & SetAttr::kCtime) attr_.ctime = now;
  return {};
}

void TmpfsInode::AddLinks(int n) {
  MutexLock lock(mu_);
  attr_.nlink += static_cast<uint32_t>(n);
  attr_.ctime = vfs::CurrentTime();
}

void TmpfsInode::TouchModified() {
  MutexLock lock(mu_);
  attr_.mtime = attr_.ctime = vfs::CurrentTime();
}

void TmpfsInode::TouchChanged() {
  MutexLock lock(mu_);
  attr_.ctime = vfs::CurrentTime();
}

ErrorOr<std::string> TmpfsInode::GetXattr(std::string_view name) {
  MutexLock lock(mu_);
  if (!xattrs_) return kENODATA;
  auto it = xattrs_->values.find(name);
  if (it == xattrs_->values.end()) return kENODATA;
  return it->second;
}

ErrorOr<void> TmpfsInode::SetXattr(std::string_view name, std::string_view value, int flags) {
  MutexLock lock(mu_);
  if (!xattrs_) xattrs_ = std::make_unique<Xattrs>();
  auto it = xattrs_->values.find(name);
  bool present = it != xattrs_->values.end();
  if (present && (flags & abi::kXATTR_CREATE)) return kEEXIST;
  if (!present && (flags & abi::kXATTR_REPLACE)) return kENODATA;
  size_t bytes = xattrs_->bytes + value.size() + (present ? 0 : name.size()) - (present ? it->second.size() : 0);
  if (bytes > kMaxXattrBytes || (bytes > xattrs_->bytes && HeldMemory::full())) return kENOSPC;
  HeldMemory::TakeAlways(bytes);
  HeldMemory::Give(xattrs_->bytes);
  xattrs_->values.insert_or_assign(std::string(name), std::string(value));
  xattrs_->bytes = bytes;
  attr_.ctime = vfs::CurrentTime();
  if (name == abi::kXATTR_NAME_POSIX_ACL_ACCESS) has_acl_.store(true, std::memory_order_relaxed);
  return {};
}

ErrorOr<void> TmpfsInode::RemoveXattr(std::string_view name) {
  MutexLock lock(mu_);
  if (!xattrs_) return kENODATA;
  auto it = xattrs_->values.find(name);
  if (it == xattrs_->values.end()) return kENODATA;
  const size_t freed = it->first.size() + it->second.size();
  xattrs_->bytes -= freed;
  HeldMemory::Give(freed);
  xattrs_->values.erase(it);
  attr_.ctime = vfs::CurrentTime();
  if (name == abi::kXATTR_NAME_POSIX_ACL_ACCESS) has_acl_.store(false, std::memory_order_relaxed);
  return {};
}

ErrorOr<std::string> TmpfsInode::ListXattr() {
  MutexLock lock(mu_);
  std::string out;
  if (!xattrs_) return out;
  for (auto& [name, value] : xattrs_->values) out.append(name).push_back('\0');
  return out;
}

TmpfsSpecial::TmpfsSpecial(Tmpfs& fs, uint32_t type, uint64_t ino, const NewInode& made, uint64_t rdev, std::string target)
    : TmpfsInode(fs, type, ino, made, rdev), target_(std::move(target)) {
  MutexLock lock(mu_);
  attr_.size = target_.size();
}

ErrorOr<std::string> TmpfsSpecial::ReadLink() {
  if (!is_symlink()) return kEINVAL;
  return target_;
}

}  // namespace moat
