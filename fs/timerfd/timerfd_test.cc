#include "fs/timerfd/timerfd.h"

#include <gtest/gtest.h>

#include "abi/poll.h"
#include "abi/time.h"
#include "base/host/time.h"

namespace moat {
namespace {

constexpr int64_t kMs = abi::kNSEC_PER_MSEC;

ErrorOr<uint64_t> Read(TimerFd& t) {
  uint64_t value = 0;
  BufferSink sink(std::as_writable_bytes(std::span(&value, 1)));
  TRY(t.TryRead(sink, nullptr, {}));
  return value;
}
void Sleep(int64_t ns) { ASSERT_TRUE(host::ClockNanosleep(abi::kCLOCK_MONOTONIC, 0, {0, ns}).ok()); }

class Flag final : public Waiter {
 public:
  Flag() : Waiter(abi::kPOLLIN) {}
  bool OnWake(EventMask) override {
    ++count;
    return true;
  }
  std::atomic<int> count{0};
};

TEST(TimerFd, OneShotExpiresOnceAndWakes) {
  Executor::Get().Run([] {
    Ref<TimerFd> t = *TimerFd::Create(abi::kCLOCK_MONOTONIC, 0);
    EXPECT_EQ(Read(*t).error(), kEAGAIN);
    EXPECT_EQ(t->Get().value_ns, 0);
    t->Set(false, {.value_ns = 1000 * kMs});
    EXPECT_GT(t->Get().value_ns, 900 * kMs);
    EXPECT_GT(t->Set(false, {.value_ns = 2 * kMs}).value_ns, 900 * kMs);
    EXPECT_EQ(t->Readiness(), 0u);
    Sleep(3 * kMs);
    EXPECT_EQ(t->Readiness(), abi::kPOLLIN);
    EXPECT_EQ(t->Get().value_ns, 0);
    EXPECT_EQ(*Read(*t), 1u);
    EXPECT_EQ(Read(*t).error(), kEAGAIN);
  });
}

TEST(TimerFd, WakesItsQueueAtTheDeadline) {
  Ref<TimerFd> t = *TimerFd::Create(abi::kCLOCK_REALTIME, 0);
  Flag flag;
  t->wait_queue()->Add(flag);
  Executor::Get().Run([&] { t->Set(true, {.value_ns = host::NowRealtimeNs() + 5 * kMs}); });
  EXPECT_EQ(flag.count, 0);
  Executor::Get().RunUntil([&] { return flag.count > 0; });
  EXPECT_EQ(t->Readiness(), abi::kPOLLIN);
  t->wait_queue()->Remove(flag);
}

TEST(TimerFd, PeriodicCountsWhatWasMissedAndGoesOn) {
  Ref<TimerFd> t = *TimerFd::Create(abi::kCLOCK_MONOTONIC, 0);
  Flag flag;
  t->wait_queue()->Add(flag);
  Executor::Get().Run([&] {
    t->Set(false, {.value_ns = kMs, .interval_ns = 2 * kMs});
    Sleep(10 * kMs);
    uint64_t n = *Read(*t);
    EXPECT_GE(n, 5u);
    EXPECT_LT(n, 500u);
    EXPECT_EQ(t->Get().interval_ns, 2 * kMs);
    EXPECT_LE(t->Get().value_ns, 2 * kMs);
  });
  int before = flag.count;
  Executor::Get().RunUntil([&] { return flag.count > before; });
  t->wait_queue()->Remove(flag);
  Executor::Get().Run([&] { t->Set(false, {}); });
  EXPECT_EQ(Read(*t).error(), kEAGAIN) << "setting it forgets expirations";
}

TEST(TimerFd, AnAbsolutePastExpiresAtOnceAndUnknownClocksAreRefused) {
  Executor::Get().Run([] {
    Ref<TimerFd> t = *TimerFd::Create(abi::kCLOCK_BOOTTIME, 0);
    t->Set(true, {.value_ns = 1});
    EXPECT_EQ(*Read(*t), 1u);
    t->Set(false, {.value_ns = INT64_MAX});
    EXPECT_EQ(Read(*t).error(), kEAGAIN);
    EXPECT_GT(t->Get().value_ns, INT64_MAX / 2);
  });
  EXPECT_EQ(TimerFd::Create(abi::kCLOCK_PROCESS_CPUTIME_ID, 0).error(), kEINVAL);
}

}  // namespace
}  // namespace moat
