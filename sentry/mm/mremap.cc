// mremap(2).
#include <algorithm>

#include "abi/mman.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/mm/mm_internal.h"

namespace moat {

using mm::kMaxMapCount;

// One mremap call. Lengths are whole pages.
struct MemoryManager::Move {
  UserAddr addr = 0, new_addr = 0;
  uint64_t old_length = 0, new_length = 0;
  bool may_move = false, fixed = false, dont_unmap = false;
  Vma vma{};  // the part that moves: [addr, addr + old_length) of its mapping, at least one page of it
  UserAddr vma_end = 0;  // of the whole mapping
};

// Finds the mapping and checks that it may become `new_length` long (vma_to_resize()).
ErrorOr<void> MemoryManager::PlanMove(Move& m, const MemoryLimits& limits) {
  MutexLock lock(mu_);
  const Vma* v = book_.Find(m.addr);
  if (!v) return kEFAULT;
  if (book_.AnySealed(m.addr, m.addr + std::max(m.old_length, mm::kPage))) return kEPERM;
  if (m.old_length == 0 && !v->shared) return kEINVAL;
  if (m.old_length > v->end - m.addr) return kEFAULT;
  m.vma = *v;
  m.vma_end = v->end;
  if (v->file) m.vma.offset += m.addr - v->start;
  m.vma.start = m.addr;
  m.vma.end = m.addr + m.old_length;
  if (m.new_length <= m.old_length) return {};
  uint64_t more = m.new_length - m.old_length;
  if (v->file && m.vma.offset + m.new_length < m.vma.offset) return kEINVAL;
  if (v->locked && !limits.can_lock_any) {
    uint64_t locked = book_.locked_bytes();
    if (locked > limits.memlock || more > limits.memlock - locked) return kEAGAIN;
  }
  return CheckExpand(more, v->is_data(), 0, 0, limits);
}

// Moves m.vma to m.new_addr on the host, then in the book.
ErrorOr<UserAddr> MemoryManager::DoMove(const Move& m, Dropped* dropped) {
  {
    MutexLock lock(mu_);
    if (book_.count() + 3 >= kMaxMapCount) return kENOMEM;
  }
  int flags = m.dont_unmap ? static_cast<int>(abi::kMREMAP_DONTUNMAP) : 0;
  TRY(space_->Remap(m.addr, m.old_length, m.new_addr, m.new_length, flags));
  Vma moved = m.vma;
  moved.start = m.new_addr;
  moved.end = m.new_addr + m.new_length;
  bool populate = moved.locked && m.new_length > m.old_length;
  {
    MutexLock lock(mu_);
    if (m.old_length != 0 && !m.dont_unmap) *dropped = book_.Remove(m.addr, m.addr + m.old_length);
    if (m.dont_unmap) book_.Update(m.addr, m.addr + m.old_length, [](Vma& v) { v.locked = false; });
    book_.Insert(std::move(moved));
  }
  if (populate) (void)Populate(m.new_addr + m.old_length, m.new_addr + m.new_length);
  return m.new_addr;
}

// MREMAP_FIXED and MREMAP_DONTUNMAP (mremap_to()).
ErrorOr<UserAddr> MemoryManager::MoveFixed(Move& m, const MemoryLimits& limits, Dropped* dropped) {
  if (!mm::Aligned(m.new_addr)) return kEINVAL;
  if (m.fixed) {
    if (m.new_length > info_.task_size || m.new_addr > info_.task_size - m.new_length) return kEINVAL;
    if (m.addr + m.old_length > m.new_addr && m.new_addr + m.new_length > m.addr) return kEINVAL;
    if (m.new_addr < info_.mmap_min) return kEPERM;
    TRY(UnmapRange(m.new_addr, m.new_addr + m.new_length, dropped));
  }
  if (m.old_length > m.new_length) {
    TRY(UnmapRange(m.addr + m.new_length, m.addr + m.old_length, dropped));
    m.old_length = m.new_length;
  }
  TRY(PlanMove(m, limits));
  if (m.dont_unmap) {
    MutexLock lock(mu_);
    TRY(CheckExpand(m.new_length, m.vma.is_data(), 0, 0, limits));
  }
  if (!m.fixed) m.new_addr = TRY(Choose(m.new_addr, m.new_length, 0));
  Dropped moved;
  ErrorOr<UserAddr> r = DoMove(m, &moved);
  dropped->insert(dropped->end(), std::make_move_iterator(moved.begin()), std::make_move_iterator(moved.end()));
  return r;
}

ErrorOr<UserAddr> MemoryManager::GrowOrMove(Move& m, const MemoryLimits& limits, Dropped* dropped) {
  TRY(PlanMove(m, limits));
  UserAddr old_end = m.addr + m.old_length, new_end = m.addr + m.new_length;
  bool in_place = false;
  if (m.old_length != 0 && old_end == m.vma_end && new_end > old_end && new_end <= info_.task_size) {
    LearnGrowth(old_end, new_end);
    MutexLock lock(mu_);
    in_place = !book_.Overlaps(old_end, new_end);
  }
  if (in_place) {
    TRY(space_->Remap(m.addr, m.old_length, m.addr, m.new_length, 0));
    Vma more = m.vma;
    more.start = old_end;
    more.end = new_end;
    if (more.file) more.offset += m.old_length;
    bool populate = more.locked;
    {
      MutexLock lock(mu_);
      book_.Insert(std::move(more));
    }
    if (populate) (void)Populate(old_end, new_end);
    return m.addr;
  }
  if (!m.may_move) return kENOMEM;
  m.new_addr = TRY(Choose(0, m.new_length, 0));
  return DoMove(m, dropped);
}

ErrorOr<UserAddr> MemoryManager::Mremap(UserAddr addr, uint64_t old_length, uint64_t new_length, int flags, UserAddr new_addr,
                                        const MemoryLimits& limits) {
  uint32_t bits = static_cast<uint32_t>(flags);
  Move m{.addr = addr, .new_addr = new_addr, .old_length = mm::PageUp(old_length), .new_length = mm::PageUp(new_length)};
  m.may_move = bits & abi::kMREMAP_MAYMOVE;
  m.fixed = bits & abi::kMREMAP_FIXED;
  m.dont_unmap = bits & abi::kMREMAP_DONTUNMAP;
  if (bits & ~(abi::kMREMAP_MAYMOVE | abi::kMREMAP_FIXED | abi::kMREMAP_DONTUNMAP)) return kEINVAL;
  if (m.fixed && !m.may_move) return kEINVAL;
  if (m.dont_unmap && (!m.may_move || old_length != new_length)) return kEINVAL;
  if (!mm::Aligned(addr) || m.new_length == 0) return kEINVAL;
  Dropped dropped;
  TaskMutexLock lock(mmap_lock_);
  {
    MutexLock book(mu_);
    if (!book_.Find(addr)) return kEFAULT;
  }
  if (m.old_length > info_.task_size - addr) return kEINVAL;
  if (m.fixed || m.dont_unmap) return MoveFixed(m, limits, &dropped);
  if (m.old_length > m.new_length) {
    TRY(UnmapRange(addr + m.new_length, addr + m.old_length, &dropped));
    return addr;
  }
  if (m.old_length == m.new_length) return addr;
  return GrowOrMove(m, limits, &dropped);
}

}  // namespace moat
