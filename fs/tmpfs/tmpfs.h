// tmpfs(5): a file system in memory. Also the home of memfds, shared anonymous memory and SysV segments (memfd.h).
//
// Locks: what the vfs holds (Inode::lock) guards file content; each inode's short mutex guards its attributes, attribute lists
// and directory entries, so that GetAttr, Lookup and ReadDir need no sleeping lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/sync/mutex.h"
#include "fs/tmpfs/memory_limit.h"
#include "fs/vfs/inode.h"

namespace moat {

struct TmpfsOptions {
  Ref<MemoryLimit> limit;        // of the content; required
  uint64_t max_inodes = 1 << 20;  // bounds what nameless content (names, attributes) can add up to
  uint32_t mode = 01777;         // of the root
  uint32_t uid = 0, gid = 0;
  std::string show_options;      // for /proc/mounts, as mounted
};

class Tmpfs final : public FileSystem {
 public:
  static Ref<Tmpfs> Create(TmpfsOptions options);
  // From mount(2)'s data ("size=10m,mode=755,nr_inodes=1k,uid=0,gid=0"); `default_pages` without size=. kEINVAL.
  static ErrorOr<Ref<Tmpfs>> CreateFromOptions(std::string_view data, uint64_t default_pages);

  std::string_view type() const override { return "tmpfs"; }
  Ref<Inode> root() override;
  ErrorOr<StatFs> Stat() override;
  std::string ShowOptions() override { return options_.show_options; }
  void Unmounted() override;

  MemoryLimit& limit() { return *options_.limit; }
  const Ref<MemoryLimit>& limit_ref() { return options_.limit; }

 private:
  friend class TmpfsInode;
  friend class TmpfsDirectory;
  explicit Tmpfs(TmpfsOptions options) : options_(std::move(options)) {}
  // Counts an inode in; kENOSPC.
  ErrorOr<uint64_t> TakeInode();
  uint64_t CountInode();  // the same without a limit
  void DropInode();
  // Destroys the children of a dying directory without recursion: a tree can be deeper than a stack.
  void Bury(std::vector<Ref<Inode>> inodes);

  const TmpfsOptions options_;
  std::atomic<uint64_t> next_ino_{1};
  std::atomic<uint64_t> inodes_{0};
  Mutex mu_;
  Ref<Inode> root_ MOAT_GUARDED_BY(mu_);  // null after Unmounted
  std::vector<Ref<Inode>> graveyard_ MOAT_GUARDED_BY(mu_);
  bool burying_ MOAT_GUARDED_BY(mu_) = false;
};

}  // namespace moat
