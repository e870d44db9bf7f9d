// Host calls that wait for descriptors, and the descriptors made for waiting. The Linux calls of the same names.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/time.h"
#include "base/util/error.h"
#include "base/util/unique_fd.h"

namespace moat::abi {
struct Pollfd;
struct EpollEvent;
}  // namespace moat::abi

namespace moat::host {

// The number of ready entries; `timeout` null waits for ever; `signal_mask` null keeps the mask. EINTR is returned.
ErrorOr<size_t> Ppoll(abi::Pollfd* fds, size_t count, const abi::Timespec* timeout,
                      const uint64_t* signal_mask = nullptr);
ErrorOr<UniqueFd> EpollCreate1(uint32_t flags);
// `op` EPOLL_CTL_*. Epoll reports `data` with the events.
ErrorOr<void> EpollCtl(int epfd, int op, int fd, uint32_t events, uint64_t data);
// The number of events; `timeout_ms` -1 waits for ever. EINTR is returned.
ErrorOr<size_t> EpollPwait(int epfd, abi::EpollEvent* events, size_t count, int timeout_ms,
                           const uint64_t* signal_mask = nullptr);

ErrorOr<UniqueFd> Eventfd2(uint32_t initial, uint32_t flags);
ErrorOr<UniqueFd> TimerfdCreate(int clock, uint32_t flags);
ErrorOr<void> TimerfdSettime(int fd, uint32_t flags, const abi::Itimerspec& value);
ErrorOr<UniqueFd> Signalfd4(int fd, const uint64_t& mask, uint32_t flags);  // `fd` -1 makes a new one

ErrorOr<UniqueFd> InotifyInit1(uint32_t flags);
ErrorOr<int> InotifyAddWatch(int fd, const char* path, uint32_t mask);
ErrorOr<void> InotifyRmWatch(int fd, int watch);

}  // namespace moat::host
