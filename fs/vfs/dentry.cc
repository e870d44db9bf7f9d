#include "fs/vfs/dentry.h"

#include "fs/vfs/inotify.h"

namespace moat {

Ref<Dentry> Dentry::MakeRoot(Ref<Inode> inode) {
  Ref<Dentry> d(new Dentry, AdoptRef{});
  MutexLock lock(d->mu_);
  d->name_ = "/";
  d->inode_ = std::move(inode);
  d->hashed_ = true;
  return d;
}

Ref<Dentry> Dentry::MakeAnonymous(Ref<Inode> inode, std::string name) {
  Ref<Dentry> d(new Dentry, AdoptRef{});
  MutexLock lock(d->mu_);
  d->name_ = std::move(name);
  d->inode_ = std::move(inode);
  d->anonymous_ = true;
  return d;
}

std::string Dentry::name() const {
  MutexLock lock(mu_);
  return name_;
}

Ref<Dentry> Dentry::parent() const {
  MutexLock lock(mu_);
  return parent_ ? parent_ : Ref<Dentry>(const_cast<Dentry*>(this));
}

bool Dentry::unhashed() const {
  MutexLock lock(mu_);
  return !hashed_ && !anonymous_;
}

bool Dentry::is_root() const {
  MutexLock lock(mu_);
  return !parent_ && !anonymous_;
}

bool Dentry::IsWithin(const Dentry& other) const {
  Ref<const Dentry> at(this);
  while (at.get() != &other) {
    Ref<const Dentry> up = at->parent();
    if (up == at) return false;
    at = std::move(up);
  }
  return true;
}

// Runs in destructors only, when nobody else can reach the fields of `this`.
Dentry* Dentry::LeaveParent() MOAT_NO_THREAD_SAFETY_ANALYSIS {
  Dentry* parent = parent_.Leak();
  if (!parent || !hashed_) return parent;
  MutexLock lock(parent->mu_);
  auto it = parent->children_.find(name_);
  if (it != parent->children_.end() && it->second == this) parent->children_.erase(it);
  return parent;
}

Dentry::~Dentry() {
  if (inode_gone_.load(std::memory_order_relaxed) && inode_) {
    if (InotifyMarks* marks = inode_->marks()) marks->ReportGone();
  }
  // The chain of parents can be as long as a guest likes: take it apart in a loop.
  Dentry* parent = LeaveParent();
  while (parent && parent->DropRef()) {
    Dentry* next = parent->LeaveParent();
    delete parent;
    parent = next;
  }
}

}  // namespace moat
