// Mappings that the kernel has made and the host does not know yet. A mapping costs a command, that is a stop of the guest, and
// many are replaced, split, protected or unmapped before they are touched: what a loader does to each library, what malloc does to
// a new arena. So a mapping of fresh addresses waits here until something needs it: a guest's fault, a copy, a command on its range.
// Plain data, no threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/kern/user_memory.h"

namespace moat::ptrace {

struct PendingMap {
  UserAddr start = 0, end = 0;
  int prot = 0;
  uint32_t flags = 0;  // of the host's mmap(2), MAP_FIXED and MAP_SHARED or MAP_PRIVATE among them
  int fd = -1;         // -1: anonymous. Open as long as the range is the kernel's mapping
  uint64_t offset = 0;
};

class PendingMaps {
 public:
  bool empty() const { return maps_.empty(); }
  bool full() const { return maps_.size() >= kMaxPending; }
  bool Overlaps(UserAddr start, UserAddr end) const;
  // Every byte of the range waits.
  bool Covers(UserAddr start, UserAddr end) const;

  void Add(const PendingMap& map);  // in place of what waits in its range
  void Remove(UserAddr start, UserAddr end);
  void Protect(UserAddr start, UserAddr end, int prot);  // a range that Covers()
  std::vector<PendingMap> TakeAll() { return std::exchange(maps_, {}); }

  // Whether waiting pays: a mapping that is touched next costs a fault more than one made at once. Learned from what became of
  // earlier ones; when it did not pay, one in a while is tried again.
  bool Worthwhile();
  void NoteFault() { Learn(maps_.size() > 1 ? 1 : -1); }
  void NoteSaved() { Learn(2); }  // gone before the host heard of it

 private:
  static constexpr size_t kMaxPending = 64;
  void Learn(int by);
  void SplitAt(UserAddr addr);

  std::vector<PendingMap> maps_;  // by address, disjoint
  int credit_ = 4;
  int declined_ = 0;
};

}  // namespace moat::ptrace
