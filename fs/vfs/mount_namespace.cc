#include "fs/vfs/mount_namespace.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/util/no_destructor.h"
#include "fs/vfs/dentry_cache.h"

namespace moat {

// The table of all namespaces and the operations on it. What an operation lets go of is put into a Garbage, which is
// destroyed after the lock.
struct MountTree {
  using Garbage = std::vector<Ref<RefCounted>>;

  Mutex mu;
  std::map<std::pair<Mount*, Dentry*>, Ref<Mount>> table MOAT_GUARDED_BY(mu);

  static MountTree& Get() {
    static NoDestructor<MountTree> tree;
    return *tree;
  }

  // For `more` mounts in `ns`, and in all.
  bool HasRoomLocked(const MountNamespace& ns, size_t more) MOAT_REQUIRES(mu) {
    return ns.mounts_ + more <= kMaxMounts && table.size() + more <= kMaxMountsInAll;
  }

  Ref<Mount> FindLocked(const Path& path) MOAT_REQUIRES(mu) {
    auto it = table.find({path.mount.get(), path.dentry.get()});
    return it == table.end() ? Ref<Mount>() : it->second;
  }

  void AttachLocked(MountNamespace& ns, Ref<Mount> m, const Path& at) MOAT_REQUIRES(mu) {
    at.dentry->mounts_.fetch_add(1, std::memory_order_relaxed);
    m->parent_ = at.mount;
    m->mountpoint_ = at.dentry;
    at.mount->children_.push_back(m.get());
    table[{at.mount.get(), at.dentry.get()}] = m;
    ns.generation_.fetch_add(1, std::memory_order_relaxed);
  }

  // Takes `m` off its place, with what is mounted below it left on it.
  void DetachLocked(Mount& m, Garbage& garbage) MOAT_REQUIRES(mu) {
    if (!m.parent_) return;
    std::erase(m.parent_->children_, &m);
    m.mountpoint_->mounts_.fetch_sub(1, std::memory_order_relaxed);
    auto it = table.find({m.parent_.get(), m.mountpoint_.get()});
    garbage.push_back(std::move(it->second));
    table.erase(it);
    garbage.push_back(std::exchange(m.parent_, nullptr));
    garbage.push_back(std::exchange(m.mountpoint_, nullptr));
    if (m.namespace_) m.namespace_->generation_.fetch_add(1, std::memory_order_relaxed);
  }

  // `m` and everything mounted below it, parents first.
  std::vector<Ref<Mount>> SubtreeLocked(Mount& m) MOAT_REQUIRES(mu) {
    std::vector<Ref<Mount>> all{Ref<Mount>(&m)};
    for (size_t i = 0; i < all.size(); ++i) {
      for (Mount* child : std::vector<Mount*>(all[i]->children_)) all.emplace_back(child);
    }
    return all;
  }

  void DissolveLocked(Mount& top, Garbage& garbage) MOAT_REQUIRES(mu) {
    for (Ref<Mount>& m : SubtreeLocked(top)) {
      DetachLocked(*m, garbage);
      if (m->namespace_) --m->namespace_->mounts_;
      m->namespace_ = nullptr;
      garbage.push_back(m);
    }
  }

  // Copies the mounts of a subtree whose places lie within `root_dentry` of `top`.
  std::vector<std::pair<Mount*, Ref<Mount>>> CopyLocked(MountNamespace& ns, Mount& top, Ref<Dentry> root_dentry,
                                                        bool recursive) MOAT_REQUIRES(mu) {
    std::vector<std::pair<Mount*, Ref<Mount>>> copies;
    auto copy = [&](Mount& m, Ref<Dentry> root) {
      copies.emplace_back(&m, Mount::Create(Ref<FileSystem>(m.fs_), std::move(root), m.flags(), m.source_));
      Mount& made = *copies.back().second;
      made.locked_flags_.store(m.locked_flags(), std::memory_order_relaxed);
      made.locked_.store(m.locked() && &m != &top, std::memory_order_relaxed);
      made.namespace_ = &ns;
      ++ns.mounts_;
    };
    copy(top, std::move(root_dentry));
    if (!recursive) return copies;
    for (size_t i = 0; i < copies.size(); ++i) {
      for (Mount* child : std::vector<Mount*>(copies[i].first->children_)) {
        if (!child->mountpoint_->IsWithin(*copies[i].second->root_)) continue;
        copy(*child, child->root_);
        AttachLocked(ns, copies.back().second, {copies[i].second, child->mountpoint_});
      }
    }
    return copies;
  }
};

bool MountTable::FollowDown(Path& path) {
  bool moved = false;
  while (path.mount && path.dentry->is_mountpoint()) {
    Ref<Mount> m = Find(path);
    if (!m) break;
    path.dentry = m->root();
    path.mount = std::move(m);
    moved = true;
  }
  return moved;
}

bool MountTable::FollowUp(Path& path) {
  Path up;
  {
    MutexLock lock(MountTree::Get().mu);
    up = Path{path.mount->parent_, path.mount->mountpoint_};
  }
  if (!up.mount) return false;
  path = std::move(up);
  return true;
}

Ref<Mount> MountTable::Find(const Path& path) {
  MutexLock lock(MountTree::Get().mu);
  return MountTree::Get().FindLocked(path);
}

namespace {

// What a new mount asks of its place.
ErrorOr<void> CheckPlace(const Path& at, const Dentry& new_root) {
  if (!at.mount) return kEINVAL;
  if (new_root.inode()->is_dir() != at.dentry->inode()->is_dir()) return kENOTDIR;
  if (at.dentry->unhashed()) return kENOENT;
  return {};
}

bool IsMountRoot(const Path& path) { return path.mount && path.dentry == path.mount->root(); }

}  // namespace

Ref<MountNamespace> MountNamespace::Create(Ref<FileSystem> fs, uint32_t flags, std::string source) {
  Ref<MountNamespace> ns(new MountNamespace, AdoptRef{});
  Ref<Dentry> root = Dentry::MakeRoot(fs->root());
  Ref<Mount> m = Mount::Create(std::move(fs), std::move(root), flags, std::move(source));
  MutexLock lock(MountTree::Get().mu);
  m->namespace_ = ns.get();
  ns->root_mount_ = std::move(m);
  ns->mounts_ = 1;
  return ns;
}

MountNamespace::~MountNamespace() {
  MountTree& tree = MountTree::Get();
  MountTree::Garbage garbage;
  MutexLock lock(tree.mu);
  if (root_mount_) tree.DissolveLocked(*root_mount_, garbage);
  garbage.push_back(std::exchange(root_mount_, nullptr));
}

Path MountNamespace::root() const {
  Path path;
  {
    MutexLock lock(MountTree::Get().mu);
    path = Path{root_mount_, root_mount_->root()};
  }
  MountTable::FollowDown(path);
  return path;
}

ErrorOr<Ref<Mount>> MountNamespace::Attach(Ref<FileSystem> fs, Path at, uint32_t flags, std::string source) {
  MountTable::FollowDown(at);
  Ref<Dentry> root = Dentry::MakeRoot(fs->root());
  // Made first: if the rest fails, its end is the file system's (FileSystem::Unmounted).
  Ref<Mount> m = Mount::Create(std::move(fs), std::move(root), flags, std::move(source));
  TRY(CheckPlace(at, *m->root()));
  DentryCache::Pin(*at.dentry);
  MountTree& tree = MountTree::Get();
  MutexLock lock(tree.mu);
  if (at.mount->namespace_ != this) return kEINVAL;
  if (!tree.HasRoomLocked(*this, 1)) return kENOSPC;
  m->namespace_ = this;
  ++mounts_;
  tree.AttachLocked(*this, m, at);
  return m;
}

ErrorOr<void> MountNamespace::Bind(const Path& from, Path at, bool recursive) {
  MountTable::FollowDown(at);
  if (!from.mount) return kEINVAL;
  TRY(CheckPlace(at, *from.dentry));
  DentryCache::Pin(*at.dentry);
  MountTree& tree = MountTree::Get();
  MutexLock lock(tree.mu);
  if (at.mount->namespace_ != this || from.mount->namespace_ != this) return kEINVAL;
  if (!recursive) {
    // A bind of what is below a locked mount would show what that hides.
    for (Mount* child : from.mount->children_) {
      if (child->locked() && child->mountpoint_->IsWithin(*from.dentry)) return kEINVAL;
    }
  }
  size_t more = recursive ? tree.SubtreeLocked(*from.mount).size() : 1;
  if (!tree.HasRoomLocked(*this, more)) return kENOSPC;
  auto copies = tree.CopyLocked(*this, *from.mount, from.dentry, recursive);
  tree.AttachLocked(*this, copies[0].second, at);
  return {};
}

ErrorOr<void> MountNamespace::Remount(const Path& at_, uint32_t flags) {
  Path at = at_;
  MountTable::FollowDown(at);
  if (!IsMountRoot(at)) return kEINVAL;
  MutexLock lock(MountTree::Get().mu);
  if (at.mount->namespace_ != this) return kEINVAL;
  if (at.mount->locked_flags() & ~flags) return kEPERM;
  at.mount->flags_.store(flags, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_relaxed);
  return {};
}

ErrorOr<void> MountNamespace::Move(const Path& from, Path at) {
  MountTable::FollowDown(at);
  if (!IsMountRoot(from)) return kEINVAL;
  TRY(CheckPlace(at, *from.dentry));
  DentryCache::Pin(*at.dentry);
  MountTree& tree = MountTree::Get();
  MountTree::Garbage garbage;
  MutexLock lock(tree.mu);
  if (from.mount->namespace_ != this || at.mount->namespace_ != this || !from.mount->parent_) return kEINVAL;
  if (from.mount->locked()) return kEINVAL;
  for (Mount* m = at.mount.get(); m; m = m->parent_.get()) {
    if (from.mount == m) return kELOOP;
  }
  tree.DetachLocked(*from.mount, garbage);
  tree.AttachLocked(*this, from.mount, at);
  return {};
}

ErrorOr<void> MountNamespace::Umount(Path at, bool detach) {
  MountTable::FollowDown(at);
  if (!IsMountRoot(at)) return kEINVAL;
  MountTree& tree = MountTree::Get();
  MountTree::Garbage garbage;
  MutexLock lock(tree.mu);
  Mount& m = *at.mount;
  if (m.namespace_ != this || !m.parent_ || m.locked()) return kEINVAL;
  constexpr uint32_t kIdleReferences = 2;  // the table's and `at`
  if (!detach && (!m.children_.empty() || m.ref_count() > kIdleReferences)) return kEBUSY;
  tree.DissolveLocked(m, garbage);
  return {};
}

ErrorOr<void> MountNamespace::PivotRoot(const Path& root, const Path& new_root, const Path& put_old) {
  if (!new_root.dentry->inode()->is_dir() || !put_old.dentry->inode()->is_dir()) return kENOTDIR;
  if (new_root.mount == root.mount || put_old.mount == root.mount) return kEBUSY;
  if (!IsMountRoot(new_root) || !IsMountRoot(root) || !put_old.mount) return kEINVAL;
  DentryCache::Pin(*put_old.dentry);
  MountTree& tree = MountTree::Get();
  MountTree::Garbage garbage;
  MutexLock lock(tree.mu);
  Ref<Mount> old_mount = root.mount, new_mount = new_root.mount;
  if (old_mount->namespace_ != this || new_mount->namespace_ != this || !new_mount->parent_) return kEINVAL;
  if (new_mount->locked()) return kEINVAL;
  Mount* m = put_old.mount.get();
  while (m && m != new_mount.get()) m = m->parent_.get();
  if (!m) return kEINVAL;  // put_old is not below new_root
  Path place{old_mount->parent_, old_mount->mountpoint_};
  tree.DetachLocked(*new_mount, garbage);
  tree.DetachLocked(*old_mount, garbage);
  tree.AttachLocked(*this, old_mount, put_old);
  if (place.mount) {
    tree.AttachLocked(*this, new_mount, place);
  } else {
    garbage.push_back(std::exchange(root_mount_, new_mount));
  }
  return {};
}

ErrorOr<Ref<MountNamespace>> MountNamespace::Clone(const std::vector<Path*>& paths) {
  Ref<MountNamespace> ns(new MountNamespace, AdoptRef{});
  MountTree& tree = MountTree::Get();
  MountTree::Garbage garbage;
  MutexLock lock(tree.mu);
  if (!tree.HasRoomLocked(*ns, mounts_)) return kENOSPC;
  auto copies = tree.CopyLocked(*ns, *root_mount_, root_mount_->root_, true);
  ns->root_mount_ = copies[0].second;
  for (Path* path : paths) {
    for (auto& [original, copy] : copies) {
      if (path->mount != original) continue;
      garbage.push_back(std::exchange(path->mount, copy));
      break;
    }
  }
  return ns;
}

std::vector<Ref<Mount>> MountNamespace::List() const {
  MountTree& tree = MountTree::Get();
  MutexLock lock(tree.mu);
  return tree.SubtreeLocked(*root_mount_);
}

}  // namespace moat
