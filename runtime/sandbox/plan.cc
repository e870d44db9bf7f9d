#include "runtime/sandbox/plan.h"

#include <algorithm>
#include <cstdlib>

#include "abi/fcntl.h"
#include "base/host/file.h"
#include "base/util/log.h"
#include "runtime/sandbox/hide_list.h"
#include "runtime/sandbox/memory_guard.h"
#include "runtime/sandbox/mounts.h"
#include "runtime/sandbox/users.h"
#include "runtime/util/failure.h"
#include "runtime/util/files.h"

namespace moat {
namespace {

// A regular file below `root`, whose symlinks can't lead out of it: the root may be a hostile image. Empty if
// there is none.
std::string ReadInRoot(const std::string& root, const char* path) {
  const ErrorOr<UniqueFd> dir = host::Openat(abi::kAT_FDCWD, root.c_str(), abi::kO_PATH | abi::kO_CLOEXEC);
  if (!dir.ok()) return "";
  abi::OpenHow how{};
  how.flags = abi::kO_RDONLY | abi::kO_CLOEXEC | abi::kO_NONBLOCK | abi::kO_NOCTTY;
  how.resolve = abi::kRESOLVE_IN_ROOT | abi::kRESOLVE_NO_MAGICLINKS;
  const ErrorOr<UniqueFd> fd = host::Openat2(dir->get(), path, how);
  if (!fd.ok()) return "";
  const ErrorOr<abi::Stat> stat = host::Fstat(fd->get());
  if (!stat.ok() || (stat->st_mode & abi::kS_IFMT) != abi::kS_IFREG) return "";
  constexpr size_t kMaxBytes = 16 << 20;  // sites have large ones; an image must not make us read for ever
  std::string text(std::min(static_cast<size_t>(stat->st_size), kMaxBytes), '\0');
  text.resize(host::ReadFull(fd->get(), text.data(), text.size()).value_or(0));
  return text;
}

void PlanUser(const DoOptions& options, const Caller& caller, SandboxConfig& config) {
  UserIds ids{caller.uid, caller.gid, caller.groups};
  if (!options.user.empty()) {
    ids = ResolveUser(options.user, ReadInRoot(options.rootfs, "etc/passwd"),
                      ReadInRoot(options.rootfs, "etc/group"));
  }
  config.uid = ids.uid, config.gid = ids.gid, config.groups = ids.groups;
}

std::string_view NameOf(std::string_view variable) { return variable.substr(0, variable.find('=')); }

void SetVariable(std::vector<std::string>& env, const std::string& variable) {
  std::erase_if(env, [&](const std::string& old) { return NameOf(old) == NameOf(variable); });
  env.push_back(variable);
}

void PlanEnv(const DoOptions& options, const Caller& caller, SandboxPlan& plan) {
  std::string dropped;
  for (const std::string& variable : caller.env) {
    if (options.clear_env) break;
    if (options.default_hide && IsSecretName(NameOf(variable))) {
      dropped += " " + std::string(NameOf(variable));
    } else {
      plan.sentry.env.push_back(variable);
    }
  }
  if (!dropped.empty())
    plan.notices.push_back("kept from the command:" + dropped + " (--no-default-hide passes them)");
  for (const std::string& variable : options.env) {
    if (NameOf(variable).empty() || NameOf(variable) == variable)
      throw Failure("--env " + variable + ": want NAME=VALUE");
    SetVariable(plan.sentry.env, variable);
  }
}

std::string PlanCwd(const DoOptions& options, const Caller& caller) {
  const bool host_root = NormalPath(options.rootfs, caller.cwd.empty() ? "/" : caller.cwd) == "/";
  if (!options.cwd.empty()) {
    if (!options.cwd.starts_with('/')) throw Failure("--cwd " + options.cwd + ": must be absolute");
    return NormalPath(options.cwd, "/");
  }
  return host_root && !caller.cwd.empty() ? caller.cwd : "/";
}

void PlanLimits(const DoOptions& options, SandboxConfig& config) {
  constexpr uint64_t kLeastMemory = 16 << 20;
  constexpr uint64_t kBytesPerTask = 256 << 10;  // a small process: page tables, stacks, what the kernel keeps of it
  constexpr uint32_t kFewestTasks = 64;
  if (options.memory_bytes != 0 && options.memory_bytes < kLeastMemory)
    throw Failure("--memory: a sandbox needs at least 16 MiB");
  config.memory_bytes = options.memory_bytes != 0 ? options.memory_bytes : SpareMemory();
  config.layer_bytes = config.memory_bytes / 2;
  // Every guest thread is one of the host, and takes one of its pids: others need them too.
  const uint64_t host_pids = std::strtoull(ReadFile("/proc/sys/kernel/pid_max").value_or("").c_str(), nullptr, 10);
  uint64_t tasks = std::min<uint64_t>(config.memory_bytes / kBytesPerTask, config.max_tasks);
  if (host_pids != 0) tasks = std::min(tasks, host_pids / 4);
  config.max_tasks = options.pids != 0 ? options.pids : std::max(static_cast<uint32_t>(tasks), kFewestTasks);
}

}  // namespace

SandboxPlan MakePlan(const DoOptions& options, const Caller& caller) {
  SandboxPlan plan;
  SandboxConfig& sentry = plan.sentry;
  sentry.argv = options.command;
  sentry.cwd = PlanCwd(options, caller);
  sentry.umask = caller.umask;
  sentry.nice = caller.nice;
  sentry.hostname = options.hostname;
  sentry.ignored_signals = caller.ignored_signals;
  sentry.blocked_signals = caller.blocked_signals;
  sentry.rlimits = caller.rlimits;
  sentry.stdio = caller.stdio;
  sentry.tty = caller.tty;
  sentry.platform = options.platform;
  sentry.strace = options.strace.has_value();
  sentry.log_level = static_cast<uint8_t>(options.debug ? kDebug : kWarning);
  if (!caller.privileged) sentry.host_uid = caller.uid, sentry.host_gid = caller.gid;
  plan.gofer.log_level = sentry.log_level;
  plan.gofer.privileged = caller.privileged;
  PlanLimits(options, sentry);
  PlanEnv(options, caller, plan);
  PlanMounts(options, caller, sentry.cwd, plan);
  PlanUser(options, caller, sentry);
  return plan;
}

}  // namespace moat
