// epoll(7): a file that gathers the readiness of others.
//
// An item stands for a watched (file, fd). It hangs on the file's wait queue and, when woken, puts itself on the ready list;
// epoll_wait takes items from the list, asks the file whether it really is ready, and puts level-triggered ones back at the
// end, so that every ready file gets its turn. Files are held weakly: the last close of a file removes its items.
//
// Lock order: FileObserver::lock() > a file's wait queue > Core::mu > nothing. Core::mu is never held while a file or a wait
// queue is called.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "abi/epoll.h"
#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "base/util/intrusive_list.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"

namespace moat {

class Epoll final : public FileDescription {
 public:
  // Items of the whole sandbox (fs.epoll.max_user_watches).
  static constexpr int kMaxWatches = 256 * 1024;

  static Ref<Epoll> Create();

  // epoll_ctl(2). Add: kEEXIST, kEPERM for files that cannot be polled, kEINVAL, kELOOP, kENOSPC. Modify: kENOENT, kEINVAL
  // with EPOLLEXCLUSIVE. Remove: kENOENT.
  ErrorOr<void> Add(FileDescription& file, int fd, const abi::EpollEvent& event);
  ErrorOr<void> Modify(FileDescription& file, int fd, const abi::EpollEvent& event);
  ErrorOr<void> Remove(FileDescription& file, int fd);

  // Takes up to out.size() events that are ready now; how many.
  size_t Collect(std::span<abi::EpollEvent> out);
  // Where epoll_wait sleeps; woken one exclusive waiter at a time with POLLIN.
  WaitQueue& sleepers();
  size_t item_count() const;
  // False if Collect would find nothing. True is a guess.
  bool MaybeReady() const;

  EventMask Readiness() override;  // POLLIN if an item is ready
  WaitQueue* wait_queue() override;
  bool pollable() const override { return true; }
  bool seekable() const override { return false; }
  // "tfd: ..." lines of /proc/PID/fdinfo.
  std::string FdInfo() override;

 private:
  struct Item;
  using Key = std::pair<const FileDescription*, int>;
  struct Core;

  explicit Epoll(const Path& path);
  ~Epoll() override;
  // Wakes if the file is ready already.
  static void CheckNow(FileDescription& file, Item& item);
  // Epolls below (above) this one on the longest chain; more than the limit counts as the limit. kELOOP if `target` is below.
  ErrorOr<int> DepthBelow(const Epoll& target, int limit) MOAT_REQUIRES(FileObserver::lock());
  int DepthAbove(int limit) MOAT_REQUIRES(FileObserver::lock());

  Ref<Core> core_;
};

}  // namespace moat
