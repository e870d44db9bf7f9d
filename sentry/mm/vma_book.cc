#include "sentry/mm/vma_book.h"

#include <algorithm>
#include <iterator>

#include "base/util/check.h"
#include "fs/vfs/inode.h"

namespace moat {

namespace {

// Where `next` begins to be in the way of a mapping below it.
UserAddr StartWithGap(const Vma& next) {
  if (!next.grows_down) return next.start;
  return next.start > kStackGuardGap ? next.start - kStackGuardGap : 0;
}

bool CanMerge(const Vma& a, const Vma& b) {
  return a.end == b.start && a.prot == b.prot && a.max_prot == b.max_prot && a.shared == b.shared &&
         a.grows_down == b.grows_down && a.locked == b.locked && a.dont_fork == b.dont_fork &&
         a.wipe_on_fork == b.wipe_on_fork && a.dont_dump == b.dont_dump && a.no_reserve == b.no_reserve &&
         a.sealed == b.sealed && a.name == b.name && a.file == b.file &&
         (!a.file || a.offset + a.length() == b.offset);
}

Vma Clip(const Vma& v, UserAddr start, UserAddr end) {
  Vma part = v;
  part.start = std::max(v.start, start);
  part.end = std::min(v.end, end);
  if (v.file) part.offset += part.start - v.start;
  return part;
}

// Tells the file of an entry that came or went; writable ones count as i_mmap_writable.
void CountMapping(const Vma& v, int change) {
  if (v.file) v.file->OnMapped(change);
  if (v.file && v.shared && (v.max_prot & 2)) v.file->inode().CountWritableMapping(change);
}

}  // namespace

VmaBook::~VmaBook() {
  for (const auto& [start, v] : vmas_) CountMapping(v, -1);
}

VmaBook::Map::const_iterator VmaBook::From(UserAddr addr) const {
  auto it = vmas_.upper_bound(addr);
  if (it != vmas_.begin()) {
    auto before = std::prev(it);
    if (before->second.end > addr) return before;
  }
  return it;
}

template <class F>
void VmaBook::ForRange(UserAddr start, UserAddr end, F&& visit) const {
  for (auto it = From(start); it != vmas_.end() && it->second.start < end; ++it) visit(it->second);
}

const Vma* VmaBook::FindFrom(UserAddr addr) const {
  auto it = From(addr);
  return it == vmas_.end() ? nullptr : &it->second;
}

const Vma* VmaBook::Find(UserAddr addr) const {
  const Vma* v = FindFrom(addr);
  return v && v->start <= addr ? v : nullptr;
}

const Vma* VmaBook::Below(UserAddr addr) const {
  auto it = vmas_.lower_bound(addr);
  return it == vmas_.begin() ? nullptr : &std::prev(it)->second;
}

UserAddr VmaBook::MappedUntil(UserAddr start, UserAddr end) const {
  for (auto it = From(start); it != vmas_.end() && start < end && it->second.start <= start; ++it) start = it->second.end;
  return std::min(start, end);
}

bool VmaBook::Overlaps(UserAddr start, UserAddr end) const {
  const Vma* v = FindFrom(start);
  return v && v->start < end;
}

bool VmaBook::AnySealed(UserAddr start, UserAddr end) const {
  bool any = false;
  if (sealed_) ForRange(start, end, [&](const Vma& v) { any |= v.sealed; });
  return any;
}

uint64_t VmaBook::BytesIn(UserAddr start, UserAddr end) const {
  uint64_t n = 0;
  ForRange(start, end, [&](const Vma& v) { n += std::min(end, v.end) - std::max(start, v.start); });
  return n;
}

uint64_t VmaBook::LockedBytesIn(UserAddr start, UserAddr end) const {
  uint64_t n = 0;
  ForRange(start, end, [&](const Vma& v) { n += v.locked ? std::min(end, v.end) - std::max(start, v.start) : 0; });
  return n;
}

uint64_t VmaBook::DataBytesIn(UserAddr start, UserAddr end) const {
  uint64_t n = 0;
  ForRange(start, end, [&](const Vma& v) { n += v.is_data() ? std::min(end, v.end) - std::max(start, v.start) : 0; });
  return n;
}

std::vector<Vma> VmaBook::Slice(UserAddr start, UserAddr end) const {
  std::vector<Vma> parts;
  ForRange(start, end, [&](const Vma& v) { parts.push_back(Clip(v, start, end)); });
  return parts;
}

int VmaBook::CountChangeOfRemove(UserAddr start, UserAddr end) const {
  int change = 0;
  ForRange(start, end, [&](const Vma& v) { change += (v.start < start) + (v.end > end) - 1; });
  return change;
}

VmaBook::Map::iterator VmaBook::Add(Vma vma) {
  total_ += vma.length();
  if (vma.locked) locked_ += vma.length();
  if (vma.is_data()) data_ += vma.length();
  if (vma.sealed) ++sealed_;
  CountMapping(vma, 1);
  if (vma.grows_down) growing_.insert(vma.start);
  UserAddr start = vma.start;
  return vmas_.emplace(start, std::move(vma)).first;
}

Vma VmaBook::Take(Map::iterator it) {
  Vma vma = std::move(it->second);
  vmas_.erase(it);
  total_ -= vma.length();
  if (vma.locked) locked_ -= vma.length();
  if (vma.is_data()) data_ -= vma.length();
  if (vma.sealed) --sealed_;
  CountMapping(vma, -1);
  if (vma.grows_down) growing_.erase(vma.start);
  return vma;
}

void VmaBook::Insert(Vma vma) {
  CHECK(vma.start < vma.end && !Overlaps(vma.start, vma.end));
  auto next = vmas_.find(vma.end);
  if (next != vmas_.end() && CanMerge(vma, next->second)) vma.end = Take(next).end;
  auto it = vmas_.lower_bound(vma.start);
  if (it != vmas_.begin() && CanMerge(std::prev(it)->second, vma)) {
    Vma low = Take(std::prev(it));
    low.end = vma.end;
    vma = std::move(low);
  }
  Add(std::move(vma));
}

std::vector<Vma> VmaBook::Remove(UserAddr start, UserAddr end) {
  std::vector<Vma> removed;
  for (;;) {
    auto it = vmas_.lower_bound(start);
    if (it != vmas_.begin() && std::prev(it)->second.end > start) --it;
    if (it == vmas_.end() || it->second.start >= end) break;
    Vma whole = Take(it);
    removed.push_back(Clip(whole, start, end));
    if (whole.start < start) Add(Clip(whole, whole.start, start));
    if (whole.end > end) Add(Clip(whole, end, whole.end));
  }
  if (!removed.empty() && end > known_top_) known_length_ = 0;
  // The gap below a growing entry that goes is room as well.
  if (known_length_ && std::any_of(removed.begin(), removed.end(), [](const Vma& v) { return v.grows_down; })) known_length_ = 0;
  return removed;
}

void VmaBook::GrowDown(UserAddr start, UserAddr new_start) {
  auto it = vmas_.find(start);
  CHECK(it != vmas_.end() && it->second.grows_down && new_start < start && !Overlaps(new_start, start));
  Vma vma = Take(it);
  vma.start = new_start;
  Add(std::move(vma));
}

bool VmaBook::Fits(UserAddr addr, uint64_t length) const {
  const Vma* next = FindFrom(addr);
  return !next || addr + length <= StartWithGap(*next);
}

std::optional<UserAddr> VmaBook::FindTopDown(uint64_t length, UserAddr low, UserAddr high) {
  if (length == 0 || high < low || high - low < length) return std::nullopt;
  UserAddr top = high;
  if (known_length_ && known_high_ == high && length >= known_length_) top = std::min(top, known_top_);
  // `it`: the first entry that lies above the gap under examination.
  auto it = vmas_.lower_bound(top);
  if (it != vmas_.end()) top = std::min(top, StartWithGap(it->second));
  for (;;) {
    UserAddr bottom = low;
    if (it != vmas_.begin()) bottom = std::max(low, std::prev(it)->second.end);
    if (top >= bottom && top - bottom >= length) {
      known_high_ = high;
      known_top_ = top;
      known_length_ = length;
      return top - length;
    }
    if (it == vmas_.begin()) return std::nullopt;
    --it;
    top = std::min(top, StartWithGap(it->second));
    if (top < low || top - low < length) return std::nullopt;
  }
}

std::optional<UserAddr> VmaBook::FindBottomUp(uint64_t length, UserAddr low, UserAddr high) const {
  if (length == 0) return std::nullopt;
  UserAddr at = low;
  for (auto it = From(low);; ++it) {
    UserAddr limit = it == vmas_.end() ? high : std::min(high, StartWithGap(it->second));
    if (limit >= at && limit - at >= length) return at;
    if (it == vmas_.end() || it->second.end >= high) return std::nullopt;
    at = std::max(at, it->second.end);
  }
}

}  // namespace moat
