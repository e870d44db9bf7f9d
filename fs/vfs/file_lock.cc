#include "fs/vfs/file_lock.h"

#include <algorithm>
#include <vector>

#include "abi/poll.h"
#include "base/util/no_destructor.h"

namespace moat {

namespace {

// Who waits for whom, over all inodes (POSIX locks only, as in Linux).
struct WaitGraph {
  Mutex mu;
  std::list<std::pair<LockOwner, LockOwner>> edges MOAT_GUARDED_BY(mu);  // waiter -> holder

  bool Reaches(LockOwner from, LockOwner to) MOAT_REQUIRES(mu) {
    std::vector<LockOwner> todo{from}, seen;
    while (!todo.empty()) {
      LockOwner at = todo.back();
      todo.pop_back();
      if (at == to) return true;
      if (std::find(seen.begin(), seen.end(), at) != seen.end()) continue;
      seen.push_back(at);
      for (auto& [waiter, holder] : edges) {
        if (waiter == at) todo.push_back(holder);
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

ErrorOr<void> FileLocks::Set(const RecordLock& lock, LockWait* wait) {
  bool changed;
  {
    MutexLock guard(mu_);
    if (const RecordLock* conflict = FindConflict(lock)) {
      if (wait) TRY(wait->Enter(lock.owner, conflict->owner));
      return kEAGAIN;
    }
    if (records_.size() >= kMaxLocksPerInode) return kENOLCK;
    changed = RemoveRange(lock.owner, lock.range);
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
  }
  if (wait) wait->Clear();
  if (changed) queue_.Wake(abi::kPOLLIN, INT32_MAX);  // a write lock may have become a read lock
  return {};
}

ErrorOr<void> FileLocks::Unlock(LockOwner owner, FileRange range) {
  bool changed;
  {
    MutexLock lock(mu_);
    // Splitting makes one more.
    if (records_.size() >= kMaxLocksPerInode + 1) return kENOLCK;
    changed = RemoveRange(owner, range);
  }
  if (changed) queue_.Wake(abi::kPOLLIN, INT32_MAX);
  return {};
}

std::optional<RecordLock> FileLocks::Test(const RecordLock& lock) const {
  MutexLock guard(mu_);
  if (const RecordLock* conflict = FindConflict(lock)) return *conflict;
  return std::nullopt;
}

ErrorOr<void> FileLocks::Flock(LockOwner owner, bool exclusive, int pid) {
  bool dropped = false, blocked = false;
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
    if (!blocked) flocks_.push_back({FileRange{}, exclusive, owner, pid});
  }
  if (dropped) queue_.Wake(abi::kPOLLIN, INT32_MAX);
  if (blocked) return kEAGAIN;
  return {};
}

void FileLocks::FlockUnlock(LockOwner owner) {
  size_t removed;
  {
    MutexLock lock(mu_);
    removed = std::erase_if(flocks_, [&](const RecordLock& l) { return l.owner == owner; });
  }
  if (removed) queue_.Wake(abi::kPOLLIN, INT32_MAX);
}

void FileLocks::ReleaseOwner(LockOwner owner) {
  size_t removed;
  {
    MutexLock lock(mu_);
    removed = std::erase_if(records_, [&](const RecordLock& l) { return l.owner == owner; });
    removed += std::erase_if(flocks_, [&](const RecordLock& l) { return l.owner == owner; });
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
