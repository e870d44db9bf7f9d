// Memory: mmap(2) and what follows from it.
#include "abi/mman.h"
#include "abi/personality.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/mount.h"
#include "sentry/kernel/limits.h"
#include "sentry/kernel/task.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/memory_remote.h"

namespace moat {
namespace {

constexpr uint64_t kInPage = abi::kPAGE_SIZE - 1;

bool ReadImpliesExec(Task& t, uint64_t prot) {
  return (t.personality & abi::kREAD_IMPLIES_EXEC) != 0 && (prot & abi::kPROT_READ) != 0;
}

ErrorOr<uint64_t> SysMmap(Task& t, UserAddr addr, uint64_t length, uint64_t prot, uint64_t flags, int fd, uint64_t offset) {
  if (offset & kInPage) return kEINVAL;
  MmapArgs args{.addr = addr,
                .length = length,
                .prot = static_cast<int>(prot),
                .flags = static_cast<int>(flags),
                .offset = offset};
  if (!(flags & abi::kMAP_ANONYMOUS)) {
    args.file = TRY(t.fds().Get(fd));
    if (flags & abi::kMAP_HUGETLB) return kEINVAL;
  } else if (flags & abi::kMAP_HUGETLB) {
    return kENOMEM;  // no huge pages are reserved
  }
  if (ReadImpliesExec(t, prot)) {
    const Mount* mount = args.file ? args.file->path().mount.get() : nullptr;
    if (!mount || !(mount->flags() & kMountNoExec)) args.prot |= static_cast<int>(abi::kPROT_EXEC);
  }
  return t.mm().Mmap(args, MemoryLimitsOf(t));
}

ErrorOr<void> SysMunmap(Task& t, UserAddr addr, uint64_t length) { return t.mm().Munmap(addr, length); }

ErrorOr<void> SysMprotect(Task& t, UserAddr addr, uint64_t length, uint64_t prot) {
  if (prot >> 32) return kEINVAL;
  if (ReadImpliesExec(t, prot)) prot |= abi::kPROT_EXEC;
  return t.mm().Mprotect(addr, length, static_cast<int>(prot), MemoryLimitsOf(t));
}

ErrorOr<uint64_t> SysMremap(Task& t, UserAddr addr, uint64_t old_length, uint64_t new_length, uint64_t flags, UserAddr new_addr) {
  if (flags >> 31) return kEINVAL;
  return t.mm().Mremap(addr, old_length, new_length, static_cast<int>(flags), new_addr, MemoryLimitsOf(t));
}

ErrorOr<uint64_t> SysBrk(Task& t, UserAddr addr) { return t.mm().Brk(addr, MemoryLimitsOf(t)); }

ErrorOr<void> SysMadvise(Task& t, UserAddr addr, uint64_t length, int advice) { return t.mm().Madvise(addr, length, advice); }

ErrorOr<void> SysMincore(Task& t, UserAddr addr, uint64_t length, UserAddr vec) { return t.mm().Mincore(addr, length, vec); }

ErrorOr<void> SysMsync(Task& t, UserAddr addr, uint64_t length, int flags) { return t.mm().Msync(addr, length, flags); }

ErrorOr<void> SysMlock(Task& t, UserAddr addr, uint64_t length) {
  return t.mm().Mlock(addr, length, false, MemoryLimitsOf(t));
}

ErrorOr<void> SysMlock2(Task& t, UserAddr addr, uint64_t length, int flags) {
  if (static_cast<uint32_t>(flags) & ~abi::kMLOCK_ONFAULT) return kEINVAL;
  return t.mm().Mlock(addr, length, flags != 0, MemoryLimitsOf(t));
}

ErrorOr<void> SysMunlock(Task& t, UserAddr addr, uint64_t length) { return t.mm().Munlock(addr, length); }
ErrorOr<void> SysMlockall(Task& t, int flags) { return t.mm().Mlockall(flags, MemoryLimitsOf(t)); }
ErrorOr<void> SysMunlockall(Task& t) { return t.mm().Munlockall(); }

ErrorOr<void> SysRemapFilePages(Task& t, UserAddr addr, uint64_t length, uint64_t prot, uint64_t page_offset, uint64_t flags) {
  if (prot) return kEINVAL;
  return t.mm().RemapFilePages(addr, length, 0, page_offset, static_cast<int>(flags), MemoryLimitsOf(t));
}

ErrorOr<void> SysMseal(Task& t, UserAddr addr, uint64_t length, uint64_t flags) {
  if (flags) return kEINVAL;
  return t.mm().Mseal(addr, length);
}

// Protection keys as on a processor without them (pkeys(7)).
ErrorOr<uint64_t> SysPkeyAlloc(Task&, uint64_t flags, uint64_t rights) {
  if (flags || (rights & ~uint64_t{abi::kPKEY_DISABLE_ACCESS | abi::kPKEY_DISABLE_WRITE})) return kEINVAL;
  return kENOSPC;
}

ErrorOr<void> SysPkeyFree(Task&, int) { return kEINVAL; }

ErrorOr<void> SysPkeyMprotect(Task& t, UserAddr addr, uint64_t length, uint64_t prot, int key) {
  if (key != -1) return kEINVAL;
  return SysMprotect(t, addr, length, prot);
}

// The host schedules guest threads, so these two have to be its own.
ErrorOr<uint64_t> SysMembarrier(Task& t, int command, uint32_t flags, int cpu) {
  const uint64_t args[] = {static_cast<uint32_t>(command), flags, static_cast<uint32_t>(cpu)};
  return t.mm().HostCall(&t.thread(), abi::kNr_membarrier, args);
}

ErrorOr<void> SysRseq(Task& t, UserAddr area, uint32_t length, int flags, uint32_t signature) {
  const uint64_t args[] = {area, length, static_cast<uint32_t>(flags), signature};
  TRY(t.mm().HostCall(&t.thread(), abi::kNr_rseq, args));
  bool registered = flags == 0;
  t.rseq_area = registered ? area : 0;
  t.rseq_length = registered ? length : 0;
  t.rseq_signature = registered ? signature : 0;
  return {};
}

constexpr SyscallRow kRows[] = {
    CALL_PARTIAL(mmap, SysMmap, "ptr u64 flags:prot flags:map fd hex", "MAP_HUGETLB: ENOMEM, as without reserved huge pages"),
    CALL(munmap, SysMunmap, "ptr u64"),
    CALL(mprotect, SysMprotect, "ptr u64 flags:prot"),
    CALL(mremap, SysMremap, "ptr u64 u64 hex ptr"),
    CALL(brk, SysBrk, "ptr"),
    CALL_PARTIAL(madvise, SysMadvise, "ptr u64 int", "MADV_HWPOISON and MADV_SOFT_OFFLINE: EINVAL; MADV_MERGEABLE has no effect"),
    CALL_PARTIAL(process_madvise, SysProcessMadvise, "fd ptr u64 int hex", "advice about pages only"),
    CALL(mincore, SysMincore, "ptr u64 ptr"),
    CALL(msync, SysMsync, "ptr u64 hex"),
    CALL_PARTIAL(mlock, SysMlock, "ptr u64", "populates; the host may still swap the pages out"),
    CALL_PARTIAL(mlock2, SysMlock2, "ptr u64 hex", "populates; the host may still swap the pages out"),
    CALL(munlock, SysMunlock, "ptr u64"),
    CALL_PARTIAL(mlockall, SysMlockall, "hex", "populates; the host may still swap the pages out"),
    CALL(munlockall, SysMunlockall, ""),
    CALL(remap_file_pages, SysRemapFilePages, "ptr u64 flags:prot u64 hex"),
    CALL(mseal, SysMseal, "ptr u64 hex"),
    CALL_PARTIAL(pkey_alloc, SysPkeyAlloc, "hex hex", "ENOSPC, as on a processor without protection keys"),
    CALL_PARTIAL(pkey_free, SysPkeyFree, "int", "EINVAL, as on a processor without protection keys"),
    CALL_PARTIAL(pkey_mprotect, SysPkeyMprotect, "ptr u64 flags:prot int", "key -1 only"),
    CALL(membarrier, SysMembarrier, "int hex int"),
    CALL(rseq, SysRseq, "ptr u64 hex hex"),
    CALL(process_vm_readv, SysProcessVmReadv, "pid ptr u64 ptr u64 hex"),
    CALL(process_vm_writev, SysProcessVmWritev, "pid ptr u64 ptr u64 hex"),
    CALL_PARTIAL(mbind, SysMbind, "ptr u64 int ptr u64 hex", "checked, not kept: there is one node"),
    CALL_PARTIAL(set_mempolicy, SysSetMempolicy, "int ptr u64", "checked and shown: there is one node"),
    CALL_PARTIAL(get_mempolicy, SysGetMempolicy, "ptr ptr u64 ptr hex", "a range's own policy is not kept: there is one node"),
    CALL_PARTIAL(set_mempolicy_home_node, SysSetMempolicyHomeNode, "ptr u64 u64 hex", "checked, not kept: there is one node"),
    CALL(migrate_pages, SysMigratePages, "pid u64 ptr ptr"),
    CALL_PARTIAL(move_pages, SysMovePages, "pid u64 ptr ptr ptr hex", "at most 2^20 pages a call: E2BIG"),
    CALL_REFUSED(userfaultfd, kEPERM, "as with vm.unprivileged_userfaultfd=0 and without CAP_SYS_PTRACE"),
};

}  // namespace

const SyscallFamily kMemoryCalls = {"memory", kRows};

}  // namespace moat
