// Signals: actions, masks, waiting, sending.
#include <algorithm>

#include "abi/capability.h"
#include "abi/signal.h"
#include "abi/time.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pidfd.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/timeouts.h"

namespace moat {
namespace {

constexpr uint64_t kSigSetSize = sizeof(abi::SigSet);

bool ValidSignal(int signo) { return signo >= 1 && signo <= abi::kNSIG; }

ErrorOr<void> SysRtSigaction(Task& t, int signo, UserAddr act, UserAddr old, uint64_t size) {
  constexpr uint64_t kKnownFlags = abi::kSA_NOCLDSTOP | abi::kSA_NOCLDWAIT | abi::kSA_SIGINFO | abi::kSA_ONSTACK |
                                   abi::kSA_RESTART | abi::kSA_NODEFER | abi::kSA_RESETHAND | abi::kSA_RESTORER |
                                   abi::kSA_EXPOSE_TAGBITS;
  if (size != kSigSetSize || !ValidSignal(signo)) return kEINVAL;
  std::optional<abi::Sigaction> wanted;
  if (act) {
    if (abi::SigMask(signo) & abi::kUNBLOCKABLE_SIGNALS) return kEINVAL;
    wanted = TRY(t.mm().Read<abi::Sigaction>(act));
    wanted->sa_flags &= kKnownFlags;
    wanted->sa_mask &= ~abi::kUNBLOCKABLE_SIGNALS;
  }
  abi::Sigaction before;
  {
    ThreadGroup& group = t.group();
    MutexLock lock(group.signal_lock);
    before = group.actions->of(signo);
    if (wanted) {
      group.actions->of(signo) = *wanted;
      // Pending instances of a signal that is now ignored are dropped (POSIX 3.3.1.3).
      if (group.actions->Ignored(signo)) {
        group.shared_pending.Discard(abi::SigMask(signo));
        for (Task& other : group.tasks) other.pending().Discard(abi::SigMask(signo));
      }
    }
  }
  if (old) TRY(t.mm().Write(old, before));
  return {};
}

ErrorOr<void> SysRtSigprocmask(Task& t, int how, UserAddr set_addr, UserAddr old, uint64_t size) {
  if (size != kSigSetSize) return kEINVAL;
  abi::SigSet before = t.blocked();
  if (set_addr) {
    abi::SigSet set = TRY(t.mm().Read<abi::SigSet>(set_addr)) & ~abi::kUNBLOCKABLE_SIGNALS;
    switch (how) {
      case abi::kSIG_BLOCK: t.SetBlocked(before | set); break;
      case abi::kSIG_UNBLOCK: t.SetBlocked(before & ~set); break;
      case abi::kSIG_SETMASK: t.SetBlocked(set); break;
      default: return kEINVAL;
    }
  }
  if (old) TRY(t.mm().Write(old, before));
  return {};
}

ErrorOr<void> SysRtSigpending(Task& t, UserAddr set, uint64_t size) {
  if (size > kSigSetSize) return kEINVAL;
  abi::SigSet pending;
  {
    MutexLock lock(t.group().signal_lock);
    pending = (t.pending().set() | t.group().shared_pending.set()) & t.blocked();
  }
  return t.mm().CopyOut(set, &pending, size);
}

ErrorOr<uint64_t> WaitForSignal(Task& t) {
  for (;;) {
    ErrorOr<void> r = t.Block();
    if (!r.ok()) return kERESTARTNOHAND;
  }
}

ErrorOr<uint64_t> SysRtSigsuspend(Task& t, UserAddr set, uint64_t size) {
  if (size != kSigSetSize) return kEINVAL;
  t.SetTemporaryMask(TRY(t.mm().Read<abi::SigSet>(set)));
  return WaitForSignal(t);
}
ErrorOr<uint64_t> SysPause(Task& t) { return WaitForSignal(t); }

ErrorOr<uint64_t> SysRtSigtimedwait(Task& t, UserAddr set, UserAddr info_addr, UserAddr timeout, uint64_t size) {
  if (size != kSigSetSize) return kEINVAL;
  abi::SigSet wanted = TRY(t.mm().Read<abi::SigSet>(set)) & ~abi::kUNBLOCKABLE_SIGNALS;
  int64_t deadline = kForever;
  if (timeout) deadline = TRY(ReadTimeout(t, timeout));
  ThreadGroup& group = t.group();
  abi::SigInfo info;
  auto take = [&]() -> bool {
    MutexLock lock(group.signal_lock);
    bool got = group.TakeSignal(t, wanted, &info);
    t.awaited = got ? 0 : wanted;
    t.RecomputeSignalWork();
    return got;
  };
  bool got = take();
  ErrorOr<void> slept;
  while (!got && slept.ok()) {
    slept = t.Block(deadline);
    got = take();
  }
  {
    MutexLock lock(group.signal_lock);
    t.awaited = 0;
  }
  if (!got) return slept.error() == kETIMEDOUT ? kEAGAIN : kEINTR;
  if (info_addr) TRY(t.mm().Write(info_addr, info));
  return static_cast<uint64_t>(info.si_signo);
}

ErrorOr<void> SysSigaltstack(Task& t, UserAddr stack, UserAddr old) {
  abi::StackT before = t.alt_stack;
  uint64_t sp = t.trap().sp;
  bool on = !(before.ss_flags & static_cast<int32_t>(abi::kSS_DISABLE)) && sp > before.ss_sp &&
            sp - before.ss_sp <= before.ss_size;
  if (stack) {
    abi::StackT wanted = TRY(t.mm().Read<abi::StackT>(stack));
    uint32_t flags = static_cast<uint32_t>(wanted.ss_flags);
    uint32_t mode = flags & ~abi::kSS_FLAG_BITS;
    if (on && !(before.ss_flags & static_cast<int32_t>(abi::kSS_AUTODISARM))) return kEPERM;
    if (mode != 0 && mode != abi::kSS_DISABLE && mode != abi::kSS_ONSTACK) return kEINVAL;
    if (mode == abi::kSS_DISABLE) {
      wanted.ss_sp = 0;
      wanted.ss_size = 0;
    } else if (wanted.ss_size < abi::kMINSIGSTKSZ) {
      return kENOMEM;
    }
    t.alt_stack = wanted;
    t.alt_stack.ss_flags = static_cast<int32_t>(flags & ~abi::kSS_ONSTACK);
  }
  if (old) {
    before.ss_flags |= on ? static_cast<int32_t>(abi::kSS_ONSTACK) : 0;
    TRY(t.mm().Write(old, before));
  }
  return {};
}

ErrorOr<uint64_t> SysRtSigreturn(Task& t) { return t.SignalReturn(); }

ErrorOr<uint64_t> SysRestartSyscall(Task& t) { return t.RunRestart(); }

// --- Sending. ---

abi::SigInfo FromUser(Task& t, int signo, int code) {
  abi::SigInfo info = MakeSigInfo(signo, code);
  info.si_pid = t.tgid();
  info.si_uid = t.creds().uid;
  return info;
}

// kill(2) of one process.
ErrorOr<void> SignalGroup(Task& t, ThreadGroup& group, const abi::SigInfo& info) {
  if (group.leader && !MaySignal(t, *group.leader, info.si_signo)) return kEPERM;
  if (info.si_signo && !group.exited) group.SendSignal(info);
  return {};
}

ErrorOr<void> SysKill(Task& t, int pid, int signo) {
  if (signo < 0 || signo > abi::kNSIG) return kEINVAL;
  abi::SigInfo info = FromUser(t, signo, abi::kSI_USER);
  Kernel& kernel = t.kernel();
  MutexLock lock(kernel.tasks_lock);
  if (pid > 0) {
    Task* target = kernel.FindTask(pid);  // a thread's id names its process here
    if (!target) return kESRCH;
    return SignalGroup(t, target->group(), info);
  }
  if (pid == INT32_MIN) return kESRCH;
  int pgid = pid == 0 ? t.group().process_group->pgid : -pid;
  bool found = false, sent = false;
  ErrorOr<void> failure = kEPERM;
  kernel.ForEachGroup([&](ThreadGroup& g) {
    // -1: everybody but init and the caller's own process.
    if (pid == -1 ? (&g == kernel.init() || &g == &t.group()) : g.process_group->pgid != pgid) return;
    found = true;
    ErrorOr<void> r = SignalGroup(t, g, info);
    if (r.ok()) sent = true;
    else failure = r;
  });
  if (!found) return kESRCH;
  if (!sent) return failure;
  return {};
}

// One thread; `tgid` < 0: any process's.
ErrorOr<void> SignalThread(Task& t, int tgid, int tid, const abi::SigInfo& info) {
  Kernel& kernel = t.kernel();
  Ref<Task> target;
  {
    MutexLock lock(kernel.tasks_lock);
    target = Ref<Task>(kernel.FindTask(tid));
    if (!target || (tgid >= 0 && target->tgid() != tgid)) return kESRCH;
  }
  if (!MaySignal(t, *target, info.si_signo)) return kEPERM;
  if (info.si_signo) target->SendSignal(info);
  return {};
}

ErrorOr<void> SysTgkill(Task& t, int tgid, int tid, int signo) {
  if (tgid <= 0 || tid <= 0 || signo < 0 || signo > abi::kNSIG) return kEINVAL;
  return SignalThread(t, tgid, tid, FromUser(t, signo, abi::kSI_TKILL));
}
ErrorOr<void> SysTkill(Task& t, int tid, int signo) {
  if (tid <= 0 || signo < 0 || signo > abi::kNSIG) return kEINVAL;
  return SignalThread(t, -1, tid, FromUser(t, signo, abi::kSI_TKILL));
}

// A siginfo of the caller's own making: only to itself may it look like the kernel's or kill's (rt_sigqueueinfo(2)).
ErrorOr<abi::SigInfo> ReadSigInfo(Task& t, int target_tgid, int signo, UserAddr addr) {
  abi::SigInfo info = TRY(t.mm().Read<abi::SigInfo>(addr));
  if (signo < 0 || signo > abi::kNSIG) return kEINVAL;
  info.si_signo = signo;
  if ((info.si_code >= 0 || info.si_code == abi::kSI_TKILL) && target_tgid != t.tgid()) return kEPERM;
  return info;
}

ErrorOr<void> CheckQueueLimit(Task& t, PendingSignals& queue, int signo) {
  if (signo < abi::kSIGRTMIN) return {};
  uint64_t limit = std::min<uint64_t>(t.group().Limit(abi::kRLIMIT_SIGPENDING), t.kernel().limits.max_pending_signals);
  if (queue.size() >= limit) return kEAGAIN;
  return {};
}

ErrorOr<void> QueueInfo(Task& t, ThreadGroup& group, const abi::SigInfo& info) {
  {
    MutexLock lock(group.signal_lock);
    TRY(CheckQueueLimit(t, group.shared_pending, info.si_signo));
  }
  return SignalGroup(t, group, info);
}

ErrorOr<void> SysRtSigqueueinfo(Task& t, int pid, int signo, UserAddr addr) {
  abi::SigInfo info = TRY(ReadSigInfo(t, pid, signo, addr));
  MutexLock lock(t.kernel().tasks_lock);
  Task* target = t.kernel().FindTask(pid);
  if (!target) return kESRCH;
  return QueueInfo(t, target->group(), info);
}
ErrorOr<void> SysRtTgsigqueueinfo(Task& t, int tgid, int tid, int signo, UserAddr addr) {
  if (tgid <= 0 || tid <= 0) return kEINVAL;
  abi::SigInfo info = TRY(ReadSigInfo(t, tgid, signo, addr));
  return SignalThread(t, tgid, tid, info);
}

ErrorOr<void> SysPidfdSendSignal(Task& t, int pidfd, int signo, UserAddr info_addr, uint32_t flags) {
  if (flags) return kEINVAL;
  Ref<FileDescription> file = TRY(t.fds().Get(pidfd));
  Ref<PidFd> target = RefCast<PidFd>(file);
  if (!target) return kEBADF;
  if (signo < 0 || signo > abi::kNSIG) return kEINVAL;
  abi::SigInfo info = FromUser(t, signo, abi::kSI_USER);
  if (info_addr) {
    abi::SigInfo given = TRY(t.mm().Read<abi::SigInfo>(info_addr));
    if (given.si_signo != signo) return kEINVAL;
    info = TRY(ReadSigInfo(t, target->group().tgid(), signo, info_addr));
  }
  MutexLock lock(t.kernel().tasks_lock);
  if (target->group().exited) return kESRCH;
  return QueueInfo(t, target->group(), info);
}

constexpr SyscallRow kRows[] = {
    CALL(rt_sigaction, SysRtSigaction, "sig ptr ptr u64"),
    CALL(rt_sigprocmask, SysRtSigprocmask, "flags:how sigset ptr u64"),
    CALL(rt_sigpending, SysRtSigpending, "ptr u64"),
    CALL(rt_sigsuspend, SysRtSigsuspend, "sigset u64"),
    CALL(pause, SysPause, ""),
    CALL(rt_sigtimedwait, SysRtSigtimedwait, "sigset ptr timespec u64"),
    CALL(sigaltstack, SysSigaltstack, "ptr ptr"),
    CALL(rt_sigreturn, SysRtSigreturn, ""),
    CALL(restart_syscall, SysRestartSyscall, ""),
    CALL(kill, SysKill, "pid sig"),
    CALL(tkill, SysTkill, "pid sig"),
    CALL(tgkill, SysTgkill, "pid pid sig"),
    CALL(rt_sigqueueinfo, SysRtSigqueueinfo, "pid sig ptr"),
    CALL(rt_tgsigqueueinfo, SysRtTgsigqueueinfo, "pid pid sig ptr"),
    CALL(pidfd_send_signal, SysPidfdSendSignal, "fd sig ptr hex"),
};

}  // namespace

const SyscallFamily kSignalCalls = {"signals", kRows};

}  // namespace moat
