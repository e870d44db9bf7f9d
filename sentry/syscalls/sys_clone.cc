// Processes: clone, fork, exec, exit, wait.
#include <algorithm>

#include "abi/capability.h"
#include "abi/clone.h"
#include "abi/fcntl.h"
#include "abi/limits.h"
#include "abi/rlimit.h"
#include "abi/wait.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/path_walk.h"
#include "sentry/kernel/clone.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/ipc/semaphore.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pidfd.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/wait.h"

namespace moat {
namespace {

ErrorOr<uint64_t> SysClone(Task& t, uint64_t flags, UserAddr stack, UserAddr parent_tid, UserAddr child_tid, uint64_t tls) {
  flags &= 0xffffffff;
  CloneRequest r{.flags = flags & ~abi::kCSIGNAL,
                 .pidfd = parent_tid,  // clone(2) returns the pidfd where the parent's tid would go
                 .child_tid = child_tid,
                 .parent_tid = parent_tid,
                 .exit_signal = static_cast<int>(flags & abi::kCSIGNAL),
                 .stack = stack,
                 .tls = tls};
  if ((r.flags & abi::kCLONE_PIDFD) && (r.flags & abi::kCLONE_PARENT_SETTID)) return kEINVAL;
  if (r.flags & abi::kCLONE_THREAD) r.exit_signal = 0;
  return CloneTask(t, r);
}

ErrorOr<void> CheckClone3(const abi::CloneArgs& a) {
  constexpr uint64_t kValid = (abi::kCLONE_INTO_CGROUP << 1) - 1;
  if (a.flags & ~kValid) return kEINVAL;
  if (a.flags & (abi::kCLONE_DETACHED | (abi::kCSIGNAL & ~abi::kCLONE_NEWTIME))) return kEINVAL;
  if ((a.flags & (abi::kCLONE_THREAD | abi::kCLONE_PARENT)) && a.exit_signal) return kEINVAL;
  if (a.exit_signal > abi::kNSIG) return kEINVAL;
  if ((a.stack == 0) != (a.stack_size == 0)) return kEINVAL;
  if ((a.set_tid == 0) != (a.set_tid_size == 0)) return kEINVAL;
  if (a.set_tid_size > abi::kMAX_PID_NS_LEVEL) return kEINVAL;
  return {};
}

// The pid that set_tid asks for in the one pid namespace there is.
ErrorOr<int> WantedPid(Task& t, const abi::CloneArgs& a) {
  if (!a.set_tid_size) return 0;
  if (a.set_tid_size > 1) return kEINVAL;
  int pid = TRY(t.mm().Read<int>(a.set_tid));
  if (pid < 1) return kEINVAL;
  if (!t.creds().Has(abi::kCAP_CHECKPOINT_RESTORE) && !t.creds().Has(abi::kCAP_SYS_ADMIN)) return kEPERM;
  return pid;
}

ErrorOr<uint64_t> SysClone3(Task& t, UserAddr addr, uint64_t size) {
  if (size < abi::kCLONE_ARGS_SIZE_VER0) return kEINVAL;
  abi::CloneArgs a = TRY(ReadExtensible<abi::CloneArgs>(t.mm(), addr, size));
  TRY(CheckClone3(a));
  return CloneTask(t, {.flags = a.flags,
                       .pidfd = a.pidfd,
                       .child_tid = a.child_tid,
                       .parent_tid = a.parent_tid,
                       .exit_signal = static_cast<int>(a.exit_signal),
                       .stack = a.stack,
                       .stack_size = a.stack_size,
                       .tls = a.tls,
                       .wanted_pid = TRY(WantedPid(t, a))});
}

ErrorOr<uint64_t> SysFork(Task& t) { return CloneTask(t, {.exit_signal = abi::kSIGCHLD}); }

ErrorOr<uint64_t> SysVfork(Task& t) {
  return CloneTask(t, {.flags = abi::kCLONE_VM | abi::kCLONE_VFORK, .exit_signal = abi::kSIGCHLD});
}

// --- exec ---

constexpr size_t kMaxArgString = 32 * 4096;      // MAX_ARG_STRLEN
constexpr size_t kMaxArgTotal = 6 << 20;         // what the loader's check can allow at most

ErrorOr<std::vector<std::string>> ReadStrings(Task& t, UserAddr vector) {
  std::vector<std::string> out;
  if (!vector) return out;
  size_t total = 0;
  for (;; vector += sizeof(uint64_t)) {
    uint64_t p = TRY(t.mm().Read<uint64_t>(vector));
    if (!p) return out;
    ErrorOr<std::string> s = t.mm().ReadString(p, kMaxArgString);
    if (!s.ok()) return s.error() == kENAMETOOLONG ? kE2BIG : s.error();
    total += s->size() + 1 + sizeof(uint64_t);
    if (total > kMaxArgTotal) return kE2BIG;
    out.push_back(std::move(*s));
  }
}

ErrorOr<uint64_t> SysExecveat(Task& t, int dirfd, UserAddr path, UserAddr argv, UserAddr envp, uint32_t flags) {
  if (flags & ~(abi::kAT_EMPTY_PATH | abi::kAT_SYMLINK_NOFOLLOW)) return kEINVAL;
  std::string name = TRY(t.mm().ReadPath(path));
  ExecRequest r;
  r.argv = TRY(ReadStrings(t, argv));
  r.envp = TRY(ReadStrings(t, envp));
  WalkContext walk = t.WalkView();
  Path start = TRY(StartOf(t, dirfd, name));
  r.file = TRY(Walk(walk, start, name,
                    {.follow = !(flags & abi::kAT_SYMLINK_NOFOLLOW), .empty_path = (flags & abi::kAT_EMPTY_PATH) != 0}));
  if (r.file.dentry->inode() && r.file.dentry->inode()->is_symlink()) return kELOOP;
  bool by_fd = dirfd != abi::kAT_FDCWD && (name.empty() || name[0] != '/');
  r.filename = by_fd ? "/dev/fd/" + std::to_string(dirfd) + (name.empty() ? "" : "/" + name) : name;
  if (by_fd && name.empty()) r.fd_path_cloexec = TRY(t.fds().GetCloexec(dirfd));
  return ExecTask(t, r);
}

ErrorOr<uint64_t> SysExecve(Task& t, UserAddr path, UserAddr argv, UserAddr envp) {
  return SysExecveat(t, abi::kAT_FDCWD, path, argv, envp, 0);
}

// --- exit ---

ErrorOr<uint64_t> SysExit(Task& t, int code) {
  t.Exit(abi::WaitStatusExited(code));
  return uint64_t{0};
}

ErrorOr<uint64_t> SysExitGroup(Task& t, int code) {
  t.group().ExitAll(abi::WaitStatusExited(code));
  t.Exit(t.group().group_exit_status);
  return uint64_t{0};
}

// --- pidfds and thread identity ---

ErrorOr<uint64_t> SysPidfdOpen(Task& t, int pid, uint32_t flags) {
  constexpr uint32_t kPidfdNonblock = abi::kO_NONBLOCK;
  if (flags & ~kPidfdNonblock) return kEINVAL;
  if (pid <= 0) return kEINVAL;
  Ref<ThreadGroup> group;
  {
    MutexLock lock(t.kernel().tasks_lock);
    Task* target = t.kernel().FindTask(pid);
    if (!target) return kESRCH;
    if (target->group().tgid() != pid) return kENOENT;  // a thread, not a process
    group = target->group_ref();
  }
  return TRY(InstallPidfd(t, *group, flags & kPidfdNonblock));
}

ErrorOr<uint64_t> SysPidfdGetfd(Task& t, int pidfd, int target_fd, uint32_t flags) {
  if (flags) return kEINVAL;
  Ref<FileDescription> file = TRY(t.fds().Get(pidfd));
  Ref<PidFd> target = RefCast<PidFd>(file);
  if (!target) return kEBADF;
  Ref<FdTable> fds;
  {
    MutexLock lock(t.kernel().tasks_lock);
    Task* leader = target->group().exited ? nullptr : target->group().leader;
    if (leader) fds = leader->fds_ref();
    if (!fds) return kESRCH;
    if (!MayTrace(t, *leader)) return kEPERM;
  }
  Ref<FileDescription> wanted = TRY(fds->GetRaw(target_fd));
  return TRY(t.fds().Install(std::move(wanted), true, t.group().Limit(abi::kRLIMIT_NOFILE)));
}

ErrorOr<uint64_t> SysSetTidAddress(Task& t, UserAddr addr) {
  t.clear_child_tid = addr;
  return static_cast<uint64_t>(t.tid());
}

ErrorOr<uint64_t> SysUnshare(Task& t, uint64_t flags) {
  constexpr uint64_t kValid = abi::kCLONE_THREAD | abi::kCLONE_FS | abi::kCLONE_NEWNS | abi::kCLONE_SIGHAND |
                              abi::kCLONE_VM | abi::kCLONE_FILES | abi::kCLONE_SYSVSEM | abi::kCLONE_NEWUTS |
                              abi::kCLONE_NEWIPC | abi::kCLONE_NEWNET | abi::kCLONE_NEWUSER | abi::kCLONE_NEWPID |
                              abi::kCLONE_NEWCGROUP | abi::kCLONE_NEWTIME;
  if (flags & ~kValid) return kEINVAL;
  constexpr uint64_t kNeedsSingle = abi::kCLONE_THREAD | abi::kCLONE_SIGHAND | abi::kCLONE_VM;
  if (flags & kNeedsSingle) {
    MutexLock lock(t.kernel().tasks_lock);
    if (t.group().live_tasks > 1) return kEINVAL;
  }
  bool new_mounts = flags & abi::kCLONE_NEWNS;
  if (flags & ~(kNeedsSingle | abi::kCLONE_FS | abi::kCLONE_FILES | abi::kCLONE_SYSVSEM | abi::kCLONE_NEWNS)) return kEPERM;
  if (new_mounts && !t.creds().Has(abi::kCAP_SYS_ADMIN)) return kEPERM;
  if (flags & abi::kCLONE_SYSVSEM) t.sem_undo = nullptr;
  t.Unshare((flags & abi::kCLONE_FS) || new_mounts, flags & abi::kCLONE_FILES);
  if (new_mounts) TRY(t.fs().EnterCopy());
  return uint64_t{0};
}

constexpr SyscallRow kRows[] = {
    CALL_PARTIAL(clone, SysClone, "flags:clone ptr ptr ptr hex", "new namespaces other than of mounts: EPERM"),
    CALL_PARTIAL(clone3, SysClone3, "ptr u64", "new namespaces other than of mounts, and cgroups: EPERM"),
    CALL(fork, SysFork, ""),
    CALL(vfork, SysVfork, ""),
    CALL_PARTIAL(execve, SysExecve, "path strings strings", "set-id bits and file capabilities are not honoured"),
    CALL_PARTIAL(execveat, SysExecveat, "dirfd path strings strings flags:at",
                 "set-id bits and file capabilities are not honoured"),
    CALL(exit, SysExit, "int"),
    CALL(exit_group, SysExitGroup, "int"),
    CALL(wait4, SysWait4, "pid ptr flags:wait ptr"),
    CALL(waitid, SysWaitid, "int pid ptr flags:wait ptr"),
    CALL(pidfd_open, SysPidfdOpen, "pid hex"),
    CALL(pidfd_getfd, SysPidfdGetfd, "fd int hex"),
    CALL(set_tid_address, SysSetTidAddress, "ptr"),
    CALL_PARTIAL(unshare, SysUnshare, "flags:clone", "new namespaces other than of mounts: EPERM"),
};

}  // namespace

const SyscallFamily kProcessCalls = {"processes", kRows};

}  // namespace moat
