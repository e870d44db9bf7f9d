#include "fs/vfs/mount.h"

#include "fs/vfs/dentry.h"

namespace moat {

namespace {
std::atomic<uint64_t> g_next_mount_id{20};  // low ids look like the kernel's own mounts
}

Mount::Mount() = default;

Ref<Mount> Mount::Create(Ref<FileSystem> fs, Ref<Dentry> root, uint32_t flags, std::string source) {
  Ref<Mount> m(new Mount, AdoptRef{});
  fs->mount_count_.fetch_add(1, std::memory_order_relaxed);
  m->fs_ = std::move(fs);
  m->root_ = std::move(root);
  m->id_ = g_next_mount_id.fetch_add(1, std::memory_order_relaxed);
  m->source_ = std::move(source);
  m->flags_.store(flags, std::memory_order_relaxed);
  return m;
}

Mount::~Mount() {
  root_ = nullptr;
  if (fs_->mount_count_.fetch_sub(1, std::memory_order_acq_rel) == 1) fs_->Unmounted();
}

}  // namespace moat
