// Finding names in the layers.
#include <cstring>

#include "abi/stat.h"
#include "fs/overlay/inode.h"

namespace moat {

namespace {

bool IsOpaque(Inode& dir) {
  ErrorOr<std::string> value = dir.GetXattr(kOpaqueXattr);
  return value.ok() && *value == "y";
}

bool SameFile(Inode& a, Inode& b) {
  if (&a == &b) return true;
  if (a.type() != b.type()) return false;
  ErrorOr<Attr> x = a.GetAttr(), y = b.GetAttr();
  return x.ok() && y.ok() && x->ino == y->ino && x->dev == y->dev;
}

}  // namespace

bool IsWhiteout(Inode& inode) {
  if (inode.type() != abi::kS_IFCHR) return false;
  ErrorOr<Attr> attr = inode.GetAttr();
  return attr.ok() && attr->rdev == 0;
}

uint64_t OverlayInode::OriginOf(Inode& upper) const {
  ErrorOr<std::string> value = upper.GetXattr(kOriginXattr);
  uint64_t ino = 0;
  if (value.ok() && value->size() == sizeof ino) memcpy(&ino, value->data(), sizeof ino);
  return ino;
}

Ref<OverlayInode> OverlayInode::FindChild(std::string_view name) {
  MutexLock lock(mu_);
  auto it = children_.find(std::string(name));
  if (it == children_.end() || !it->second->TryAddRef()) return nullptr;
  return Ref<OverlayInode>(it->second, AdoptRef{});
}

void OverlayInode::Adopt(std::string_view name, OverlayInode& child) {
  MutexLock lock(mu_);
  children_[std::string(name)] = &child;
}

// The shares of the lower layers in `name`: directories down to the first non-directory, or one non-directory.
ErrorOr<std::vector<OverlayInode::Lower>> OverlayInode::LookupLower(std::string_view name, bool dirs_only) {
  std::vector<Lower> found;
  for (size_t i = 0; i < lower_.size(); ++i) {
    const Lower& dir = lower_[i];
    ErrorOr<Ref<Inode>> inode = dir.inode->Lookup(name);
    if (inode.error() == kENOENT) continue;
    if (!inode.ok()) return inode.error();
    if (IsWhiteout(**inode)) break;
    if (!(*inode)->is_dir()) {
      if (found.empty() && !dirs_only) found.push_back({std::move(*inode), dir.layer});
      break;
    }
    found.push_back({std::move(*inode), dir.layer});
    if (i + 1 < lower_.size() && IsOpaque(*found.back().inode)) break;
  }
  return found;
}

ErrorOr<bool> OverlayInode::LowerHas(std::string_view name) {
  for (const Lower& dir : lower_) {
    ErrorOr<Ref<Inode>> inode = dir.inode->Lookup(name);
    if (inode.ok()) return !IsWhiteout(**inode);
    if (inode.error() != kENOENT) return inode.error();
  }
  return false;
}

// The overlay's inode for what the upper layer has.
ErrorOr<Ref<OverlayInode>> OverlayInode::FromUpper(std::string_view name, Ref<Inode> found, std::vector<Lower> lower) {
  if (Ref<OverlayInode> known = overlay().FindByUpper(*found)) return known;
  uint64_t ino = lower.empty() ? OriginOf(*found) : 0;
  if (!lower.empty()) ino = overlay().MapIno(lower[0].layer, TRY(lower[0].inode->GetAttr()).ino);
  uint32_t type = found->type();
  Ref<OverlayInode> child = MakeRef<OverlayInode>(overlay(), type, Ref<OverlayInode>(this), std::string(name),
                                                  std::move(found), std::move(lower));
  child->ino_.store(ino, std::memory_order_relaxed);
  Adopt(name, *child);
  return child;
}

ErrorOr<Ref<Inode>> OverlayInode::Lookup(std::string_view name) {
  if (!is_dir()) return kENOTDIR;
  if (Ref<Inode> dir = upper()) {
    ErrorOr<Ref<Inode>> found = dir->Lookup(name);
    if (found.ok()) {
      if (IsWhiteout(**found)) return kENOENT;
      std::vector<Lower> lower;
      if ((*found)->is_dir() && !lower_.empty() && !IsOpaque(**found)) lower = TRY(LookupLower(name, true));
      return Ref<Inode>(TRY(FromUpper(name, std::move(*found), std::move(lower))));
    }
    if (found.error() != kENOENT) return found.error();
  }
  std::vector<Lower> lower = TRY(LookupLower(name, false));
  if (lower.empty()) return kENOENT;
  Ref<OverlayInode> known = FindChild(name);
  if (known && !known->lower_.empty() && SameFile(*known->lower_[0].inode, *lower[0].inode)) return Ref<Inode>(known);
  uint32_t type = lower[0].inode->type();
  Ref<OverlayInode> child = MakeRef<OverlayInode>(overlay(), type, Ref<OverlayInode>(this), std::string(name), nullptr,
                                                  std::move(lower));
  Adopt(name, *child);
  return Ref<Inode>(std::move(child));
}

// Hands the names on to the lower layers, up to where the upper one decides alone.
void OverlayInode::WalkAhead(const std::vector<std::string_view>& names) {
  std::vector<std::string_view> open;
  Ref<Inode> dir = upper();
  for (std::string_view name : names) {
    if (dir) {
      ErrorOr<Ref<Inode>> found = dir->Lookup(name);
      if (found.ok() && (!(*found)->is_dir() || IsOpaque(**found))) break;
      dir = found.ok() ? std::move(*found) : Ref<Inode>();
    }
    open.push_back(name);
  }
  if (open.empty()) return;
  for (const Lower& lower : lower_) lower.inode->WalkAhead(open);
}

bool OverlayInode::StillValid(std::string_view name) {
  if (upper() || lower_.empty()) return true;
  return lower_[0].inode->StillValid(name);
}

bool OverlayInode::CachesNegative() {
  for (const Lower& lower : lower_) {
    if (!lower.inode->CachesNegative()) return false;
  }
  return true;
}

}  // namespace moat
