// The sentry's end of the connection to the gofer: requests go out at once, fibers park until their reply comes.
//
// Replies are read by whoever waits: a fiber that has just sent polls the socket for a few microseconds (the gofer answers
// most requests within that, and a wake-up would cost more), then parks; while somebody is parked the host watch reads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "base/fiber/fiber.h"
#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "base/util/unique_fd.h"
#include "gofer/protocol/wire.h"

namespace moat {

class GoferClient final : public RefCounted {
 public:
  // Takes the client's end of a SOCK_SEQPACKET pair.
  static Ref<GoferClient> Create(UniqueFd socket);

  class Reply {
   public:
    gofer::Reader body() const { return gofer::Reader(std::span(bytes_).subspan(sizeof(gofer::ReplyHeader))); }
    UniqueFd& fd() { return fd_; }  // what came along, or invalid

   private:
    friend class GoferClient;
    std::vector<std::byte> bytes_;
    UniqueFd fd_;
  };

  // Sends the request in `request` and waits for its reply: the errno it carries, kEIO if the gofer is gone, kEINTR if the
  // calling fiber is killed (the reply is dropped when it comes). On a bare thread it blocks that thread.
  ErrorOr<Reply> Call(gofer::Op op, gofer::Writer& request);
  // Tells the gofer that `handle` (0: none) is done with. Sent with the next ones, or before the next request.
  void CloseHandle(gofer::Handle handle);
  // Sends the handles that wait to be closed: with `all` also if they are few.
  void FlushCloses(bool all);
  // Sends all of them and waits until the gofer has closed them. As Call.
  ErrorOr<void> AwaitCloses();
  bool broken() const { return broken_.load(std::memory_order_relaxed); }

 private:
  struct Pending : RefCounted {
    Completion done;
    Reply reply;
    Errno error{0};
  };

  explicit GoferClient(UniqueFd socket);
  ~GoferClient() override;
  ErrorOr<void> Send(std::span<const std::byte> bytes);
  // Reads what has arrived; false when there was nothing.
  bool ReadReplies();
  void Dispatch(std::span<const std::byte> message, std::vector<UniqueFd> fds);
  void Break();
  void Poll(Pending& call);
  ErrorOr<void> Park(Pending& call);
  void OnReady();

  const UniqueFd socket_;
  std::atomic<uint64_t> next_id_{1};
  std::atomic<bool> broken_{false};

  Mutex mu_;
  std::unordered_map<uint64_t, Ref<Pending>> pending_ MOAT_GUARDED_BY(mu_);
  std::vector<gofer::Handle> to_close_ MOAT_GUARDED_BY(mu_);

  Mutex watch_mu_;
  bool watched_ MOAT_GUARDED_BY(watch_mu_) = false;
  int parked_ MOAT_GUARDED_BY(watch_mu_) = 0;

  Mutex read_mu_;  // one reader at a time; held over a receive that never waits
  std::vector<std::byte> read_buffer_ MOAT_GUARDED_BY(read_mu_);
};

}  // namespace moat
