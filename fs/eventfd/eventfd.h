// eventfd(2): a counter that reads wait for and writes add to.
#pragma once

#include <cstdint>

#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "fs/vfs/file_description.h"

namespace moat {

class EventFd final : public FileDescription {
 public:
  // `flags`: EFD_SEMAPHORE, EFD_NONBLOCK.
  static Ref<EventFd> Create(uint32_t initial, uint32_t flags);

  // 8 bytes; kEINVAL if there is less room. kEAGAIN while the counter is 0.
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) override;
  // kEINVAL for less than 8 bytes and for ~0; kEAGAIN while the sum does not fit.
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags flags) override;
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &queue_; }
  bool pollable() const override { return true; }
  bool seekable() const override { return false; }

  std::string FdInfo() override;

  uint64_t count() const;

 private:
  EventFd(uint32_t initial, uint32_t flags, bool semaphore);

  const bool semaphore_;
  const uint64_t id_;
  mutable Mutex mu_;
  uint64_t count_ MOAT_GUARDED_BY(mu_);
  WaitQueue queue_;
};

}  // namespace moat
