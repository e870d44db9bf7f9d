// Mounts: mount(2), umount2(2), pivot_root(2).
//
// Mounts that the sandbox was set up with are locked, as for root in a user namespace: what they hide stays hidden.
#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/mount.h"
#include "fs/tmpfs/tmpfs.h"
#include "fs/vfs/mount_namespace.h"
#include "fs/vfs/path_walk.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/kernel.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"

namespace moat {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kDefaultTmpfsPages = (uint64_t{1} << 30) / kPage;  // without size=
constexpr uint64_t kPropagation = abi::kMS_SHARED | abi::kMS_PRIVATE | abi::kMS_SLAVE | abi::kMS_UNBINDABLE;

bool MayMount(Task& t) { return t.creds().Has(abi::kCAP_SYS_ADMIN); }

// The MS_* that belong to a mount, in Mount's encoding (which is theirs); relatime unless something else is asked for.
uint32_t MountFlagsOf(uint64_t flags) {
  constexpr uint64_t kPlain = abi::kMS_RDONLY | abi::kMS_NOSUID | abi::kMS_NODEV | abi::kMS_NOEXEC | abi::kMS_NOATIME |
                              abi::kMS_NODIRATIME | abi::kMS_NOSYMFOLLOW;
  static_assert(kMountReadOnly == abi::kMS_RDONLY && kMountNoSuid == abi::kMS_NOSUID && kMountNoDev == abi::kMS_NODEV &&
                kMountNoExec == abi::kMS_NOEXEC && kMountNoAtime == abi::kMS_NOATIME &&
                kMountNoDirAtime == abi::kMS_NODIRATIME && kMountNoSymfollow == abi::kMS_NOSYMFOLLOW &&
                kMountRelatime == abi::kMS_RELATIME);
  uint32_t plain = static_cast<uint32_t>(flags & kPlain);
  if (!(flags & (abi::kMS_NOATIME | abi::kMS_STRICTATIME))) plain |= kMountRelatime;
  return plain;
}

// An optional string of at most a page; "" for a null pointer.
ErrorOr<std::string> ReadOption(Task& t, UserAddr addr) {
  if (!addr) return std::string();
  return t.mm().ReadString(addr, kPage);
}

ErrorOr<void> Remount(Task& t, const Path& at, uint64_t flags) {
  uint32_t wanted = MountFlagsOf(flags);
  constexpr uint64_t kAtime = abi::kMS_NOATIME | abi::kMS_NODIRATIME | abi::kMS_RELATIME | abi::kMS_STRICTATIME;
  if (!(flags & kAtime) && at.mount) {
    constexpr uint32_t kKept = kMountNoAtime | kMountNoDirAtime | kMountRelatime;
    wanted = (wanted & ~kKept) | (at.mount->flags() & kKept);
  }
  return t.fs().mounts()->Remount(at, wanted);
}

// One instance each, as these file systems show one kernel: the one that the sandbox has mounted already, or null.
Ref<FileSystem> FindInstance(Task& t, std::string_view type) {
  for (const Ref<Mount>& m : t.fs().mounts()->List()) {
    if (m->fs().type() == type) return Ref<FileSystem>(&m->fs());
  }
  return nullptr;
}

ErrorOr<void> MountNew(Task& t, const Path& at, const std::string& type, uint64_t flags, std::string source, UserAddr data) {
  if (type.empty()) return kEINVAL;
  Ref<FileSystem> fs;
  if (type == "tmpfs" || type == "ramfs") {
    fs = TRY(Tmpfs::CreateFromOptions(TRY(ReadOption(t, data)), kDefaultTmpfsPages));
  } else if (type == "proc" || type == "sysfs" || type == "devtmpfs" || type == "devpts") {
    fs = FindInstance(t, type);
  }
  if (!fs) return kENODEV;
  if (source.empty()) source = "none";
  TRY(t.fs().mounts()->Attach(std::move(fs), at, MountFlagsOf(flags), std::move(source)));
  return {};
}

ErrorOr<void> SysMount(Task& t, UserAddr source_addr, UserAddr target, UserAddr type_addr, uint64_t flags, UserAddr data) {
  std::string type = TRY(ReadOption(t, type_addr));
  std::string source = TRY(ReadOption(t, source_addr));
  if ((flags & abi::kMS_MGC_MSK) == abi::kMS_MGC_VAL) flags &= ~abi::kMS_MGC_MSK;
  Path at = TRY(ResolveAt(t, abi::kAT_FDCWD, target, 0));
  if (!MayMount(t)) return kEPERM;
  Ref<MountNamespace> mounts = t.fs().mounts();
  if (flags & abi::kMS_REMOUNT) return Remount(t, at, flags);
  if (flags & (abi::kMS_BIND | abi::kMS_MOVE)) {
    if (source.empty()) return kEINVAL;
    Path from = TRY(ResolveAt(t, abi::kAT_FDCWD, source_addr, 0));
    if (flags & abi::kMS_BIND) return mounts->Bind(from, std::move(at), (flags & abi::kMS_REC) != 0);
    return mounts->Move(from, std::move(at));
  }
  if (uint64_t kind = flags & kPropagation) {
    // One kind, of a mount's root. Every mount is private: nothing to propagate to.
    if (kind & (kind - 1)) return kEINVAL;
    return at.mount && at.dentry == at.mount->root() ? ErrorOr<void>() : kEINVAL;
  }
  return MountNew(t, at, type, flags, std::move(source), data);
}

ErrorOr<void> SysUmount2(Task& t, UserAddr target, uint32_t flags) {
  if (flags & ~(abi::kMNT_FORCE | abi::kMNT_DETACH | abi::kMNT_EXPIRE | abi::kUMOUNT_NOFOLLOW)) return kEINVAL;
  Path at = TRY(ResolveAt(t, abi::kAT_FDCWD, target, flags & abi::kUMOUNT_NOFOLLOW ? abi::kAT_SYMLINK_NOFOLLOW : 0));
  if (!at.mount || at.dentry != at.mount->root()) return kEINVAL;
  if (!MayMount(t)) return kEPERM;
  if (flags & abi::kMNT_EXPIRE) return flags & (abi::kMNT_FORCE | abi::kMNT_DETACH) ? kEINVAL : kEAGAIN;
  return t.fs().mounts()->Umount(std::move(at), (flags & abi::kMNT_DETACH) != 0);
}

ErrorOr<void> SysPivotRoot(Task& t, UserAddr new_root_addr, UserAddr put_old_addr) {
  if (!MayMount(t)) return kEPERM;
  Path new_root = TRY(ResolveAt(t, abi::kAT_FDCWD, new_root_addr, 0));
  Path put_old = TRY(ResolveAt(t, abi::kAT_FDCWD, put_old_addr, 0));
  Path root = t.fs().root();
  TRY(t.fs().mounts()->PivotRoot(root, new_root, put_old));
  if (t.fs().cwd() == root) t.fs().set_cwd(new_root);
  t.fs().set_root(std::move(new_root));
  return {};
}

#define NO_NEW_API "the interface of file descriptors for mounts; callers fall back on mount(2)"

constexpr SyscallRow kRows[] = {
    CALL_PARTIAL(mount, SysMount, "str path str hex ptr",
                 "tmpfs, proc, sysfs, devtmpfs, devpts, bind, move, remount; propagation is accepted without effect; "
                 "a remount does not change a file system's own options"),
    CALL_PARTIAL(umount2, SysUmount2, "path hex", "MNT_EXPIRE never expires a mount; mounts of the sandbox itself: EINVAL"),
    CALL_PARTIAL(pivot_root, SysPivotRoot, "path path", "moves the caller and the tasks that share its root, no others"),
    CALL_REFUSED(open_tree, kENOSYS, NO_NEW_API),
    CALL_REFUSED(move_mount, kENOSYS, NO_NEW_API),
    CALL_REFUSED(fsopen, kENOSYS, NO_NEW_API),
    CALL_REFUSED(fsconfig, kENOSYS, NO_NEW_API),
    CALL_REFUSED(fsmount, kENOSYS, NO_NEW_API),
    CALL_REFUSED(fspick, kENOSYS, NO_NEW_API),
    CALL_REFUSED(mount_setattr, kENOSYS, NO_NEW_API),
    CALL_REFUSED(statmount, kENOSYS, "callers fall back on /proc/self/mountinfo"),
    CALL_REFUSED(listmount, kENOSYS, "callers fall back on /proc/self/mountinfo"),
    CALL_REFUSED(swapon, kEPERM, "needs CAP_SYS_ADMIN on the host"),
    CALL_REFUSED(swapoff, kEPERM, "needs CAP_SYS_ADMIN on the host"),
    CALL_REFUSED(quotactl, kENOSYS, "as without CONFIG_QUOTA"),
    CALL_REFUSED(quotactl_fd, kENOSYS, "as without CONFIG_QUOTA"),
    CALL_REFUSED(acct, kENOSYS, "as without CONFIG_BSD_PROCESS_ACCT"),
    CALL_REFUSED(name_to_handle_at, kEOPNOTSUPP, "no file system here has handles"),
    CALL_REFUSED(open_by_handle_at, kEPERM, "needs CAP_DAC_READ_SEARCH on the host"),
};

}  // namespace

const SyscallFamily kMountCalls = {"mounts", kRows};

}  // namespace moat
