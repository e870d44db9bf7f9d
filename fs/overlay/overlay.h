// overlay: one writable layer over read-only ones (the kernel's Documentation/filesystems/overlayfs.rst).
//
// An inode of the overlay stands for what the layers have under one name: an upper inode, a lower one, or for directories both
// (merged). What is changed is copied up first. Names removed from a lower layer are whiteouts (character device 0/0) in the
// upper one. Numbers (st_ino) do not change by a copy-up: they are the lower inode's, kept in trusted.overlay.origin.
//
// Locks: the vfs holds the overlay's inode locks; the upper layer is private to the overlay and called below them. copy_up_lock
// (rank kInode, nested) is taken inside any of them.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "base/sync/mutex.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/mount.h"

namespace moat {

class OverlayInode;

struct OverlayOptions {
  Ref<FileSystem> upper;               // or null: read-only
  std::vector<Ref<FileSystem>> lowers;  // topmost first; at least one
  std::string show_options;            // for /proc/mounts
};

class Overlay final : public FileSystem {
 public:
  // kEINVAL without a lower layer.
  static ErrorOr<Ref<Overlay>> Create(OverlayOptions options);

  std::string_view type() const override { return "overlay"; }
  Ref<Inode> root() override;
  ErrorOr<StatFs> Stat() override;
  ErrorOr<void> Sync() override;
  std::string ShowOptions() override { return show_options_; }
  void Unmounted() override;

 private:
  friend class OverlayInode;
  friend class OverlayDirFile;
  explicit Overlay(OverlayOptions options);

  // The number shown for inode `ino` of a layer (0..n-1 the lowers, n the upper).
  uint64_t MapIno(size_t layer, uint64_t ino) const { return ino * (lowers_.size() + 1) + layer; }
  size_t upper_layer() const { return lowers_.size(); }

  // The overlay's inode for an upper inode, if it is in use.
  Ref<OverlayInode> FindByUpper(const Inode& upper);
  void SetByUpper(const Inode& upper, OverlayInode& inode);
  void ForgetUpper(const Inode& upper, const OverlayInode& inode);

  Ref<Mount> upper_;                // or null; mounts keep the layers' roots
  std::vector<Ref<Mount>> lowers_;
  const std::string show_options_;
  TaskMutex copy_up_lock_{LockRank::kInode};
  Mutex mu_;
  Ref<Inode> root_ MOAT_GUARDED_BY(mu_);  // null after Unmounted
  std::unordered_map<const Inode*, OverlayInode*> by_upper_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat
