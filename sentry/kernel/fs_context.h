// Where a task's paths start: mount namespace, root, current directory; and its umask (struct fs_struct). Shared by CLONE_FS:
// tasks in different mount namespaces never share one.
#pragma once

#include <cstdint>

#include "base/sync/mutex.h"
#include "base/util/ref.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/mount_namespace.h"

namespace moat {

class FsContext final : public RefCounted {
 public:
  FsContext(Ref<MountNamespace> mounts, Path root, Path cwd, uint32_t umask)
      : mounts_(std::move(mounts)), root_(std::move(root)), cwd_(std::move(cwd)), umask_(umask) {}

  Ref<FsContext> Copy() const { return MakeRef<FsContext>(mounts(), root(), cwd(), umask()); }
  Ref<MountNamespace> mounts() const { MutexLock lock(mu_); return mounts_; }
  // CLONE_NEWNS of clone(2) and unshare(2), for a context that nobody shares: goes on in a copy of its namespace. kENOSPC.
  ErrorOr<void> EnterCopy() {
    Path root = this->root(), cwd = this->cwd();
    Ref<MountNamespace> copy = TRY(mounts()->Clone({&root, &cwd}));
    Enter(std::move(copy), std::move(root), std::move(cwd));
    return {};
  }
  // Root and cwd in another namespace.
  void Enter(Ref<MountNamespace> mounts, Path root, Path cwd) {
    MutexLock lock(mu_);
    std::swap(mounts_, mounts);
    std::swap(root_, root);
    std::swap(cwd_, cwd);
  }
  Path root() const { MutexLock lock(mu_); return root_; }
  Path cwd() const { MutexLock lock(mu_); return cwd_; }
  void set_root(Path p) { MutexLock lock(mu_); root_ = std::move(p); }
  void set_cwd(Path p) { MutexLock lock(mu_); cwd_ = std::move(p); }
  uint32_t umask() const { MutexLock lock(mu_); return umask_; }
  uint32_t SetUmask(uint32_t m) {  // returns the old one
    MutexLock lock(mu_);
    uint32_t old = umask_;
    umask_ = m & 0777;
    return old;
  }

 private:
  mutable Mutex mu_;
  Ref<MountNamespace> mounts_ MOAT_GUARDED_BY(mu_);
  Path root_ MOAT_GUARDED_BY(mu_), cwd_ MOAT_GUARDED_BY(mu_);
  uint32_t umask_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat
