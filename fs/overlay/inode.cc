#include "fs/overlay/inode.h"

#include "abi/stat.h"

namespace moat {

OverlayInode::OverlayInode(Overlay& fs, uint32_t type, Ref<OverlayInode> parent, std::string name, Ref<Inode> upper,
                           std::vector<Lower> lower)
    : Inode(fs, type), lower_(std::move(lower)) {
  MutexLock lock(mu_);
  parent_ = std::move(parent);
  name_ = std::move(name);
  upper_ = std::move(upper);
  if (upper_) fs.SetByUpper(*upper_, *this);
}

// For destructors: nobody else can reach `this`.
OverlayInode* OverlayInode::LeaveParent() MOAT_NO_THREAD_SAFETY_ANALYSIS {
  OverlayInode* parent = parent_.Leak();
  if (!parent) return nullptr;
  MutexLock lock(parent->mu_);
  auto it = parent->children_.find(name_);
  if (it != parent->children_.end() && it->second == this) parent->children_.erase(it);
  return parent;
}

OverlayInode::~OverlayInode() MOAT_NO_THREAD_SAFETY_ANALYSIS {
  if (upper_) overlay().ForgetUpper(*upper_, *this);
  OverlayInode* parent = LeaveParent();
  while (parent && parent->DropRef()) {  // a long chain comes apart in a loop
    OverlayInode* next = parent->LeaveParent();
    delete parent;
    parent = next;
  }
}

Ref<Inode> OverlayInode::upper() const {
  MutexLock lock(mu_);
  return upper_;
}

Ref<Inode> OverlayInode::real() const {
  MutexLock lock(mu_);
  return upper_ ? upper_ : lower_[0].inode;
}

ErrorOr<Attr> OverlayInode::GetAttr() {
  Ref<Inode> up = upper();
  Inode& source = up ? *up : *lower_[0].inode;
  Attr attr = TRY(source.GetAttr());
  uint64_t ino = ino_.load(std::memory_order_relaxed);
  size_t layer = up ? overlay().upper_layer() : lower_[0].layer;
  attr.ino = ino ? ino : overlay().MapIno(layer, attr.ino);
  attr.dev = overlay().dev();
  if (is_dir() && lower_.size() + (up ? 1 : 0) > 1) attr.nlink = 1;  // of a merged directory nobody knows
  return attr;
}

ErrorOr<void> OverlayInode::SetAttributes(const SetAttr& set) {
  if (set.mask == SetAttr::kAtime && !upper()) return {};  // reading is no reason for a copy
  bool emptied = (set.mask & SetAttr::kSize) && set.size == 0;
  return TRY(CopyUp(!emptied))->SetAttributes(set);
}

ErrorOr<void> OverlayInode::CheckAccess(const Credentials& creds, int may) { return real()->CheckAccess(creds, may); }

bool OverlayInode::KeepsAtime() {
  Ref<Inode> up = upper();
  return up && up->KeepsAtime();
}

ErrorOr<std::string> OverlayInode::ReadLink() { return real()->ReadLink(); }

ErrorOr<std::string> OverlayInode::GetXattr(std::string_view name) {
  if (name.starts_with(kOverlayPrefix)) return kEOPNOTSUPP;
  return real()->GetXattr(name);
}

ErrorOr<void> OverlayInode::SetXattr(std::string_view name, std::string_view value, int flags) {
  if (name.starts_with(kOverlayPrefix)) return kEOPNOTSUPP;
  return TRY(CopyUp())->SetXattr(name, value, flags);
}

ErrorOr<void> OverlayInode::RemoveXattr(std::string_view name) {
  if (name.starts_with(kOverlayPrefix)) return kEOPNOTSUPP;
  if (!upper()) {
    ErrorOr<std::string> present = real()->GetXattr(name);  // nothing to remove is no reason for a copy
    if (!present.ok()) return present.error();
  }
  return TRY(CopyUp())->RemoveXattr(name);
}

ErrorOr<std::string> OverlayInode::ListXattr() {
  std::string all = TRY(real()->ListXattr()), shown;
  for (size_t at = 0; at < all.size();) {
    size_t end = std::min(all.find('\0', at), all.size());
    std::string_view name = std::string_view(all).substr(at, end - at);
    if (!name.starts_with(kOverlayPrefix)) shown.append(name).push_back('\0');
    at = end + 1;
  }
  return shown;
}

}  // namespace moat
