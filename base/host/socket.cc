#include "base/host/socket.h"

#include "abi/syscall_nr.h"
#include "base/host/raw.h"

namespace moat::host {

ErrorOr<SocketPair> Socketpair(int domain, uint32_t type, int protocol) {
  int fds[2];
  TRY(Call<void>(abi::kNr_socketpair, domain, type, protocol, fds));
  return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}
ErrorOr<UniqueFd> Socket(int domain, uint32_t type, int protocol) {
  return Call<UniqueFd>(abi::kNr_socket, domain, type, protocol);
}
ErrorOr<void> Bind(int fd, const void* address, size_t length) {
  return Call<void>(abi::kNr_bind, fd, address, length);
}
ErrorOr<void> Listen(int fd, int backlog) { return Call<void>(abi::kNr_listen, fd, backlog); }
ErrorOr<UniqueFd> Accept4(int fd, uint32_t flags) {
  return Call<UniqueFd>(abi::kNr_accept4, fd, nullptr, nullptr, flags);
}
ErrorOr<void> Connect(int fd, const void* address, size_t length) {
  return Call<void>(abi::kNr_connect, fd, address, length);
}
ErrorOr<size_t> Sendmsg(int fd, const abi::Msghdr* message, uint32_t flags) {
  return Call<size_t>(abi::kNr_sendmsg, fd, message, flags);
}
ErrorOr<size_t> Recvmsg(int fd, abi::Msghdr* message, uint32_t flags) {
  return Call<size_t>(abi::kNr_recvmsg, fd, message, flags);
}
ErrorOr<size_t> Sendto(int fd, const void* buffer, size_t length, uint32_t flags, const void* address,
                       size_t address_length) {
  return Call<size_t>(abi::kNr_sendto, fd, buffer, length, flags, address, address_length);
}
ErrorOr<size_t> Recvfrom(int fd, void* buffer, size_t length, uint32_t flags) {
  return Call<size_t>(abi::kNr_recvfrom, fd, buffer, length, flags, nullptr, nullptr);
}
ErrorOr<void> Shutdown(int fd, int how) { return Call<void>(abi::kNr_shutdown, fd, how); }
ErrorOr<void> Getsockopt(int fd, int level, int name, void* value, uint32_t& length) {
  return Call<void>(abi::kNr_getsockopt, fd, level, name, value, &length);
}
ErrorOr<void> Setsockopt(int fd, int level, int name, const void* value, size_t length) {
  return Call<void>(abi::kNr_setsockopt, fd, level, name, value, length);
}

}  // namespace moat::host
