#include "runtime/sandbox/mounts.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <sstream>

#include "abi/fcntl.h"
#include "abi/stat.h"
#include "base/host/directory.h"
#include "base/host/file.h"
#include "runtime/sandbox/hide_list.h"
#include "runtime/util/failure.h"
#include "runtime/util/files.h"

namespace moat {
namespace {

// Start empty in every sandbox: other processes leave sockets, and things they own, there.
constexpr const char* kFreshDirs[] = {"/tmp", "/run"};

// HOST[:GUEST], both absolute; GUEST is HOST if it is not given.
struct PathPair {
  std::string host;
  std::string guest;
};

// A file of the host, symlinks followed.
struct HostFile {
  std::string path;
  uint32_t type = 0;  // S_IF*
  bool noexec = false;

  bool is_dir() const { return type == abi::kS_IFDIR; }
};

// `path` as seen from the directory `root`, out of which no symlink leads: it may be a hostile image.
ErrorOr<HostFile> Find(int root, const std::string& path) {
  abi::OpenHow how{};
  how.flags = abi::kO_PATH | abi::kO_CLOEXEC;
  how.resolve = abi::kRESOLVE_IN_ROOT | abi::kRESOLVE_NO_MAGICLINKS;
  const UniqueFd fd = TRY(host::Openat2(root, path.c_str(), how));
  HostFile file;
  file.path = TRY(host::ReadlinkatString(abi::kAT_FDCWD, ("/proc/self/fd/" + std::to_string(fd.get())).c_str()));
  file.type = TRY(host::Fstat(fd.get())).st_mode & abi::kS_IFMT;
  file.noexec = (TRY(host::Fstatfs(fd.get())).f_flags & abi::kST_NOEXEC) != 0;
  return file;
}

UniqueFd OpenDirectory(const std::string& path) {
  return Must(host::Openat(abi::kAT_FDCWD, path.c_str(), abi::kO_PATH | abi::kO_DIRECTORY | abi::kO_CLOEXEC), path);
}

// "64m" and the like; 0 if it is no such thing.
uint64_t ParseSize(std::string_view text) {
  constexpr std::string_view kUnits = "kmgt";
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return 0;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.empty()) return value;
  const size_t unit = kUnits.find(static_cast<char>(text[0] | 0x20));
  if (text.size() != 1 || unit == kUnits.npos) return 0;
  const auto shift = static_cast<unsigned>(10 * (unit + 1));
  return value << shift >> shift == value ? value << shift : 0;
}

class MountPlanner {
 public:
  MountPlanner(const DoOptions& options, const Caller& caller, SandboxPlan& plan)
      : options_(options),
        caller_(caller),
        plan_(plan),
        host_root_(OpenDirectory("/")),
        root_fd_(OpenDirectory(options.rootfs)),
        root_(Must(Find(root_fd_.get(), "."), options.rootfs)) {}

  void Run(const std::string& cwd) {
    AddRoot();
    AddSystem();
    AddCwd(cwd);
    for (const std::string& spec : options_.tmpfs) AddTmpfs(spec);
    for (const std::string& spec : options_.read_write) AddShared(spec, /*writable=*/true);
    for (const std::string& spec : options_.read_only) AddShared(spec, /*writable=*/false);
    for (const std::string& path : options_.hide) Hide(Guest(path), /*must_exist=*/true);
    if (options_.default_hide) {
      for (const std::string& path : DefaultHidePaths(caller_.home)) Hide(path, /*must_exist=*/false);
    }
    // What lies deeper is mounted later, or it would be covered. The root stays first.
    auto& mounts = plan_.sentry.mounts;
    std::stable_sort(mounts.begin() + 1, mounts.end(),
                     [](const auto& a, const auto& b) { return Depth(a.target) < Depth(b.target); });
  }

 private:
  static long Depth(const std::string& path) { return std::ranges::count(path, '/'); }
  std::string Guest(const std::string& path) const {
    return NormalPath(path, caller_.cwd.empty() ? "/" : caller_.cwd);
  }

  void Add(SandboxMount mount) { plan_.sentry.mounts.push_back(std::move(mount)); }

  uint32_t AddGoferRoot(const std::string& host_path, bool writable) {
    plan_.gofer.roots.push_back({host_path, writable});
    return static_cast<uint32_t>(plan_.gofer.roots.size() - 1);
  }

  void AddRoot() {
    Add({.kind = MountKind::kOverlay,
         .noexec = root_.noexec,
         .root = AddGoferRoot(root_.path, false),
         .target = "/"});
  }

  void AddSystem() {
    Add({.kind = MountKind::kProc, .target = "/proc"});
    Add({.kind = MountKind::kSys, .target = "/sys"});
    Add({.kind = MountKind::kDev, .target = "/dev"});
    Add({.kind = MountKind::kTmpfs, .mode = 01777, .target = "/tmp"});
    Add({.kind = MountKind::kTmpfs, .mode = 0755, .target = "/run"});
  }

  void AddCwd(const std::string& cwd) {
    const bool in_fresh_dir =
        std::ranges::any_of(kFreshDirs, [&](const char* dir) { return cwd != dir && IsWithin(cwd, dir); });
    if (!IsHostsRoot() || !in_fresh_dir) return;
    const ErrorOr<HostFile> dir = Find(host_root_.get(), cwd);
    if (!dir.ok() || !dir->is_dir()) return;
    Add({.kind = MountKind::kOverlay,
         .noexec = dir->noexec,
         .root = AddGoferRoot(cwd, false),
         .target = cwd});
  }

  // PATH[:size=SIZE,mode=OCTAL]
  void AddTmpfs(const std::string& spec) {
    SandboxMount mount{.kind = MountKind::kTmpfs, .mode = 01777};
    const size_t colon = spec.rfind(':');
    const bool has_options = colon != spec.npos && spec.find('=', colon) != spec.npos;
    mount.target = Guest(spec.substr(0, has_options ? colon : spec.npos));
    std::istringstream list(has_options ? spec.substr(colon + 1) : "");
    for (std::string item; std::getline(list, item, ',');) {
      if (item.starts_with("size=")) mount.size = ParseSize(std::string_view(item).substr(5));
      if (item.starts_with("size=") && mount.size > 0) continue;
      char* end = nullptr;
      if (item.starts_with("mode=")) mount.mode = static_cast<uint32_t>(std::strtoul(item.c_str() + 5, &end, 8));
      if (end == nullptr || *end != 0 || item.size() == 5 || mount.mode > 07777)
        throw Failure("--tmpfs " + spec + ": " + item + ": want size=SIZE (bytes, or 64m) or mode=OCTAL");
    }
    Add(std::move(mount));
  }

  void AddShared(const std::string& spec, bool writable) {
    const size_t colon = spec.find(':');
    const std::string named = Guest(spec.substr(0, colon));
    const HostFile host = Must(Find(host_root_.get(), named), named);
    if (host.type == abi::kS_IFCHR || host.type == abi::kS_IFBLK)
      throw Failure(named + ": is a device; the sandbox has its own /dev");
    std::string guest = IsHostsRoot() ? host.path : named;
    if (colon != spec.npos) {
      guest = spec.substr(colon + 1);
      if (!guest.starts_with('/')) throw Failure(spec + ": the path inside the sandbox must be absolute");
      guest = NormalPath(guest, "/");
    }
    if (guest == "/") throw Failure(spec + ": the root itself is given by --rootfs");
    Add({.kind = MountKind::kGofer,
         .read_only = !writable,
         .noexec = host.noexec,
         .root = AddGoferRoot(host.path, writable),
         .target = guest});
    shown_.push_back(host.path);
  }

  void Hide(const std::string& guest, bool must_exist) {
    const ErrorOr<HostFile> host = Find(root_fd_.get(), guest);
    if (!host.ok()) {
      if (must_exist) throw Failure("--hide " + guest + ": " + ErrorText(host.error()));
      return;
    }
    const std::string& path = host->path;
    if (path == root_.path || !IsWithin(path, root_.path)) return;
    if (std::ranges::find(shown_, path) != shown_.end()) return;  // asked for by name
    const std::string target = IsHostsRoot() ? path : path.substr(root_.path.size());
    Add({.kind = host->is_dir() ? MountKind::kTmpfs : MountKind::kEmptyFile,
         .read_only = true,
         .locked = true,
         .mode = 0755,
         .target = target});
    // The gofer refuses it as well, unless something below it was asked for.
    const bool shown_below =
        std::ranges::any_of(shown_, [&](const auto& shown) { return IsWithin(shown, path); });
    if (!shown_below) plan_.gofer.hidden.push_back(path);
  }

  bool IsHostsRoot() const { return root_.path == "/"; }

  const DoOptions& options_;
  const Caller& caller_;
  SandboxPlan& plan_;
  const UniqueFd host_root_;
  const UniqueFd root_fd_;
  const HostFile root_;
  std::vector<std::string> shown_;  // host paths of --rw and --ro
};

}  // namespace

void PlanMounts(const DoOptions& options, const Caller& caller, const std::string& cwd, SandboxPlan& plan) {
  MountPlanner(options, caller, plan).Run(cwd);
}

}  // namespace moat
