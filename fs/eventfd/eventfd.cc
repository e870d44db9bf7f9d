#include "fs/eventfd/eventfd.h"

#include <cstdio>

#include "abi/epoll.h"
#include "abi/fcntl.h"
#include "abi/poll.h"
#include "fs/vfs/anon.h"

namespace moat {

namespace {
constexpr uint64_t kMaxCount = ~uint64_t{0} - 1;
std::atomic<uint64_t> g_next_id{1};
}

Ref<EventFd> EventFd::Create(uint32_t initial, uint32_t flags) {
  uint32_t open_flags = abi::kO_RDWR | (flags & abi::kEFD_NONBLOCK);
  return Ref<EventFd>(new EventFd(initial, open_flags, (flags & abi::kEFD_SEMAPHORE) != 0), AdoptRef{});
}

EventFd::EventFd(uint32_t initial, uint32_t flags, bool semaphore)
    : FileDescription(MakeAnonPath("anon_inode:[eventfd]", 0), flags),
      semaphore_(semaphore),
      id_(g_next_id.fetch_add(1, std::memory_order_relaxed)),
      count_(initial) {}

std::string EventFd::FdInfo() {
  char text[128];
  snprintf(text, sizeof text, "eventfd-count: %16llx\neventfd-id: %llu\neventfd-semaphore: %d\n",
           static_cast<unsigned long long>(count()), static_cast<unsigned long long>(id_), semaphore_);
  return text;
}

ErrorOr<size_t> EventFd::TryRead(IoSink& dst, int64_t*, IoFlags) {
  if (dst.remaining() < sizeof(uint64_t)) return kEINVAL;
  uint64_t value;
  {
    MutexLock lock(mu_);
    if (count_ == 0) return kEAGAIN;
    value = semaphore_ ? 1 : count_;
    count_ -= value;
  }
  queue_.Wake(abi::kPOLLOUT);
  size_t put = TRY(dst.Put(std::as_bytes(std::span(&value, 1))));
  return put == sizeof value ? ErrorOr<size_t>(put) : kEFAULT;
}

ErrorOr<size_t> EventFd::TryWrite(IoSource& src, int64_t*, IoFlags) {
  uint64_t value;
  if (src.remaining() < sizeof value) return kEINVAL;
  if (TRY(src.Get(std::as_writable_bytes(std::span(&value, 1)))) < sizeof value) return kEFAULT;
  if (value > kMaxCount) return kEINVAL;
  {
    MutexLock lock(mu_);
    if (value > kMaxCount - count_) {
      src.Unget(sizeof value);  // the caller tries again
      return kEAGAIN;
    }
    count_ += value;
  }
  queue_.Wake(abi::kPOLLIN);
  return sizeof value;
}

EventMask EventFd::Readiness() {
  MutexLock lock(mu_);
  return (count_ > 0 ? abi::kPOLLIN : 0) | (count_ < kMaxCount ? abi::kPOLLOUT : 0);
}

uint64_t EventFd::count() const {
  MutexLock lock(mu_);
  return count_;
}

}  // namespace moat
