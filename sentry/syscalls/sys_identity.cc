// Who a task is: pids, groups and sessions, user and group ids, capabilities.
#include <algorithm>

#include "abi/capability.h"
#include "abi/limits.h"
#include "abi/prctl.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/families.h"

namespace moat {
namespace {

// --- Processes, groups, sessions. ---

ErrorOr<uint64_t> SysGetpid(Task& t) { return static_cast<uint64_t>(t.tgid()); }
ErrorOr<uint64_t> SysGettid(Task& t) { return static_cast<uint64_t>(t.tid()); }
ErrorOr<uint64_t> SysGetppid(Task& t) {
  MutexLock lock(t.kernel().tasks_lock);
  ThreadGroup* parent = t.group().parent;
  if (parent) return static_cast<uint64_t>(parent->tgid());
  // Orphans belong to init, which is the kernel itself here; init has no parent.
  return &t.group() == t.kernel().init() ? uint64_t{0} : uint64_t{1};
}

// The process `pid` names (0: the caller's); kESRCH.
ErrorOr<ThreadGroup*> GroupOf(Kernel& kernel, Task& t, int pid) MOAT_REQUIRES(kernel.tasks_lock) {
  if (pid == 0) return &t.group();
  if (pid < 0) return kESRCH;
  Task* task = kernel.FindTask(pid);
  if (!task) return kESRCH;
  return &task->group();
}

ErrorOr<uint64_t> SysGetpgid(Task& t, int pid) {
  Kernel& kernel = t.kernel();
  MutexLock lock(kernel.tasks_lock);
  return static_cast<uint64_t>(TRY(GroupOf(kernel, t, pid))->process_group->pgid);
}
ErrorOr<uint64_t> SysGetpgrp(Task& t) { return SysGetpgid(t, 0); }
ErrorOr<uint64_t> SysGetsid(Task& t, int pid) {
  Kernel& kernel = t.kernel();
  MutexLock lock(kernel.tasks_lock);
  return static_cast<uint64_t>(TRY(GroupOf(kernel, t, pid))->process_group->session->sid);
}

ErrorOr<void> SysSetpgid(Task& t, int pid, int pgid) {
  if (pgid < 0) return kEINVAL;
  Kernel& kernel = t.kernel();
  MutexLock lock(kernel.tasks_lock);
  ThreadGroup& me = t.group();
  ThreadGroup& target = *TRY(GroupOf(kernel, t, pid));
  if (pid && target.tgid() != pid) return kEINVAL;  // a thread that is no leader
  if (&target != &me) {
    if (target.parent != &me) return kESRCH;
    if (target.process_group->session != me.process_group->session) return kEPERM;
    if (target.did_exec) return kEACCES;
  }
  if (target.process_group->session->sid == target.tgid()) return kEPERM;  // a session leader
  if (pgid == 0) pgid = target.tgid();
  if (pgid == target.process_group->pgid) return {};
  if (pgid == target.tgid()) {
    target.process_group = MakeRef<ProcessGroup>(pgid, target.process_group->session);
    return {};
  }
  Ref<ProcessGroup> found;
  kernel.ForEachGroup([&](ThreadGroup& g) {
    if (g.process_group->pgid == pgid && g.process_group->session == me.process_group->session) found = g.process_group;
  });
  if (!found) return kEPERM;
  target.process_group = std::move(found);
  return {};
}

ErrorOr<uint64_t> SysSetsid(Task& t) {
  Kernel& kernel = t.kernel();
  MutexLock lock(kernel.tasks_lock);
  int id = t.tgid();
  bool taken = false;
  kernel.ForEachGroup([&](ThreadGroup& g) { taken |= g.process_group->pgid == id; });
  if (taken) return kEPERM;  // a process group leader
  t.group().process_group = MakeRef<ProcessGroup>(id, MakeRef<Session>(id));
  return static_cast<uint64_t>(id);
}

// --- User and group ids (credentials(7)). ---

// Changes a copy of the credentials by `edit` and publishes it. Ids that changed make the process undumpable.
template <class F>
ErrorOr<void> ChangeCreds(Task& t, F edit) {
  Ref<Credentials> c = MakeRef<Credentials>(t.creds());
  TRY(edit(*c));
  const Credentials& old = t.creds();
  if (c->euid != old.euid || c->egid != old.egid || c->fsuid != old.fsuid || c->fsgid != old.fsgid) {
    t.mm().dumpable = 0;
    t.parent_death_signal = 0;
  }
  t.set_creds(std::move(c));
  return {};
}

// What capabilities become when user ids leave or reach 0 (capabilities(7), "Effect of user ID changes").
void FixCapabilities(const Credentials& old, Credentials& c) {
  if (c.securebits & abi::kSECBIT_NO_SETUID_FIXUP) return;
  bool had_root = old.uid == 0 || old.euid == 0 || old.suid == 0;
  bool has_root = c.uid == 0 || c.euid == 0 || c.suid == 0;
  if (had_root && !has_root && !(c.securebits & abi::kSECBIT_KEEP_CAPS)) {
    c.permitted = c.effective = 0;
  }
  if (had_root && !has_root) c.ambient = 0;
  if (old.euid == 0 && c.euid != 0) c.effective = 0;
  if (old.euid != 0 && c.euid == 0) c.effective = c.permitted;
}

// The capabilities that follow fsuid alone.
constexpr uint64_t kFsCapabilities = abi::CapMask(abi::kCAP_CHOWN) | abi::CapMask(abi::kCAP_DAC_OVERRIDE) |
                                     abi::CapMask(abi::kCAP_DAC_READ_SEARCH) | abi::CapMask(abi::kCAP_FOWNER) |
                                     abi::CapMask(abi::kCAP_FSETID) | abi::CapMask(abi::kCAP_MKNOD) |
                                     abi::CapMask(abi::kCAP_MAC_OVERRIDE) | abi::CapMask(abi::kCAP_LINUX_IMMUTABLE);

constexpr uint32_t kKeep = ~0u;  // -1: unchanged

ErrorOr<void> SysSetresuid(Task& t, uint32_t ruid, uint32_t euid, uint32_t suid) {
  return ChangeCreds(t, [&](Credentials& c) -> ErrorOr<void> {
    const Credentials old = c;
    auto mine = [&](uint32_t id) { return id == kKeep || id == old.uid || id == old.euid || id == old.suid; };
    if (!c.Has(abi::kCAP_SETUID) && !(mine(ruid) && mine(euid) && mine(suid))) return kEPERM;
    if (ruid != kKeep) c.uid = ruid;
    if (euid != kKeep) c.euid = euid;
    if (suid != kKeep) c.suid = suid;
    c.fsuid = c.euid;
    FixCapabilities(old, c);
    return {};
  });
}

ErrorOr<void> SysSetreuid(Task& t, uint32_t ruid, uint32_t euid) {
  return ChangeCreds(t, [&](Credentials& c) -> ErrorOr<void> {
    const Credentials old = c;
    bool may = c.Has(abi::kCAP_SETUID);
    if (ruid != kKeep) {
      if (!may && ruid != old.uid && ruid != old.euid) return kEPERM;
      c.uid = ruid;
    }
    if (euid != kKeep) {
      if (!may && euid != old.uid && euid != old.euid && euid != old.suid) return kEPERM;
      c.euid = euid;
    }
    if (ruid != kKeep || (euid != kKeep && euid != old.uid)) c.suid = c.euid;
    c.fsuid = c.euid;
    FixCapabilities(old, c);
    return {};
  });
}

ErrorOr<void> SysSetuid(Task& t, uint32_t uid) {
  if (uid == kKeep) return kEINVAL;
  return ChangeCreds(t, [&](Credentials& c) -> ErrorOr<void> {
    const Credentials old = c;
    if (c.Has(abi::kCAP_SETUID)) {
      c.uid = c.suid = uid;
    } else if (uid != old.uid && uid != old.suid) {
      return kEPERM;
    }
    c.euid = c.fsuid = uid;
    FixCapabilities(old, c);
    return {};
  });
}

ErrorOr<uint64_t> SysSetfsuid(Task& t, uint32_t uid) {
  uint32_t old = t.creds().fsuid;
  (void)ChangeCreds(t, [&](Credentials& c) -> ErrorOr<void> {
    bool may = c.Has(abi::kCAP_SETUID) || uid == c.uid || uid == c.euid || uid == c.suid || uid == c.fsuid;
    if (!may || uid == kKeep) return kEPERM;
    if (!(c.securebits & abi::kSECBIT_NO_SETUID_FIXUP)) {
      if (c.fsuid == 0 && uid != 0) c.effective &= ~kFsCapabilities;
      if (c.fsuid != 0 && uid == 0) c.effective |= c.permitted & kFsCapabilities;
    }
    c.fsuid = uid;
    return {};
  });
  return uint64_t{old};
}

ErrorOr<void> SysSetresgid(Task& t, uint32_t rgid, uint32_t egid, uint32_t sgid) {
  return ChangeCreds(t, [&](Credentials& c) -> ErrorOr<void> {
    auto mine = [old_gid = c.gid, old_egid = c.egid, old_sgid = c.sgid](uint32_t id) {
      return id == kKeep || id == old_gid || id == old_egid || id == old_sgid;
    };
    if (!c.Has(abi::kCAP_SETGID) && !(mine(rgid) && mine(egid) && mine(sgid))) return kEPERM;
    if (rgid != kKeep) c.gid = rgid;
    if (egid != kKeep) c.egid = egid;
    if (sgid != kKeep) c.sgid = sgid;
    c.fsgid = c.egid;
    return {};
  });
}

ErrorOr<void> SysSetregid(Task& t, uint32_t rgid, uint32_t egid) {
  return ChangeCreds(t, [&](Credentials& c) -> ErrorOr<void> {
    const Credentials old = c;
    bool may = c.Has(abi::kCAP_SETGID);
    if (rgid != kKeep) {
      if (!may && rgid != old.gid && rgid != old.egid) return kEPERM;
      c.gid = rgid;
    }
    if (egid != kKeep) {
      if (!may && egid != old.gid && egid != old.egid && egid != old.sgid) return kEPERM;
      c.egid = egid;
    }
    if (rgid != kKeep || (egid != kKeep && egid != old.gid)) c.sgid = c.egid;
    c.fsgid = c.egid;
    return {};
  });
}

ErrorOr<void> SysSetgid(Task& t, uint32_t gid) {
  if (gid == kKeep) return kEINVAL;
  return ChangeCreds(t, [&](Credentials& c) -> ErrorOr<void> {
    if (c.Has(abi::kCAP_SETGID)) {
      c.gid = c.sgid = gid;
    } else if (gid != c.gid && gid != c.sgid) {
      return kEPERM;
    }
    c.egid = c.fsgid = gid;
    return {};
  });
}

ErrorOr<uint64_t> SysSetfsgid(Task& t, uint32_t gid) {
  uint32_t old = t.creds().fsgid;
  (void)ChangeCreds(t, [&](Credentials& c) -> ErrorOr<void> {
    bool may = c.Has(abi::kCAP_SETGID) || gid == c.gid || gid == c.egid || gid == c.sgid || gid == c.fsgid;
    if (!may || gid == kKeep) return kEPERM;
    c.fsgid = gid;
    return {};
  });
  return uint64_t{old};
}

ErrorOr<uint64_t> SysGetuid(Task& t) { return uint64_t{t.creds().uid}; }
ErrorOr<uint64_t> SysGeteuid(Task& t) { return uint64_t{t.creds().euid}; }
ErrorOr<uint64_t> SysGetgid(Task& t) { return uint64_t{t.creds().gid}; }
ErrorOr<uint64_t> SysGetegid(Task& t) { return uint64_t{t.creds().egid}; }

ErrorOr<void> SysGetresuid(Task& t, UserAddr ruid, UserAddr euid, UserAddr suid) {
  const Credentials& c = t.creds();
  TRY(t.mm().Write(ruid, c.uid));
  TRY(t.mm().Write(euid, c.euid));
  return t.mm().Write(suid, c.suid);
}
ErrorOr<void> SysGetresgid(Task& t, UserAddr rgid, UserAddr egid, UserAddr sgid) {
  const Credentials& c = t.creds();
  TRY(t.mm().Write(rgid, c.gid));
  TRY(t.mm().Write(egid, c.egid));
  return t.mm().Write(sgid, c.sgid);
}

ErrorOr<uint64_t> SysGetgroups(Task& t, int size, UserAddr list) {
  const std::vector<uint32_t>& groups = t.creds().groups;
  if (size < 0) return kEINVAL;
  if (size == 0) return groups.size();
  if (static_cast<size_t>(size) < groups.size()) return kEINVAL;
  TRY(t.mm().CopyOut(list, groups.data(), groups.size() * sizeof(uint32_t)));
  return groups.size();
}
ErrorOr<void> SysSetgroups(Task& t, int size, UserAddr list) {
  if (!t.creds().Has(abi::kCAP_SETGID)) return kEPERM;
  if (size < 0 || static_cast<uint64_t>(size) > abi::kNGROUPS_MAX) return kEINVAL;
  std::vector<uint32_t> groups = TRY(t.mm().ReadArray<uint32_t>(list, static_cast<size_t>(size), abi::kNGROUPS_MAX));
  std::sort(groups.begin(), groups.end());
  return ChangeCreds(t, [&](Credentials& c) -> ErrorOr<void> {
    c.groups = std::move(groups);
    return {};
  });
}

// --- Capabilities (capget(2)). ---

// Words of 32 bits that a header's version has; kEINVAL with the preferred version written back for unknown ones.
ErrorOr<int> CapabilityWords(Task& t, UserAddr header_addr, abi::UserCapHeader& header) {
  header = TRY(t.mm().Read<abi::UserCapHeader>(header_addr));
  switch (header.version) {
    case abi::k_LINUX_CAPABILITY_VERSION_1: return 1;
    case abi::k_LINUX_CAPABILITY_VERSION_2:
    case abi::k_LINUX_CAPABILITY_VERSION_3: return 2;
    default:
      header.version = abi::k_LINUX_CAPABILITY_VERSION_3;
      TRY(t.mm().Write(header_addr, header));
      return kEINVAL;
  }
}

ErrorOr<void> SysCapget(Task& t, UserAddr header_addr, UserAddr data) {
  abi::UserCapHeader header;
  ErrorOr<int> words = CapabilityWords(t, header_addr, header);
  if (!words.ok()) return words.error() == kEINVAL && !data ? ErrorOr<void>() : words.error();
  if (header.pid < 0) return kEINVAL;
  Ref<const Credentials> creds = t.creds_ref();
  if (header.pid) {
    MutexLock lock(t.kernel().tasks_lock);
    Task* target = t.kernel().FindTask(header.pid);
    if (!target) return kESRCH;
    creds = target->creds_ref();
  }
  abi::UserCapData out[2] = {};
  for (int i = 0; i < *words; ++i) {
    out[i].effective = static_cast<uint32_t>(creds->effective >> (32 * i));
    out[i].permitted = static_cast<uint32_t>(creds->permitted >> (32 * i));
    out[i].inheritable = static_cast<uint32_t>(creds->inheritable >> (32 * i));
  }
  return t.mm().CopyOut(data, out, sizeof out[0] * static_cast<size_t>(*words));
}

ErrorOr<void> SysCapset(Task& t, UserAddr header_addr, UserAddr data) {
  abi::UserCapHeader header;
  int words = TRY(CapabilityWords(t, header_addr, header));
  if (header.pid && header.pid != t.tid()) return kEPERM;
  abi::UserCapData in[2] = {};
  TRY(t.mm().CopyIn(data, in, sizeof in[0] * static_cast<size_t>(words)));
  auto join = [](uint32_t low, uint32_t high) { return (low | uint64_t{high} << 32) & kAllCapabilities; };
  uint64_t effective = join(in[0].effective, in[1].effective);
  uint64_t permitted = join(in[0].permitted, in[1].permitted);
  uint64_t inheritable = join(in[0].inheritable, in[1].inheritable);
  return ChangeCreds(t, [&](Credentials& c) -> ErrorOr<void> {
    bool may_add = c.Has(abi::kCAP_SETPCAP);
    if (!may_add && (inheritable & ~(c.inheritable | c.permitted))) return kEPERM;
    if (inheritable & ~(c.inheritable | c.bounding)) return kEPERM;
    if (permitted & ~c.permitted) return kEPERM;
    if (effective & ~permitted) return kEPERM;
    c.effective = effective;
    c.permitted = permitted;
    c.inheritable = inheritable;
    c.ambient &= permitted & inheritable;
    return {};
  });
}

constexpr SyscallRow kRows[] = {
    CALL(getpid, SysGetpid, ""),
    CALL(gettid, SysGettid, ""),
    CALL(getppid, SysGetppid, ""),
    CALL(getpgid, SysGetpgid, "pid"),
    CALL(getpgrp, SysGetpgrp, ""),
    CALL(setpgid, SysSetpgid, "pid pid"),
    CALL(getsid, SysGetsid, "pid"),
    CALL(setsid, SysSetsid, ""),
    CALL(getuid, SysGetuid, ""),
    CALL(geteuid, SysGeteuid, ""),
    CALL(getgid, SysGetgid, ""),
    CALL(getegid, SysGetegid, ""),
    CALL(setuid, SysSetuid, "uint"),
    CALL(setgid, SysSetgid, "uint"),
    CALL(setreuid, SysSetreuid, "int int"),
    CALL(setregid, SysSetregid, "int int"),
    CALL(setresuid, SysSetresuid, "int int int"),
    CALL(setresgid, SysSetresgid, "int int int"),
    CALL(getresuid, SysGetresuid, "ptr ptr ptr"),
    CALL(getresgid, SysGetresgid, "ptr ptr ptr"),
    CALL(setfsuid, SysSetfsuid, "uint"),
    CALL(setfsgid, SysSetfsgid, "uint"),
    CALL(getgroups, SysGetgroups, "int ptr"),
    CALL(setgroups, SysSetgroups, "int ptr"),
    CALL(capget, SysCapget, "ptr ptr"),
    CALL(capset, SysCapset, "ptr ptr"),
};

}  // namespace

const SyscallFamily kIdentityCalls = {"identity", kRows};

}  // namespace moat
