// The page that a guest thread on the express path shares with the tracer: the sentry's side of it. The layout is known to
// stub_x86_64.S. The guest can write all of it at any time; everything on it is its own affair (numbers and registers of its own
// call), is read once, and is believed for nothing else.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "abi/regs.h"
#include "base/util/unique_fd.h"
#include "platform/platform.h"

namespace moat::ptrace {

struct SharedExpressPage {
  enum State : uint32_t { kAnswered = 0, kPosted = 1, kTaken = 2, kWithdrawn = 3 };
  alignas(64) std::atomic<uint32_t> state;
  alignas(64) std::atomic<uint32_t> polled;  // the tracer looks at `state`
  alignas(64) std::atomic<uint64_t> rax;     // the call's number, then its result
  std::atomic<uint64_t> rcx, rsp, flags;
  std::atomic<uint64_t> args[6];
};

class ExpressPage {
 public:
  static ErrorOr<ExpressPage> Create();
  ExpressPage(ExpressPage&& other) noexcept : fd_(std::move(other.fd_)), page_(std::exchange(other.page_, nullptr)) {}
  ExpressPage& operator=(ExpressPage&&) = delete;
  ~ExpressPage();

  // For the guest's mapping; afterwards let it go.
  int fd() const { return fd_.get(); }
  void CloseFd() { fd_.Reset(); }

  void SetPolled(bool polled) { page_->polled.store(polled ? 1 : 0, std::memory_order_seq_cst); }
  bool HasPost() const { return page_->state.load(std::memory_order_acquire) == SharedExpressPage::kPosted; }
  // Takes a posted call; the thread then waits until Answer or Release.
  std::optional<Trap> Take();
  void Answer(uint64_t result) {
    page_->rax.store(result, std::memory_order_relaxed);
    page_->state.store(SharedExpressPage::kAnswered, std::memory_order_release);
  }
  // Ends a taken call whose thread was stopped: it goes on elsewhere.
  void Release() { page_->state.store(SharedExpressPage::kAnswered, std::memory_order_release); }
  // True if a posted call was withdrawn, by this or by the thread itself; false if it is taken or answered.
  bool Withdraw();

  uint64_t return_ip() const { return Read(page_->rcx); }
  uint64_t rax() const { return Read(page_->rax); }
  uint64_t rsp() const { return Read(page_->rsp); }
  uint64_t flags() const { return Read(page_->flags); }

 private:
  ExpressPage(UniqueFd fd, SharedExpressPage* page) : fd_(std::move(fd)), page_(page) {}
  static uint64_t Read(const std::atomic<uint64_t>& field) { return field.load(std::memory_order_relaxed); }

  UniqueFd fd_;
  SharedExpressPage* page_;
};

}  // namespace moat::ptrace
