#include "fs/tmpfs/page_store.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "abi/fcntl.h"
#include "abi/mman.h"
#include "base/host/file.h"
#include "base/kern/held.h"
#include "base/util/no_destructor.h"

namespace moat {

namespace {

constexpr uint64_t kPage = abi::kPAGE_SIZE;
// Files that reach beyond this move to a memfd.
constexpr uint64_t kMaxHeapSize = 1 << 20;
// Bytes that move at once between a file and guest memory.
constexpr size_t kChunk = 64 * 1024;
// Small pages grow by doubling from here.
constexpr size_t kSmallestPage = 64;
constexpr uint64_t kBlocksPerPage = kPage / 512;

uint64_t PagesOf(uint64_t bytes) { return (bytes + kPage - 1) / kPage; }

// At least `n` bytes long, without reserving far more.
void Grow(std::vector<std::byte>& page, size_t n) {
  if (page.size() >= n) return;
  size_t capacity = kSmallestPage;
  while (capacity < n) capacity *= 2;
  page.reserve(capacity);
  page.resize(n);
}

}  // namespace

struct PageStore::All {
  Mutex mu;  // below a store's own
  IntrusiveList<PageStore, &PageStore::node_> stores MOAT_GUARDED_BY(mu);
};

PageStore::All& PageStore::GetAll() {
  static NoDestructor<All> all;
  return *all;
}

PageStore::~PageStore() {
  UniqueFd close(fd());
  if (close.valid()) {
    HostFds::Drop();
    MutexLock lock(GetAll().mu);
    node_.Unlink();
  }
  limit_->Uncharge(charged_.load(std::memory_order_relaxed));
}

uint64_t PageStore::RecountAll() {
  All& all = GetAll();
  MutexLock lock(all.mu);
  uint64_t pages = 0;
  for (PageStore& store : all.stores) pages += store.CountPages();
  return pages * kPage;
}

ErrorOr<size_t> PageStore::Fetch(std::span<std::byte> to, uint64_t offset) {
  if (fd() < 0) {
    MutexLock lock(mu_);
    if (fd() < 0) {
      for (size_t done = 0; done < to.size();) {
        uint64_t at = offset + done;
        size_t in_page = at % kPage, step = std::min(to.size() - done, kPage - in_page), have = 0;
        auto it = pages_.find(at / kPage);
        if (it != pages_.end() && in_page < it->second.size()) {
          have = std::min(step, it->second.size() - in_page);
          memcpy(to.data() + done, it->second.data() + in_page, have);
        }
        memset(to.data() + done + have, 0, step - have);
        done += step;
      }
      return to.size();
    }
  }
  return host::Pread(fd(), to.data(), to.size(), offset);
}

ErrorOr<size_t> PageStore::Read(IoSink& dst, uint64_t offset, size_t n) {
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(std::min(n, kChunk));
  size_t done = 0;
  while (done < n) {
    size_t got = TRY(Fetch({buffer.get(), std::min(n - done, kChunk)}, offset + done));
    if (got == 0) break;
    ErrorOr<size_t> put = dst.Put({buffer.get(), got});
    if (!put.ok()) return done ? ErrorOr<size_t>(done) : put;
    done += *put;
    if (*put < got) break;
  }
  return done;
}

ErrorOr<size_t> PageStore::Store(std::span<const std::byte> from, uint64_t offset) {
  if (fd() < 0) {
    MutexLock lock(mu_);
    for (size_t done = 0; fd() < 0;) {
      if (done == from.size()) return done;
      uint64_t at = offset + done;
      size_t in_page = at % kPage, step = std::min(from.size() - done, kPage - in_page);
      auto it = pages_.find(at / kPage);
      if (it == pages_.end()) {
        ErrorOr<void> charge = limit_->Charge(1);
        if (!charge.ok()) return done ? ErrorOr<size_t>(done) : charge.error();
        charged_.fetch_add(1, std::memory_order_relaxed);
        it = pages_.try_emplace(at / kPage).first;
      }
      Grow(it->second, in_page + step);
      memcpy(it->second.data() + in_page, from.data() + done, step);
      done += step;
    }
  }
  // Charged as if all pages were new; CountPages puts it right.
  if (PagesOf(from.size()) > limit_->free()) {
    CountPages();
    ErrorOr<uint64_t> hole = host::Lseek(fd(), static_cast<int64_t>(offset), abi::kSEEK_HOLE);
    bool present = hole.ok() && *hole >= offset + from.size();  // an overwrite needs no room
    if (!present && PagesOf(from.size()) > limit_->free()) return kENOSPC;
  }
  return host::Pwrite(fd(), from.data(), from.size(), offset);
}

ErrorOr<size_t> PageStore::Write(IoSource& src, uint64_t offset, uint64_t file_size) {
  if (fd() < 0 && offset + src.remaining() > kMaxHeapSize) {
    // Without a descriptor to spare the file stays where it is.
    ErrorOr<int> moved = ToMemfd(file_size);
    if (!moved.ok() && moved.error() != kENFILE) return moved.error();
  }
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(std::min(src.remaining(), kChunk));
  size_t done = 0;
  while (src.remaining() > 0) {
    size_t step = std::min(src.remaining(), kChunk);
    ErrorOr<size_t> got = src.Get({buffer.get(), step});
    if (!got.ok()) return done ? ErrorOr<size_t>(done) : got;
    ErrorOr<size_t> put = Store({buffer.get(), *got}, offset + done);
    if (!put.ok()) return done ? ErrorOr<size_t>(done) : put;
    done += *put;
    if (*put < step) break;
  }
  if (fd() >= 0) CountPages();
  return done;
}

void PageStore::DropPages(uint64_t first, uint64_t last) {
  auto begin = pages_.lower_bound(first), end = pages_.lower_bound(last);
  uint64_t n = static_cast<uint64_t>(std::distance(begin, end));
  pages_.erase(begin, end);
  limit_->Uncharge(n);
  charged_.fetch_sub(n, std::memory_order_relaxed);
}

ErrorOr<void> PageStore::Resize(uint64_t old_size, uint64_t new_size) {
  if (fd() >= 0) {
    TRY(host::Ftruncate(fd(), new_size));
    CountPages();
    return {};
  }
  if (new_size >= old_size) return {};
  MutexLock lock(mu_);
  if (fd() >= 0) return host::Ftruncate(fd(), new_size);  // mapped just now
  DropPages(PagesOf(new_size), UINT64_MAX);
  auto last = pages_.find(new_size / kPage);
  if (last != pages_.end() && last->second.size() > new_size % kPage) last->second.resize(new_size % kPage);
  return {};
}

ErrorOr<void> PageStore::Punch(uint64_t offset, uint64_t end) {
  if (offset >= end) return {};
  if (fd() >= 0) {
    TRY(host::Fallocate(fd(), abi::kFALLOC_FL_PUNCH_HOLE | abi::kFALLOC_FL_KEEP_SIZE, offset, end - offset));
    CountPages();
    return {};
  }
  MutexLock lock(mu_);
  if (fd() >= 0) {
    return host::Fallocate(fd(), abi::kFALLOC_FL_PUNCH_HOLE | abi::kFALLOC_FL_KEEP_SIZE, offset, end - offset);
  }
  uint64_t first_whole = PagesOf(offset), last_whole = end / kPage;
  if (first_whole < last_whole) DropPages(first_whole, last_whole);
  auto clear = [&](uint64_t from, uint64_t to) MOAT_REQUIRES(mu_) {  // within one page
    auto it = pages_.find(from / kPage);
    if (it == pages_.end() || from >= to) return;
    size_t begin = from % kPage, stop = std::min(begin + (to - from), it->second.size());
    if (begin < stop) memset(it->second.data() + begin, 0, stop - begin);
  };
  clear(offset, std::min(first_whole * kPage, end));
  if (last_whole >= first_whole) clear(std::max(last_whole * kPage, offset), end);
  return {};
}

ErrorOr<void> PageStore::Allocate(uint64_t offset, uint64_t end, uint64_t file_size) {
  if (fd() < 0 && end > kMaxHeapSize) TRY(ToMemfd(file_size));
  uint64_t first = offset / kPage, last = PagesOf(end);
  if (fd() >= 0) {
    uint64_t have = CountPages();
    uint64_t want = last - first;
    if (want > limit_->free() + have) return kENOSPC;
    TRY(host::Fallocate(fd(), abi::kFALLOC_FL_KEEP_SIZE, offset, end - offset));
    CountPages();
    return {};
  }
  MutexLock lock(mu_);
  if (fd() >= 0) return host::Fallocate(fd(), abi::kFALLOC_FL_KEEP_SIZE, offset, end - offset);
  for (uint64_t i = first; i < last; ++i) {
    if (pages_.contains(i)) continue;
    TRY(limit_->Charge(1));
    charged_.fetch_add(1, std::memory_order_relaxed);
    pages_.try_emplace(i);
  }
  return {};
}

ErrorOr<uint64_t> PageStore::SeekData(uint64_t offset, uint64_t size) {
  if (offset >= size) return kENXIO;
  if (fd() >= 0) return host::Lseek(fd(), static_cast<int64_t>(offset), abi::kSEEK_DATA);
  MutexLock lock(mu_);
  if (fd() >= 0) return host::Lseek(fd(), static_cast<int64_t>(offset), abi::kSEEK_DATA);
  auto it = pages_.lower_bound(offset / kPage);
  if (it == pages_.end() || it->first * kPage >= size) return kENXIO;
  return std::max(offset, it->first * kPage);
}

ErrorOr<uint64_t> PageStore::SeekHole(uint64_t offset, uint64_t size) {
  if (offset >= size) return kENXIO;
  if (fd() >= 0) return host::Lseek(fd(), static_cast<int64_t>(offset), abi::kSEEK_HOLE);
  MutexLock lock(mu_);
  if (fd() >= 0) return host::Lseek(fd(), static_cast<int64_t>(offset), abi::kSEEK_HOLE);
  uint64_t index = offset / kPage;
  if (!pages_.contains(index)) return offset;
  while (pages_.contains(index)) ++index;
  return std::min(index * kPage, size);
}

ErrorOr<int> PageStore::ToMemfdLocked(uint64_t size) {
  if (fd() >= 0) return fd();
  if (HostFds::full()) return kENFILE;
  ErrorOr<UniqueFd> made = host::MemfdCreate("tmpfs", abi::kMFD_CLOEXEC);
  if (!made.ok()) return made.error() == kEMFILE ? kENFILE : made.error();
  if (size) TRY(host::Ftruncate(made->get(), size));
  for (auto& [index, page] : pages_) {
    // An allocated page stays one, so that blocks and SEEK_DATA do not change.
    if (page.empty()) {
      TRY(host::Fallocate(made->get(), abi::kFALLOC_FL_KEEP_SIZE, index * kPage, kPage));
      continue;
    }
    size_t put = TRY(host::Pwrite(made->get(), page.data(), page.size(), index * kPage));
    if (put != page.size()) return kENOSPC;
  }
  pages_.clear();
  HostFds::Add();
  fd_.store(made->Release(), std::memory_order_release);
  MutexLock lock(GetAll().mu);
  GetAll().stores.PushBack(*this);
  return fd();
}

uint64_t PageStore::CountPages() {
  if (fd() < 0) return charged_.load(std::memory_order_relaxed);
  ErrorOr<abi::Stat> stat = host::Fstat(fd());
  if (!stat.ok()) return charged_.load(std::memory_order_relaxed);
  uint64_t now = static_cast<uint64_t>(stat->st_blocks) / kBlocksPerPage;
  uint64_t before = charged_.exchange(now, std::memory_order_relaxed);
  if (now > before) limit_->ChargeAlways(now - before);
  if (now < before) limit_->Uncharge(before - now);
  return now;
}

}  // namespace moat
