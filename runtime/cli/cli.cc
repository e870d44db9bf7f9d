#include "runtime/cli/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "runtime/sandbox/launch.h"
#include "runtime/util/failure.h"

namespace moat {
namespace {

constexpr const char* kDoFooter = R"(
Exit status: the command's; 128+N if signal N ended it; 124 after --timeout; 125 if the sandbox failed;
126 if the command cannot be executed; 127 if it is not found.

Examples:
  moat do -- make test                     the whole host read-only, writes thrown away
  moat do --rw . -- ./configure            let it write to the current directory
  moat do --rw out:/out --env CI=1 -- sh   another name inside; a variable
  moat do --rootfs ./image -- /bin/sh      another root
  moat do --strace=trace.txt -- ls         its system calls, as the sandbox sees them)";

// CLI11's own usage line knows nothing of the command behind the flags.
class DoFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: moat do [FLAGS] -- COMMAND [ARGUMENTS]\n";
  }
  // Without the values that flags stand for: "--strace{-}".
  std::string make_option_name(const CLI::Option* option, bool positional) const override {
    const std::string name = CLI::Formatter::make_option_name(option, positional);
    return name.substr(0, name.find('{'));
  }
};

void AddFileFlags(CLI::App& app, DoOptions& o) {
  const char* group = "Files";
  app.add_option("--rootfs", o.rootfs, "Root directory of the sandbox, seen read-only")
      ->type_name("DIR")
      ->group(group)
      ->capture_default_str();
  app.add_option("--rw", o.read_write, "Show the file or directory PATH of the host and let writes reach it")
      ->type_name("PATH[:INSIDE]")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--ro", o.read_only, "Show the file or directory PATH of the host, read-only")
      ->type_name("PATH[:INSIDE]")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--tmpfs", o.tmpfs, "Mount an empty file system at PATH")
      ->type_name("PATH[:size=64m,mode=1777]")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--hide", o.hide, "Hide the file or directory PATH")
      ->type_name("PATH")
      ->allow_extra_args(false)
      ->group(group);
  app.add_flag("!--no-default-hide", o.default_hide,
               "Show the usual places of credentials, and pass variables that look like secrets")
      ->group(group);
}

void AddCommandFlags(CLI::App& app, DoOptions& o) {
  const char* group = "Command";
  app.add_option("--env", o.env, "Set a variable")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false)
      ->group(group);
  app.add_flag("--clearenv", o.clear_env, "Pass no variable but those of --env")->group(group);
  app.add_option("--cwd", o.cwd, "Directory to start in (default: the current one)")
      ->type_name("DIR")
      ->group(group);
  app.add_option("--user", o.user, "Run as this user (default: the caller)")
      ->type_name("UID[:GID]|NAME")
      ->group(group);
  app.add_option("--hostname", o.hostname, "Name of the machine inside")
      ->type_name("NAME")
      ->group(group)
      ->capture_default_str();
}

// `strace` gets "-" for the bare flag.
void AddSandboxFlags(CLI::App& app, DoOptions& o, std::string& strace) {
  const char* group = "Sandbox";
  static const std::map<std::string, PlatformChoice> kPlatforms = {{"auto", PlatformChoice::kAuto},
                                                                   {"ptrace", PlatformChoice::kPtrace}};
  app.add_option("--platform", o.platform, "How guest code is run (default: auto)")
      ->type_name("auto|ptrace")
      ->transform(CLI::CheckedTransformer(kPlatforms, CLI::ignore_case).description(""))
      ->group(group);
  app.add_flag("--strace{-}", strace, "Trace system calls to standard error, or to a file with --strace=FILE")
      ->group(group);
  app.add_option("--log", o.log, "Write the sandbox's log to FILE instead of standard error")
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--debug", o.debug, "Log much more")->group(group);
}

void AddLimitFlags(CLI::App& app, DoOptions& o) {
  const char* group = "Limits";
  app.add_option("--memory", o.memory_bytes, "Most memory for the sandbox: 512M, 2G (default: what the host can spare)")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(false).description(""))
      ->group(group);
  app.add_option("--pids", o.pids, "Most processes and threads at once (default: 8192, fewer with little memory)")
      ->type_name("N")
      ->check(CLI::Range(1u, 32768u).description(""))
      ->group(group);
  app.add_option("--timeout", o.timeout_s, "End the command after so many seconds")
      ->type_name("SECONDS")
      ->check(CLI::PositiveNumber.description(""))
      ->group(group);
}

std::string Version() {
  return std::string("moat ") + MOAT_VERSION + (kEmptyRoot ? "" : " (unsafe: built for sanitizers)");
}

// Arguments up to a `--`, and what follows it.
struct SplitArgs {
  std::vector<std::string> flags;
  std::vector<std::string> command;
};

// CLI11 knows nothing of a rest that must not be looked at.
SplitArgs Split(int argc, char** argv) {
  const std::vector<std::string> all(argv + std::min(argc, 1), argv + argc);
  const auto dashes = std::ranges::find(all, "--");
  SplitArgs split{{all.begin(), dashes}, {}};
  if (dashes != all.end()) split.command.assign(dashes + 1, all.end());
  return split;
}

// Without `--`, the command starts at the first argument that is no flag; a later `--` is then the command's
// own.
std::vector<std::string> JoinCommand(const std::vector<std::string>& before,
                                     const std::vector<std::string>& after, bool had_dashes) {
  if (before.empty()) return after;
  if (before[0].starts_with('-')) throw Failure("unknown flag " + before[0] + " (see moat do --help)");
  std::vector<std::string> command = before;
  if (had_dashes) command.push_back("--");
  command.insert(command.end(), after.begin(), after.end());
  return command;
}

int Parse(int argc, char** argv, char** envp) {
  CLI::App app("Runs programs in a sandbox: an application kernel of our own answers their system calls.",
               "moat");
  app.set_version_flag("--version", Version());
  app.require_subcommand(1);
  DoOptions options;
  std::string strace;
  CLI::App* run = app.add_subcommand("do", "Run a command in a new sandbox over the host's files");
  run->formatter(std::make_shared<DoFormatter>());
  run->prefix_command();
  run->footer(kDoFooter);
  AddFileFlags(*run, options);
  AddCommandFlags(*run, options);
  AddLimitFlags(*run, options);
  AddSandboxFlags(*run, options, strace);

  SplitArgs args = Split(argc, argv);
  const bool had_dashes = args.flags.size() + 1 < static_cast<size_t>(argc);
  if (!args.flags.empty() && !args.flags[0].starts_with('-') && args.flags[0] != "do") {
    throw Failure("no subcommand " + args.flags[0] + " (see moat --help)");
  }
  std::ranges::reverse(args.flags);  // as CLI11 wants a vector
  try {
    app.parse(std::move(args.flags));
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    throw Failure(std::string(e.what()) + " (see moat --help)");
  }
  options.command = JoinCommand(run->remaining(), args.command, had_dashes);
  if (options.command.empty()) throw Failure("no command given (see moat do --help)");
  if (!strace.empty()) options.strace = strace == "-" ? "" : strace;
  return Do(options, envp);
}

}  // namespace

int Main(int argc, char** argv, char** envp) {
  try {
    return Parse(argc, argv, envp);
  } catch (const Failure& failure) {
    PrintLine(failure.what());
    return failure.exit_code();
  } catch (const std::exception& e) {
    PrintLine(e.what());
    return kExitSandboxFailed;
  }
}

}  // namespace moat
