// moat-gofer: serves files to one sandbox. Started by `moat` with the descriptors of protocol/config.h and no arguments.
#include <string>

#include "abi/fcntl.h"
#include "base/fiber/host_thread.h"
#include "base/host/file.h"
#include "base/host/futex.h"
#include "base/host/memory.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "base/util/log.h"
#include "gofer/protocol/config.h"
#include "gofer/server/confine.h"
#include "gofer/server/server.h"

namespace moat::gofer {
namespace {

// Requests that may be stuck in a slow file system at once before the others wait. The first thread is the main one.
constexpr int kThreads = 8;
// Descriptors that are not handles: files on their way, opened for a moment, each thread a few.
constexpr uint64_t kSpareFds = 256;
constexpr uint64_t kMaxHandles = 65536;
// More cost a wait now and then.
constexpr int kExpectedFds = 4096;
// Most sandboxes have started their command by then and ask for little more.
constexpr int64_t kSettledNs = 1'000'000'000;

[[noreturn]] void Die(const char* what, Errno error) {
  LOG(kError, "cannot start: %s: error %d", what, static_cast<int>(error));
  host::ExitGroup(1);
}
template <class T> T OrDie(const char* what, ErrorOr<T> result) {
  if (!result.ok()) Die(what, result.error());
  return TakeValue(std::move(result));
}

GoferConfig ReadConfig() {
  std::string bytes(kMaxGoferConfigBytes, '\0');
  size_t size = 0;
  while (size < bytes.size()) {  // from offset 0, wherever the shared position is
    size_t n = OrDie("reading the configuration",
                     host::Pread(kGoferFdConfig, bytes.data() + size, bytes.size() - size, size));
    if (n == 0) break;
    size += n;
  }
  bytes.resize(size);
  return OrDie("configuration", DecodeGoferConfig(bytes));
}

// `path` below `root`, or empty.
std::string_view Below(std::string_view path, std::string_view root) {
  while (root.ends_with('/')) root.remove_suffix(1);
  if (!path.starts_with(root) || path.size() <= root.size() + 1 || path[root.size()] != '/') return {};
  return path.substr(root.size() + 1);
}

struct Confined {
  std::vector<UniqueFd> roots;
  UniqueFd proc;
  bool unmapped_ids = false;
};

Confined OpenRoots(const GoferConfig& config, const std::vector<RootSpec>& specs) {
  Confined c;
  if (!config.privileged) {
    constexpr uint32_t kFlags = abi::kO_PATH | abi::kO_DIRECTORY | abi::kO_CLOEXEC;
    c.proc = OrDie("/proc/self/fd", host::Openat(abi::kAT_FDCWD, "/proc/self/fd", kFlags));
    auto roots = ConfineByLandlock(specs);
    if (roots.ok()) {
      c.roots = std::move(roots).value();
      return c;
    }
    if (roots.error() != kENOSYS && roots.error() != kEOPNOTSUPP) Die("confinement by Landlock", roots.error());
    OrDie("user namespace (the host has no Landlock)", EnterUserNamespace());
    c.unmapped_ids = true;
  }
  c.roots = OrDie("confinement by mounts", ConfineByMounts(specs, &c.proc));
  return c;
}

Service MakeService(const GoferConfig& config) {
  std::vector<RootSpec> specs;
  for (const GoferRoot& root : config.roots) specs.push_back({root.path, root.writable});
  Confined confined = OpenRoots(config, specs);
  Service service{Reopener(std::move(confined.proc)), {}, UniqueFd(), confined.unmapped_ids};
  service.empty_file = OrDie("empty file", MakeEmptyFile(service.reopener));
  for (size_t i = 0; i < specs.size(); ++i) {
    auto root = std::make_unique<Root>();
    root->fd = std::move(confined.roots[i]);
    root->read_only = !specs[i].writable;
    for (const std::string& path : config.hidden) {
      std::string_view below = Below(path, specs[i].path);
      if (!below.empty()) OrDie("hidden path", root->hide.Add(below));
    }
    OrDie(specs[i].path.c_str(), root->Prepare());
    service.roots.push_back(std::move(root));
  }
  return service;
}

// At `until_ns` gives back the memory that only the start-up used. The other threads serve meanwhile.
void ReleaseStartup(int64_t until_ns) {
  const abi::Timespec deadline{until_ns / abi::kNSEC_PER_SEC, until_ns % abi::kNSEC_PER_SEC};
  // A futex that nobody wakes: the list knows no other sleep.
  const uint32_t nobody = 0;
  while (host::FutexWait(&nobody, nobody, &deadline, /*shared=*/false).error() == kEINTR) {
  }
  host::TrimHeap();
  host::ReleaseImagePages();
}

int Main() {
  SetLog(kGoferFdLog, "moat-gofer", kWarning);
  uint64_t max_fds = OrDie("limits", ConfineProcess(kGoferFdConfig));
  GoferConfig config = ReadConfig();
  SetLog(kGoferFdLog, "moat-gofer", static_cast<LogLevel>(config.log_level));
  (void)host::Close(kGoferFdConfig);
  bool writable = false;
  for (const GoferRoot& root : config.roots) writable |= root.writable;

  Service service = MakeService(config);
  OrDie("capabilities", DropCapabilities(config.privileged, writable));
  uint64_t handles = max_fds > 2 * kSpareFds ? std::min(max_fds - kSpareFds, kMaxHandles) : max_fds / 2;
  Server server(service, UniqueFd(kGoferFdConnection), static_cast<uint32_t>(handles));
  host::ReserveFds(kGoferFdConnection, kExpectedFds);
  for (int i = 1; i < kThreads; ++i) {
    StartHostThread("serve", [&server] {
      server.Serve();
      host::ExitGroup(0);
    });
  }
  AwaitHostThreads();
  const int64_t settled_ns = host::NowMonotonicNs() + kSettledNs;  // now: the list knows no clock
  OrDie("seccomp filter",
        InstallGoferFilter({kGoferFdConnection, kGoferFdLog, service.reopener.proc_fd(), writable}));
  ReleaseStartup(settled_ns);
  server.Serve();
  host::ExitGroup(0);
}

}  // namespace
}  // namespace moat::gofer

int main() { return moat::gofer::Main(); }
