// An open file (Linux: struct file). Objects never block: Try* return kEAGAIN, with Readiness and a WaitQueue to wait on.
// Regular files and directories do not return kEAGAIN; they may park the fiber for the host.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/kern/io.h"
#include "base/kern/user_memory.h"
#include "base/kern/wait_queue.h"
#include "base/sync/task_mutex.h"
#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/intrusive_list.h"
#include "base/util/ref.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/file_async.h"

namespace moat {

class FileDescription;
class Terminal;

// Takes directory entries; returns false when full (the entry was not taken).
class DirSink {
 public:
  // `next` is the position to continue at after this entry (d_off); `type` is DT_*.
  virtual bool Entry(std::string_view name, uint64_t ino, uint8_t type, int64_t next) = 0;

 protected:
  ~DirSink() = default;
};

// Backs a mapping with a host fd. The fd stays the file's and lives as long as the FileDescription.
struct HostBacking {
  int fd = -1;          // -1: anonymous zero memory (a private mapping of /dev/zero)
  uint64_t offset = 0;  // where in fd the file offset asked for is
};

// Per-call flags of reads and writes.
struct IoFlags {
  bool nonblocking = false;  // RWF_NOWAIT, O_NONBLOCK, MSG_DONTWAIT: for files that could park
  bool sync = false;         // RWF_SYNC / RWF_DSYNC / O_SYNC / O_DSYNC
  bool append = false;       // RWF_APPEND / O_APPEND
};

// Hears that a file is about to be taken apart: epoll's items, which hold files weakly.
class FileObserver {
 public:
  // Guards every file's list of observers. A leaf but for wait queues' and epoll's own locks.
  static Mutex& lock();
  // The last reference to the file is gone; the file is still whole. Called with lock() held and this observer already
  // off the file's list; may destroy the observer.
  virtual void FileGone() = 0;

 protected:
  ~FileObserver() = default;

 private:
  friend class FileDescription;
  ListNode node_;
};

class FileDescription : public RefCounted {
 public:
  const Path& path() const { return path_; }
  Inode& inode() const;

  // O_ACCMODE and status flags (O_APPEND, O_NONBLOCK, O_DIRECT, O_SYNC, O_PATH...); F_SETFL changes the settable ones.
  uint32_t flags() const { return flags_.load(std::memory_order_relaxed); }
  virtual ErrorOr<void> SetFlags(uint32_t flags);  // after the generic checks
  bool nonblocking() const { return flags() & 04000; }
  bool readable() const;  // FMODE_READ: false for O_WRONLY and O_PATH
  bool writable() const;
  bool is_path_only() const;

  // Reads into `dst` / writes from `src`. `offset` is null for streams (pipes, sockets), else the file position: the call
  // moves it by what was done (an append moves it to the end first). 0 at end of file. kEAGAIN: not ready. The default is
  // kEINVAL. SIGPIPE is the caller's business (kEPIPE).
  virtual ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) { return kEINVAL; }
  virtual ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags flags) { return kEINVAL; }

  // POLLIN|POLLOUT|... now. Files that are always ready keep the default.
  virtual EventMask Readiness() { return 0x145; }  // POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM
  virtual WaitQueue* wait_queue() { return nullptr; }  // null: always ready
  virtual bool pollable() const { return false; }      // epoll_ctl(2) ADD gives EPERM when false

  // True if the file has a position (lseek, pread). Streams: false, lseek gives ESPIPE.
  virtual bool seekable() const { return true; }
  // Computes a new position for SEEK_END, SEEK_DATA, SEEK_HOLE; SEEK_SET and SEEK_CUR are generic. kEINVAL, kENXIO.
  virtual ErrorOr<int64_t> SeekFrom(int64_t offset, int whence);
  // Emits entries from *position on. kENOTDIR.
  virtual ErrorOr<void> ReadDir(DirSink& sink, int64_t* position) { return kENOTDIR; }

  // kENOTTY by default. The generic FIO* are handled before.
  virtual ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) { return kENOTTY; }
  // fcntl(2) commands of one kind of file: F_SETPIPE_SZ and F_GETPIPE_SZ of pipes, F_ADD_SEALS and F_GET_SEALS of memfds.
  virtual ErrorOr<uint64_t> Fcntl(int command, uint64_t arg) { return kEINVAL; }
  virtual ErrorOr<void> Sync(bool data_only) { return kEINVAL; }  // fsync(2); kEINVAL: special file
  virtual ErrorOr<void> Allocate(int mode, int64_t offset, int64_t length) { return kENODEV; }
  // The host fd that shows [offset, offset + length) of this file. `shared_writable`: MAP_SHARED that is or may become
  // writable. kENODEV: the file cannot be mapped; kEACCES.
  virtual ErrorOr<HostBacking> Map(uint64_t offset, uint64_t length, bool shared_writable) { return kENODEV; }

  // An address space shows it in `change` more (or, negative, fewer) mappings. Called with short locks held: changes counters
  // and nothing else.
  virtual void OnMapped(int change) {}

  // The terminal that it is open on, or null. Borrowed.
  virtual Terminal* terminal() { return nullptr; }

  // The last fd that refers to it in some fd table was closed (close(2)'s flush); `owner` identifies the fd table.
  virtual ErrorOr<void> Flush(const void* owner) { return {}; }

  // The position for read/write/lseek/getdents, with its lock (held across the I/O, as f_pos_lock).
  TaskMutex& position_lock() { return position_lock_; }
  virtual int64_t position() const { return position_; }
  virtual void set_position(int64_t p) { position_ = p; }

  // open(2) of a FIFO waits for the other end: the caller repeats this while it says kEAGAIN, sleeping on wait_queue().
  virtual ErrorOr<void> FinishOpen() { return {}; }

  // Observers, under FileObserver::lock().
  using Observers = IntrusiveList<FileObserver, &FileObserver::node_>;
  void Observe(FileObserver& observer) MOAT_REQUIRES(FileObserver::lock());
  static void StopObserving(FileObserver& observer) MOAT_REQUIRES(FileObserver::lock()) { observer.node_.Unlink(); }
  Observers& observers() MOAT_REQUIRES(FileObserver::lock()) { return observers_; }

  // Signal-driven I/O: what F_SETFL with O_ASYNC does, and its state once it was used (else null).
  virtual AsyncKind async_kind() const { return AsyncKind::kNone; }
  FileAsync* async() const { return async_.load(std::memory_order_acquire); }
  FileAsync& MakeAsync();
  void SetAsyncFlag(bool on);  // O_ASYNC
  // The lines that this kind of file adds to /proc/PID/fdinfo.
  virtual std::string FdInfo() { return {}; }

 protected:
  FileDescription(const Path& path, uint32_t flags);
  ~FileDescription() override;
  void Dispose() const final;
  // A sender or poller of a file whose kind signals room found none.
  void MissedRoom() {
    if (FileAsync* a = async()) a->MissedRoom();
  }

 private:
  friend class FileOpener;
  const Path path_;
  std::atomic<uint32_t> flags_;
  TaskMutex position_lock_{LockRank::kFilePosition};
  int64_t position_ = 0;
  bool holds_write_access_ = false;  // of the inode (ETXTBSY); dropped with the description
  bool announced_ = false;           // inotify saw it open, and will see it close
  std::atomic<bool> observed_{false};  // observers_ was used
  Observers observers_;
  std::atomic<FileAsync*> async_{nullptr};  // owned
};

}  // namespace moat
