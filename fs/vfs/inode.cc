#include "fs/vfs/inode.h"

#include <memory>

#include "abi/stat.h"
#include "fs/vfs/file_lock.h"
#include "fs/vfs/inotify.h"

namespace moat {

namespace {

std::atomic<uint32_t> g_next_anonymous_device{1};

// Sets `slot` to a new T unless somebody was faster.
template <class T>
T& MakeOnce(std::atomic<T*>& slot) {
  if (T* present = slot.load(std::memory_order_acquire)) return *present;
  auto made = std::make_unique<T>();
  T* expected = nullptr;
  if (slot.compare_exchange_strong(expected, made.get(), std::memory_order_acq_rel)) return *made.release();
  return *expected;
}

}  // namespace

uint64_t NewAnonymousDevice() {
  return abi::MakeDev(0, g_next_anonymous_device.fetch_add(1, std::memory_order_relaxed));
}

FileSystem::FileSystem() : dev_(NewAnonymousDevice()) {}

Inode::Inode(FileSystem& fs, uint32_t type)
    : fs_(&fs), type_(type), lock_(type == abi::kS_IFDIR ? LockRank::kDirectory : LockRank::kInode) {}

Inode::~Inode() {
  delete locks_.load(std::memory_order_acquire);
  delete marks_.load(std::memory_order_acquire);
}

FileLocks& Inode::locks() {
  if (FileLocks* present = locks_or_null()) return *present;
  FileLocks& locks = MakeOnce(locks_);
  locks.Register(*this);
  return locks;
}
InotifyMarks& Inode::EnsureMarks() { return MakeOnce(marks_); }

Ref<RefCounted> Inode::attachment() const {
  MutexLock lock(attachment_mu_);
  return attachment_;
}

void Inode::set_attachment(Ref<RefCounted> object) {
  MutexLock lock(attachment_mu_);
  std::swap(attachment_, object);  // the old one goes after the lock: `object` is destroyed by the caller
}

Ref<RefCounted> Inode::AttachOnce(Ref<RefCounted> candidate) {
  MutexLock lock(attachment_mu_);
  if (!attachment_) attachment_ = std::move(candidate);
  return attachment_;
}

ErrorOr<void> Inode::GetWriteAccess() {
  int n = write_count_.load(std::memory_order_relaxed);
  do {
    if (n < 0) return kETXTBSY;
  } while (!write_count_.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel));
  return {};
}

void Inode::PutWriteAccess() { write_count_.fetch_sub(1, std::memory_order_acq_rel); }

ErrorOr<void> Inode::DenyWriteAccess() {
  int n = write_count_.load(std::memory_order_relaxed);
  do {
    if (n > 0) return kETXTBSY;
  } while (!write_count_.compare_exchange_weak(n, n - 1, std::memory_order_acq_rel));
  return {};
}

void Inode::AllowWriteAccess() { write_count_.fetch_add(1, std::memory_order_acq_rel); }

}  // namespace moat
