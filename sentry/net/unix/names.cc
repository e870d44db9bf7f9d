#include "sentry/net/unix/names.h"

#include <cstdio>
#include <unordered_map>

#include "abi/stat.h"
#include "base/util/no_destructor.h"
#include "fs/vfs/path_walk.h"
#include "fs/vfs/permissions.h"
#include "fs/vfs/vfs.h"
#include "sentry/net/unix/endpoint.h"

namespace moat {

namespace {

constexpr uint32_t kFamilySize = sizeof(uint16_t);

// The abstract names of the sandbox's one network namespace.
struct AbstractNames {
  Mutex mu;
  std::unordered_map<std::string, Ref<BoundName>> names MOAT_GUARDED_BY(mu);
  uint32_t next MOAT_GUARDED_BY(mu) = 0;  // of autobind
};

AbstractNames& Abstract() {
  static NoDestructor<AbstractNames> names;
  return *names;
}

}  // namespace

Ref<UnixEndpoint> BoundName::endpoint() const {
  MutexLock lock(mu_);
  return Ref<UnixEndpoint>(endpoint_);
}

ErrorOr<UnixName> ParseUnixAddress(const SocketAddress& address) {
  if (address.length < kFamilySize || address.length > sizeof(abi::SockaddrUn)) return kEINVAL;
  if (address.family() != abi::kAF_UNIX) return kEINVAL;
  const char* path = reinterpret_cast<const char*>(address.bytes.data()) + kFamilySize;
  size_t size = address.length - kFamilySize;
  UnixName name;
  if (size == 0) return name;
  name.text = path[0] ? std::string(path, strnlen(path, size)) : std::string(path, size);
  return name;
}

SocketAddress MakeUnixAddress(std::string_view name) {
  SocketAddress address;
  uint16_t family = abi::kAF_UNIX;
  memcpy(address.bytes.data(), &family, sizeof family);
  memcpy(address.bytes.data() + kFamilySize, name.data(), name.size());
  // A path's length counts its NUL.
  bool path = !name.empty() && name[0] != '\0';
  address.length = static_cast<uint32_t>(kFamilySize + name.size() + (path ? 1 : 0));
  return address;
}

ErrorOr<Ref<BoundName>> BindPath(const SocketCaller& caller, UnixEndpoint& endpoint, const std::string& path,
                                 Path* place) {
  WalkContext walk = caller.walk();
  ErrorOr<void> made = vfs::Mknod(walk, walk.cwd, path, abi::kS_IFSOCK | 0777, 0, caller.umask(), place);
  if (!made.ok()) return made.error() == kEEXIST ? kEADDRINUSE : made.error();
  Ref<BoundName> name = MakeRef<BoundName>(endpoint);
  place->dentry->inode()->set_attachment(name);
  return name;
}

ErrorOr<Ref<BoundName>> BindAbstract(UnixEndpoint& endpoint, const std::string& name) {
  AbstractNames& a = Abstract();
  MutexLock lock(a.mu);
  auto [it, added] = a.names.try_emplace(name);
  if (!added) return kEADDRINUSE;
  it->second = MakeRef<BoundName>(endpoint);
  return it->second;
}

ErrorOr<Ref<BoundName>> BindAutomatically(UnixEndpoint& endpoint, std::string* name) {
  constexpr uint32_t kNames = 1 << 20;
  AbstractNames& a = Abstract();
  MutexLock lock(a.mu);
  for (uint32_t tries = 0; tries < kNames; ++tries) {
    char digits[8];
    snprintf(digits, sizeof digits, "%05x", a.next++ % kNames);
    std::string text = std::string(1, '\0') + digits;
    auto [it, added] = a.names.try_emplace(text);
    if (!added) continue;
    it->second = MakeRef<BoundName>(endpoint);
    *name = text;
    return it->second;
  }
  return kENOSPC;
}

void ForgetAbstract(const std::string& name) {
  Ref<BoundName> dropped;
  AbstractNames& a = Abstract();
  MutexLock lock(a.mu);
  auto it = a.names.find(name);
  if (it == a.names.end()) return;
  dropped = std::move(it->second);
  a.names.erase(it);
}

ErrorOr<Ref<UnixEndpoint>> FindEndpoint(const SocketCaller& caller, const UnixName& name, int type) {
  Ref<UnixEndpoint> found;
  if (name.abstract()) {
    Ref<BoundName> bound;
    {
      AbstractNames& a = Abstract();
      MutexLock lock(a.mu);
      auto it = a.names.find(name.text);
      if (it != a.names.end()) bound = it->second;
    }
    if (bound) found = bound->endpoint();
  } else {
    WalkContext walk = caller.walk();
    Path path = TRY(Walk(walk, walk.cwd, name.text));
    TRY(PathPermission(caller.creds(), path, kMayWrite));
    Inode& inode = *path.dentry->inode();
    if (inode.type() != abi::kS_IFSOCK) return kECONNREFUSED;
    if (Ref<BoundName> bound = RefCast<BoundName>(inode.attachment())) found = bound->endpoint();
  }
  if (!found) return kECONNREFUSED;
  if (found->type() != type) return kEPROTOTYPE;
  return found;
}

}  // namespace moat
