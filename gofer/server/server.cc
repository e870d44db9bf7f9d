#include "gofer/server/server.h"

#include <memory>

#include "abi/socket.h"
#include "base/host/fd_passing.h"
#include "base/host/socket.h"
#include "base/util/log.h"

namespace moat::gofer {

namespace {
constexpr int kShutdownBoth = 2;  // SHUT_RDWR
// A thread that saw a large message gives its buffer back.
constexpr size_t kKeptReply = 128 * 1024;
}  // namespace

void Server::Serve() {
  // Not zeroed: a thread that sees only small messages touches one page of it.
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kMaxMessage);
  Writer out;
  while (ServeOne({buffer.get(), kMaxMessage}, out)) {
  }
  Stop();
}

void Server::Stop() { (void)host::Shutdown(socket_.get(), kShutdownBoth); }

bool Server::ServeOne(std::span<std::byte> buffer, Writer& out) {
  // With MSG_TRUNC the call tells the length of the message, not of what fitted. Descriptors that a client attaches have
  // nowhere to go and are dropped by the kernel.
  auto n = host::Recvfrom(socket_.get(), buffer.data(), buffer.size(), abi::kMSG_TRUNC);
  if (n.error() == kEINTR) return true;
  if (!n.ok() || *n == 0) return false;
  if (*n > buffer.size()) return false;
  out.Clear();
  auto answer = session_.Execute(buffer.first(*n), out);
  if (!answer.ok()) return false;
  if (answer->silent) return true;
  int fd = answer->fd.get();
  auto reply = out.FinishReply(answer->id, answer->error, fd >= 0 ? 1 : 0);
  auto sent = host::SendWithFds(socket_.get(), reply, std::span<const int>(&fd, fd >= 0 ? 1 : 0));
  if (!sent.ok() && fd >= 0 && sent.error() == kETOOMANYREFS) {
    // The client lets descriptors pile up unread: it gets an error instead.
    sent = host::SendWithFds(socket_.get(), out.FinishReply(answer->id, kEMFILE, 0), {});
  }
  if (out.size() > kKeptReply) out = Writer();
  return sent.ok();
}

}  // namespace moat::gofer
