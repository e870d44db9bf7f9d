#include "fs/pipe/pipe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "abi/poll.h"
#include "base/kern/held.h"
#include "base/kern/tunables.h"
#include "fs/vfs/file_async.h"

namespace moat {

namespace {

constexpr EventMask kReadable = abi::kPOLLIN | abi::kPOLLRDNORM;
constexpr EventMask kWritable = abi::kPOLLOUT | abi::kPOLLWRNORM;

std::atomic<size_t> g_slots{0};  // of all pipes

size_t SlotsOfNewPipe() {
  return g_slots.load(std::memory_order_relaxed) + Pipe::kDefaultSlots > Pipe::kSoftLimitSlots ? Pipe::kFewSlots
                                                                                               : Pipe::kDefaultSlots;
}

// What a transfer that stopped with `error` after `done` bytes returns.
ErrorOr<size_t> DoneOr(size_t done, Errno error) { return done ? ErrorOr<size_t>(done) : error; }

}  // namespace

Pipe::Pipe() {
  TaskMutexLock lock(lock_);
  slots_.resize(SlotsOfNewPipe());
  slot_count_.store(slots_.size(), std::memory_order_relaxed);
  g_slots.fetch_add(slots_.size(), std::memory_order_relaxed);
}

Pipe::~Pipe() {
  g_slots.fetch_sub(slot_count_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  TaskMutexLock lock(lock_);
  DropDataLocked();
}

ErrorOr<void> Pipe::MakeDataLocked(size_t slots) {
  if (data_) return {};
  if (!HeldMemory::Take(slots * kSlotSize)) return kENOMEM;
  charged_ = slots * kSlotSize;
  data_.reset(new std::byte[charged_]);  // not cleared: pages come when they are used
  return {};
}

void Pipe::DropDataLocked() {
  data_.reset();
  HeldMemory::Give(std::exchange(charged_, 0));
}

// --- The ring. ---

std::span<const std::byte> Pipe::FrontLocked(size_t limit) {
  size_t used = used_.load(std::memory_order_relaxed);
  size_t index = first_;
  const Slot& front = slots_[index];
  size_t length = front.length;
  size_t end = front.offset + front.length;
  for (size_t nth = 1; !front.packet && nth < used && end == kSlotSize && length < limit; ++nth) {
    const Slot& next = slots_[SlotAt(nth)];
    if (SlotAt(nth) != index + nth || next.offset != 0 || next.packet) break;
    length += next.length;
    end = next.length;
  }
  return {SlotData(index) + front.offset, std::min(length, limit)};
}

void Pipe::PopLocked() {
  slots_[first_] = Slot{};
  first_ = SlotAt(1);
  used_.fetch_sub(1, std::memory_order_acq_rel);
}

void Pipe::ConsumeLocked(size_t n) {
  bytes_.fetch_sub(n, std::memory_order_relaxed);
  while (n > 0) {
    Slot& front = slots_[first_];
    size_t step = std::min<size_t>(n, front.length);
    front.offset = static_cast<uint16_t>(front.offset + step);
    front.length = static_cast<uint16_t>(front.length - step);
    n -= step;
    if (front.length == 0) PopLocked();
  }
}

std::span<std::byte> Pipe::FreeLocked() {
  size_t used = used_.load(std::memory_order_relaxed);
  size_t start = SlotAt(used);
  size_t count = std::min(slots_.size() - used, slots_.size() - start);
  return {SlotData(start), count * kSlotSize};
}

void Pipe::AppendLocked(size_t n, bool packet) {
  bytes_.fetch_add(n, std::memory_order_relaxed);
  while (n > 0) {
    size_t step = std::min(n, kSlotSize);
    slots_[SlotAt(used_.load(std::memory_order_relaxed))] = {0, static_cast<uint16_t>(step), packet};
    used_.fetch_add(1, std::memory_order_acq_rel);
    n -= step;
  }
}

// --- Reading and writing. ---

ErrorOr<size_t> Pipe::ReadLocked(IoSink& dst) {
  size_t done = 0;
  while (dst.remaining() > 0 && !empty()) {
    bool packet = slots_[first_].packet;
    std::span<const std::byte> front = FrontLocked(dst.remaining());
    ErrorOr<size_t> put = dst.Put(front);
    if (!put.ok()) return DoneOr(done, put.error());
    done += *put;
    if (packet) {
      // What the reader has no room for is gone (pipe(2), O_DIRECT).
      ConsumeLocked(slots_[first_].length);
      return done;
    }
    ConsumeLocked(*put);
    if (*put < front.size()) return done;
  }
  if (done > 0) return done;
  return writers() == 0 ? ErrorOr<size_t>(0) : kEAGAIN;
}

// Pollers care for the change from full, O_ASYNC tells writers of every read.
void Pipe::WakeWriters(bool got_room, bool was_read) {
  if (got_room) {
    queue_.Wake(kWritable);
  } else if (was_read) {
    queue_.Wake(kAsyncOut);
  }
}

ErrorOr<size_t> Pipe::Read(IoSink& dst) {
  if (dst.remaining() == 0) return size_t{0};
  bool was_full, room;
  ErrorOr<size_t> r;
  {
    TaskMutexLock lock(lock_);
    was_full = full();
    r = ReadLocked(dst);
    room = !full();
  }
  WakeWriters(was_full && room, r.ok() && *r > 0);
  return r;
}

ErrorOr<size_t> Pipe::MergeLocked(IoSource& src) {
  size_t odd = src.remaining() % kSlotSize;
  size_t used = used_.load(std::memory_order_relaxed);
  if (odd == 0 || used == 0) return size_t{0};
  size_t index = SlotAt(used - 1);
  Slot& last = slots_[index];
  size_t end = last.offset + last.length;
  if (last.packet || end + odd > kSlotSize) return size_t{0};
  size_t n = TRY(src.Get({SlotData(index) + end, odd}));
  last.length = static_cast<uint16_t>(last.length + n);
  bytes_.fetch_add(n, std::memory_order_relaxed);
  return n;
}

ErrorOr<size_t> Pipe::WriteLocked(IoSource& src, bool packets) {
  if (readers() == 0) return kEPIPE;
  TRY(MakeDataLocked(slots_.size()));
  size_t odd = src.remaining() % kSlotSize;
  size_t done = packets ? 0 : TRY(MergeLocked(src));
  if (done > 0 && done < odd) return done;
  while (src.remaining() > 0) {
    if (full()) return DoneOr(done, kEAGAIN);
    std::span<std::byte> free = FreeLocked();
    if (packets) free = free.first(kSlotSize);
    size_t want = std::min(src.remaining(), free.size());
    ErrorOr<size_t> got = src.Get(free.first(want));
    if (!got.ok()) return DoneOr(done, got.error());
    AppendLocked(*got, packets);
    done += *got;
    if (*got < want) break;
  }
  return done;
}

ErrorOr<size_t> Pipe::Write(IoSource& src, bool packets) {
  if (src.remaining() == 0) return size_t{0};
  ErrorOr<size_t> r;
  {
    TaskMutexLock lock(lock_);
    r = WriteLocked(src, packets);
  }
  if (r.ok() && *r > 0) queue_.Wake(kReadable);
  return r;
}

ErrorOr<size_t> Pipe::PassLocked(Pipe& from, Pipe& to, size_t length, bool consume) {
  if (to.readers() == 0) return kEPIPE;
  TRY(to.MakeDataLocked(to.slots_.size()));
  if (from.empty()) return from.writers() == 0 ? ErrorOr<size_t>(0) : kEAGAIN;
  size_t done = 0;
  size_t used = from.used_.load(std::memory_order_relaxed);
  for (size_t nth = 0; nth < used && done < length && !to.full(); ++nth) {
    size_t index = from.SlotAt(consume ? 0 : nth);
    Slot slot = from.slots_[index];
    size_t n = std::min<size_t>(slot.length, length - done);
    memcpy(to.FreeLocked().data(), from.SlotData(index) + slot.offset, n);
    to.AppendLocked(n, slot.packet);
    if (consume) from.ConsumeLocked(n);
    done += n;
  }
  return done ? ErrorOr<size_t>(done) : kEAGAIN;
}

ErrorOr<size_t> Pipe::Pass(Pipe& from, Pipe& to, size_t length, bool consume) {
  if (length == 0) return size_t{0};
  ErrorOr<size_t> r;
  bool was_full, room;
  {
    // Two locks of one rank: by address, so that opposite transfers cannot wait for each other.
    bool from_first = &from < &to;
    TaskMutex& first = from_first ? from.lock_ : to.lock_;
    TaskMutex& second = from_first ? to.lock_ : from.lock_;
    first.Lock();
    second.LockNested();
    was_full = from.full();
    [&]() MOAT_NO_THREAD_SAFETY_ANALYSIS { r = PassLocked(from, to, length, consume); }();
    room = !from.full();
    second.Unlock();
    first.Unlock();
  }
  if (r.ok() && *r > 0) to.queue_.Wake(kReadable);
  from.WakeWriters(was_full && room, consume && r.ok() && *r > 0);
  return r;
}

// --- Size. ---

ErrorOr<size_t> Pipe::Resize(uint64_t bytes, bool privileged) {
  constexpr uint64_t kLargest = 1ull << 31;
  if (bytes > kLargest) return kEINVAL;
  size_t wanted = std::bit_ceil(std::max<size_t>((bytes + kSlotSize - 1) / kSlotSize, 1));
  if (wanted > kMaxSlots) return kEPERM;
  const bool within = wanted * kSlotSize <= static_cast<uint64_t>(g_tunables.pipe_max_size.load(std::memory_order_relaxed));
  {
    TaskMutexLock lock(lock_);
    size_t used = used_.load(std::memory_order_relaxed);
    if (used > wanted) return kEBUSY;
    size_t now = slots_.size();
    if (wanted > now && !within && !privileged) return kEPERM;
    if (wanted > now && g_slots.load(std::memory_order_relaxed) + wanted - now > kSoftLimitSlots) return kEPERM;
    std::vector<Slot> slots(wanted);
    std::unique_ptr<std::byte[]> data;
    const size_t charge = used ? wanted * kSlotSize : 0;
    if (!HeldMemory::Take(charge)) return kENOMEM;
    if (used) data.reset(new std::byte[charge]);
    for (size_t nth = 0; nth < used; ++nth) {
      const Slot& slot = slots_[SlotAt(nth)];
      slots[nth] = slot;
      memcpy(data.get() + nth * kSlotSize + slot.offset, SlotData(SlotAt(nth)) + slot.offset, slot.length);
    }
    g_slots.fetch_add(wanted - now, std::memory_order_relaxed);
    slots_ = std::move(slots);
    DropDataLocked();
    data_ = std::move(data);
    charged_ = charge;
    first_ = 0;
    slot_count_.store(wanted, std::memory_order_relaxed);
  }
  queue_.Wake(kWritable | kAsyncNothing);
  return wanted * kSlotSize;
}

// --- Ends. ---

void Pipe::AddReader() {
  readers_.fetch_add(1, std::memory_order_acq_rel);
  reader_opens_.fetch_add(1, std::memory_order_acq_rel);
  queue_.Wake(kWritable | kAsyncNothing);
}

void Pipe::AddWriter() {
  writers_.fetch_add(1, std::memory_order_acq_rel);
  writer_opens_.fetch_add(1, std::memory_order_acq_rel);
  queue_.Wake(kReadable | kAsyncNothing);
}

void Pipe::DropReader() {
  if (readers_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  EmptyIfUnused();
  queue_.Wake(kWritable | abi::kPOLLERR | abi::kPOLLHUP);
}

void Pipe::DropWriter() {
  if (writers_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  EmptyIfUnused();
  queue_.Wake(kReadable | abi::kPOLLERR | abi::kPOLLHUP);
}

// A FIFO that nobody has open forgets what is in it. Whoever opens it meanwhile writes after the lock.
void Pipe::EmptyIfUnused() {
  if (readers() + writers() > 0 || !lock_.TryLock()) return;
  if (readers() + writers() == 0) {
    size_t count = slots_.size();
    slots_.assign(std::min(count, kDefaultSlots), Slot{});
    DropDataLocked();
    first_ = 0;
    used_.store(0, std::memory_order_release);
    bytes_.store(0, std::memory_order_relaxed);
    slot_count_.store(slots_.size(), std::memory_order_relaxed);
    g_slots.fetch_sub(count - slots_.size(), std::memory_order_relaxed);
  }
  lock_.Unlock();
}

}  // namespace moat
