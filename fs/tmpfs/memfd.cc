#include "fs/tmpfs/memfd.h"

#include "abi/fcntl.h"
#include "base/sync/mutex.h"
#include "base/util/no_destructor.h"
#include "fs/tmpfs/directory.h"
#include "fs/tmpfs/file.h"

namespace moat {

namespace {

// Names are shown with "memfd:" before them and are no longer than a component.
constexpr size_t kMaxMemfdName = 249;

// The tmpfs that nobody mounts (Linux: shm_mnt).
struct Hidden {
  Mutex mu;
  Ref<MemoryLimit> limit MOAT_GUARDED_BY(mu);
  Ref<Tmpfs> fs MOAT_GUARDED_BY(mu);
};

Hidden& GetHidden() {
  static NoDestructor<Hidden> hidden;
  return *hidden;
}

Ref<Tmpfs> HiddenFs() {
  Hidden& h = GetHidden();
  MutexLock lock(h.mu);
  if (!h.limit) h.limit = MakeRef<MemoryLimit>(INT64_MAX / 4096);
  if (!h.fs) {
    TmpfsOptions options;
    options.limit = h.limit;
    h.fs = Tmpfs::Create(std::move(options));
  }
  return h.fs;
}

struct Made {
  Ref<TmpfsFile> inode;
  Ref<FileDescription> file;
};

ErrorOr<Made> MakeHidden(std::string name, const NewInode& attributes) {
  Ref<Tmpfs> fs = HiddenFs();
  Ref<Inode> inode = TRY(fs->root()->CreateUnnamed(attributes));
  Path path{nullptr, Dentry::MakeAnonymous(inode, std::move(name))};
  Ref<FileDescription> file = TRY(inode->Open(path, abi::kO_RDWR | abi::kO_LARGEFILE));
  return Made{RefCast<TmpfsFile>(inode), std::move(file)};
}

TmpfsFile* AsSealable(FileDescription& file) { return dynamic_cast<TmpfsFile*>(&file.inode()); }

}  // namespace

void SetSharedMemoryLimit(Ref<MemoryLimit> limit) {
  Hidden& h = GetHidden();
  MutexLock lock(h.mu);
  h.limit = std::move(limit);
}

ErrorOr<Ref<FileDescription>> CreateMemfd(std::string_view name, uint32_t flags, uint32_t uid, uint32_t gid) {
  constexpr uint32_t kKnown = abi::kMFD_CLOEXEC | abi::kMFD_ALLOW_SEALING | abi::kMFD_NOEXEC_SEAL | abi::kMFD_EXEC;
  if (flags & abi::kMFD_HUGETLB) return kENOSYS;
  if (flags & ~kKnown) return kEINVAL;
  if ((flags & abi::kMFD_EXEC) && (flags & abi::kMFD_NOEXEC_SEAL)) return kEINVAL;
  if (name.size() > kMaxMemfdName) return kEINVAL;
  uint32_t mode = flags & abi::kMFD_NOEXEC_SEAL ? 0666 : 0777;
  Made made = TRY(MakeHidden("/memfd:" + std::string(name) + " (deleted)", {mode, uid, gid}));
  if (flags & abi::kMFD_NOEXEC_SEAL) {
    made.inode->InitSeals(abi::kF_SEAL_EXEC);
  } else if (flags & abi::kMFD_ALLOW_SEALING) {
    made.inode->InitSeals(0);
  }
  return made.file;
}

ErrorOr<void> AddSeals(FileDescription& file, uint32_t seals) {
  TmpfsFile* inode = AsSealable(file);
  if (!file.writable()) return kEPERM;
  if (!inode) return kEINVAL;
  return inode->AddSeals(seals);
}

ErrorOr<uint32_t> GetSeals(FileDescription& file) {
  TmpfsFile* inode = AsSealable(file);
  if (!inode) return kEINVAL;
  return inode->seals();
}

ErrorOr<Ref<FileDescription>> MakeSharedAnonymous(uint64_t size) {
  return MakeSharedMemory("/dev/zero (deleted)", size, 0777, 0, 0);
}

ErrorOr<Ref<FileDescription>> MakeSharedMemory(std::string name, uint64_t size, uint32_t mode, uint32_t uid, uint32_t gid) {
  Made made = TRY(MakeHidden(std::move(name), {mode, uid, gid}));
  TRY(made.inode->MakeMappable(size));
  return made.file;
}

}  // namespace moat
