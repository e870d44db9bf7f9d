// Names: dentries (a name in a directory, cached) and paths (a dentry seen through a mount).
//
// A dentry is unhashed (removed from its parent's children) by unlink, rmdir and rename, but lives on while referenced, as in
// Linux. A dentry holds its parent and its inode; the parent holds children weakly. DentryCache (dentry_cache.h) keeps the
// recently used ones alive.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/intrusive_list.h"
#include "base/util/ref.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/mount.h"

namespace moat {

class Dentry final : public RefCounted {
 public:
  // The root dentry of a file system.
  static Ref<Dentry> MakeRoot(Ref<Inode> inode);
  // A dentry outside every directory, for pipes, sockets, memfds: `name` as /proc/self/fd shows it ("pipe:[4]").
  static Ref<Dentry> MakeAnonymous(Ref<Inode> inode, std::string name);

  std::string name() const;
  Ref<Dentry> parent() const;          // itself for a root
  Inode* inode() const { return inode_.get(); }  // null: negative
  bool negative() const { return inode_ == nullptr; }
  bool unhashed() const;               // deleted
  bool is_root() const;                // of a file system; anonymous dentries are not
  bool anonymous() const { return anonymous_; }
  // True if something is mounted on it in some namespace.
  bool is_mountpoint() const { return mounts_.load(std::memory_order_relaxed) != 0; }
  // Unlinked, and no other link was left: inotify reports IN_DELETE_SELF when the dentry goes.
  void MarkInodeGone() { inode_gone_.store(true, std::memory_order_relaxed); }

  // True if `this` is `other` or lies below it.
  bool IsWithin(const Dentry& other) const;

 private:
  friend class DentryCache;
  friend class MountTable;
  friend struct MountTree;
  Dentry() = default;
  ~Dentry() override;
  // Removes it from its parent's children and hands out the reference to the parent.
  Dentry* LeaveParent();

  // Lock order: a directory's mu_ before its child's.
  mutable Mutex mu_;
  std::string name_ MOAT_GUARDED_BY(mu_);    // unchanged while hashed (it is the key in the parent's children_)
  Ref<Dentry> parent_ MOAT_GUARDED_BY(mu_);  // null: a root
  Ref<Inode> inode_;                         // set before publication
  bool hashed_ MOAT_GUARDED_BY(mu_) = false;
  bool anonymous_ = false;
  std::unordered_map<std::string_view, Dentry*> children_ MOAT_GUARDED_BY(mu_);
  std::atomic<int> mounts_{0};
  std::atomic<bool> inode_gone_{false};
  std::atomic<bool> recently_used_{false};  // second chance in DentryCache's list
  std::atomic<bool> cached_{false};         // in DentryCache's list, which holds a reference
  ListNode lru_node_;                       // DentryCache's lock
};

// A place in the tree (struct path).
struct Path {
  Ref<Mount> mount;    // null for anonymous files
  Ref<Dentry> dentry;
  bool operator==(const Path&) const = default;
};

}  // namespace moat
