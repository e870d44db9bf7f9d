// The platform: runs guest code and owns its pages. The whole contract between the kernel (sentry) and the ways to run.
//
// The sentry decides what is mapped where (its VMA book); the platform decides how it is backed. Differences between
// platforms are data (PlatformInfo), never methods that fail on one of them.
//
// Threads: everything is called on worker threads, on fibers, unless a declaration says otherwise. Traps of one guest
// thread never overlap. Operations of one AddressSpace are serialized by the caller (mmap_lock), copies are not.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "abi/regs.h"
#include "base/kern/user_memory.h"
#include "base/util/error.h"

namespace moat {

class AddressSpace;
class GuestThread;

enum class TrapKind : uint8_t {
  kSyscall,      // a system call instruction; registers point behind it, rax is -ENOSYS until SetResult
  kException,    // a fault or exception that Linux turns into a signal: signo, code, addr, trap_no, error_code
  kInterrupted,  // Interrupt() was called and nothing else happened
  kDied,         // the host ended this thread or its address space (OOM, stray SIGKILL): only Destroy may follow
};

struct Trap {
  TrapKind kind;
  bool interrupted;  // Interrupt() was called since the last trap (sticky bit, now consumed)
  // kSyscall
  uint32_t arch;     // AUDIT_ARCH_*: kAuditArchX86_64, or I386 for int 0x80
  int64_t nr;        // as in rax, x32 bit included; only meaningful for its arch
  uint64_t args[6];  // rdi rsi rdx r10 r8 r9
  uint64_t ip, sp;
  // kException
  int signo;
  int code;             // si_code as Linux delivers it (SEGV_MAPERR, BUS_ADRERR, TRAP_BRKPT, ...)
  uint64_t addr;        // si_addr
  uint32_t trap_no;     // for the signal frame: 14 for page faults, ...
  uint32_t error_code;  // best knowledge; bit 1 = write
  // kDied
  int wait_status;
};

inline constexpr uint32_t kAuditArchX86_64 = 0xC000003E;
inline constexpr uint32_t kAuditArchI386 = 0x40000003;

enum class Verdict : uint8_t {
  kResume,  // run the guest again at once (same as Resume after the trap, but without a queue trip)
  kParked,  // somebody calls Resume or destroys the thread later
};

// Implemented by the kernel.
class TrapSink {
 public:
  // The handler may destroy `thread` (exit, exec) before it returns kParked: the platform touches it after kResume only.
  virtual Verdict OnTrap(GuestThread& thread, const Trap& trap) = 0;
  // The host ended `thread` while it was parked (out of memory): its next Resume would give kDied, but whoever owns it may be
  // waiting for something else. On a fiber.
  virtual void OnDiedParked(GuestThread& thread) {}

 protected:
  ~TrapSink() = default;
};

// Memory that a mapping shows. Exactly one of: anonymous (fd < 0), or a host file. The fd stays the caller's; it is handed to
// the guest's process only for the mapping, so it must have exactly the rights the mapping needs (rule: O_RDONLY unless the
// mapping is shared and may become writable).
struct MapSource {
  int fd = -1;
  uint64_t offset = 0;
  bool shared = false;
};

enum class AtomicOp : uint8_t {
  kLoad,             // returns *addr
  kCompareExchange,  // if *addr == expected then *addr = arg; returns the old value
  kExchange, kAdd, kOr, kAnd, kAndNot, kXor,  // returns the old value
};

// One guest address space: on stub platforms a host process. It dies with its last reference holder calling delete, after
// all its GuestThreads were destroyed.
class AddressSpace {
 public:
  virtual ~AddressSpace() = default;

  // Host mmap(2) at exactly [addr, addr+length), replacing what was there. `prot` PROT_*; `flags` may hold MAP_NORESERVE,
  // MAP_GROWSDOWN, MAP_LOCKED, MAP_POPULATE; MAP_HUGETLB is never passed. MAP_FIXED_NOREPLACE is the caller's word that nothing
  // is there: the platform may then put the host's call off until the memory is used, so source.fd must stay open until the
  // range is unmapped or replaced. Errors as mmap(2).
  virtual ErrorOr<void> Map(UserAddr addr, uint64_t length, int prot, int flags, const MapSource& source) = 0;
  virtual ErrorOr<void> Unmap(UserAddr addr, uint64_t length) = 0;
  virtual ErrorOr<void> Protect(UserAddr addr, uint64_t length, int prot) = 0;
  // Moves or resizes to exactly `new_addr` (== addr: in place); mremap(2) with MREMAP_MAYMOVE|MREMAP_FIXED when it moves.
  // `flags` may add MREMAP_DONTUNMAP.
  virtual ErrorOr<void> Remap(UserAddr addr, uint64_t old_length, UserAddr new_addr, uint64_t new_length, int flags) = 0;
  virtual ErrorOr<void> Advise(UserAddr addr, uint64_t length, int advice) = 0;

  // Copies; bytes done as UserMemory::Copy*Partial. They respect page protections as copy_to_user does, refuse the
  // platform's own pages (kEFAULT), and do not grow stacks (see Touch).
  virtual ErrorOr<size_t> CopyIn(UserAddr src, std::span<std::byte> dst) = 0;
  virtual ErrorOr<size_t> CopyOut(UserAddr dst, std::span<const std::byte> src) = 0;
  // Reads one byte at `addr` as the guest would, so that the host grows a MAP_GROWSDOWN mapping down to it or faults a page
  // in; kEFAULT if that is a fault for the guest.
  virtual ErrorOr<void> Touch(UserAddr addr) = 0;
  // An atomic operation on a 4-byte aligned guest word, with respect to the guest's own instructions. kEFAULT on a fault.
  virtual ErrorOr<uint32_t> Atomic(AtomicOp op, UserAddr addr, uint32_t arg, uint32_t expected) = 0;

  // Calls that only the guest's own host process can make for itself: msync, mincore (into `out`), mlock2, munlock, rseq and
  // membarrier are the whole list. `thread` says in which thread (rseq), or null for any. Returns the call's result.
  virtual ErrorOr<uint64_t> HostCall(GuestThread* thread, int nr, std::span<const uint64_t> args) = 0;
  // mincore(2) of [addr, addr + 4096 * out.size()).
  virtual ErrorOr<void> Residency(UserAddr addr, std::span<uint8_t> out) = 0;
  // Host CPU time of all threads that ever ran in the space, ns.
  virtual uint64_t CpuTimeNs() = 0;
  // The stack growth limit (RLIMIT_STACK) that the host applies to MAP_GROWSDOWN mappings, in bytes.
  virtual ErrorOr<void> SetStackLimit(uint64_t bytes) = 0;

  // A further guest thread in this space, as clone(CLONE_VM): registers and FP state are copies of `from`'s, parked. May be
  // called from `from`'s trap handler only.
  virtual ErrorOr<std::unique_ptr<GuestThread>> NewThread(GuestThread& from) = 0;

  struct Forked;
  // A copy-on-write copy, as fork(2), with one parked thread that is a copy of `from`. From `from`'s trap handler only.
  virtual ErrorOr<Forked> Fork(GuestThread& from) = 0;
};

// One guest thread. Between a Trap and Resume it is stopped and its registers are the kernel's to read and change.
class GuestThread {
 public:
  // Ends the host thread. The thread must be stopped or dead (after kDied).
  virtual ~GuestThread() = default;

  virtual AddressSpace& space() = 0;

  // General registers at the trap; Set writes them all before the next run. After a kSyscall trap prefer SetResult: it is
  // one host call.
  virtual const abi::UserRegs& regs() = 0;
  virtual void SetRegs(const abi::UserRegs& regs) = 0;
  virtual void SetResult(uint64_t rax) = 0;

  // Extended state in XSAVE format as the host kernel has it; `Set` takes what Get returned, possibly with changed contents
  // (it validates nothing: the host does, kEINVAL). Size from PlatformInfo::xsave_size.
  virtual ErrorOr<size_t> GetXState(std::span<std::byte> out) = 0;
  virtual ErrorOr<void> SetXState(std::span<const std::byte> in) = 0;

  // Makes the guest runnable; never blocks, any thread. Yields exactly one Trap later, on a thread the platform chooses.
  virtual void Resume() = 0;
  // As Resume, for one instruction: an exception trap SIGTRAP/TRAP_TRACE.
  virtual void ResumeSingleStep() = 0;
  // Sticky and coalesced, any thread: a running or later resumed thread traps once, with kInterrupted or with a real trap
  // whose `interrupted` is set.
  virtual void Interrupt() = 0;
  // What the kernel hangs on a guest thread: its task. Set before the first Resume.
  void* owner() const { return owner_; }
  void set_owner(void* owner) { owner_ = owner; }

  // Host CPU time used, ns.
  virtual uint64_t CpuTimeNs() = 0;
  // Restricts where it runs (sched_setaffinity); bit i = CPU i.
  virtual void SetAffinity(uint64_t mask) = 0;

 private:
  void* owner_ = nullptr;
};

struct AddressSpace::Forked {
  std::unique_ptr<AddressSpace> space;
  std::unique_ptr<GuestThread> thread;
};

struct PlatformInfo {
  std::string_view name;
  UserAddr task_size;   // guests may map [mmap_min, task_size)
  UserAddr mmap_min;    // 64 KiB
  size_t xsave_size;    // bytes of GetXState
  uint64_t xfeatures;   // XCR0 as guests see it
};

class Platform {
 public:
  virtual ~Platform() = default;
  virtual const PlatformInfo& info() const = 0;

  // The worker loop. Runs traps through `sink` and Executor::RunReady until Stop; the calling thread is the worker.
  virtual void Run(TrapSink& sink) = 0;
  virtual void Stop() = 0;  // any thread

  // An empty address space (nothing below task_size mapped) with one parked thread; registers and FP state are a fresh
  // process's.
  virtual ErrorOr<AddressSpace::Forked> NewAddressSpace() = 0;
};

// ptrace platform. Call in the sentry after namespaces and credentials are final, before any thread was started: clones the
// zygote stub. The calling thread must later be the one that calls Run.
//
// `isolate_branches` forces indirect-branch speculation control on stubs: the host then flushes branch predictors between guest
// and sentry, which doubles the price of every system call (7.9 -> 15.9 us). Without it the host's own policy holds.
ErrorOr<std::unique_ptr<Platform>> NewPtracePlatform(bool isolate_branches = false);

}  // namespace moat
