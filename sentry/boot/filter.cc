#include "sentry/boot/filter.h"

#include "abi/mman.h"
#include "base/seccomp/sanitizer_rows.h"

namespace moat {

using seccomp::ArgLacks;
using seccomp::Filter;
using seccomp::Rule;

Filter SentryFilter() {
  Filter f;
  auto allow = [&f](abi::Nr nr, const char* site, const char* reason, const char* gain,
                    std::vector<seccomp::ArgCondition> conditions = {}) {
    f.rules.push_back({.nr = nr, .conditions = std::move(conditions), .call_site = site, .reason = reason, .gain = gain});
  };
  // Running guests (platform/ptrace). The pid namespace holds only the sentry and its stubs.
  allow(abi::kNr_ptrace, "platform/ptrace", "runs, stops and reads stubs", "control of stubs, which it has anyway");
  allow(abi::kNr_wait4, "platform/ptrace/tracer", "learns of traps", "nothing");
  allow(abi::kNr_process_vm_readv, "platform/ptrace/address_space", "copies from guests", "guest memory");
  allow(abi::kNr_process_vm_writev, "platform/ptrace/address_space", "copies to guests", "guest memory");
  allow(abi::kNr_tgkill, "platform/ptrace/tracer", "kicks the tracer, aborts", "signals within its pid namespace");
  allow(abi::kNr_kill, "platform/ptrace/address_space", "ends a stub", "signals within its pid namespace");
  allow(abi::kNr_sched_setaffinity, "platform/ptrace/pinner", "pins chatty guests to the tracer's CPU", "its own CPU choice");
  allow(abi::kNr_timer_settime, "platform/ptrace/tracer", "wakes the tracer for timers", "nothing");
  // Guest files: descriptors that the gofer passed, and memfds.
  allow(abi::kNr_preadv2, "fs/goferfs, fs/hostfd, platform/ptrace/express", "reads guest files", "data of files it was given");
  allow(abi::kNr_pwritev2, "fs/goferfs, fs/hostfd", "writes guest files", "changes of files it was given to write");
  allow(abi::kNr_pread64, "fs/tmpfs", "reads its memfds", "its own data");
  allow(abi::kNr_pwrite64, "fs/tmpfs", "writes its memfds", "its own data");
  allow(abi::kNr_read, "base/fiber/host_watch", "drains eventfds", "data of files it was given");
  allow(abi::kNr_write, "base/util/log", "log and strace lines, wake-ups", "writes to files it was given to write");
  allow(abi::kNr_close, "base/util/unique_fd", "lets go of files", "nothing");
  allow(abi::kNr_fstat, "fs/goferfs, fs/hostfd", "size of an open file", "attributes of files it was given");
  allow(abi::kNr_fstatfs, "fs/goferfs", "kind of file system", "nothing");
  allow(abi::kNr_lseek, "fs/goferfs, fs/hostfd", "SEEK_DATA, SEEK_HOLE, SEEK_END", "nothing");
  allow(abi::kNr_ftruncate, "fs/goferfs, fs/tmpfs, platform/ptrace/express_page", "sizes files", "changes of files it was given to write");
  allow(abi::kNr_fallocate, "fs/goferfs, fs/tmpfs", "allocates and punches", "changes of files it was given to write");
  allow(abi::kNr_fsync, "fs/goferfs", "fsync(2) of guests", "host disk load");
  allow(abi::kNr_fdatasync, "fs/goferfs", "fdatasync(2) of guests", "host disk load");
  allow(abi::kNr_memfd_create, "fs/tmpfs, platform/ptrace/express_page", "files that guests map, express pages", "memory, within its limits");
  allow(abi::kNr_fcntl, "fs/tmpfs, fs/goferfs, platform/ptrace/express_page", "seals, status flags, host locks", "flags of descriptors it holds");
  allow(abi::kNr_flock, "fs/goferfs/host_locks", "flock(2) of guests in directories shared with the host",
        "locks on files it was given");
  allow(abi::kNr_ioctl, "fs/hostfd", "the caller's terminal: size and modes",
        "the terminal's modes; TIOCSTI and TIOCLINUX are refused",
        {seccomp::ArgIsNot(1, 0x5412), seccomp::ArgIsNot(1, 0x541C)});
  // Talking to `moat` and the gofer over the sockets it was given.
  allow(abi::kNr_sendmsg, "fs/goferfs, platform/ptrace", "requests to the gofer, descriptors to stubs", "what the gofer serves");
  allow(abi::kNr_recvmsg, "fs/goferfs", "replies of the gofer", "descriptors the gofer gives");
  allow(abi::kNr_sendto, "sentry/boot/control_channel", "reports to moat", "messages to moat");
  allow(abi::kNr_recvfrom, "sentry/boot/control_channel", "signals from moat", "nothing");
  allow(abi::kNr_ppoll, "fs/goferfs, fs/hostfd", "readiness of host files", "nothing");
  allow(abi::kNr_epoll_ctl, "base/fiber/host_watch", "watches host files", "nothing");
  allow(abi::kNr_epoll_pwait, "base/fiber/host_watch", "waits for host files", "nothing");
  // Its own memory and threads.
  allow(abi::kNr_mmap, "malloc, fiber stacks, memfds", "memory; never executable", "memory, not code",
        {ArgLacks(2, abi::kPROT_EXEC)});
  allow(abi::kNr_munmap, "malloc, fiber stacks", "memory", "nothing");
  allow(abi::kNr_mprotect, "malloc, guard pages", "memory; never executable", "nothing", {ArgLacks(2, abi::kPROT_EXEC)});
  allow(abi::kNr_mremap, "malloc", "memory", "nothing");
  allow(abi::kNr_madvise, "malloc, fiber stacks, sentry/boot/rest", "gives memory back", "nothing");
  allow(abi::kNr_brk, "malloc", "memory", "nothing");
  allow(abi::kNr_futex, "base/sync", "locks of its threads", "nothing");
  allow(abi::kNr_clock_gettime, "base/host/time", "where the vDSO cannot answer", "the time");
  allow(abi::kNr_sched_yield, "fs/goferfs", "lets the gofer answer on this CPU", "nothing");
  allow(abi::kNr_getrandom, "getrandom(2), AT_RANDOM", "random bytes", "random bytes");
  allow(abi::kNr_rt_sigprocmask, "abort", "ends the process on a failed check", "nothing");
  allow(abi::kNr_rt_sigreturn, "platform/ptrace/wait_window", "returns from the kick's handler", "nothing");
  allow(abi::kNr_restart_syscall, "kernel", "restarts waits after a stop", "nothing");
  allow(abi::kNr_sysinfo, "sysinfo(2), /proc/meminfo", "the host's memory size", "load and memory of the host");
  seccomp::AddSanitizerRows(f);
  allow(abi::kNr_exit_group, "base/host/process", "the end", "its own end");
  return f;
}

}  // namespace moat
