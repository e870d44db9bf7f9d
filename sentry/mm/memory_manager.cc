#include "sentry/mm/memory_manager.h"

#include <algorithm>

#include "abi/mman.h"
#include "fs/vfs/inode.h"

namespace moat {

namespace {

constexpr uint64_t kPage = abi::kPAGE_SIZE;
// Pages that one ResidentBytes looks at: a reservation of terabytes is not walked to its end (1 GiB of memory).
constexpr uint64_t kResidencyBudget = 1 << 18;
constexpr size_t kResidencyChunk = 1 << 14;

UserAddr PageDown(UserAddr addr) { return addr & abi::kPAGE_MASK; }

}  // namespace

Ref<MemoryManager> MemoryManager::Create(std::unique_ptr<AddressSpace> space, const PlatformInfo& info) {
  return Ref<MemoryManager>(new MemoryManager(std::move(space), info), AdoptRef{});
}

MemoryManager::MemoryManager(std::unique_ptr<AddressSpace> space, const PlatformInfo& info)
    : info_(info), space_(std::move(space)) {}
MemoryManager::~MemoryManager() = default;

// --- Copies ---

size_t MemoryManager::ClipToUser(UserAddr addr, size_t n) const {
  if (addr >= info_.task_size) return 0;
  return static_cast<size_t>(std::min<uint64_t>(n, info_.task_size - addr));
}

bool MemoryManager::GrowStackTo(UserAddr addr) {
  {
    MutexLock lock(mu_);
    const Vma* above = book_.FindFrom(addr);
    if (!above || above->start <= addr || !above->grows_down) return false;
  }
  return space_->Touch(addr).ok();  // the host applies the stack limit and the guard gap
}

ErrorOr<size_t> MemoryManager::CopyInPartial(UserAddr src, std::span<std::byte> dst) {
  if (dst.empty()) return size_t{0};
  dst = dst.first(ClipToUser(src, dst.size()));
  if (dst.empty()) return kEFAULT;
  ErrorOr<size_t> r = space_->CopyIn(src, dst);
  size_t done = r.ok() ? *r : 0;
  if (done == dst.size() || !GrowStackTo(src + done)) [[likely]] return r;
  ErrorOr<size_t> rest = space_->CopyIn(src + done, dst.subspan(done));
  if (!rest.ok()) return r;
  return done + *rest;
}

ErrorOr<size_t> MemoryManager::CopyOutPartial(UserAddr dst, std::span<const std::byte> src) {
  if (src.empty()) return size_t{0};
  src = src.first(ClipToUser(dst, src.size()));
  if (src.empty()) return kEFAULT;
  ErrorOr<size_t> r = space_->CopyOut(dst, src);
  size_t done = r.ok() ? *r : 0;
  if (done == src.size() || !GrowStackTo(dst + done)) [[likely]] return r;
  ErrorOr<size_t> rest = space_->CopyOut(dst + done, src.subspan(done));
  if (!rest.ok()) return r;
  return done + *rest;
}

ErrorOr<uint32_t> MemoryManager::Atomic(AtomicOp op, UserAddr addr, uint32_t arg, uint32_t expected) {
  if (addr & 3) return kEINVAL;
  if (addr >= info_.task_size) return kEFAULT;
  ErrorOr<uint32_t> r = space_->Atomic(op, addr, arg, expected);
  if (r.ok() || !GrowStackTo(addr)) return r;
  return space_->Atomic(op, addr, arg, expected);
}

// --- Stacks that grow ---

UserAddr MemoryManager::GrownStart(UserAddr start, UserAddr floor) {
  auto mapped = [&](UserAddr page) {
    uint8_t byte;
    return space_->Residency(page, std::span(&byte, 1)).ok();
  };
  // Pages below `start` are mapped down to some place and free below it: double, then halve.
  uint64_t limit = start - floor;
  uint64_t good = 0, step = kPage;
  while (step <= limit && mapped(start - step)) {
    good = step;
    step *= 2;
  }
  uint64_t bad = std::min(step, limit + kPage);
  while (bad - good > kPage) {
    uint64_t middle = PageDown(good + (bad - good) / 2);
    (mapped(start - middle) ? good : bad) = middle;
  }
  return start - good;
}

void MemoryManager::LearnGrowth(UserAddr start, UserAddr end) {
  struct Gap {
    UserAddr floor, start;
  };
  std::vector<Gap> gaps;
  {
    MutexLock lock(mu_);
    for (UserAddr at : book_.growing()) {
      const Vma* below = book_.Below(at);
      UserAddr floor = below ? below->end : info_.mmap_min;
      if (floor < at && floor < end && at > start) gaps.push_back({floor, at});
    }
  }
  for (const Gap& gap : gaps) {
    UserAddr grown = GrownStart(gap.start, gap.floor);
    if (grown == gap.start) continue;
    MutexLock lock(mu_);
    book_.GrowDown(gap.start, grown);
  }
}

bool MemoryManager::HandleFault(UserAddr addr) {
  if (addr >= info_.task_size) return false;
  auto may_grow = [&] {
    MutexLock lock(mu_);
    const Vma* above = book_.FindFrom(addr);
    return above && above->start > addr && above->grows_down;
  };
  if (!may_grow()) return false;
  TaskMutexLock lock(mmap_lock_);
  LearnGrowth(addr, addr + 1);
  // Mapped already: then the access itself is not allowed. Else only a touch that works explains the fault.
  return may_grow() && space_->Touch(addr).ok();
}

// --- Looking ---

ErrorOr<FutexKey> MemoryManager::KeyOf(UserAddr addr, bool shared) {
  if (addr >= info_.task_size) return kEFAULT;
  FutexKey key{.object = this, .offset = addr};
  if (!shared) return key;
  MutexLock lock(mu_);
  const Vma* v = book_.FindFrom(addr);
  if (!v || (v->start > addr && !v->grows_down)) return kEFAULT;
  if (v->start <= addr && !(v->prot & abi::kPROT_READ)) return kEFAULT;
  if (v->start > addr || !v->shared || !v->file) {
    // Private and shared operations on one private word do not meet (futex(2), FUTEX_PRIVATE_FLAG).
    constexpr uint64_t kSharedOperation = 1;  // words are 4-byte aligned
    key.offset |= kSharedOperation;
    return key;
  }
  Inode& inode = v->file->inode();
  key.object = &inode;
  key.offset = v->offset + (addr - v->start);
  key.keep = Ref<RefCounted>(&inode);
  return key;
}

void MemoryManager::ForEachVma(const std::function<void(const Vma&)>& visit) {
  std::vector<Vma> copy;
  {
    TaskMutexLock lock(mmap_lock_);
    LearnGrowth(0, info_.task_size);
    MutexLock book(mu_);
    copy.reserve(book_.count());
    for (const auto& [start, v] : book_.all()) copy.push_back(v);
  }
  for (const Vma& v : copy) visit(v);
}

bool MemoryManager::FindVma(UserAddr addr, Vma* out) {
  auto find = [&](bool* may_grow) {
    MutexLock lock(mu_);
    const Vma* v = book_.FindFrom(addr);
    *may_grow = v && v->start > addr && v->grows_down;
    if (!v || v->start > addr) return false;
    if (out) *out = *v;
    return true;
  };
  bool may_grow = false;
  if (find(&may_grow)) return true;
  if (!may_grow) return false;
  TaskMutexLock lock(mmap_lock_);
  LearnGrowth(addr, addr + 1);
  return find(&may_grow);
}

uint64_t MemoryManager::total_bytes() const {
  MutexLock lock(mu_);
  return book_.total_bytes();
}

uint64_t MemoryManager::locked_bytes() const {
  MutexLock lock(mu_);
  return book_.locked_bytes();
}

uint64_t MemoryManager::ResidentBytes() {
  std::vector<Vma> copy;
  TaskMutexLock lock(mmap_lock_);
  {
    MutexLock book(mu_);
    for (const auto& [start, v] : book_.all()) {
      if (v.prot != 0) copy.push_back(v);
    }
  }
  std::vector<uint8_t> pages;
  uint64_t resident = 0, budget = kResidencyBudget;
  for (const Vma& v : copy) {
    for (UserAddr at = v.start; at < v.end && budget; at += pages.size() * kPage) {
      pages.assign(std::min({(v.end - at) / kPage, budget, uint64_t{kResidencyChunk}}), 0);
      budget -= pages.size();
      if (!space_->Residency(at, pages).ok()) break;
      resident += static_cast<uint64_t>(std::count_if(pages.begin(), pages.end(), [](uint8_t p) { return p & 1; }));
    }
  }
  return resident * kPage;
}

// --- The host's calls ---

ErrorOr<uint64_t> MemoryManager::HostCall(GuestThread* thread, int nr, std::span<const uint64_t> args) {
  TaskMutexLock lock(mmap_lock_);
  return space_->HostCall(thread, nr, args);
}

ErrorOr<void> MemoryManager::SetStackLimit(uint64_t bytes) {
  TaskMutexLock lock(mmap_lock_);
  return space_->SetStackLimit(bytes);
}

// --- fork ---

ErrorOr<MemoryManager::Forked> MemoryManager::Fork(GuestThread& from) {
  TaskMutexLock lock(mmap_lock_);
  AddressSpace::Forked copy = TRY(space_->Fork(from));
  Ref<MemoryManager> child = Create(std::move(copy.space), info_);
  child->layout = layout;
  child->exe = exe;
  child->exe_hold = exe_hold;
  child->auxv = auxv;
  child->dumpable = dumpable;
  {
    MutexLock mine(mu_);
    MutexLock its(child->mu_);
    child->brk_ = brk_;
    for (const auto& [start, v] : book_.all()) {
      if (v.dont_fork) continue;  // the host left it out, too
      Vma forked = v;
      forked.locked = false;
      child->book_.Insert(std::move(forked));
    }
  }
  return Forked{std::move(child), std::move(copy.thread)};
}

}  // namespace moat
