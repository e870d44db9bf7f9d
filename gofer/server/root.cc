#include "gofer/server/root.h"

#include <cstdio>
#include <string>

#include "abi/fcntl.h"
#include "base/host/file.h"
#include "gofer/protocol/wire.h"

namespace moat::gofer {

namespace {

// Magic numbers of linux/magic.h that abi/stat.h does not need elsewhere.
constexpr int64_t kAutofs = 0x187;
constexpr int64_t kConfigfs = 0x62656570;
constexpr int64_t kEfivarfs = 0xde5e81e4;
constexpr int64_t kPstorefs = 0x6165676c;
constexpr int64_t kFusectl = 0x65735543;
constexpr int64_t kRpcPipefs = 0x67596969;
constexpr int64_t kNfsd = 0x6e667364;
constexpr int64_t kSmackfs = 0x43415d53;
constexpr int64_t kApparmorfs = 0x5a3c69f0;
constexpr int64_t kResctrl = 0x7655821;
constexpr int64_t kUsbdevice = 0x9fa2;
constexpr int64_t kOpenprom = 0x9fa1;
constexpr int64_t kBinderfs = 0x6c6f6f70;
constexpr int64_t kDaxfs = 0x64646178;
constexpr int64_t kXenfs = 0xabba1974;

constexpr int64_t kForbidden[] = {
    abi::kPROC_SUPER_MAGIC, abi::kSYSFS_MAGIC,      abi::kDEVPTS_SUPER_MAGIC, abi::kDEVMEM_MAGIC,
    abi::kPIPEFS_MAGIC,     abi::kSOCKFS_MAGIC,     abi::kANON_INODE_FS_MAGIC, abi::kCGROUP_SUPER_MAGIC,
    abi::kCGROUP2_SUPER_MAGIC, abi::kNSFS_MAGIC,    abi::kSECRETMEM_MAGIC,    abi::kSECURITYFS_MAGIC,
    abi::kDEBUGFS_MAGIC,    abi::kTRACEFS_MAGIC,    abi::kBPF_FS_MAGIC,       abi::kSELINUX_MAGIC,
    abi::kMQUEUE_MAGIC,     abi::kPID_FS_MAGIC,     abi::kBINFMTFS_MAGIC,     kAutofs,
    kConfigfs,              kEfivarfs,              kPstorefs,                kFusectl,
    kRpcPipefs,             kNfsd,                  kSmackfs,                 kApparmorfs,
    kResctrl,               kUsbdevice,             kOpenprom,                kBinderfs,
    kDaxfs,                 kXenfs,
};

// Retries of an openat2 that raced with a rename or mount (it returns EAGAIN, see its man page).
constexpr int kRaceRetries = 8;

WireAttr FromStatx(const abi::Statx& x) {
  WireAttr a{};
  a.dev = abi::MakeDev(x.stx_dev_major, x.stx_dev_minor);
  a.ino = x.stx_ino;
  a.rdev = abi::MakeDev(x.stx_rdev_major, x.stx_rdev_minor);
  a.size = x.stx_size;
  a.blocks = x.stx_blocks;
  a.atime_sec = x.stx_atime.tv_sec;
  a.atime_nsec = x.stx_atime.tv_nsec;
  a.mtime_sec = x.stx_mtime.tv_sec;
  a.mtime_nsec = x.stx_mtime.tv_nsec;
  a.ctime_sec = x.stx_ctime.tv_sec;
  a.ctime_nsec = x.stx_ctime.tv_nsec;
  if (x.stx_mask & abi::kSTATX_BTIME) {
    a.btime_sec = x.stx_btime.tv_sec;
    a.btime_nsec = x.stx_btime.tv_nsec;
  }
  a.mode = x.stx_mode;
  a.nlink = x.stx_nlink;
  a.uid = x.stx_uid;
  a.gid = x.stx_gid;
  a.blksize = x.stx_blksize;
  return a;
}

// Makes `attr` that of an empty directory or file that anybody may look at.
void MaskHidden(WireAttr& attr) {
  bool dir = abi::IsDir(attr.mode);
  attr.mode = dir ? abi::kS_IFDIR | 0555 : abi::kS_IFREG | 0444;
  attr.nlink = dir ? 2 : 1;
  attr.rdev = attr.size = attr.blocks = 0;
  attr.flags |= kAttrHidden;
}

bool Served(const Root& root, int64_t type) {
  if (type == abi::kFUSE_SUPER_MAGIC) return root.fs_type == abi::kFUSE_SUPER_MAGIC;
  return !IsForbiddenFileSystem(type);
}

ErrorOr<UniqueFd> OpenPath(int dir_fd, const std::string& name, const abi::OpenHow& how) {
  for (int i = 0;; ++i) {
    auto fd = host::Openat2(dir_fd, name.c_str(), how);
    if (fd.error() != kEAGAIN || i == kRaceRetries) return fd;
  }
}

}  // namespace

FdName::FdName(int fd) { snprintf(text_, sizeof text_, "%d", fd); }

ErrorOr<Reopener> Reopener::Create() {
  return Reopener(TRY(host::Openat(abi::kAT_FDCWD, "/proc/self/fd", abi::kO_PATH | abi::kO_DIRECTORY | abi::kO_CLOEXEC)));
}

ErrorOr<UniqueFd> Reopener::Reopen(int fd, uint32_t flags) const {
  abi::Stat st = TRY(host::Fstat(fd));
  if (!abi::IsReg(st.st_mode) && !abi::IsDir(st.st_mode)) return kENXIO;
  return host::Openat(proc_.get(), FdName(fd).c_str(), flags | abi::kO_CLOEXEC | abi::kO_NONBLOCK | abi::kO_NOCTTY);
}

ErrorOr<UniqueFd> Reopener::ReopenDirectory(int fd) const {
  constexpr uint32_t kFlags = abi::kO_RDONLY | abi::kO_DIRECTORY | abi::kO_CLOEXEC | abi::kO_NONBLOCK | abi::kO_NOCTTY;
  return host::Openat(proc_.get(), FdName(fd).c_str(), kFlags);
}

bool IsForbiddenFileSystem(int64_t type) {
  for (int64_t forbidden : kForbidden) {
    if (type == forbidden) return true;
  }
  return false;
}

ErrorOr<void> Root::Prepare() {
  abi::Stat st = TRY(host::Fstat(fd.get()));
  // Sockets and FIFOs are names for the sandbox's own use: no operation opens them.
  const uint32_t type = st.st_mode & abi::kS_IFMT;
  if (type == abi::kS_IFLNK || type == abi::kS_IFCHR || type == abi::kS_IFBLK) return kENOTDIR;
  dev = st.st_dev;
  fs_type = TRY(host::Fstatfs(fd.get())).f_type;
  if (IsForbiddenFileSystem(fs_type)) return kEACCES;
  hide.Resolve(fd.get());
  return {};
}

ErrorOr<WireAttr> StatAt(int dir_fd, const char* name, uint32_t flags) {
  return FromStatx(TRY(host::Statx(dir_fd, name, flags, abi::kSTATX_BASIC_STATS | abi::kSTATX_BTIME)));
}

ErrorOr<WireAttr> StatFd(int fd) { return StatAt(fd, "", abi::kAT_EMPTY_PATH | abi::kAT_NO_AUTOMOUNT); }

ErrorOr<Found> LookupChild(const Root& root, int dir_fd, uint64_t dir_dev, const HideNode* hide, std::string_view name) {
  TRY(CheckName(name));
  abi::OpenHow how{abi::kO_PATH | abi::kO_NOFOLLOW | abi::kO_CLOEXEC, 0,
                   abi::kRESOLVE_BENEATH | abi::kRESOLVE_NO_MAGICLINKS | abi::kRESOLVE_NO_SYMLINKS};
  Found found;
  found.fd = TRY(OpenPath(dir_fd, std::string(name), how));
  found.attr = TRY(StatFd(found.fd.get()));
  found.hide = hide ? hide->Child(name) : nullptr;
  found.hidden = (found.hide && found.hide->leaf) || root.hide.HidesInode(found.attr.dev, found.attr.ino);
  if (!found.hidden && found.attr.dev != dir_dev) found.hidden = !Served(root, TRY(host::Fstatfs(found.fd.get())).f_type);
  if (found.hidden) MaskHidden(found.attr);
  return found;
}

}  // namespace moat::gofer
