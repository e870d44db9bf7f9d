// madvise(2).
#include <algorithm>

#include "abi/fcntl.h"
#include "abi/mman.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/mm/mm_internal.h"

namespace moat {

namespace {

enum class Advice : uint8_t {
  kUnknown,
  kHost,      // the host's alone: about pages
  kBook,      // the book's alone
  kBoth,      // a property that a fork looks at: the host has to know it, too
  kIgnored,   // taken and not acted on
};

Advice KindOf(int advice) {
  switch (advice) {
    case abi::kMADV_NORMAL:
    case abi::kMADV_RANDOM:
    case abi::kMADV_SEQUENTIAL:
    case abi::kMADV_WILLNEED:
    case abi::kMADV_DONTNEED:
    case abi::kMADV_DONTNEED_LOCKED:
    case abi::kMADV_FREE:
    case abi::kMADV_REMOVE:
    case abi::kMADV_HUGEPAGE:
    case abi::kMADV_NOHUGEPAGE:
    case abi::kMADV_COLD:
    case abi::kMADV_PAGEOUT:
    case abi::kMADV_COLLAPSE:
    case abi::kMADV_POPULATE_READ:
    case abi::kMADV_POPULATE_WRITE:
    case abi::kMADV_GUARD_INSTALL:
    case abi::kMADV_GUARD_REMOVE: return Advice::kHost;
    case abi::kMADV_DONTDUMP:
    case abi::kMADV_DODUMP: return Advice::kBook;
    case abi::kMADV_DONTFORK:
    case abi::kMADV_DOFORK:
    case abi::kMADV_WIPEONFORK:
    case abi::kMADV_KEEPONFORK: return Advice::kBoth;
    case abi::kMADV_MERGEABLE:    // pages of a sandbox are never shared with another's by content
    case abi::kMADV_UNMERGEABLE: return Advice::kIgnored;
    default: return Advice::kUnknown;
  }
}

bool Discards(int advice) {
  return advice == abi::kMADV_DONTNEED || advice == abi::kMADV_DONTNEED_LOCKED || advice == abi::kMADV_FREE ||
         advice == abi::kMADV_REMOVE || advice == abi::kMADV_WIPEONFORK || advice == abi::kMADV_DONTFORK ||
         advice == abi::kMADV_GUARD_INSTALL;
}

// Whether `advice` can be given to `v`.
Errno Refuses(int advice, const Vma& v) {
  // mseal(2): what throws pages away that the caller could not overwrite.
  if (v.sealed && Discards(advice) && !v.file && !v.shared && !(v.prot & static_cast<int>(abi::kPROT_WRITE))) return kEPERM;
  switch (advice) {
    case abi::kMADV_DONTNEED:
    case abi::kMADV_COLD:
    case abi::kMADV_PAGEOUT: return v.locked ? kEINVAL : Errno{0};
    case abi::kMADV_FREE: return v.locked || v.file ? kEINVAL : Errno{0};
    case abi::kMADV_GUARD_INSTALL: return v.locked ? kEINVAL : Errno{0};
    case abi::kMADV_REMOVE:
      if (v.locked || !v.file) return kEINVAL;
      return v.shared && (v.prot & static_cast<int>(abi::kPROT_WRITE)) ? Errno{0} : kEACCES;
    case abi::kMADV_WIPEONFORK: return v.file || v.shared ? kEINVAL : Errno{0};
    default: return Errno{0};
  }
}

void Apply(int advice, Vma& v) {
  switch (advice) {
    case abi::kMADV_DONTDUMP: v.dont_dump = true; break;
    case abi::kMADV_DODUMP: v.dont_dump = false; break;
    case abi::kMADV_DONTFORK: v.dont_fork = true; break;
    case abi::kMADV_DOFORK: v.dont_fork = false; break;
    case abi::kMADV_WIPEONFORK: v.wipe_on_fork = true; break;
    case abi::kMADV_KEEPONFORK: v.wipe_on_fork = false; break;
    default: break;
  }
}

struct Range {
  UserAddr start, end;
};

}  // namespace

// MADV_REMOVE: the files' business, and they may park with locks above ours.
ErrorOr<void> MemoryManager::PunchHoles(UserAddr start, UserAddr end) {
  std::vector<Vma> parts;
  bool holes = false;
  {
    MutexLock book(mu_);
    parts = book_.Slice(start, end);
    holes = book_.MappedUntil(start, end) != end;
  }
  constexpr int kPunch = abi::kFALLOC_FL_PUNCH_HOLE | abi::kFALLOC_FL_KEEP_SIZE;
  for (const Vma& v : parts) {
    if (Errno e = Refuses(abi::kMADV_REMOVE, v); e != Errno{0}) return e;
    TRY(v.file->Allocate(kPunch, static_cast<int64_t>(v.offset), static_cast<int64_t>(v.length())));
  }
  if (holes) return kENOMEM;
  return {};
}

ErrorOr<void> MemoryManager::Madvise(UserAddr addr, uint64_t length, int advice) {
  Advice kind = KindOf(advice);
  if (kind == Advice::kUnknown) return kEINVAL;
  if (!mm::Aligned(addr)) return kEINVAL;
  uint64_t whole = mm::PageUp(length);
  if (length != 0 && whole == 0) return kEINVAL;
  UserAddr end = addr + whole;
  if (end < addr) return kEINVAL;
  if (end == addr) return {};
  if (advice == abi::kMADV_REMOVE) return PunchHoles(addr, end);

  TaskMutexLock lock(mmap_lock_);
  LearnGrowth(addr, end);
  // Runs of mapped memory up to the first mapping that refuses: holes are skipped and reported at the end.
  std::vector<Range> runs;
  Errno error{0};
  bool holes = false;
  {
    MutexLock book(mu_);
    UserAddr at = addr;
    for (const Vma& v : book_.Slice(addr, end)) {
      holes |= v.start != at;
      error = Refuses(advice, v);
      if (error != Errno{0}) break;
      if (!runs.empty() && runs.back().end == v.start) {
        runs.back().end = v.end;
      } else {
        runs.push_back({v.start, v.end});
      }
      at = v.end;
    }
    if (error == Errno{0}) holes |= at != end;
    if (kind != Advice::kHost && book_.count() + 2 > mm::kMaxMapCount) return kEAGAIN;
  }
  bool stops_at_hole = advice == abi::kMADV_POPULATE_READ || advice == abi::kMADV_POPULATE_WRITE;
  for (const Range& run : runs) {
    if (stops_at_hole && run.start != addr) break;
    if (kind == Advice::kHost || kind == Advice::kBoth) TRY(space_->Advise(run.start, run.end - run.start, advice));
    if (kind != Advice::kBook && kind != Advice::kBoth) continue;
    MutexLock book(mu_);
    book_.Update(run.start, run.end, [advice](Vma& v) { Apply(advice, v); });
  }
  if (error != Errno{0}) return error;
  if (holes) return kENOMEM;
  return {};
}

}  // namespace moat
