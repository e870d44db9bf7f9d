#include "sentry/kernel/futex.h"

#include <list>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "abi/futex.h"
#include "base/sync/mutex.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/memory_manager.h"

namespace moat {

namespace {

constexpr uint32_t kTidMask = abi::kFUTEX_TID_MASK;
constexpr int kRobustListLimit = 2048;  // entries looked at; the list is the guest's and may be a loop

struct KeyHash {
  size_t operator()(const FutexKey& k) const {
    return std::hash<const void*>()(k.object) ^ (k.offset * 0x9E3779B97F4A7C15ull);
  }
};

ErrorOr<void> CheckAligned(UserAddr addr) {
  if (addr % sizeof(uint32_t)) return kEINVAL;
  return {};
}

}  // namespace

// One sleeper on one word. Lives on the sleeping handler's stack; linked and read under the manager's mutex.
struct FutexSleeper {
  Task* task = nullptr;
  FutexKey key;
  uint32_t bitset = ~0u;
  bool queued = false;
  bool woken = false;          // taken off the queue by a wake (or, PI, made owner)
  bool is_pi = false;          // waits to own the word
  bool requeue_pi = false;     // FUTEX_WAIT_REQUEUE_PI: only a requeue may take it
  UserAddr pi_addr = 0;        // the PI word in the sleeper's own space
};

struct FutexManager::Impl {
  using Queue = std::list<FutexSleeper*>;
  struct PiState {
    int owner_tid = 0;
    Ref<MemoryManager> mm;  // through which the word can be changed
    UserAddr addr = 0;
  };

  Mutex mu;
  std::unordered_map<FutexKey, Queue, KeyHash> queues MOAT_GUARDED_BY(mu);
  std::unordered_map<FutexKey, PiState, KeyHash> pi MOAT_GUARDED_BY(mu);  // words with PI sleepers

  void Enqueue(FutexSleeper& s) MOAT_REQUIRES(mu) {
    queues[s.key].push_back(&s);
    s.queued = true;
  }
  void Dequeue(FutexSleeper& s) MOAT_REQUIRES(mu) {
    if (!s.queued) return;
    s.queued = false;
    auto it = queues.find(s.key);
    it->second.remove(&s);
    if (it->second.empty()) queues.erase(it);
  }
  void WakeOne(FutexSleeper& s) MOAT_REQUIRES(mu) {
    Dequeue(s);
    s.woken = true;
    s.task->Wake();
  }
  // Wakes up to `count` plain sleepers of `key` that match `bitset`.
  int Wake(const FutexKey& key, int count, uint32_t bitset) MOAT_REQUIRES(mu) {
    auto it = queues.find(key);
    if (it == queues.end()) return 0;
    std::vector<FutexSleeper*> chosen;
    for (FutexSleeper* s : it->second) {
      if (static_cast<int>(chosen.size()) >= count) break;
      if ((s->bitset & bitset) && !s->is_pi && !s->requeue_pi) chosen.push_back(s);
    }
    for (FutexSleeper* s : chosen) WakeOne(*s);
    return static_cast<int>(chosen.size());
  }
  FutexSleeper* FirstPi(const FutexKey& key) MOAT_REQUIRES(mu) {
    auto it = queues.find(key);
    if (it == queues.end()) return nullptr;
    for (FutexSleeper* s : it->second) {
      if (s->is_pi) return s;
    }
    return nullptr;
  }
  int CountPi(const FutexKey& key) MOAT_REQUIRES(mu) {
    auto it = queues.find(key);
    int n = 0;
    if (it != queues.end()) {
      for (FutexSleeper* s : it->second) n += s->is_pi;
    }
    return n;
  }
};

FutexManager::FutexManager() : impl_(std::make_unique<Impl>()) {}
FutexManager::~FutexManager() = default;

// --- WAIT and WAKE. ---

namespace {

// Sleeps until somebody woke the sleeper. A wake that came together with the interruption counts.
ErrorOr<void> SleepUntilWoken(Task& t, Mutex& mu, FutexSleeper& s, int64_t deadline_ns,
                              const std::function<void()>& dequeue) {
  for (;;) {
    {
      MutexLock lock(mu);
      if (s.woken) return {};
    }
    ErrorOr<void> r = t.Block(deadline_ns);
    if (r.ok()) continue;
    MutexLock lock(mu);
    if (s.woken) return {};
    dequeue();
    return r;
  }
}

}  // namespace

ErrorOr<void> FutexManager::Wait(Task& t, UserAddr addr, bool shared, uint32_t value, uint32_t bitset,
                                 int64_t deadline_ns) {
  TRY(CheckAligned(addr));
  if (bitset == 0) return kEINVAL;
  FutexSleeper s{.task = &t, .key = TRY(t.mm().KeyOf(addr, shared)), .bitset = bitset};
  {
    MutexLock lock(impl_->mu);
    impl_->Enqueue(s);
  }
  // Queued first, then compared: a wake between the two is not lost.
  ErrorOr<uint32_t> now = t.mm().Read<uint32_t>(addr);
  if (!now.ok() || *now != value) {
    MutexLock lock(impl_->mu);
    if (s.woken) {
      impl_->Wake(s.key, 1, bitset);  // it was not ours to take
    } else {
      impl_->Dequeue(s);
    }
    return now.ok() ? kEAGAIN : now.error();
  }
  return SleepUntilWoken(t, impl_->mu, s, deadline_ns, [&]() MOAT_NO_THREAD_SAFETY_ANALYSIS { impl_->Dequeue(s); });
}

ErrorOr<int> FutexManager::Wake(Task& t, UserAddr addr, bool shared, int count, uint32_t bitset) {
  TRY(CheckAligned(addr));
  if (bitset == 0) return kEINVAL;
  FutexKey key = TRY(t.mm().KeyOf(addr, shared));
  MutexLock lock(impl_->mu);
  return impl_->Wake(key, std::max(count, 1), bitset);
}

void FutexManager::WakeAddress(MemoryManager& mm, UserAddr addr, int count) {
  ErrorOr<FutexKey> key = mm.KeyOf(addr, /*shared=*/true);
  if (!key.ok()) return;
  MutexLock lock(impl_->mu);
  impl_->Wake(*key, count, ~0u);
}

ErrorOr<int> FutexManager::Requeue(Task& t, UserAddr from, UserAddr to, bool shared, int wake, int move,
                                   const uint32_t* expected) {
  TRY(CheckAligned(from | to));
  if (wake < 0 || move < 0) return kEINVAL;
  FutexKey source = TRY(t.mm().KeyOf(from, shared));
  FutexKey target = TRY(t.mm().KeyOf(to, shared));
  if (expected && TRY(t.mm().Read<uint32_t>(from)) != *expected) return kEAGAIN;
  MutexLock lock(impl_->mu);
  int woken = impl_->Wake(source, wake, ~0u);
  int moved = 0;
  auto it = impl_->queues.find(source);
  if (it == impl_->queues.end() || source == target) return woken;
  std::vector<FutexSleeper*> movers;
  for (FutexSleeper* s : it->second) {
    if (moved >= move) break;
    if (s->is_pi || s->requeue_pi) return kEINVAL;
    movers.push_back(s);
    ++moved;
  }
  for (FutexSleeper* s : movers) {
    impl_->Dequeue(*s);
    s->key = target;
    impl_->Enqueue(*s);
  }
  return woken + moved;
}

namespace {

struct DecodedOp {
  AtomicOp op;
  uint32_t arg;
  uint32_t compare;
  uint32_t compare_arg;
};

ErrorOr<DecodedOp> DecodeWakeOp(uint32_t encoded) {
  constexpr uint32_t kArgShift = 8;  // FUTEX_OP_OPARG_SHIFT
  uint32_t op = (encoded >> 28) & 0xf;
  int32_t arg = static_cast<int32_t>(encoded << 8) >> 20;
  int32_t compare_arg = static_cast<int32_t>(encoded << 20) >> 20;
  if ((op & kArgShift) != 0) {
    arg = static_cast<int32_t>(1u << (arg & 31));
    op &= ~kArgShift;
  }
  static constexpr AtomicOp kOps[] = {AtomicOp::kExchange, AtomicOp::kAdd, AtomicOp::kOr, AtomicOp::kAndNot,
                                      AtomicOp::kXor};
  if (op >= std::size(kOps)) return kENOSYS;
  uint32_t compare = (encoded >> 24) & 0xf;
  if (compare > abi::kFUTEX_OP_CMP_GE) return kENOSYS;
  return DecodedOp{kOps[op], static_cast<uint32_t>(arg), compare, static_cast<uint32_t>(compare_arg)};
}

bool Compare(uint32_t how, int32_t a, int32_t b) {
  switch (how) {
    case abi::kFUTEX_OP_CMP_EQ: return a == b;
    case abi::kFUTEX_OP_CMP_NE: return a != b;
    case abi::kFUTEX_OP_CMP_LT: return a < b;
    case abi::kFUTEX_OP_CMP_LE: return a <= b;
    case abi::kFUTEX_OP_CMP_GT: return a > b;
    default: return a >= b;
  }
}

}  // namespace

ErrorOr<int> FutexManager::WakeOp(Task& t, UserAddr addr1, UserAddr addr2, bool shared, int wake1, int wake2, uint32_t op) {
  TRY(CheckAligned(addr1 | addr2));
  FutexKey key1 = TRY(t.mm().KeyOf(addr1, shared));
  FutexKey key2 = TRY(t.mm().KeyOf(addr2, shared));
  DecodedOp d = TRY(DecodeWakeOp(op));
  uint32_t old = TRY(t.mm().Atomic(d.op, addr2, d.arg, 0));
  MutexLock lock(impl_->mu);
  int woken = impl_->Wake(key1, std::max(wake1, 1), ~0u);
  if (Compare(d.compare, static_cast<int32_t>(old), static_cast<int32_t>(d.compare_arg))) {
    woken += impl_->Wake(key2, std::max(wake2, 1), ~0u);
  }
  return woken;
}

ErrorOr<int> FutexManager::WaitV(Task& t, std::span<const VectorEntry> entries, int64_t deadline_ns) {
  std::vector<FutexSleeper> sleepers(entries.size());
  auto leave = [&]() -> int {
    MutexLock lock(impl_->mu);
    int woken = -1;
    for (size_t i = 0; i < sleepers.size(); ++i) {
      if (sleepers[i].woken) woken = static_cast<int>(i);
      impl_->Dequeue(sleepers[i]);
    }
    return woken;
  };
  for (size_t i = 0; i < entries.size(); ++i) {
    ErrorOr<void> aligned = CheckAligned(entries[i].addr);
    ErrorOr<FutexKey> key = aligned.ok() ? t.mm().KeyOf(entries[i].addr, entries[i].shared) : aligned.error();
    ErrorOr<uint32_t> now = key.ok() ? ErrorOr<uint32_t>(uint32_t{0}) : key.error();
    if (key.ok()) {
      sleepers[i].task = &t;
      sleepers[i].key = *key;
      MutexLock lock(impl_->mu);
      impl_->Enqueue(sleepers[i]);
    }
    if (key.ok()) now = t.mm().Read<uint32_t>(entries[i].addr);
    if (now.ok() && *now == entries[i].value) continue;
    int woken = leave();
    if (woken >= 0) return woken;
    return now.ok() ? kEAGAIN : now.error();
  }
  for (;;) {
    bool any;
    {
      MutexLock lock(impl_->mu);
      any = std::any_of(sleepers.begin(), sleepers.end(), [](const FutexSleeper& s) { return s.woken; });
    }
    if (any) return leave();
    ErrorOr<void> r = t.Block(deadline_ns);
    if (r.ok()) continue;
    int woken = leave();
    if (woken >= 0) return woken;
    return r.error();
  }
}

// --- Priority inheritance: the kernel hands the word over, FIFO (priorities are equal here). ---

namespace {

// Takes a free word for `tid`. True if taken; false with the owner's value in `seen`.
ErrorOr<bool> TakeFree(MemoryManager& mm, UserAddr addr, uint32_t tid, bool others_wait, uint32_t& seen) {
  for (;;) {
    seen = TRY(mm.Read<uint32_t>(addr));
    if (seen & kTidMask) return false;
    uint32_t wanted = tid | (seen & abi::kFUTEX_OWNER_DIED) | (others_wait ? abi::kFUTEX_WAITERS : 0);
    if (TRY(mm.Atomic(AtomicOp::kCompareExchange, addr, wanted, seen)) == seen) return true;
  }
}

// Sets FUTEX_WAITERS while `seen`'s owner holds the word; false if the word changed.
ErrorOr<bool> MarkWaiters(MemoryManager& mm, UserAddr addr, uint32_t seen) {
  if (seen & abi::kFUTEX_WAITERS) return true;
  return TRY(mm.Atomic(AtomicOp::kCompareExchange, addr, seen | abi::kFUTEX_WAITERS, seen)) == seen;
}

ErrorOr<void> CheckOwner(Task& t, uint32_t seen) {
  int owner = static_cast<int>(seen & kTidMask);
  if (owner == t.tid()) return kEDEADLK;
  Ref<Task> task = t.kernel().GetTask(owner);
  if (!task || !task->has_memory()) return kESRCH;
  return {};
}

}  // namespace

ErrorOr<void> FutexManager::LockPi(Task& t, UserAddr addr, bool shared, int64_t deadline_ns, bool try_only) {
  TRY(CheckAligned(addr));
  FutexSleeper s{.task = &t, .key = TRY(t.mm().KeyOf(addr, shared)), .is_pi = true, .pi_addr = addr};
  for (;;) {
    int others;
    {
      MutexLock lock(impl_->mu);
      others = impl_->CountPi(s.key);
    }
    uint32_t seen;
    if (TRY(TakeFree(t.mm(), addr, static_cast<uint32_t>(t.tid()), others > 0, seen))) return {};
    TRY(CheckOwner(t, seen));
    if (try_only) return kEAGAIN;
    {
      MutexLock lock(impl_->mu);
      impl_->Enqueue(s);
      impl_->pi[s.key] = {static_cast<int>(seen & kTidMask), t.mm_ref(), addr};
    }
    ErrorOr<bool> marked = MarkWaiters(t.mm(), addr, seen);
    if (marked.ok() && *marked) break;
    MutexLock lock(impl_->mu);
    impl_->Dequeue(s);
    if (s.woken) return {};
    if (!marked.ok()) return marked.error();
  }
  return SleepUntilWoken(t, impl_->mu, s, deadline_ns, [&]() MOAT_NO_THREAD_SAFETY_ANALYSIS { impl_->Dequeue(s); });
}

// Makes the first PI sleeper the owner, or frees the word; `extra` bits go into the word.
static ErrorOr<void> HandOver(FutexManager::Impl& impl, MemoryManager& mm, UserAddr addr, const FutexKey& key,
                              uint32_t extra) {
  uint32_t value = extra;
  {
    MutexLock lock(impl.mu);
    FutexSleeper* next = impl.FirstPi(key);
    if (next) {
      value |= static_cast<uint32_t>(next->task->tid());
      if (impl.CountPi(key) > 1) value |= abi::kFUTEX_WAITERS;
    }
  }
  TRY(mm.Atomic(AtomicOp::kExchange, addr, value, 0));
  MutexLock lock(impl.mu);
  FutexSleeper* next = impl.FirstPi(key);
  if (!next) {
    impl.pi.erase(key);
    return {};
  }
  impl.pi[key].owner_tid = next->task->tid();
  impl.WakeOne(*next);
  if (impl.CountPi(key) == 0) impl.pi.erase(key);
  return {};
}

ErrorOr<void> FutexManager::UnlockPi(Task& t, UserAddr addr, bool shared) {
  TRY(CheckAligned(addr));
  uint32_t seen = TRY(t.mm().Read<uint32_t>(addr));
  if (static_cast<int>(seen & kTidMask) != t.tid()) return kEPERM;
  return HandOver(*impl_, t.mm(), addr, TRY(t.mm().KeyOf(addr, shared)), 0);
}

ErrorOr<void> FutexManager::WaitRequeuePi(Task& t, UserAddr from, UserAddr to, bool shared, uint32_t value,
                                          uint32_t bitset, int64_t deadline_ns) {
  TRY(CheckAligned(from | to));
  if (from == to || bitset == 0) return kEINVAL;
  FutexSleeper s{.task = &t, .key = TRY(t.mm().KeyOf(from, shared)), .bitset = bitset, .requeue_pi = true, .pi_addr = to};
  {
    MutexLock lock(impl_->mu);
    impl_->Enqueue(s);
  }
  ErrorOr<uint32_t> now = t.mm().Read<uint32_t>(from);
  if (!now.ok() || *now != value) {
    MutexLock lock(impl_->mu);
    impl_->Dequeue(s);
    if (s.woken) return {};
    return now.ok() ? kEAGAIN : now.error();
  }
  return SleepUntilWoken(t, impl_->mu, s, deadline_ns, [&]() MOAT_NO_THREAD_SAFETY_ANALYSIS { impl_->Dequeue(s); });
}

ErrorOr<int> FutexManager::RequeuePi(Task& t, UserAddr from, UserAddr to, bool shared, int move, uint32_t expected) {
  TRY(CheckAligned(from | to));
  if (from == to) return kEINVAL;
  FutexKey source = TRY(t.mm().KeyOf(from, shared));
  FutexKey target = TRY(t.mm().KeyOf(to, shared));
  if (TRY(t.mm().Read<uint32_t>(from)) != expected) return kEAGAIN;
  std::vector<FutexSleeper*> movers;
  {
    MutexLock lock(impl_->mu);
    auto it = impl_->queues.find(source);
    if (it == impl_->queues.end()) return 0;
    for (FutexSleeper* s : it->second) {
      if (static_cast<int64_t>(movers.size()) >= int64_t{move} + 1) break;
      if (!s->requeue_pi || s->pi_addr != to) return kEINVAL;
      movers.push_back(s);
    }
  }
  int done = 0;
  for (FutexSleeper* s : movers) {
    uint32_t seen;
    uint32_t tid = static_cast<uint32_t>(s->task->tid());
    bool more = movers.size() > 1;
    bool taken = done == 0 && TRY(TakeFree(t.mm(), to, tid, more, seen));
    if (!taken) {
      seen = TRY(t.mm().Atomic(AtomicOp::kOr, to, abi::kFUTEX_WAITERS, 0));
    }
    MutexLock lock(impl_->mu);
    if (!s->queued) continue;  // left meanwhile
    impl_->Dequeue(*s);
    s->requeue_pi = false;
    if (taken) {
      s->woken = true;
      s->task->Wake();
    } else {
      s->is_pi = true;
      s->key = target;
      impl_->Enqueue(*s);
      impl_->pi[target] = {static_cast<int>(seen & kTidMask), t.mm_ref(), to};
    }
    ++done;
  }
  return done;
}

// --- The end of a task. ---

// What the kernel does for one lock of a dead owner (handle_futex_death).
static void MarkOwnerDied(FutexManager& futexes, Task& t, UserAddr addr, bool pi) {
  if (addr % sizeof(uint32_t)) return;
  for (;;) {
    ErrorOr<uint32_t> seen = t.mm().Read<uint32_t>(addr);
    if (!seen.ok() || static_cast<int>(*seen & kTidMask) != t.tid()) return;
    uint32_t wanted = (*seen & abi::kFUTEX_WAITERS) | abi::kFUTEX_OWNER_DIED;
    ErrorOr<uint32_t> old = t.mm().Atomic(AtomicOp::kCompareExchange, addr, wanted, *seen);
    if (!old.ok()) return;
    if (*old != *seen) continue;
    if (!pi && (*seen & abi::kFUTEX_WAITERS)) futexes.WakeAddress(t.mm(), addr, 1);
    return;
  }
}

void FutexManager::ExitRobustList(Task& t) {
  if (!t.robust_list) return;
  ErrorOr<abi::RobustListHead> head = t.mm().Read<abi::RobustListHead>(t.robust_list);
  if (!head.ok()) return;
  constexpr uint64_t kPiBit = 1;
  uint64_t pending = head->list_op_pending;
  uint64_t entry = head->list.next;
  uint64_t offset = static_cast<uint64_t>(head->futex_offset);
  for (int i = 0; i < kRobustListLimit && (entry & ~kPiBit) != t.robust_list; ++i) {
    UserAddr at = entry & ~kPiBit;
    // The next entry is read first: waking the waiter may let it reuse this one.
    ErrorOr<uint64_t> next = t.mm().Read<uint64_t>(at);
    if (at != (pending & ~kPiBit)) MarkOwnerDied(*this, t, at + offset, (entry & kPiBit) != 0);
    if (!next.ok()) break;
    entry = *next;
  }
  if (pending & ~kPiBit) MarkOwnerDied(*this, t, (pending & ~kPiBit) + offset, (pending & kPiBit) != 0);
}

void FutexManager::ExitPi(Task& t) {
  std::vector<std::pair<FutexKey, Impl::PiState>> owned;
  {
    MutexLock lock(impl_->mu);
    for (auto& [key, state] : impl_->pi) {
      if (state.owner_tid == t.tid()) owned.emplace_back(key, state);
    }
  }
  for (auto& [key, state] : owned) (void)HandOver(*impl_, *state.mm, state.addr, key, abi::kFUTEX_OWNER_DIED);
}

}  // namespace moat
