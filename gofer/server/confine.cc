#include "gofer/server/confine.h"

#include <cstdio>

#include "abi/capability.h"
#include "abi/clone.h"
#include "abi/fcntl.h"
#include "abi/mount.h"
#include "abi/prctl.h"
#include "abi/rlimit.h"
#include "base/host/confine.h"
#include "base/host/directory.h"
#include "base/host/file.h"
#include "base/host/mount.h"
#include "base/host/process.h"
#include "base/seccomp/compile.h"
#include "base/seccomp/install.h"
#include "base/util/log.h"

namespace moat::gofer {

namespace {

// LANDLOCK_ACCESS_FS_* of linux/landlock.h, by the ABI version that brought them.
constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadDir = 1 << 3;
constexpr uint64_t kVersion1 = (1 << 13) - 1;  // EXECUTE .. MAKE_SYM
constexpr uint64_t kRefer = 1 << 13, kTruncate = 1 << 14, kIoctlDev = 1 << 15;
constexpr uint64_t kMakeChar = 1 << 6, kMakeBlock = 1 << 11;
// LANDLOCK_SCOPE_* (version 6): abstract sockets and signals.
constexpr uint64_t kScopeAll = 3;
constexpr uint64_t kNetAll = 3;  // LANDLOCK_ACCESS_NET_BIND_TCP, _CONNECT_TCP (version 4)

uint64_t HandledFs(int version) {
  uint64_t handled = kVersion1;
  if (version >= 2) handled |= kRefer;
  if (version >= 3) handled |= kTruncate;
  if (version >= 5) handled |= kIoctlDev;
  return handled;
}

ErrorOr<UniqueFd> CloneTree(const RootSpec& root) {
  UniqueFd fd = TRY(host::OpenTree(abi::kAT_FDCWD, root.path.c_str(),
                                   abi::kOPEN_TREE_CLONE | abi::kO_CLOEXEC | abi::kAT_RECURSIVE));
  abi::MountAttr attr{};
  attr.attr_set = abi::kMOUNT_ATTR_NOSUID | abi::kMOUNT_ATTR_NODEV;
  if (!root.writable) attr.attr_set |= abi::kMOUNT_ATTR_RDONLY;
  TRY(host::MountSetattr(fd.get(), "", abi::kAT_EMPTY_PATH | abi::kAT_RECURSIVE, &attr, sizeof attr));
  return fd;
}

ErrorOr<void> ChrootTo(int dir) {
  TRY(host::Fchdir(dir));
  TRY(host::Chroot("."));
  return host::Chdir("/");
}

ErrorOr<void> WriteProc(const char* path, const char* text) {
  UniqueFd fd = TRY(host::Openat(abi::kAT_FDCWD, path, abi::kO_WRONLY | abi::kO_CLOEXEC));
  return host::WriteFull(fd.get(), text, std::char_traits<char>::length(text));
}

}  // namespace

ErrorOr<uint64_t> ConfineProcess(int last_kept_fd) {
  TRY(host::CloseRange(static_cast<uint32_t>(last_kept_fd) + 1, ~0u, 0));
  host::Umask(0);
  TRY(host::ForbidCoreDumps());
  auto files = TRY(host::PrlimitGet(0, abi::kRLIMIT_NOFILE));
  TRY(host::PrlimitSet(0, abi::kRLIMIT_NOFILE, {files.hard, files.hard}));
  TRY(host::Prctl(abi::kPR_SET_DUMPABLE, 0));
  return files.hard;
}

ErrorOr<std::vector<UniqueFd>> ConfineByMounts(const std::vector<RootSpec>& roots, UniqueFd* proc) {
  *proc = TRY(host::OpenTree(abi::kAT_FDCWD, "/proc/self/fd", abi::kOPEN_TREE_CLONE | abi::kO_CLOEXEC));
  std::vector<UniqueFd> fds;
  for (const RootSpec& root : roots) {
    auto fd = CloneTree(root);
    if (!fd.ok()) LOG(kError, "cannot open root %s: error %d", root.path.c_str(), static_cast<int>(fd.error()));
    fds.push_back(TRY(std::move(fd)));
  }
  for (const UniqueFd& fd : fds) {
    if (!abi::IsDir(TRY(host::Fstat(fd.get())).st_mode)) continue;
    TRY(ChrootTo(fd.get()));
    return fds;
  }
  TRY(ChrootTo(proc->get()));  // files only: any directory of a detached mount will do
  return fds;
}

ErrorOr<void> EnterUserNamespace() {
  uint32_t uid = host::Geteuid(), gid = host::Getegid();
  // The maps are written through /proc/self, which belongs to root for a process that is not dumpable.
  TRY(host::Prctl(abi::kPR_SET_DUMPABLE, 1));
  TRY(host::Unshare(abi::kCLONE_NEWUSER | abi::kCLONE_NEWNS));
  char map[64];
  TRY(WriteProc("/proc/self/setgroups", "deny"));
  snprintf(map, sizeof map, "%u %u 1", gid, gid);
  TRY(WriteProc("/proc/self/gid_map", map));
  snprintf(map, sizeof map, "%u %u 1", uid, uid);
  TRY(WriteProc("/proc/self/uid_map", map));
  TRY(host::Prctl(abi::kPR_SET_DUMPABLE, 0));
  return {};
}

ErrorOr<std::vector<UniqueFd>> ConfineByLandlock(const std::vector<RootSpec>& roots) {
  int version = TRY(host::LandlockVersion());
  uint64_t handled = HandledFs(version);
  UniqueFd ruleset =
      TRY(host::LandlockCreateRuleset(handled, version >= 4 ? kNetAll : 0, version >= 6 ? kScopeAll : 0));
  std::vector<UniqueFd> fds;
  for (const RootSpec& root : roots) {
    auto fd = host::Openat(abi::kAT_FDCWD, root.path.c_str(), abi::kO_PATH | abi::kO_CLOEXEC);
    if (!fd.ok()) LOG(kError, "cannot open root %s: error %d", root.path.c_str(), static_cast<int>(fd.error()));
    fds.push_back(TRY(std::move(fd)));
    bool dir = abi::IsDir(TRY(host::Fstat(fds.back().get())).st_mode);
    uint64_t access = kReadFile | kReadDir;
    if (root.writable) access = handled & ~(kExecute | kMakeChar | kMakeBlock | kIoctlDev);
    if (!dir) access &= kReadFile | kWriteFile | kTruncate;  // what applies to a file itself
    TRY(host::LandlockAddPathBeneath(ruleset.get(), fds.back().get(), access & handled));
  }
  TRY(host::Prctl(abi::kPR_SET_NO_NEW_PRIVS, 1));
  TRY(host::LandlockRestrictSelf(ruleset.get()));
  return fds;
}

ErrorOr<void> DropCapabilities(bool privileged, bool writable) {
  constexpr uint64_t kReading = 1ull << abi::kCAP_DAC_READ_SEARCH;
  constexpr uint64_t kChanging = 1ull << abi::kCAP_CHOWN | 1ull << abi::kCAP_DAC_OVERRIDE | 1ull << abi::kCAP_FOWNER |
                                 1ull << abi::kCAP_FSETID;
  uint64_t kept = privileged ? kReading | (writable ? kChanging : 0) : 0;
  constexpr int kHighest = 63;
  bool may_drop = TRY(host::Capget()).effective & (1ull << abi::kCAP_SETPCAP);
  for (int cap = 0; may_drop && cap <= kHighest; ++cap) {
    if (kept >> cap & 1) continue;
    auto dropped = host::Prctl(abi::kPR_CAPBSET_DROP, static_cast<uint64_t>(cap));
    if (dropped.error() == kEINVAL) break;  // past the last that the host knows
    if (!dropped.ok()) return dropped.error();
  }
  return host::Capset({kept, kept, 0});
}

ErrorOr<void> InstallGoferFilter(const FilterParams& params) {
  auto program = TRY(seccomp::CompileFilter(MakeFilter(params)));
  return seccomp::InstallFilter(program, /*all_threads=*/true);
}

}  // namespace moat::gofer
