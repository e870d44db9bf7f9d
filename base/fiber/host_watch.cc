#include "base/fiber/host_watch.h"

#include <memory>
#include <unordered_map>
#include <utility>

#include "abi/epoll.h"
#include "base/fiber/executor.h"
#include "base/fiber/host_thread.h"
#include "base/host/poll.h"
#include "base/sync/mutex.h"
#include "base/util/check.h"
#include "base/util/no_destructor.h"

namespace moat {

namespace {

struct Watch {
  std::function<void(uint32_t)> on_ready;
  std::atomic<bool> removed{false};
};

struct Watcher {
  UniqueFd epoll;
  Mutex mu;
  // By a number that is never used again: a late event of a closed fd must not reach the next owner of its number.
  std::unordered_map<uint64_t, std::shared_ptr<Watch>> watches MOAT_GUARDED_BY(mu);
  std::unordered_map<int, uint64_t> id_of_fd MOAT_GUARDED_BY(mu);
  uint64_t last_id MOAT_GUARDED_BY(mu) = 0;

  void Deliver(uint64_t id, uint32_t events) {
    std::shared_ptr<Watch> watch;
    {
      MutexLock lock(mu);
      auto it = watches.find(id);
      if (it == watches.end()) return;
      watch = it->second;
    }
    Executor::Get().Post([watch = std::move(watch), events] {
      if (!watch->removed.load(std::memory_order_acquire)) watch->on_ready(events);
    });
  }
  void Serve() {
    constexpr size_t kBatch = 32;
    abi::EpollEvent events[kBatch];
    for (;;) {
      ErrorOr<size_t> count = host::EpollPwait(epoll.get(), events, kBatch, -1);
      if (!count.ok()) {
        CHECK(count.error() == kEINTR);
        continue;
      }
      for (size_t i = 0; i < *count; ++i) Deliver(events[i].data, events[i].events);
    }
  }
};

Watcher& TheWatcher() {
  static NoDestructor<Watcher> watcher;
  return *watcher;
}

}  // namespace

ErrorOr<void> StartHostWatch() {
  Watcher& watcher = TheWatcher();
  CHECK(!watcher.epoll.valid());
  watcher.epoll = TRY(host::EpollCreate1(abi::kEPOLL_CLOEXEC));
  StartHostThread("watch", [] { TheWatcher().Serve(); });
  return {};
}

ErrorOr<void> WatchHostFd(int fd, uint32_t events, std::function<void(uint32_t)> on_ready) {
  Watcher& watcher = TheWatcher();
  if (!watcher.epoll.valid()) return kENXIO;
  auto watch = std::make_shared<Watch>();
  watch->on_ready = std::move(on_ready);
  MutexLock lock(watcher.mu);
  uint64_t id = ++watcher.last_id;
  // The events may come before this returns: the watcher then waits for the lock.
  TRY(host::EpollCtl(watcher.epoll.get(), abi::kEPOLL_CTL_ADD, fd, events | abi::kEPOLLET, id));
  watcher.watches[id] = std::move(watch);
  watcher.id_of_fd[fd] = id;
  return {};
}

void UnwatchHostFd(int fd) {
  Watcher& watcher = TheWatcher();
  std::shared_ptr<Watch> watch;  // its callback is destroyed after the lock is dropped
  MutexLock lock(watcher.mu);
  auto it = watcher.id_of_fd.find(fd);
  if (it == watcher.id_of_fd.end()) return;
  (void)host::EpollCtl(watcher.epoll.get(), abi::kEPOLL_CTL_DEL, fd, 0, 0);
  auto entry = watcher.watches.find(it->second);
  watch = std::move(entry->second);
  watch->removed.store(true, std::memory_order_release);
  watcher.watches.erase(entry);
  watcher.id_of_fd.erase(it);
}

}  // namespace moat
