// The pipe itself: a ring of page-sized slots between readers and writers (pipe(7)). Its ends are PipeFile.
//
// As in Linux a write that does not fit into the last slot takes a new one, so that writes of up to PIPE_BUF are atomic, a
// pipe is full when no slot is free, and O_DIRECT packets are slots that a read takes whole. The slots lie in one block of
// memory: a 64 KiB transfer is one copy.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/kern/io.h"
#include "base/kern/wait_queue.h"
#include "base/sync/task_mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"

namespace moat {

class Pipe final : public RefCounted {
 public:
  static constexpr size_t kSlotSize = 4096;           // PIPE_BUF: what fits one slot is written at once
  static constexpr size_t kDefaultSlots = 16;         // 64 KiB
  static constexpr size_t kMaxSlots = 256;            // whatever fs.pipe-max-size says: 1 MiB
  static constexpr size_t kFewSlots = 2;              // of new pipes beyond the soft limit
  static constexpr size_t kSoftLimitSlots = 64 * 1024;  // of the whole sandbox (pipe-user-pages-soft): 256 MiB

  Pipe();

  // Both hold the pipe's sleeping lock while they copy. Read: 0 without data and writers; kEAGAIN without data.
  ErrorOr<size_t> Read(IoSink& dst);
  // `packets`: each slot is a packet (O_DIRECT). Writes what fits, all or nothing of up to kSlotSize bytes; less also if the
  // source gives less. kEPIPE without readers, kEAGAIN if full, kENOMEM if the sandbox has no room for its buffer.
  ErrorOr<size_t> Write(IoSource& src, bool packets);

  // tee(2), splice(2) between two different pipes: copies or moves up to `length` bytes. 0 if `from` is at its end; kEAGAIN
  // if `from` is empty or `to` is full; kEPIPE.
  static ErrorOr<size_t> Tee(Pipe& from, Pipe& to, size_t length) { return Pass(from, to, length, false); }
  static ErrorOr<size_t> Move(Pipe& from, Pipe& to, size_t length) { return Pass(from, to, length, true); }

  // F_SETPIPE_SZ: rounds up to a power of two of slots, returns the new size. kEBUSY if the content does not fit, kEPERM
  // beyond kMaxSlots or the soft limit, kEINVAL.
  // `privileged` (CAP_SYS_RESOURCE): fs.pipe-max-size does not count.
  ErrorOr<size_t> Resize(uint64_t bytes, bool privileged = false);
  size_t capacity() const { return slot_count_.load(std::memory_order_relaxed) * kSlotSize; }
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }  // FIONREAD
  bool empty() const { return used_.load(std::memory_order_acquire) == 0; }
  bool full() const { return used_.load(std::memory_order_acquire) >= slot_count_.load(std::memory_order_relaxed); }

  // Ends come and go. The counts of opens tell a waiting open(2) that a partner was there, even if it has left.
  void AddReader();
  void AddWriter();
  void DropReader();
  void DropWriter();
  int readers() const { return readers_.load(std::memory_order_acquire); }
  int writers() const { return writers_.load(std::memory_order_acquire); }
  uint32_t reader_opens() const { return reader_opens_.load(std::memory_order_acquire); }
  uint32_t writer_opens() const { return writer_opens_.load(std::memory_order_acquire); }

  WaitQueue& queue() { return queue_; }

 private:
  struct Slot {
    uint16_t offset = 0, length = 0;  // offset + length <= kSlotSize
    bool packet = false;
  };

  ~Pipe() override;
  static ErrorOr<size_t> Pass(Pipe& from, Pipe& to, size_t length, bool consume);
  static ErrorOr<size_t> PassLocked(Pipe& from, Pipe& to, size_t length, bool consume) MOAT_REQUIRES(from.lock_)
      MOAT_REQUIRES(to.lock_);
  ErrorOr<size_t> ReadLocked(IoSink& dst) MOAT_REQUIRES(lock_);
  ErrorOr<size_t> WriteLocked(IoSource& src, bool packets) MOAT_REQUIRES(lock_);
  // Puts the odd end of a write into the last slot if it fits there; what was put.
  ErrorOr<size_t> MergeLocked(IoSource& src) MOAT_REQUIRES(lock_);
  // The data at the front that lies in one piece, at most `limit` bytes; one packet at a time.
  std::span<const std::byte> FrontLocked(size_t limit) MOAT_REQUIRES(lock_);
  void ConsumeLocked(size_t n) MOAT_REQUIRES(lock_);
  // Makes the block of memory; kENOMEM.
  ErrorOr<void> MakeDataLocked(size_t slots) MOAT_REQUIRES(lock_);
  void DropDataLocked() MOAT_REQUIRES(lock_);
  // The free slots behind the last one that lie in one piece; MakeDataLocked came before.
  std::span<std::byte> FreeLocked() MOAT_REQUIRES(lock_);
  void AppendLocked(size_t n, bool packet) MOAT_REQUIRES(lock_);  // n bytes were put at FreeLocked()
  void PopLocked() MOAT_REQUIRES(lock_);
  std::byte* SlotData(size_t index) MOAT_REQUIRES(lock_) { return data_.get() + index * kSlotSize; }
  size_t SlotAt(size_t nth) const MOAT_REQUIRES(lock_) { return (first_ + nth) & (slots_.size() - 1); }
  void WakeWriters(bool got_room, bool was_read);
  void EmptyIfUnused();

  mutable TaskMutex lock_{LockRank::kPipe};
  std::vector<Slot> slots_ MOAT_GUARDED_BY(lock_);  // a power of two
  std::unique_ptr<std::byte[]> data_ MOAT_GUARDED_BY(lock_);  // slots_.size() * kSlotSize, or null before the first write
  size_t charged_ MOAT_GUARDED_BY(lock_) = 0;  // bytes, to HeldMemory
  size_t first_ MOAT_GUARDED_BY(lock_) = 0;
  // Written under lock_, read by anyone.
  std::atomic<size_t> used_{0}, bytes_{0}, slot_count_{0};
  std::atomic<int> readers_{0}, writers_{0};
  std::atomic<uint32_t> reader_opens_{0}, writer_opens_{0};
  WaitQueue queue_;
};

}  // namespace moat
