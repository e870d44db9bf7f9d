// A host descriptor of a regular file, shared between an inode's cache and the open files that use it.
#pragma once

#include "base/kern/held.h"
#include "base/util/ref.h"
#include "base/util/unique_fd.h"

namespace moat {

class HostFd final : public RefCounted {
 public:
  explicit HostFd(UniqueFd fd) : fd_(std::move(fd)) { HostFds::Add(); }
  ~HostFd() override { HostFds::Drop(); }
  int get() const { return fd_.get(); }

 private:
  const UniqueFd fd_;
};

}  // namespace moat
