#include "platform/ptrace/address_space.h"

#include <algorithm>

#include "abi/mman.h"
#include "abi/rseq.h"
#include "abi/signal.h"
#include "abi/syscall_nr.h"
#include "abi/time.h"
#include "abi/uio.h"
#include "base/host/fd_passing.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "base/util/log.h"
#include "platform/ptrace/clone_flags.h"
#include "platform/ptrace/guest_thread.h"
#include "platform/ptrace/ptrace_platform.h"

namespace moat::ptrace {
namespace {

// Flags of mmap(2) that a caller may ask for.
constexpr uint32_t kMapFlags = abi::kMAP_NORESERVE | abi::kMAP_GROWSDOWN | abi::kMAP_LOCKED | abi::kMAP_POPULATE;
constexpr uint64_t kNoFd = ~uint64_t{0};
// A larger mapping is made at once: the host may refuse it, and then the caller must hear of it.
constexpr uint64_t kMaxPendingBytes = 256 << 20;

uint64_t Pointer(const void* p) { return reinterpret_cast<uint64_t>(p); }

void WarnRefused(uint64_t count) {
  // The kernel promised this memory; the guest finds none, as on a machine that overcommitted.
  LOG(kWarning, "ptrace: the host refuses %llu mappings", static_cast<unsigned long long>(count));
}

// Arguments of mmap(2), as StubEntry::kMapList reads them.
struct ListedMap {
  uint64_t addr, length, prot, flags, fd, offset;
};
static_assert(kMapListOffset + kMaxMapList * sizeof(ListedMap) <= abi::kPAGE_SIZE);

// A part of what waits, as much as one command takes.
struct MapList {
  std::vector<ListedMap> maps;
  std::vector<int> fds;  // that the maps name as 1, 2, ...

  bool Add(const PendingMap& map) {
    auto at = std::find(fds.begin(), fds.end(), map.fd);
    if (maps.size() == kMaxMapList || (map.fd >= 0 && at == fds.end() && fds.size() == kMaxMapFds)) return false;
    uint64_t fd = kNoFd, flags = map.flags | abi::kMAP_ANONYMOUS;
    if (map.fd >= 0) {
      fd = static_cast<uint64_t>(at - fds.begin()) + 1;
      flags = map.flags;
      if (at == fds.end()) fds.push_back(map.fd);
    }
    maps.push_back({map.start, map.end - map.start, static_cast<uint64_t>(map.prot), flags, fd, map.offset});
    return true;
  }
};

ErrorOr<void> Ignore(ErrorOr<uint64_t> result) {
  if (!result.ok()) return result.error();
  return {};
}

}  // namespace

PtraceAddressSpace::PtraceAddressSpace(PtracePlatform& platform, std::unique_ptr<HostThread> leader)
    : platform_(platform), express_(platform) {
  leader->express = &express_;
  threads_.push_back(std::move(leader));
}

PtraceAddressSpace::~PtraceAddressSpace() {
  if (!leader().dead()) (void)host::Kill(leader().tgid(), abi::kSIGKILL);
  for (auto& thread : threads_) platform_.Retire(std::move(thread));
}

// A stopped thread on which a command can run. One that was running is made to stop for it, and goes on afterwards.
struct PtraceAddressSpace::Borrowed {
  PtracePlatform& platform;
  HostThread* thread;  // null: all are dead
  bool resume = false;
  ~Borrowed() {
    if (resume) platform.EndBorrow(*thread);
  }
};

PtraceAddressSpace::Borrowed PtraceAddressSpace::Borrow() {
  for (auto& thread : threads_) {
    if (thread->stopped()) return {platform_, thread.get()};
  }
  for (auto& thread : threads_) {
    if (!thread->running()) continue;
    switch (platform_.StopForCommand(*thread)) {
      case PtracePlatform::Stopped::kDead: continue;
      case PtracePlatform::Stopped::kInterrupted: return {platform_, thread.get(), true};
      case PtracePlatform::Stopped::kTrapped: return {platform_, thread.get()};
    }
  }
  return {platform_, nullptr};
}

void PtraceAddressSpace::RestoreCode(UserAddr addr, uint64_t length) {
  if (!express_.Knows(addr, addr + length)) return;
  Borrowed borrowed = Borrow();
  express_.BeforeChange(borrowed.thread, addr, addr + length);
}

ErrorOr<uint64_t> PtraceAddressSpace::Command(StubEntry entry, const StubArgs& args) {
  Borrowed borrowed = Borrow();
  if (borrowed.thread == nullptr) return kESRCH;
  return borrowed.thread->Call(entry, args);
}

ErrorOr<uint64_t> PtraceAddressSpace::SyscallCommand(int nr, std::initializer_list<uint64_t> args) {
  Borrowed borrowed = Borrow();
  if (borrowed.thread == nullptr) return kESRCH;
  return borrowed.thread->Syscall(nr, {args.begin(), args.size()});
}

bool PtraceAddressSpace::InRange(UserAddr addr, uint64_t length) const {
  uint64_t end = platform_.info().task_size;
  return length <= end && addr <= end - length;
}

ErrorOr<void> PtraceAddressSpace::Map(UserAddr addr, uint64_t length, int prot, int flags, const MapSource& source) {
  if (length == 0 || addr % abi::kPAGE_SIZE != 0) return kEINVAL;
  if (!InRange(addr, length)) return kENOMEM;
  PendingMap map{.start = addr, .end = addr + length, .prot = prot, .fd = source.fd, .offset = source.offset};
  map.flags = (static_cast<uint32_t>(flags) & kMapFlags) | abi::kMAP_FIXED |
              (source.shared ? abi::kMAP_SHARED : abi::kMAP_PRIVATE);
  const bool fresh = (static_cast<uint32_t>(flags) & abi::kMAP_FIXED_NOREPLACE) != 0;
  if (MayWait(map) && ((fresh && pending_.Worthwhile()) || pending_.Covers(map.start, map.end))) {
    pending_.Add(map);
    return {};
  }
  pending_.Remove(map.start, map.end);
  RestoreCode(map.start, length);
  TRY(MapNow(map));
  if (source.fd >= 0 && !source.shared && (prot & abi::kPROT_EXEC) != 0 && (prot & abi::kPROT_WRITE) == 0) {
    express_.OnCodeMapped(map.start, map.end, source.fd, source.offset);
  }
  return {};
}

// What the host might refuse, or what has an effect of its own, cannot wait.
bool PtraceAddressSpace::MayWait(const PendingMap& map) const {
  constexpr uint32_t kEffects = abi::kMAP_GROWSDOWN | abi::kMAP_LOCKED | abi::kMAP_POPULATE;
  if (pending_.full() || (map.flags & kEffects) != 0 || map.end - map.start > kMaxPendingBytes) return false;
  return map.fd < 0 || (map.prot & abi::kPROT_EXEC) == 0;  // a host mount may be noexec
}

ErrorOr<void> PtraceAddressSpace::MapNow(const PendingMap& map) {
  ErrorOr<uint64_t> got = map.fd >= 0 ? MapFile(map)
                                      : SyscallCommand(abi::kNr_mmap, {map.start, map.end - map.start, static_cast<uint64_t>(map.prot),
                                                                       map.flags | abi::kMAP_ANONYMOUS, kNoFd, 0});
  if (!got.ok()) return got.error();
  return *got == map.start ? ErrorOr<void>{} : kEIO;
}

ErrorOr<uint64_t> PtraceAddressSpace::MapFile(const PendingMap& map) {
  Borrowed borrowed = Borrow();
  if (borrowed.thread == nullptr) return kESRCH;
  TRY(platform_.SendFds({&map.fd, 1}));
  ErrorOr<uint64_t> got = borrowed.thread->Call(StubEntry::kMapFd, {.r12 = map.start,
                                                                    .r13 = map.end - map.start,
                                                                    .r14 = static_cast<uint64_t>(map.prot),
                                                                    .r15 = map.flags,
                                                                    .rbx = map.offset,
                                                                    .rbp = ControlLength(1)});
  if (!got.ok()) platform_.DrainFds();
  return got;
}

void PtraceAddressSpace::MakePending() {
  const std::vector<PendingMap> maps = pending_.TakeAll();
  if (!maps.empty()) ++times_mended_;
  // Another thread could change a list.
  if (maps.size() > 1 && always_single_threaded_) return MapLists(maps);
  uint64_t refused = 0;
  for (const PendingMap& map : maps) {
    ErrorOr<void> made = MapNow(map);
    if (!made.ok() && made.error() != kESRCH) ++refused;
  }
  if (refused > 0) WarnRefused(refused);
}

void PtraceAddressSpace::MapLists(std::span<const PendingMap> maps) {
  uint64_t refused = 0;
  while (!maps.empty()) {
    MapList list;
    size_t taken = 0;
    while (taken < maps.size() && list.Add(maps[taken])) ++taken;
    ErrorOr<uint64_t> failed = MapOneList(list.maps.data(), list.maps.size(), list.fds);
    refused += failed.ok() ? *failed : failed.error() == kESRCH ? 0 : taken;
    maps = maps.subspan(taken);
  }
  if (refused > 0) WarnRefused(refused);
}

ErrorOr<uint64_t> PtraceAddressSpace::MapOneList(const void* list, size_t count, std::span<const int> fds) {
  const uint64_t place = platform_.layout().scratch() + kMapListOffset;
  const uint64_t size = count * sizeof(ListedMap);
  abi::Iovec local{Pointer(list), size}, remote{place, size};
  Borrowed borrowed = Borrow();
  if (borrowed.thread == nullptr) return kESRCH;
  size_t written = TRY(host::ProcessVmWritev(threads_.front()->tid(), &local, 1, &remote, 1));
  if (written != size) return kEFAULT;
  if (!fds.empty()) TRY(platform_.SendFds(fds));
  ErrorOr<uint64_t> failed = borrowed.thread->Call(
      StubEntry::kMapList, {.r12 = place, .r13 = count, .rbp = fds.empty() ? 0 : ControlLength(fds.size())});
  if (!failed.ok() || *failed == count) platform_.DrainFds();
  return failed;
}

bool PtraceAddressSpace::MakePendingIn(UserAddr addr, uint64_t length) {
  if (pending_.empty() || !pending_.Overlaps(addr, addr + length)) return false;
  MakePending();
  return true;
}

bool PtraceAddressSpace::MendFault(HostThread& thread, const abi::SigInfo& info) {
  if (info.si_signo != abi::kSIGSEGV || info.si_code <= 0) return false;
  UserAddr addr = info.si_code == abi::kSI_KERNEL ? thread.rseq_area : info.si_addr;
  if (addr != 0 && pending_.Overlaps(addr, addr + 1)) {
    pending_.NoteFault();
    MakePending();
  }
  // It may also have faulted before another thread's fault was mended: one more try tells.
  return std::exchange(thread.times_mended, times_mended_) != times_mended_;
}

ErrorOr<void> PtraceAddressSpace::Unmap(UserAddr addr, uint64_t length) {
  if (!InRange(addr, length)) return kEINVAL;
  RestoreCode(addr, length);
  const bool unknown_to_host = pending_.Covers(addr, addr + length);
  pending_.Remove(addr, addr + length);
  if (!unknown_to_host) return Ignore(SyscallCommand(abi::kNr_munmap, {addr, length}));
  pending_.NoteSaved();
  return {};
}

ErrorOr<void> PtraceAddressSpace::Protect(UserAddr addr, uint64_t length, int prot) {
  if (!InRange(addr, length)) return kENOMEM;
  if ((prot & abi::kPROT_EXEC) == 0 && !pending_.full() && pending_.Covers(addr, addr + length)) {
    pending_.Protect(addr, addr + length, prot);
    return {};
  }
  MakePendingIn(addr, length);
  RestoreCode(addr, length);
  return Ignore(SyscallCommand(abi::kNr_mprotect, {addr, length, static_cast<uint64_t>(prot)}));
}

ErrorOr<void> PtraceAddressSpace::Remap(UserAddr addr, uint64_t old_length, UserAddr new_addr, uint64_t new_length,
                                        int flags) {
  if (!InRange(addr, old_length) || !InRange(new_addr, new_length)) return kEINVAL;
  MakePendingIn(addr, std::max<uint64_t>(old_length, 1));
  pending_.Remove(new_addr, new_addr + new_length);
  RestoreCode(addr, old_length);
  RestoreCode(new_addr, new_length);
  uint64_t host_flags = static_cast<uint32_t>(flags) & abi::kMREMAP_DONTUNMAP;
  if (new_addr != addr) host_flags |= abi::kMREMAP_MAYMOVE | abi::kMREMAP_FIXED;
  uint64_t got = TRY(SyscallCommand(abi::kNr_mremap, {addr, old_length, new_length, host_flags, new_addr}));
  return got == new_addr ? ErrorOr<void>{} : kEIO;
}

ErrorOr<void> PtraceAddressSpace::Advise(UserAddr addr, uint64_t length, int advice) {
  if (!InRange(addr, length)) return kENOMEM;
  MakePendingIn(addr, length);
  RestoreCode(addr, length);
  return Ignore(SyscallCommand(abi::kNr_madvise, {addr, length, static_cast<uint64_t>(advice)}));
}

// How much of [addr, addr+length) lies below the stub and its neighbours.
size_t PtraceAddressSpace::Accessible(UserAddr addr, size_t length) const {
  uint64_t end = platform_.info().task_size;
  return addr >= end ? 0 : static_cast<size_t>(std::min<uint64_t>(length, end - addr));
}

// A copy that stops early may have come to memory that the host does not know yet: then it goes on.
template <class CopyOnce>
ErrorOr<size_t> PtraceAddressSpace::Copy(UserAddr addr, size_t size, CopyOnce copy) {
  if (size == 0) return size_t{0};
  const size_t wanted = Accessible(addr, size);
  size_t done = 0;
  while (done < wanted) {
    ErrorOr<size_t> some = copy(done, abi::Iovec{addr + done, wanted - done});
    if (some.ok()) done += *some;
    if (done < wanted && !MakePendingIn(addr + done, wanted - done)) break;
  }
  return done > 0 ? done : ErrorOr<size_t>(kEFAULT);
}

ErrorOr<size_t> PtraceAddressSpace::CopyIn(UserAddr src, std::span<std::byte> dst) {
  ErrorOr<size_t> copied = Copy(src, dst.size(), [&](size_t done, const abi::Iovec& remote) {
    abi::Iovec local{Pointer(dst.data() + done), remote.iov_len};
    return host::ProcessVmReadv(threads_.front()->tid(), &local, 1, &remote, 1);
  });
  if (copied.ok() && express_.patched()) express_.Unpatch(src, dst.first(*copied));
  return copied;
}

ErrorOr<size_t> PtraceAddressSpace::CopyOut(UserAddr dst, std::span<const std::byte> src) {
  return Copy(dst, src.size(), [&](size_t done, const abi::Iovec& remote) {
    abi::Iovec local{Pointer(src.data() + done), remote.iov_len};
    return host::ProcessVmWritev(threads_.front()->tid(), &local, 1, &remote, 1);
  });
}

ErrorOr<void> PtraceAddressSpace::ReadScratch(std::span<std::byte> out) {
  abi::Iovec local{Pointer(out.data()), out.size()};
  abi::Iovec remote{platform_.layout().scratch(), out.size()};
  size_t done = TRY(host::ProcessVmReadv(threads_.front()->tid(), &local, 1, &remote, 1));
  return done == out.size() ? ErrorOr<void>{} : kEFAULT;
}

ErrorOr<void> PtraceAddressSpace::Touch(UserAddr addr) {
  if (!InRange(addr, 1)) return kEFAULT;
  MakePendingIn(addr, 1);
  return Ignore(Command(StubEntry::kTouch, {.rdi = addr}));
}

ErrorOr<uint32_t> PtraceAddressSpace::Atomic(AtomicOp op, UserAddr addr, uint32_t arg, uint32_t expected) {
  if (addr % sizeof(uint32_t) != 0 || !InRange(addr, sizeof(uint32_t))) return kEFAULT;
  StubEntry entry = StubEntry::kTouch;
  switch (op) {
    case AtomicOp::kLoad: {
      // Not one access for certain, but what a waiter compares was there in each of its bytes, and a wake that follows a
      // change finds it queued.
      uint32_t value = 0;
      size_t done = TRY(CopyIn(addr, std::as_writable_bytes(std::span(&value, 1))));
      return done == sizeof value ? ErrorOr<uint32_t>(value) : kEFAULT;
    }
    case AtomicOp::kCompareExchange: entry = StubEntry::kCompareExchange; break;
    case AtomicOp::kExchange: entry = StubEntry::kExchange; break;
    case AtomicOp::kAdd: entry = StubEntry::kAdd; break;
    case AtomicOp::kOr: entry = StubEntry::kOr; break;
    case AtomicOp::kAnd: entry = StubEntry::kAnd; break;
    case AtomicOp::kAndNot: entry = StubEntry::kAnd; arg = ~arg; break;
    case AtomicOp::kXor: entry = StubEntry::kXor; break;
  }
  MakePendingIn(addr, sizeof(uint32_t));
  return static_cast<uint32_t>(TRY(Command(entry, {.rax = expected, .rdi = addr, .rsi = arg})));
}

ErrorOr<uint64_t> PtraceAddressSpace::HostCall(GuestThread* thread, int nr, std::span<const uint64_t> args) {
  switch (nr) {
    case abi::kNr_msync: case abi::kNr_mlock2: case abi::kNr_munlock:
      if (args.size() < 2 || !InRange(args[0], args[1])) return kENOMEM;
      MakePendingIn(args[0], args[1]);
      break;
    case abi::kNr_rseq:
      if (thread == nullptr || args.size() < 4 || !InRange(args[0], args[1])) return kEINVAL;
      MakePendingIn(args[0], args[1]);
      break;
    case abi::kNr_membarrier: break;
    default: return kENOSYS;
  }
  if (thread == nullptr) {
    Borrowed borrowed = Borrow();
    return borrowed.thread == nullptr ? ErrorOr<uint64_t>(kESRCH) : borrowed.thread->Syscall(nr, args);
  }
  HostThread& host = static_cast<PtraceThread*>(thread)->host();
  ErrorOr<uint64_t> result = host.Syscall(nr, args);
  if (nr == abi::kNr_rseq && result.ok()) host.rseq_area = (args[2] & abi::kRSEQ_FLAG_UNREGISTER) != 0 ? 0 : args[0];
  return result;
}

ErrorOr<void> PtraceAddressSpace::Residency(UserAddr addr, std::span<uint8_t> out) {
  if (addr % abi::kPAGE_SIZE != 0) return kEINVAL;
  if (!InRange(addr, out.size() * abi::kPAGE_SIZE)) return kENOMEM;
  MakePendingIn(addr, out.size() * abi::kPAGE_SIZE);
  while (!out.empty()) {
    std::span<uint8_t> part = out.first(std::min<size_t>(out.size(), abi::kPAGE_SIZE));
    TRY(SyscallCommand(abi::kNr_mincore, {addr, part.size() * abi::kPAGE_SIZE, platform_.layout().scratch()}));
    TRY(ReadScratch(std::as_writable_bytes(part)));
    addr += part.size() * abi::kPAGE_SIZE;
    out = out.subspan(part.size());
  }
  return {};
}

uint64_t PtraceAddressSpace::CpuTimeNs() {
  constexpr int kProcessCpuClock = 2;
  auto spent = host::ClockGettime(static_cast<int>((~static_cast<unsigned>(leader().tgid()) << 3) | kProcessCpuClock));
  if (spent.ok()) cpu_ns_ = static_cast<uint64_t>(spent->tv_sec) * 1'000'000'000u + static_cast<uint64_t>(spent->tv_nsec);
  return cpu_ns_;
}

ErrorOr<void> PtraceAddressSpace::SetStackLimit(uint64_t bytes) {
  uint64_t hard = platform_.stack_hard_limit();
  return Ignore(Command(StubEntry::kSetStackLimit, {.r12 = std::min(bytes, hard), .r13 = hard}));
}

std::optional<uint64_t> PtraceAddressSpace::ThreadCpuNs(HostThread& thread) {
  const uint64_t args[] = {static_cast<uint64_t>(abi::kCLOCK_THREAD_CPUTIME_ID), platform_.layout().scratch()};
  abi::Timespec spent;
  if (!thread.Syscall(abi::kNr_clock_gettime, args).ok()) return std::nullopt;
  if (!ReadScratch(std::as_writable_bytes(std::span(&spent, 1))).ok()) return std::nullopt;
  return static_cast<uint64_t>(spent.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(spent.tv_nsec);
}

ErrorOr<std::unique_ptr<GuestThread>> PtraceAddressSpace::NewThread(GuestThread& from) {
  auto& parent = static_cast<PtraceThread&>(from);
  express_.RestoreAll(parent.host());  // the path is for one thread
  int tid = TRY(parent.host().Clone(kThreadFlags));
  threads_.push_back(platform_.Adopt(tid, leader().tgid()));
  express_.Pause(true);
  always_single_threaded_ = false;
  HostThread& host = *threads_.back();
  host.SetRegs(parent.host().Regs());
  host.times_mended = times_mended_;
  auto thread = std::make_unique<PtraceThread>(platform_, *this, host);
  platform_.pinner().OnClone(parent.placement(), thread->placement(), host::NowMonotonicNs());
  return std::unique_ptr<GuestThread>(std::move(thread));
}

ErrorOr<AddressSpace::Forked> PtraceAddressSpace::Fork(GuestThread& from) {
  auto& parent = static_cast<PtraceThread&>(from);
  MakePending();
  int pid = TRY(parent.host().Clone(kForkFlags));
  std::unique_ptr<HostThread> host = platform_.Adopt(pid, pid);
  host->SetRegs(parent.host().Regs());
  host->rseq_area = parent.host().rseq_area;  // clone(2) keeps it unless memory is shared
  HostThread& child = *host;
  auto space = std::make_unique<PtraceAddressSpace>(platform_, std::move(host));
  express_.CopyTo(space->express_);
  auto thread = std::make_unique<PtraceThread>(platform_, *space, child);
  platform_.pinner().OnClone(parent.placement(), thread->placement(), host::NowMonotonicNs());
  return Forked{std::move(space), std::move(thread)};
}

void PtraceAddressSpace::OnThreadGone(HostThread& host) {
  if (host.leader()) return;  // parks: copies, signals and clocks go by its id
  auto it = std::find_if(threads_.begin(), threads_.end(), [&](auto& t) { return t.get() == &host; });
  std::unique_ptr<HostThread> thread = std::move(*it);
  threads_.erase(it);
  express_.Pause(threads_.size() > 1);
  if (thread->stopped()) thread->StartExit();
  platform_.Retire(std::move(thread));
}

}  // namespace moat::ptrace
