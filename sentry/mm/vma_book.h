// The book of an address space: which ranges are mapped as what. A pure data structure: no host, no locks.
//
// Ranges are page aligned and never overlap. Neighbours that Linux would merge are one entry. Entries that can be written
// through count as their file's writable mappings (F_SEAL_WRITE).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/kern/user_memory.h"
#include "sentry/mm/vma.h"

namespace moat {

// Unmapped room that Linux keeps below a growing stack (stack_guard_gap): 256 pages.
inline constexpr uint64_t kStackGuardGap = 256 * 4096;

class VmaBook {
 public:
  using Map = std::map<UserAddr, Vma>;  // by start

  VmaBook() = default;
  ~VmaBook();
  VmaBook(const VmaBook&) = delete;
  VmaBook& operator=(const VmaBook&) = delete;

  const Map& all() const { return vmas_; }
  size_t count() const { return vmas_.size(); }
  uint64_t total_bytes() const { return total_; }
  uint64_t locked_bytes() const { return locked_; }
  uint64_t data_bytes() const { return data_; }  // see Vma::is_data
  bool has_sealed() const { return sealed_ != 0; }

  // The entry that holds `addr`; the first one that ends above it; the last one that starts below it. Or null. Valid until the
  // next change.
  const Vma* Find(UserAddr addr) const;
  const Vma* FindFrom(UserAddr addr) const;
  const Vma* Below(UserAddr addr) const;

  // The first address of [start, end) that is not mapped, or `end`.
  UserAddr MappedUntil(UserAddr start, UserAddr end) const;
  bool Overlaps(UserAddr start, UserAddr end) const;
  bool AnySealed(UserAddr start, UserAddr end) const;
  // Mapped bytes of [start, end); the locked ones among them.
  uint64_t BytesIn(UserAddr start, UserAddr end) const;
  uint64_t LockedBytesIn(UserAddr start, UserAddr end) const;
  uint64_t DataBytesIn(UserAddr start, UserAddr end) const;
  // The entries that meet [start, end), clipped to it.
  std::vector<Vma> Slice(UserAddr start, UserAddr end) const;
  // How many entries there would be more (or, negative, fewer) after Remove(start, end).
  int CountChangeOfRemove(UserAddr start, UserAddr end) const;

  // Adds an entry; its range must be free. Merges it with its neighbours.
  void Insert(Vma vma);
  // Empties [start, end). Returns what was there, clipped: the caller drops its file references outside of locks.
  std::vector<Vma> Remove(UserAddr start, UserAddr end);
  // Calls `change(Vma&)` (which leaves start, end, file and offset alone) for the parts of entries in [start, end).
  template <class F>
  void Update(UserAddr start, UserAddr end, F&& change) {
    uint64_t known_length = known_length_;  // the same room as before stays free
    std::vector<Vma> parts = Remove(start, end);
    for (Vma& v : parts) {
      change(v);
      Insert(std::move(v));
    }
    known_length_ = known_length;
  }
  // Moves the start of a growing entry down to `new_start`.
  void GrowDown(UserAddr start, UserAddr new_start);

  // Room for `length` bytes in [low, high), the highest or the lowest; respects the guard gap of growing entries.
  std::optional<UserAddr> FindTopDown(uint64_t length, UserAddr low, UserAddr high);
  std::optional<UserAddr> FindBottomUp(uint64_t length, UserAddr low, UserAddr high) const;
  // Whether [addr, addr + length) is free and leaves the guard gap of what follows alone.
  bool Fits(UserAddr addr, uint64_t length) const;

  // Starts of entries that grow down.
  const std::set<UserAddr>& growing() const { return growing_; }

 private:
  Map::iterator Add(Vma vma);     // counts it
  Vma Take(Map::iterator it);     // uncounts it
  Map::const_iterator From(UserAddr addr) const;
  template <class F>
  void ForRange(UserAddr start, UserAddr end, F&& visit) const;

  Map vmas_;
  std::set<UserAddr> growing_;
  uint64_t total_ = 0, locked_ = 0, data_ = 0, sealed_ = 0;
  // What the last top-down search learned: below `known_high_` and above `known_top_` there is no room for `known_length_`.
  UserAddr known_high_ = 0, known_top_ = 0;
  uint64_t known_length_ = 0;
};

}  // namespace moat
