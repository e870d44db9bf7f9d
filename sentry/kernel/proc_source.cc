#include "sentry/kernel/proc_source.h"

#include <algorithm>
#include <map>

#include "abi/capability.h"
#include "abi/mman.h"
#include "abi/rlimit.h"
#include "abi/signal.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/mount_namespace.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/ipc/ipc_namespace.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/net_table.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/sandbox_memory.h"
#include "sentry/kernel/version.h"

namespace moat {

namespace {

constexpr uint64_t kPage = abi::kPAGE_SIZE;

// CLOCK_BOOTTIME, since which /proc counts, is ahead of CLOCK_MONOTONIC by the time the machine slept.
int64_t BootClockAhead() {
  constexpr int64_t kSecondNs = 1'000'000'000;
  ErrorOr<abi::Timespec> boot = host::ClockGettime(abi::kCLOCK_BOOTTIME);
  return boot.ok() ? boot->tv_sec * kSecondNs + boot->tv_nsec - host::NowMonotonicNs() : 0;
}

TaskKey KeyOf(const Task& t) { return {t.tid(), t.start_time_ns}; }

// ptrace(2), "Ptrace access mode checking", PTRACE_MODE_READ_FSCREDS.
bool MayRead(const Task& me, const Task& it) {
  if (&me.group() == &it.group()) return true;
  const Credentials& mine = me.creds();
  if (mine.Has(abi::kCAP_SYS_PTRACE)) return true;
  Ref<const Credentials> held = it.creds_ref();
  const Credentials& its = *held;
  bool same_user = mine.fsuid == its.euid && mine.fsuid == its.suid && mine.fsuid == its.uid;
  bool same_group = mine.fsgid == its.egid && mine.fsgid == its.sgid && mine.fsgid == its.gid;
  if (!same_user || !same_group || (its.permitted & ~mine.effective)) return false;
  int dumpable = it.dumpable();
  return dumpable < 0 || dumpable == 1;
}

char StateOf(Task& t) {
  if (t.dead()) return 'Z';
  if (Tracing* traced = TracedBy(t)) {
    MutexLock lock(t.kernel().tasks_lock);
    return traced->stopped() ? 't' : t.state_letter();
  }
  if (t.group().Stopped()) return 'T';
  return t.state_letter();
}

void FillSignals(Task& t, TaskInfo& out) {
  ThreadGroup& group = t.group();
  MutexLock lock(group.signal_lock);
  out.pending = t.pending().set();
  out.shared_pending = group.shared_pending.set();
  out.queued_signals = t.pending().size() + group.shared_pending.size();
  out.blocked = t.blocked();
  if (!group.actions) return;
  for (int signo = 1; signo <= abi::kNSIG; ++signo) {
    uint64_t handler = group.actions->of(signo).sa_handler;
    if (handler == abi::kSIG_IGN) out.ignored |= abi::SigMask(signo);
    else if (handler != abi::kSIG_DFL) out.caught |= abi::SigMask(signo);
  }
}

void FillTree(Task& t, TaskInfo& out) {
  Kernel& kernel = t.kernel();
  MutexLock lock(kernel.tasks_lock);
  ThreadGroup& group = t.group();
  out.ppid = group.parent ? group.parent->tgid() : 0;
  if (Tracing* traced = TracedBy(t)) out.tracer = traced->tracer()->tid();
  out.threads = group.live_tasks;
  out.children_user_ns = group.children_usage.user_ns;
  out.children_system_ns = group.children_usage.system_ns;
  out.exit_signal = group.exit_signal;
  out.exit_code = group.exited ? group.exit_status : 0;
  if (!group.process_group) return;
  Session& session = *group.process_group->session;
  out.pgid = group.process_group->pgid;
  out.sid = session.sid;
  if (session.tty) {
    out.tty = static_cast<uint32_t>(session.tty->rdev());
    out.foreground_pgid = session.foreground_pgid;
  }
}

}  // namespace

// --- Who is there. ---

Ref<Task> KernelProcSource::Find(TaskKey key) {
  Ref<Task> task = kernel_.GetTask(key.tid);
  return task && task->start_time_ns == key.start_ns ? task : nullptr;
}

ErrorOr<TaskKey> KernelProcSource::CurrentThread() {
  Task* t = Task::Current();
  return t ? ErrorOr<TaskKey>(KeyOf(*t)) : kENOENT;
}

ErrorOr<TaskKey> KernelProcSource::CurrentProcess() {
  Task* t = Task::Current();
  if (!t) return kENOENT;
  return FindTask(t->tgid());
}

ErrorOr<TaskKey> KernelProcSource::FindTask(int tid) {
  Ref<Task> task = kernel_.GetTask(tid);
  return task ? ErrorOr<TaskKey>(KeyOf(*task)) : kENOENT;
}

bool KernelProcSource::Alive(TaskKey key) { return Find(key) != nullptr; }

std::vector<TaskKey> KernelProcSource::Processes(int from, size_t limit) {
  std::vector<TaskKey> out;
  MutexLock lock(kernel_.tasks_lock);
  kernel_.ForEachGroup([&](ThreadGroup& group) {
    if (group.tgid() >= from && out.size() < limit && group.leader) out.push_back({group.tgid(), group.leader->start_time_ns});
  });
  return out;
}

ErrorOr<std::vector<TaskKey>> KernelProcSource::Threads(TaskKey process) {
  Ref<Task> task = Find(process);
  if (!task) return kESRCH;
  std::vector<TaskKey> out;
  MutexLock lock(kernel_.tasks_lock);
  for (Task& t : task->group().tasks) out.push_back(KeyOf(t));
  // A leader that ended before the others, or a zombie's.
  Task* leader = task->group().leader;
  if (leader && std::find(out.begin(), out.end(), KeyOf(*leader)) == out.end()) out.push_back(KeyOf(*leader));
  std::sort(out.begin(), out.end(), [](TaskKey a, TaskKey b) { return a.tid < b.tid; });
  return out;
}

ErrorOr<int> KernelProcSource::ProcessOf(TaskKey key) {
  Ref<Task> task = Find(key);
  return task ? ErrorOr<int>(task->tgid()) : kESRCH;
}

// --- What they are. ---

ErrorOr<ProcSource::Owner> KernelProcSource::OwnerOf(TaskKey key) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  Ref<const Credentials> creds = t->creds_ref();
  Ref<MemoryManager> mm = t->mm_ref();
  return Owner{creds->euid, creds->egid, !mm || mm->dumpable == 1};
}

ErrorOr<TaskInfo> KernelProcSource::Info(TaskKey key) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  ThreadGroup& group = t->group();
  TaskInfo out;
  out.tid = t->tid();
  out.tgid = t->tgid();
  out.comm = t->comm();
  out.state = StateOf(*t);
  out.creds = t->creds_ref();
  int dumpable = t->dumpable();
  out.dumpable = dumpable < 0 || dumpable == 1;
  if (Ref<FsContext> fs = t->fs_ref()) {
    out.has_umask = true;
    out.umask = fs->umask();
  }
  out.no_new_privs = t->no_new_privs;
  out.user_ns = t->CpuTimeNs();
  Usage usage = group.CurrentUsage();
  out.group_user_ns = usage.user_ns;
  out.group_system_ns = usage.system_ns;
  out.minor_faults = usage.minor_faults;
  out.major_faults = usage.major_faults;
  out.voluntary_switches = t->voluntary_switches.load(std::memory_order_relaxed);
  out.start_ns = t->start_time_ns + BootClockAhead();
  out.nice = t->nice;
  out.policy = t->policy;
  out.rt_priority = t->rt_priority;
  out.processor = static_cast<int>(__builtin_ctzll((t->cpu_mask & kernel_.online_cpus) | (1ull << 63)));
  out.cpu_mask = t->cpu_mask;
  out.personality = t->personality;
  out.timer_slack_ns = t->timer_slack_ns;
  out.oom_score_adj = group.oom_score_adj;
  FillTree(*t, out);
  FillSignals(*t, out);
  for (size_t i = 0; i < out.limits.size(); ++i) out.limits[i] = {group.rlimits[i].rlim_cur, group.rlimits[i].rlim_max};
  return out;
}

// --- Memory. ---

ErrorOr<MemoryInfo> KernelProcSource::Memory(TaskKey key, bool with_resident) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  MemoryInfo out;
  Ref<MemoryManager> mm = t->mm_ref();
  if (!mm) return out;
  out.present = true;
  out.size = mm->total_bytes();
  out.locked = mm->locked_bytes();
  if (with_resident) out.resident = mm->ResidentBytes();
  uint64_t executable = 0;
  mm->ForEachVma([&](const Vma& v) {
    if (v.grows_down) out.stack += v.length();
    else if (v.is_data()) out.data += v.length();
    if ((v.prot & abi::kPROT_EXEC) && v.file) executable += v.length();
  });
  const MemoryManager::Layout& l = mm->layout;
  uint64_t own = l.end_code > l.start_code ? l.end_code - l.start_code : 0;
  out.text = executable - std::min(executable, own);
  out.start_code = l.start_code;
  out.end_code = l.end_code;
  out.start_data = l.start_data;
  out.end_data = l.end_data;
  out.start_brk = l.start_brk;
  out.start_stack = l.start_stack;
  out.arg_start = l.arg_start;
  out.arg_end = l.arg_end;
  out.env_start = l.env_start;
  out.env_end = l.env_end;
  return out;
}

ErrorOr<std::vector<MappingInfo>> KernelProcSource::Mappings(TaskKey key) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  std::vector<MappingInfo> out;
  Ref<MemoryManager> mm = t->mm_ref();
  if (!mm) return out;
  mm->ForEachVma([&](const Vma& v) {
    MappingInfo m;
    m.start = v.start;
    m.end = v.end;
    m.offset = v.file && !v.name ? v.offset : 0;
    m.prot = v.prot;
    m.shared = v.shared;
    m.locked = v.locked;
    m.grows_down = v.grows_down;
    m.dont_fork = v.dont_fork;
    m.dont_dump = v.dont_dump;
    m.no_reserve = v.no_reserve;
    m.wipe_on_fork = v.wipe_on_fork;
    if (v.file && !v.name) m.file = v.file->path();  // [vdso] has a file of our own
    m.name = v.name;
    out.push_back(std::move(m));
  });
  return out;
}

ErrorOr<uint64_t> KernelProcSource::ResidentIn(TaskKey key, uint64_t start, uint64_t end) {
  constexpr uint64_t kChunkPages = 4096;
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  Ref<MemoryManager> mm = t->mm_ref();
  if (!mm) return uint64_t{0};
  uint64_t pages = 0;
  std::vector<uint8_t> bytes;
  for (uint64_t at = start; at < end; at += bytes.size() * kPage) {
    bytes.assign(std::min<uint64_t>((end - at) / kPage, kChunkPages), 0);
    if (bytes.empty() || !mm->Residency(at, bytes).ok()) break;  // unmapped meanwhile
    for (uint8_t b : bytes) pages += b & 1;
  }
  return pages * kPage;
}

ErrorOr<void> KernelProcSource::Residency(TaskKey key, uint64_t start, std::span<uint8_t> out) {
  Ref<Task> t = Find(key);
  Ref<MemoryManager> mm = t ? t->mm_ref() : nullptr;
  if (!mm) return kESRCH;
  return mm->Residency(start, out);
}

ErrorOr<std::vector<uint64_t>> KernelProcSource::Auxv(TaskKey key) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  Ref<MemoryManager> mm = t->mm_ref();
  return mm ? mm->auxv : std::vector<uint64_t>();
}

ErrorOr<size_t> KernelProcSource::ReadMemory(TaskKey key, UserAddr addr, std::span<std::byte> out) {
  Ref<Task> t = Find(key);
  Ref<MemoryManager> mm = t ? t->mm_ref() : nullptr;
  if (!mm) return kESRCH;
  return mm->ForceCopyIn(addr, out);
}

ErrorOr<size_t> KernelProcSource::WriteMemory(TaskKey key, UserAddr addr, std::span<const std::byte> in) {
  Ref<Task> t = Find(key);
  Ref<MemoryManager> mm = t ? t->mm_ref() : nullptr;
  if (!mm) return kESRCH;
  return mm->ForceCopyOut(addr, in);
}

// --- Files. ---

ErrorOr<Ref<FdTable>> KernelProcSource::Fds(TaskKey key) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  Ref<FdTable> fds = t->fds_ref();
  if (!fds) return kENOENT;
  return fds;
}

ErrorOr<Path> KernelProcSource::Root(TaskKey key) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  Ref<FsContext> fs = t->fs_ref();
  return fs ? ErrorOr<Path>(fs->root()) : kENOENT;
}

ErrorOr<Path> KernelProcSource::Cwd(TaskKey key) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  Ref<FsContext> fs = t->fs_ref();
  return fs ? ErrorOr<Path>(fs->cwd()) : kENOENT;
}

ErrorOr<Path> KernelProcSource::Exe(TaskKey key) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  Ref<MemoryManager> mm = t->mm_ref();
  return mm ? ErrorOr<Path>(mm->exe) : kENOENT;
}

ErrorOr<Ref<MountNamespace>> KernelProcSource::Mounts(TaskKey key) {
  Ref<Task> t = Find(key);
  Ref<FsContext> fs = t ? t->fs_ref() : nullptr;
  if (!fs) return kEINVAL;  // as Linux for a zombie
  return fs->mounts();
}

Path KernelProcSource::CurrentRoot() {
  Task* t = Task::Current();
  Ref<FsContext> fs = t ? t->fs_ref() : nullptr;
  return fs ? fs->root() : kernel_.mounts().root();
}

// --- Who may, and what they may change. ---

ErrorOr<void> KernelProcSource::MayInspect(TaskKey key) {
  Ref<Task> target = Find(key);
  if (!target) return kESRCH;
  Task* me = Task::Current();
  return me && MayRead(*me, *target) ? ErrorOr<void>() : kEACCES;
}

bool KernelProcSource::CurrentHasCapability(int capability) {
  Task* t = Task::Current();
  return t && t->creds().Has(capability);
}

ErrorOr<void> KernelProcSource::SetComm(TaskKey key, std::string_view comm) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  Task* me = Task::Current();
  if (!me || &me->group() != &t->group()) return kEINVAL;  // only one's own threads
  t->set_comm(std::string(comm));
  return {};
}

ErrorOr<void> KernelProcSource::SetOomScoreAdj(TaskKey key, int value) {
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  if (value < t->group().oom_score_adj && !CurrentHasCapability(abi::kCAP_SYS_RESOURCE)) return kEACCES;
  t->group().oom_score_adj = value;
  return {};
}

ErrorOr<void> KernelProcSource::SetTimerSlack(TaskKey key, uint64_t ns) {
  constexpr uint64_t kDefault = 50'000;
  Ref<Task> t = Find(key);
  if (!t) return kESRCH;
  if (Task::Current() != t.get() && !CurrentHasCapability(abi::kCAP_SYS_NICE)) return kEPERM;
  t->timer_slack_ns = ns ? ns : kDefault;
  return {};
}

// --- The system. ---

SystemInfo KernelProcSource::System() {
  SystemInfo out;
  out.release = kKernelRelease;
  out.version = kKernelVersion;
  if (ErrorOr<SandboxMemory::State> memory = SandboxMemory::Look(); memory.ok()) {
    out.total_bytes = memory->total;
    out.free_bytes = memory->free;
    out.available_bytes = memory->available;
    out.shared_bytes = memory->files;
  }
  int64_t now = host::NowMonotonicNs();
  out.uptime_ns = now + BootClockAhead();
  constexpr int64_t kSecondNs = 1'000'000'000;
  out.boot_time_s = (host::NowRealtimeNs() - out.uptime_ns) / kSecondNs;
  out.online_cpus = kernel_.online_cpus;
  out.loads = load_average_.Read();
  out.last_pid = kernel_.last_pid();
  out.max_tasks = kernel_.limits.max_tasks;
  out.forks = kernel_.forks.load(std::memory_order_relaxed);
  {
    MutexLock lock(kernel_.tasks_lock);
    out.tasks = kernel_.task_count();
    kernel_.ForEachTask([&](Task& t) {
      if (t.dead()) return;
      out.running += t.state_letter() == 'R';
      out.blocked += t.state_letter() == 'D';
      out.cpu_user_ns += t.CpuTimeNs();
      out.context_switches += t.voluntary_switches.load(std::memory_order_relaxed);
    });
    if (ThreadGroup* init = kernel_.init()) out.cpu_user_ns += init->children_usage.user_ns;
  }
  int64_t cpus = std::max(__builtin_popcountll(out.online_cpus), 1);
  int64_t since_start = now - kernel_.boot_monotonic_ns;
  out.idle_ns = out.uptime_ns * cpus - std::min(since_start * cpus, static_cast<int64_t>(out.cpu_user_ns));
  return out;
}

std::string KernelProcSource::Hostname() { return kernel_.hostname; }
std::string KernelProcSource::Domainname() { return kernel_.domainname; }
void KernelProcSource::SetHostname(std::string_view name) { kernel_.hostname = name; }
void KernelProcSource::SetDomainname(std::string_view name) { kernel_.domainname = name; }

std::string KernelProcSource::IpcTable(std::string_view which) { return kernel_.ipc().FormatProc(which); }

// The loopback interface is all there is without a network of the sandbox's own.
std::string KernelProcSource::NetTable(std::string_view which) {
  if (which == "dev") {
    return "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n";
  }
  if (which == "if_inet6") return "00000000000000000000000000000001 01 80 10 80       lo\n";
  return FormatNetTable(kernel_, which);
}

}  // namespace moat
