// Names: directories, links, renames, where a task stands.
#include <cstring>

#include "abi/capability.h"
#include "abi/dirent.h"
#include "abi/fcntl.h"
#include "abi/limits.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/permissions.h"
#include "fs/vfs/vfs.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"

namespace moat {
namespace {

// A path argument with where it starts.
struct NameArg {
  std::string name;
  Path start;
};
ErrorOr<NameArg> ReadName(Task& t, int dirfd, UserAddr path) {
  NameArg arg{.name = TRY(t.mm().ReadPath(path)), .start = {}};
  arg.start = TRY(StartOf(t, dirfd, arg.name));
  return arg;
}

ErrorOr<void> SysMkdirat(Task& t, int dirfd, UserAddr path, uint32_t mode) {
  NameArg a = TRY(ReadName(t, dirfd, path));
  return vfs::Mkdir(t.WalkView(), a.start, a.name, mode, t.fs().umask());
}
ErrorOr<void> SysMkdir(Task& t, UserAddr path, uint32_t mode) { return SysMkdirat(t, abi::kAT_FDCWD, path, mode); }

ErrorOr<void> SysMknodat(Task& t, int dirfd, UserAddr path, uint32_t mode, uint32_t dev) {
  NameArg a = TRY(ReadName(t, dirfd, path));
  return vfs::Mknod(t.WalkView(), a.start, a.name, mode, dev, t.fs().umask());
}
ErrorOr<void> SysMknod(Task& t, UserAddr path, uint32_t mode, uint32_t dev) {
  return SysMknodat(t, abi::kAT_FDCWD, path, mode, dev);
}

ErrorOr<void> SysRmdir(Task& t, UserAddr path) {
  NameArg a = TRY(ReadName(t, abi::kAT_FDCWD, path));
  return vfs::Rmdir(t.WalkView(), a.start, a.name);
}
ErrorOr<void> SysUnlinkat(Task& t, int dirfd, UserAddr path, uint32_t flags) {
  if (flags & ~abi::kAT_REMOVEDIR) return kEINVAL;
  NameArg a = TRY(ReadName(t, dirfd, path));
  return flags & abi::kAT_REMOVEDIR ? vfs::Rmdir(t.WalkView(), a.start, a.name)
                                    : vfs::Unlink(t.WalkView(), a.start, a.name);
}
ErrorOr<void> SysUnlink(Task& t, UserAddr path) { return SysUnlinkat(t, abi::kAT_FDCWD, path, 0); }

ErrorOr<void> SysSymlinkat(Task& t, UserAddr target, int dirfd, UserAddr path) {
  std::string text = TRY(t.mm().ReadPath(target));
  NameArg a = TRY(ReadName(t, dirfd, path));
  return vfs::Symlink(t.WalkView(), text, a.start, a.name);
}
ErrorOr<void> SysSymlink(Task& t, UserAddr target, UserAddr path) {
  return SysSymlinkat(t, target, abi::kAT_FDCWD, path);
}

ErrorOr<void> SysLinkat(Task& t, int old_dirfd, UserAddr old_path, int new_dirfd, UserAddr new_path, uint32_t flags) {
  if (flags & ~(abi::kAT_SYMLINK_FOLLOW | abi::kAT_EMPTY_PATH)) return kEINVAL;
  if ((flags & abi::kAT_EMPTY_PATH) && !t.creds().Has(abi::kCAP_DAC_READ_SEARCH)) return kENOENT;
  uint32_t at = (flags & abi::kAT_EMPTY_PATH) | (flags & abi::kAT_SYMLINK_FOLLOW ? 0 : abi::kAT_SYMLINK_NOFOLLOW);
  Path existing = TRY(ResolveAt(t, old_dirfd, old_path, at));
  NameArg a = TRY(ReadName(t, new_dirfd, new_path));
  return vfs::Link(t.WalkView(), existing, a.start, a.name);
}
ErrorOr<void> SysLink(Task& t, UserAddr old_path, UserAddr new_path) {
  return SysLinkat(t, abi::kAT_FDCWD, old_path, abi::kAT_FDCWD, new_path, 0);
}

ErrorOr<void> SysRenameat2(Task& t, int old_dirfd, UserAddr old_path, int new_dirfd, UserAddr new_path, uint32_t flags) {
  if (flags & ~(abi::kRENAME_NOREPLACE | abi::kRENAME_EXCHANGE | abi::kRENAME_WHITEOUT)) return kEINVAL;
  if ((flags & abi::kRENAME_EXCHANGE) && (flags & ~abi::kRENAME_EXCHANGE)) return kEINVAL;
  NameArg from = TRY(ReadName(t, old_dirfd, old_path));
  NameArg to = TRY(ReadName(t, new_dirfd, new_path));
  return vfs::Rename(t.WalkView(), from.start, from.name, to.start, to.name, flags);
}
ErrorOr<void> SysRenameat(Task& t, int old_dirfd, UserAddr old_path, int new_dirfd, UserAddr new_path) {
  return SysRenameat2(t, old_dirfd, old_path, new_dirfd, new_path, 0);
}
ErrorOr<void> SysRename(Task& t, UserAddr old_path, UserAddr new_path) {
  return SysRenameat2(t, abi::kAT_FDCWD, old_path, abi::kAT_FDCWD, new_path, 0);
}

// --- Where a task stands. ---

ErrorOr<void> EnterDirectory(Task& t, const Path& path) {
  if (!path.dentry->inode() || !path.dentry->inode()->is_dir()) return kENOTDIR;
  return PathPermission(t.creds(), path, kMayExec);
}

ErrorOr<void> SysChdir(Task& t, UserAddr path) {
  Path place = TRY(ResolveAt(t, abi::kAT_FDCWD, path, 0));
  TRY(EnterDirectory(t, place));
  t.fs().set_cwd(std::move(place));
  return {};
}
ErrorOr<void> SysFchdir(Task& t, int fd) {
  Ref<FileDescription> file = TRY(t.fds().GetRaw(fd));
  TRY(EnterDirectory(t, file->path()));
  t.fs().set_cwd(file->path());
  return {};
}
ErrorOr<void> SysChroot(Task& t, UserAddr path) {
  Path place = TRY(ResolveAt(t, abi::kAT_FDCWD, path, 0));
  TRY(EnterDirectory(t, place));
  if (!t.creds().Has(abi::kCAP_SYS_CHROOT)) return kEPERM;
  t.fs().set_root(std::move(place));
  return {};
}

ErrorOr<uint64_t> SysGetcwd(Task& t, UserAddr buf, uint64_t size) {
  PathString cwd = DPath(t.fs().root(), t.fs().cwd());
  if (cwd.deleted) return kENOENT;
  std::string text = cwd.reachable ? cwd.text : "(unreachable)" + cwd.text;
  if (text.size() + 1 > abi::kPATH_MAX) return kENAMETOOLONG;
  if (text.size() + 1 > size) return kERANGE;
  TRY(t.mm().CopyOut(buf, text.c_str(), text.size() + 1));
  return text.size() + 1;
}

ErrorOr<uint64_t> SysUmask(Task& t, uint32_t mask) { return uint64_t{t.fs().SetUmask(mask)}; }

// --- Reading directories. ---

// Packs records into a buffer, 64-bit or old layout (getdents(2)).
class DirentPacker final : public DirSink {
 public:
  DirentPacker(size_t size, bool old_layout) : size_(size), old_layout_(old_layout) {}

  bool Entry(std::string_view name, uint64_t ino, uint8_t type, int64_t next) override {
    size_t header = old_layout_ ? offsetof(abi::LinuxDirent64, d_type) : offsetof(abi::LinuxDirent64, d_name);
    size_t length = (header + name.size() + (old_layout_ ? 2 : 1) + 7) & ~size_t{7};
    if (bytes_.size() + length > size_) {
      too_small_ = bytes_.empty();
      return false;
    }
    size_t at = bytes_.size();
    bytes_.resize(at + length);
    std::byte* p = bytes_.data() + at;
    uint16_t reclen = static_cast<uint16_t>(length);
    memcpy(p, &ino, sizeof ino);
    memcpy(p + 8, &next, sizeof next);
    memcpy(p + 16, &reclen, sizeof reclen);
    memcpy(p + header, name.data(), name.size());
    // The old layout keeps the type in the record's last byte.
    p[old_layout_ ? length - 1 : 18] = std::byte{type};
    return true;
  }

  const std::vector<std::byte>& bytes() const { return bytes_; }
  bool too_small() const { return too_small_; }

 private:
  const size_t size_;
  const bool old_layout_;
  bool too_small_ = false;
  std::vector<std::byte> bytes_;
};

ErrorOr<uint64_t> ReadEntries(Task& t, int fd, UserAddr buf, uint32_t size, bool old_layout) {
  constexpr uint32_t kMaxBatch = 64 * 1024;
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  if (!file->inode().is_dir()) return kENOTDIR;
  if (file->path().dentry->unhashed() && !file->path().dentry->is_root()) return kENOENT;
  TaskMutexLock lock(file->position_lock());
  int64_t position = file->position();
  DirentPacker packer(std::min(size, kMaxBatch), old_layout);
  TRY(file->ReadDir(packer, &position));
  if (packer.too_small()) return kEINVAL;
  TRY(t.mm().CopyOut(buf, packer.bytes().data(), packer.bytes().size()));
  file->set_position(position);
  vfs::AfterRead(*file);
  return packer.bytes().size();
}
ErrorOr<uint64_t> SysGetdents64(Task& t, int fd, UserAddr buf, uint32_t size) {
  return ReadEntries(t, fd, buf, size, false);
}
ErrorOr<uint64_t> SysGetdents(Task& t, int fd, UserAddr buf, uint32_t size) {
  return ReadEntries(t, fd, buf, size, true);
}

constexpr SyscallRow kRows[] = {
    CALL(mkdir, SysMkdir, "path oct"),
    CALL(mkdirat, SysMkdirat, "dirfd path oct"),
    CALL(mknod, SysMknod, "path oct hex"),
    CALL(mknodat, SysMknodat, "dirfd path oct hex"),
    CALL(rmdir, SysRmdir, "path"),
    CALL(unlink, SysUnlink, "path"),
    CALL(unlinkat, SysUnlinkat, "dirfd path flags:at"),
    CALL(symlink, SysSymlink, "path path"),
    CALL(symlinkat, SysSymlinkat, "path dirfd path"),
    CALL(link, SysLink, "path path"),
    CALL(linkat, SysLinkat, "dirfd path dirfd path flags:at"),
    CALL(rename, SysRename, "path path"),
    CALL(renameat, SysRenameat, "dirfd path dirfd path"),
    CALL(renameat2, SysRenameat2, "dirfd path dirfd path hex"),
    CALL(chdir, SysChdir, "path"),
    CALL(fchdir, SysFchdir, "fd"),
    CALL(chroot, SysChroot, "path"),
    CALL(getcwd, SysGetcwd, "out:1 u64"),
    CALL(umask, SysUmask, "oct"),
    CALL(getdents, SysGetdents, "fd ptr uint"),
    CALL(getdents64, SysGetdents64, "fd ptr uint"),
};

}  // namespace

const SyscallFamily kDirCalls = {"names and directories", kRows};

}  // namespace moat
