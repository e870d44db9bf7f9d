#include "base/fiber/fiber.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/fiber/executor.h"
#include "base/host/time.h"

namespace moat {
namespace {

// Ends when `done` does, with `extra` more threads playing worker.
void RunOn(int extra, const std::function<bool()>& done) {
  std::vector<std::thread> workers;
  for (int i = 0; i < extra; ++i) workers.emplace_back([&] { Executor::Get().RunUntil(done); });
  Executor::Get().RunUntil(done);
  for (std::thread& worker : workers) worker.join();
}

TEST(Fiber, BareThreadHasNone) { EXPECT_EQ(Fiber::Current(), nullptr); }

TEST(Fiber, BodyThatDoesNotParkEndsInsideRun) {
  Fiber* seen = nullptr;
  Executor::Get().Run([&] { seen = Fiber::Current(); });
  EXPECT_NE(seen, nullptr);
  EXPECT_EQ(Fiber::Current(), nullptr);
  Fiber* again = nullptr;
  Executor::Get().Run([&] { again = Fiber::Current(); });
  EXPECT_EQ(again, seen) << "the spare fiber is used again";
}

TEST(Fiber, ParkedBodyGoesOnAfterUnpark) {
  Fiber* fiber = nullptr;
  int step = 0;
  Executor::Get().Run([&] {
    fiber = Fiber::Current();
    step = 1;
    Fiber::Park();
    step = 2;
  });
  EXPECT_EQ(step, 1);
  Executor::Get().RunReady();
  EXPECT_EQ(step, 1) << "nobody unparked it";
  EXPECT_FALSE(Executor::Get().HasReady());
  fiber->Unpark();
  EXPECT_TRUE(Executor::Get().HasReady());
  EXPECT_EQ(step, 1) << "Unpark itself runs nothing";
  Executor::Get().RunReady();
  EXPECT_EQ(step, 2);
}

TEST(Fiber, UnparkBeforeParkIsOneToken) {
  Fiber* fiber = nullptr;
  int step = 0;
  Executor::Get().Run([&] {
    fiber = Fiber::Current();
    fiber->Unpark();
    fiber->Unpark();
    Fiber::Park();
    step = 1;
    Fiber::Park();
    step = 2;
  });
  EXPECT_EQ(step, 1);
  fiber->Unpark();
  Executor::Get().RunReady();
  EXPECT_EQ(step, 2);
}

TEST(Fiber, RunInsideAFiberReturnsToIt) {
  std::vector<int> order;
  Fiber* inner = nullptr;
  Executor::Get().Run([&] {
    Fiber* outer = Fiber::Current();
    order.push_back(1);
    Executor::Get().Run([&] {
      inner = Fiber::Current();
      order.push_back(2);
      Fiber::Park();
      order.push_back(4);
    });
    order.push_back(3);
    EXPECT_EQ(Fiber::Current(), outer);
  });
  inner->Unpark();
  Executor::Get().RunReady();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4}));
}

TEST(Fiber, KillEndsAKillableWaitOnly) {
  struct Shared {
    Completion completion;
    std::atomic<bool> interrupted{false};
    Fiber* fiber = nullptr;
  };
  auto shared = std::make_shared<Shared>();
  Executor::Get().Run([shared] {
    shared->fiber = Fiber::Current();
    shared->interrupted = shared->completion.WaitKillable().error() == kEINTR;
  });
  EXPECT_FALSE(shared->interrupted);
  shared->fiber->Kill();
  Executor::Get().RunReady();
  EXPECT_TRUE(shared->interrupted);
  shared->completion.Complete();  // late: nobody waits
  EXPECT_TRUE(shared->completion.done());
  bool killed = true;
  Executor::Get().Run([&] { killed = Fiber::Current()->killed(); });
  EXPECT_FALSE(killed) << "the next body on the same fiber starts afresh";
}

TEST(Fiber, UnkillableWaitOutlastsAKill) {
  Completion completion;
  Fiber* fiber = nullptr;
  bool ended = false;
  Executor::Get().Run([&] {
    fiber = Fiber::Current();
    completion.Wait();
    ended = true;
  });
  fiber->Kill();
  Executor::Get().RunReady();
  EXPECT_FALSE(ended);
  completion.Complete();
  Executor::Get().RunReady();
  EXPECT_TRUE(ended);
}

TEST(Fiber, StacksAreDeepEnoughAndSeparate) {
  constexpr int kFibers = 100;
  std::vector<Fiber*> fibers(kFibers);
  int good = 0;
  for (int i = 0; i < kFibers; ++i) {
    Executor::Get().Run([&, i] {
      volatile char frame[32 * 1024];
      for (char volatile& c : frame) c = static_cast<char>(i);
      fibers[i] = Fiber::Current();
      Fiber::Park();
      bool same = true;
      for (char volatile& c : frame) same = same && c == static_cast<char>(i);
      good += same;
    });
  }
  for (Fiber* fiber : fibers) fiber->Unpark();
  Executor::Get().RunReady();
  EXPECT_EQ(good, kFibers);
}

// Four threads run the fibers, a fifth completes: every hand-over crosses threads, and nothing may get lost.
TEST(FiberStress, CompletionsFromOtherThreadsAreNeverLost) {
  constexpr int kFibers = 50;
  constexpr int kRounds = 200;
  std::atomic<int> ended{0};
  std::vector<std::atomic<Completion*>> slots(kFibers);
  for (int i = 0; i < kFibers; ++i) {
    Executor::Get().Post([&, i] {
      for (int round = 0; round < kRounds; ++round) {
        Completion completion;
        slots[i].store(&completion);
        completion.Wait();
      }
      ++ended;
    });
  }
  std::thread completer([&] {
    while (ended < kFibers) {
      for (std::atomic<Completion*>& slot : slots) {
        if (Completion* completion = slot.exchange(nullptr)) completion->Complete();
      }
    }
  });
  RunOn(3, [&] { return ended == kFibers; });
  completer.join();
  EXPECT_EQ(ended, kFibers);
}

// Two fibers pass a token to and fro with bare Park and Unpark while a third thread unparks both at random.
TEST(FiberStress, SpuriousWakesDoNotDisturbAPingPong) {
  constexpr int kRounds = 5000;
  std::atomic<int> turn{0};
  std::atomic<int> ended{0};
  std::atomic<Fiber*> fibers[2] = {nullptr, nullptr};
  for (int me = 0; me < 2; ++me) {
    Executor::Get().Post([&, me] {
      fibers[me] = Fiber::Current();
      for (int round = 0; round < kRounds; ++round) {
        while (turn != me) {
          if (fibers[1 - me]) Fiber::Park(); else Executor::Get().Post([f = Fiber::Current()] { f->Unpark(); }), Fiber::Park();
        }
        turn = 1 - me;
        if (Fiber* other = fibers[1 - me]) other->Unpark();
      }
      ++ended;
    });
  }
  std::thread disturber([&] {
    while (ended == 0) {
      for (std::atomic<Fiber*>& fiber : fibers) {
        if (Fiber* f = fiber) f->Unpark();
      }
    }
  });
  RunOn(2, [&] { return ended == 2; });
  disturber.join();
  EXPECT_EQ(turn, 0);
}

// Not a benchmark: a bound far above the cost, so that an allocation or a lock too many on this path is noticed.
TEST(FiberCost, RunOfABodyThatDoesNotParkIsCheap) {
#if defined(NDEBUG) && !defined(MOAT_ASAN) && !defined(MOAT_TSAN)
  constexpr int kRuns = 1000000;
  uint64_t sum = 0;
  uint64_t* p = &sum;
  int64_t best = INT64_MAX;
  for (int attempt = 0; attempt < 5; ++attempt) {
    int64_t start = host::NowMonotonicNs();
    for (int i = 0; i < kRuns; ++i) Executor::Get().Run([p, i] { *p += static_cast<uint64_t>(i); });
    best = std::min(best, host::NowMonotonicNs() - start);
  }
  RecordProperty("ns_per_run", static_cast<int>(best / kRuns));
  EXPECT_LT(best / kRuns, 500);
#else
  GTEST_SKIP() << "not an optimized build";
#endif
}

}  // namespace
}  // namespace moat
