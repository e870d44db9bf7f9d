// Descriptors over Unix sockets (SCM_RIGHTS, unix(7)).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/util/error.h"
#include "base/util/unique_fd.h"

namespace moat::host {

// Descriptors in one message; the kernel's SCM_MAX_FD is 253, ours keeps buffers small.
inline constexpr size_t kMaxPassedFds = 32;

// Sends `data` (at least one byte) with `fds` attached, without SIGPIPE. Returns the bytes sent: on a stream socket that may be
// less, the descriptors go with the first of them. kEINVAL for more than kMaxPassedFds. EINTR is retried.
ErrorOr<size_t> SendWithFds(int socket, std::span<const std::byte> data, std::span<const int> fds);

struct Received {
  size_t length = 0;          // 0: the peer is gone (or sent an empty message)
  std::vector<UniqueFd> fds;  // close-on-exec
  bool truncated = false;     // the message or its descriptors did not fit: treat as hostile
};
// Receives one message (or what a stream has) into `buffer` with at most kMaxPassedFds descriptors. `flags` MSG_*; EINTR is
// retried.
ErrorOr<Received> RecvWithFds(int socket, std::span<std::byte> buffer, uint32_t flags = 0);

}  // namespace moat::host
