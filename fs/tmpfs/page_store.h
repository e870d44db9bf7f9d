// The content of a tmpfs file: pages in sentry memory while the file is small and never mapped, a memfd of its own after that.
// A host descriptor is scarce, a page of heap for a 200 byte file wasteful: pages here are as long as their data.
//
// Its short mutex guards the pages, and is never held while bytes move from or to a guest. The inode's lock, held by the
// caller, keeps writes and changes of size apart; reads and ToMemfd (mmap, which may not take that lock) need no other.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/kern/io.h"
#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/intrusive_list.h"
#include "base/util/ref.h"
#include "base/util/unique_fd.h"
#include "fs/tmpfs/memory_limit.h"

namespace moat {

class PageStore {
 public:
  explicit PageStore(Ref<MemoryLimit> limit) : limit_(std::move(limit)) {}
  ~PageStore();

  // [offset, offset + n) goes to `dst`; the caller has cut n at the file's size. Bytes moved.
  ErrorOr<size_t> Read(IoSink& dst, uint64_t offset, size_t n);
  // Takes `src` from `offset` on. Less than asked on a fault or when memory ran out; kENOSPC if nothing went in.
  ErrorOr<size_t> Write(IoSource& src, uint64_t offset, uint64_t file_size);
  // The file's size changed from `old_size` to `new_size`.
  ErrorOr<void> Resize(uint64_t old_size, uint64_t new_size);
  // Frees whole pages and zeroes the rest of [offset, end).
  ErrorOr<void> Punch(uint64_t offset, uint64_t end);
  // Makes pages present (fallocate). kENOSPC.
  ErrorOr<void> Allocate(uint64_t offset, uint64_t end, uint64_t file_size);
  // SEEK_DATA / SEEK_HOLE within `size`: kENXIO if there is no data.
  ErrorOr<uint64_t> SeekData(uint64_t offset, uint64_t size);
  ErrorOr<uint64_t> SeekHole(uint64_t offset, uint64_t size);

  // Moves the content to a memfd (of `size` bytes) unless it is there; the fd. kENFILE.
  ErrorOr<int> ToMemfd(uint64_t size) {
    MutexLock lock(mu_);
    return ToMemfdLocked(size);
  }
  // The memfd or -1. Any thread; once set it stays.
  int fd() const { return fd_.load(std::memory_order_acquire); }
  // Pages held. Asks the host for a memfd's (mappings may have written to it) and charges the difference. Any thread.
  uint64_t CountPages();
  // CountPages of every store with a memfd: guests write to those through mappings, unseen. Their bytes together. Any thread.
  static uint64_t RecountAll();

 private:
  // Up to 4096 bytes; what is not there reads as zero.
  using Page = std::vector<std::byte>;
  // One chunk. Bytes moved: all of it, or up to where memory ran out.
  ErrorOr<size_t> Fetch(std::span<std::byte> to, uint64_t offset);
  ErrorOr<size_t> Store(std::span<const std::byte> from, uint64_t offset);
  ErrorOr<int> ToMemfdLocked(uint64_t size) MOAT_REQUIRES(mu_);
  void DropPages(uint64_t first, uint64_t last) MOAT_REQUIRES(mu_);  // [first, last)

  const Ref<MemoryLimit> limit_;
  Mutex mu_;
  std::map<uint64_t, Page> pages_ MOAT_GUARDED_BY(mu_);  // by page number, while fd_ is -1
  std::atomic<int> fd_{-1};                              // owned; set under mu_
  std::atomic<uint64_t> charged_{0};
  ListNode node_;  // in the list of stores with a memfd; its lock guards it

  struct All;
  static All& GetAll();
};

}  // namespace moat
