#include "sentry/kernel/ipc/semaphore.h"

#include <algorithm>
#include <cstdio>

namespace moat {

namespace {
// What wakes a sleeper: any bit does.
constexpr EventMask kWakeSleeper = 1;
// Identifiers of removed sets that an undo list keeps before it looks for them.
constexpr size_t kStaleIds = 64;
}  // namespace

SemUndoList::~SemUndoList() { sets_.Undo(*this); }

SemaphoreSet::SemaphoreSet(SemaphoreSets& owner, int32_t key, int mode, const Credentials& creds, size_t count)
    : IpcObject(key, mode, creds), count(count), owner_(owner), sems_(count) {}

SemaphoreSet::~SemaphoreSet() { owner_.semaphores_.fetch_sub(count, std::memory_order_relaxed); }

// Does all of `op` or nothing. Kept as the man page has it: a later operation sees what an earlier one of the same call did.
SemaphoreSet::Attempt SemaphoreSet::TryLocked(SemOperation& op, Errno* error, bool* changed) {
  *error = Errno{0};
  Attempt result = Attempt::kDone;
  size_t i = 0;
  for (; i < op.ops_.size(); ++i) {
    const abi::Sembuf& b = op.ops_[i];
    int value = sems_[b.sem_num].value;
    bool blocked = b.sem_op == 0 ? value != 0 : value + b.sem_op < 0;
    if (blocked) {
      op.blocked_at_ = i;
      result = b.sem_flg & abi::kIPC_NOWAIT ? Attempt::kFailed : Attempt::kBlocked;
      *error = kEAGAIN;
      break;
    }
    if (value + b.sem_op > abi::kSEMVMX) {
      result = Attempt::kFailed;
      *error = kERANGE;
      break;
    }
    sems_[b.sem_num].value = value + b.sem_op;
  }
  if (result == Attempt::kDone && op.undo_ && !UndoFitsLocked(op)) {
    result = Attempt::kFailed;
    *error = kERANGE;
  }
  if (result != Attempt::kDone) {
    while (i-- > 0) sems_[op.ops_[i].sem_num].value -= op.ops_[i].sem_op;
    return result;
  }
  for (const abi::Sembuf& b : op.ops_) {
    sems_[b.sem_num].pid = op.pid_;
    *changed |= b.sem_op != 0;
  }
  if (op.undo_) RecordUndoLocked(op);
  otime_ = IpcNow();
  return Attempt::kDone;
}

bool SemaphoreSet::UndoFitsLocked(const SemOperation& op) {
  std::map<uint16_t, int> sums;
  const Adjustments& known = undo_[op.undo_.get()];
  for (const abi::Sembuf& b : op.ops_) {
    if (!(b.sem_flg & abi::kSEM_UNDO)) continue;
    auto [it, fresh] = sums.try_emplace(b.sem_num, 0);
    if (fresh) {
      if (auto old = known.find(b.sem_num); old != known.end()) it->second = old->second;
    }
    it->second -= b.sem_op;
    if (it->second < -abi::kSEMAEM - 1 || it->second > abi::kSEMAEM) return false;
  }
  return true;
}

void SemaphoreSet::RecordUndoLocked(const SemOperation& op) {
  Adjustments& adjustments = undo_[op.undo_.get()];
  for (const abi::Sembuf& b : op.ops_) {
    if (!(b.sem_flg & abi::kSEM_UNDO)) continue;
    auto [it, fresh] = adjustments.try_emplace(b.sem_num, 0);
    if (fresh) owner_.undo_entries_.fetch_add(1, std::memory_order_relaxed);
    it->second = static_cast<int16_t>(it->second - b.sem_op);
  }
}

// The sleeper looks at done_ under the mutex, so the operation is not gone before Wake is through with its queue.
void SemaphoreSet::FinishLocked(SemOperation& op, Errno result) {
  op.done_ = true;
  op.result_ = result;
  op.queue_.Wake(kWakeSleeper);
}

// After a change: from the front again after each that changed a value, since it may make room for an earlier one.
void SemaphoreSet::WakeLocked() {
  for (auto it = pending_.begin(); it != pending_.end();) {
    SemOperation& op = **it;
    Errno error;
    bool changed = false;
    Attempt attempt = TryLocked(op, &error, &changed);
    if (attempt == Attempt::kBlocked) {
      ++it;
      continue;
    }
    it = pending_.erase(it);
    FinishLocked(op, error);
    if (changed) it = pending_.begin();
  }
}

void SemaphoreSet::RemoveLocked() {
  removed = true;
  for (SemOperation* op : pending_) FinishLocked(*op, kEIDRM);
  pending_.clear();
  for (const auto& [list, adjustments] : undo_) {
    owner_.undo_entries_.fetch_sub(adjustments.size(), std::memory_order_relaxed);
  }
  undo_.clear();
}

int SemaphoreSet::CountWaitersLocked(uint16_t index, bool for_zero) const {
  return static_cast<int>(std::count_if(pending_.begin(), pending_.end(), [&](const SemOperation* op) {
    const abi::Sembuf& b = op->ops_[op->blocked_at_];
    return b.sem_num == index && (b.sem_op == 0) == for_zero;
  }));
}

abi::Semid64Ds SemaphoreSet::DescribeLocked() const {
  abi::Semid64Ds ds{};
  ds.sem_perm = perm;
  ds.sem_perm.seq = static_cast<uint16_t>(id() >> 15);
  ds.sem_otime = otime_;
  ds.sem_ctime = ctime;
  ds.sem_nsems = count;
  return ds;
}

ErrorOr<int> SemaphoreSets::Get(const Credentials& creds, int32_t key, int count, int flags) {
  if (count < 0 || count > abi::kSEMMSL) return kEINVAL;
  size_t n = static_cast<size_t>(count);
  auto make = [&]() -> ErrorOr<Ref<SemaphoreSet>> {
    if (n == 0) return kEINVAL;
    if (semaphores_.fetch_add(n, std::memory_order_relaxed) + n > kMaxSemaphores) {
      semaphores_.fetch_sub(n, std::memory_order_relaxed);
      return kENOSPC;
    }
    return MakeRef<SemaphoreSet>(*this, key, flags, creds, n);
  };
  auto fits = [&](SemaphoreSet& found) -> ErrorOr<void> {
    if (n > found.count) return kEINVAL;
    return {};
  };
  return table_.Get(creds, key, flags, make, fits);
}

ErrorOr<void> SemaphoreSets::Begin(const Credentials& creds, int id, SemOperation& op, Ref<SemaphoreSet>* queued) {
  Ref<SemaphoreSet> set = TRY(table_.Find(id));
  bool alters = false;
  for (const abi::Sembuf& b : op.ops_) {
    if (b.sem_num >= set->count) return kEFBIG;
    alters |= b.sem_op != 0;
  }
  if (op.undo_) {
    if (undo_entries_.load(std::memory_order_relaxed) + op.ops_.size() > kMaxUndo) return kENOMEM;
    // Before the set knows of it: a name without an adjustment does no harm, an adjustment without a name is never undone.
    MutexLock lock(op.undo_->mu_);
    std::set<int>& ids = op.undo_->ids_;
    if (ids.size() > table_.size() + kStaleIds) std::erase_if(ids, [&](int old) { return !table_.Find(old).ok(); });
    ids.insert(id);
  }
  MutexLock lock(set->mu);
  if (set->removed) return kEIDRM;
  TRY(set->Check(creds, alters ? 0200 : 0400));
  Errno error;
  bool changed = false;
  switch (set->TryLocked(op, &error, &changed)) {
    case SemaphoreSet::Attempt::kDone:
      if (changed) set->WakeLocked();
      return {};
    case SemaphoreSet::Attempt::kFailed: return error;
    case SemaphoreSet::Attempt::kBlocked: break;
  }
  set->pending_.push_back(&op);
  *queued = set;
  return kEAGAIN;
}

bool SemaphoreSets::Finished(SemaphoreSet& set, SemOperation& op, Errno* result) {
  MutexLock lock(set.mu);
  *result = op.result_;
  return op.done_;
}

bool SemaphoreSets::Cancel(SemaphoreSet& set, SemOperation& op) {
  MutexLock lock(set.mu);
  if (op.done_) return false;
  set.pending_.remove(&op);
  return true;
}

// exit_sem(): the values move by what the list remembers, but stay in their range.
void SemaphoreSets::Undo(SemUndoList& list) {
  std::set<int> ids;
  {
    MutexLock lock(list.mu_);
    ids.swap(list.ids_);
  }
  for (int id : ids) {
    ErrorOr<Ref<SemaphoreSet>> found = table_.Find(id);
    if (!found.ok()) continue;
    SemaphoreSet& set = **found;
    MutexLock lock(set.mu);
    auto it = set.undo_.find(&list);
    if (it == set.undo_.end()) continue;
    for (auto [index, adjustment] : it->second) {
      if (adjustment == 0) continue;
      SemaphoreSet::Semaphore& sem = set.sems_[index];
      sem.value = std::clamp(sem.value + adjustment, 0, abi::kSEMVMX);
      sem.pid = list.pid;
    }
    undo_entries_.fetch_sub(it->second.size(), std::memory_order_relaxed);
    set.undo_.erase(it);
    set.otime_ = IpcNow();
    set.WakeLocked();
  }
}

ErrorOr<int> SemaphoreSets::GetOne(const Credentials& creds, int id, int index, int command) {
  Ref<SemaphoreSet> set = TRY(table_.Find(id));
  MutexLock lock(set->mu);
  TRY(set->Check(creds, 0400));
  if (set->removed) return kEIDRM;
  if (index < 0 || static_cast<size_t>(index) >= set->count) return kEINVAL;
  const SemaphoreSet::Semaphore& sem = set->sems_[static_cast<size_t>(index)];
  switch (command) {
    case abi::kGETVAL: return sem.value;
    case abi::kGETPID: return sem.pid;
    case abi::kGETNCNT: return set->CountWaitersLocked(static_cast<uint16_t>(index), false);
    case abi::kGETZCNT: return set->CountWaitersLocked(static_cast<uint16_t>(index), true);
    default: return kEINVAL;
  }
}

ErrorOr<std::vector<uint16_t>> SemaphoreSets::GetAll(const Credentials& creds, int id) {
  Ref<SemaphoreSet> set = TRY(table_.Find(id));
  MutexLock lock(set->mu);
  TRY(set->Check(creds, 0400));
  std::vector<uint16_t> values;
  for (const SemaphoreSet::Semaphore& sem : set->sems_) values.push_back(static_cast<uint16_t>(sem.value));
  return values;
}

ErrorOr<void> SemaphoreSets::SetOne(const Credentials& creds, int id, int index, int value, int pid) {
  if (value < 0 || value > abi::kSEMVMX) return kERANGE;
  Ref<SemaphoreSet> set = TRY(table_.Find(id));
  MutexLock lock(set->mu);
  if (index < 0 || static_cast<size_t>(index) >= set->count) return kEINVAL;
  TRY(set->Check(creds, 0200));
  if (set->removed) return kEIDRM;
  for (auto& [list, adjustments] : set->undo_) {
    undo_entries_.fetch_sub(adjustments.erase(static_cast<uint16_t>(index)), std::memory_order_relaxed);
  }
  set->sems_[static_cast<size_t>(index)] = {value, pid};
  set->ctime = IpcNow();
  set->WakeLocked();
  return {};
}

ErrorOr<size_t> SemaphoreSets::CountForSetAll(const Credentials& creds, int id) {
  Ref<SemaphoreSet> set = TRY(table_.Find(id));
  MutexLock lock(set->mu);
  TRY(set->Check(creds, 0200));
  return set->count;
}

ErrorOr<void> SemaphoreSets::SetAllValues(const Credentials& creds, int id, const std::vector<uint16_t>& values, int pid) {
  for (uint16_t value : values) {
    if (value > abi::kSEMVMX) return kERANGE;
  }
  Ref<SemaphoreSet> set = TRY(table_.Find(id));
  MutexLock lock(set->mu);
  TRY(set->Check(creds, 0200));
  if (set->removed || values.size() != set->count) return kEIDRM;
  for (size_t i = 0; i < values.size(); ++i) set->sems_[i] = {values[i], pid};
  for (const auto& [list, adjustments] : set->undo_) {
    undo_entries_.fetch_sub(adjustments.size(), std::memory_order_relaxed);
  }
  set->undo_.clear();
  set->ctime = IpcNow();
  set->WakeLocked();
  return {};
}

ErrorOr<abi::Semid64Ds> SemaphoreSets::Stat(const Credentials& creds, int id) {
  Ref<SemaphoreSet> set = TRY(table_.Find(id));
  MutexLock lock(set->mu);
  TRY(set->Check(creds, 0400));
  return set->DescribeLocked();
}

ErrorOr<abi::Semid64Ds> SemaphoreSets::StatAt(const Credentials& creds, int index, bool any, int* id) {
  Ref<SemaphoreSet> set = TRY(table_.At(index));
  MutexLock lock(set->mu);
  if (!any) TRY(set->Check(creds, 0400));
  *id = set->id();
  return set->DescribeLocked();
}

ErrorOr<void> SemaphoreSets::Set(const Credentials& creds, int id, const abi::Semid64Ds& from) {
  Ref<SemaphoreSet> set = TRY(table_.Find(id));
  MutexLock lock(set->mu);
  return set->SetPerm(creds, from.sem_perm);
}

ErrorOr<void> SemaphoreSets::Remove(const Credentials& creds, int id) {
  Ref<SemaphoreSet> set = TRY(table_.Find(id));
  {
    MutexLock lock(set->mu);
    TRY(set->CheckOwner(creds));
    if (set->removed) return kEIDRM;
    set->RemoveLocked();
  }
  table_.Remove(*set);
  return {};
}

abi::Seminfo SemaphoreSets::Limits(bool usage) const {
  abi::Seminfo info{};
  info.semmap = info.semmnu = abi::kSEMMNU;
  info.semmni = abi::kSEMMNI;
  info.semmns = kMaxSemaphores;
  info.semmsl = abi::kSEMMSL;
  info.semopm = abi::kSEMOPM;
  info.semume = abi::kSEMUME;
  info.semvmx = abi::kSEMVMX;
  info.semusz = usage ? static_cast<int>(table_.size()) : abi::kSEMUSZ;
  info.semaem = usage ? static_cast<int>(semaphores_.load(std::memory_order_relaxed)) : abi::kSEMAEM;
  return info;
}

std::string SemaphoreSets::Format() const {
  std::string text;
  for (const Ref<SemaphoreSet>& set : table_.All()) {
    MutexLock lock(set->mu);
    const abi::Semid64Ds ds = set->DescribeLocked();
    char line[192];
    snprintf(line, sizeof line, "%10d %10d  %4o %10llu %5u %5u %5u %5u %10lld %10lld\n", ds.sem_perm.key, set->id(),
             ds.sem_perm.mode, static_cast<unsigned long long>(ds.sem_nsems), ds.sem_perm.uid, ds.sem_perm.gid,
             ds.sem_perm.cuid, ds.sem_perm.cgid, static_cast<long long>(ds.sem_otime), static_cast<long long>(ds.sem_ctime));
    text += line;
  }
  return text;
}

}  // namespace moat
