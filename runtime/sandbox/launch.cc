#include "runtime/sandbox/launch.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "abi/clone.h"
#include "abi/fcntl.h"
#include "abi/prctl.h"
#include "abi/signal.h"
#include "abi/socket.h"
#include "abi/wait.h"
#include "base/host/file.h"
#include "base/host/process.h"
#include "base/host/signal.h"
#include "base/host/socket.h"
#include "base/host/time.h"
#include "runtime/sandbox/child.h"
#include "runtime/util/failure.h"
#include "runtime/util/files.h"
#include "sentry/control/protocol.h"

namespace moat {
namespace {

// The programs lie beside this one.
UniqueFd OpenProgram(const char* name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) throw Failure("cannot find my own directory: /proc/self/exe: " + error.message());
  const std::string path = self.parent_path() / name;
  return Must(host::Openat(abi::kAT_FDCWD, path.c_str(), abi::kO_PATH | abi::kO_CLOEXEC), path);
}

host::SocketPair MakeConnection() {
  return Must(host::Socketpair(abi::kAF_UNIX, abi::kSOCK_SEQPACKET | abi::kSOCK_CLOEXEC, 0), "socketpair");
}

// Everything that a child inherits must stay open until it is started.
struct Resources {
  UniqueFd sentry_program = OpenProgram("moat-sentry");
  UniqueFd gofer_program = OpenProgram("moat-gofer");
  UniqueFd sentry_config, gofer_config;
  UniqueFd null;
  host::SocketPair control;  // first is ours
  host::SocketPair gofer;    // first is the sentry's
};

Resources MakeResources(const SandboxPlan& plan) {
  Resources r;
  const std::string sentry_config = EncodeConfig(plan.sentry);
  if (sentry_config.size() > kMaxConfigBytes) throw Failure("arguments and environment are too long");
  r.sentry_config = Must(SealedFile("moat-config", sentry_config), "memfd");
  r.gofer_config = Must(SealedFile("moat-config", EncodeGoferConfig(plan.gofer)), "memfd");
  r.null = Must(host::Openat(abi::kAT_FDCWD, "/dev/null", abi::kO_RDWR | abi::kO_CLOEXEC), "/dev/null");
  r.control = MakeConnection();
  r.gofer = MakeConnection();
  return r;
}

ChildSpec GoferSpec(const Resources& r, const Caller& caller, const LaunchFiles& files) {
  ChildSpec spec{
      .name = "moat-gofer", .program = r.gofer_program.get(), .ignored_signals = caller.ignored_signals};
  spec.fds = {{r.null.get(), kGoferFdNull},
              {files.log, 1},
              {files.log, kGoferFdLog},
              {r.gofer.second.get(), kGoferFdConnection},
              {r.gofer_config.get(), kGoferFdConfig}};
  if (caller.privileged) {
    spec.clone_flags = abi::kCLONE_NEWPID;
    spec.unshare_flags = abi::kCLONE_NEWNS | abi::kCLONE_NEWNET | abi::kCLONE_NEWIPC | abi::kCLONE_NEWUTS;
    spec.private_mounts = true;
  }
  return spec;
}

ChildSpec SentrySpec(const Resources& r, const Caller& caller, const LaunchFiles& files) {
  ChildSpec spec{
      .name = "moat-sentry", .program = r.sentry_program.get(), .ignored_signals = caller.ignored_signals};
  spec.fds = {{0, kFdStdin},
              {1, kFdStdout},
              {2, kFdStderr},
              {r.control.second.get(), kFdControl},
              {r.sentry_config.get(), kFdConfig},
              {r.gofer.first.get(), kFdGofer},
              {files.log, kFdLog}};
  if (files.strace >= 0) spec.fds.push_back({files.strace, kFdStrace});
  spec.clone_flags = abi::kCLONE_NEWUSER | abi::kCLONE_NEWPID | abi::kCLONE_NEWNS | abi::kCLONE_NEWNET |
                     abi::kCLONE_NEWIPC | abi::kCLONE_NEWUTS | abi::kCLONE_NEWCGROUP;
  spec.as_namespace_root = spec.private_mounts = true;
  spec.empty_root = kEmptyRoot;
  return spec;
}

// Ids 0 of the sentry's user namespace are its host ids: an unprivileged pair if we are root, else the
// caller's.
void MapIds(int pid, const SandboxConfig& config) {
  const std::string dir = "/proc/" + std::to_string(pid) + "/";
  Must(WriteFile(dir + "setgroups", "deny"), "cannot map the sandbox's groups");
  Must(WriteFile(dir + "gid_map", "0 " + std::to_string(config.host_gid) + " 1"),
       "cannot map the sandbox's group");
  Must(WriteFile(dir + "uid_map", "0 " + std::to_string(config.host_uid) + " 1"),
       "cannot map the sandbox's user");
}

// Raising needs no privilege, nor does going back. Opened now: later the process is undumpable and its files are root's.
void RaiseOomScore(Sandbox& sandbox) {
  constexpr int kMore = 500, kMost = 1000;
  const std::string path = "/proc/" + std::to_string(sandbox.sentry_pid) + "/oom_score_adj";
  sandbox.oom_score_before = Must(ReadFile(path), path);
  sandbox.oom_score = Must(host::Openat(abi::kAT_FDCWD, path.c_str(), abi::kO_WRONLY | abi::kO_CLOEXEC), path);
  const std::string raised = std::to_string(std::min(std::atoi(sandbox.oom_score_before.c_str()) + kMore, kMost));
  Must(host::WriteFull(sandbox.oom_score.get(), raised.data(), raised.size()), path);
}

void StartBoth(const SandboxPlan& plan, const Caller& caller, const LaunchFiles& files, const Resources& r,
               Sandbox& sandbox) {
  // 1. Root's groups would be the sentry's: it cannot drop them itself once they are unmapped.
  if (caller.privileged) Must(host::Setgroups({}), "setgroups");
  // 2. The gofer first: it opens its roots while we make the sentry's namespaces.
  Child gofer = Child::Start(GoferSpec(r, caller, files));
  sandbox.gofer_pid = gofer.pid();
  gofer.Go();
  // 3. The sentry waits in its namespaces until its ids are mapped.
  Child sentry = Child::Start(SentrySpec(r, caller, files));
  sandbox.sentry_pid = sentry.pid();
  RaiseOomScore(sandbox);
  MapIds(sentry.pid(), plan.sentry);
  sentry.Go();
  // 4. Nobody of the same user may look into us any more; /proc/PID/uid_map above needed it.
  Must(host::Prctl(abi::kPR_SET_DUMPABLE, 0), "prctl");
  // 5. Both must be themselves before we call it started.
  gofer.AwaitExec();
  sentry.AwaitExec();
  // 6. From here on guest code may run.
  const std::string go = EncodeControl({.type = ControlType::kGo});
  (void)host::Sendto(sandbox.control.get(), go.data(), go.size(), abi::kMSG_NOSIGNAL);  // if it died, SIGCHLD tells
}

// Whatever step failed: a child that somebody killed meanwhile is the reason. Its pid is then -1.
void BlameDeadChild(int& pid, const char* what) {
  int status = 0;
  if (pid <= 0 || host::Wait4(pid, &status, abi::kWNOHANG).value_or(0) != pid) return;
  pid = -1;
  if ((status & 0x7f) != 0) throw Failure(std::string(what) + " ended unexpectedly: " + DescribeEnd(status));
}

// A process stuck in a dead file system ends when that answers, not before: then it is left to init.
void KillAndReap(int& pid) {
  if (pid <= 0) return;
  constexpr int64_t kPatienceNs = 5'000'000'000;
  const int64_t end = host::NowMonotonicNs() + kPatienceNs;
  (void)host::Kill(pid, abi::kSIGKILL);
  while (host::Wait4(pid, nullptr, abi::kWNOHANG).value_or(pid) == 0) {
    const int64_t left = end - host::NowMonotonicNs();
    if (left <= 0) return PrintLine("process " + std::to_string(pid) + " was killed but does not end");
    abi::SigInfo info;
    (void)host::SigTimedWait(abi::SigMask(abi::kSIGCHLD), &info, left);
  }
  pid = -1;
}

}  // namespace

Sandbox Launch(const SandboxPlan& plan, const Caller& caller, const LaunchFiles& files) {
  Resources resources = MakeResources(plan);
  Sandbox sandbox;
  sandbox.control = std::move(resources.control.first);
  try {
    try {
      StartBoth(plan, caller, files, resources, sandbox);
    } catch (const Failure&) {
      BlameDeadChild(sandbox.sentry_pid, "the sandbox kernel");
      BlameDeadChild(sandbox.gofer_pid, "the file server");
      throw;
    }
  } catch (...) {
    Destroy(sandbox);
    throw;
  }
  return sandbox;
}

void SpareSentry(Sandbox& sandbox) {
  const std::string& before = sandbox.oom_score_before;
  // One that is gone already needs it no more.
  (void)host::WriteFull(sandbox.oom_score.get(), before.data(), before.size());
  sandbox.oom_score.Reset();
}

void Destroy(Sandbox& sandbox) {
  KillAndReap(sandbox.sentry_pid);  // pid 1 of its namespace: takes every stub with it
  KillAndReap(sandbox.gofer_pid);
}

}  // namespace moat
