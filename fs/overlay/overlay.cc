#include "fs/overlay/overlay.h"

#include "abi/stat.h"
#include "fs/overlay/inode.h"

namespace moat {

Overlay::Overlay(OverlayOptions options) : show_options_(std::move(options.show_options)) {
  auto mount = [](Ref<FileSystem> fs) {
    Ref<Dentry> root = Dentry::MakeRoot(fs->root());
    return Mount::Create(std::move(fs), std::move(root), 0, "overlay");
  };
  if (options.upper) upper_ = mount(std::move(options.upper));
  for (Ref<FileSystem>& lower : options.lowers) lowers_.push_back(mount(std::move(lower)));
}

ErrorOr<Ref<Overlay>> Overlay::Create(OverlayOptions options) {
  if (options.lowers.empty()) return kEINVAL;
  Ref<Overlay> fs(new Overlay(std::move(options)), AdoptRef{});
  Ref<Inode> upper;
  if (fs->upper_) upper = Ref<Inode>(fs->upper_->root()->inode());
  std::vector<OverlayInode::Lower> lower;
  for (size_t i = 0; i < fs->lowers_.size(); ++i) lower.push_back({Ref<Inode>(fs->lowers_[i]->root()->inode()), i});
  Ref<Inode> root = MakeRef<OverlayInode>(*fs, abi::kS_IFDIR, nullptr, "", std::move(upper), std::move(lower));
  MutexLock lock(fs->mu_);
  fs->root_ = std::move(root);
  return fs;
}

Ref<Inode> Overlay::root() {
  MutexLock lock(mu_);
  return root_;
}

void Overlay::Unmounted() {
  Ref<FileSystem> self(this);
  Ref<Inode> root;
  MutexLock lock(mu_);
  root = std::move(root_);
}

ErrorOr<StatFs> Overlay::Stat() {
  FileSystem& fs = upper_ ? upper_->fs() : lowers_[0]->fs();
  StatFs s = TRY(fs.Stat());
  s.type = abi::kOVERLAYFS_SUPER_MAGIC;
  s.fsid = dev();
  return s;
}

ErrorOr<void> Overlay::Sync() {
  if (!upper_) return {};
  return upper_->fs().Sync();
}

Ref<OverlayInode> Overlay::FindByUpper(const Inode& upper) {
  MutexLock lock(mu_);
  auto it = by_upper_.find(&upper);
  if (it == by_upper_.end() || !it->second->TryAddRef()) return nullptr;
  return Ref<OverlayInode>(it->second, AdoptRef{});
}

void Overlay::SetByUpper(const Inode& upper, OverlayInode& inode) {
  MutexLock lock(mu_);
  by_upper_[&upper] = &inode;
}

void Overlay::ForgetUpper(const Inode& upper, const OverlayInode& inode) {
  MutexLock lock(mu_);
  auto it = by_upper_.find(&upper);
  if (it != by_upper_.end() && it->second == &inode) by_upper_.erase(it);
}

}  // namespace moat
