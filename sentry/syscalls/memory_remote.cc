#include "sentry/syscalls/memory_remote.h"

#include <algorithm>
#include <array>
#include <memory>

#include "abi/capability.h"
#include "abi/mman.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pidfd.h"
#include "sentry/kernel/task.h"
#include "sentry/syscalls/file_io.h"

namespace moat {
namespace {

constexpr uint64_t kInPage = abi::kPAGE_SIZE - 1;
constexpr size_t kCopyChunk = size_t{64} << 10;

// --- Access to other processes ---

// ptrace(2), "Ptrace access mode checking", with real ids (PTRACE_MODE_ATTACH_REALCREDS).
bool MayAccess(const Task& caller, const Task& target) {
  if (&caller.group() == &target.group()) return true;
  const Credentials& c = caller.creds();
  if (c.Has(abi::kCAP_SYS_PTRACE)) return true;
  Ref<const Credentials> its = target.creds_ref();
  const Credentials& o = *its;
  bool same = c.uid == o.euid && c.uid == o.suid && c.uid == o.uid && c.gid == o.egid && c.gid == o.sgid && c.gid == o.gid;
  return same && target.dumpable() == 1;
}

// The memory of `pid` (0: the caller's own). kESRCH, kEPERM.
ErrorOr<Ref<MemoryManager>> MemoryOf(Task& t, int pid) {
  if (pid == 0) return t.mm_ref();
  Ref<MemoryManager> mm;  // dropped after the lock
  MutexLock lock(t.kernel().tasks_lock);
  Task* target = t.kernel().FindTask(pid);
  if (target) mm = target->mm_ref();
  if (!mm) return kESRCH;
  if (!MayAccess(t, *target)) return kEPERM;
  return mm;
}

// Copies until one side ends or faults; what was done before a fault counts.
ErrorOr<uint64_t> Transfer(IoSource& src, IoSink& dst) {
  size_t total = std::min(src.remaining(), dst.remaining());
  auto buffer = std::make_unique<std::array<std::byte, kCopyChunk>>();
  uint64_t done = 0;
  while (done < total) {
    size_t want = std::min<size_t>(buffer->size(), total - done);
    ErrorOr<size_t> got = src.Get(std::span(*buffer).first(want));
    if (!got.ok()) return done ? ErrorOr<uint64_t>(done) : got.error();
    ErrorOr<size_t> put = dst.Put(std::span(*buffer).first(*got));
    if (!put.ok()) return done ? ErrorOr<uint64_t>(done) : put.error();
    done += *put;
    if (*got < want || *put < *got) break;
  }
  return done;
}

ErrorOr<uint64_t> ProcessVm(Task& t, int pid, UserAddr local, uint64_t local_count, UserAddr remote, uint64_t remote_count,
                            uint64_t flags, bool write) {
  if (flags) return kEINVAL;
  std::vector<UserRange> mine = TRY(ReadIovec(t, local, local_count));
  auto empty = [](const std::vector<UserRange>& v) {
    return std::all_of(v.begin(), v.end(), [](const UserRange& r) { return r.length == 0; });
  };
  if (empty(mine)) return uint64_t{0};
  std::vector<UserRange> theirs = TRY(ReadIovec(t, remote, remote_count));
  if (empty(theirs)) return uint64_t{0};
  if (pid <= 0) return kESRCH;
  Ref<MemoryManager> other = TRY(MemoryOf(t, pid));
  UserMemory& from = write ? static_cast<UserMemory&>(t.mm()) : *other;
  UserMemory& to = write ? static_cast<UserMemory&>(*other) : t.mm();
  UserSource src(from, write ? std::move(mine) : std::move(theirs));
  UserSink dst(to, write ? std::move(theirs) : std::move(mine));
  return Transfer(src, dst);
}

// --- NUMA: one node, number 0 ---

constexpr uint64_t kMaxNumNodes = 1024;  // MAX_NUMNODES of distributions' kernels
constexpr int kMaxPolicy = abi::kMPOL_WEIGHTED_INTERLEAVE;
constexpr uint64_t kMaxMovePages = uint64_t{1} << 20;

struct NodeSet {
  bool node0 = false;
  bool any = false;
};

// A node mask of `max_node` - 1 bits.
ErrorOr<NodeSet> ReadNodes(Task& t, UserAddr mask, uint64_t max_node) {
  NodeSet set;
  if (max_node == 0 || mask == 0) return set;
  uint64_t bits = max_node - 1;
  if (bits == 0) return set;
  if (bits > abi::kPAGE_SIZE * 8) return kEINVAL;
  uint64_t words = (bits + 63) / 64;
  std::vector<uint64_t> v = TRY(t.mm().ReadArray<uint64_t>(mask, words, words));
  if (bits % 64) v.back() &= (uint64_t{1} << (bits % 64)) - 1;
  for (uint64_t i = 0; i < words; ++i) {
    if (v[i] && i >= kMaxNumNodes / 64) return kEINVAL;
    set.any |= v[i] != 0;
  }
  set.node0 = v[0] & 1;
  return set;
}

// Checks a policy as mpol_new() does.
ErrorOr<void> CheckPolicy(uint64_t mode, const NodeSet& nodes) {
  uint64_t flags = mode & abi::kMPOL_MODE_FLAGS;
  int policy = static_cast<int>(mode & ~uint64_t{abi::kMPOL_MODE_FLAGS});
  if ((mode & ~uint64_t{abi::kMPOL_MODE_FLAGS}) > kMaxPolicy) return kEINVAL;
  constexpr uint64_t kBoth = abi::kMPOL_F_STATIC_NODES | abi::kMPOL_F_RELATIVE_NODES;
  if ((flags & kBoth) == kBoth) return kEINVAL;
  if ((flags & abi::kMPOL_F_NUMA_BALANCING) && policy != abi::kMPOL_BIND && policy != abi::kMPOL_PREFERRED_MANY) return kEINVAL;
  switch (policy) {
    case abi::kMPOL_DEFAULT: return nodes.any ? ErrorOr<void>(kEINVAL) : ErrorOr<void>();
    case abi::kMPOL_LOCAL: return nodes.any || (flags & kBoth) ? ErrorOr<void>(kEINVAL) : ErrorOr<void>();
    case abi::kMPOL_PREFERRED:
      if (!nodes.any) return flags & kBoth ? ErrorOr<void>(kEINVAL) : ErrorOr<void>();
      break;
    default: break;
  }
  // Relative nodes are folded onto the ones that there are.
  bool usable = flags & abi::kMPOL_F_RELATIVE_NODES ? nodes.any : nodes.node0;
  return usable ? ErrorOr<void>() : ErrorOr<void>(kEINVAL);
}

// The mask {0}, or the empty one, as wide as the caller asked.
ErrorOr<void> WriteNodes(Task& t, UserAddr mask, uint64_t max_node, bool node0) {
  uint64_t bytes = ((max_node - 1 + 63) / 64) * 8;
  if (bytes > abi::kPAGE_SIZE) return kEINVAL;
  if (bytes == 0) return {};
  std::vector<uint64_t> v(bytes / 8);
  v[0] = node0;
  return t.mm().CopyOut(mask, v.data(), bytes);
}

bool Mapped(MemoryManager& mm, UserAddr addr) { return mm.FindVma(addr, nullptr); }

// Where a page is: node 0, or -errno.
int PageNode(MemoryManager& mm, UserAddr addr) {
  Vma v;
  if (!mm.FindVma(addr, &v)) return static_cast<int>(ToSyscallReturn(kEFAULT));
  return mm.IsResident(addr & ~kInPage) ? 0 : static_cast<int>(ToSyscallReturn(kENOENT));
}

}  // namespace

ErrorOr<uint64_t> SysProcessVmReadv(Task& t, int pid, UserAddr local, uint64_t local_count, UserAddr remote,
                                    uint64_t remote_count, uint64_t flags) {
  return ProcessVm(t, pid, local, local_count, remote, remote_count, flags, false);
}

ErrorOr<uint64_t> SysProcessVmWritev(Task& t, int pid, UserAddr local, uint64_t local_count, UserAddr remote,
                                     uint64_t remote_count, uint64_t flags) {
  return ProcessVm(t, pid, local, local_count, remote, remote_count, flags, true);
}

ErrorOr<uint64_t> SysProcessMadvise(Task& t, int pidfd, UserAddr iov, uint64_t count, int advice, uint32_t flags) {
  if (flags) return kEINVAL;
  std::vector<UserRange> ranges = TRY(ReadIovec(t, iov, count));
  Ref<PidFd> process = RefCast<PidFd>(TRY(t.fds().Get(pidfd)));
  if (!process) return kEBADF;
  Ref<MemoryManager> mm = TRY(MemoryOf(t, process->group().tgid()));
  if (mm.get() != &t.mm()) {
    if (advice != abi::kMADV_COLD && advice != abi::kMADV_PAGEOUT && advice != abi::kMADV_WILLNEED &&
        advice != abi::kMADV_COLLAPSE) {
      return kEINVAL;
    }
    if (!t.creds().Has(abi::kCAP_SYS_NICE)) return kEPERM;
  }
  uint64_t done = 0;
  for (const UserRange& r : ranges) {
    ErrorOr<void> one = mm->Madvise(r.addr, r.length, advice);
    if (!one.ok()) return done ? ErrorOr<uint64_t>(done) : one.error();
    done += r.length;
  }
  return done;
}

ErrorOr<void> SysMbind(Task& t, UserAddr start, uint64_t length, uint64_t mode, UserAddr nodes, uint64_t max_node,
                       uint32_t flags) {
  NodeSet set = TRY(ReadNodes(t, nodes, max_node));
  if (flags & ~(abi::kMPOL_MF_STRICT | abi::kMPOL_MF_MOVE | abi::kMPOL_MF_MOVE_ALL)) return kEINVAL;
  if ((flags & abi::kMPOL_MF_MOVE_ALL) && !t.creds().Has(abi::kCAP_SYS_NICE)) return kEPERM;
  if (start & kInPage) return kEINVAL;
  UserAddr end = start + ((length + kInPage) & ~kInPage);
  if (end < start) return kEINVAL;
  if (end == start) return {};
  TRY(CheckPolicy(mode, set));
  for (UserAddr at = start; at < end;) {
    Vma v;
    if (!t.mm().FindVma(at, &v)) return kEFAULT;
    at = v.end;
  }
  return {};
}

ErrorOr<void> SysSetMempolicy(Task& t, int mode, UserAddr nodes, uint64_t max_node) {
  NodeSet set = TRY(ReadNodes(t, nodes, max_node));
  TRY(CheckPolicy(static_cast<uint32_t>(mode), set));
  bool local = mode == abi::kMPOL_PREFERRED && !set.any;
  t.numa_policy = local ? abi::kMPOL_LOCAL : mode;
  t.numa_nodes = set.any ? 1 : 0;
  return {};
}

ErrorOr<void> SysGetMempolicy(Task& t, UserAddr policy, UserAddr nodes, uint64_t max_node, UserAddr addr, uint64_t flags) {
  constexpr uint64_t kNode = abi::kMPOL_F_NODE, kAddr = abi::kMPOL_F_ADDR, kAllowed = abi::kMPOL_F_MEMS_ALLOWED;
  if (nodes && max_node < 1) return kEINVAL;
  if (flags & ~(kNode | kAddr | kAllowed)) return kEINVAL;
  int shown = t.numa_policy;
  bool node0 = t.numa_nodes != 0;
  if (flags & kAllowed) {
    if (flags & (kNode | kAddr)) return kEINVAL;
    shown = 0;
    node0 = true;
  } else if (flags & kAddr) {
    if (!Mapped(t.mm(), addr)) return kEFAULT;
    if (flags & kNode) shown = 0;  // the node that the page is on
  } else {
    if (addr) return kEINVAL;
    if (flags & kNode) {
      int mode = t.numa_policy & ~static_cast<int>(abi::kMPOL_MODE_FLAGS);
      if (mode != abi::kMPOL_INTERLEAVE && mode != abi::kMPOL_WEIGHTED_INTERLEAVE) return kEINVAL;
      shown = 0;  // the next node to allocate from
    }
  }
  if (policy) TRY(t.mm().Write<int>(policy, shown));
  if (nodes) TRY(WriteNodes(t, nodes, max_node, node0));
  return {};
}

ErrorOr<void> SysSetMempolicyHomeNode(Task&, UserAddr start, uint64_t length, uint64_t node, uint64_t flags) {
  if ((start & kInPage) || flags || node != 0) return kEINVAL;
  UserAddr end = start + ((length + kInPage) & ~kInPage);
  if (end < start) return kEINVAL;
  return {};
}

ErrorOr<uint64_t> SysMigratePages(Task& t, int pid, uint64_t max_node, UserAddr from, UserAddr to) {
  TRY(ReadNodes(t, from, max_node));
  NodeSet target = TRY(ReadNodes(t, to, max_node));
  TRY(MemoryOf(t, pid));
  if (!target.node0) return kEINVAL;
  return uint64_t{0};  // every page is on node 0 already
}

ErrorOr<void> SysMovePages(Task& t, int pid, uint64_t count, UserAddr pages, UserAddr nodes, UserAddr status, int flags) {
  constexpr int kMove = abi::kMPOL_MF_MOVE, kMoveAll = abi::kMPOL_MF_MOVE_ALL;
  if (flags & ~(kMove | kMoveAll)) return kEINVAL;
  if ((flags & kMoveAll) && !t.creds().Has(abi::kCAP_SYS_NICE)) return kEPERM;
  Ref<MemoryManager> mm = TRY(MemoryOf(t, pid));
  if (count > kMaxMovePages) return kE2BIG;
  for (uint64_t i = 0; i < count; ++i) {
    UserAddr page = TRY(t.mm().Read<uint64_t>(pages + i * sizeof(uint64_t)));
    if (nodes && TRY(t.mm().Read<int>(nodes + i * sizeof(int))) != 0) return kENODEV;
    TRY(t.mm().Write<int>(status + i * sizeof(int), PageNode(*mm, page)));
  }
  return {};
}

}  // namespace moat
