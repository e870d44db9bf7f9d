// One connection: a SOCK_SEQPACKET socket read by several threads, so that a request stuck in a slow file system does not
// stop the others.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/util/unique_fd.h"
#include "gofer/server/session.h"

namespace moat::gofer {

class Server {
 public:
  // `service` outlives the server.
  Server(const Service& service, UniqueFd socket, uint32_t max_handles)
      : session_(service, max_handles), socket_(std::move(socket)) {}

  // Answers requests until the client closes its end or sends what is no request. Run by every thread of the connection.
  void Serve();
  // Makes every Serve return.
  void Stop();
  const Session& session() const { return session_; }

 private:
  // False at the end of the connection.
  bool ServeOne(std::span<std::byte> buffer, Writer& out);

  Session session_;
  const UniqueFd socket_;
};

}  // namespace moat::gofer
