#include "base/host/fd_passing.h"

#include <string.h>
#include <sys/socket.h>

#include "base/host/raw.h"
#include "base/host/socket.h"

namespace moat::host {

namespace {
constexpr size_t kControlSize = CMSG_SPACE(kMaxPassedFds * sizeof(int));

// Takes ownership of every descriptor that `message` brought.
void CollectFds(msghdr& message, Received& received) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
}
}  // namespace

ErrorOr<size_t> SendWithFds(int socket, std::span<const std::byte> data, std::span<const int> fds) {
  if (fds.size() > kMaxPassedFds || data.empty()) return kEINVAL;
  iovec iov{const_cast<std::byte*>(data.data()), data.size()};
  alignas(cmsghdr) char control[kControlSize];
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    memset(control, 0, sizeof control);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  return RetryEintr([&] { return Sendmsg(socket, reinterpret_cast<const abi::Msghdr*>(&message), MSG_NOSIGNAL); });
}

ErrorOr<Received> RecvWithFds(int socket, std::span<std::byte> buffer, uint32_t flags) {
  iovec iov{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[kControlSize];
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  Received received;
  received.length = TRY(RetryEintr(
      [&] { return Recvmsg(socket, reinterpret_cast<abi::Msghdr*>(&message), flags | MSG_CMSG_CLOEXEC); }));
  received.truncated = message.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
  CollectFds(message, received);
  return received;
}

}  // namespace moat::host
