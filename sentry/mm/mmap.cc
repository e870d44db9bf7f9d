// mmap(2), munmap(2), brk(2), remap_file_pages(2).
#include <algorithm>

#include "abi/mman.h"
#include "fs/tmpfs/memfd.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/mount.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/mm/mm_internal.h"

namespace moat {

using mm::kMaxMapCount;
using mm::kPage;

namespace {

// Flags that a plain MAP_SHARED ignores and MAP_SHARED_VALIDATE knows (LEGACY_MAP_MASK of mman.h).
constexpr uint32_t kKnownFlags = abi::kMAP_SHARED | abi::kMAP_PRIVATE | abi::kMAP_FIXED | abi::kMAP_ANONYMOUS |
                                 abi::kMAP_DENYWRITE | abi::kMAP_EXECUTABLE | abi::kMAP_UNINITIALIZED | abi::kMAP_GROWSDOWN |
                                 abi::kMAP_LOCKED | abi::kMAP_NORESERVE | abi::kMAP_POPULATE | abi::kMAP_NONBLOCK |
                                 abi::kMAP_STACK | abi::kMAP_HUGETLB | abi::kMAP_32BIT | abi::kMAP_ABOVE4G |
                                 abi::kMAP_FIXED_NOREPLACE | (abi::kMAP_HUGE_MASK << abi::kMAP_HUGE_SHIFT);

constexpr UserAddr k32BitLow = 0x40000000, k32BitHigh = 0x80000000;
constexpr UserAddr k4G = uint64_t{1} << 32;
constexpr uint64_t kMaxFileBytes = INT64_MAX;  // MAX_LFS_FILESIZE
// Where the search starts before a loader has placed it: below the largest stack that is usual.
constexpr uint64_t kDefaultStackRoom = uint64_t{128} << 20;

bool NoExecMount(const FileDescription& file) {
  const Ref<Mount>& mount = file.path().mount;
  return mount && (mount->flags() & kMountNoExec);
}

}  // namespace

// One mmap call: what the entry will be, and where its pages come from.
struct MemoryManager::Plan {
  uint64_t length = 0;
  Vma vma{};
  HostBacking backing{};  // fd -1: anonymous
  Ref<Inode> counted{};   // or null: holds a writable mapping's count from before the file was asked

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() { Count(nullptr); }
  void Count(Inode* inode) {
    if (counted) counted->CountWritableMapping(-1);
    counted = Ref<Inode>(inode);
    if (counted) counted->CountWritableMapping(1);
  }
};

// The checks of do_mmap() for files, in its order.
ErrorOr<void> MemoryManager::PlanFile(const MmapArgs& args, Plan& plan) {
  FileDescription& file = *args.file;
  Vma& v = plan.vma;
  if (file.inode().is_regular() && (plan.length > kMaxFileBytes || args.offset > kMaxFileBytes - plan.length)) return kEOVERFLOW;
  uint32_t type = static_cast<uint32_t>(args.flags) & abi::kMAP_TYPE;
  if (type == abi::kMAP_SHARED_VALIDATE) {
    if (static_cast<uint32_t>(args.flags) & ~kKnownFlags) return kEOPNOTSUPP;
    type = abi::kMAP_SHARED;
  }
  if (type == abi::kMAP_SHARED) {
    if ((v.prot & abi::kPROT_WRITE) && !file.writable()) return kEACCES;
    if (!file.writable()) v.max_prot &= ~static_cast<int>(abi::kPROT_WRITE);
    v.shared = true;
  } else if (type != abi::kMAP_PRIVATE) {
    return kEINVAL;
  }
  if (!file.readable()) return kEACCES;
  if (NoExecMount(file)) {
    if (v.prot & abi::kPROT_EXEC) return kEPERM;
    v.max_prot &= ~static_cast<int>(abi::kPROT_EXEC);
  }
  bool may_write = v.shared && (v.max_prot & abi::kPROT_WRITE);
  if (may_write) plan.Count(&file.inode());  // first: a seal either sees it or is seen by Map
  ErrorOr<HostBacking> backing = file.Map(args.offset, plan.length, may_write);
  if (backing.error() == kEPERM && may_write && !(v.prot & abi::kPROT_WRITE)) {
    // A write seal: the file can still be mapped for good without write permission.
    v.max_prot &= ~static_cast<int>(abi::kPROT_WRITE);
    plan.Count(nullptr);
    backing = file.Map(args.offset, plan.length, false);
  }
  if (!backing.ok()) return backing.error();
  if (v.grows_down) return kEINVAL;
  plan.backing = *backing;
  v.file = args.file;
  v.offset = args.offset;
  return {};
}

ErrorOr<void> MemoryManager::PlanAnonymous(const MmapArgs& args, Plan& plan) {
  uint32_t type = static_cast<uint32_t>(args.flags) & abi::kMAP_TYPE;
  if (type == abi::kMAP_PRIVATE) return {};
  if (type != abi::kMAP_SHARED || plan.vma.grows_down) return kEINVAL;
  plan.vma.shared = true;
  plan.vma.file = TRY(MakeSharedAnonymous(plan.length));
  plan.backing = TRY(plan.vma.file->Map(0, plan.length, true));
  return {};
}

ErrorOr<UserAddr> MemoryManager::FindRoomLocked(uint64_t length, UserAddr low) {
  UserAddr high = layout.mmap_base ? layout.mmap_base : info_.task_size - kDefaultStackRoom;
  low = std::max(low, info_.mmap_min);
  if (auto at = book_.FindTopDown(length, low, high)) return *at;
  // As Linux: what does not fit below the base may go above it.
  if (auto at = book_.FindBottomUp(length, std::max(low, mm::PageUp(info_.task_size / 3)), info_.task_size)) return *at;
  return kENOMEM;
}

ErrorOr<UserAddr> MemoryManager::FindRoom(uint64_t length) {
  length = mm::PageUp(length);
  if (length == 0 || length > info_.task_size) return kENOMEM;
  MutexLock lock(mu_);
  return FindRoomLocked(length, 0);
}

// get_unmapped_area().
ErrorOr<UserAddr> MemoryManager::Choose(UserAddr hint, uint64_t length, int flags) {
  bool fixed = flags & static_cast<int>(abi::kMAP_FIXED | abi::kMAP_FIXED_NOREPLACE);
  if (length > info_.task_size) return kENOMEM;
  if (fixed) {
    if (hint > info_.task_size - length) return kENOMEM;
    if (!mm::Aligned(hint)) return kEINVAL;
    if (hint < info_.mmap_min) return kEPERM;
    LearnGrowth(hint, hint + length);
    MutexLock lock(mu_);
    if ((flags & static_cast<int>(abi::kMAP_FIXED_NOREPLACE)) && book_.Overlaps(hint, hint + length)) return kEEXIST;
    return hint;
  }
  bool low_wanted = flags & static_cast<int>(abi::kMAP_32BIT);
  hint = mm::PageDown(hint);
  if (hint != 0 && hint < info_.mmap_min) hint = info_.mmap_min;
  UserAddr end = low_wanted ? k32BitHigh : info_.task_size;
  if (hint != 0 && length <= end && hint <= end - length) {
    LearnGrowth(hint, hint + length);
    MutexLock lock(mu_);
    if (book_.Fits(hint, length)) return hint;
  }
  MutexLock lock(mu_);
  if (!low_wanted) return FindRoomLocked(length, flags & static_cast<int>(abi::kMAP_ABOVE4G) ? k4G : 0);
  auto at = book_.FindBottomUp(length, k32BitLow, k32BitHigh);
  if (!at) return kENOMEM;
  return *at;
}

ErrorOr<void> MemoryManager::CheckExpand(uint64_t more, bool data, UserAddr start, UserAddr end, const MemoryLimits& limits) {
  uint64_t total = book_.total_bytes() - book_.BytesIn(start, end);
  if (total > limits.address_space || more > limits.address_space - total) return kENOMEM;
  if (!data) return {};
  uint64_t used = book_.data_bytes() - book_.DataBytesIn(start, end);
  if (used > limits.data || more > limits.data - used) return kENOMEM;
  return {};
}

// The checks that come once the place is known.
ErrorOr<void> MemoryManager::CheckPlan(const Plan& plan, const MemoryLimits& limits) {
  const Vma& v = plan.vma;
  MutexLock lock(mu_);
  if (book_.AnySealed(v.start, v.end)) return kEPERM;
  return CheckExpand(plan.length, v.is_data(), v.start, v.end, limits);
}

ErrorOr<UserAddr> MemoryManager::Mmap(const MmapArgs& args, const MemoryLimits& limits) {
  if (args.length == 0) return kEINVAL;
  Plan plan;
  plan.length = mm::PageUp(args.length);
  if (plan.length == 0) return kENOMEM;
  uint32_t flags = static_cast<uint32_t>(args.flags);
  Vma& v = plan.vma;
  v.prot = args.prot & mm::kProtMask;
  v.grows_down = flags & abi::kMAP_GROWSDOWN;
  v.no_reserve = flags & abi::kMAP_NORESERVE;
  v.name = args.name;
  // Asking the file may park and take locks that are above mmap_lock; its error comes after those of the address.
  bool has_file = args.file != nullptr && !(flags & abi::kMAP_ANONYMOUS);
  ErrorOr<void> source = has_file ? PlanFile(args, plan) : PlanAnonymous(args, plan);

  Dropped dropped;
  TaskMutexLock lock(mmap_lock_);
  int lock_future = 0;
  {
    MutexLock book(mu_);
    if (book_.count() > kMaxMapCount) return kENOMEM;
    lock_future = lock_future_;
  }
  UserAddr addr = TRY(Choose(args.addr, plan.length, args.flags));
  if ((flags & abi::kMAP_LOCKED) && limits.memlock == 0 && !limits.can_lock_any) return kEPERM;
  v.locked = (flags & abi::kMAP_LOCKED) || (lock_future & static_cast<int>(abi::kMCL_FUTURE));
  if (v.locked && !limits.can_lock_any) {
    MutexLock book(mu_);
    uint64_t locked = book_.locked_bytes();
    if (locked > limits.memlock || plan.length > limits.memlock - locked) return kEAGAIN;
  }
  TRY(std::move(source));
  v.start = addr;
  v.end = addr + plan.length;
  TRY(CheckPlan(plan, limits));

  int host_flags = 0;
  if (v.no_reserve) host_flags |= abi::kMAP_NORESERVE;
  if (v.grows_down) host_flags |= abi::kMAP_GROWSDOWN;
  bool on_fault = lock_future & static_cast<int>(abi::kMCL_ONFAULT);
  bool populate = (flags & (abi::kMAP_POPULATE | abi::kMAP_NONBLOCK)) == abi::kMAP_POPULATE;
  if (populate || (v.locked && !on_fault)) host_flags |= abi::kMAP_POPULATE;
  MapSource from{.fd = plan.backing.fd, .offset = plan.backing.offset, .shared = v.shared};
  {
    MutexLock book(mu_);
    if (!book_.Overlaps(v.start, v.end)) host_flags |= abi::kMAP_FIXED_NOREPLACE;
  }
  TRY(space_->Map(addr, plan.length, v.prot, host_flags, from));
  MutexLock book(mu_);
  dropped = book_.Remove(v.start, v.end);
  book_.Insert(std::move(v));
  return addr;
}

ErrorOr<void> MemoryManager::UnmapRange(UserAddr start, UserAddr end, Dropped* dropped) {
  LearnGrowth(start, end);
  {
    MutexLock book(mu_);
    if (!book_.Overlaps(start, end)) return {};
    if (book_.AnySealed(start, end)) return kEPERM;
    int change = book_.CountChangeOfRemove(start, end);
    if (change > 0 && book_.count() + static_cast<size_t>(change) > kMaxMapCount) return kENOMEM;
  }
  TRY(space_->Unmap(start, end - start));
  MutexLock book(mu_);
  std::vector<Vma> gone = book_.Remove(start, end);
  dropped->insert(dropped->end(), std::make_move_iterator(gone.begin()), std::make_move_iterator(gone.end()));
  return {};
}

ErrorOr<void> MemoryManager::Munmap(UserAddr addr, uint64_t length) {
  if (!mm::Aligned(addr) || addr > info_.task_size || length > info_.task_size - addr) return kEINVAL;
  length = mm::PageUp(length);
  if (length == 0) return kEINVAL;
  Dropped dropped;
  TaskMutexLock lock(mmap_lock_);
  return UnmapRange(addr, addr + length, &dropped);
}

void MemoryManager::SetBrkStart(UserAddr addr) {
  MutexLock book(mu_);
  layout.start_brk = addr;
  brk_ = addr;
}

ErrorOr<UserAddr> MemoryManager::GrowBrk(UserAddr from, UserAddr to, const MemoryLimits& limits) {
  bool populate = false;
  Vma heap{.start = from, .end = to, .prot = abi::kPROT_READ | abi::kPROT_WRITE, .name = "[heap]"};
  {
    MutexLock book(mu_);
    // A page of distance to what follows, and to its guard gap.
    if (to > info_.task_size - kPage || book_.Overlaps(from, to + kPage) || !book_.Fits(from, to - from + kPage)) return kENOMEM;
    if (book_.count() > kMaxMapCount) return kENOMEM;
    TRY(CheckExpand(to - from, true, from, to, limits));
    heap.locked = lock_future_ & static_cast<int>(abi::kMCL_FUTURE);
    populate = heap.locked && !(lock_future_ & static_cast<int>(abi::kMCL_ONFAULT));
    if (heap.locked && !limits.can_lock_any && book_.locked_bytes() + (to - from) > limits.memlock) return kEAGAIN;
  }
  int host_flags = static_cast<int>(abi::kMAP_FIXED_NOREPLACE | (populate ? abi::kMAP_POPULATE : 0));
  TRY(space_->Map(from, to - from, heap.prot, host_flags, MapSource{}));
  MutexLock book(mu_);
  book_.Insert(std::move(heap));
  return to;
}

ErrorOr<UserAddr> MemoryManager::Brk(UserAddr addr, const MemoryLimits& limits) {
  Dropped dropped;
  TaskMutexLock lock(mmap_lock_);
  UserAddr now = 0;
  {
    MutexLock book(mu_);
    now = brk_;
  }
  if (addr < layout.start_brk || addr > info_.task_size) return now;
  uint64_t data = layout.end_data - layout.start_data;
  if (limits.data != UINT64_MAX && (addr - layout.start_brk) + data > limits.data) return now;
  UserAddr old_top = mm::PageUp(now), new_top = mm::PageUp(addr);
  if (new_top < old_top) {
    if (!UnmapRange(new_top, old_top, &dropped).ok()) return now;
  } else if (new_top > old_top) {
    if (!GrowBrk(old_top, new_top, limits).ok()) return now;
  }
  MutexLock book(mu_);
  brk_ = addr;
  return addr;
}

ErrorOr<void> MemoryManager::RemapFilePages(UserAddr addr, uint64_t length, int prot, uint64_t page_offset, int flags,
                                            const MemoryLimits& limits) {
  if (prot != 0) return kEINVAL;
  addr = mm::PageDown(addr);
  length = mm::PageDown(length);
  if (addr + length <= addr || page_offset + length / kPage < page_offset) return kEINVAL;
  if (page_offset > UINT64_MAX / kPage) return kEINVAL;
  MmapArgs args{.addr = addr, .length = length, .flags = static_cast<int>(abi::kMAP_SHARED | abi::kMAP_FIXED | abi::kMAP_POPULATE)};
  {
    MutexLock book(mu_);
    const Vma* v = book_.Find(addr);
    if (!v || !v->shared || !v->file) return kEINVAL;
    for (const Vma& part : book_.Slice(addr, addr + length)) {
      if (part.file != v->file || part.prot != v->prot) return kEINVAL;
    }
    if (book_.MappedUntil(addr, addr + length) != addr + length) return kEINVAL;
    args.prot = v->prot;
    args.file = v->file;
    args.offset = page_offset * kPage;
    args.flags |= flags & static_cast<int>(abi::kMAP_NONBLOCK);
    if (v->locked) args.flags |= static_cast<int>(abi::kMAP_LOCKED);
  }
  TRY(Mmap(args, limits));
  return {};
}

}  // namespace moat
