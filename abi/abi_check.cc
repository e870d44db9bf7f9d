// Compares our numbers and layouts with those of the build machine's kernel headers, at compile time. This
// file and abi_check_libc.cc are the only ones that include both; the headers of the kernel and libc do not
// mix in one. Ours come first, so that no macro of theirs meets them.
// clang-format off
#include "abi/aio.h"
#include "abi/auxv.h"
#include "abi/capability.h"
#include "abi/clone.h"
#include "abi/dirent.h"
#include "abi/elf.h"
#include "abi/epoll.h"
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/futex.h"
#include "abi/inotify.h"
#include "abi/ioctl.h"
#include "abi/ipc.h"
#include "abi/limits.h"
#include "abi/membarrier.h"
#include "abi/mman.h"
#include "abi/mount.h"
#include "abi/mqueue.h"
#include "abi/netinet.h"
#include "abi/netlink.h"
#include "abi/personality.h"
#include "abi/poll.h"
#include "abi/prctl.h"
#include "abi/ptrace.h"
#include "abi/random.h"
#include "abi/reboot.h"
#include "abi/regs.h"
#include "abi/rlimit.h"
#include "abi/rseq.h"
#include "abi/sched.h"
#include "abi/seccomp.h"
#include "abi/sigframe.h"
#include "abi/signal.h"
#include "abi/socket.h"
#include "abi/stat.h"
#include "abi/syscall_nr.h"
#include "abi/sysinfo.h"
#include "abi/time.h"
#include "abi/tty.h"
#include "abi/uio.h"
#include "abi/utsname.h"
#include "abi/wait.h"
#include "abi/xattr.h"

#include <stddef.h>

#include <asm/fcntl.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <asm/signal.h>
#include <asm/siginfo.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>
#include <asm/mman.h>
#include <asm/ioctls.h>
#include <asm/termios.h>
#include <asm/termbits.h>
#include <asm/ptrace.h>
#include <asm/prctl.h>
#include <asm/auxvec.h>
#include <asm/poll.h>
#include <asm/resource.h>
#include <asm/socket.h>
#include <asm/sockios.h>
#include <asm/unistd.h>
#include <asm/hwcap2.h>
#include <linux/aio_abi.h>
#include <linux/audit.h>
#include <linux/auxvec.h>
#include <linux/bpf_common.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/elf-em.h>
#include <linux/elf.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/fadvise.h>
#include <linux/falloc.h>
#include <linux/fanotify.h>
#include <linux/fcntl.h>
#include <linux/fiemap.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/inotify.h>
#include <linux/io_uring.h>
#include <linux/ioprio.h>
#include <linux/ipc.h>
#include <linux/kcmp.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <linux/mount.h>
#include <linux/mqueue.h>
#include <linux/msg.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/oom.h>
#include <linux/openat2.h>
#include <linux/personality.h>
#include <linux/pidfd.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <linux/resource.h>
#include <linux/rseq.h>
#include <linux/rtnetlink.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <linux/sem.h>
#include <linux/shm.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
#include <linux/socket.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <linux/inet_diag.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <linux/sysinfo.h>
#include <linux/tcp.h>
#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/timerfd.h>
#include <linux/times.h>
#include <linux/timex.h>
#include <linux/tty.h>
#include <linux/udp.h>
#include <linux/uio.h>
#include <linux/un.h>
#include <linux/userfaultfd.h>
#include <linux/utime.h>
#include <linux/utsname.h>
#include <linux/vt.h>
#include <linux/kd.h>
#include <linux/wait.h>
#include <linux/xattr.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/if_packet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/posix_types.h>
#include <linux/kdev_t.h>
#include <linux/major.h>
#include <linux/rtc.h>
// clang-format on

#include <type_traits>

// Our members have these names plainly; the kernel's are macros.
#undef sa_handler
#undef sa_sigaction
#undef si_addr
#undef si_addr_lsb
#undef si_arch
#undef si_band
#undef si_call_addr
#undef si_fd
#undef si_int
#undef si_lower
#undef si_overrun
#undef si_perf_data
#undef si_perf_flags
#undef si_perf_type
#undef si_pid
#undef si_pkey
#undef si_ptr
#undef si_status
#undef si_stime
#undef si_sys_private
#undef si_syscall
#undef si_tid
#undef si_timerid
#undef si_trapno
#undef si_uid
#undef si_upper
#undef si_utime
#undef si_value
#undef sigev_notify_attributes
#undef sigev_notify_function
#undef sigev_notify_thread_id
#undef s6_addr

namespace moat::abi {
namespace {

#define MOAT_CHECK(name) \
  static_assert(static_cast<std::remove_const_t<decltype(k##name)>>(name) == k##name, #name);
#define MOAT_CHECK_ERRNO(name) static_assert(static_cast<int>(moat::k##name) == name, #name);
#include "abi/abi_check_kernel.inc"

// Calls that kernel headers older than ours lack.
#ifndef __NR_cachestat
#define __NR_cachestat 451
#define __NR_fchmodat2 452
#define __NR_map_shadow_stack 453
#define __NR_futex_wake 454
#define __NR_futex_wait 455
#define __NR_futex_requeue 456
#define __NR_statmount 457
#define __NR_listmount 458
#define __NR_lsm_get_self_attr 459
#define __NR_lsm_set_self_attr 460
#define __NR_lsm_list_modules 461
#define __NR_mseal 462
#endif
#define MOAT_SYSCALL(nr, name) static_assert(nr == __NR_##name, #name);
#include "abi/syscall_nr.inc"
#undef MOAT_SYSCALL

// Ours and theirs agree in size, and in one member's place and size.
#define MOAT_SIZE(ours, theirs) static_assert(sizeof(ours) == sizeof(theirs), #ours)
#define MOAT_FIELD_AS(ours, field, theirs, their_field)                                    \
  static_assert(offsetof(ours, field) == offsetof(theirs, their_field), #ours " " #field); \
  static_assert(sizeof(ours{}.field) == sizeof(static_cast<theirs*>(nullptr)->their_field), #ours " " #field)
#define MOAT_FIELD(ours, theirs, field) MOAT_FIELD_AS(ours, field, theirs, field)

#include "abi/abi_check_structs.inc"

static_assert(Ioc(kIOC_READ, 'T', 0x30, 4) == _IOR('T', 0x30, int));
static_assert(IocSize(_IOW('X', 5, long)) == 8 && IocType(_IOW('X', 5, long)) == 'X');
static_assert(IocDir(_IOW('X', 5, long)) == kIOC_WRITE && IocNr(_IOW('X', 5, long)) == 5);
static_assert(NlmsgAlign(17) == NLMSG_ALIGN(17) && RtaAlign(5) == RTA_ALIGN(5));
static_assert(kCAP_FULL_SET == (uint64_t{1} << (CAP_LAST_CAP + 1)) - 1);

}  // namespace
}  // namespace moat::abi
