// Host calls on processes and threads, their identity and limits, and on other processes. The Linux calls of
// the same names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/util/error.h"
#include "base/util/unique_fd.h"

namespace moat::abi {
struct CloneArgs;
struct Iovec;
}  // namespace moat::abi

namespace moat::host {

[[noreturn]] void ExitGroup(int status);
[[noreturn]] void Exit(int status);  // this thread only
int Getpid();
int Getppid();
int Gettid();
uint32_t Getuid();
uint32_t Geteuid();
uint32_t Getgid();
uint32_t Getegid();

ErrorOr<void> Kill(int pid, int signo);
ErrorOr<void> Tgkill(int tgid, int tid, int signo);
ErrorOr<UniqueFd> PidfdOpen(int pid, uint32_t flags);
ErrorOr<void> PidfdSendSignal(int pidfd, int signo);
ErrorOr<UniqueFd> PidfdGetfd(int pidfd, int target_fd);

// A child with `flags` (CLONE_NEW*, CLONE_PARENT, ...; no CLONE_VM) and exit signal SIGCHLD that continues
// after the call on a copy of the stack: 0 in the child. libc does not learn of it: the child may use nothing
// of libc that takes a lock or asks for its own tid when other threads existed, so call it before threads
// start.
ErrorOr<int> Fork(uint64_t flags);
// As Fork, by clone3: set_tid, cgroup and pidfd are usable. `args.stack` must be 0.
ErrorOr<int> Clone3(const abi::CloneArgs& args);
ErrorOr<void> Execve(const char* path, const char* const argv[], const char* const envp[]);
ErrorOr<void> Execveat(int dirfd, const char* path, const char* const argv[], const char* const envp[],
                       uint32_t flags);

// The pid of a child that changed state, 0 with WNOHANG when there is none. `status` and `rusage` (struct
// rusage, 144 bytes) may be null. EINTR is returned.
ErrorOr<int> Wait4(int pid, int* status, uint32_t options, void* rusage = nullptr);

ErrorOr<long> Prctl(int option, uint64_t a2 = 0, uint64_t a3 = 0, uint64_t a4 = 0, uint64_t a5 = 0);
ErrorOr<void> ArchPrctl(int option, uint64_t argument);
ErrorOr<void> Setresuid(uint32_t real, uint32_t effective,
                        uint32_t saved);  // this thread only: call before others start
ErrorOr<void> Setresgid(uint32_t real, uint32_t effective, uint32_t saved);
ErrorOr<void> Setgroups(std::span<const uint32_t> groups);
std::vector<uint32_t> Getgroups();  // supplementary groups
// The three capability sets as bit masks, version 3 of the call, for this thread.
struct CapabilitySets {
  uint64_t effective = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
};
ErrorOr<CapabilitySets> Capget();
ErrorOr<void> Capset(const CapabilitySets& sets);
ErrorOr<void> Unshare(uint64_t flags);
ErrorOr<void> Setns(int fd, uint32_t type);
ErrorOr<int> Setsid();
ErrorOr<void> Setpgid(int pid, int pgid);
ErrorOr<int> Getpgid(int pid);

inline constexpr uint64_t kRlimitInfinity = ~uint64_t{0};
struct ResourceLimit {
  uint64_t soft;
  uint64_t hard;
};
// No core dumps of this process and its children, not even to a program (core(5)): limit 1, or 0 where the
// limit is 0 already and cannot be raised.
ErrorOr<void> ForbidCoreDumps();
// `pid` 0 is this process; `resource` RLIMIT_*.
ErrorOr<ResourceLimit> PrlimitGet(int pid, int resource);
ErrorOr<void> PrlimitSet(int pid, int resource, ResourceLimit limit);

// Bit i of word i / 64 is CPU i. Get returns the bytes that the kernel filled in.
ErrorOr<void> SchedSetaffinity(int tid, std::span<const uint64_t> mask);
ErrorOr<size_t> SchedGetaffinity(int tid, std::span<uint64_t> mask);
void SchedYield();
// How long the calling thread would run before others of its kind (SCHED_OTHER) get their turn. A thread with
// short slices is let in sooner when it wakes, for as much CPU in all. Kernels before 6.12 accept it and do
// nothing.
ErrorOr<void> SchedSetSlice(uint64_t ns);
ErrorOr<void> SchedSetscheduler(int tid, int policy, int priority);
ErrorOr<void> Setpriority(int which, int who, int nice);
// The nice value, -20 to 19.
ErrorOr<int> Getpriority(int which, int who);

// Bytes moved; a fault after some bytes gives a short count at iovec granularity of the remote side.
ErrorOr<size_t> ProcessVmReadv(int pid, const abi::Iovec* local, size_t local_count, const abi::Iovec* remote,
                               size_t remote_count);
ErrorOr<size_t> ProcessVmWritev(int pid, const abi::Iovec* local, size_t local_count,
                                const abi::Iovec* remote, size_t remote_count);
// The raw call: PEEK requests store their word at `data`.
ErrorOr<long> Ptrace(long request, int pid, uint64_t addr, uint64_t data);

// Drops the rseq registration that libc made for this thread, for a process whose memory is about to go away.
void UnregisterLibcRseq();
// Fills all of `buffer` with random bytes (EINTR retried).
ErrorOr<void> Getrandom(void* buffer, size_t length);
ErrorOr<void> Sysinfo(void* info);   // struct sysinfo, 112 bytes
ErrorOr<void> Uname(void* utsname);  // struct new_utsname, 390 bytes
ErrorOr<void> Sethostname(const char* name, size_t length);

}  // namespace moat::host
