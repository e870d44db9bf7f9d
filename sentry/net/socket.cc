#include "sentry/net/socket.h"

#include <algorithm>

#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/stat.h"
#include "base/kern/tunables.h"
#include "fs/vfs/anon.h"
#include "sentry/net/interfaces.h"

namespace moat {

namespace {

std::atomic<uint64_t> g_next_cookie{1};
std::atomic<abi::Ucred (*)()> g_caller_source{nullptr};

}  // namespace

void SetSocketCallerSource(abi::Ucred (*source)()) { g_caller_source.store(source, std::memory_order_relaxed); }

abi::Ucred CurrentSocketCaller() {
  auto source = g_caller_source.load(std::memory_order_relaxed);
  return source ? source() : abi::Ucred{};
}

size_t ClampBacklog(int backlog) {
  // What waits is held by the sentry: the administrator may ask for less than that, not for more.
  int64_t most = std::min<int64_t>(g_tunables.somaxconn.load(std::memory_order_relaxed), abi::kSOMAXCONN);
  return static_cast<size_t>(backlog < 0 ? most : std::min<int64_t>(backlog, most));
}

Socket::Socket(int family, int type, int protocol, uint32_t flags, const Credentials* owner)
    : FileDescription(MakeAnonPath("socket", abi::kS_IFSOCK, owner ? owner->fsuid : 0, owner ? owner->fsgid : 0),
                      abi::kO_RDWR | (flags & abi::kO_NONBLOCK)),
      family_(family),
      type_(type),
      protocol_(protocol),
      cookie_(g_next_cookie.fetch_add(1, std::memory_order_relaxed)) {}

ErrorOr<size_t> Socket::TryRead(IoSink& dst, int64_t*, IoFlags flags) {
  // read(2) of nothing is nothing, even if a message is there.
  if (dst.remaining() == 0) return size_t{0};
  ReceiveInfo info;
  info.flags = flags.nonblocking ? abi::kMSG_DONTWAIT : 0;
  info.wants_control = false;
  return TryReceive(dst, info);
}

ErrorOr<size_t> Socket::TryWrite(IoSource& src, int64_t*, IoFlags flags) {
  SendInfo info;
  info.flags = flags.nonblocking ? abi::kMSG_DONTWAIT : 0;
  return TrySend(nullptr, src, info);
}

ErrorOr<uint64_t> Socket::Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) {
  switch (command) {
    case abi::kSIOCINQ: TRY(memory.Write<int>(arg, static_cast<int>(TRY(BytesToRead())))); return uint64_t{0};
    case abi::kSIOCOUTQ: TRY(memory.Write<int>(arg, static_cast<int>(TRY(BytesToSend())))); return uint64_t{0};
    default: return InterfaceIoctl(command, arg, memory);
  }
}

}  // namespace moat
