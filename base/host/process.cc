#include "base/host/process.h"

#include <sys/rseq.h>  // where libc keeps its area

#include "abi/clone.h"
#include "abi/rlimit.h"
#include "abi/rseq.h"
#include "abi/sched.h"
#include "abi/signal.h"
#include "abi/syscall_nr.h"
#include "base/host/raw.h"

namespace moat::host {

std::vector<uint32_t> Getgroups() {
  std::vector<uint32_t> groups;
  for (;;) {  // until the list did not grow between the two calls
    const long count = RawSyscall(abi::kNr_getgroups, 0);
    groups.resize(static_cast<size_t>(count));
    const long got = RawSyscall(abi::kNr_getgroups, count, reinterpret_cast<long>(groups.data()));
    if (got < 0) continue;
    groups.resize(static_cast<size_t>(got));
    return groups;
  }
}

void ExitGroup(int status) {
  for (;;) RawSyscall(abi::kNr_exit_group, status);
}
void Exit(int status) {
  for (;;) RawSyscall(abi::kNr_exit, status);
}
int Getpid() { return static_cast<int>(RawSyscall(abi::kNr_getpid)); }
int Getppid() { return static_cast<int>(RawSyscall(abi::kNr_getppid)); }
int Gettid() { return static_cast<int>(RawSyscall(abi::kNr_gettid)); }
uint32_t Getuid() { return static_cast<uint32_t>(RawSyscall(abi::kNr_getuid)); }
uint32_t Geteuid() { return static_cast<uint32_t>(RawSyscall(abi::kNr_geteuid)); }
uint32_t Getgid() { return static_cast<uint32_t>(RawSyscall(abi::kNr_getgid)); }
uint32_t Getegid() { return static_cast<uint32_t>(RawSyscall(abi::kNr_getegid)); }

ErrorOr<void> Kill(int pid, int signo) { return Call<void>(abi::kNr_kill, pid, signo); }
ErrorOr<void> Tgkill(int tgid, int tid, int signo) { return Call<void>(abi::kNr_tgkill, tgid, tid, signo); }
ErrorOr<UniqueFd> PidfdOpen(int pid, uint32_t flags) {
  return Call<UniqueFd>(abi::kNr_pidfd_open, pid, flags);
}
ErrorOr<void> PidfdSendSignal(int pidfd, int signo) {
  return Call<void>(abi::kNr_pidfd_send_signal, pidfd, signo, nullptr, 0);
}
ErrorOr<UniqueFd> PidfdGetfd(int pidfd, int target_fd) {
  return Call<UniqueFd>(abi::kNr_pidfd_getfd, pidfd, target_fd, 0);
}

ErrorOr<int> Fork(uint64_t flags) {
  return Call<int>(abi::kNr_clone, flags | static_cast<uint64_t>(abi::kSIGCHLD), nullptr, nullptr, nullptr,
                   nullptr);
}
ErrorOr<int> Clone3(const abi::CloneArgs& args) {
  if (args.stack != 0) return kEINVAL;  // the child would return from here on a stack without our frame
  return Call<int>(abi::kNr_clone3, &args, sizeof args);
}
ErrorOr<void> Execve(const char* path, const char* const argv[], const char* const envp[]) {
  return Call<void>(abi::kNr_execve, path, argv, envp);
}
ErrorOr<void> Execveat(int dirfd, const char* path, const char* const argv[], const char* const envp[],
                       uint32_t flags) {
  return Call<void>(abi::kNr_execveat, dirfd, path, argv, envp, flags);
}
ErrorOr<int> Wait4(int pid, int* status, uint32_t options, void* rusage) {
  return Call<int>(abi::kNr_wait4, pid, status, options, rusage);
}

ErrorOr<long> Prctl(int option, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5) {
  return Call<long>(abi::kNr_prctl, option, a2, a3, a4, a5);
}
ErrorOr<void> ArchPrctl(int option, uint64_t argument) {
  return Call<void>(abi::kNr_arch_prctl, option, argument);
}
ErrorOr<void> Setresuid(uint32_t real, uint32_t effective, uint32_t saved) {
  return Call<void>(abi::kNr_setresuid, real, effective, saved);
}
ErrorOr<void> Setresgid(uint32_t real, uint32_t effective, uint32_t saved) {
  return Call<void>(abi::kNr_setresgid, real, effective, saved);
}
ErrorOr<void> Setgroups(std::span<const uint32_t> groups) {
  return Call<void>(abi::kNr_setgroups, groups.size(), groups.data());
}

namespace {
// struct __user_cap_header_struct and two of __user_cap_data_struct: low and high 32 capabilities, capget(2).
constexpr uint32_t kCapabilityVersion3 = 0x20080522;
struct CapHeader {
  uint32_t version = kCapabilityVersion3;
  int32_t pid = 0;
};
struct CapData {
  uint32_t effective, permitted, inheritable;
};
uint64_t Join(uint32_t low, uint32_t high) { return low | uint64_t{high} << 32; }
}  // namespace

ErrorOr<CapabilitySets> Capget() {
  CapHeader header;
  CapData d[2];
  TRY(Call<void>(abi::kNr_capget, &header, d));
  return CapabilitySets{Join(d[0].effective, d[1].effective), Join(d[0].permitted, d[1].permitted),
                        Join(d[0].inheritable, d[1].inheritable)};
}
ErrorOr<void> Capset(const CapabilitySets& sets) {
  CapHeader header;
  CapData d[2] = {{static_cast<uint32_t>(sets.effective), static_cast<uint32_t>(sets.permitted),
                   static_cast<uint32_t>(sets.inheritable)},
                  {static_cast<uint32_t>(sets.effective >> 32), static_cast<uint32_t>(sets.permitted >> 32),
                   static_cast<uint32_t>(sets.inheritable >> 32)}};
  return Call<void>(abi::kNr_capset, &header, d);
}

ErrorOr<void> Unshare(uint64_t flags) { return Call<void>(abi::kNr_unshare, flags); }
ErrorOr<void> Setns(int fd, uint32_t type) { return Call<void>(abi::kNr_setns, fd, type); }
ErrorOr<int> Setsid() { return Call<int>(abi::kNr_setsid); }
ErrorOr<int> Getpgid(int pid) { return Call<int>(abi::kNr_getpgid, pid); }
ErrorOr<void> Setpgid(int pid, int pgid) { return Call<void>(abi::kNr_setpgid, pid, pgid); }

static_assert(sizeof(ResourceLimit) == 16);  // struct rlimit64
ErrorOr<void> ForbidCoreDumps() {
  const ResourceLimit now = TRY(PrlimitGet(0, abi::kRLIMIT_CORE));
  const uint64_t limit = now.hard < 1 ? 0 : 1;
  return PrlimitSet(0, abi::kRLIMIT_CORE, {limit, limit});
}
ErrorOr<ResourceLimit> PrlimitGet(int pid, int resource) {
  ResourceLimit limit;
  TRY(Call<void>(abi::kNr_prlimit64, pid, resource, nullptr, &limit));
  return limit;
}
ErrorOr<void> PrlimitSet(int pid, int resource, ResourceLimit limit) {
  return Call<void>(abi::kNr_prlimit64, pid, resource, &limit, nullptr);
}

ErrorOr<void> SchedSetaffinity(int tid, std::span<const uint64_t> mask) {
  return Call<void>(abi::kNr_sched_setaffinity, tid, mask.size_bytes(), mask.data());
}
ErrorOr<size_t> SchedGetaffinity(int tid, std::span<uint64_t> mask) {
  return Call<size_t>(abi::kNr_sched_getaffinity, tid, mask.size_bytes(), mask.data());
}
ErrorOr<void> SchedSetSlice(uint64_t ns) {
  abi::SchedAttr attr{};
  TRY(Call<void>(abi::kNr_sched_getattr, 0, &attr, sizeof attr, 0));
  attr.sched_runtime = ns;
  return Call<void>(abi::kNr_sched_setattr, 0, &attr, 0);
}
void SchedYield() { RawSyscall(abi::kNr_sched_yield); }
ErrorOr<void> SchedSetscheduler(int tid, int policy, int priority) {
  abi::SchedParam param{priority};
  return Call<void>(abi::kNr_sched_setscheduler, tid, policy, &param);
}
ErrorOr<int> Getpriority(int which, int who) { return 20 - TRY(Call<int>(abi::kNr_getpriority, which, who)); }
ErrorOr<void> Setpriority(int which, int who, int nice) {
  return Call<void>(abi::kNr_setpriority, which, who, nice);
}

ErrorOr<size_t> ProcessVmReadv(int pid, const abi::Iovec* local, size_t local_count, const abi::Iovec* remote,
                               size_t remote_count) {
  return Call<size_t>(abi::kNr_process_vm_readv, pid, local, local_count, remote, remote_count, 0);
}
ErrorOr<size_t> ProcessVmWritev(int pid, const abi::Iovec* local, size_t local_count,
                                const abi::Iovec* remote, size_t remote_count) {
  return Call<size_t>(abi::kNr_process_vm_writev, pid, local, local_count, remote, remote_count, 0);
}
ErrorOr<long> Ptrace(long request, int pid, uint64_t addr, uint64_t data) {
  return Call<long>(abi::kNr_ptrace, request, pid, addr, data);
}

void UnregisterLibcRseq() {
  constexpr uint32_t kSizeOfLibc = 32;
  char* area = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
  if (__rseq_size != 0)
    RawSyscall(abi::kNr_rseq, ToRegister(area), kSizeOfLibc, abi::kRSEQ_FLAG_UNREGISTER, abi::kRSEQ_SIG);
}

ErrorOr<void> Getrandom(void* buffer, size_t length) {
  size_t done = 0;
  while (done < length) {
    done += TRY(RetryEintr([&] {
      return Call<size_t>(abi::kNr_getrandom, static_cast<char*>(buffer) + done, length - done, 0);
    }));
  }
  return {};
}
ErrorOr<void> Sysinfo(void* info) { return Call<void>(abi::kNr_sysinfo, info); }
ErrorOr<void> Uname(void* utsname) { return Call<void>(abi::kNr_uname, utsname); }
ErrorOr<void> Sethostname(const char* name, size_t length) {
  return Call<void>(abi::kNr_sethostname, name, length);
}

}  // namespace moat::host
