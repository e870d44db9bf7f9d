// Calls that always fail, as on a Linux where the feature is configured out or the caller lacks the privilege for it. Each row
// says which of the two, so that the reader of docs/SYSCALLS.md knows what to expect.
#include "sentry/syscalls/families.h"

namespace moat {
namespace {

constexpr SyscallRow kRows[] = {
    // The host kernel's own business: no privilege in a sandbox reaches it.
    CALL_REFUSED(bpf, kEPERM, "as with kernel.unprivileged_bpf_disabled"),
    CALL_REFUSED(perf_event_open, kEACCES, "as with kernel.perf_event_paranoid above 2"),
    CALL_REFUSED(kexec_load, kEPERM, "needs CAP_SYS_BOOT on the host"),
    CALL_REFUSED(kexec_file_load, kEPERM, "needs CAP_SYS_BOOT on the host"),
    CALL_REFUSED(reboot, kEPERM, "needs CAP_SYS_BOOT on the host"),
    CALL_REFUSED(init_module, kEPERM, "needs CAP_SYS_MODULE on the host"),
    CALL_REFUSED(finit_module, kEPERM, "needs CAP_SYS_MODULE on the host"),
    CALL_REFUSED(delete_module, kEPERM, "needs CAP_SYS_MODULE on the host"),
    CALL_REFUSED(syslog, kEPERM, "needs CAP_SYSLOG on the host"),
    CALL_REFUSED(iopl, kEPERM, "needs CAP_SYS_RAWIO on the host"),
    CALL_REFUSED(ioperm, kEPERM, "needs CAP_SYS_RAWIO on the host"),
    CALL_REFUSED(setns, kEPERM, "there are no namespaces to enter"),

    // Features that a kernel can be built or set up without.
    CALL_REFUSED(io_uring_setup, kEPERM, "as with kernel.io_uring_disabled=2"),
    CALL_REFUSED(io_uring_enter, kEOPNOTSUPP, "no descriptor is a ring"),
    CALL_REFUSED(io_uring_register, kEOPNOTSUPP, "no descriptor is a ring"),
    CALL_REFUSED(io_setup, kENOSYS, "as without CONFIG_AIO"),
    CALL_REFUSED(io_destroy, kENOSYS, "as without CONFIG_AIO"),
    CALL_REFUSED(io_getevents, kENOSYS, "as without CONFIG_AIO"),
    CALL_REFUSED(io_pgetevents, kENOSYS, "as without CONFIG_AIO"),
    CALL_REFUSED(io_submit, kENOSYS, "as without CONFIG_AIO"),
    CALL_REFUSED(io_cancel, kENOSYS, "as without CONFIG_AIO"),
    CALL_REFUSED(add_key, kENOSYS, "as without CONFIG_KEYS"),
    CALL_REFUSED(request_key, kENOSYS, "as without CONFIG_KEYS"),
    CALL_REFUSED(keyctl, kENOSYS, "as without CONFIG_KEYS"),
    CALL_REFUSED(landlock_create_ruleset, kENOSYS, "as without CONFIG_SECURITY_LANDLOCK"),
    CALL_REFUSED(landlock_add_rule, kENOSYS, "as without CONFIG_SECURITY_LANDLOCK"),
    CALL_REFUSED(landlock_restrict_self, kENOSYS, "as without CONFIG_SECURITY_LANDLOCK"),
    CALL_REFUSED(lsm_get_self_attr, kENOSYS, "as without CONFIG_SECURITY"),
    CALL_REFUSED(lsm_set_self_attr, kENOSYS, "as without CONFIG_SECURITY"),
    CALL_REFUSED(lsm_list_modules, kENOSYS, "as without CONFIG_SECURITY"),
    CALL_REFUSED(fanotify_init, kENOSYS, "as without CONFIG_FANOTIFY"),
    CALL_REFUSED(fanotify_mark, kENOSYS, "as without CONFIG_FANOTIFY"),
    CALL_REFUSED(modify_ldt, kENOSYS, "as without CONFIG_MODIFY_LDT_SYSCALL"),
    CALL_REFUSED(memfd_secret, kENOSYS, "as without CONFIG_SECRETMEM"),
    CALL_REFUSED(map_shadow_stack, kEOPNOTSUPP, "as on a CPU without shadow stacks"),
    CALL_REFUSED(kcmp, kENOSYS, "as without CONFIG_KCMP"),
    CALL_REFUSED(sysfs, kENOSYS, "as without CONFIG_SYSFS_SYSCALL"),
    CALL_REFUSED(uselib, kENOSYS, "as without CONFIG_USELIB"),
    CALL_REFUSED(ustat, kENOSYS, "statfs(2) replaced it"),

    // Numbers that no x86-64 kernel of today serves.
    CALL_REFUSED(_sysctl, kENOSYS, "removed from Linux"),
    CALL_REFUSED(create_module, kENOSYS, "removed from Linux"),
    CALL_REFUSED(get_kernel_syms, kENOSYS, "removed from Linux"),
    CALL_REFUSED(query_module, kENOSYS, "removed from Linux"),
    CALL_REFUSED(nfsservctl, kENOSYS, "removed from Linux"),
    CALL_REFUSED(lookup_dcookie, kENOSYS, "removed from Linux"),
    CALL_REFUSED(epoll_ctl_old, kENOSYS, "never implemented in Linux"),
    CALL_REFUSED(epoll_wait_old, kENOSYS, "never implemented in Linux"),
    CALL_REFUSED(getpmsg, kENOSYS, "never implemented in Linux"),
    CALL_REFUSED(putpmsg, kENOSYS, "never implemented in Linux"),
    CALL_REFUSED(afs_syscall, kENOSYS, "never implemented in Linux"),
    CALL_REFUSED(tuxcall, kENOSYS, "never implemented in Linux"),
    CALL_REFUSED(security, kENOSYS, "never implemented in Linux"),
    CALL_REFUSED(vserver, kENOSYS, "never implemented in Linux"),
    CALL_REFUSED(set_thread_area, kENOSYS, "of 32-bit programs only"),
    CALL_REFUSED(get_thread_area, kENOSYS, "of 32-bit programs only"),
};

}  // namespace

const SyscallFamily kRefusedCalls = {"refused", kRows};

}  // namespace moat
