// Names: dentries (a name in a directory, cached) and paths (a dentry seen through a mount).
//
// A dentry is unhashed (removed from its parent's children) by unlink, rmdir and rename, but lives on while referenced, as in
// Linux. A dentry holds its parent and its inode; the parent holds children weakly plus an LRU of unused ones.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/sync/mutex.h"
#include "base/util/error.h"
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
  bool is_root() const;

 private:
  friend class DentryCache;
  Dentry() = default;
  ~Dentry() override;

  mutable Mutex mu_;
  std::string name_ MOAT_GUARDED_BY(mu_);
  Ref<Dentry> parent_ MOAT_GUARDED_BY(mu_);  // null: a root
  Ref<Inode> inode_;                         // set once
  bool hashed_ MOAT_GUARDED_BY(mu_) = false;
  bool anonymous_ = false;
  std::map<std::string, Dentry*, std::less<>> children_ MOAT_GUARDED_BY(mu_);
};

// A place in the tree (struct path).
struct Path {
  Ref<Mount> mount;    // null for anonymous files
  Ref<Dentry> dentry;
  bool operator==(const Path&) const = default;
};

}  // namespace moat
