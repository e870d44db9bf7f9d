#include "base/host/poll.h"

#include "abi/epoll.h"
#include "abi/syscall_nr.h"
#include "base/host/raw.h"

namespace moat::host {

namespace {
constexpr size_t kSigsetSize = sizeof(uint64_t);
}  // namespace

ErrorOr<size_t> Ppoll(abi::Pollfd* fds, size_t count, const abi::Timespec* timeout, const uint64_t* signal_mask) {
  // The kernel writes the time left back.
  abi::Timespec left = timeout ? *timeout : abi::Timespec{};
  return Call<size_t>(abi::kNr_ppoll, fds, count, timeout ? &left : nullptr, signal_mask, kSigsetSize);
}
ErrorOr<UniqueFd> EpollCreate1(uint32_t flags) { return Call<UniqueFd>(abi::kNr_epoll_create1, flags); }
ErrorOr<void> EpollCtl(int epfd, int op, int fd, uint32_t events, uint64_t data) {
  abi::EpollEvent event{events, data};
  return Call<void>(abi::kNr_epoll_ctl, epfd, op, fd, &event);
}
ErrorOr<size_t> EpollPwait(int epfd, abi::EpollEvent* events, size_t count, int timeout_ms,
                           const uint64_t* signal_mask) {
  return Call<size_t>(abi::kNr_epoll_pwait, epfd, events, count, timeout_ms, signal_mask, kSigsetSize);
}

ErrorOr<UniqueFd> Eventfd2(uint32_t initial, uint32_t flags) {
  return Call<UniqueFd>(abi::kNr_eventfd2, initial, flags);
}
ErrorOr<UniqueFd> TimerfdCreate(int clock, uint32_t flags) {
  return Call<UniqueFd>(abi::kNr_timerfd_create, clock, flags);
}
ErrorOr<void> TimerfdSettime(int fd, uint32_t flags, const abi::Itimerspec& value) {
  return Call<void>(abi::kNr_timerfd_settime, fd, flags, &value, nullptr);
}
ErrorOr<UniqueFd> Signalfd4(int fd, const uint64_t& mask, uint32_t flags) {
  return Call<UniqueFd>(abi::kNr_signalfd4, fd, &mask, kSigsetSize, flags);
}

ErrorOr<UniqueFd> InotifyInit1(uint32_t flags) { return Call<UniqueFd>(abi::kNr_inotify_init1, flags); }
ErrorOr<int> InotifyAddWatch(int fd, const char* path, uint32_t mask) {
  return Call<int>(abi::kNr_inotify_add_watch, fd, path, mask);
}
ErrorOr<void> InotifyRmWatch(int fd, int watch) { return Call<void>(abi::kNr_inotify_rm_watch, fd, watch); }

}  // namespace moat::host
