#include "sentry/boot/boot.h"

#include <array>
#include <cstdlib>
#include <string>

#include "abi/capability.h"
#include "abi/rlimit.h"
#include "abi/stat.h"
#include "abi/wait.h"
#include "base/fiber/executor.h"
#include "base/fiber/fiber.h"
#include "base/fiber/host_thread.h"
#include "base/fiber/host_watch.h"
#include "base/fiber/offload.h"
#include "base/host/file.h"
#include "base/host/memory.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "base/util/log.h"
#include "fs/dev/devices.h"
#include "fs/hostfd/host_file.h"
#include "fs/hostfd/host_terminal.h"
#include "fs/pipe/pipe_file.h"
#include "fs/tmpfs/page_store.h"
#include "fs/tty/pty.h"
#include "fs/vfs/fd_table.h"
#include "sentry/boot/command.h"
#include "sentry/boot/config.h"
#include "sentry/boot/control_channel.h"
#include "sentry/boot/lockdown.h"
#include "sentry/boot/mounts.h"
#include "sentry/boot/rest.h"
#include "sentry/boot/signal_relay.h"
#include "sentry/kernel/init.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/sandbox_memory.h"
#include "sentry/kernel/tty.h"
#include "sentry/syscalls/strace.h"

namespace moat {

namespace {

constexpr int kExitSandboxFailed = 125;
constexpr int kOffloadThreads = 2;
constexpr int kExpectedFds = 4096;  // guest files that are open or mapped, about; more cost a wait now and then

ErrorOr<SandboxConfig> ReadConfig() {
  abi::Stat stat = TRY(host::Fstat(kFdConfig));
  if (stat.st_size < 0 || static_cast<uint64_t>(stat.st_size) > kMaxConfigBytes) return kEINVAL;
  std::string bytes(static_cast<size_t>(stat.st_size), '\0');
  if (TRY(host::Pread(kFdConfig, bytes.data(), bytes.size(), 0)) != bytes.size()) return kEINVAL;
  TRY(host::Close(kFdConfig));
  return DecodeConfig(bytes);
}

// A step of the start-up; says on the control channel what failed.
template <class T>
bool Step(const char* what, const ErrorOr<T>& result) {
  if (result.ok()) return true;
  SendControl({.type = ControlType::kNotice,
               .text = std::string("the sandbox could not start: ") + what + ": " + ErrnoName(result.error())});
  return false;
}

Ref<Credentials> CredentialsOf(const SandboxConfig& config) {
  Ref<Credentials> c = MakeRef<Credentials>();
  c->uid = c->euid = c->suid = c->fsuid = config.uid;
  c->gid = c->egid = c->sgid = c->fsgid = config.gid;
  c->groups = config.groups;
  std::sort(c->groups.begin(), c->groups.end());
  if (config.uid == 0) c->effective = c->permitted = kAllCapabilities;
  return c;
}

// Where the caller's terminal appears in the guest; made the user's, as login(1) does.
ErrorOr<Path> ConsoleOf(const WalkContext& walk, const SandboxConfig& config) {
  Path console = TRY(Walk(walk, walk.root, "/dev/console"));
  Inode& inode = *console.dentry->inode();
  TaskMutexLock lock(inode.lock());
  TRY(inode.SetAttributes({.mask = SetAttr::kUid | SetAttr::kGid, .uid = config.uid, .gid = config.gid}));
  return console;
}

ErrorOr<Ref<FdTable>> StdioOf(const SandboxConfig& config, const Path* console) {
  HostFile::SetOwner(config.uid, config.gid);
  Ref<FdTable> fds = MakeRef<FdTable>();
  for (int fd = 0; fd < 3; ++fd) {
    if (config.stdio[static_cast<size_t>(fd)] == StdioKind::kClosed) continue;
    Ref<HostFile> file = TRY(HostFile::Create(UniqueFd(fd), console));
    if (file->terminal()) RegisterConsole(Ref<Terminal>(file->terminal()));
    TRY(fds->InstallAt(std::move(file), fd, false, 3));
  }
  return fds;
}

void ReportExit(int status) {
  ControlMessage m{.type = ControlType::kExited};
  if (abi::WaitIfSignaled(status)) {
    m.detail = abi::WaitTermSig(status);
  } else {
    m.value = abi::WaitExitStatus(status);
  }
  SendControl(m);
  host::ExitGroup(0);
}

void ReportExecFailure(const SandboxConfig& config, Errno error) {
  SendControl({.type = ControlType::kExecFailed, .value = static_cast<int32_t>(error), .text = config.argv[0]});
  host::ExitGroup(0);
}

// `moat` has measured the guests and asks for what only we know.
void OnMemory(const ControlMessage& m) {
  if (m.type != ControlType::kMemory || m.value < 0) return;
  SandboxMemory::SetGuestBytes(static_cast<uint64_t>(m.value) << 20);
  if (m.detail) host::TrimHeap();
  GiveBackAtRest();
  const uint64_t mib = (PageStore::RecountAll() + (1 << 20) - 1) >> 20;
  SendControl({.type = ControlType::kMemory, .value = static_cast<int32_t>(std::min<uint64_t>(mib, INT32_MAX))});
}

ErrorOr<void> SetLimits(Kernel& kernel, const SandboxConfig& config) {
  kernel.limits.max_tasks = static_cast<int>(config.max_tasks);
  SandboxMemory::SetLimit(config.memory_bytes);
  SandboxMemory::SetHostFdLimit(TRY(host::PrlimitGet(0, abi::kRLIMIT_NOFILE)).soft);
  return {};
}

// On a fiber: mounts, files, the first program.
void StartCommand(Kernel& kernel, const SandboxConfig& config, SignalRelay& signals, Completion& go) {
  RegisterFifos();
  RegisterMemoryDevices();
  RegisterPtyDevices();
  StartJobControl(kernel);
  Ref<GoferClient> gofer = GoferClient::Create(UniqueFd(kFdGofer));
  std::string failed;
  ErrorOr<Ref<MountNamespace>> mounts = BuildMounts(kernel, config, gofer, failed);
  if (!Step(("mounting " + failed).c_str(), mounts)) host::ExitGroup(kExitSandboxFailed);
  kernel.set_mounts(*mounts);
  Kernel::InitArgs args;
  args.root = (*mounts)->root();
  args.cwd = args.root;
  args.creds = CredentialsOf(config);
  WalkContext walk{args.root, args.root, *args.creds, **mounts};
  // The caller's directory may not exist in another root: then "/", as most shells do when it vanished.
  ErrorOr<Path> cwd = Walk(walk, args.root, config.cwd, {.directory = true});
  if (cwd.ok()) walk.cwd = args.cwd = *cwd;
  else LOG(kWarning, "%s: %s; starting in /", config.cwd.c_str(), ErrnoName(cwd.error()));
  ErrorOr<FoundCommand> command = FindCommand(walk, config);
  if (!command.ok()) ReportExecFailure(config, command.error());
  args.file = command->file;
  args.filename = command->filename;
  args.argv = config.argv;
  args.envp = config.env;
  args.umask = config.umask;
  args.nice = config.nice;
  args.ignored_signals = config.ignored_signals;
  args.blocked_signals = config.blocked_signals;
  args.has_tty = config.tty.present;
  for (size_t i = 0; i < args.rlimits.size(); ++i) args.rlimits[i] = {config.rlimits[i].soft, config.rlimits[i].hard};
  ErrorOr<Path> console = ConsoleOf(walk, config);
  ErrorOr<Ref<FdTable>> fds = StdioOf(config, console.ok() ? &*console : nullptr);
  if (!Step("standard files", fds)) host::ExitGroup(kExitSandboxFailed);
  args.fds = *fds;
  go.Wait();
  ErrorOr<void> started = kernel.StartInit(args);
  // No such process: the one from which guest processes come. No program's fault.
  if (started.error() == kESRCH && !Step("the first process", started)) host::ExitGroup(kExitSandboxFailed);
  if (!started.ok()) ReportExecFailure(config, started.error());
  SendControl({.type = ControlType::kStarted});
  signals.Start();
}

}  // namespace

int BootSandbox() {
  // 1. What to do, and where to say so.
  ErrorOr<SandboxConfig> config = ReadConfig();
  SetLog(kFdLog, "moat-sentry", config.ok() ? static_cast<LogLevel>(config->log_level) : kWarning);
  if (!Step("configuration", config)) return kExitSandboxFailed;
  // 2. Credentials, then the zygote of all guest processes, which inherits them; then nobody may look into this process.
  if (!Step("dropping privileges", DropPrivileges())) return kExitSandboxFailed;
  ErrorOr<std::unique_ptr<Platform>> platform = NewPtracePlatform();
  if (!Step("platform ptrace", platform)) return kExitSandboxFailed;
  if (!Step("hardening", MakeUndumpable())) return kExitSandboxFailed;
  host::ReserveFds(kFdGofer, kExpectedFds);
  // 3. Every thread there will be.
  if (!Step("host watch", StartHostWatch())) return kExitSandboxFailed;
  StartOffloadThreads(kOffloadThreads);
  Kernel kernel(std::move(*platform));
  kernel.hostname = config->hostname;
  std::array<uint64_t, 16> cpus{};  // 1024 CPUs; guests are shown the first 64
  if (host::SchedGetaffinity(0, cpus).ok() && cpus[0]) kernel.online_cpus = cpus[0];
  if (!Step("limits", SetLimits(kernel, *config))) return kExitSandboxFailed;
  kernel.on_init_exit = ReportExit;
  if (config->strace) EnableStrace(kFdStrace);
  // 4. A look at what came of it all, then no way back: the system call list, which refuses the questions too.
  if (!Step("posture", CheckPosture())) return kExitSandboxFailed;
  AwaitHostThreads();
  if (!Step("system call list", InstallSentryFilter())) return kExitSandboxFailed;
  // 5. The guest.
  auto gone = [] { host::ExitGroup(kExitSandboxFailed); };
  SignalRelay signals(kernel);
  Completion go;
  auto on_message = [&](const ControlMessage& m) {
    if (m.type == ControlType::kGo && !go.done()) go.Complete();
    signals.OnMessage(m);
    OnMemory(m);
  };
  if (!Step("control channel", ListenControl(on_message, gone))) return kExitSandboxFailed;
  Executor::Get().Post([&] { StartCommand(kernel, *config, signals, go); });
  kernel.platform().Run(kernel);
  return 0;
}

}  // namespace moat
