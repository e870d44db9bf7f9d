#include "fs/vfs/file_lock.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "abi/poll.h"
#include "base/fiber/executor.h"
#include "base/host/time.h"
#include "base/util/no_destructor.h"
#include "fs/vfs/inode.h"

namespace moat {

namespace {

// Who waits for whom, over all inodes (POSIX locks only, as in Linux).
struct WaitGraph {
  Mutex mu;
  std::list<std::pair<LockOwner, LockOwner>> edges MOAT_GUARDED_BY(mu);  // waiter -> holder

  bool Reaches(LockOwner from, LockOwner to) MOAT_REQUIRES(mu) {
    std::vector<LockOwner> unvisited{from}, seen;
    while (!unvisited.empty()) {
      LockOwner at = unvisited.back();
      unvisited.pop_back();
      if (at == to) return true;
      if (std::find(seen.begin(), seen.end(), at) != seen.end()) continue;
      seen.push_back(at);
      for (auto& [waiter, holder] : edges) {
        if (waiter == at) unvisited.push_back(holder);
      }
    }
    return false;
  }
};

WaitGraph& Graph() {
  static NoDestructor<WaitGraph> graph;
  return *graph;
}

bool Overlap(const FileRange& a, const FileRange& b) { return a.start <= b.end && b.start <= a.end; }

// True if they overlap or one begins right after the other.
bool Touch(const FileRange& a, const FileRange& b) {
  return (b.end == INT64_MAX || a.start <= b.end + 1) && (a.end == INT64_MAX || b.start <= a.end + 1);
}

}  // namespace

struct FileLocks::Registry {
  Mutex mu;
  IntrusiveList<FileLocks, &FileLocks::registry_node_> all MOAT_GUARDED_BY(mu);
};

FileLocks::Registry& FileLocks::registry() {
  static NoDestructor<Registry> registry;
  return *registry;
}

FileLocks::FileLocks() = default;

FileLocks::~FileLocks() {
  Registry& r = registry();
  MutexLock lock(r.mu);
  registry_node_.Unlink();
}

void FileLocks::Register(Inode& inode) {
  Registry& r = registry();
  MutexLock lock(r.mu);
  if (inode_) return;
  inode_ = &inode;
  r.all.PushBack(*this);
}

std::vector<Ref<Inode>> FileLocks::LockedInodes() {
  std::vector<Ref<Inode>> out;
  Registry& r = registry();
  MutexLock lock(r.mu);
  for (FileLocks& locks : r.all) {
    if (locks.inode_->TryAddRef()) out.push_back(Ref<Inode>(locks.inode_, AdoptRef{}));
  }
  return out;
}

void LockWait::Clear() {
  if (!entered_) return;
  MutexLock lock(Graph().mu);
  Graph().edges.erase(edge_);
  entered_ = false;
}

ErrorOr<void> LockWait::Enter(LockOwner owner, LockOwner blocker) {
  Clear();
  WaitGraph& graph = Graph();
  MutexLock lock(graph.mu);
  if (graph.Reaches(blocker, owner)) return kEDEADLK;
  edge_ = graph.edges.emplace(graph.edges.end(), owner, blocker);
  entered_ = true;
  return {};
}

ErrorOr<FileRange> MakeFileRange(int64_t start, int64_t length) {
  if (start < 0) return kEINVAL;
  if (length == 0) return FileRange{start, INT64_MAX};
  if (length > 0) {
    if (start > INT64_MAX - (length - 1)) return kEOVERFLOW;
    return FileRange{start, start + (length - 1)};
  }
  if (length == INT64_MIN || start + length < 0) return kEINVAL;
  return FileRange{start + length, start - 1};
}

const RecordLock* FileLocks::FindConflict(const RecordLock& lock) const {
  for (const RecordLock& l : records_) {
    if (l.owner != lock.owner && (l.exclusive || lock.exclusive) && Overlap(l.range, lock.range)) return &l;
  }
  return nullptr;
}

// Cuts `range` out of the owner's locks; true if something was there.
bool FileLocks::RemoveRange(LockOwner owner, FileRange range) {
  bool any = false;
  for (auto it = records_.begin(); it != records_.end();) {
    RecordLock& l = *it;
    if (l.owner != owner || !Overlap(l.range, range)) {
      ++it;
      continue;
    }
    any = true;
    if (l.range.start < range.start && l.range.end > range.end) {
      RecordLock tail = l;
      tail.range.start = range.end + 1;
      l.range.end = range.start - 1;
      records_.insert(std::next(it), tail);
      return true;
    }
    if (l.range.start < range.start) {
      l.range.end = range.start - 1;
      ++it;
    } else if (l.range.end > range.end) {
      l.range.start = range.end + 1;
      ++it;
    } else {
      it = records_.erase(it);
    }
  }
  return any;
}

// --- The host. ---

Ref<HostLocks> FileLocks::host() const {
  MutexLock lock(mu_);
  return host_;
}

Ref<HostLocks> FileLocks::IdleHost() {
  if (!records_.empty() || !flocks_.empty()) return nullptr;
  return std::exchange(host_, nullptr);
}

void FileLocks::RetryLater() {
  constexpr int64_t kRetryNs = 20'000'000;
  if (queue_.empty()) return;  // nobody waits: the call just fails
  MutexLock lock(mu_);
  if (!retry_) retry_ = std::make_unique<Timer>([this] { queue_.Wake(abi::kPOLLIN, INT32_MAX); });
  retry_->Arm(host::NowMonotonicNs() + kRetryNs);
}

void FileLocks::ShrinkHost(FileRange range) {
  if (!host_) return;
  // Piece by piece, each with the most that somebody holds of it. What others hold is never given up in between.
  for (int64_t at = range.start;;) {
    HostLocks::Type type = HostLocks::Type::kNone;
    int64_t end = range.end;
    for (const RecordLock& l : records_) {
      if (l.range.start <= at && at <= l.range.end) {
        type = std::max(type, l.exclusive ? HostLocks::Type::kExclusive : HostLocks::Type::kShared);
        end = std::min(end, l.range.end);
      } else if (l.range.start > at) {
        end = std::min(end, l.range.start - 1);
      }
    }
    (void)host_->SetRange({at, end}, type);
    if (end >= range.end) return;
    at = end + 1;
  }
}

ErrorOr<void> FileLocks::UpdateHostFlock() {
  if (!host_) return {};
  HostLocks::Type want = HostLocks::Type::kNone;
  for (const RecordLock& l : flocks_) {
    want = std::max(want, l.exclusive ? HostLocks::Type::kExclusive : HostLocks::Type::kShared);
  }
  if (want == host_flock_) return {};
  host_flock_ = HostLocks::Type::kNone;
  TRY(host_->SetFlock(want));
  host_flock_ = want;
  return {};
}

// --- Record locks. ---

ErrorOr<void> FileLocks::Set(const RecordLock& lock, LockWait* wait, const Ref<HostLocks>& host) {
  bool changed = false;
  Ref<HostLocks> idle;
  ErrorOr<void> on_host;
  {
    MutexLock guard(mu_);
    if (const RecordLock* conflict = FindConflict(lock)) {
      if (wait) TRY(wait->Enter(lock.owner, conflict->owner));
      return kEAGAIN;
    }
    if (records_.size() >= kMaxLocksPerInode) return kENOLCK;
    if (!host_) host_ = host;
    if (host_) on_host = host_->SetRange(lock.range, lock.exclusive ? HostLocks::Type::kExclusive : HostLocks::Type::kShared);
    if (on_host.ok()) {
      changed = Insert(lock);
    } else {
      idle = IdleHost();
    }
  }
  if (wait) wait->Clear();
  if (!on_host.ok()) {
    if (on_host.error() != kEAGAIN) return kENOLCK;
    RetryLater();
    return kEAGAIN;
  }
  if (changed) queue_.Wake(abi::kPOLLIN, INT32_MAX);  // a write lock may have become a read lock
  return {};
}

bool FileLocks::Insert(const RecordLock& lock) {
  bool changed = RemoveRange(lock.owner, lock.range);
  RecordLock joined = lock;
  for (auto it = records_.begin(); it != records_.end();) {
    if (it->owner == lock.owner && it->exclusive == lock.exclusive && Touch(it->range, joined.range)) {
      joined.range = {std::min(it->range.start, joined.range.start), std::max(it->range.end, joined.range.end)};
      it = records_.erase(it);
    } else {
      ++it;
    }
  }
  auto place = std::find_if(records_.begin(), records_.end(),
                            [&](const RecordLock& l) { return l.range.start >= joined.range.start; });
  records_.insert(place, joined);
  return changed;
}

ErrorOr<void> FileLocks::Unlock(LockOwner owner, FileRange range) {
  bool changed;
  Ref<HostLocks> idle;
  {
    MutexLock lock(mu_);
    // Splitting makes one more.
    if (records_.size() >= kMaxLocksPerInode + 1) return kENOLCK;
    changed = RemoveRange(owner, range);
    if (changed) ShrinkHost(range);
    idle = IdleHost();
  }
  if (changed) queue_.Wake(abi::kPOLLIN, INT32_MAX);
  return {};
}

std::optional<RecordLock> FileLocks::Test(const RecordLock& lock, const Ref<HostLocks>& host) const {
  Ref<HostLocks> ask;
  {
    MutexLock guard(mu_);
    if (const RecordLock* conflict = FindConflict(lock)) return *conflict;
    ask = host_ ? host_ : host;
  }
  return ask ? ask->Test(lock) : std::nullopt;
}

// --- flock(2). ---

ErrorOr<void> FileLocks::Flock(LockOwner owner, bool exclusive, int pid, const Ref<HostLocks>& host) {
  bool dropped = false, blocked = false;
  Ref<HostLocks> idle;
  ErrorOr<void> on_host;
  {
    MutexLock lock(mu_);
    for (auto it = flocks_.begin(); it != flocks_.end(); ++it) {
      if (it->owner != owner) continue;
      if (it->exclusive == exclusive) return {};
      flocks_.erase(it);
      dropped = true;
      break;
    }
    for (const RecordLock& l : flocks_) blocked |= l.exclusive || exclusive;
    if (!host_ && !blocked) host_ = host;
    if (!blocked) flocks_.push_back({FileRange{}, exclusive, owner, pid});
    on_host = UpdateHostFlock();
    if (!on_host.ok() && !blocked) flocks_.pop_back();
    idle = IdleHost();
  }
  if (dropped) queue_.Wake(abi::kPOLLIN, INT32_MAX);
  if (blocked) return kEAGAIN;
  if (on_host.ok()) return {};
  if (on_host.error() != kEAGAIN) return kENOLCK;
  RetryLater();
  return kEAGAIN;
}

void FileLocks::FlockUnlock(LockOwner owner) {
  size_t removed;
  Ref<HostLocks> idle;
  {
    MutexLock lock(mu_);
    removed = std::erase_if(flocks_, [&](const RecordLock& l) { return l.owner == owner; });
    (void)UpdateHostFlock();
    idle = IdleHost();
  }
  if (removed) queue_.Wake(abi::kPOLLIN, INT32_MAX);
}

void FileLocks::ReleaseOwner(LockOwner owner) {
  size_t removed;
  Ref<HostLocks> idle;
  {
    MutexLock lock(mu_);
    std::vector<FileRange> ranges;
    removed = std::erase_if(records_, [&](const RecordLock& l) {
      if (l.owner == owner) ranges.push_back(l.range);
      return l.owner == owner;
    });
    for (const FileRange& range : ranges) ShrinkHost(range);
    removed += std::erase_if(flocks_, [&](const RecordLock& l) { return l.owner == owner; });
    (void)UpdateHostFlock();
    idle = IdleHost();
  }
  if (removed) queue_.Wake(abi::kPOLLIN, INT32_MAX);
}

std::list<FileLocks::Entry> FileLocks::List() const {
  std::list<Entry> all;
  MutexLock lock(mu_);
  for (const RecordLock& l : records_) all.push_back({l, false});
  for (const RecordLock& l : flocks_) all.push_back({l, true});
  return all;
}

}  // namespace moat
