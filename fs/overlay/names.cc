// Making and removing names in the upper layer, with whiteouts for what lies below.
#include "abi/dirent.h"
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "fs/overlay/inode.h"

namespace moat {

namespace {

ErrorOr<void> MakeWhiteout(Inode& dir, std::string_view name) {
  TRY(dir.Mknod(name, abi::kS_IFCHR, 0, {0, 0, 0}));
  return {};
}

}  // namespace

ErrorOr<bool> OverlayInode::RemoveWhiteout(Inode& upper_dir, std::string_view name) {
  ErrorOr<Ref<Inode>> found = upper_dir.Lookup(name);
  if (found.error() == kENOENT) return false;
  if (!found.ok()) return found.error();
  if (!IsWhiteout(**found)) return false;
  TRY(upper_dir.Unlink(name, **found));
  return true;
}

ErrorOr<void> OverlayInode::WhiteoutIfLower(Inode& upper_dir, std::string_view name) {
  if (TRY(LowerHas(name))) TRY(MakeWhiteout(upper_dir, name));
  return {};
}

// An upper directory that looks empty may hold whiteouts.
ErrorOr<void> OverlayInode::ClearWhiteouts(Inode& upper_dir) {
  struct Names final : DirSink {
    std::vector<std::string> names;
    bool Entry(std::string_view name, uint64_t, uint8_t type, int64_t) override {
      if (type == abi::kDT_CHR) names.emplace_back(name);
      return true;
    }
  } sink;
  Path path{nullptr, Dentry::MakeAnonymous(Ref<Inode>(&upper_dir), "overlay")};
  Ref<FileDescription> dir = TRY(upper_dir.Open(path, abi::kO_RDONLY | abi::kO_DIRECTORY));
  int64_t position = 0;
  TRY(dir->ReadDir(sink, &position));
  for (const std::string& name : sink.names) TRY(RemoveWhiteout(upper_dir, name));
  return {};
}

// make(upper directory) makes the upper inode.
template <class Make>
ErrorOr<Ref<Inode>> OverlayInode::MakeChild(std::string_view name, Make make) {
  Ref<Inode> dir = TRY(CopyUp());
  bool covers = TRY(RemoveWhiteout(*dir, name));
  ErrorOr<Ref<Inode>> made = make(*dir);
  if (!made.ok()) {
    if (covers) TRY(MakeWhiteout(*dir, name));
    return made;
  }
  // A new directory must not show what a removed one had.
  if ((*made)->is_dir() && covers) TRY((*made)->SetXattr(kOpaqueXattr, "y", 0));
  return Ref<Inode>(TRY(FromUpper(name, std::move(*made), {})));
}

ErrorOr<Ref<Inode>> OverlayInode::Create(std::string_view name, const NewInode& made) {
  return MakeChild(name, [&](Inode& dir) { return dir.Create(name, made); });
}

ErrorOr<Ref<Inode>> OverlayInode::Mkdir(std::string_view name, const NewInode& made) {
  return MakeChild(name, [&](Inode& dir) { return dir.Mkdir(name, made); });
}

ErrorOr<Ref<Inode>> OverlayInode::Mknod(std::string_view name, uint32_t type, uint64_t rdev, const NewInode& made) {
  if (type == abi::kS_IFCHR && rdev == 0) return kEPERM;  // would be a whiteout
  return MakeChild(name, [&](Inode& dir) { return dir.Mknod(name, type, rdev, made); });
}

ErrorOr<Ref<Inode>> OverlayInode::Symlink(std::string_view name, std::string_view target, const NewInode& made) {
  return MakeChild(name, [&](Inode& dir) { return dir.Symlink(name, target, made); });
}

ErrorOr<Ref<Inode>> OverlayInode::CreateUnnamed(const NewInode& made) {
  Ref<Inode> upper = TRY(TRY(CopyUp())->CreateUnnamed(made));
  Ref<OverlayInode> inode =
      MakeRef<OverlayInode>(overlay(), abi::kS_IFREG, nullptr, std::string(), std::move(upper), std::vector<Lower>());
  return Ref<Inode>(std::move(inode));
}

ErrorOr<void> OverlayInode::Link(std::string_view name, Inode& target) {
  Ref<Inode> source = TRY(AsOverlay(target).CopyUp());
  Ref<Inode> dir = TRY(CopyUp());
  bool covers = TRY(RemoveWhiteout(*dir, name));
  ErrorOr<void> linked = dir->Link(name, *source);
  if (!linked.ok() && covers) TRY(MakeWhiteout(*dir, name));
  return linked;
}

ErrorOr<void> OverlayInode::Unlink(std::string_view name, Inode& victim_) {
  OverlayInode& victim = AsOverlay(victim_);
  Ref<Inode> dir = TRY(CopyUp());
  if (Ref<Inode> up = victim.upper()) TRY(dir->Unlink(name, *up));
  TRY(WhiteoutIfLower(*dir, name));
  MutexLock lock(victim.mu_);
  if (!victim.upper_) victim.linked_ = false;
  return {};
}

ErrorOr<void> OverlayInode::Rmdir(std::string_view name, Inode& victim_) {
  OverlayInode& victim = AsOverlay(victim_);
  if (!TRY(victim.List()).empty()) return kENOTEMPTY;
  Ref<Inode> dir = TRY(CopyUp());
  if (Ref<Inode> up = victim.upper()) {
    TRY(ClearWhiteouts(*up));
    TRY(dir->Rmdir(name, *up));
  }
  TRY(WhiteoutIfLower(*dir, name));
  MutexLock lock(victim.mu_);
  if (!victim.upper_) victim.linked_ = false;
  return {};
}

ErrorOr<void> OverlayInode::Rename(std::string_view old_name, Inode& source_, Inode& new_dir_, std::string_view new_name,
                                   Inode* target_, uint32_t flags) {
  OverlayInode& source = AsOverlay(source_);
  OverlayInode& new_dir = AsOverlay(new_dir_);
  OverlayInode* target = target_ ? &AsOverlay(*target_) : nullptr;
  bool exchange = flags & abi::kRENAME_EXCHANGE;
  // Directories that a lower layer has a share in stay where they are (no redirects); mv copies them instead.
  if (source.is_dir() && !source.lower_.empty()) return kEXDEV;
  if (exchange && target->is_dir() && !target->lower_.empty()) return kEXDEV;
  if (target && !exchange && target->is_dir() && !TRY(target->List()).empty()) return kENOTEMPTY;
  Ref<Inode> from = TRY(source.CopyUp());
  Ref<Inode> old_upper = TRY(CopyUp()), new_upper = TRY(new_dir.CopyUp());
  if (exchange) TRY(target->CopyUp());
  Ref<Inode> over = target ? target->upper() : Ref<Inode>();
  if (over && !exchange && over->is_dir()) TRY(ClearWhiteouts(*over));
  TRY(new_dir.RemoveWhiteout(*new_upper, new_name));
  TRY(old_upper->Rename(old_name, *from, *new_upper, new_name, over.get(), flags));
  if (!exchange) TRY(WhiteoutIfLower(*old_upper, old_name));
  auto cover = [](OverlayInode& dir, std::string_view name, OverlayInode& moved) -> ErrorOr<void> {
    if (moved.is_dir() && TRY(dir.LowerHas(name))) TRY(moved.upper()->SetXattr(kOpaqueXattr, "y", 0));
    return {};
  };
  TRY(cover(new_dir, new_name, source));
  if (exchange) TRY(cover(*this, old_name, *target));
  auto place = [](OverlayInode& inode, OverlayInode& dir, std::string_view name) {
    Ref<OverlayInode> parent(&dir);
    {
      MutexLock lock(inode.mu_);
      std::swap(inode.parent_, parent);
      inode.name_ = std::string(name);
    }
    dir.Adopt(name, inode);
  };
  {
    MutexLock lock(mu_);
    children_.erase(std::string(old_name));
  }
  place(source, new_dir, new_name);
  if (exchange) place(*target, *this, old_name);
  if (target && !exchange) {
    MutexLock lock(target->mu_);
    if (!target->upper_) target->linked_ = false;
  }
  return {};
}

}  // namespace moat
