// futex(2) and its newer forms.
#include "abi/futex.h"
#include "abi/time.h"
#include "sentry/kernel/futex.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/timers.h"
#include "sentry/syscalls/at.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/timeouts.h"

namespace moat {
namespace {

// The deadline of a futex call: relative for FUTEX_WAIT, absolute on CLOCK_MONOTONIC or CLOCK_REALTIME for the others.
ErrorOr<int64_t> FutexDeadline(Task& t, UserAddr timeout, bool relative, bool realtime) {
  if (!timeout) return kForever;
  int64_t ns = TRY(ToNs(TRY(t.mm().Read<abi::Timespec>(timeout))));
  if (relative) return DeadlineAfter(ns);
  return ToMonotonicDeadline(realtime ? abi::kCLOCK_REALTIME : abi::kCLOCK_MONOTONIC, ns);
}

// A wait that was interrupted: without a timeout the call is simply made again, with one it goes on to the same deadline.
ErrorOr<uint64_t> WaitResult(Task& t, ErrorOr<void> r, UserAddr addr, bool shared, uint32_t value, uint32_t bitset,
                             int64_t deadline) {
  if (r.ok()) return uint64_t{0};
  if (r.error() != kERESTARTSYS || deadline == kForever) return r.error();
  t.SetRestart([=](Task& again) -> ErrorOr<uint64_t> {
    ErrorOr<void> next = again.kernel().futexes().Wait(again, addr, shared, value, bitset, deadline);
    return WaitResult(again, next, addr, shared, value, bitset, deadline);
  });
  return kERESTART_RESTARTBLOCK;
}

ErrorOr<uint64_t> Wait(Task& t, UserAddr addr, bool shared, uint32_t value, uint32_t bitset, int64_t deadline) {
  ErrorOr<void> r = t.kernel().futexes().Wait(t, addr, shared, value, bitset, deadline);
  return WaitResult(t, r, addr, shared, value, bitset, deadline);
}

ErrorOr<uint64_t> SysFutex(Task& t, UserAddr addr, int op, uint32_t value, uint64_t timeout, UserAddr addr2, uint32_t value3) {
  FutexManager& futexes = t.kernel().futexes();
  bool shared = !(op & abi::kFUTEX_PRIVATE_FLAG);
  bool realtime = (op & abi::kFUTEX_CLOCK_REALTIME) != 0;
  int command = op & ~(abi::kFUTEX_PRIVATE_FLAG | abi::kFUTEX_CLOCK_REALTIME);
  if (realtime && command != abi::kFUTEX_WAIT && command != abi::kFUTEX_WAIT_BITSET &&
      command != abi::kFUTEX_WAIT_REQUEUE_PI && command != abi::kFUTEX_LOCK_PI2) {
    return kENOSYS;
  }
  constexpr uint32_t kAnyBit = ~0u;
  int count2 = static_cast<int>(timeout);  // the fourth argument of the requeue operations
  int count = static_cast<int>(value);
  switch (command) {
    case abi::kFUTEX_WAIT:
      return Wait(t, addr, shared, value, kAnyBit, TRY(FutexDeadline(t, timeout, true, realtime)));
    case abi::kFUTEX_WAIT_BITSET:
      return Wait(t, addr, shared, value, value3, TRY(FutexDeadline(t, timeout, false, realtime)));
    case abi::kFUTEX_WAKE: return TRY(futexes.Wake(t, addr, shared, count, kAnyBit));
    case abi::kFUTEX_WAKE_BITSET: return TRY(futexes.Wake(t, addr, shared, count, value3));
    case abi::kFUTEX_REQUEUE: return TRY(futexes.Requeue(t, addr, addr2, shared, count, count2, nullptr));
    case abi::kFUTEX_CMP_REQUEUE: return TRY(futexes.Requeue(t, addr, addr2, shared, count, count2, &value3));
    case abi::kFUTEX_WAKE_OP: return TRY(futexes.WakeOp(t, addr, addr2, shared, count, count2, value3));
    case abi::kFUTEX_LOCK_PI:
    case abi::kFUTEX_LOCK_PI2: {
      // LOCK_PI is always on the real-time clock (futex(2)).
      bool on_realtime = command == abi::kFUTEX_LOCK_PI || realtime;
      TRY(futexes.LockPi(t, addr, shared, TRY(FutexDeadline(t, timeout, false, on_realtime)), false));
      return uint64_t{0};
    }
    case abi::kFUTEX_TRYLOCK_PI:
      TRY(futexes.LockPi(t, addr, shared, kForever, true));
      return uint64_t{0};
    case abi::kFUTEX_UNLOCK_PI:
      TRY(futexes.UnlockPi(t, addr, shared));
      return uint64_t{0};
    case abi::kFUTEX_WAIT_REQUEUE_PI:
      TRY(futexes.WaitRequeuePi(t, addr, addr2, shared, value, kAnyBit, TRY(FutexDeadline(t, timeout, false, realtime))));
      return uint64_t{0};
    case abi::kFUTEX_CMP_REQUEUE_PI:
      if (value != 1) return kEINVAL;
      return TRY(futexes.RequeuePi(t, addr, addr2, shared, count2, value3));
    default: return kENOSYS;
  }
}

ErrorOr<uint64_t> SysFutexWaitv(Task& t, UserAddr waiters, uint32_t count, uint32_t flags, UserAddr timeout, int clock) {
  if (flags || count == 0 || count > abi::kFUTEX_WAITV_MAX || !waiters) return kEINVAL;
  int64_t deadline = kForever;
  if (timeout) {
    if (clock != abi::kCLOCK_MONOTONIC && clock != abi::kCLOCK_REALTIME) return kEINVAL;
    deadline = TRY(FutexDeadline(t, timeout, false, clock == abi::kCLOCK_REALTIME));
  }
  std::vector<abi::FutexWaitv> raw = TRY(t.mm().ReadArray<abi::FutexWaitv>(waiters, count, abi::kFUTEX_WAITV_MAX));
  std::vector<FutexManager::VectorEntry> entries;
  for (const abi::FutexWaitv& w : raw) {
    constexpr uint32_t kSize32 = 2;  // FUTEX2_SIZE_U32
    if (w.reserved_ || (w.flags & ~(kSize32 | abi::kFUTEX_PRIVATE_FLAG)) || !(w.flags & kSize32)) return kEINVAL;
    if (w.val > UINT32_MAX) return kEINVAL;
    entries.push_back({w.uaddr, static_cast<uint32_t>(w.val), !(w.flags & abi::kFUTEX_PRIVATE_FLAG)});
  }
  return TRY(t.kernel().futexes().WaitV(t, entries, deadline));
}

ErrorOr<void> SysSetRobustList(Task& t, UserAddr head, uint64_t size) {
  if (size != sizeof(abi::RobustListHead)) return kEINVAL;
  t.robust_list = head;
  return {};
}

ErrorOr<void> SysGetRobustList(Task& t, int pid, UserAddr head, UserAddr size) {
  Ref<Task> target = pid ? t.kernel().GetTask(pid) : Ref<Task>(&t);
  if (!target) return kESRCH;
  if (!MayTrace(t, *target)) return kEPERM;
  TRY(t.mm().Write<uint64_t>(size, sizeof(abi::RobustListHead)));
  return t.mm().Write<uint64_t>(head, target->robust_list);
}

constexpr SyscallRow kRows[] = {
    CALL(futex, SysFutex, "ptr flags:futex uint hex ptr hex"),
    CALL(futex_waitv, SysFutexWaitv, "ptr uint hex timespec int"),
    CALL(set_robust_list, SysSetRobustList, "ptr u64"),
    CALL(get_robust_list, SysGetRobustList, "pid ptr ptr"),
};

}  // namespace

const SyscallFamily kFutexCalls = {"futexes", kRows};

}  // namespace moat
