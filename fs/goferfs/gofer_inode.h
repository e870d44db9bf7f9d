// An inode of the gofer's file system, of any type.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/sync/mutex.h"
#include "fs/goferfs/gofer_fs.h"
#include "fs/vfs/inode.h"

namespace moat {

// Requests name a directory by the handle the gofer gave for it, got again from its parent when it was let go; any other
// inode by (parent, name), checked against (dev, ino), or by a handle kept from when it lost its last known name.
class GoferInode final : public Inode {
 public:
  // Inode.
  ErrorOr<Attr> GetAttr() override;
  ErrorOr<void> SetAttributes(const SetAttr& set) override;
  ErrorOr<Ref<Inode>> Lookup(std::string_view name) override;
  ErrorOr<Ref<Inode>> Create(std::string_view name, const NewInode& node) override;
  ErrorOr<Ref<Inode>> Mkdir(std::string_view name, const NewInode& node) override;
  ErrorOr<Ref<Inode>> Mknod(std::string_view name, uint32_t type, uint64_t rdev, const NewInode& node) override;
  ErrorOr<Ref<Inode>> Symlink(std::string_view name, std::string_view target, const NewInode& node) override;
  ErrorOr<void> Link(std::string_view name, Inode& target) override;
  ErrorOr<void> Unlink(std::string_view name, Inode& victim) override;
  ErrorOr<void> Rmdir(std::string_view name, Inode& victim) override;
  ErrorOr<void> Rename(std::string_view old_name, Inode& source, Inode& new_dir, std::string_view new_name, Inode* target,
                       uint32_t flags) override;
  ErrorOr<Ref<Inode>> CreateUnnamed(const NewInode& node) override;
  ErrorOr<std::string> ReadLink() override;
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override;
  ErrorOr<std::string> GetXattr(std::string_view name) override;
  ErrorOr<void> SetXattr(std::string_view name, std::string_view value, int flags) override;
  ErrorOr<void> RemoveXattr(std::string_view name) override;
  ErrorOr<std::string> ListXattr() override;
  void WalkAhead(const std::vector<std::string_view>& names) override;
  bool StillValid(std::string_view name) override;
  bool CachesNegative() override;

  GoferFs& gofer_fs() const { return static_cast<GoferFs&>(fs()); }
  uint64_t serial() const { return serial_; }  // never used twice
  uint64_t host_ino() const { return host_ino_; }
  bool hidden() const { return hidden_; }
  Ref<GoferInode> parent() const;  // of its last known name; null for the root and what never had one

  // Forget what may be cached: the attributes changed by what the sentry did itself.
  void AttributesChanged();
  void DropCachedFd();
  void DropHandle();

 private:
  friend class GoferFs;
  friend class GoferFile;
  friend class GoferDirFile;
  using Handle = gofer::Handle;

  GoferInode(GoferFs& fs, const gofer::WireAttr& attr);
  ~GoferInode() override;

  // Whether an answer of that time (CLOCK_MONOTONIC ns, 0: none) is still believed.
  bool Fresh(int64_t time_ns) const;
  void Update(const gofer::WireAttr& attr);  // what the gofer says now
  void SetPlace(Ref<GoferInode> parent, std::string_view name);
  bool SameFile(const gofer::WireAttr& attr) const;
  Attr ToAttr(const gofer::WireAttr& attr) const;

  // Requests. `fill` puts the fixed part, whose handle or target it gets; called again if the handle had to be renewed.
  ErrorOr<Handle> EnsureHandle();
  void AdoptHandle(Handle handle);
  void RenewHandle(Handle stale);
  template <class Fill> ErrorOr<GoferClient::Reply> CallInDirectory(gofer::Op op, Fill fill);
  template <class Fill> ErrorOr<GoferClient::Reply> CallOnTarget(gofer::Op op, Fill fill);
  struct Address {
    gofer::Target target{};
    std::string name;
    Ref<GoferInode> owner;  // whose handle it is
  };
  ErrorOr<Address> FindAddress();
  // The first batch of a listing, and this directory's handle with it if it had none: one trip instead of two.
  ErrorOr<GoferClient::Reply> StartListing(uint32_t max_bytes);

  // One trip below this directory. `found` gets the inodes in order; `last` what ended the walk.
  struct WalkResult {
    std::vector<Ref<GoferInode>> found;
    Errno error{0};  // of the name after the last found
  };
  ErrorOr<WalkResult> WalkTrip(std::span<const std::string_view> names);
  // WalkAhead of several paths in one trip; as many as one message takes.
  void WalkManyAhead(const std::vector<std::vector<std::string_view>>& walks);
  // Puts what a walk below this directory found into the cache.
  void Remember(std::span<const std::string_view> names, const WalkResult& walked);
  ErrorOr<void> TakeComponents(gofer::Reader& in, std::span<const std::string_view> names, UniqueFd fd, WalkResult& out);

  ErrorOr<Ref<GoferInode>> TakeNode(GoferClient::Reply& reply, std::string_view name);
  void ChildChanged(std::string_view name);
  void LostName(std::string_view name, const gofer::NodeReply& node);
  bool MustKeep();  // whether it must stay reachable after it loses a name
  ErrorOr<void> RemoveName(gofer::Op op, std::string_view name, GoferInode& victim);

  ErrorOr<Ref<HostFd>> ReadFd();                      // the shared one
  ErrorOr<Ref<HostFd>> OpenHostFd(uint32_t flags);    // one of its own
  void CacheReadFd(UniqueFd fd);
  void AddOpenFd(HostFd& fd);
  void RemoveOpenFd(HostFd& fd);
  Ref<HostFd> AnyFd();
  ErrorOr<void> StatThrough(HostFd& fd);
  ErrorOr<std::string> FetchXattr(std::string_view name);

  const uint64_t serial_;
  const uint64_t host_dev_, host_ino_;
  const bool hidden_;

  mutable Mutex mu_;
  Ref<GoferInode> parent_ MOAT_GUARDED_BY(mu_);
  std::string name_ MOAT_GUARDED_BY(mu_);
  int64_t entry_time_ns_ MOAT_GUARDED_BY(mu_) = 0;  // of (parent, name) -> this
  gofer::WireAttr attr_ MOAT_GUARDED_BY(mu_);
  int64_t attr_time_ns_ MOAT_GUARDED_BY(mu_) = 0;
  bool unreachable_ MOAT_GUARDED_BY(mu_) = false;  // without a name and handle: what is cached is all there is
  Handle handle_ MOAT_GUARDED_BY(mu_) = 0;
  std::optional<std::string> target_ MOAT_GUARDED_BY(mu_);
  Ref<HostFd> read_fd_ MOAT_GUARDED_BY(mu_);       // or null
  Ref<HostFd> created_fd_ MOAT_GUARDED_BY(mu_);    // or null: read-write, from Create, for the open that follows
  std::vector<HostFd*> open_fds_ MOAT_GUARDED_BY(mu_);  // of open files, which remove them before they die
  // Attributes asked for by every permission check and exec, good while ctime stays.
  struct CachedXattr {
    std::string name, value;
    Errno error{0};
  };
  std::vector<CachedXattr> xattrs_ MOAT_GUARDED_BY(mu_);
  TimeSpec xattrs_ctime_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat
