// A mount: a file system's subtree attached to a place in a mount namespace (struct mount).
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/util/ref.h"
#include "fs/vfs/inode.h"

namespace moat {

class Dentry;
class MountNamespace;

enum MountFlags : uint32_t {
  kMountReadOnly = 1,
  kMountNoSuid = 2,
  kMountNoDev = 4,
  kMountNoExec = 8,
  kMountNoAtime = 1024,
  kMountNoDirAtime = 2048,
  kMountNoSymfollow = 256,
  kMountRelatime = 1 << 21,
};
// What protects the sandbox's files from its own root. nosuid and nodev protect root from others: they are root's to drop.
inline constexpr uint32_t kMountLockable = kMountReadOnly | kMountNoExec;

class Mount final : public RefCounted {
 public:
  // `source` is the first field of /proc/mounts ("tmpfs", "overlay").
  static Ref<Mount> Create(Ref<FileSystem> fs, Ref<Dentry> root, uint32_t flags, std::string source);

  FileSystem& fs() const { return *fs_; }
  const Ref<Dentry>& root() const { return root_; }
  uint64_t id() const { return id_; }
  const std::string& source() const { return source_; }
  uint32_t flags() const { return flags_.load(std::memory_order_relaxed); }
  bool read_only() const { return flags() & kMountReadOnly; }

  // For mounts that a sandbox was set up with. LockFlags: ro and noexec stay as they are now, also in copies.
  // Lock: it can neither be taken away nor moved either (MNT_LOCKED).
  void LockFlags() { locked_flags_.store(flags() & kMountLockable, std::memory_order_relaxed); }
  void Lock() {
    locked_.store(true, std::memory_order_relaxed);
    LockFlags();
  }
  bool locked() const { return locked_.load(std::memory_order_relaxed); }
  uint32_t locked_flags() const { return locked_flags_.load(std::memory_order_relaxed); }

 private:
  friend class MountNamespace;
  friend class MountTable;
  friend struct MountTree;
  Mount();
  ~Mount() override;

  Ref<FileSystem> fs_;
  Ref<Dentry> root_;
  uint64_t id_ = 0;
  std::string source_;
  std::atomic<uint32_t> flags_{0};
  std::atomic<bool> locked_{false};
  std::atomic<uint32_t> locked_flags_{0};
  // Where it is attached; both null for the root of a namespace or when detached. Guarded by the mount table's lock.
  Ref<Mount> parent_;
  Ref<Dentry> mountpoint_;
  MountNamespace* namespace_ = nullptr;  // null: detached
  std::vector<Mount*> children_;         // attached below this one
};

}  // namespace moat
