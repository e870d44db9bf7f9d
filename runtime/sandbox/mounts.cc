#include "runtime/sandbox/mounts.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "abi/fcntl.h"
#include "abi/stat.h"
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

std::string Canonical(const std::string& path) {
  std::error_code error;
  const std::string canonical = std::filesystem::canonical(path, error).string();
  if (error) throw Failure(path + ": " + error.message());
  return canonical;
}

bool IsDirectory(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

bool IsNoexec(const std::string& path) {
  const ErrorOr<UniqueFd> fd = host::Openat(abi::kAT_FDCWD, path.c_str(), abi::kO_PATH | abi::kO_CLOEXEC);
  if (!fd.ok()) return false;
  const ErrorOr<abi::Statfs> statfs = host::Fstatfs(fd->get());
  return statfs.ok() && (statfs->f_flags & abi::kST_NOEXEC) != 0;
}

class MountPlanner {
 public:
  MountPlanner(const DoOptions& options, const Caller& caller, SandboxPlan& plan)
      : options_(options), caller_(caller), plan_(plan), root_(Canonical(options.rootfs)) {}

  void Run(const std::string& cwd) {
    AddRoot();
    AddSystem();
    AddCwd(cwd);
    for (const std::string& path : options_.tmpfs)
      Add({.kind = MountKind::kTmpfs, .mode = 01777, .target = Guest(path)});
    for (const std::string& spec : options_.read_write) AddShared(Parse(spec), /*writable=*/true);
    for (const std::string& spec : options_.read_only) AddShared(Parse(spec), /*writable=*/false);
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
    if (!IsDirectory(root_)) throw Failure("--rootfs " + options_.rootfs + ": not a directory");
    Add({.kind = MountKind::kOverlay,
         .noexec = IsNoexec(root_),
         .root = AddGoferRoot(root_, false),
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
    if (root_ != "/" || !in_fresh_dir || !IsDirectory(cwd)) return;
    Add({.kind = MountKind::kOverlay,
         .noexec = IsNoexec(cwd),
         .root = AddGoferRoot(cwd, false),
         .target = cwd});
  }

  PathPair Parse(const std::string& spec) const {
    const size_t colon = spec.find(':');
    const std::string host = Canonical(Guest(spec.substr(0, colon)));
    if (!IsDirectory(host)) throw Failure(host + ": not a directory");  // the gofer serves directories
    if (colon == spec.npos) return {host, root_ == "/" ? host : Guest(spec)};
    const std::string guest = spec.substr(colon + 1);
    if (!guest.starts_with('/')) throw Failure(spec + ": the path inside the sandbox must be absolute");
    return {host, NormalPath(guest, "/")};
  }

  void AddShared(const PathPair& path, bool writable) {
    Add({.kind = MountKind::kGofer,
         .read_only = !writable,
         .noexec = IsNoexec(path.host),
         .root = AddGoferRoot(path.host, writable),
         .target = path.guest});
    shown_.push_back(path.host);
  }

  // The host's file at `guest` of the sandbox's root; nothing if there is none.
  std::optional<std::string> HostPathOf(const std::string& guest) const {
    std::error_code error;
    const std::string path = std::filesystem::canonical(root_ == "/" ? guest : root_ + guest, error).string();
    if (error || !IsWithin(path, root_)) return std::nullopt;
    return path;
  }

  void Hide(const std::string& guest, bool must_exist) {
    const std::optional<std::string> host = HostPathOf(guest);
    if (!host) {
      if (must_exist) throw Failure("--hide " + guest + ": no such file or directory");
      return;
    }
    if (*host == "/" || std::ranges::find(shown_, *host) != shown_.end()) return;  // asked for by name
    const std::string target = root_ == "/" ? *host : host->substr(root_.size());
    Add({.kind = IsDirectory(*host) ? MountKind::kTmpfs : MountKind::kEmptyFile,
         .read_only = true,
         .locked = true,
         .mode = 0755,
         .target = target});
    // The gofer refuses it as well, unless something below it was asked for.
    const bool shown_below =
        std::ranges::any_of(shown_, [&](const auto& path) { return IsWithin(path, *host); });
    if (!shown_below) plan_.gofer.hidden.push_back(*host);
  }

  const DoOptions& options_;
  const Caller& caller_;
  SandboxPlan& plan_;
  const std::string root_;          // on the host
  std::vector<std::string> shown_;  // host paths of --rw and --ro
};

}  // namespace

void PlanMounts(const DoOptions& options, const Caller& caller, const std::string& cwd, SandboxPlan& plan) {
  MountPlanner(options, caller, plan).Run(cwd);
}

}  // namespace moat
