// The memory of a guest process: the book of what is mapped where (VMAs), and the calls that change it. As mm_struct.
//
// The platform's AddressSpace holds the pages. Every change is made on the host first, then in the book (a batch that failed
// half-way reports how far it came and the book follows). One sleeping lock, mmap_lock, serializes changes.
//
// Lock order: mmap_lock (TaskMutex, rank kMemoryMap) > book mutex (short). Copies take neither on their fast path.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/kern/user_memory.h"
#include "base/sync/task_mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"
#include "platform/platform.h"
#include "sentry/mm/vma_book.h"

namespace moat {

// What a futex word is: (space, address) when private, (inode, offset) in a shared mapping.
struct FutexKey {
  const void* object = nullptr;
  uint64_t offset = 0;
  bool operator==(const FutexKey&) const = default;
  Ref<RefCounted> keep{};  // or null; keeps the inode alive so that its address stays unique
};

struct MmapArgs {
  UserAddr addr = 0;
  uint64_t length = 0;
  int prot = 0;
  int flags = 0;              // MAP_*
  Ref<FileDescription> file;  // or null for MAP_ANONYMOUS
  uint64_t offset = 0;
  const char* name = nullptr;
};

// Limits of the caller that mappings are checked against, bytes (RLIMIT_*); UINT64_MAX: none.
struct MemoryLimits {
  uint64_t address_space = UINT64_MAX, data = UINT64_MAX, stack = UINT64_MAX, memlock = UINT64_MAX;
  bool can_lock_any = false;  // CAP_IPC_LOCK
};

class MemoryManager final : public RefCounted, public UserMemory {
 public:
  static Ref<MemoryManager> Create(std::unique_ptr<AddressSpace> space, const PlatformInfo& info);

  // UserMemory. Retries once after growing a stack into the range.
  ErrorOr<size_t> CopyInPartial(UserAddr src, std::span<std::byte> dst) override;
  ErrorOr<size_t> CopyOutPartial(UserAddr dst, std::span<const std::byte> src) override;
  // As a debugger's (FOLL_FORCE): reads what is mapped whatever its protection, writes to private mappings even if they are
  // read-only. Partial as the others; may park.
  ErrorOr<size_t> ForceCopyIn(UserAddr src, std::span<std::byte> dst);
  ErrorOr<size_t> ForceCopyOut(UserAddr dst, std::span<const std::byte> src);
  // Atomic word operations (futex): kEFAULT; kEINVAL if misaligned.
  ErrorOr<uint32_t> Atomic(AtomicOp op, UserAddr addr, uint32_t arg, uint32_t expected);

  // The system calls of memory: checks, errors and results as their man pages.
  ErrorOr<UserAddr> Mmap(const MmapArgs& args, const MemoryLimits& limits);
  ErrorOr<void> Munmap(UserAddr addr, uint64_t length);
  ErrorOr<void> Mprotect(UserAddr addr, uint64_t length, int prot, const MemoryLimits& limits = {});
  ErrorOr<UserAddr> Mremap(UserAddr addr, uint64_t old_length, uint64_t new_length, int flags, UserAddr new_addr,
                           const MemoryLimits& limits);
  ErrorOr<UserAddr> Brk(UserAddr addr, const MemoryLimits& limits);  // never fails: the current break
  ErrorOr<void> Madvise(UserAddr addr, uint64_t length, int advice);
  ErrorOr<void> Msync(UserAddr addr, uint64_t length, int flags);
  ErrorOr<void> Mincore(UserAddr addr, uint64_t length, UserAddr vec);
  ErrorOr<void> Mlock(UserAddr addr, uint64_t length, bool on_fault, const MemoryLimits& limits);
  ErrorOr<void> Munlock(UserAddr addr, uint64_t length);
  ErrorOr<void> Mlockall(int flags, const MemoryLimits& limits);
  ErrorOr<void> Munlockall();
  // remap_file_pages(2), as the mmap(2) it stands for. `page_offset` in pages.
  ErrorOr<void> RemapFilePages(UserAddr addr, uint64_t length, int prot, uint64_t page_offset, int flags,
                               const MemoryLimits& limits);
  ErrorOr<void> Mseal(UserAddr addr, uint64_t length);
  // AddressSpace::HostCall and SetStackLimit, in turn with the changes of the space. May park.
  ErrorOr<uint64_t> HostCall(GuestThread* thread, int nr, std::span<const uint64_t> args);
  ErrorOr<void> SetStackLimit(uint64_t bytes);

  // fork(2)'s half: a copy of the space and the book, with one parked thread.
  struct Forked;
  ErrorOr<Forked> Fork(GuestThread& from);

  // What a future exec or the loader sets up.
  void SetBrkStart(UserAddr addr);
  // Finds room for `length` bytes below the mmap base as mmap(NULL) would, without mapping. kENOMEM.
  ErrorOr<UserAddr> FindRoom(uint64_t length);

  // The futex identity of the word at `addr`; `shared` false: FUTEX_PRIVATE_FLAG. kEFAULT if nothing is mapped there.
  ErrorOr<FutexKey> KeyOf(UserAddr addr, bool shared);

  // Calls `visit` for each mapping in address order (a copy of the book: visit may do anything).
  void ForEachVma(const std::function<void(const Vma&)>& visit);
  // The mapping that holds `addr`, or none.
  bool FindVma(UserAddr addr, Vma* out);
  // Whether the page at `page` (aligned) is in memory: mincore(2).
  bool IsResident(UserAddr page);
  // mincore(2)'s bytes of the pages from `addr` on, for /proc. kENOMEM over a hole.
  ErrorOr<void> Residency(UserAddr addr, std::span<uint8_t> out);
  // A page fault that the guest took at `addr`: true if the book can explain it away (a stack that grew) and the instruction
  // should run again.
  bool HandleFault(UserAddr addr);

  uint64_t total_bytes() const;   // VmSize
  uint64_t locked_bytes() const;  // VmLck
  uint64_t ResidentBytes();       // VmRSS, by asking the host; an estimate

  AddressSpace& space() { return *space_; }
  const PlatformInfo& platform_info() const { return info_; }

  // struct mm_struct's markers, for /proc and prctl(PR_SET_MM). Set by exec.
  struct Layout {
    UserAddr start_code = 0, end_code = 0, start_data = 0, end_data = 0, start_brk = 0, start_stack = 0;
    UserAddr arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
    UserAddr vdso = 0, mmap_base = 0;
  };
  Layout layout;
  Path exe;  // /proc/PID/exe; null dentry before the first exec
  std::shared_ptr<const void> exe_hold;  // while it lives, opening `exe` for writing is ETXTBSY; forks share it
  std::vector<uint64_t> auxv;  // pairs, for /proc/PID/auxv
  int dumpable = 1;

 private:
  MemoryManager(std::unique_ptr<AddressSpace> space, const PlatformInfo& info);
  ~MemoryManager() override;

  // Mappings taken out of the book: declared before the lock guard, so that the files go when the locks are free.
  using Dropped = std::vector<Vma>;
  struct Plan;  // of one Mmap (mmap.cc)
  struct Move;  // of one Mremap (mremap.cc)

  // Clips [addr, addr + n) to what guests may use; 0: nothing of it.
  size_t ClipToUser(UserAddr addr, size_t n) const;
  // Runs `copy` of one page's bytes while the page at `addr` may be read and, for `write`, written. kEFAULT if it must not be.
  ErrorOr<size_t> WithAccess(UserAddr addr, bool write, const std::function<ErrorOr<size_t>()>& copy);
  // A copy stopped at `addr`: true if a stack grew over it, so that the copy may go on.
  bool GrowStackTo(UserAddr addr);
  // The host grows stacks by itself: brings the book up to date where one may have grown into [start, end).
  void LearnGrowth(UserAddr start, UserAddr end) MOAT_REQUIRES(mmap_lock_);
  UserAddr GrownStart(UserAddr start, UserAddr floor) MOAT_REQUIRES(mmap_lock_);

  ErrorOr<void> PlanFile(const MmapArgs& args, Plan& plan);
  ErrorOr<void> PlanAnonymous(const MmapArgs& args, Plan& plan);
  ErrorOr<UserAddr> Choose(UserAddr hint, uint64_t length, int flags) MOAT_REQUIRES(mmap_lock_);
  ErrorOr<UserAddr> FindRoomLocked(uint64_t length, UserAddr low) MOAT_REQUIRES(mu_);
  ErrorOr<void> CheckPlan(const Plan& plan, const MemoryLimits& limits) MOAT_REQUIRES(mmap_lock_);
  // Whether `more` bytes (of RLIMIT_DATA's kind if `data`) may be mapped after [start, end) was emptied. kENOMEM.
  ErrorOr<void> CheckExpand(uint64_t more, bool data, UserAddr start, UserAddr end, const MemoryLimits& limits)
      MOAT_REQUIRES(mu_);
  ErrorOr<void> UnmapRange(UserAddr start, UserAddr end, Dropped* dropped) MOAT_REQUIRES(mmap_lock_);
  ErrorOr<UserAddr> GrowBrk(UserAddr from, UserAddr to, const MemoryLimits& limits) MOAT_REQUIRES(mmap_lock_);

  ErrorOr<void> PlanMove(Move& m, const MemoryLimits& limits) MOAT_REQUIRES(mmap_lock_);
  ErrorOr<UserAddr> MoveFixed(Move& m, const MemoryLimits& limits, Dropped* dropped) MOAT_REQUIRES(mmap_lock_);
  ErrorOr<UserAddr> GrowOrMove(Move& m, const MemoryLimits& limits, Dropped* dropped) MOAT_REQUIRES(mmap_lock_);
  ErrorOr<UserAddr> DoMove(const Move& m, Dropped* dropped) MOAT_REQUIRES(mmap_lock_);

  ErrorOr<void> PunchHoles(UserAddr start, UserAddr end);
  ErrorOr<void> Populate(UserAddr start, UserAddr end) MOAT_REQUIRES(mmap_lock_);
  ErrorOr<UserAddr> CheckLock(UserAddr* start, uint64_t length, bool lock, const MemoryLimits& limits)
      MOAT_REQUIRES(mmap_lock_);

  const PlatformInfo& info_;
  std::unique_ptr<AddressSpace> space_;
  TaskMutex mmap_lock_{LockRank::kMemoryMap};
  mutable Mutex mu_;
  VmaBook book_ MOAT_GUARDED_BY(mu_);  // changed with mmap_lock_ held as well
  UserAddr brk_ MOAT_GUARDED_BY(mu_) = 0;
  int lock_future_ MOAT_GUARDED_BY(mu_) = 0;  // MCL_FUTURE | MCL_ONFAULT
};

struct MemoryManager::Forked {
  Ref<MemoryManager> mm;
  std::unique_ptr<GuestThread> thread;
};

}  // namespace moat
