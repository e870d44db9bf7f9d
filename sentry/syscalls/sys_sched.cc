// Scheduling as a guest sees it, resource limits and usage.
#include <algorithm>

#include "abi/capability.h"
#include "abi/rlimit.h"
#include "abi/sched.h"
#include "base/host/process.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/rusage.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/kernel/timers.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"

namespace moat {
namespace {

// The task `pid` names, 0 being the caller; kESRCH.
ErrorOr<Ref<Task>> TaskOf(Task& t, int pid) {
  if (pid < 0) return kEINVAL;
  if (pid == 0) return Ref<Task>(&t);
  Ref<Task> target = t.kernel().GetTask(pid);
  if (!target) return kESRCH;
  return target;
}

bool MayChange(Task& t, Task& target) {
  const Credentials& me = t.creds();
  Ref<const Credentials> its = target.creds_ref();
  return me.euid == its->uid || me.euid == its->euid || me.Has(abi::kCAP_SYS_NICE);
}

ErrorOr<void> SysSchedYield(Task& t) { return {}; }

// --- CPU masks. ---

uint64_t OnlineCpus(Task& t) { return t.kernel().online_cpus; }

ErrorOr<uint64_t> SysSchedGetaffinity(Task& t, int pid, uint32_t size, UserAddr mask) {
  Ref<Task> target = TRY(TaskOf(t, pid));
  if (size < sizeof(uint64_t) || size % sizeof(uint64_t)) return kEINVAL;
  TRY(t.mm().Write<uint64_t>(mask, target->cpu_mask & OnlineCpus(t)));
  return sizeof(uint64_t);
}

ErrorOr<void> SysSchedSetaffinity(Task& t, int pid, uint32_t size, UserAddr mask_addr) {
  uint64_t mask = 0;
  TRY(t.mm().CopyIn(mask_addr, &mask, std::min<size_t>(size, sizeof mask)));
  Ref<Task> target = TRY(TaskOf(t, pid));
  if (!MayChange(t, *target)) return kEPERM;
  mask &= OnlineCpus(t);
  if (!mask) return kEINVAL;
  target->cpu_mask = mask;
  // Its host thread goes together with its memory.
  if (target->mm_ref()) target->thread().SetAffinity(mask);
  return {};
}

ErrorOr<void> SysGetcpu(Task& t, UserAddr cpu, UserAddr node) {
  // Which CPU a thread runs on is the host's secret until it asks natively (rdtscp); any allowed one is a right answer.
  uint32_t first = static_cast<uint32_t>(__builtin_ctzll(t.cpu_mask & OnlineCpus(t)));
  if (cpu) TRY(t.mm().Write(cpu, first));
  if (node) TRY(t.mm().Write<uint32_t>(node, 0));
  return {};
}

// --- Policies and priorities: remembered and shown; the host shares the CPU. ---

bool IsRealtime(int policy) { return policy == abi::kSCHED_FIFO || policy == abi::kSCHED_RR; }
bool IsNormal(int policy) {
  return policy == abi::kSCHED_OTHER || policy == abi::kSCHED_BATCH || policy == abi::kSCHED_IDLE;
}

ErrorOr<void> SetPolicy(Task& t, Task& target, int policy, int priority) {
  constexpr int kResetOnFork = static_cast<int>(abi::kSCHED_RESET_ON_FORK);
  policy &= ~kResetOnFork;
  if (!IsRealtime(policy) && !IsNormal(policy)) return kEINVAL;
  if (IsRealtime(policy) ? (priority < 1 || priority > 99) : priority != 0) return kEINVAL;
  if (!MayChange(t, target)) return kEPERM;
  if (IsRealtime(policy) && !t.creds().Has(abi::kCAP_SYS_NICE) &&
      static_cast<uint64_t>(priority) > target.group().Limit(abi::kRLIMIT_RTPRIO)) {
    return kEPERM;
  }
  target.policy = policy;
  target.rt_priority = priority;
  return {};
}

ErrorOr<void> SysSchedSetscheduler(Task& t, int pid, int policy, UserAddr param) {
  if (policy < 0 || pid < 0 || !param) return kEINVAL;
  int priority = TRY(t.mm().Read<int>(param));
  return SetPolicy(t, *TRY(TaskOf(t, pid)), policy, priority);
}
ErrorOr<void> SysSchedSetparam(Task& t, int pid, UserAddr param) {
  if (pid < 0 || !param) return kEINVAL;
  int priority = TRY(t.mm().Read<int>(param));
  Ref<Task> target = TRY(TaskOf(t, pid));
  return SetPolicy(t, *target, target->policy, priority);
}
ErrorOr<uint64_t> SysSchedGetscheduler(Task& t, int pid) { return TRY(TaskOf(t, pid))->policy; }
ErrorOr<void> SysSchedGetparam(Task& t, int pid, UserAddr param) {
  if (pid < 0 || !param) return kEINVAL;
  return t.mm().Write<int>(param, TRY(TaskOf(t, pid))->rt_priority);
}
ErrorOr<uint64_t> SysSchedGetPriorityMax(Task& t, int policy) {
  if (IsRealtime(policy)) return uint64_t{99};
  if (IsNormal(policy) || policy == abi::kSCHED_DEADLINE) return uint64_t{0};
  return kEINVAL;
}
ErrorOr<uint64_t> SysSchedGetPriorityMin(Task& t, int policy) {
  if (IsRealtime(policy)) return uint64_t{1};
  if (IsNormal(policy) || policy == abi::kSCHED_DEADLINE) return uint64_t{0};
  return kEINVAL;
}
ErrorOr<void> SysSchedRrGetInterval(Task& t, int pid, UserAddr out) {
  Ref<Task> target = TRY(TaskOf(t, pid));
  constexpr int64_t kRrSliceNs = 100'000'000, kFairSliceNs = 4'000'000;
  int64_t ns = target->policy == abi::kSCHED_RR ? kRrSliceNs : target->policy == abi::kSCHED_FIFO ? 0 : kFairSliceNs;
  return t.mm().Write(out, abi::Timespec{0, ns});
}

ErrorOr<void> SysSchedSetattr(Task& t, int pid, UserAddr attr_addr, uint32_t flags) {
  if (!attr_addr || pid < 0 || flags) return kEINVAL;
  uint32_t size = TRY(t.mm().Read<uint32_t>(attr_addr));
  constexpr uint32_t kFirstSize = 48;  // SCHED_ATTR_SIZE_VER0
  if (size == 0) size = kFirstSize;
  if (size < kFirstSize) return kE2BIG;
  abi::SchedAttr a = TRY(ReadExtensible<abi::SchedAttr>(t.mm(), attr_addr, size));
  Ref<Task> target = TRY(TaskOf(t, pid));
  if (a.sched_policy == abi::kSCHED_DEADLINE) return kEPERM;
  TRY(SetPolicy(t, *target, static_cast<int>(a.sched_policy), static_cast<int>(a.sched_priority)));
  if (IsNormal(static_cast<int>(a.sched_policy))) target->nice = std::clamp(a.sched_nice, -20, 19);
  return {};
}
ErrorOr<void> SysSchedGetattr(Task& t, int pid, UserAddr out, uint32_t size, uint32_t flags) {
  constexpr uint32_t kFirstSize = 48, kPage = 4096;
  if (!out || pid < 0 || flags || size < kFirstSize || size > kPage) return kEINVAL;
  Ref<Task> target = TRY(TaskOf(t, pid));
  abi::SchedAttr a{};
  a.size = std::min<uint32_t>(size, sizeof a);
  a.sched_policy = static_cast<uint32_t>(target->policy);
  a.sched_priority = static_cast<uint32_t>(target->rt_priority);
  a.sched_nice = target->nice;
  return t.mm().CopyOut(out, &a, a.size);
}

// Calls `visit` for every task that getpriority(2)'s (which, who) names; false if there is none.
bool ForEachNamed(Task& t, int which, int who, const std::function<void(Task&)>& visit) {
  Kernel& kernel = t.kernel();
  MutexLock lock(kernel.tasks_lock);
  bool any = false;
  int pgid = who ? who : t.group().process_group->pgid;
  uint32_t uid = who ? static_cast<uint32_t>(who) : t.creds().uid;
  kernel.ForEachTask([&](Task& x) {
    bool match = false;
    switch (which) {
      case abi::kPRIO_PROCESS: match = who ? x.tid() == who : &x == &t; break;
      case abi::kPRIO_PGRP: match = x.group().process_group->pgid == pgid; break;
      default: match = x.creds_ref()->uid == uid; break;
    }
    if (!match) return;
    any = true;
    visit(x);
  });
  return any;
}

ErrorOr<uint64_t> SysGetpriority(Task& t, int which, int who) {
  if (which < 0 || which > abi::kPRIO_USER) return kEINVAL;
  int best = 0;
  bool any = ForEachNamed(t, which, who, [&](Task& x) { best = std::max(best, 20 - x.nice); });
  if (!any) return kESRCH;
  return static_cast<uint64_t>(best);
}

ErrorOr<void> SysSetpriority(Task& t, int which, int who, int nice) {
  if (which < 0 || which > abi::kPRIO_USER) return kEINVAL;
  nice = std::clamp(nice, -20, 19);
  ErrorOr<void> result;
  bool any = ForEachNamed(t, which, who, [&](Task& x) {
    if (!MayChange(t, x)) {
      result = kEPERM;
    } else if (nice < x.nice && !t.creds().Has(abi::kCAP_SYS_NICE) &&
               static_cast<uint64_t>(20 - nice) > x.group().Limit(abi::kRLIMIT_NICE)) {
      result = kEACCES;
    } else {
      x.nice = nice;
    }
  });
  if (!any) return kESRCH;
  return result;
}

ErrorOr<void> SysIoprioSet(Task& t, int which, int who, int priority) {
  int io_class = priority >> 13;
  if (which < 1 || which > 3 || io_class < 0 || io_class > 3) return kEINVAL;
  if (io_class == 1 && !t.creds().Has(abi::kCAP_SYS_ADMIN) && !t.creds().Has(abi::kCAP_SYS_NICE)) return kEPERM;
  return ForEachNamed(t, which - 1, who, [&](Task& x) { x.io_priority = priority; }) ? ErrorOr<void>() : kESRCH;
}
ErrorOr<uint64_t> SysIoprioGet(Task& t, int which, int who) {
  if (which < 1 || which > 3) return kEINVAL;
  int priority = 0;
  if (!ForEachNamed(t, which - 1, who, [&](Task& x) { priority = x.io_priority; })) return kESRCH;
  return static_cast<uint64_t>(priority);
}

// --- Limits and usage. ---

ErrorOr<void> SetLimit(Task& t, Task& target, int resource, const abi::Rlimit64& wanted) {
  if (wanted.rlim_cur > wanted.rlim_max) return kEINVAL;
  ThreadGroup& group = target.group();
  constexpr uint64_t kMaxOpenFiles = 1 << 20;  // fs.nr_open
  if (resource == abi::kRLIMIT_NOFILE && wanted.rlim_max > kMaxOpenFiles) return kEPERM;
  {
    MutexLock lock(group.signal_lock);
    abi::Rlimit64& limit = group.rlimits[static_cast<size_t>(resource)];
    if (wanted.rlim_max > limit.rlim_max && !t.creds().Has(abi::kCAP_SYS_RESOURCE)) return kEPERM;
    limit = wanted;
  }
  if (resource == abi::kRLIMIT_CPU) ProcessTimers::Of(group).OnCpuLimit();
  if (resource == abi::kRLIMIT_STACK) {
    // Held: the target may be about to exit or to execute something else.
    if (Ref<MemoryManager> mm = target.mm_ref()) (void)mm->space().SetStackLimit(wanted.rlim_cur);
  }
  return {};
}

ErrorOr<void> SysPrlimit64(Task& t, int pid, uint32_t resource, UserAddr wanted_addr, UserAddr old) {
  if (resource >= static_cast<uint32_t>(abi::kRLIM_NLIMITS)) return kEINVAL;
  std::optional<abi::Rlimit64> wanted;
  if (wanted_addr) wanted = TRY(t.mm().Read<abi::Rlimit64>(wanted_addr));
  Ref<Task> target = TRY(TaskOf(t, pid));
  if (&target->group() != &t.group() && !t.creds().Has(abi::kCAP_SYS_RESOURCE)) {
    const Credentials& me = t.creds();
    Ref<const Credentials> its = target->creds_ref();
    const Credentials& it = *its;
    if (me.uid != it.uid || me.uid != it.euid || me.uid != it.suid) return kEPERM;
  }
  abi::Rlimit64 before = target->group().rlimits[resource];
  if (wanted) TRY(SetLimit(t, *target, static_cast<int>(resource), *wanted));
  if (old) TRY(t.mm().Write(old, before));
  return {};
}
ErrorOr<void> SysGetrlimit(Task& t, uint32_t resource, UserAddr out) { return SysPrlimit64(t, 0, resource, 0, out); }
ErrorOr<void> SysSetrlimit(Task& t, uint32_t resource, UserAddr in) { return SysPrlimit64(t, 0, resource, in, 0); }

ErrorOr<void> SysGetrusage(Task& t, int who, UserAddr out) {
  Usage usage;
  switch (who) {
    case abi::kRUSAGE_SELF:
      usage = t.group().CurrentUsage();
      usage.max_rss_kb = std::max(usage.max_rss_kb, t.mm().ResidentBytes() / 1024);
      break;
    case abi::kRUSAGE_CHILDREN: usage = t.group().children_usage; break;
    case abi::kRUSAGE_THREAD: usage.user_ns = t.CpuTimeNs(); break;
    default: return kEINVAL;
  }
  return t.mm().Write(out, ToRusage(usage));
}

constexpr SyscallRow kRows[] = {
    CALL(sched_yield, SysSchedYield, ""),
    CALL(sched_getaffinity, SysSchedGetaffinity, "pid uint ptr"),
    CALL(sched_setaffinity, SysSchedSetaffinity, "pid uint ptr"),
    CALL(getcpu, SysGetcpu, "ptr ptr"),
    CALL_PARTIAL(sched_setscheduler, SysSchedSetscheduler, "pid int ptr", "remembered; the host shares the CPU"),
    CALL_PARTIAL(sched_setparam, SysSchedSetparam, "pid ptr", "remembered; the host shares the CPU"),
    CALL(sched_getscheduler, SysSchedGetscheduler, "pid"),
    CALL(sched_getparam, SysSchedGetparam, "pid ptr"),
    CALL(sched_get_priority_max, SysSchedGetPriorityMax, "int"),
    CALL(sched_get_priority_min, SysSchedGetPriorityMin, "int"),
    CALL(sched_rr_get_interval, SysSchedRrGetInterval, "pid ptr"),
    CALL_PARTIAL(sched_setattr, SysSchedSetattr, "pid ptr hex", "remembered; SCHED_DEADLINE: EPERM"),
    CALL(sched_getattr, SysSchedGetattr, "pid ptr uint hex"),
    CALL(getpriority, SysGetpriority, "int int"),
    CALL_PARTIAL(setpriority, SysSetpriority, "int int int", "remembered; the host shares the CPU"),
    CALL_PARTIAL(ioprio_set, SysIoprioSet, "int int hex", "remembered; the host schedules I/O"),
    CALL(ioprio_get, SysIoprioGet, "int int"),
    CALL(prlimit64, SysPrlimit64, "pid int ptr ptr"),
    CALL(getrlimit, SysGetrlimit, "int ptr"),
    CALL(setrlimit, SysSetrlimit, "int ptr"),
    CALL(getrusage, SysGetrusage, "int ptr"),
};

}  // namespace

const SyscallFamily kScheduleCalls = {"scheduling and limits", kRows};

}  // namespace moat
