#include "fs/vfs/file_description.h"

#include "abi/fcntl.h"
#include "abi/inotify.h"
#include "base/kern/held.h"
#include "base/util/no_destructor.h"
#include "fs/vfs/file_lock.h"
#include "fs/vfs/inotify.h"

namespace moat {

Mutex& FileObserver::lock() {
  static NoDestructor<Mutex> mu;
  return *mu;
}

void FileDescription::Observe(FileObserver& observer) {
  observers_.PushBack(observer);
  observed_.store(true, std::memory_order_release);
}

void FileDescription::Dispose() const {
  if (observed_.load(std::memory_order_acquire)) {
    FileDescription* self = const_cast<FileDescription*>(this);
    MutexLock lock(FileObserver::lock());
    while (FileObserver* observer = self->observers_.PopFront()) observer->FileGone();
  }
  delete async();
  delete this;
}

void FileDescription::SetAsyncFlag(bool on) {
  if (on) {
    flags_.fetch_or(abi::kO_ASYNC, std::memory_order_relaxed);
  } else {
    flags_.fetch_and(~abi::kO_ASYNC, std::memory_order_relaxed);
  }
}

FileAsync& FileDescription::MakeAsync() {
  FileAsync* now = async();
  if (now) return *now;
  FileAsync* made = new FileAsync(async_kind(), readable(), writable(), wait_queue());
  if (async_.compare_exchange_strong(now, made, std::memory_order_acq_rel)) return *made;
  delete made;
  return *now;
}

FileDescription::FileDescription(const Path& path, uint32_t flags) : path_(path), flags_(flags) { OpenFiles::Add(); }

FileDescription::~FileDescription() {
  OpenFiles::Drop();
  if (FileLocks* locks = inode().locks_or_null()) locks->ReleaseOwner(this);
  if (announced_) NotifyFile(path_, writable() ? abi::kIN_CLOSE_WRITE : abi::kIN_CLOSE_NOWRITE);
  if (holds_write_access_) inode().PutWriteAccess();
}

Inode& FileDescription::inode() const { return *path_.dentry->inode(); }

bool FileDescription::readable() const {
  uint32_t access = flags() & abi::kO_ACCMODE;
  return !is_path_only() && (access == abi::kO_RDONLY || access == abi::kO_RDWR);
}

bool FileDescription::writable() const {
  uint32_t access = flags() & abi::kO_ACCMODE;
  return !is_path_only() && (access == abi::kO_WRONLY || access == abi::kO_RDWR);
}

bool FileDescription::is_path_only() const { return flags() & abi::kO_PATH; }

ErrorOr<void> FileDescription::SetFlags(uint32_t flags) {
  uint32_t old = flags_.load(std::memory_order_relaxed);
  flags_.store((old & ~abi::kSETFL_MASK) | (flags & abi::kSETFL_MASK), std::memory_order_relaxed);
  return {};
}

ErrorOr<int64_t> FileDescription::SeekFrom(int64_t offset, int whence) {
  int64_t size = static_cast<int64_t>(TRY(inode().GetAttr()).size);
  switch (whence) {
    case abi::kSEEK_END: {
      int64_t to;
      if (__builtin_add_overflow(size, offset, &to)) return kEOVERFLOW;
      if (to < 0) return kEINVAL;
      return to;
    }
    case abi::kSEEK_DATA:
    case abi::kSEEK_HOLE:
      if (offset < 0 || offset >= size) return kENXIO;
      return whence == abi::kSEEK_DATA ? offset : size;
    default: return kEINVAL;
  }
}

}  // namespace moat
