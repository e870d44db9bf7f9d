#include <string>

#include "abi/fcntl.h"
#include "base/host/file.h"
#include "runtime/cli/cli.h"
#include "runtime/sandbox/caller.h"
#include "runtime/sandbox/launch.h"
#include "runtime/sandbox/plan.h"
#include "runtime/sandbox/supervise.h"
#include "runtime/sandbox/terminal.h"
#include "runtime/util/failure.h"

namespace moat {
namespace {

UniqueFd OpenOutput(const std::string& path) {
  constexpr uint32_t kFlags =
      abi::kO_WRONLY | abi::kO_CREAT | abi::kO_TRUNC | abi::kO_APPEND | abi::kO_CLOEXEC;
  return Must(host::Openat(abi::kAT_FDCWD, path.c_str(), kFlags, 0644), path);
}

// Output files of the flags, opened before anything starts; standard error without one.
struct Outputs {
  explicit Outputs(const DoOptions& options) {
    if (!options.log.empty()) files.log = (log = OpenOutput(options.log)).get();
    if (!options.strace) return;
    files.strace = 2;
    if (!options.strace->empty()) files.strace = (strace = OpenOutput(*options.strace)).get();
  }
  UniqueFd log, strace;
  LaunchFiles files;
};

}  // namespace

int Do(const DoOptions& options, char** envp) {
  const Caller caller = LookAtCaller(envp);
  const SandboxPlan plan = MakePlan(options, caller);
  const Outputs outputs(options);
  for (const std::string& notice : plan.notices) PrintLine(notice);
  const UniqueFd signals = TakeSignals(caller);
  const TerminalGuard terminal(caller.tty);
  Sandbox sandbox = Launch(plan, caller, outputs.files);
  return Supervise(sandbox, signals, caller, {.timeout_s = options.timeout_s, .memory_bytes = plan.sentry.memory_bytes});
}

}  // namespace moat
