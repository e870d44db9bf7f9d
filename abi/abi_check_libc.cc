// Compares with libc's headers what the kernel's do not have: see abi_check.cc.
// Ours come first, so that no macro of theirs meets them.
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

#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/ip_icmp.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <net/route.h>
#include <net/if_arp.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/statfs.h>
#include <sys/mman.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/signalfd.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/sysinfo.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/msg.h>
#include <sys/uio.h>
#include <sys/file.h>
#include <sys/user.h>
#include <sys/ptrace.h>
#include <sys/xattr.h>
#include <sys/mount.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/personality.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <signal.h>
#include <sched.h>
#include <poll.h>
#include <time.h>
#include <dirent.h>
#include <elf.h>
#include <mqueue.h>
#include <termios.h>
#include <unistd.h>
#include <ucontext.h>
#include <limits.h>
#include <syslog.h>
#include <sys/rseq.h>
#include <sys/sysmacros.h>
// clang-format on

#include <type_traits>

namespace moat::abi {
namespace {

#define MOAT_CHECK(name) \
  static_assert(static_cast<std::remove_const_t<decltype(k##name)>>(name) == k##name, #name);
#include "abi/abi_check_libc.inc"

// Ours and theirs agree in size, and in one member's place and size.
#define MOAT_SIZE(ours, theirs) static_assert(sizeof(ours) == sizeof(theirs), #ours)
#define MOAT_FIELD_AS(ours, field, theirs, their_field)                                    \
  static_assert(offsetof(ours, field) == offsetof(theirs, their_field), #ours " " #field); \
  static_assert(sizeof(ours{}.field) == sizeof(static_cast<theirs*>(nullptr)->their_field), #ours " " #field)
#define MOAT_FIELD(ours, theirs, field) MOAT_FIELD_AS(ours, field, theirs, field)

// libc's user_regs_struct and user_fpregs_struct are what ptrace(2) moves.
MOAT_SIZE(UserRegs, user_regs_struct);
MOAT_FIELD(UserRegs, user_regs_struct, rax);
MOAT_FIELD(UserRegs, user_regs_struct, orig_rax);
MOAT_FIELD(UserRegs, user_regs_struct, rip);
MOAT_FIELD(UserRegs, user_regs_struct, eflags);
MOAT_FIELD(UserRegs, user_regs_struct, fs_base);
MOAT_FIELD(UserRegs, user_regs_struct, gs_base);
MOAT_FIELD(UserRegs, user_regs_struct, ds);
MOAT_FIELD(UserRegs, user_regs_struct, gs);
MOAT_SIZE(FpState, user_fpregs_struct);
MOAT_FIELD_AS(FpState, mxcsr_mask, user_fpregs_struct, mxcr_mask);
MOAT_FIELD(FpState, user_fpregs_struct, xmm_space);

MOAT_SIZE(Sockaddr, sockaddr);
MOAT_SIZE(Ucred, ucred);
MOAT_FIELD(Ucred, ucred, gid);
MOAT_SIZE(Linger, linger);
MOAT_SIZE(Msghdr, msghdr);
MOAT_FIELD(Msghdr, msghdr, msg_name);
MOAT_FIELD(Msghdr, msghdr, msg_namelen);
MOAT_FIELD(Msghdr, msghdr, msg_iov);
MOAT_FIELD(Msghdr, msghdr, msg_iovlen);
MOAT_FIELD(Msghdr, msghdr, msg_control);
MOAT_FIELD(Msghdr, msghdr, msg_controllen);
MOAT_FIELD(Msghdr, msghdr, msg_flags);
MOAT_SIZE(Mmsghdr, mmsghdr);
MOAT_FIELD(Mmsghdr, mmsghdr, msg_len);
MOAT_SIZE(Cmsghdr, cmsghdr);
MOAT_FIELD(Cmsghdr, cmsghdr, cmsg_len);
MOAT_FIELD(Cmsghdr, cmsghdr, cmsg_level);
MOAT_FIELD(Cmsghdr, cmsghdr, cmsg_type);
static_assert(CmsgLen(4) == CMSG_LEN(4) && CmsgSpace(4) == CMSG_SPACE(4) && CmsgSpace(8) == CMSG_SPACE(8));

MOAT_SIZE(Ifreq, ifreq);
MOAT_SIZE(Ifconf, ifconf);
MOAT_SIZE(In6Addr, in6_addr);
MOAT_SIZE(IpMreq, ip_mreq);
MOAT_SIZE(SchedParam, sched_param);
MOAT_SIZE(FileHandle, file_handle);
MOAT_FIELD(LinuxDirent64, dirent64, d_ino);
MOAT_FIELD(LinuxDirent64, dirent64, d_off);
MOAT_FIELD(LinuxDirent64, dirent64, d_reclen);
MOAT_FIELD(LinuxDirent64, dirent64, d_type);
static_assert(offsetof(LinuxDirent64, d_name) == offsetof(dirent64, d_name));
static_assert(offsetof(LinuxDirent64, d_name) == kDIRENT64_HEADER_SIZE);
static_assert(offsetof(LinuxDirent, d_name) == kDIRENT_HEADER_SIZE);
static_assert(ModeToDirentType(S_IFDIR) == DT_DIR && ModeToDirentType(S_IFSOCK) == DT_SOCK);

MOAT_SIZE(Elf64Verdef, Elf64_Verdef);
MOAT_SIZE(Elf64Verdaux, Elf64_Verdaux);
MOAT_SIZE(Elf64Auxv, Elf64_auxv_t);
MOAT_SIZE(Stat, struct stat);
MOAT_FIELD(Stat, struct stat, st_atim);
MOAT_FIELD(Stat, struct stat, st_ctim);
MOAT_SIZE(SigInfo, siginfo_t);
MOAT_SIZE(Sigevent, sigevent);

static_assert(IsDir(S_IFDIR | 0755) == S_ISDIR(S_IFDIR | 0755) && !IsDir(S_IFREG) && IsSock(S_IFSOCK) &&
              IsFifo(S_IFIFO));
static_assert(WIFEXITED(WaitStatusExited(3)) && WEXITSTATUS(WaitStatusExited(3)) == 3);
static_assert(WIFSIGNALED(WaitStatusSignaled(SIGSEGV, true)) &&
              WTERMSIG(WaitStatusSignaled(SIGSEGV, true)) == SIGSEGV);
static_assert(WCOREDUMP(WaitStatusSignaled(SIGSEGV, true)) && !WCOREDUMP(WaitStatusSignaled(SIGKILL, false)));
static_assert(WIFSTOPPED(WaitStatusStopped(SIGTSTP)) && WSTOPSIG(WaitStatusStopped(SIGTSTP)) == SIGTSTP);
static_assert(WIFCONTINUED(kWAIT_STATUS_CONTINUED) && !WIFSTOPPED(kWAIT_STATUS_CONTINUED));

}  // namespace
}  // namespace moat::abi
