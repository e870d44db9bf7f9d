#include "sentry/kernel/tty.h"

#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/signal.h"
#include "abi/tty.h"
#include "base/util/no_destructor.h"
#include "fs/vfs/special.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/notify.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

namespace {

// tasks_lock held in all of these.

Session& SessionOf(ThreadGroup& group) { return *group.process_group->session; }
bool IsSessionLeader(ThreadGroup& group) { return SessionOf(group).sid == group.tgid(); }

void SetForegroundGroup(Session& session, int pgid) {
  session.foreground_pgid = pgid;
  if (session.tty) session.tty->foreground.store(pgid, std::memory_order_relaxed);
}

void Bind(Session& session, Ref<Terminal> terminal, int foreground) {
  session.tty = std::move(terminal);
  session.has_tty = session.tty != nullptr;
  if (session.tty) session.tty->session.store(session.sid, std::memory_order_relaxed);
  SetForegroundGroup(session, foreground);
}

// Returns the terminal, whose last reference must not be dropped under the lock.
Ref<Terminal> Unbind(Session& session) {
  Ref<Terminal> terminal = std::move(session.tty);
  session.tty = nullptr;
  session.has_tty = false;
  session.foreground_pgid = 0;
  if (terminal) {
    terminal->session.store(0, std::memory_order_relaxed);
    terminal->foreground.store(0, std::memory_order_relaxed);
  }
  return terminal;
}

ThreadGroup* FindSessionLeader(Kernel& kernel, int sid) MOAT_NO_THREAD_SAFETY_ANALYSIS {
  ThreadGroup* leader = kernel.FindGroup(sid);
  return leader && leader->process_group && IsSessionLeader(*leader) ? leader : nullptr;
}

// The session that has `terminal`, through any of its members; or null.
Ref<Session> SessionWith(Kernel& kernel, Terminal& terminal) MOAT_NO_THREAD_SAFETY_ANALYSIS {
  Ref<Session> found;
  kernel.ForEachGroup([&](ThreadGroup& g) {
    if (!found && g.process_group && SessionOf(g).tty.get() == &terminal) found = g.process_group->session;
  });
  return found;
}

void SignalGroupId(Kernel& kernel, int pgid, int signo) MOAT_NO_THREAD_SAFETY_ANALYSIS {
  if (pgid == 0) return;
  abi::SigInfo info = MakeSigInfo(signo, abi::kSI_KERNEL);
  kernel.ForEachGroup([&](ThreadGroup& g) {
    if (g.process_group && g.process_group->pgid == pgid && !g.exited) g.SendSignal(info);
  });
}

bool IgnoresOrBlocks(Task& t, int signo) {
  if (t.blocked() & abi::SigMask(signo)) return true;
  MutexLock lock(t.group().signal_lock);
  return t.group().actions->of(signo).sa_handler == abi::kSIG_IGN;
}

// /dev/tty.
ErrorOr<Ref<FileDescription>> OpenControlling(const Path& path, uint32_t flags) {
  Task* t = Task::Current();
  if (!t) return kENXIO;
  Ref<Terminal> terminal;
  {
    MutexLock lock(t->kernel().tasks_lock);
    terminal = SessionOf(t->group()).tty;
  }
  if (!terminal) return kENXIO;
  return terminal->OpenAgain(path, flags | abi::kO_NOCTTY);
}

}  // namespace

// tty_check_change(): members of background groups are stopped, unless that could never end.
ErrorOr<void> KernelJobControl::CheckBackground(Terminal& terminal, int signo) {
  Task* t = Task::Current();
  if (!t) return {};
  MutexLock lock(kernel_.tasks_lock);
  ThreadGroup& group = t->group();
  Session& session = SessionOf(group);
  if (session.tty.get() != &terminal) return {};
  if (session.foreground_pgid == 0 || session.foreground_pgid == group.process_group->pgid) return {};
  if (IgnoresOrBlocks(*t, signo)) return signo == abi::kSIGTTIN ? ErrorOr<void>(kEIO) : ErrorOr<void>();
  if (InOrphanedGroup(group)) return kEIO;
  SignalGroupId(kernel_, group.process_group->pgid, signo);
  return kERESTARTSYS;
}

ErrorOr<void> KernelJobControl::CheckRead(Terminal& terminal) { return CheckBackground(terminal, abi::kSIGTTIN); }
ErrorOr<void> KernelJobControl::CheckChange(Terminal& terminal) { return CheckBackground(terminal, abi::kSIGTTOU); }

ErrorOr<uint64_t> KernelJobControl::Ioctl(Terminal& terminal, FileDescription& file, uint32_t command, uint64_t arg,
                                          UserMemory& memory, bool master) {
  Task* t = Task::Current();
  if (!t) return kENOTTY;
  switch (command) {
    case abi::kTIOCGPGRP: case abi::kTIOCGSID: {
      int value = 0;
      {
        MutexLock lock(kernel_.tasks_lock);
        if (!master && SessionOf(t->group()).tty.get() != &terminal) return kENOTTY;
        Ref<Session> session = SessionWith(kernel_, terminal);
        if (!session && command == abi::kTIOCGSID) return kENOTTY;
        if (session) value = command == abi::kTIOCGSID ? session->sid : session->foreground_pgid;
      }
      TRY(memory.Write<int>(arg, value));
      return uint64_t{0};
    }
    case abi::kTIOCSPGRP: return SetForeground(terminal, arg, memory, master);
    case abi::kTIOCSCTTY: return master ? kEINVAL : MakeControlling(terminal, file, arg);
    case abi::kTIOCNOTTY: return GiveUp(terminal);
    default: return kENOTTY;
  }
}

ErrorOr<uint64_t> KernelJobControl::SetForeground(Terminal& terminal, uint64_t arg, UserMemory& memory, bool) {
  ErrorOr<void> change = CheckChange(terminal);
  if (!change.ok()) return change.error() == kEIO ? kENOTTY : change.error();
  int pgid = TRY(memory.Read<int>(arg));
  if (pgid < 0) return kEINVAL;
  Task* t = Task::Current();
  MutexLock lock(kernel_.tasks_lock);
  Session& session = SessionOf(t->group());
  if (session.tty.get() != &terminal) return kENOTTY;
  bool exists = false, ours = false;
  kernel_.ForEachGroup([&](ThreadGroup& g) {
    if (!g.process_group || g.process_group->pgid != pgid) return;
    exists = true;
    ours |= &SessionOf(g) == &session;
  });
  if (!exists) return kESRCH;
  if (!ours) return kEPERM;
  SetForegroundGroup(session, pgid);
  return uint64_t{0};
}

ErrorOr<uint64_t> KernelJobControl::MakeControlling(Terminal& terminal, FileDescription& file, uint64_t arg) {
  Task* t = Task::Current();
  Ref<Terminal> dropped;
  MutexLock lock(kernel_.tasks_lock);
  ThreadGroup& group = t->group();
  Session& session = SessionOf(group);
  if (IsSessionLeader(group) && session.tty.get() == &terminal) return uint64_t{0};
  if (!IsSessionLeader(group) || session.tty) return kEPERM;
  bool admin = t->creds().Has(abi::kCAP_SYS_ADMIN);
  if (Ref<Session> other = SessionWith(kernel_, terminal)) {
    if (arg != 1 || !admin) return kEPERM;
    dropped = Unbind(*other);
  }
  if (!file.readable() && !admin) return kEPERM;
  Bind(session, Ref<Terminal>(&terminal), group.process_group->pgid);
  return uint64_t{0};
}

// A leader gives it up for its whole session. Others only could for themselves, which is not told apart here: EPERM.
ErrorOr<uint64_t> KernelJobControl::GiveUp(Terminal& terminal) {
  Task* t = Task::Current();
  Ref<Terminal> dropped;
  MutexLock lock(kernel_.tasks_lock);
  ThreadGroup& group = t->group();
  if (SessionOf(group).tty.get() != &terminal) return kENOTTY;
  if (!IsSessionLeader(group)) return kEPERM;
  int foreground = SessionOf(group).foreground_pgid;
  SignalGroupId(kernel_, foreground, abi::kSIGHUP);
  SignalGroupId(kernel_, foreground, abi::kSIGCONT);
  dropped = Unbind(SessionOf(group));
  return uint64_t{0};
}

void KernelJobControl::Opened(Terminal& terminal, bool readable) {
  Task* t = Task::Current();
  if (!t || !readable) return;
  MutexLock lock(kernel_.tasks_lock);
  ThreadGroup& group = t->group();
  if (!IsSessionLeader(group) || SessionOf(group).tty || SessionWith(kernel_, terminal)) return;
  Bind(SessionOf(group), Ref<Terminal>(&terminal), group.process_group->pgid);
}

void KernelJobControl::Signal(Terminal& terminal, int signo) {
  MutexLock lock(kernel_.tasks_lock);
  if (Ref<Session> session = SessionWith(kernel_, terminal)) SignalGroupId(kernel_, session->foreground_pgid, signo);
}

void KernelJobControl::HungUp(Terminal& terminal) {
  Ref<Terminal> dropped;
  MutexLock lock(kernel_.tasks_lock);
  Ref<Session> session = SessionWith(kernel_, terminal);
  if (!session) return;
  if (ThreadGroup* leader = FindSessionLeader(kernel_, session->sid); leader && !leader->exited) {
    leader->SendSignal(MakeSigInfo(abi::kSIGHUP, abi::kSI_KERNEL));
    leader->SendSignal(MakeSigInfo(abi::kSIGCONT, abi::kSI_KERNEL));
  }
  dropped = Unbind(*session);
}

const Credentials* KernelJobControl::CallerCredentials() {
  Task* t = Task::Current();
  return t ? &t->creds() : nullptr;
}

void StartJobControl(Kernel& kernel) {
  static NoDestructor<KernelJobControl> control(kernel);
  JobControl::Set(&*control);
  RegisterCharDevice(abi::kTTYAUX_MAJOR, 0, 1, OpenControlling);
}

void AdoptTerminal(ThreadGroup& init, Ref<Terminal> terminal) {
  Bind(SessionOf(init), std::move(terminal), init.process_group->pgid);
}

void SessionLeaderExited(ThreadGroup& leader) {
  if (!leader.process_group || !IsSessionLeader(leader) || !SessionOf(leader).tty) return;
  int foreground = SessionOf(leader).foreground_pgid;
  SignalGroupId(leader.kernel(), foreground, abi::kSIGHUP);
  SignalGroupId(leader.kernel(), foreground, abi::kSIGCONT);
  Ref<Terminal> dropped = Unbind(SessionOf(leader));
}

}  // namespace moat
