#include "fs/sys/sys_fs.h"

#include <string>

#include "abi/stat.h"
#include "base/util/cpu_list.h"
#include "fs/memtree/node.h"

namespace moat {

namespace {

constexpr uint64_t kFileSize = 4096;  // every attribute of sysfs says so

// "0-3,5".
std::string List(uint64_t mask) { return CpuList(mask) + "\n"; }

// "f", "3,ffffffff".
std::string Mask(uint64_t mask) {
  char text[32];
  int n = mask >> 32 ? snprintf(text, sizeof text, "%x,%08x\n", static_cast<uint32_t>(mask >> 32), static_cast<uint32_t>(mask))
                     : snprintf(text, sizeof text, "%x\n", static_cast<uint32_t>(mask));
  return std::string(text, static_cast<size_t>(n));
}

void Text(StaticDir& dir, std::string name, std::string text) { dir.AddText(std::move(name), std::move(text), kFileSize); }

std::string NodeMemory(SysMemory m) {
  std::string out;
  for (auto [name, bytes] : {std::pair{"MemTotal:", m.total}, {"MemFree:", m.free}, {"MemUsed:", m.total - m.free}}) {
    char line[64];
    int n = snprintf(line, sizeof line, "Node 0 %-15s%8llu kB\n", name, static_cast<unsigned long long>(bytes / 1024));
    out.append(line, static_cast<size_t>(n));
  }
  return out;
}

void AddCpu(StaticDir& cpus, int cpu, int core, uint64_t online) {
  Ref<StaticDir> dir = cpus.AddDir("cpu" + std::to_string(cpu));
  Text(*dir, "online", "1\n");
  Ref<StaticDir> topology = dir->AddDir("topology");
  uint64_t self = 1ull << cpu;
  Text(*topology, "core_id", std::to_string(core) + "\n");
  Text(*topology, "physical_package_id", "0\n");
  Text(*topology, "die_id", "0\n");
  Text(*topology, "cluster_id", "0\n");
  Text(*topology, "thread_siblings", Mask(self));
  Text(*topology, "thread_siblings_list", List(self));
  Text(*topology, "core_cpus", Mask(self));
  Text(*topology, "core_cpus_list", List(self));
  Text(*topology, "core_siblings", Mask(online));
  Text(*topology, "core_siblings_list", List(online));
  Text(*topology, "package_cpus", Mask(online));
  Text(*topology, "package_cpus_list", List(online));
}

void AddDevices(StaticDir& devices, const SysInfo& info) {
  Ref<StaticDir> system = devices.AddDir("system");
  Ref<StaticDir> cpus = system->AddDir("cpu");
  for (const char* name : {"online", "possible", "present"}) Text(*cpus, name, List(info.online_cpus));
  Text(*cpus, "offline", "\n");
  Text(*cpus, "isolated", "\n");
  Text(*cpus, "kernel_max", "63\n");
  int core = 0;
  for (int cpu = 0; cpu < 64; ++cpu) {
    if ((info.online_cpus >> cpu) & 1) AddCpu(*cpus, cpu, core++, info.online_cpus);
  }
  Ref<StaticDir> nodes = system->AddDir("node");
  for (const char* name : {"online", "possible", "has_cpu", "has_memory", "has_normal_memory"}) Text(*nodes, name, "0\n");
  Ref<StaticDir> node = nodes->AddDir("node0");
  Text(*node, "cpulist", List(info.online_cpus));
  Text(*node, "cpumap", Mask(info.online_cpus));
  Text(*node, "distance", "10\n");
  node->AddText("meminfo", 0444, [memory = info.memory]() -> ErrorOr<std::string> { return NodeMemory(memory()); }, nullptr,
                kFileSize);
  devices.AddDir("virtual");
}

void AddLoopback(StaticDir& classes) {
  Ref<StaticDir> lo = classes.AddDir("net")->AddDir("lo");
  Text(*lo, "address", "00:00:00:00:00:00\n");
  Text(*lo, "broadcast", "00:00:00:00:00:00\n");
  Text(*lo, "flags", "0x9\n");
  Text(*lo, "ifindex", "1\n");
  Text(*lo, "iflink", "1\n");
  Text(*lo, "mtu", "65536\n");
  Text(*lo, "operstate", "unknown\n");
  Text(*lo, "tx_queue_len", "1000\n");
  Text(*lo, "type", "772\n");
  Text(*lo, "carrier", "1\n");
}

void AddMemoryPolicy(StaticDir& kernel) {
  Ref<StaticDir> mm = kernel.AddDir("mm");
  Ref<StaticDir> huge = mm->AddDir("transparent_hugepage");
  Text(*huge, "enabled", "always madvise [never]\n");
  Text(*huge, "defrag", "always defer defer+madvise madvise [never]\n");
  Text(*huge, "shmem_enabled", "always within_size advise [never] deny force\n");
  Text(*huge, "hpage_pmd_size", "2097152\n");
  mm->AddDir("hugepages");
  kernel.AddDir("debug");
  kernel.AddDir("security");
}

}  // namespace

Ref<FileSystem> MakeSysFs(const SysInfo& info) {
  Ref<TreeFs> fs = MakeRef<TreeFs>("sysfs", abi::kSYSFS_MAGIC);
  Ref<StaticDir> root = MakeRef<StaticDir>(*fs, kTreeRootIno);
  root->AddDir("block");
  root->AddDir("bus");
  root->AddLazyDir("class", AddLoopback);
  root->AddLazyDir("devices", [info](StaticDir& devices) { AddDevices(devices, info); });
  root->AddDir("dev");
  root->AddDir("firmware");
  root->AddDir("fs")->AddDir("cgroup");
  root->AddLazyDir("kernel", AddMemoryPolicy);
  root->AddDir("module");
  fs->set_root(root);
  return fs;
}

}  // namespace moat
