#include "fs/hostfd/host_end.h"

#include "abi/epoll.h"
#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/poll.h"
#include "abi/tty.h"
#include "base/fiber/host_watch.h"
#include "base/host/file.h"
#include "base/host/poll.h"

namespace moat {

HostEnd::HostEnd(UniqueFd fd, const abi::Stat& stat, uint32_t flags, bool tty)
    : fd_(std::move(fd)), type_(stat.st_mode & abi::kS_IFMT), rdev_(stat.st_rdev), flags_(flags), tty_(tty) {}

ErrorOr<Ref<HostEnd>> HostEnd::Create(UniqueFd fd) {
  abi::Stat stat = TRY(host::Fstat(fd.get()));
  constexpr uint32_t kKept = abi::kO_ACCMODE | abi::kO_APPEND | abi::kO_NONBLOCK;
  uint32_t flags = TRY(host::FcntlGetfl(fd.get())) & kKept;
  abi::Termios termios;
  bool tty = host::Ioctl(fd.get(), abi::kTCGETS, &termios).ok();
  Ref<HostEnd> end(new HostEnd(std::move(fd), stat, flags, tty), AdoptRef{});
  if (!end->regular()) {
    constexpr uint32_t kEvents = abi::kEPOLLIN | abi::kEPOLLOUT | abi::kEPOLLRDHUP | abi::kEPOLLHUP | abi::kEPOLLERR;
    HostEnd* raw = end.get();
    // /dev/null and other devices cannot be polled: they are always ready.
    (void)WatchHostFd(raw->fd(), kEvents, [raw](uint32_t events) { raw->queue_.Wake(events); });
  }
  return end;
}

HostEnd::~HostEnd() {
  if (!regular()) UnwatchHostFd(fd_.get());
}

bool HostEnd::ReadyNow(EventMask events) {
  abi::Pollfd p{.fd = fd_.get(), .events = static_cast<int16_t>(events)};
  abi::Timespec none{};
  ErrorOr<size_t> n = host::Ppoll(&p, 1, &none);
  return n.ok() && *n > 0;
}

}  // namespace moat
