// The file system whose files the gofer serves. Reads and writes go to host descriptors that the gofer passed; everything
// about names and attributes is a request, answered for a whole path at once where possible and cached.
//
// Lock order: GoferInode::mu_ and GoferFs's mutexes are leaves; none is held over a request or while another is taken.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/sync/mutex.h"
#include "fs/goferfs/gofer_client.h"
#include "fs/goferfs/host_fd.h"
#include "fs/goferfs/name_cache.h"
#include "fs/vfs/inode.h"

namespace moat {

class GoferInode;

// How long an answer of the gofer about a name or attributes is believed.
enum class GoferCache {
  kExclusive,   // for ever: nobody else changes the tree
  kTimed,       // one second: for read-only roots, whose changes are rare and no business of the guest
  kRevalidate,  // for the one call that asked: for directories shared with the host
};

struct GoferOptions {
  GoferCache cache = GoferCache::kTimed;
  size_t max_cached_fds = 1000;    // read-only descriptors kept for files that were opened or walked to
  size_t max_cached_names = 8192;  // see NameCache
};

class GoferFs final : public FileSystem {
 public:
  // Attaches to root `root_index` of the gofer's configuration.
  static ErrorOr<Ref<GoferFs>> Create(Ref<GoferClient> client, uint32_t root_index, const GoferOptions& options);

  std::string_view type() const override { return "gofer"; }
  Ref<Inode> root() override;
  ErrorOr<StatFs> Stat() override;
  ErrorOr<void> Sync() override;
  std::string ShowOptions() override;
  void Unmounted() override;
  bool read_only() const { return read_only_; }
  // Asks for these paths, relative to the root, in one trip: walks that follow soon find the answers in the cache. On a fiber.
  void Prefetch(const std::vector<std::string>& paths);

 private:
  friend class GoferInode;
  friend class GoferFile;
  friend class GoferDirFile;

  GoferFs(Ref<GoferClient> client, uint32_t root_index, const GoferOptions& options);
  ~GoferFs() override;

  GoferClient& client() { return *client_; }
  const GoferOptions& options() const { return options_; }
  NameCache& names() { return names_; }
  // The inode of what the gofer described: the one there is, brought up to date, or a new one.
  Ref<GoferInode> InodeFor(const gofer::WireAttr& attr);
  void Forget(GoferInode& inode);  // its last reference is gone
  uint64_t MapDevice(uint64_t host_dev);
  uint32_t MapId(uint32_t id) const;

  // Keeps at most max_cached_fds inodes' read descriptors: the least recently opened lose theirs.
  void NoteCachedFd(GoferInode& inode);
  // Likewise for the handles of directories.
  void NoteHandle(GoferInode& inode);

  // Least recently noted first; holds the inodes weakly (Forget removes them).
  class Recency {
   public:
    // Moves `inode` to the end; returns a reference to the one that is over `limit`, or null.
    Ref<GoferInode> Touch(GoferInode& inode, size_t limit);
    void Remove(GoferInode& inode);

   private:
    Mutex mu_;
    std::list<GoferInode*> order_ MOAT_GUARDED_BY(mu_);
    std::unordered_map<GoferInode*, std::list<GoferInode*>::iterator> where_ MOAT_GUARDED_BY(mu_);
  };

  const Ref<GoferClient> client_;
  const uint32_t root_index_;
  const GoferOptions options_;
  bool read_only_ = true;
  bool unmapped_ids_ = false;
  uint64_t root_dev_ = 0;      // the host's
  size_t max_handles_ = 0;
  NameCache names_;
  Recency cached_fds_;
  Recency handles_;

  Mutex mu_;
  std::map<std::pair<uint64_t, uint64_t>, GoferInode*> inodes_ MOAT_GUARDED_BY(mu_);  // by host (dev, ino), weak
  std::map<uint64_t, uint64_t> devices_ MOAT_GUARDED_BY(mu_);  // host device -> ours, but the root's
  Ref<GoferInode> root_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat
