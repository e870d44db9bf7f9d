// The memory of a guest process: the book of what is mapped where (VMAs), and the calls that change it. As mm_struct.
//
// The platform's AddressSpace holds the pages. Every change is made on the host first, then in the book (a batch that failed
// half-way reports how far it came and the book follows). One sleeping lock, mmap_lock, serializes changes.
//
// Lock order: mmap_lock (TaskMutex, rank kMemoryMap) > book mutex (short). Copies take neither on their fast path.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "base/kern/user_memory.h"
#include "base/sync/task_mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"
#include "platform/platform.h"

namespace moat {

// One mapping (struct vm_area_struct): [start, end), page aligned.
struct Vma {
  UserAddr start = 0, end = 0;
  int prot = 0;         // PROT_*
  int max_prot = 7;     // what mprotect may reach (shared mapping of a read-only fd: no PROT_WRITE)
  bool shared = false;  // MAP_SHARED
  bool grows_down = false;
  bool locked = false;
  bool dont_fork = false, wipe_on_fork = false, dont_dump = false;
  bool no_reserve = false;
  Ref<FileDescription> file;  // or null: anonymous (shared anonymous memory has a file too)
  uint64_t offset = 0;        // of `start` in `file`
  const char* name = nullptr;  // "[stack]", "[heap]", "[vdso]": static text, or null
};

// What a futex word is: (space, address) when private, (inode, offset) in a shared mapping.
struct FutexKey {
  const void* object = nullptr;
  uint64_t offset = 0;
  bool operator==(const FutexKey&) const = default;
  Ref<RefCounted> keep;  // or null; keeps the inode alive so that its address stays unique
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
  // Atomic word operations (futex): kEFAULT; kEINVAL if misaligned.
  ErrorOr<uint32_t> Atomic(AtomicOp op, UserAddr addr, uint32_t arg, uint32_t expected);

  // The system calls of memory: checks, errors and results as their man pages.
  ErrorOr<UserAddr> Mmap(const MmapArgs& args, const MemoryLimits& limits);
  ErrorOr<void> Munmap(UserAddr addr, uint64_t length);
  ErrorOr<void> Mprotect(UserAddr addr, uint64_t length, int prot);
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
  std::vector<uint64_t> auxv;  // pairs, for /proc/PID/auxv
  int dumpable = 1;

 private:
  MemoryManager(std::unique_ptr<AddressSpace> space, const PlatformInfo& info);
  ~MemoryManager() override;

  const PlatformInfo& info_;
  std::unique_ptr<AddressSpace> space_;
  TaskMutex mmap_lock_{LockRank::kMemoryMap};
  mutable Mutex mu_;
  std::map<UserAddr, Vma> vmas_ MOAT_GUARDED_BY(mu_);  // by start
  UserAddr brk_ MOAT_GUARDED_BY(mu_) = 0;
  int lock_future_ MOAT_GUARDED_BY(mu_) = 0;  // MCL_FUTURE | MCL_ONFAULT
};

struct MemoryManager::Forked {
  Ref<MemoryManager> mm;
  std::unique_ptr<GuestThread> thread;
};

}  // namespace moat
