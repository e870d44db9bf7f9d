// Copying a lower file into the upper layer.
#include <memory>

#include "abi/fcntl.h"
#include "abi/stat.h"
#include "fs/overlay/inode.h"
#include "fs/vfs/nested_lock.h"

namespace moat {

namespace {

constexpr size_t kCopyChunk = 256 * 1024;

// The real inode as an open file of nobody's.
ErrorOr<Ref<FileDescription>> OpenReal(Inode& inode, uint32_t flags) {
  return inode.Open(Path{nullptr, Dentry::MakeAnonymous(Ref<Inode>(&inode), "overlay")}, flags);
}

bool AllZero(std::span<const std::byte> data) {
  for (std::byte b : data) {
    if (b != std::byte{0}) return false;
  }
  return true;
}

ErrorOr<void> CopyContent(Inode& from, Inode& to, uint64_t size) {
  Ref<FileDescription> in = TRY(OpenReal(from, abi::kO_RDONLY | abi::kO_LARGEFILE));
  Ref<FileDescription> out = TRY(OpenReal(to, abi::kO_WRONLY | abi::kO_LARGEFILE));
  size_t chunk = static_cast<size_t>(std::min<uint64_t>(kCopyChunk, std::max<uint64_t>(size, 1)));
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(chunk);
  int64_t position = 0;
  for (;;) {
    BufferSink sink({buffer.get(), chunk});
    int64_t at = position;
    size_t n = TRY(in->TryRead(sink, &position, {}));
    if (n == 0) break;
    std::span<const std::byte> data{buffer.get(), n};
    if (AllZero(data)) continue;  // holes stay holes
    BufferSource source(data);
    while (source.remaining() > 0) TRY(out->TryWrite(source, &at, {}));
  }
  SetAttr set;
  set.mask = SetAttr::kSize;
  set.size = static_cast<uint64_t>(position);
  return to.SetAttributes(set);
}

ErrorOr<void> CopyXattrs(Inode& from, Inode& to) {
  ErrorOr<std::string> list = from.ListXattr();
  if (!list.ok()) return {};  // the layer has none
  for (size_t at = 0; at < list->size();) {
    size_t end = std::min(list->find('\0', at), list->size());
    std::string_view name = std::string_view(*list).substr(at, end - at);
    at = end + 1;
    if (name.starts_with(kOverlayPrefix)) continue;
    ErrorOr<std::string> value = from.GetXattr(name);
    if (value.ok()) TRY(to.SetXattr(name, *value, 0));
  }
  return {};
}

ErrorOr<void> SetTimes(Inode& inode, const Attr& attr) {
  SetAttr set;
  set.mask = SetAttr::kAtime | SetAttr::kMtime;
  set.atime = attr.atime;
  set.mtime = attr.mtime;
  return inode.SetAttributes(set);
}

}  // namespace

ErrorOr<Ref<Inode>> OverlayInode::CopyUp(bool with_content) {
  if (Ref<Inode> up = upper()) return up;
  if (!overlay().upper_) return kEROFS;
  NestedTaskLock lock(overlay().copy_up_lock_);  // inside the inode locks of the vfs
  return CopyUpLocked(with_content);
}

// Copies the missing ancestors first, topmost first. A loop, since the path can be long.
ErrorOr<Ref<Inode>> OverlayInode::CopyUpLocked(bool with_content) {
  for (;;) {
    if (Ref<Inode> up = upper()) return up;
    Ref<OverlayInode> target(this), dir;
    std::string name;
    bool linked;
    for (;;) {
      {
        MutexLock lock(target->mu_);
        dir = target->parent_;
        name = target->name_;
        linked = target->linked_;
      }
      if (!linked || !dir || dir->upper()) break;
      target = dir;
    }
    Inode& lower = *target->lower_[0].inode;
    Attr attr = TRY(lower.GetAttr());
    bool named = linked && dir;
    if (!named && !target->is_regular()) return kENOENT;  // removed: there is no place for a copy
    Ref<Inode> upper_dir = named ? dir->upper() : Ref<Inode>(overlay().upper_->root()->inode());
    Attr dir_attr = TRY(upper_dir->GetAttr());
    Ref<Inode> made = TRY(target->MakeUpper(*upper_dir, named ? std::string_view(name) : std::string_view(), attr,
                                            with_content || target != this));
    if (named) TRY(SetTimes(*upper_dir, dir_attr));
    overlay().SetByUpper(*made, *target);
    target->ino_.store(overlay().MapIno(target->lower_[0].layer, attr.ino), std::memory_order_relaxed);
    MutexLock lock(target->mu_);
    target->upper_ = std::move(made);
  }
}

// `name` empty: a file without one.
ErrorOr<Ref<Inode>> OverlayInode::MakeUpper(Inode& dir, std::string_view name, const Attr& attr, bool with_content) {
  Inode& lower = *lower_[0].inode;
  NewInode attributes{attr.mode & abi::kS_IALLUGO, attr.uid, attr.gid};
  Ref<Inode> made;
  switch (type()) {
    case abi::kS_IFREG:
      made = TRY(dir.CreateUnnamed(attributes));
      if (with_content) TRY(CopyContent(lower, *made, attr.size));
      break;
    case abi::kS_IFDIR: made = TRY(dir.Mkdir(name, attributes)); break;
    case abi::kS_IFLNK: made = TRY(dir.Symlink(name, TRY(lower.ReadLink()), attributes)); break;
    default: made = TRY(dir.Mknod(name, type(), attr.rdev, attributes)); break;
  }
  TRY(CopyXattrs(lower, *made));
  uint64_t origin = overlay().MapIno(lower_[0].layer, attr.ino);
  TRY(made->SetXattr(kOriginXattr, {reinterpret_cast<const char*>(&origin), sizeof origin}, 0));
  TRY(SetTimes(*made, attr));
  if (is_regular() && !name.empty()) TRY(dir.Link(name, *made));
  return made;
}

}  // namespace moat
