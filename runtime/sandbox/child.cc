#include "runtime/sandbox/child.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "abi/clone.h"
#include "abi/fcntl.h"
#include "abi/mount.h"
#include "abi/poll.h"
#include "abi/prctl.h"
#include "abi/rlimit.h"
#include "abi/signal.h"
#include "abi/socket.h"
#include "base/host/file.h"
#include "base/host/mount.h"
#include "base/host/poll.h"
#include "base/host/process.h"
#include "base/host/signal.h"
#include "base/host/socket.h"
#include "runtime/util/failure.h"
#include "runtime/util/files.h"

namespace moat {
namespace {

// What a child reports when a step fails.
struct Report {
  int32_t step;
  int32_t error;
};

enum Step : int32_t { kSession, kNamespaces, kIdentity, kMounts, kEmptyRoot, kFds, kLimits, kSignals, kParent, kExec };
constexpr const char* kStepText[] = {
    "cannot start a session",       "cannot make its namespaces",     "cannot change to the sandbox's user",
    "cannot make its mounts private", "cannot make its empty root",     "cannot arrange its descriptors",
    "cannot set its limits",        "cannot reset its signals",       "cannot bind its life to moat's",
    "cannot execute it",
};

// How long the few calls from clone to exec may take on a host that is out of breath.
constexpr int kPatienceSeconds = 20;

// Descriptors wait above those that the programs expect at fixed numbers.
constexpr int kLowestParked = 16;

ErrorOr<void> MakeEmptyRoot() {
  constexpr uint64_t kFlags = abi::kMS_RDONLY | abi::kMS_NOSUID | abi::kMS_NODEV | abi::kMS_NOEXEC;
  // Any directory will do: what is mounted over it is about to be the root.
  ErrorOr<void> mounted = kENOENT;
  for (const char* place : {"/proc", "/tmp", "/dev", "/usr"}) {
    mounted = host::Mount("moat", place, "tmpfs", kFlags, "mode=0555,size=4k,nr_inodes=1");
    if (!mounted.ok()) continue;
    TRY(host::Chdir(place));
    break;
  }
  TRY(mounted);
  // pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one and is then let go.
  TRY(host::PivotRoot(".", "."));
  TRY(host::Umount2(".", abi::kMNT_DETACH));
  return host::Chdir("/");
}

class ChildMain {
 public:
  ChildMain(const ChildSpec& spec, UniqueFd sync) : spec_(spec), sync_(std::move(sync)) {}

  [[noreturn]] void Run() {
    char go;
    if (host::Recvfrom(sync_.get(), &go, 1, 0).value_or(0) != 1)
      host::ExitGroup(kExitSandboxFailed);  // moat is gone
    Do(kSession, [] { return DropValue(host::Setsid()); });
    if (spec_.unshare_flags) Do(kNamespaces, [this] { return host::Unshare(spec_.unshare_flags); });
    if (spec_.as_namespace_root) Do(kIdentity, BecomeNamespaceRoot);
    if (spec_.private_mounts) Do(kMounts, MakeMountsPrivate);
    if (spec_.empty_root) Do(kEmptyRoot, MakeEmptyRoot);
    Do(kLimits, SetLimits);
    Do(kSignals, [this] { return ResetSignals(); });
    Do(kParent, [this] { return DieWithParent(); });
    Do(kFds, [this] { return ArrangeFds(); });
    Do(kExec, [this] { return Exec(); });
    host::ExitGroup(kExitSandboxFailed);
  }

 private:
  template <class T>
  static ErrorOr<void> DropValue(ErrorOr<T> result) {
    if (!result.ok()) return result.error();
    return {};
  }

  template <class F>
  void Do(Step step, F action) {
    const ErrorOr<void> result = action();
    if (result.ok()) return;
    const Report report{step, static_cast<int32_t>(result.error())};
    (void)host::Sendto(sync_.get(), &report, sizeof(report), abi::kMSG_NOSIGNAL);
    host::ExitGroup(kExitSandboxFailed);
  }

  static ErrorOr<void> BecomeNamespaceRoot() {
    TRY(host::Setresgid(0, 0, 0));
    return host::Setresuid(0, 0, 0);
  }

  static ErrorOr<void> MakeMountsPrivate() {
    return host::Mount(nullptr, "/", nullptr, abi::kMS_REC | abi::kMS_PRIVATE, nullptr);
  }

  static ErrorOr<void> SetLimits() {
    TRY(host::ForbidCoreDumps());  // a core_pattern program would run as root on hostile bytes
    const host::ResourceLimit files = TRY(host::PrlimitGet(0, abi::kRLIMIT_NOFILE));
    return host::PrlimitSet(0, abi::kRLIMIT_NOFILE, {files.hard, files.hard});
  }

  ErrorOr<void> ResetSignals() {
    for (int signo = 1; signo <= abi::kNSIG; ++signo) {
      if (spec_.ignored_signals & abi::SigMask(signo)) TRY(host::SigActionDefault(signo));
    }
    return DropValue(host::SigProcMask(abi::kSIG_SETMASK, 0));
  }

  // After the last change of identity, which clears it. The parent may have died just before: its end of
  // `sync_` tells.
  ErrorOr<void> DieWithParent() {
    TRY(host::Prctl(abi::kPR_SET_PDEATHSIG, abi::kSIGKILL));
    char none;
    const ErrorOr<size_t> end = host::Recvfrom(sync_.get(), &none, 1, abi::kMSG_DONTWAIT);
    if (end.ok()) host::ExitGroup(kExitSandboxFailed);
    return {};
  }

  ErrorOr<void> ArrangeFds() {
    program_ = TRY(host::FcntlDupfdCloexec(spec_.program, kLowestParked));
    sync_ = TRY(host::FcntlDupfdCloexec(sync_.get(), kLowestParked));
    std::vector<UniqueFd> parked;
    for (const FdMapping& fd : spec_.fds)
      parked.push_back(TRY(host::FcntlDupfdCloexec(fd.ours, kLowestParked)));
    for (size_t i = 0; i < parked.size(); ++i) TRY(host::Dup3(parked[i].get(), spec_.fds[i].childs, 0));
    return host::CloseRange(static_cast<uint32_t>(spec_.fds.size()), ~0u, abi::kCLOSE_RANGE_CLOEXEC);
  }

  ErrorOr<void> Exec() {
    const char* const argv[] = {spec_.name, nullptr};
    const char* const envp[] = {nullptr};
    return host::Execveat(program_.get(), "", argv, envp, abi::kAT_EMPTY_PATH);
  }

  const ChildSpec& spec_;
  UniqueFd sync_;
  UniqueFd program_;
};

std::string FirstLine(const std::string& path) {
  std::string text = ReadFile(path).value_or("");
  return text.substr(0, text.find('\n'));
}

// Why the host may refuse namespaces to us, as far as it says.
std::string ExplainNamespaces() {
  if (FirstLine("/proc/sys/kernel/unprivileged_userns_clone") == "0")
    return " (the host forbids user namespaces to users: sysctl kernel.unprivileged_userns_clone=1 allows "
           "them)";
  if (FirstLine("/proc/sys/user/max_user_namespaces") == "0")
    return " (the host allows no user namespaces: see sysctl user.max_user_namespaces)";
  if (FirstLine("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1")
    return " (AppArmor restricts user namespaces: give moat a profile with `userns,`, or sysctl "
           "kernel.apparmor_restrict_unprivileged_userns=0)";
  return " (in a container? Its seccomp profile must allow clone with new namespaces, and root needs "
         "CAP_SYS_ADMIN)";
}

std::string Describe(const char* name, const Report& report) {
  const auto step = std::clamp<size_t>(static_cast<size_t>(report.step), 0, std::size(kStepText) - 1);
  const auto error = static_cast<Errno>(report.error);
  std::string text = std::string(name) + ": " + kStepText[step] + ": " + ErrorText(error);
  const bool refused = error == kEPERM || error == kEACCES;
  const bool is_namespace = report.step == kNamespaces || report.step == kMounts || report.step == kEmptyRoot;
  if (refused && is_namespace) text += ExplainNamespaces();
  if (refused && report.step == kExec) text += " (every user must be able to read and execute the program)";
  return text;
}

}  // namespace

Child Child::Start(const ChildSpec& spec) {
  host::SocketPair sync =
      Must(host::Socketpair(abi::kAF_UNIX, abi::kSOCK_SEQPACKET | abi::kSOCK_CLOEXEC, 0), "socketpair");
  const ErrorOr<int> pid = host::Fork(spec.clone_flags);
  if (!pid.ok()) {
    const std::string why = spec.clone_flags == 0 ? "" : ExplainNamespaces();
    throw Failure(std::string("cannot start ") + spec.name + ": clone: " + ErrorText(pid.error()) + why);
  }
  if (*pid == 0) {
    sync.first.Reset();
    ChildMain(spec, std::move(sync.second)).Run();
  }
  return Child(spec.name, *pid, std::move(sync.first));
}

void Child::Go() {
  // A child that is dead already is found by AwaitExec's caller.
  (void)host::Sendto(sync_.get(), "", 1, abi::kMSG_NOSIGNAL);
}

void Child::AwaitExec() {
  for (;;) {
    abi::Pollfd sync{sync_.get(), abi::kPOLLIN, 0};
    const abi::Timespec patience{kPatienceSeconds, 0};
    if (host::Ppoll(&sync, 1, &patience).value_or(1) == 0)
      throw Failure(std::string(name_) + ": did not start within " + std::to_string(kPatienceSeconds) + " seconds");
    Report report{};
    const ErrorOr<size_t> got = host::Recvfrom(sync_.get(), &report, sizeof(report), 0);
    if (got.error() == kEINTR) continue;
    sync_.Reset();
    if (got.value_or(0) == sizeof(report)) throw Failure(Describe(name_, report));
    return;  // closed by exec
  }
}

}  // namespace moat
