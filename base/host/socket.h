// Host calls on sockets. The Linux calls of the same names.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/util/error.h"
#include "base/util/unique_fd.h"

namespace moat::abi {
struct Msghdr;
}

namespace moat::host {

struct SocketPair {
  UniqueFd first;
  UniqueFd second;
};
ErrorOr<SocketPair> Socketpair(int domain, uint32_t type, int protocol);
ErrorOr<UniqueFd> Socket(int domain, uint32_t type, int protocol);
ErrorOr<void> Bind(int fd, const void* address, size_t length);
ErrorOr<void> Listen(int fd, int backlog);
ErrorOr<UniqueFd> Accept4(int fd, uint32_t flags);
ErrorOr<void> Connect(int fd, const void* address, size_t length);
ErrorOr<size_t> Sendmsg(int fd, const abi::Msghdr* message, uint32_t flags);
ErrorOr<size_t> Recvmsg(int fd, abi::Msghdr* message, uint32_t flags);
ErrorOr<size_t> Sendto(int fd, const void* buffer, size_t length, uint32_t flags, const void* address = nullptr,
                       size_t address_length = 0);
ErrorOr<size_t> Recvfrom(int fd, void* buffer, size_t length, uint32_t flags);
ErrorOr<void> Shutdown(int fd, int how);
// `length` is the buffer's size and becomes the option's.
ErrorOr<void> Getsockopt(int fd, int level, int name, void* value, uint32_t& length);
ErrorOr<void> Setsockopt(int fd, int level, int name, const void* value, size_t length);

}  // namespace moat::host
