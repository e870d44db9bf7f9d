#include "platform/ptrace/pending_maps.h"

#include <algorithm>

namespace moat::ptrace {
namespace {

constexpr int kMaxCredit = 8;
constexpr int kTryEvery = 16;

}  // namespace

bool PendingMaps::Overlaps(UserAddr start, UserAddr end) const {
  return std::any_of(maps_.begin(), maps_.end(), [&](const PendingMap& m) { return m.start < end && start < m.end; });
}

bool PendingMaps::Covers(UserAddr start, UserAddr end) const {
  for (const PendingMap& m : maps_) {
    if (m.start <= start && start < m.end) start = m.end;
    if (start >= end) return true;
  }
  return false;
}

void PendingMaps::SplitAt(UserAddr addr) {
  for (size_t i = 0; i < maps_.size(); ++i) {
    if (addr <= maps_[i].start || addr >= maps_[i].end) continue;
    PendingMap tail = maps_[i];
    tail.start = maps_[i].end = addr;
    if (tail.fd >= 0) tail.offset += addr - maps_[i].start;
    maps_.insert(maps_.begin() + static_cast<ptrdiff_t>(i) + 1, tail);
    return;
  }
}

void PendingMaps::Remove(UserAddr start, UserAddr end) {
  SplitAt(start);
  SplitAt(end);
  std::erase_if(maps_, [&](const PendingMap& m) { return m.start >= start && m.end <= end; });
}

void PendingMaps::Add(const PendingMap& map) {
  Remove(map.start, map.end);
  auto after = std::find_if(maps_.begin(), maps_.end(), [&](const PendingMap& m) { return m.start > map.start; });
  maps_.insert(after, map);
}

void PendingMaps::Protect(UserAddr start, UserAddr end, int prot) {
  SplitAt(start);
  SplitAt(end);
  for (PendingMap& m : maps_) {
    if (m.start >= start && m.end <= end) m.prot = prot;
  }
}

bool PendingMaps::Worthwhile() { return credit_ > 0 || ++declined_ % kTryEvery == 0; }

void PendingMaps::Learn(int by) { credit_ = std::clamp(credit_ + by, 0, kMaxCredit); }

}  // namespace moat::ptrace
