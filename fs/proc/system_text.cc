#include "fs/proc/system_text.h"

#include <algorithm>

#include "fs/proc/format.h"
#include "fs/proc/locks_text.h"

namespace moat::proc {

namespace {

constexpr int64_t kTickNs = 10'000'000;  // USER_HZ is 100
constexpr int64_t kSecondNs = 1'000'000'000;

unsigned long long U(uint64_t v) { return v; }

std::string MemInfo(const SystemInfo& s) {
  std::string out;
  auto line = [&out](const char* name, uint64_t bytes) { Appendf(out, "%-16s%8llu kB\n", name, U(bytes / 1024)); };
  uint64_t used = s.total_bytes - std::min(s.total_bytes, s.free_bytes);
  uint64_t cached = s.available_bytes - std::min(s.available_bytes, s.free_bytes);
  line("MemTotal:", s.total_bytes);
  line("MemFree:", s.free_bytes);
  line("MemAvailable:", s.available_bytes);
  line("Buffers:", 0);
  line("Cached:", cached);
  line("SwapCached:", 0);
  line("Active:", used - std::min(used, cached));
  line("Inactive:", cached);
  line("Active(anon):", used - std::min(used, cached));
  line("Inactive(anon):", 0);
  line("Active(file):", 0);
  line("Inactive(file):", cached);
  line("Unevictable:", 0);
  line("Mlocked:", 0);
  line("SwapTotal:", 0);
  line("SwapFree:", 0);
  line("Dirty:", 0);
  line("Writeback:", 0);
  line("AnonPages:", used - std::min(used, cached));
  line("Mapped:", cached);
  line("Shmem:", s.shared_bytes);
  line("KReclaimable:", 0);
  line("Slab:", 0);
  line("SReclaimable:", 0);
  line("SUnreclaim:", 0);
  line("KernelStack:", 0);
  line("PageTables:", 0);
  line("NFS_Unstable:", 0);
  line("Bounce:", 0);
  line("WritebackTmp:", 0);
  line("CommitLimit:", s.total_bytes);
  line("Committed_AS:", used);
  constexpr uint64_t kVmallocTotal = 34359738367ull * 1024;
  line("VmallocTotal:", kVmallocTotal);
  line("VmallocUsed:", 0);
  line("VmallocChunk:", 0);
  line("Percpu:", 0);
  line("AnonHugePages:", 0);
  line("ShmemHugePages:", 0);
  out += "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\n";
  line("Hugepagesize:", 2048 * 1024);
  line("Hugetlb:", 0);
  return out;
}

// CPU time is the guests'; what was not used is idle.
std::string StatText(const SystemInfo& s) {
  uint64_t user = s.cpu_user_ns / kTickNs, system = s.cpu_system_ns / kTickNs;
  uint64_t idle = static_cast<uint64_t>(std::max<int64_t>(s.idle_ns, 0)) / kTickNs;
  std::string out;
  Appendf(out, "cpu  %llu 0 %llu %llu 0 0 0 0 0 0\n", U(user), U(system), U(idle));
  uint64_t count = static_cast<uint64_t>(std::max(__builtin_popcountll(s.online_cpus), 1));
  for (int cpu = 0; cpu < 64; ++cpu) {
    if (!((s.online_cpus >> cpu) & 1)) continue;
    Appendf(out, "cpu%d %llu 0 %llu %llu 0 0 0 0 0 0\n", cpu, U(user / count), U(system / count), U(idle / count));
  }
  Appendf(out, "intr 0\nctxt %llu\nbtime %lld\nprocesses %llu\nprocs_running %d\nprocs_blocked %d\n", U(s.context_switches),
          static_cast<long long>(s.boot_time_s), U(s.forks), s.running, s.blocked);
  out += "softirq 0 0 0 0 0 0 0 0 0 0 0\n";
  return out;
}

std::string Uptime(const SystemInfo& s) {
  auto part = [](int64_t ns) {
    return Format("%lld.%02lld", static_cast<long long>(ns / kSecondNs), static_cast<long long>(ns % kSecondNs / kTickNs));
  };
  return part(s.uptime_ns) + " " + part(std::max<int64_t>(s.idle_ns, 0)) + "\n";
}

std::string LoadAverage(const SystemInfo& s) {
  std::string out;
  for (uint64_t load : s.loads) Appendf(out, "%llu.%02llu ", U(load / 100), U(load % 100));
  Appendf(out, "%d/%d %d\n", s.running, s.tasks, s.last_pid);
  return out;
}

std::string VmStat(const SystemInfo& s) {
  constexpr uint64_t kPage = 4096;
  uint64_t used = s.total_bytes - std::min(s.total_bytes, s.free_bytes);
  std::string out;
  Appendf(out, "nr_free_pages %llu\nnr_anon_pages %llu\nnr_mapped 0\nnr_file_pages 0\nnr_dirty 0\nnr_writeback 0\n",
          U(s.free_bytes / kPage), U(used / kPage));
  out += "nr_shmem 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgalloc_normal 0\npgfree 0\npgfault 0\npgmajfault 0\noom_kill 0\n";
  return out;
}

constexpr char kFilesystems[] =
    "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevtmpfs\nnodev\tpipefs\nnodev\tsockfs\nnodev\tdevpts\n"
    "nodev\tmqueue\nnodev\toverlay\n";

constexpr char kDevices[] =
    "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n";

}  // namespace

void AddSystemFiles(StaticDir& root, ProcSource& source) {
  ProcSource* s = &source;
  auto add = [&](const char* name, auto text) {
    root.AddText(name, 0444, [s, text]() -> ErrorOr<std::string> { return text(s->System()); });
  };
  add("cpuinfo", [](const SystemInfo& i) { return CpuInfo(i.online_cpus); });
  add("meminfo", MemInfo);
  add("stat", StatText);
  add("uptime", Uptime);
  add("loadavg", LoadAverage);
  add("vmstat", VmStat);
  add("version", [](const SystemInfo& i) { return "Linux version " + i.release + " (moat@moat) " + i.version + "\n"; });
  add("interrupts", [](const SystemInfo& i) {
    std::string out = "           ";
    for (int cpu = 0; cpu < 64; ++cpu) {
      if ((i.online_cpus >> cpu) & 1) Appendf(out, "CPU%-8d", cpu);
    }
    return out + "\n";
  });
  root.AddText("filesystems", std::string(kFilesystems));
  root.AddText("devices", std::string(kDevices));
  root.AddText("cmdline", std::string("quiet\n"));
  root.AddText("misc", std::string());
  root.AddText("modules", std::string());
  root.AddText("locks", 0444, []() -> ErrorOr<std::string> { return LocksTable(); });
  root.AddText("diskstats", std::string());
  root.AddText("partitions", std::string("major minor  #blocks  name\n\n"));
  root.AddText("swaps", std::string("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"));
  root.AddText("kmsg", 0400, []() -> ErrorOr<std::string> { return kEPERM; });

  Ref<StaticDir> ipc = root.AddDir("sysvipc");
  struct IpcFile {
    const char *name, *header;
  };
  constexpr IpcFile kIpc[] = {
      {"msg", "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n"},
      {"sem", "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n"},
      {"shm", "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      "
              "ctime                   rss                  swap\n"},
  };
  for (const IpcFile& f : kIpc) {
    ipc->AddText(f.name, 0444, [s, f]() -> ErrorOr<std::string> { return f.header + s->IpcTable(f.name); });
  }
}

void AddNetFiles(StaticDir& net, ProcSource& source) {
  ProcSource* s = &source;
  struct NetFile {
    const char *name, *header;
  };
  constexpr char kSocketHeader[] =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
  static const std::string tcp = std::string(kSocketHeader) + std::string(149 - sizeof kSocketHeader + 1, ' ') + "\n";
  static const std::string udp =
      "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops "
      "            \n";
  static const std::string tcp6 =
      "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when "
      "retrnsmt   uid  timeout inode\n";
  static const std::string udp6 =
      "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when "
      "retrnsmt   uid  timeout inode ref pointer drops\n";
  auto add = [&](const char* name, const std::string& header) {
    net.AddText(name, 0444, [s, name, header]() -> ErrorOr<std::string> { return header + s->NetTable(name); });
  };
  add("dev",
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier "
      "compressed\n");
  add("unix", "Num       RefCount Protocol Flags    Type St Inode Path\n");
  add("tcp", tcp);
  add("tcp6", tcp6);
  add("udp", udp);
  add("udp6", udp6);
  add("raw", udp);
  add("raw6", udp6);
  add("route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT" + std::string(55, ' ') + "\n");
  add("arp", "IP address       HW type     Flags       HW address            Mask     Device\n");
  add("netlink", "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n");
  add("packet", "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n");
  add("if_inet6", "");
  add("ipv6_route", "");
  add("sockstat", "");
}

}  // namespace moat::proc
