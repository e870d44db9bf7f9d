// One host descriptor that the guest was given, and the news of its readiness. Shared by the open files of it.
#pragma once

#include <cstdint>

#include "abi/stat.h"
#include "base/kern/wait_queue.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "base/util/unique_fd.h"

namespace moat {

class HostEnd final : public RefCounted {
 public:
  // Takes `fd`. kEBADF, or what fstat says.
  static ErrorOr<Ref<HostEnd>> Create(UniqueFd fd);

  int fd() const { return fd_.get(); }
  uint32_t type() const { return type_; }  // S_IF*
  uint64_t host_rdev() const { return rdev_; }
  uint32_t flags() const { return flags_; }  // O_ACCMODE, O_APPEND, O_NONBLOCK of the host's open file
  bool regular() const { return type_ == abi::kS_IFREG; }
  bool tty() const { return tty_; }
  WaitQueue& queue() { return queue_; }
  // poll(2) without waiting.
  bool ReadyNow(EventMask events);

 private:
  HostEnd(UniqueFd fd, const abi::Stat& stat, uint32_t flags, bool tty);
  ~HostEnd() override;

  const UniqueFd fd_;
  const uint32_t type_;
  const uint64_t rdev_;
  const uint32_t flags_;
  const bool tty_;
  WaitQueue queue_;
};

}  // namespace moat
