#include "fs/vfs/dentry_cache.h"

#include <vector>

#include "base/util/no_destructor.h"

namespace moat {

namespace {

// Unused dentries that are kept: about 10 MiB with their inodes.
constexpr size_t kMaxCached = 16384;
// How many recently used dentries one insertion may pass over before it evicts one all the same.
constexpr int kMaxSecondChances = 32;

}  // namespace

struct DentryCache::Lru {
  Mutex mu;
  IntrusiveList<Dentry, &Dentry::lru_node_> list MOAT_GUARDED_BY(mu);  // oldest first; each holds a reference
  size_t count MOAT_GUARDED_BY(mu) = 0;
};

DentryCache::Lru& DentryCache::lru() {
  static NoDestructor<Lru> lru;
  return *lru;
}

// Gives `d` a place in the list; what falls off at the other end is dropped after the lock.
void DentryCache::Admit(Ref<Dentry> d) {
  Ref<Dentry> victim;
  Lru& l = lru();
  MutexLock lock(l.mu);
  if (d->cached_.exchange(true, std::memory_order_relaxed)) return;
  l.list.PushBack(*d.Leak());
  if (++l.count <= kMaxCached) return;
  for (int chances = 0;; ++chances) {
    Dentry* oldest = l.list.PopFront();
    if (oldest->recently_used_.exchange(false, std::memory_order_relaxed) && chances < kMaxSecondChances) {
      l.list.PushBack(*oldest);
      continue;
    }
    oldest->cached_.store(false, std::memory_order_relaxed);
    --l.count;
    victim = Ref<Dentry>(oldest, AdoptRef{});
    break;
  }
}

void DentryCache::Evict(Dentry& d) {
  Ref<Dentry> victim;
  Lru& l = lru();
  MutexLock lock(l.mu);
  if (!d.cached_.exchange(false, std::memory_order_relaxed)) return;
  d.lru_node_.Unlink();
  --l.count;
  victim = Ref<Dentry>(&d, AdoptRef{});
}

// The negative children of a removed directory would keep it and its inode.
void DentryCache::EvictChildren(Dentry& dir) {
  std::vector<Ref<Dentry>> children;
  {
    MutexLock lock(dir.mu_);
    for (auto& [name, child] : dir.children_) {
      if (child->TryAddRef()) children.emplace_back(child, AdoptRef{});
    }
  }
  for (Ref<Dentry>& child : children) Evict(*child);
}

void DentryCache::Shrink() {
  std::vector<Ref<Dentry>> victims;
  Lru& l = lru();
  MutexLock lock(l.mu);
  while (Dentry* d = l.list.PopFront()) {
    d->cached_.store(false, std::memory_order_relaxed);
    victims.emplace_back(d, AdoptRef{});
  }
  l.count = 0;
}

size_t DentryCache::size() {
  Lru& l = lru();
  MutexLock lock(l.mu);
  return l.count;
}

Ref<Dentry> DentryCache::Find(Dentry& dir, std::string_view name) {
  Ref<Dentry> found;
  {
    MutexLock lock(dir.mu_);
    auto it = dir.children_.find(name);
    if (it == dir.children_.end() || !it->second->TryAddRef()) return nullptr;
    found = Ref<Dentry>(it->second, AdoptRef{});
  }
  if (found->cached_.load(std::memory_order_relaxed)) {
    if (!found->recently_used_.load(std::memory_order_relaxed)) {
      found->recently_used_.store(true, std::memory_order_relaxed);
    }
  } else if (dir.inode()->CachesChildren()) {
    Admit(found);
  }
  return found;
}

bool DentryCache::Valid(Dentry& dir, Dentry& child, std::string_view name) {
  if (child.negative()) return dir.inode()->CachesNegative();
  return child.is_mountpoint() || child.inode()->StillValid(name);
}

Ref<Dentry> DentryCache::FindValid(Dentry& dir, std::string_view name) {
  Ref<Dentry> child = Find(dir, name);
  if (child && !Valid(dir, *child, name)) return nullptr;
  return child;
}

ErrorOr<Ref<Dentry>> DentryCache::Lookup(Dentry& dir, std::string_view name) {
  if (Ref<Dentry> child = FindValid(dir, name)) return child;
  TaskMutexLock lock(dir.inode()->lock());
  return LookupLocked(dir, name);
}

ErrorOr<Ref<Dentry>> DentryCache::LookupLocked(Dentry& dir, std::string_view name) {
  Ref<Dentry> child = Find(dir, name);
  if (child && Valid(dir, *child, name)) return child;
  ErrorOr<Ref<Inode>> inode = dir.inode()->Lookup(name);
  if (!inode.ok() && inode.error() != kENOENT) return inode.error();
  Ref<Inode> now = inode.ok() ? std::move(*inode) : Ref<Inode>();
  if (child && child->inode() == now.get()) return child;
  if (child) Unhash(*child);
  return NewChild(dir, name, std::move(now));
}

Ref<Dentry> DentryCache::NewChild(Dentry& dir, std::string_view name, Ref<Inode> inode) {
  bool keep = dir.inode()->CachesChildren() && (inode || dir.inode()->CachesNegative());
  Ref<Dentry> d(new Dentry, AdoptRef{});
  {
    MutexLock lock(d->mu_);
    d->name_ = std::string(name);
    d->parent_ = Ref<Dentry>(&dir);
    d->inode_ = std::move(inode);
    d->hashed_ = true;
  }
  if (keep) {
    Insert(dir, *d);
    Admit(d);
  }
  return d;
}

void DentryCache::Insert(Dentry& dir, Dentry& child) {
  MutexLock lock(dir.mu_);
  MutexLock child_lock(child.mu_);
  dir.children_.erase(child.name_);  // a dying one may still be there, with its own name as the key
  dir.children_.emplace(std::string_view(child.name_), &child);
}

// Takes `child` out of its parent's children.
void DentryCache::Leave(Dentry& child) {
  Ref<Dentry> parent = child.parent();
  MutexLock lock(parent->mu_);
  MutexLock child_lock(child.mu_);
  auto it = parent->children_.find(child.name_);
  if (it != parent->children_.end() && it->second == &child) parent->children_.erase(it);
}

Ref<Dentry> DentryCache::Instantiate(Dentry& dir, std::string_view name, Ref<Inode> inode) {
  if (Ref<Dentry> old = Find(dir, name)) Unhash(*old);
  return NewChild(dir, name, std::move(inode));
}

Ref<Dentry> DentryCache::MakeUnhashed(Dentry& dir, std::string name, Ref<Inode> inode) {
  Ref<Dentry> d(new Dentry, AdoptRef{});
  MutexLock lock(d->mu_);
  d->name_ = std::move(name);
  d->parent_ = Ref<Dentry>(&dir);
  d->inode_ = std::move(inode);
  return d;
}

void DentryCache::Unhash(Dentry& d) {
  Ref<Dentry> keep(&d);
  if (d.is_root()) return;
  Leave(d);
  {
    MutexLock lock(d.mu_);
    d.hashed_ = false;
  }
  if (d.inode() && d.inode()->is_dir()) EvictChildren(d);
  Evict(d);
}

void DentryCache::Move(Dentry& d, Dentry& new_dir, std::string_view new_name) {
  if (Ref<Dentry> target = Find(new_dir, new_name); target && target != &d) Unhash(*target);
  Leave(d);
  Ref<Dentry> old_parent;  // dropped after the lock
  {
    MutexLock lock(d.mu_);
    old_parent = std::move(d.parent_);
    d.parent_ = Ref<Dentry>(&new_dir);
    d.name_ = std::string(new_name);
  }
  if (new_dir.inode()->CachesChildren()) Insert(new_dir, d);
}

void DentryCache::Exchange(Dentry& a, Dentry& b) {
  Ref<Dentry> parent_a = a.parent(), parent_b = b.parent();
  std::string name_a = a.name(), name_b = b.name();
  Leave(a);
  Leave(b);
  auto place = [](Dentry& d, Ref<Dentry> parent, std::string name) {
    MutexLock lock(d.mu_);
    std::swap(d.parent_, parent);
    d.name_ = std::move(name);
  };
  place(a, parent_b, std::move(name_b));
  place(b, parent_a, std::move(name_a));
  Insert(*parent_b, a);
  Insert(*parent_a, b);
}

void DentryCache::Pin(Dentry& dentry) {
  for (Ref<Dentry> d(&dentry); !d->is_root();) {
    Ref<Dentry> parent = d->parent();
    if (parent == d || d->unhashed()) return;
    if (Ref<Dentry> found = Find(*parent, d->name()); !found) Insert(*parent, *d);
    d = std::move(parent);
  }
}

}  // namespace moat
