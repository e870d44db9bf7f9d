// /proc/sys: proc_sys(5) and its kin. Limits that the kernel enforces elsewhere are read-only here, but for those in Tunables.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "abi/capability.h"
#include "base/host/process.h"
#include "base/kern/tunables.h"
#include "base/sync/mutex.h"
#include "base/util/no_destructor.h"
#include "base/kern/held.h"
#include "fs/proc/format.h"
#include "fs/proc/system_text.h"
#include "fs/vfs/permissions.h"

namespace moat::proc {

namespace {

// A value. No capability opens what its mode does not allow (sysctl_perm).
class SysctlNode final : public TextNode {
 public:
  using Reader = TextFile::Reader;
  using Writer = TextFile::Writer;
  SysctlNode(FileSystem& fs, uint64_t ino, Reader reader, Writer writer)
      : TextNode(fs, writer ? 0644 : 0444, ino), reader_(std::move(reader)), writer_(std::move(writer)) {}
  ErrorOr<std::string> Generate() override { return reader_(); }
  ErrorOr<void> Store(std::string_view text, int64_t) override {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) text.remove_suffix(1);
    return writer_ ? writer_(text) : kEACCES;
  }
  ErrorOr<void> CheckAccess(const Credentials& creds, int may) override {
    if (may & kMayExec) return kEACCES;
    if (!(may & kMayWrite)) return {};
    return writer_ && creds.fsuid == 0 ? ErrorOr<void>() : kEACCES;
  }

 private:
  const Reader reader_;
  const Writer writer_;
};

void Add(StaticDir& dir, const char* name, SysctlNode::Reader reader, SysctlNode::Writer writer = nullptr) {
  uint64_t ino = ChildIno(dir.ino(), name);
  dir.Add(name, MakeRef<SysctlNode>(dir.fs(), ino, std::move(reader), std::move(writer)), ino);
}

constexpr size_t kMaxDigits = 24;

struct Value {
  const char *name, *text;
};

template <size_t N>
void AddAll(StaticDir& dir, const Value (&values)[N]) {
  for (const Value& v : values) Add(dir, v.name, [text = v.text]() -> ErrorOr<std::string> { return text + std::string("\n"); });
}

struct Number {
  const char* name;
  int64_t value, least, most;
};

// The number that `text` begins with, as proc_dointvec has it: decimal, 0x or 0; moves `text` behind it and the blanks that follow.
ErrorOr<int64_t> TakeNumber(std::string_view& text) {
  auto skip = [&] { text.remove_prefix(std::min(text.find_first_not_of(" \t\n"), text.size())); };
  skip();
  std::string copy(text.substr(0, text.find_first_of(" \t\n")));
  if (copy.empty() || copy.size() > kMaxDigits) return kEINVAL;
  char* end = nullptr;
  long long value = strtoll(copy.c_str(), &end, 0);
  if (*end != '\0') return kEINVAL;
  text.remove_prefix(copy.size());
  skip();
  return value;
}

// A number that root may change; `cell` lives as long as the tree.
template <class Cell>
void AddNumber(StaticDir& dir, const Number& n, Cell cell) {
  Add(dir, n.name, [cell]() -> ErrorOr<std::string> { return std::to_string(cell->load(std::memory_order_relaxed)) + "\n"; },
      [cell, least = n.least, most = n.most](std::string_view text) -> ErrorOr<void> {
        int64_t value = TRY(TakeNumber(text));
        if (value < least || value > most) return kEINVAL;
        cell->store(value, std::memory_order_relaxed);
        return {};
      });
}

template <size_t N>
void AddNumbers(StaticDir& dir, const Number (&numbers)[N]) {
  for (const Number& n : numbers) AddNumber(dir, n, std::make_shared<std::atomic<int64_t>>(n.value));
}

std::string Uuid() {
  std::array<uint8_t, 16> b;
  if (!host::Getrandom(b.data(), b.size()).ok()) b.fill(0);
  b[6] = static_cast<uint8_t>((b[6] & 0x0f) | 0x40);  // version 4, random
  b[8] = static_cast<uint8_t>((b[8] & 0x3f) | 0x80);
  return Format("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5], b[6],
                b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

constexpr Value kKernel[] = {
    {"ostype", "Linux"},
    {"ngroups_max", "65536"},
    {"cap_last_cap", "40"},
    {"randomize_va_space", "2"},
    {"tainted", "0"},
    {"shmmax", "18446744073692774399"},
    {"shmall", "18446744073692774399"},
    {"shmmni", "4096"},
    {"msgmax", "8192"},
    {"msgmnb", "16384"},
    {"msgmni", "32000"},
    {"sem", "32000\t1024000000\t500\t32000"},
    {"sched_rr_timeslice_ms", "100"},
    {"overflowuid", "65534"},
    {"overflowgid", "65534"},
    {"unprivileged_userns_clone", "0"},
    {"modules_disabled", "1"},
    {"unprivileged_bpf_disabled", "2"},
    {"io_uring_disabled", "2"},
};

constexpr Value kFs[] = {
    {"nr_open", "1048576"},
    {"inode-nr", "0\t0"},
    {"inode-state", "0\t0\t0\t0\t0\t0\t0"},
    {"dentry-state", "0\t0\t45\t0\t0\t0"},
    {"pipe-user-pages-soft", "16384"},
    {"pipe-user-pages-hard", "0"},
    {"lease-break-time", "45"},
    {"leases-enable", "1"},
    {"protected_hardlinks", "0"},
    {"protected_symlinks", "0"},
    {"protected_fifos", "0"},
    {"protected_regular", "0"},
    {"suid_dumpable", "0"},
    {"aio-nr", "0"},
    {"aio-max-nr", "65536"},
    {"overflowuid", "65534"},
    {"overflowgid", "65534"},
    {"mount-max", "10000"},
    {"dir-notify-enable", "0"},
};

constexpr Value kVm[] = {    {"mmap_min_addr", "65536"},  {"nr_hugepages", "0"},        {"nr_overcommit_hugepages", "0"},    {"legacy_va_layout", "0"},    {"memfd_noexec", "0"},
    {"mmap_rnd_bits", "28"},       {"mmap_rnd_compat_bits", "8"}, {"hugetlb_shm_group", "0"},
    {"unprivileged_userfaultfd", "0"},
};

constexpr Value kInotify[] = {{"max_queued_events", "16384"}, {"max_user_instances", "128"},};
constexpr Value kMqueue[] = {
    {"msg_default", "10"}, {"msg_max", "10"}, {"msgsize_default", "8192"}, {"msgsize_max", "8192"}, {"queues_max", "256"}};
constexpr Value kNetCore[] = {{"rmem_default", "212992"}, {"wmem_default", "212992"}, {"optmem_max", "131072"}, {"bpf_jit_enable", "0"},
};
constexpr Value kNetIpv4[] = { {"ip_local_reserved_ports", ""},
    {"ip_nonlocal_bind", "0"}, {"ping_group_range", "1\t0"},          {"tcp_congestion_control", "cubic"}, {"tcp_available_congestion_control", "reno cubic"},
    {"tcp_allowed_congestion_control", "reno cubic"},
};
constexpr Value kNetIpv6[] = {{"bindv6only", "0"}};
constexpr Value kNetUnix[] = {{"max_dgram_qlen", "512"}};

// Numbers that may be written but govern nothing here: what they are about (disks' caches, the kernel's log, TCP over wires) is the
// host's, or is not there at all.
constexpr Number kKernelNumbers[] = {
    {"core_uses_pid", 0, 0, INT32_MAX},
    {"core_pipe_limit", 0, 0, INT32_MAX},
    {"dmesg_restrict", 1, 0, 1},
    {"kptr_restrict", 1, 0, 2},
    {"perf_event_paranoid", 4, -1, INT32_MAX},
    {"panic", 0, INT32_MIN, INT32_MAX},
    {"printk_ratelimit", 5, 0, INT32_MAX},
    {"sched_autogroup_enabled", 0, 0, 1},
    {"sched_rt_period_us", 1000000, 1, INT32_MAX},
    {"sched_rt_runtime_us", 950000, -1, INT32_MAX},
    {"sysrq", 0, 0, 511},
    {"numa_balancing", 0, 0, 3},
};
constexpr Number kVmNumbers[] = {
    {"overcommit_memory", 0, 0, 2},
    {"overcommit_ratio", 50, 0, INT32_MAX},
    {"overcommit_kbytes", 0, 0, INT32_MAX},
    {"swappiness", 60, 0, 200},
    {"dirty_ratio", 20, 0, 100},
    {"dirty_background_ratio", 10, 0, 100},
    {"vfs_cache_pressure", 100, 0, INT32_MAX},
    {"min_free_kbytes", 67584, 0, INT32_MAX},
    {"page-cluster", 3, 0, 31},
    {"panic_on_oom", 0, 0, 2},
    {"oom_kill_allocating_task", 0, 0, INT32_MAX},
    {"zone_reclaim_mode", 0, 0, INT32_MAX},
    {"max_map_count", 65530, 0, INT32_MAX},  // the host's own bounds its stubs
};
constexpr Number kCoreNumbers[] = {
    {"netdev_max_backlog", 1000, 0, INT32_MAX},
};
constexpr Number kIpv4Numbers[] = {
    {"tcp_sack", 1, 0, 255},
    {"tcp_timestamps", 1, 0, 2},
    {"tcp_window_scaling", 1, 0, 255},
    {"tcp_fin_timeout", 60, 0, INT32_MAX},
    {"tcp_keepalive_time", 7200, 1, 32767},
    {"tcp_keepalive_intvl", 75, 1, 32767},
    {"tcp_keepalive_probes", 9, 1, 127},
    {"tcp_syn_retries", 6, 1, 127},
    {"tcp_synack_retries", 5, 0, 255},
    {"tcp_max_syn_backlog", 512, 0, INT32_MAX},
    {"tcp_fastopen", 1, 0, INT32_MAX},
    {"tcp_tw_reuse", 2, 0, 2},
    {"ip_forward", 0, 0, INT32_MAX},
};

// Several numbers in one file; what is not given stays (proc_dointvec).
struct Numbers {
  const char* name;
  std::array<int64_t, 4> values;
  size_t count;
};
constexpr Numbers kPrintk = {"printk", {4, 4, 1, 7}, 4};
constexpr Numbers kIpv4Vectors[] = {
    {"tcp_rmem", {4096, 131072, 6291456}, 3},
    {"tcp_wmem", {4096, 16384, 4194304}, 3},
    {"tcp_mem", {188319, 251094, 376638}, 3},
    {"udp_mem", {376638, 502187, 753276}, 3},
};

void AddVector(StaticDir& dir, const Numbers& numbers) {
  struct State {
    Mutex mu;
    std::array<int64_t, 4> values MOAT_GUARDED_BY(mu);
  };
  auto state = std::make_shared<State>();
  {
    MutexLock lock(state->mu);
    state->values = numbers.values;
  }
  Add(dir, numbers.name,
      [state, count = numbers.count]() -> ErrorOr<std::string> {
        MutexLock lock(state->mu);
        std::string out;
        for (size_t i = 0; i < count; ++i) out += std::to_string(state->values[i]) + (i + 1 < count ? "\t" : "\n");
        return out;
      },
      [state, count = numbers.count](std::string_view text) -> ErrorOr<void> {
        MutexLock lock(state->mu);
        std::array<int64_t, 4> values = state->values;
        for (size_t i = 0; i < count && (i == 0 || !text.empty()); ++i) {
          values[i] = TRY(TakeNumber(text));
          if (values[i] < 0 || values[i] > INT32_MAX) return kEINVAL;
        }
        state->values = values;
        return {};
      });
}

// Where cores of the sandbox's programs would go: nobody writes any.
void AddCorePattern(StaticDir& kernel) {
  constexpr size_t kMaxPattern = 127;
  struct State {
    Mutex mu;
    std::string text MOAT_GUARDED_BY(mu) = "core";
  };
  auto state = std::make_shared<State>();
  Add(kernel, "core_pattern",
      [state]() -> ErrorOr<std::string> {
        MutexLock lock(state->mu);
        return state->text + "\n";
      },
      [state](std::string_view text) -> ErrorOr<void> {
        MutexLock lock(state->mu);
        state->text = text.substr(0, kMaxPattern);
        return {};
      });
}

// uname's names: the system administrator's to set.
SysctlNode::Writer NameWriter(ProcSource* s, void (ProcSource::*set)(std::string_view)) {
  constexpr size_t kMaxName = 64;
  return [s, set](std::string_view text) -> ErrorOr<void> {
    if (!s->CurrentHasCapability(abi::kCAP_SYS_ADMIN)) return kEPERM;
    (s->*set)(text.substr(0, kMaxName));
    return {};
  };
}

constexpr int64_t kLeastBuffer = 4608;  // SOCK_MIN_SNDBUF, which is the larger one
constexpr int64_t kLeastPidMax = 301, kMostPidMax = 32768;

void AddKernel(StaticDir& kernel, ProcSource& source) {
  ProcSource* s = &source;
  AddAll(kernel, kKernel);
  AddNumbers(kernel, kKernelNumbers);
  AddVector(kernel, kPrintk);
  AddCorePattern(kernel);
  AddNumber(kernel, {"pid_max", 0, kLeastPidMax, kMostPidMax}, &g_tunables.pid_max);
  Add(kernel, "osrelease", [s]() -> ErrorOr<std::string> { return s->System().release + "\n"; });
  Add(kernel, "version", [s]() -> ErrorOr<std::string> { return s->System().version + "\n"; });
  Add(kernel, "threads-max", [s]() -> ErrorOr<std::string> { return std::to_string(s->System().max_tasks) + "\n"; });
  Add(kernel, "hostname", [s]() -> ErrorOr<std::string> { return s->Hostname() + "\n"; },
      NameWriter(s, &ProcSource::SetHostname));
  Add(kernel, "domainname", [s]() -> ErrorOr<std::string> { return s->Domainname() + "\n"; },
      NameWriter(s, &ProcSource::SetDomainname));
  Ref<StaticDir> random = kernel.AddDir("random");
  constexpr Value kRandom[] = {{"entropy_avail", "256"}, {"poolsize", "256"}, {"urandom_min_reseed_secs", "60"}, {"write_wakeup_threshold", "256"}};
  AddAll(*random, kRandom);
  Add(*random, "uuid", []() -> ErrorOr<std::string> { return Uuid() + "\n"; });
  Add(*random, "boot_id", [id = Uuid()]() -> ErrorOr<std::string> { return id + "\n"; });
  Ref<StaticDir> pty = kernel.AddDir("pty");
  constexpr Value kPty[] = {{"max", "4096"}, {"reserve", "1024"}};
  AddAll(*pty, kPty);
  Ref<StaticDir> keys = kernel.AddDir("keys");
  constexpr Value kKeys[] = {{"maxkeys", "200"}, {"maxbytes", "20000"}, {"root_maxkeys", "1000000"}, {"root_maxbytes", "25000000"}};
  AddAll(*keys, kKeys);
}

// F_SETPIPE_SZ's bound is a power of two of pages.
void AddPipeSize(StaticDir& fs) {
  static constexpr int64_t kPage = 4096, kLargest = int64_t{1} << 31;
  std::atomic<int64_t>* cell = &g_tunables.pipe_max_size;
  Add(fs, "pipe-max-size", [cell]() -> ErrorOr<std::string> { return std::to_string(cell->load()) + "\n"; },
      [cell](std::string_view text) -> ErrorOr<void> {
        int64_t value = TRY(TakeNumber(text));
        if (value < 0 || value > kLargest) return kEINVAL;
        cell->store(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(value, kPage)))));
        return {};
      });
}

void AddPortRange(StaticDir& ipv4) {
  Add(ipv4, "ip_local_port_range",
      []() -> ErrorOr<std::string> {
        return std::to_string(g_tunables.first_ephemeral.load()) + "\t" + std::to_string(g_tunables.last_ephemeral.load()) + "\n";
      },
      [](std::string_view text) -> ErrorOr<void> {
        int64_t first = TRY(TakeNumber(text)), last = TRY(TakeNumber(text));
        if (first < 1 || last < first || last > 65535) return kEINVAL;
        g_tunables.first_ephemeral.store(first);
        g_tunables.last_ephemeral.store(last);
        return {};
      });
}

}  // namespace

void AddSysctls(StaticDir& sys, ProcSource& source) {
  Ref<StaticDir> kernel = sys.AddDir("kernel"), fs = sys.AddDir("fs"), vm = sys.AddDir("vm"), net = sys.AddDir("net");
  AddKernel(*kernel, source);
  AddAll(*fs, kFs);
  AddPipeSize(*fs);
  Add(*fs, "file-max", []() -> ErrorOr<std::string> { return std::to_string(OpenFiles::limit()) + "\n"; });
  Add(*fs, "file-nr", []() -> ErrorOr<std::string> {
    return std::to_string(OpenFiles::used()) + "\t0\t" + std::to_string(OpenFiles::limit()) + "\n";
  });
  Ref<StaticDir> inotify = fs->AddDir("inotify");
  AddAll(*inotify, kInotify);
  AddNumber(*inotify, {"max_user_watches", 0, 0, INT32_MAX}, &g_tunables.max_inotify_watches);
  AddAll(*fs->AddDir("mqueue"), kMqueue);
  constexpr Value kEpoll[] = {{"max_user_watches", "14772183"}};
  AddAll(*fs->AddDir("epoll"), kEpoll);
  AddAll(*vm, kVm);
  AddNumbers(*vm, kVmNumbers);
  Ref<StaticDir> core = net->AddDir("core"), ipv4 = net->AddDir("ipv4");
  AddAll(*core, kNetCore);
  AddNumbers(*core, kCoreNumbers);
  AddNumber(*core, {"somaxconn", 0, 0, INT32_MAX}, &g_tunables.somaxconn);
  AddNumber(*core, {"rmem_max", 0, kLeastBuffer, INT32_MAX}, &g_tunables.rmem_max);
  AddNumber(*core, {"wmem_max", 0, kLeastBuffer, INT32_MAX}, &g_tunables.wmem_max);
  AddAll(*ipv4, kNetIpv4);
  AddNumbers(*ipv4, kIpv4Numbers);
  for (const Numbers& vector : kIpv4Vectors) AddVector(*ipv4, vector);
  AddNumber(*ipv4, {"ip_unprivileged_port_start", 0, 0, 65535}, &g_tunables.first_unprivileged_port);
  AddPortRange(*ipv4);
  AddAll(*net->AddDir("ipv6"), kNetIpv6);
  AddAll(*net->AddDir("unix"), kNetUnix);
}

}  // namespace moat::proc
