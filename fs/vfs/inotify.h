// inotify(7): marks on inodes, instances as open files, and the hooks through which the vfs reports what happens.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "fs/vfs/file_description.h"

namespace moat {

class InotifyInstance;

// Limits per instance, as fs.inotify.max_queued_events and (lower than Linux's) max_user_watches.
inline constexpr size_t kMaxQueuedEvents = 16384;
inline constexpr size_t kMaxWatches = 65536;

// One watch: an inode that an instance looks at.
struct InotifyWatch : RefCounted {
  InotifyInstance* instance = nullptr;  // null once the instance is closed; guarded by the inode's marks lock
  int wd = 0;
  uint32_t mask = 0;      // the marks lock
  Ref<Inode> inode;
  Ref<Dentry> pinned;     // keeps the inode findable; dropped when the name is deleted
};

class InotifyMarks {
 public:
  // Sends the event to every watch that asked for it.
  void Report(uint32_t mask, uint32_t cookie, std::string_view name, bool unlinked_child);
  // The inode's last link and use are gone: IN_DELETE_SELF, IN_IGNORED, and the watches end.
  void ReportGone();
  // Lets go of dentries, so that a deleted file can go.
  void Unpin();
  bool empty() const;

 private:
  friend class InotifyInstance;
  mutable Mutex mu_;
  std::vector<Ref<InotifyWatch>> watches_ MOAT_GUARDED_BY(mu_);
};

class InotifyInstance final : public FileDescription {
 public:
  // `flags`: O_NONBLOCK or 0.
  static Ref<InotifyInstance> Create(uint32_t flags);

  // inotify_add_watch(2) on what Walk found; the watch descriptor. kEINVAL, kEEXIST (IN_MASK_CREATE), kENOSPC.
  ErrorOr<int> AddWatch(const Path& path, uint32_t mask);
  ErrorOr<void> RemoveWatch(int wd);  // kEINVAL

  // Whole events; kEINVAL if the first does not fit.
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) override;
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &queue_; }
  bool pollable() const override { return true; }
  bool seekable() const override { return false; }
  AsyncKind async_kind() const override { return AsyncKind::kPlain; }
  ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) override;  // FIONREAD

  // Queues an event, joining it with an equal last one. Any lock may be held except this instance's.
  void Queue(int wd, uint32_t mask, uint32_t cookie, std::string_view name);
  // "inotify wd:... ino:..." lines of /proc/PID/fdinfo.
  std::string FdInfo() override;

 private:
  friend class InotifyMarks;
  explicit InotifyInstance(const Path& path, uint32_t flags);
  ~InotifyInstance() override;
  struct Event {
    int wd;
    uint32_t mask, cookie;
    std::string name;
    size_t Size() const;  // as read(2) delivers it
  };
  void Forget(int wd);  // its inode is gone or it was one-shot

  // Lock order: InotifyMarks::mu_ before mu_.
  Mutex mu_;
  std::deque<Event> events_ MOAT_GUARDED_BY(mu_);
  size_t queued_bytes_ MOAT_GUARDED_BY(mu_) = 0;
  std::map<int, Ref<InotifyWatch>> watches_ MOAT_GUARDED_BY(mu_);
  int next_wd_ MOAT_GUARDED_BY(mu_) = 1;
  WaitQueue queue_;
};

// Hooks. `mask` is IN_*; IN_ISDIR is added. Cheap when nobody watches anything.
// An event on the file at `path`, for its own watchers and those of its directory.
void NotifyFile(const Path& path, uint32_t mask);
// An event in directory `dir` about the name of `child` (or null): create, delete, move.
void NotifyName(Inode& dir, std::string_view name, Inode* child, uint32_t mask, uint32_t cookie = 0);
// An event on the inode alone: IN_MOVE_SELF, IN_ATTRIB by a changed link count.
void NotifyInode(Inode& inode, uint32_t mask);
uint32_t NextMoveCookie();

}  // namespace moat
