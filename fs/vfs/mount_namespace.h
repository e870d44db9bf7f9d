// A mount namespace: the tree of mounts that its tasks see (mount_namespaces(7)).
//
// All of them share one table (mount, dentry) -> mount on top, as in Linux. References: the table holds attached mounts, a
// mount holds its parent and mount point.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/mount.h"

namespace moat {

// Limit of mounts in a namespace (fs.mount-max is 100000): bounds what a guest makes the sentry hold.
inline constexpr size_t kMaxMounts = 10000;
// And of all namespaces together.
inline constexpr size_t kMaxMountsInAll = 100000;

// Where mounts cover dentries.
class MountTable {
 public:
  // Goes down to the topmost mount at `path`; true if it moved.
  static bool FollowDown(Path& path);
  // From the root of a mount to the place it is mounted on; false for a root of everything.
  static bool FollowUp(Path& path);
  // The mount directly on `path`, or null.
  static Ref<Mount> Find(const Path& path);
};

class MountNamespace final : public RefCounted {
 public:
  // A namespace whose root is `fs`.
  static Ref<MountNamespace> Create(Ref<FileSystem> fs, uint32_t flags, std::string source);

  // "/" of a task that entered the namespace: the topmost mount at its root.
  Path root() const;

  // The calls of mount(2). `at` is followed down to the topmost mount. kENOTDIR if the kinds do not fit, kEINVAL, kENOSPC
  // beyond kMaxMounts. None checks CAP_SYS_ADMIN. A locked mount (Mount::Lock) gives kEINVAL where it would go, kEPERM where
  // its flags would.
  ErrorOr<Ref<Mount>> Attach(Ref<FileSystem> fs, Path at, uint32_t flags, std::string source);
  ErrorOr<void> Bind(const Path& from, Path at, bool recursive);
  ErrorOr<void> Remount(const Path& at, uint32_t flags);  // replaces the flags; kEINVAL if not the root of a mount
  ErrorOr<void> Move(const Path& from, Path at);          // kELOOP into itself
  // umount2(2). kEBUSY if in use and not `detach`: `at` must be the caller's only reference to the mount.
  ErrorOr<void> Umount(Path at, bool detach);
  // pivot_root(2) for a task with `root`. The caller then moves every task whose root or cwd was the old root.
  ErrorOr<void> PivotRoot(const Path& root, const Path& new_root, const Path& put_old);
  // unshare(CLONE_NEWNS): a copy of the tree. `paths` (roots, cwds) are moved to their copies. kENOSPC.
  ErrorOr<Ref<MountNamespace>> Clone(const std::vector<Path*>& paths);

  // Every mount, parents first.
  std::vector<Ref<Mount>> List() const;
  // /proc/PID/mounts and /proc/PID/mountinfo for a task with this root.
  std::string FormatMounts(const Path& root) const;
  std::string FormatMountInfo(const Path& root) const;
  // Counts changes, for poll of /proc/self/mounts.
  uint64_t generation() const { return generation_.load(std::memory_order_relaxed); }

  ~MountNamespace() override;

 private:
  friend struct MountTree;
  MountNamespace() = default;

  Ref<Mount> root_mount_;  // guarded by the table's lock, as mounts_
  size_t mounts_ = 0;
  std::atomic<uint64_t> generation_{0};
};

}  // namespace moat
