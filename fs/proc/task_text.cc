#include "fs/proc/task_text.h"

#include <algorithm>
#include <cstring>

#include "abi/auxv.h"
#include "abi/rlimit.h"
#include "base/util/cpu_list.h"
#include "fs/proc/format.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/mount_namespace.h"
#include "fs/vfs/path_walk.h"

namespace moat::proc {

namespace {

constexpr uint64_t kPage = 4096;
constexpr int64_t kTickNs = 10'000'000;  // USER_HZ is 100
constexpr size_t kMaxArguments = 8 << 20;  // of cmdline and environ; execve's own limit is 6 MiB

unsigned long long Ticks(uint64_t ns) { return ns / kTickNs; }

const char* StateName(char state) {
  switch (state) {
    case 'R': return "R (running)";
    case 'S': return "S (sleeping)";
    case 'D': return "D (disk sleep)";
    case 'T': return "T (stopped)";
    case 't': return "t (tracing stop)";
    case 'Z': return "Z (zombie)";
    default: return "X (dead)";
  }
}

// Newlines and backslashes would break lines (status' Name).
std::string Escaped(const std::string& comm) {
  std::string out;
  for (char c : comm) {
    if (c == '\n') out += "\\n";
    else if (c == '\\') out += "\\\\";
    else out += c;
  }
  return out;
}

int Priority(const TaskInfo& t) {
  constexpr int kFifo = 1, kRoundRobin = 2;
  return t.policy == kFifo || t.policy == kRoundRobin ? -1 - t.rt_priority : 20 + t.nice;
}

// [start, end) of the task's memory, cut at the first byte that cannot be read.
ErrorOr<std::string> ReadRange(ProcSource& source, TaskKey key, uint64_t start, uint64_t end) {
  if (start == 0 || end <= start) return std::string();
  std::string out(std::min<uint64_t>(end - start, kMaxArguments), '\0');
  ErrorOr<size_t> n = source.ReadMemory(key, start, std::as_writable_bytes(std::span(out)));
  if (!n.ok() && n.error() == kESRCH) return kESRCH;
  out.resize(n.ok() ? *n : 0);
  return out;
}

void AppendKb(std::string& out, const char* name, uint64_t bytes) {
  Appendf(out, "%s%8llu kB\n", name, static_cast<unsigned long long>(bytes / 1024));
}

void AppendCpus(std::string& out, uint64_t mask, uint64_t online) {
  mask &= online;
  if (mask >> 32) Appendf(out, "Cpus_allowed:\t%08x,%08x\n", static_cast<uint32_t>(mask >> 32), static_cast<uint32_t>(mask));
  else Appendf(out, "Cpus_allowed:\t%x\n", static_cast<uint32_t>(mask));
  out += "Cpus_allowed_list:\t" + CpuList(mask) + "\n";
}

void AppendMemory(std::string& out, const MemoryInfo& m) {
  if (!m.present) return;
  AppendKb(out, "VmPeak:\t", m.size);  // growth is not recorded: the size now
  AppendKb(out, "VmSize:\t", m.size);
  AppendKb(out, "VmLck:\t", m.locked);
  AppendKb(out, "VmPin:\t", 0);
  AppendKb(out, "VmHWM:\t", m.resident);
  AppendKb(out, "VmRSS:\t", m.resident);
  AppendKb(out, "RssAnon:\t", m.resident - std::min(m.resident, m.shared_resident));
  AppendKb(out, "RssFile:\t", std::min(m.resident, m.shared_resident));
  AppendKb(out, "RssShmem:\t", 0);
  AppendKb(out, "VmData:\t", m.data);
  AppendKb(out, "VmStk:\t", m.stack);
  AppendKb(out, "VmExe:\t", m.end_code > m.start_code ? (m.end_code - m.start_code + 1023) & ~1023ull : 0);
  AppendKb(out, "VmLib:\t", m.text);
  AppendKb(out, "VmPTE:\t", (m.resident / 512 + kPage - 1) & ~(kPage - 1));
  AppendKb(out, "VmSwap:\t", 0);
  AppendKb(out, "HugetlbPages:\t", 0);
  out += "CoreDumping:\t0\nTHP_enabled:\t0\nuntag_mask:\t0xffffffffffffffff\n";
}

std::string MapsLine(ProcSource& source, const MappingInfo& m, const Path& root) {
  uint32_t major = 0, minor = 0;
  uint64_t ino = 0;
  if (m.file.dentry && m.file.dentry->inode()) {
    ErrorOr<Attr> attr = m.file.dentry->inode()->GetAttr();
    if (attr.ok()) {
      major = static_cast<uint32_t>((attr->dev >> 8) & 0xfff);
      minor = static_cast<uint32_t>((attr->dev & 0xff) | ((attr->dev >> 12) & 0xfff00));
      ino = attr->ino;
    }
  }
  std::string line = Format("%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ", static_cast<unsigned long long>(m.start),
                            static_cast<unsigned long long>(m.end), m.prot & 1 ? 'r' : '-', m.prot & 2 ? 'w' : '-',
                            m.prot & 4 ? 'x' : '-', m.shared ? 's' : 'p', static_cast<unsigned long long>(m.offset), major,
                            minor, static_cast<unsigned long long>(ino));
  std::string name;
  if (m.file.dentry) {
    for (char c : DPath(root, m.file).Display()) {
      if (c == '\n') name += "\\012";
      else name += c;
    }
  } else if (m.name) {
    name = m.name;
  }
  constexpr size_t kNameColumn = 73;
  if (!name.empty()) line.resize(std::max(line.size(), kNameColumn), ' ');
  return line + name + "\n";
}

// What Linux shows above every address space (vsyscall=xonly).
constexpr char kVsyscallLine[] =
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

struct Smap {
  uint64_t size = 0, resident = 0, anonymous = 0, locked = 0;
};

void AppendSmap(std::string& out, const Smap& s, bool shared, bool with_size) {
  uint64_t priv = shared ? 0 : s.resident, shared_bytes = shared ? s.resident : 0;
  auto line = [&out](const char* name, uint64_t bytes) {
    Appendf(out, "%-16s%8llu kB\n", name, static_cast<unsigned long long>(bytes / 1024));
  };
  if (with_size) {
    line("Size:", s.size);
    line("KernelPageSize:", kPage);
    line("MMUPageSize:", kPage);
  }
  line("Rss:", s.resident);
  line("Pss:", s.resident);
  line("Pss_Dirty:", s.anonymous);
  line("Shared_Clean:", 0);
  line("Shared_Dirty:", shared_bytes);
  line("Private_Clean:", priv - std::min(priv, s.anonymous));
  line("Private_Dirty:", std::min(priv, s.anonymous));
  line("Referenced:", s.resident);
  line("Anonymous:", s.anonymous);
  line("KSM:", 0);
  line("LazyFree:", 0);
  line("AnonHugePages:", 0);
  line("ShmemPmdMapped:", 0);
  line("FilePmdMapped:", 0);
  line("Shared_Hugetlb:", 0);
  line("Private_Hugetlb:", 0);
  line("Swap:", 0);
  line("SwapPss:", 0);
  line("Locked:", s.locked);
}

std::string VmFlags(const MappingInfo& m) {
  std::string f = "VmFlags:";
  if (m.prot & 1) f += " rd";
  if (m.prot & 2) f += " wr";
  if (m.prot & 4) f += " ex";
  if (m.shared) f += " sh";
  f += " mr mw me";
  if (m.grows_down) f += " gd";
  if (m.locked) f += " lo";
  if (m.dont_fork) f += " dc";
  if (m.no_reserve) f += " nr";
  if (!m.no_reserve && (m.prot & 2) && !m.shared) f += " ac";
  if (m.wipe_on_fork) f += " wf";
  if (m.dont_dump) f += " dd";
  return f + " \n";
}

ErrorOr<Smap> Measure(ProcSource& source, TaskKey key, const MappingInfo& m) {
  Smap s;
  s.size = m.end - m.start;
  s.resident = TRY(source.ResidentIn(key, m.start, m.end));
  s.anonymous = m.file.dentry ? 0 : s.resident;
  s.locked = m.locked ? s.resident : 0;
  return s;
}

}  // namespace

ErrorOr<std::string> Stat(ProcSource& source, TaskKey key, bool group) {
  TaskInfo t = TRY(source.Info(key));
  MemoryInfo m = TRY(source.Memory(key, true));
  // Addresses are for those who may look into the task.
  bool open = source.MayInspect(key).ok();
  auto address = [&](uint64_t a) { return static_cast<unsigned long long>(open ? a : 0); };
  uint64_t user = group ? t.group_user_ns : t.user_ns, system = group ? t.group_system_ns : t.system_ns;
  constexpr uint64_t kSmallSignals = 0x7fffffff;  // only the first 31, as ever
  std::string out;
  Appendf(out, "%d (%s) %c %d %d %d %d %d %u ", t.tid, t.comm.c_str(), t.state, t.ppid, t.pgid, t.sid,
          static_cast<int>(t.tty), t.foreground_pgid, t.flags);
  Appendf(out, "%llu %llu %llu %llu %llu %llu %llu %llu ", static_cast<unsigned long long>(t.minor_faults),
          static_cast<unsigned long long>(t.children_minor_faults), static_cast<unsigned long long>(t.major_faults),
          static_cast<unsigned long long>(t.children_major_faults), Ticks(user), Ticks(system), Ticks(t.children_user_ns),
          Ticks(t.children_system_ns));
  Appendf(out, "%d %d %d 0 %llu %llu %llu %llu ", Priority(t), t.nice, t.threads,
          Ticks(static_cast<uint64_t>(std::max<int64_t>(t.start_ns, 0))), static_cast<unsigned long long>(m.size),
          static_cast<unsigned long long>(m.resident / kPage),
          static_cast<unsigned long long>(t.limits[abi::kRLIMIT_RSS].soft));
  Appendf(out, "%llu %llu %llu %llu %llu ", m.present && open ? address(m.start_code) : 1ull,
          m.present && open ? address(m.end_code) : 1ull, address(m.start_stack), 0ull, 0ull);
  Appendf(out, "%llu %llu %llu %llu 0 0 0 %d %d %d %d 0 0 0 ", static_cast<unsigned long long>(t.pending & kSmallSignals),
          static_cast<unsigned long long>(t.blocked & kSmallSignals), static_cast<unsigned long long>(t.ignored & kSmallSignals),
          static_cast<unsigned long long>(t.caught & kSmallSignals), t.exit_signal, t.processor, t.rt_priority, t.policy);
  Appendf(out, "%llu %llu %llu %llu %llu %llu %llu %d\n", address(m.start_data), address(m.end_data), address(m.start_brk),
          address(m.arg_start), address(m.arg_end), address(m.env_start), address(m.env_end), open ? t.exit_code : 0);
  return out;
}

ErrorOr<std::string> Status(ProcSource& source, TaskKey key, bool) {
  TaskInfo t = TRY(source.Info(key));
  MemoryInfo m = TRY(source.Memory(key, true));
  const Credentials& c = *t.creds;
  size_t fd_size = 0;
  ErrorOr<Ref<FdTable>> fds = source.Fds(key);
  if (fds.ok()) fd_size = (*fds)->capacity();
  std::string out = "Name:\t" + Escaped(t.comm) + "\n";
  if (t.has_umask) Appendf(out, "Umask:\t%#04o\n", t.umask);
  Appendf(out, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t%d\n", StateName(t.state), t.tgid, t.tid,
          t.ppid, t.tracer);
  Appendf(out, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t%zu\nGroups:\t", c.uid, c.euid, c.suid, c.fsuid, c.gid,
          c.egid, c.sgid, c.fsgid, fd_size);
  for (uint32_t g : c.groups) Appendf(out, "%u ", g);
  Appendf(out, "\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\nKthread:\t0\n", t.tgid, t.tid, t.pgid, t.sid);
  AppendMemory(out, m);
  auto hex = [&out](const char* name, uint64_t v) {
    Appendf(out, "%s:\t%016llx\n", name, static_cast<unsigned long long>(v));
  };
  Appendf(out, "Threads:\t%d\nSigQ:\t%llu/%llu\n", t.threads, static_cast<unsigned long long>(t.queued_signals),
          static_cast<unsigned long long>(t.limits[abi::kRLIMIT_SIGPENDING].soft));
  hex("SigPnd", t.pending);
  hex("ShdPnd", t.shared_pending);
  hex("SigBlk", t.blocked);
  hex("SigIgn", t.ignored);
  hex("SigCgt", t.caught);
  hex("CapInh", c.inheritable);
  hex("CapPrm", c.permitted);
  hex("CapEff", c.effective);
  hex("CapBnd", c.bounding);
  hex("CapAmb", c.ambient);
  Appendf(out, "NoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n", t.no_new_privs);
  out += "Speculation_Store_Bypass:\tthread vulnerable\nSpeculationIndirectBranch:\tconditional enabled\n";
  AppendCpus(out, t.cpu_mask, source.System().online_cpus);
  Appendf(out, "Mems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
          static_cast<unsigned long long>(t.voluntary_switches), static_cast<unsigned long long>(t.involuntary_switches));
  return out;
}

ErrorOr<std::string> Statm(ProcSource& source, TaskKey key, bool) {
  MemoryInfo m = TRY(source.Memory(key, true));
  uint64_t text = m.end_code > m.start_code ? (m.end_code - m.start_code + kPage - 1) / kPage : 0;
  return Format("%llu %llu %llu %llu 0 %llu 0\n", static_cast<unsigned long long>(m.size / kPage),
                static_cast<unsigned long long>(m.resident / kPage),
                static_cast<unsigned long long>(m.shared_resident / kPage), static_cast<unsigned long long>(text),
                static_cast<unsigned long long>((m.data + m.stack) / kPage));
}

ErrorOr<std::string> Maps(ProcSource& source, TaskKey key, bool) {
  Path root = source.CurrentRoot();
  std::string out;
  std::vector<MappingInfo> mappings = TRY(source.Mappings(key));
  for (const MappingInfo& m : mappings) out += MapsLine(source, m, root);
  if (!mappings.empty()) out += kVsyscallLine;
  return out;
}

ErrorOr<std::string> Smaps(ProcSource& source, TaskKey key, bool) {
  Path root = source.CurrentRoot();
  std::string out;
  for (const MappingInfo& m : TRY(source.Mappings(key))) {
    out += MapsLine(source, m, root);
    AppendSmap(out, TRY(Measure(source, key, m)), m.shared, true);
    out += "THPeligible:           0\n";
    out += VmFlags(m);
  }
  return out;
}

ErrorOr<std::string> SmapsRollup(ProcSource& source, TaskKey key, bool) {
  Smap total;
  std::vector<MappingInfo> mappings = TRY(source.Mappings(key));
  if (mappings.empty()) return kESRCH;
  for (const MappingInfo& m : mappings) {
    Smap s = TRY(Measure(source, key, m));
    total.resident += s.resident;
    total.anonymous += s.anonymous;
    total.locked += s.locked;
  }
  std::string out = Format("%08llx-%08llx ---p 00000000 00:00 0 ", static_cast<unsigned long long>(mappings.front().start),
                           static_cast<unsigned long long>(mappings.back().end));
  out.resize(std::max<size_t>(out.size(), 73), ' ');
  out += "[rollup]\n";
  AppendSmap(out, total, false, false);
  return out;
}

// The arguments; a program that wrote over their end (setproctitle) is read on into the environment up to a NUL.
ErrorOr<std::string> Cmdline(ProcSource& source, TaskKey key, bool) {
  MemoryInfo m = TRY(source.Memory(key, false));
  std::string out = TRY(ReadRange(source, key, m.arg_start, m.arg_end));
  if (out.empty() || out.back() == '\0') return out;
  size_t nul = out.find('\0');
  if (nul != std::string::npos) return out.substr(0, nul + 1);
  std::string more = TRY(ReadRange(source, key, m.env_start, m.env_end));
  return out + more.substr(0, std::min(more.find('\0'), more.size()));
}

ErrorOr<std::string> Environ(ProcSource& source, TaskKey key, bool) {
  MemoryInfo m = TRY(source.Memory(key, false));
  return ReadRange(source, key, m.env_start, m.env_end);
}

ErrorOr<std::string> Auxv(ProcSource& source, TaskKey key, bool) {
  std::vector<uint64_t> words = TRY(source.Auxv(key));
  if (!words.empty() && (words.size() < 2 || words[words.size() - 2] != abi::kAT_NULL)) words.insert(words.end(), 2, 0);
  std::string out(words.size() * sizeof(uint64_t), '\0');
  if (!words.empty()) memcpy(out.data(), words.data(), out.size());
  return out;
}

ErrorOr<std::string> Comm(ProcSource& source, TaskKey key, bool) { return TRY(source.Info(key)).comm + "\n"; }

ErrorOr<std::string> Limits(ProcSource& source, TaskKey key, bool) {
  struct Row {
    const char *name, *unit;
  };
  constexpr Row kRows[] = {
      {"Max cpu time", "seconds"},      {"Max file size", "bytes"},        {"Max data size", "bytes"},
      {"Max stack size", "bytes"},      {"Max core file size", "bytes"},   {"Max resident set", "bytes"},
      {"Max processes", "processes"},   {"Max open files", "files"},       {"Max locked memory", "bytes"},
      {"Max address space", "bytes"},   {"Max file locks", "locks"},       {"Max pending signals", "signals"},
      {"Max msgqueue size", "bytes"},   {"Max nice priority", nullptr},    {"Max realtime priority", nullptr},
      {"Max realtime timeout", "us"},
  };
  TaskInfo t = TRY(source.Info(key));
  auto text = [](uint64_t v) { return v == abi::kRLIM64_INFINITY ? std::string("unlimited") : std::to_string(v); };
  std::string out = Format("%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
  for (size_t i = 0; i < std::size(kRows); ++i) {
    Appendf(out, "%-25s %-20s %-20s ", kRows[i].name, text(t.limits[i].soft).c_str(), text(t.limits[i].hard).c_str());
    if (kRows[i].unit) Appendf(out, "%-10s\n", kRows[i].unit);
    else out += '\n';
  }
  return out;
}

ErrorOr<std::string> MountsText(ProcSource& source, TaskKey key, bool) {
  Ref<MountNamespace> mounts = TRY(source.Mounts(key));
  return mounts->FormatMounts(TRY(source.Root(key)));
}

ErrorOr<std::string> MountInfo(ProcSource& source, TaskKey key, bool) {
  Ref<MountNamespace> mounts = TRY(source.Mounts(key));
  return mounts->FormatMountInfo(TRY(source.Root(key)));
}

// proc_pid_oom_score(5): the share of memory in thousandths, shifted so that an idle process has 666.
ErrorOr<std::string> OomScore(ProcSource& source, TaskKey key, bool) {
  TaskInfo t = TRY(source.Info(key));
  MemoryInfo m = TRY(source.Memory(key, true));
  if (t.oom_score_adj == -1000) return std::string("0\n");
  uint64_t total = std::max<uint64_t>(source.System().total_bytes, 1);
  int64_t points = static_cast<int64_t>(m.resident * 1000 / total) + t.oom_score_adj;
  return Format("%lld\n", static_cast<long long>((1000 + points) * 2 / 3));
}

ErrorOr<std::string> OomScoreAdj(ProcSource& source, TaskKey key, bool) {
  return Format("%d\n", TRY(source.Info(key)).oom_score_adj);
}

ErrorOr<std::string> OomAdj(ProcSource& source, TaskKey key, bool) {
  int adj = TRY(source.Info(key)).oom_score_adj;
  return Format("%d\n", adj == 1000 ? 15 : adj * 17 / 1000);
}

ErrorOr<std::string> Personality(ProcSource& source, TaskKey key, bool) {
  return Format("%08x\n", TRY(source.Info(key)).personality);
}

ErrorOr<std::string> TimerSlack(ProcSource& source, TaskKey key, bool) {
  return Format("%llu\n", static_cast<unsigned long long>(TRY(source.Info(key)).timer_slack_ns));
}

ErrorOr<std::string> Schedstat(ProcSource& source, TaskKey key, bool) {
  TaskInfo t = TRY(source.Info(key));
  return Format("%llu 0 %llu\n", static_cast<unsigned long long>(t.user_ns + t.system_ns),
                static_cast<unsigned long long>(t.voluntary_switches));
}

}  // namespace moat::proc
