#include "fs/vfs/fd_table.h"

#include <algorithm>

#include "base/kern/held.h"
#include "fs/vfs/file_lock.h"

namespace moat {

namespace {
constexpr size_t kFirstSlots = 64;
}

FdTable::~FdTable() {
  std::vector<Slot> slots;
  {
    MutexLock lock(mu_);
    slots = std::move(slots_);
  }
  HeldMemory::Give(slots.size() * sizeof(Slot));
  for (Slot& slot : slots) {
    if (slot.file) static_cast<void>(Finish(std::move(slot.file)));
  }
}

ErrorOr<Ref<FileDescription>> FdTable::GetRaw(int fd) const {
  MutexLock lock(mu_);
  if (static_cast<size_t>(fd) >= slots_.size() || !slots_[static_cast<size_t>(fd)].file) return kEBADF;
  return slots_[static_cast<size_t>(fd)].file;
}

ErrorOr<Ref<FileDescription>> FdTable::Get(int fd) const {
  MutexLock lock(mu_);
  if (static_cast<size_t>(fd) >= slots_.size()) return kEBADF;
  const Ref<FileDescription>& file = slots_[static_cast<size_t>(fd)].file;
  if (!file || file->is_path_only()) return kEBADF;
  return file;
}

ErrorOr<void> FdTable::GrowLocked(size_t count) {
  if (!HeldMemory::Take((count - slots_.size()) * sizeof(Slot))) return kENOMEM;
  slots_.resize(count);
  return {};
}

ErrorOr<int> FdTable::Install(Ref<FileDescription> file, bool cloexec, uint64_t limit, int lowest) {
  if (lowest < 0 || static_cast<uint64_t>(lowest) >= limit) return kEINVAL;
  if (OpenFiles::over()) return kENFILE;  // `file` is one too many, or was made when there was room
  MutexLock lock(mu_);
  size_t fd = std::max(static_cast<size_t>(lowest), lowest_free_);
  while (fd < slots_.size() && slots_[fd].file) ++fd;
  if (fd >= limit) return kEMFILE;
  if (fd >= slots_.size()) TRY(GrowLocked(std::max({fd + 1, kFirstSlots, std::min(slots_.size() * 2, size_t{limit})})));
  if (static_cast<size_t>(lowest) <= lowest_free_) lowest_free_ = fd + 1;
  slots_[fd] = {std::move(file), cloexec};
  ++open_;
  return static_cast<int>(fd);
}

ErrorOr<int> FdTable::InstallAt(Ref<FileDescription> file, int fd_, bool cloexec, uint64_t limit) {
  if (fd_ < 0 || static_cast<uint64_t>(fd_) >= limit) return kEBADF;
  size_t fd = static_cast<size_t>(fd_);
  {
    MutexLock lock(mu_);
    if (fd >= slots_.size()) TRY(GrowLocked(std::max(fd + 1, kFirstSlots)));
    std::swap(slots_[fd].file, file);
    slots_[fd].cloexec = cloexec;
    if (!file) ++open_;
  }
  if (file) static_cast<void>(Finish(std::move(file)));
  return fd_;
}

Ref<FileDescription> FdTable::Remove(int fd_) {
  size_t fd = static_cast<size_t>(fd_);
  MutexLock lock(mu_);
  if (fd >= slots_.size() || !slots_[fd].file) return nullptr;
  lowest_free_ = std::min(lowest_free_, fd);
  --open_;
  return std::exchange(slots_[fd].file, nullptr);
}

ErrorOr<void> FdTable::Close(int fd) {
  Ref<FileDescription> file = Remove(fd);
  if (!file) return kEBADF;
  return Finish(std::move(file));
}

ErrorOr<void> FdTable::Finish(Ref<FileDescription> file) {
  if (file->is_path_only()) return {};
  ErrorOr<void> result = file->Flush(this);
  // Closing any descriptor of a file drops all POSIX locks that the table holds on it (fcntl(2)).
  if (FileLocks* locks = file->inode().locks_or_null()) locks->ReleaseOwner(this);
  return result;
}

void FdTable::CloseRange(uint32_t first, uint32_t last, bool cloexec_only) {
  std::vector<Ref<FileDescription>> closed;
  {
    MutexLock lock(mu_);
    for (size_t fd = first; fd < slots_.size() && fd <= last; ++fd) {
      if (!slots_[fd].file) continue;
      if (cloexec_only) {
        slots_[fd].cloexec = true;
        continue;
      }
      closed.push_back(std::exchange(slots_[fd].file, nullptr));
      lowest_free_ = std::min(lowest_free_, fd);
      --open_;
    }
  }
  for (Ref<FileDescription>& file : closed) static_cast<void>(Finish(std::move(file)));
}

void FdTable::CloseOnExec() {
  std::vector<Ref<FileDescription>> closed;
  {
    MutexLock lock(mu_);
    for (size_t fd = 0; fd < slots_.size(); ++fd) {
      if (!slots_[fd].file || !slots_[fd].cloexec) continue;
      closed.push_back(std::exchange(slots_[fd].file, nullptr));
      lowest_free_ = std::min(lowest_free_, fd);
      --open_;
    }
  }
  for (Ref<FileDescription>& file : closed) static_cast<void>(Finish(std::move(file)));
}

ErrorOr<bool> FdTable::GetCloexec(int fd) const {
  MutexLock lock(mu_);
  if (static_cast<size_t>(fd) >= slots_.size() || !slots_[static_cast<size_t>(fd)].file) return kEBADF;
  return slots_[static_cast<size_t>(fd)].cloexec;
}

ErrorOr<void> FdTable::SetCloexec(int fd, bool on) {
  MutexLock lock(mu_);
  if (static_cast<size_t>(fd) >= slots_.size() || !slots_[static_cast<size_t>(fd)].file) return kEBADF;
  slots_[static_cast<size_t>(fd)].cloexec = on;
  return {};
}

Ref<FdTable> FdTable::Copy(uint32_t below) const {
  Ref<FdTable> copy = MakeRef<FdTable>();
  MutexLock lock(mu_);
  MutexLock copy_lock(copy->mu_);
  size_t end = std::min(slots_.size(), static_cast<size_t>(below));
  while (end > 0 && !slots_[end - 1].file) --end;
  copy->slots_.assign(slots_.begin(), slots_.begin() + static_cast<ptrdiff_t>(end));
  HeldMemory::TakeAlways(end * sizeof(Slot));  // fork and its kin look whether there is room
  for (const Slot& slot : copy->slots_) copy->open_ += slot.file ? 1 : 0;
  copy->lowest_free_ = std::min(lowest_free_, end);
  return copy;
}

int FdTable::NextFd(int from) const {
  MutexLock lock(mu_);
  for (size_t fd = static_cast<size_t>(std::max(from, 0)); fd < slots_.size(); ++fd) {
    if (slots_[fd].file) return static_cast<int>(fd);
  }
  return -1;
}

size_t FdTable::count() const {
  MutexLock lock(mu_);
  return open_;
}

size_t FdTable::capacity() const {
  MutexLock lock(mu_);
  return std::max(slots_.size(), kFirstSlots);
}

}  // namespace moat
