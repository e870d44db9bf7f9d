// Names of AF_UNIX sockets: in the file system (the name hangs on the inode) and abstract ones.
#pragma once

#include <string>

#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/dentry.h"
#include "sentry/net/socket.h"

namespace moat {

class UnixEndpoint;

// A name's hold on its socket; outlives the socket (the file stays when its socket is gone).
class BoundName final : public RefCounted {
 public:
  explicit BoundName(UnixEndpoint& endpoint) : endpoint_(&endpoint) {}
  Ref<UnixEndpoint> endpoint() const;  // or null: closed
  void Clear() {
    MutexLock lock(mu_);
    endpoint_ = nullptr;
  }

 private:
  mutable Mutex mu_;
  UnixEndpoint* endpoint_ MOAT_GUARDED_BY(mu_);
};

// A checked sockaddr_un (unix(7)).
struct UnixName {
  // sun_path bytes: empty for "choose one", beginning with NUL if abstract, else a path without its NUL.
  std::string text;
  bool autobind() const { return text.empty(); }
  bool abstract() const { return !text.empty() && text[0] == '\0'; }
};
// kEINVAL: no sockaddr_un, or an empty one.
ErrorOr<UnixName> ParseUnixAddress(const SocketAddress& address);
// The sockaddr of `name` (as in UnixName, or empty: unnamed).
SocketAddress MakeUnixAddress(std::string_view name);

// Makes the file. kEADDRINUSE, kENOENT, ... `place` is the new file's.
ErrorOr<Ref<BoundName>> BindPath(const SocketCaller& caller, UnixEndpoint& endpoint, const std::string& path, Path* place);
// kEADDRINUSE.
ErrorOr<Ref<BoundName>> BindAbstract(UnixEndpoint& endpoint, const std::string& name);
// A free abstract name of five hexadecimal digits. kENOSPC.
ErrorOr<Ref<BoundName>> BindAutomatically(UnixEndpoint& endpoint, std::string* name);
void ForgetAbstract(const std::string& name);

// Who has the name. kECONNREFUSED: nobody; what the path walk says; kEACCES without write permission; kEPROTOTYPE: of
// another type.
ErrorOr<Ref<UnixEndpoint>> FindEndpoint(const SocketCaller& caller, const UnixName& name, int type);

}  // namespace moat
