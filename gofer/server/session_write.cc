// Requests that change the tree. Each is refused on a read-only root before anything is touched.
#include <string>

#include "abi/fcntl.h"
#include "base/host/directory.h"
#include "base/host/file.h"
#include "gofer/server/session.h"

namespace moat::gofer {

namespace {

constexpr uint32_t kOpenFlagsAllowed = abi::kO_ACCMODE | abi::kO_APPEND | abi::kO_DIRECT | abi::kO_DSYNC | abi::kO_SYNC;
constexpr uint32_t kSetIdBits = abi::kS_ISUID | abi::kS_ISGID;
constexpr uint32_t kKeepId = ~0u;

ErrorOr<UniqueFd> CreateExclusive(int dir_fd, std::string_view name, uint32_t open_flags, uint32_t mode) {
  abi::OpenHow how{};
  how.flags = (open_flags & ~abi::kO_ACCMODE) | abi::kO_RDWR | abi::kO_CREAT | abi::kO_EXCL | abi::kO_NOFOLLOW |
              abi::kO_CLOEXEC | abi::kO_NONBLOCK;
  how.mode = mode & abi::kS_IALLUGO;
  how.resolve = abi::kRESOLVE_BENEATH | abi::kRESOLVE_NO_MAGICLINKS | abi::kRESOLVE_NO_SYMLINKS;
  return host::Openat2(dir_fd, std::string(name).c_str(), how);
}

}  // namespace

ErrorOr<void> Session::Adopt(int fd, const NewNode& node, bool set_mode) {
  WireAttr attr = TRY(StatFd(fd));
  if (attr.uid != node.uid || attr.gid != node.gid) {
    auto chowned = host::Fchownat(fd, "", node.uid, node.gid, abi::kAT_EMPTY_PATH);
    // A gofer without privilege makes files of its own user only, as a server that squashes ids.
    if (!chowned.ok() && chowned.error() != kEPERM && chowned.error() != kEINVAL) return chowned.error();
  }
  // chown dropped them, and mkdir ignores them.
  if (set_mode && (node.mode & (kSetIdBits | abi::kS_ISVTX))) {
    TRY(host::Fchmodat(service_.reopener.proc_fd(), FdName(fd).c_str(), node.mode & abi::kS_IALLUGO));
  }
  return {};
}

ErrorOr<void> Session::ReplyMade(Writer& out, const Node& dir, std::string_view name, const NewNode& node, bool set_mode) {
  Found made = TRY(LookupChild(dir.root(), dir.fd(), dir.dev(), dir.hide(), name));
  TRY(Adopt(made.fd.get(), node, set_mode));
  WireAttr attr = TRY(StatFd(made.fd.get()));
  bool keep = made.is_dir();
  return PutNode(out, std::move(made.fd), dir.root(), attr, keep);
}

ErrorOr<void> Session::Create(Reader& in, Writer& out, UniqueFd& fd) {
  auto request = TRY(in.Get<CreateRequest>());
  std::string_view name = TRY(in.GetString(kMaxName));
  TRY(in.End());
  if (request.open_flags & ~kOpenFlagsAllowed) return kEINVAL;
  Ref<Node> dir = TRY(GetChangeable(request.dir, name));
  UniqueFd made = TRY(CreateExclusive(dir->fd(), name, request.open_flags, request.node.mode));
  TRY(Adopt(made.get(), request.node, true));
  WireAttr attr = TRY(StatFd(made.get()));
  UniqueFd path_fd;
  if (request.flags & kOpenHandle) path_fd = TRY(service_.reopener.Reopen(made.get(), abi::kO_PATH));
  TRY(PutNode(out, std::move(path_fd), dir->root(), attr, request.flags & kOpenHandle));
  // The descriptor that goes out has the rights that were asked for, not those that making it took.
  if ((request.open_flags & abi::kO_ACCMODE) != abi::kO_RDWR) {
    fd = TRY(service_.reopener.Reopen(made.get(), request.open_flags));
  } else {
    fd = std::move(made);
  }
  return {};
}

ErrorOr<void> Session::CreateUnnamed(Reader& in, Writer& out, UniqueFd& fd) {
  auto request = TRY(in.Get<CreateRequest>());
  TRY(in.End());
  if (request.open_flags & ~kOpenFlagsAllowed) return kEINVAL;
  if ((request.open_flags & abi::kO_ACCMODE) == abi::kO_RDONLY) return kEINVAL;
  Ref<Node> dir = TRY(GetDirectory(request.dir));
  if (dir->root().read_only) return kEROFS;
  abi::OpenHow how{request.open_flags | abi::kO_TMPFILE | abi::kO_CLOEXEC, request.node.mode & abi::kS_IALLUGO,
                   abi::kRESOLVE_BENEATH | abi::kRESOLVE_NO_MAGICLINKS | abi::kRESOLVE_NO_SYMLINKS};
  UniqueFd made = TRY(host::Openat2(dir->fd(), ".", how));
  TRY(Adopt(made.get(), request.node, true));
  WireAttr attr = TRY(StatFd(made.get()));
  UniqueFd path_fd = TRY(service_.reopener.Reopen(made.get(), abi::kO_PATH));
  TRY(PutNode(out, std::move(path_fd), dir->root(), attr, request.flags & kOpenHandle));
  fd = std::move(made);
  return {};
}

ErrorOr<void> Session::Mkdir(Reader& in, Writer& out) {
  auto request = TRY(in.Get<MkdirRequest>());
  std::string_view name = TRY(in.GetString(kMaxName));
  TRY(in.End());
  Ref<Node> dir = TRY(GetChangeable(request.dir, name));
  TRY(host::Mkdirat(dir->fd(), std::string(name).c_str(), request.node.mode & abi::kS_IALLUGO));
  return ReplyMade(out, *dir, name, request.node, true);
}

ErrorOr<void> Session::Symlink(Reader& in, Writer& out) {
  auto request = TRY(in.Get<SymlinkRequest>());
  std::string_view name = TRY(in.GetString(kMaxName));
  std::string_view target = TRY(in.GetString(kMaxTarget));
  TRY(in.End());
  if (target.empty() || target.find('\0') != std::string_view::npos) return kEINVAL;
  Ref<Node> dir = TRY(GetChangeable(request.dir, name));
  TRY(host::Symlinkat(std::string(target).c_str(), dir->fd(), std::string(name).c_str()));
  return ReplyMade(out, *dir, name, request.node, false);
}

ErrorOr<void> Session::Mknod(Reader& in, Writer& out) {
  auto request = TRY(in.Get<MknodRequest>());
  std::string_view name = TRY(in.GetString(kMaxName));
  TRY(in.End());
  // FIFOs and sockets are names only: the sentry connects them inside the sandbox. Devices would act on the host.
  if (request.type != abi::kS_IFREG && request.type != abi::kS_IFIFO && request.type != abi::kS_IFSOCK) return kEPERM;
  Ref<Node> dir = TRY(GetChangeable(request.dir, name));
  uint32_t mode = request.type | (request.node.mode & abi::kS_IALLUGO);
  TRY(host::Mknodat(dir->fd(), std::string(name).c_str(), mode, 0));
  return ReplyMade(out, *dir, name, request.node, true);
}

ErrorOr<void> Session::Link(Reader& in, Writer& out) {
  auto request = TRY(in.Get<LinkRequest>());
  Place source = TRY(ReadChangeable(in, request.source));
  std::string_view name = TRY(in.GetString(kMaxName));
  TRY(in.End());
  Ref<Node> dir = TRY(GetChangeable(request.dir, name));
  if (&source.root() != &dir->root()) return kEXDEV;
  if (source.found.is_dir()) return kEPERM;
  // By descriptor: exactly the inode that was checked gets the name.
  TRY(host::Linkat(service_.reopener.proc_fd(), FdName(source.fd()).c_str(), dir->fd(), std::string(name).c_str(),
                   abi::kAT_SYMLINK_FOLLOW));
  out.Put(AttrReply{TRY(StatFd(source.fd()))});
  return {};
}

ErrorOr<void> Session::Unlink(Reader& in, Writer& out, bool directory) {
  auto request = TRY(in.Get<UnlinkRequest>());
  std::string_view name = TRY(in.GetString(kMaxName));
  TRY(in.End());
  Ref<Node> dir = TRY(GetChangeable(request.dir, name));
  Found victim = TRY(LookupChild(dir->root(), dir->fd(), dir->dev(), dir->hide(), name));
  if (victim.hidden) return kEACCES;
  if (request.ino != 0 && (victim.attr.ino != request.ino || victim.attr.dev != request.dev)) return kESTALE;
  TRY(host::Unlinkat(dir->fd(), std::string(name).c_str(), directory ? abi::kAT_REMOVEDIR : 0));
  WireAttr attr = TRY(StatFd(victim.fd.get()));
  bool keep = !directory && (request.flags & kUnlinkKeep);
  return PutNode(out, std::move(victim.fd), dir->root(), attr, keep);
}

ErrorOr<void> Session::Rename(Reader& in, Writer& out) {
  auto request = TRY(in.Get<RenameRequest>());
  std::string_view old_name = TRY(in.GetString(kMaxName));
  std::string_view new_name = TRY(in.GetString(kMaxName));
  TRY(in.End());
  if (request.flags & ~(abi::kRENAME_NOREPLACE | abi::kRENAME_EXCHANGE)) return kEINVAL;
  Ref<Node> old_dir = TRY(GetChangeable(request.old_dir, old_name));
  Ref<Node> new_dir = TRY(GetChangeable(request.new_dir, new_name));
  const Root& root = new_dir->root();
  if (&old_dir->root() != &root) return kEXDEV;
  auto source = LookupChild(root, old_dir->fd(), old_dir->dev(), old_dir->hide(), old_name);
  if (source.ok() && source->hidden) return kEACCES;
  auto replaced = LookupChild(root, new_dir->fd(), new_dir->dev(), new_dir->hide(), new_name);
  if (replaced.ok() && replaced->hidden) return kEACCES;
  TRY(host::Renameat2(old_dir->fd(), std::string(old_name).c_str(), new_dir->fd(), std::string(new_name).c_str(),
                      request.flags));
  if (!replaced.ok() || (request.flags & abi::kRENAME_EXCHANGE)) {
    out.Put(NodeReply{});
    return {};
  }
  WireAttr attr = TRY(StatFd(replaced->fd.get()));
  bool keep = !replaced->is_dir() && (request.keep_flags & kUnlinkKeep);
  return PutNode(out, std::move(replaced->fd), root, attr, keep);
}

ErrorOr<void> Session::SetAttr(Reader& in, Writer& out) {
  auto request = TRY(in.Get<SetAttrRequest>());
  Place place = TRY(ReadChangeable(in, request.target));
  TRY(in.End());
  int fd = place.fd();
  if (request.mask & kSetSize) {
    if (request.size > INT64_MAX) return kEINVAL;
    if (place.found.is_dir()) return kEISDIR;
    if (!place.found.is_regular()) return kEINVAL;
    UniqueFd writable = TRY(service_.reopener.Reopen(fd, abi::kO_WRONLY));
    TRY(host::Ftruncate(writable.get(), request.size));
  }
  if (request.mask & (kSetUid | kSetGid)) {
    uint32_t uid = request.mask & kSetUid ? request.uid : kKeepId;
    uint32_t gid = request.mask & kSetGid ? request.gid : kKeepId;
    TRY(host::Fchownat(fd, "", uid, gid, abi::kAT_EMPTY_PATH));
  }
  if (request.mask & kSetMode) {
    if (place.found.type() == abi::kS_IFLNK) return kEOPNOTSUPP;
    TRY(host::Fchmodat(service_.reopener.proc_fd(), FdName(fd).c_str(), request.mode & abi::kS_IALLUGO));
  }
  if (request.mask & (kSetAtime | kSetMtime)) {
    constexpr int64_t kOmit = (1l << 30) - 2;  // UTIME_OMIT
    constexpr uint32_t kNsecPerSec = 1'000'000'000;
    if (request.atime_nsec >= kNsecPerSec || request.mtime_nsec >= kNsecPerSec) return kEINVAL;
    abi::Timespec times[2] = {{request.atime_sec, request.atime_nsec}, {request.mtime_sec, request.mtime_nsec}};
    if (!(request.mask & kSetAtime)) times[0].tv_nsec = kOmit;
    if (!(request.mask & kSetMtime)) times[1].tv_nsec = kOmit;
    TRY(host::Utimensat(service_.reopener.proc_fd(), FdName(fd).c_str(), times, 0));
  }
  out.Put(AttrReply{TRY(StatFd(fd))});
  return {};
}

ErrorOr<void> Session::Sync(Reader& in) {
  auto request = TRY(in.Get<TargetRequest>());
  Place place = TRY(ReadTarget(in, request.target));
  TRY(in.End());
  if (place.found.hidden) return {};
  UniqueFd fd = TRY(service_.reopener.Reopen(place.fd(), abi::kO_RDONLY));
  if (request.flags & kSyncFileSystem) return host::Syncfs(fd.get());
  return request.flags & kSyncData ? host::Fdatasync(fd.get()) : host::Fsync(fd.get());
}

}  // namespace moat::gofer
