// What /proc shows, as proc sees it: tasks and the system behind an interface that the kernel implements.
//
// A task is named by a TaskKey, which stays unique when its number is used again. Every call on a key that has ended (or whose
// number means another task now) gives kESRCH. "The caller" is the task whose system call runs on this fiber.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/kern/credentials.h"
#include "base/kern/user_memory.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/dentry.h"

namespace moat {

class FdTable;
class MountNamespace;

struct TaskKey {
  int tid = 0;
  int64_t start_ns = 0;  // CLOCK_MONOTONIC
  bool operator==(const TaskKey&) const = default;
};

struct ProcLimit {
  uint64_t soft, hard;
};

// What stat and status of proc_pid_stat(5) say apart from memory. CPU times in ns.
struct TaskInfo {
  int tid = 0, tgid = 0, ppid = 0, pgid = 0, sid = 0, tracer = 0;
  uint32_t tty = 0;        // the controlling terminal's device, or 0
  int foreground_pgid = -1;
  std::string comm;
  char state = 'R';        // R S D T Z X
  uint32_t flags = 0;      // PF_*
  Ref<const Credentials> creds;
  bool dumpable = true;
  bool has_umask = false;  // false: a zombie
  uint32_t umask = 0;
  bool no_new_privs = false;
  int threads = 0;         // of the process
  int exit_signal = 17, exit_code = 0;
  uint64_t user_ns = 0, system_ns = 0;           // of the task
  uint64_t group_user_ns = 0, group_system_ns = 0;
  uint64_t children_user_ns = 0, children_system_ns = 0;
  uint64_t minor_faults = 0, major_faults = 0, children_minor_faults = 0, children_major_faults = 0;
  uint64_t voluntary_switches = 0, involuntary_switches = 0;
  int64_t start_ns = 0;    // CLOCK_BOOTTIME
  int nice = 0, policy = 0, rt_priority = 0, processor = 0;
  uint64_t pending = 0, shared_pending = 0, blocked = 0, ignored = 0, caught = 0;  // bit n - 1: signal n
  uint64_t queued_signals = 0;
  uint64_t cpu_mask = 1;
  uint32_t personality = 0;
  uint64_t timer_slack_ns = 0;
  int oom_score_adj = 0;
  std::array<ProcLimit, 16> limits{};  // by RLIMIT_*
};

// Memory of a task, bytes and addresses.
struct MemoryInfo {
  bool present = false;  // false: a zombie, the rest is 0
  uint64_t size = 0, locked = 0, resident = 0, data = 0, stack = 0, text = 0, shared_resident = 0;
  uint64_t start_code = 0, end_code = 0, start_data = 0, end_data = 0, start_brk = 0, start_stack = 0;
  uint64_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  uint64_t sp = 0, ip = 0;
};

// A line of maps.
struct MappingInfo {
  uint64_t start = 0, end = 0, offset = 0;
  int prot = 0;
  bool shared = false, locked = false, grows_down = false, dont_fork = false, dont_dump = false, no_reserve = false,
       wipe_on_fork = false;
  Path file;                   // null dentry: anonymous
  const char* name = nullptr;  // "[heap]", static text, or null
};

struct SystemInfo {
  std::string release, version;  // as uname(2)
  uint64_t total_bytes = 0, free_bytes = 0, available_bytes = 0, shared_bytes = 0;
  std::array<uint64_t, 3> loads{};  // hundredths
  int64_t uptime_ns = 0, idle_ns = 0, boot_time_s = 0;
  uint64_t cpu_user_ns = 0, cpu_system_ns = 0;  // of all tasks, ended ones included
  uint64_t online_cpus = 1;                     // bit mask
  int tasks = 0, running = 0, blocked = 0, last_pid = 0, max_tasks = 0;
  uint64_t forks = 0, context_switches = 0;
};

class ProcSource {
 public:
  virtual ~ProcSource() = default;

  // The caller: its thread and its process. Start-up code has none (kENOENT).
  virtual ErrorOr<TaskKey> CurrentThread() = 0;
  virtual ErrorOr<TaskKey> CurrentProcess() = 0;
  // A living or zombie task with this number. kENOENT.
  virtual ErrorOr<TaskKey> FindTask(int tid) = 0;
  virtual bool Alive(TaskKey key) = 0;
  // Processes with numbers >= `from` in rising order, at most `limit`.
  virtual std::vector<TaskKey> Processes(int from, size_t limit) = 0;
  // All threads of the process, by number.
  virtual ErrorOr<std::vector<TaskKey>> Threads(TaskKey process) = 0;
  virtual ErrorOr<int> ProcessOf(TaskKey task) = 0;

  // Who owns the task's files: its effective ids, and whether it may be looked at by their holders (dumpable).
  struct Owner {
    uint32_t uid, gid;
    bool dumpable;
  };
  virtual ErrorOr<Owner> OwnerOf(TaskKey key) = 0;
  virtual ErrorOr<TaskInfo> Info(TaskKey key) = 0;
  // Asks the host for residency only if `with_resident`. A zombie: present == false.
  virtual ErrorOr<MemoryInfo> Memory(TaskKey key, bool with_resident) = 0;
  virtual ErrorOr<std::vector<MappingInfo>> Mappings(TaskKey key) = 0;
  // Resident bytes of [start, end).
  virtual ErrorOr<uint64_t> ResidentIn(TaskKey key, uint64_t start, uint64_t end) = 0;
  // Of each page from `start` on, which must be mapped: bit 0 of its byte says that it is in memory.
  virtual ErrorOr<void> Residency(TaskKey key, uint64_t start, std::span<uint8_t> out) { return kESRCH; }
  virtual ErrorOr<std::vector<uint64_t>> Auxv(TaskKey key) = 0;
  // Copies from and to the memory of a task; as UserMemory's partial copies. 0 bytes if it has no memory any more.
  virtual ErrorOr<size_t> ReadMemory(TaskKey key, UserAddr addr, std::span<std::byte> out) = 0;
  virtual ErrorOr<size_t> WriteMemory(TaskKey key, UserAddr addr, std::span<const std::byte> in) = 0;

  // Files. A zombie has none: kENOENT (links), kESRCH otherwise.
  virtual ErrorOr<Ref<FdTable>> Fds(TaskKey key) = 0;
  virtual ErrorOr<Path> Root(TaskKey key) = 0;
  virtual ErrorOr<Path> Cwd(TaskKey key) = 0;
  virtual ErrorOr<Path> Exe(TaskKey key) = 0;
  virtual ErrorOr<Ref<MountNamespace>> Mounts(TaskKey key) = 0;
  // The caller's root, from which paths are shown.
  virtual Path CurrentRoot() = 0;

  // ptrace(2)'s access check of the caller on the task (PTRACE_MODE_READ_FSCREDS): kEACCES.
  virtual ErrorOr<void> MayInspect(TaskKey key) = 0;
  virtual bool CurrentHasCapability(int capability) = 0;

  // Setters behind writable files. kEACCES, kEPERM, kEINVAL.
  virtual ErrorOr<void> SetComm(TaskKey key, std::string_view comm) = 0;
  virtual ErrorOr<void> SetOomScoreAdj(TaskKey key, int value) = 0;
  virtual ErrorOr<void> SetTimerSlack(TaskKey key, uint64_t ns) = 0;

  // The system.
  virtual SystemInfo System() = 0;
  virtual std::string Hostname() = 0;
  virtual std::string Domainname() = 0;
  virtual void SetHostname(std::string_view name) = 0;
  virtual void SetDomainname(std::string_view name) = 0;
  // Text of sysvipc/shm, sem and msg below the header line.
  virtual std::string IpcTable(std::string_view which) = 0;
  // Text of net/NAME below its header lines ("unix", "tcp", "udp", ...).
  virtual std::string NetTable(std::string_view which) = 0;
};

}  // namespace moat
