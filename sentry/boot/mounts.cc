#include "sentry/boot/mounts.h"

#include "abi/stat.h"
#include "fs/dev/dev_tree.h"
#include "fs/goferfs/gofer_fs.h"
#include "fs/memtree/node.h"
#include "fs/overlay/overlay.h"
#include "fs/proc/proc_fs.h"
#include "fs/sys/sys_fs.h"
#include "fs/tmpfs/tmpfs.h"
#include "fs/tty/pty.h"
#include "sentry/boot/mount_point.h"
#include "sentry/boot/startup_paths.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/proc_source.h"

namespace moat {

namespace {

constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kDefaultLayerPages = (4ull << 30) / kPageSize;  // of a throwaway layer, unless configured

class Builder {
 public:
  Builder(Kernel& kernel, const SandboxConfig& config, const Ref<GoferClient>& gofer)
      : kernel_(kernel), config_(config), gofer_(gofer) {}

  ErrorOr<Ref<MountNamespace>> Run(std::string& failed) {
    for (const SandboxMount& m : config_.mounts) {
      failed = m.target;
      TRY(Add(m));
    }
    if (!namespace_) return kEINVAL;
    return namespace_;
  }

 private:
  ErrorOr<void> Add(const SandboxMount& m) {
    Ref<FileSystem> fs = TRY(Make(m));
    if (!fs) return {};
    uint32_t flags = (m.read_only ? uint32_t{kMountReadOnly} : 0) | (m.noexec ? uint32_t{kMountNoExec} : 0);
    // Set-id bits count where only the guest itself can have made the file.
    if (m.kind != MountKind::kTmpfs) flags |= kMountNoSuid;
    std::string source(fs->type());
    if (!namespace_) {
      namespace_ = MountNamespace::Create(std::move(fs), flags, source);
      namespace_->root().mount->LockFlags();
      return {};
    }
    TRY(Mount(std::move(fs), m.target, flags, source));
    return m.kind == MountKind::kDev ? AddDevMounts(m.target) : ErrorOr<void>();
  }

  ErrorOr<void> Mount(Ref<FileSystem> fs, const std::string& target, uint32_t flags, const std::string& source) {
    Path root = namespace_->root();
    WalkContext walk{root, root, *creds_, *namespace_};
    Path at = TRY(MountPoint(walk, target, fs->root()->is_dir()));
    auto mount = TRY(namespace_->Attach(std::move(fs), at, flags, source));
    mount->Lock();
    return {};
  }

  uint64_t Pages(uint64_t bytes) const {
    if (!bytes) bytes = config_.layer_bytes;
    return bytes ? (bytes + kPageSize - 1) / kPageSize : kDefaultLayerPages;
  }

  ErrorOr<Ref<GoferFs>> MakeGofer(const SandboxMount& m, GoferCache cache) {
    GoferOptions options;
    options.cache = cache;
    return GoferFs::Create(gofer_, m.root, options);
  }

  ErrorOr<Ref<FileSystem>> Make(const SandboxMount& m) {
    switch (m.kind) {
      case MountKind::kOverlay: {
        Ref<GoferFs> lower = TRY(MakeGofer(m, GoferCache::kTimed));
        if (!namespace_) lower->Prefetch(StartupPaths(config_));
        Ref<FileSystem> upper = Tmpfs::Create({.limit = MakeRef<MemoryLimit>(Pages(m.size)), .mode = 0755});
        return Ref<FileSystem>(TRY(Overlay::Create({.upper = upper, .lowers = {lower}, .show_options = ""})));
      }
      case MountKind::kGofer:
        return Ref<FileSystem>(TRY(MakeGofer(m, m.read_only ? GoferCache::kTimed : GoferCache::kRevalidate)));
      case MountKind::kTmpfs:
        return Ref<FileSystem>(Tmpfs::Create({.limit = MakeRef<MemoryLimit>(Pages(m.size)), .mode = m.mode}));
      case MountKind::kProc:
        return MakeProcFs(kernel_.proc_source());
      case MountKind::kSys:
        return MakeSysFs({.online_cpus = kernel_.online_cpus, .memory = [&kernel = kernel_] {
                            SystemInfo s = kernel.proc_source().System();
                            return SysMemory{s.total_bytes, std::min(s.free_bytes, s.total_bytes)};
                          }});
      case MountKind::kDev:
        return MakeDevTree();
      case MountKind::kEmptyFile:
        return MakeEmptyFile();
    }
    return kEINVAL;
  }

  // A file system whose root is an empty file.
  static Ref<FileSystem> MakeEmptyFile() {
    Ref<TreeFs> fs = MakeRef<TreeFs>("tmpfs", abi::kTMPFS_MAGIC);
    fs->set_root(MakeRef<TextFile>(*fs, 0444, kTreeRootIno, []() -> ErrorOr<std::string> { return std::string(); }));
    return fs;
  }

  // What is mounted inside /dev.
  ErrorOr<void> AddDevMounts(const std::string& dev) {
    TRY(Mount(MakeDevptsFs(), dev + "/pts", kMountNoSuid | kMountNoExec, "devpts"));
    uint32_t flags = kMountNoSuid | kMountNoDev;
    Ref<MemoryLimit> limit = MakeRef<MemoryLimit>(Pages(0));
    return Mount(Tmpfs::Create({.limit = std::move(limit), .mode = 01777}), dev + "/shm", flags, "shm");
  }

  Kernel& kernel_;
  const SandboxConfig& config_;
  const Ref<GoferClient>& gofer_;
  Ref<MountNamespace> namespace_;
  Ref<Credentials> creds_ = [] {
    Ref<Credentials> c = MakeRef<Credentials>();
    c->effective = c->permitted = kAllCapabilities;
    return c;
  }();
};

}  // namespace

ErrorOr<Ref<MountNamespace>> BuildMounts(Kernel& kernel, const SandboxConfig& config, const Ref<GoferClient>& gofer,
                                         std::string& failed) {
  return Builder(kernel, config, gofer).Run(failed);
}

}  // namespace moat
