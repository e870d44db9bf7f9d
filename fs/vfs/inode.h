// Inodes and file systems: what a file system implements. As Linux's inode_operations.
//
// The vfs (path walk, permission checks, mounts, dentry cache, locks) sits above; an Inode's methods are called after
// permission checks, with the TaskMutexes named below held, and may park the fiber (gofer trips). Names are single
// components, never "", "." or "..".
//
// Lock order (sleeping locks, outermost first):
//   rename lock (one per FileSystem, only for cross-directory renames)
//     directory lock (Inode::lock of directories; two at once: ancestor first)
//       inode lock (Inode::lock of other inodes)
// Short mutexes of dentries and file systems are below all of these.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/kern/credentials.h"
#include "base/sync/task_mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/attr.h"

namespace moat {

class Dentry;
class FileDescription;
class FileLocks;
class Inode;
class InotifyMarks;
struct Path;

// A device number (0:N) that nothing else has, in st_dev's encoding: for file systems that show several devices.
uint64_t NewAnonymousDevice();

class FileSystem : public RefCounted {
 public:
  virtual std::string_view type() const = 0;  // "tmpfs", as in /proc/mounts
  virtual Ref<Inode> root() = 0;
  virtual ErrorOr<StatFs> Stat() = 0;
  // Writes back what the file system caches; syncfs(2).
  virtual ErrorOr<void> Sync() { return {}; }
  // Options for /proc/mounts, without ro/rw ("size=64k,mode=755").
  virtual std::string ShowOptions() { return {}; }

  // The last Mount of it is gone: lets go of the root, which would otherwise keep the file system (an Inode holds it).
  virtual void Unmounted() {}

  uint64_t dev() const { return dev_; }  // st_dev, unique per instance
  TaskMutex& rename_lock() { return rename_lock_; }

 protected:
  FileSystem();  // takes a fresh anonymous device number (0:N)
  uint64_t dev_;

 private:
  friend class Mount;
  TaskMutex rename_lock_{LockRank::kRename};
  std::atomic<int> mount_count_{0};
};

// Owner and permission bits of a new inode; umask and set-gid inheritance are already applied.
struct NewInode {
  uint32_t mode;  // permission bits (the type is the method's)
  uint32_t uid, gid;
};

class Inode : public RefCounted {
 public:
  FileSystem& fs() const { return *fs_; }
  uint32_t type() const { return type_; }  // S_IFREG, ...: never changes
  bool is_dir() const { return type_ == 0040000; }
  bool is_regular() const { return type_ == 0100000; }
  bool is_symlink() const { return type_ == 0120000; }

  virtual ErrorOr<Attr> GetAttr() = 0;
  virtual ErrorOr<void> SetAttributes(const SetAttr&) { return kEPERM; }  // lock held
  // Checks beyond mode bits and ACLs (proc's ptrace rules); `may` is MAY_* of permissions.h.
  virtual ErrorOr<void> CheckAccess(const Credentials&, int may) { return {}; }

  // Directories, `lock` held except for Lookup (which may run concurrently with itself). Lookup: kENOENT if absent.
  virtual ErrorOr<Ref<Inode>> Lookup(std::string_view name) { return kENOTDIR; }
  virtual ErrorOr<Ref<Inode>> Create(std::string_view name, const NewInode&) { return kEPERM; }
  virtual ErrorOr<Ref<Inode>> Mkdir(std::string_view name, const NewInode&) { return kEPERM; }
  // `type` is S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK or S_IFREG.
  virtual ErrorOr<Ref<Inode>> Mknod(std::string_view name, uint32_t type, uint64_t rdev, const NewInode&) { return kEPERM; }
  virtual ErrorOr<Ref<Inode>> Symlink(std::string_view name, std::string_view target, const NewInode&) { return kEPERM; }
  virtual ErrorOr<void> Link(std::string_view name, Inode& target) { return kEPERM; }
  virtual ErrorOr<void> Unlink(std::string_view name, Inode& victim) { return kEPERM; }
  virtual ErrorOr<void> Rmdir(std::string_view name, Inode& victim) { return kEPERM; }  // kENOTEMPTY
  // rename(2) within one file system; `flags` RENAME_*. `target` is what new_name is now, or null. The vfs has made the
  // type and permission checks; emptiness of a replaced directory is the file system's (kENOTEMPTY).
  virtual ErrorOr<void> Rename(std::string_view old_name, Inode& source, Inode& new_dir, std::string_view new_name,
                               Inode* target, uint32_t flags) { return kEPERM; }
  // An unnamed regular file (O_TMPFILE); kEOPNOTSUPP if the file system has none.
  virtual ErrorOr<Ref<Inode>> CreateUnnamed(const NewInode&) { return kEOPNOTSUPP; }

  virtual ErrorOr<std::string> ReadLink() { return kEINVAL; }
  // A magic link (/proc/self/fd/3, /proc/self/exe): where it really leads. kEINVAL: an ordinary symlink, use ReadLink.
  virtual ErrorOr<void> FollowMagic(Path* out) { return kEINVAL; }

  // Opens: `path` is where the file was found, `flags` O_* after the vfs's checks (O_CREAT, O_EXCL stripped; O_TRUNC is done
  // by the vfs through SetAttributes). kENXIO for sockets.
  virtual ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) = 0;

  // True if Open is asked for a device or FIFO too, in place of what special.h knows: a descriptor of the host.
  virtual bool OpensItself() { return false; }

  // Extended attributes, names with their prefix. kENODATA if absent; List returns NUL-terminated names.
  virtual ErrorOr<std::string> GetXattr(std::string_view name) { return kEOPNOTSUPP; }
  virtual ErrorOr<void> SetXattr(std::string_view name, std::string_view value, int flags) { return kEOPNOTSUPP; }
  virtual ErrorOr<void> RemoveXattr(std::string_view name) { return kEOPNOTSUPP; }
  virtual ErrorOr<std::string> ListXattr() { return std::string(); }

  // Prefetch: the walk is about to look up these names one below the other. A file system with expensive trips may fetch
  // them in one and keep the answers for the Lookups that follow. Never fails.
  virtual void WalkAhead(const std::vector<std::string_view>& names) {}
  // False if a dentry cached for `name` -> this inode must be looked up again (host-backed files may change).
  virtual bool StillValid(std::string_view name) { return true; }
  // True if access times are kept here and the vfs is to update them when files are read (false: a host does that).
  virtual bool KeepsAtime() { return false; }
  // True if a system.posix_acl_access attribute may exist: only then do permission checks ask for it.
  virtual bool MayHaveAcl() { return false; }
  // True if a failed lookup of `name` in this directory may be cached.
  virtual bool CachesNegative() { return true; }
  // False for directories whose content is computed (proc): their dentries are not cached.
  virtual bool CachesChildren() { return true; }

  TaskMutex& lock() { return lock_; }
  // Record locks, flocks and leases on this inode; made on first use.
  FileLocks& locks();
  FileLocks* locks_or_null() const { return locks_.load(std::memory_order_acquire); }
  // inotify marks, or null if nobody ever watched it.
  InotifyMarks* marks() const { return marks_.load(std::memory_order_acquire); }
  InotifyMarks& EnsureMarks();

  // State that another subsystem hangs on the inode for its life: the pipe of a FIFO, the socket bound to a name.
  Ref<RefCounted> attachment() const;  // or null
  void set_attachment(Ref<RefCounted> object);
  // Sets `candidate` if there is none; returns what is attached now.
  Ref<RefCounted> AttachOnce(Ref<RefCounted> candidate);

  // O_TMPFILE without O_EXCL: linkat(2) may give the file a name although it has none.
  void set_linkable(bool on) { linkable_.store(on, std::memory_order_relaxed); }
  bool linkable() const { return linkable_.load(std::memory_order_relaxed); }

  // Shared writable mappings that exist now: whoever keeps the book of mappings counts them here (F_SEAL_WRITE).
  void CountWritableMapping(int change) { writable_mappings_.fetch_add(change, std::memory_order_relaxed); }
  int writable_mappings() const { return writable_mappings_.load(std::memory_order_relaxed); }

  // Writers (> 0) or denied writers (< 0): ETXTBSY, as i_writecount.
  ErrorOr<void> GetWriteAccess();   // kETXTBSY
  void PutWriteAccess();
  ErrorOr<void> DenyWriteAccess();  // kETXTBSY
  void AllowWriteAccess();

 protected:
  Inode(FileSystem& fs, uint32_t type);
  ~Inode() override;

 private:
  const Ref<FileSystem> fs_;
  const uint32_t type_;
  TaskMutex lock_;
  std::atomic<FileLocks*> locks_{nullptr};
  std::atomic<InotifyMarks*> marks_{nullptr};
  std::atomic<int> write_count_{0};
  std::atomic<bool> linkable_{false};
  std::atomic<int> writable_mappings_{0};
  mutable Mutex attachment_mu_;
  Ref<RefCounted> attachment_ MOAT_GUARDED_BY(attachment_mu_);
};

}  // namespace moat
