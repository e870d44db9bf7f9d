#include "base/fiber/executor.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "abi/epoll.h"
#include "base/fiber/host_watch.h"
#include "base/fiber/offload.h"
#include "base/fiber/timer_heap.h"
#include "base/host/file.h"
#include "base/host/poll.h"
#include "base/host/process.h"
#include "base/host/time.h"

namespace moat {
namespace {

constexpr int64_t kMs = 1000000;

TEST(Executor, PostedWorkRunsOnAFiberInOrder) {
  std::vector<int> order;
  bool on_fiber = false;
  Executor::Get().Post([&] { order.push_back(1), on_fiber = Fiber::Current() != nullptr; });
  Executor::Get().Post([&] { order.push_back(2); });
  EXPECT_TRUE(order.empty());
  Executor::Get().RunReady();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_TRUE(on_fiber);
}

TEST(Executor, RunReadyAlsoRunsWhatItsWorkPosts) {
  int depth = 0;
  std::function<void()> post_again = [&] {
    if (++depth < 10) Executor::Get().Post(post_again);
  };
  Executor::Get().Post(post_again);
  Executor::Get().RunReady();
  EXPECT_EQ(depth, 10);
}

std::atomic<int> g_kicks{0};

TEST(Executor, KicksForeignThreadsWorkButNotWorkers) {
  Executor::Get().SetKick([](void*) { ++g_kicks; }, nullptr);
  g_kicks = 0;
  std::thread([] { Executor::Get().Post([] { Executor::Get().Post([] {}); }); }).join();
  EXPECT_EQ(g_kicks, 1);
  Executor::Get().RunReady();
  EXPECT_EQ(g_kicks, 1) << "the second Post came from a worker";
  Fiber* fiber = nullptr;
  Executor::Get().Run([&] {
    fiber = Fiber::Current();
    Fiber::Park();
  });
  std::thread([&] { fiber->Unpark(); }).join();
  EXPECT_EQ(g_kicks, 2);
  std::thread([&] { fiber->Unpark(); }).join();
  EXPECT_EQ(g_kicks, 2) << "it was runnable already";
  Executor::Get().RunReady();
  Executor::Get().SetKick(nullptr, nullptr);
}

TEST(Timer, FiresOnceOnAFiberNotBeforeItsDeadline) {
  int fired = 0;
  int64_t at = 0;
  Timer timer([&] { ++fired, at = host::NowMonotonicNs(); EXPECT_NE(Fiber::Current(), nullptr); });
  int64_t deadline = host::NowMonotonicNs() + 5 * kMs;
  timer.Arm(deadline);
  EXPECT_TRUE(timer.armed());
  EXPECT_EQ(Executor::Get().NextDeadline(), deadline);
  Executor::Get().RunReady();
  EXPECT_EQ(fired, 0);
  Executor::Get().RunUntil([&] { return fired > 0; });
  EXPECT_GE(at, deadline);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(Executor::Get().NextDeadline(), INT64_MAX);
  Executor::Get().RunReady();
  EXPECT_EQ(fired, 1);
}

TEST(Timer, CancelledOrDestroyedTimersDoNotFire) {
  int fired = 0;
  Timer cancelled([&] { ++fired; });
  auto destroyed = std::make_unique<Timer>([&] { ++fired; });
  cancelled.Arm(host::NowMonotonicNs() - 1);
  destroyed->Arm(host::NowMonotonicNs() - 1);
  cancelled.Cancel();
  destroyed.reset();
  Executor::Get().RunReady();
  EXPECT_EQ(fired, 0);
}

TEST(Timer, ArmReplacesTheDeadlineAndMayBeCalledFromTheCallback) {
  int fired = 0;
  std::unique_ptr<Timer> timer;
  timer = std::make_unique<Timer>([&] {
    if (++fired < 3) {
      timer->Arm(host::NowMonotonicNs() - 1);
    } else {
      timer.reset();  // its own destruction is fine as well
    }
  });
  timer->Arm(INT64_MAX - 1);
  timer->Arm(host::NowMonotonicNs() - 1);
  Executor::Get().RunReady();
  EXPECT_EQ(fired, 3);
  EXPECT_EQ(timer, nullptr);
}

struct HeapItem {
  int64_t deadline_ns;
  size_t heap_index = ~size_t{0};
};

TEST(TimerHeap, KeepsOrderUnderRandomRemovals) {
  std::mt19937 random(1);
  TimerHeap<HeapItem> heap;
  std::vector<std::shared_ptr<HeapItem>> items;
  for (int i = 0; i < 500; ++i) {
    items.push_back(std::make_shared<HeapItem>(HeapItem{static_cast<int64_t>(random() % 1000)}));
    heap.Add(items.back());
  }
  for (size_t i = 0; i < items.size(); i += 3) heap.Remove(*items[i]);
  size_t left = 0;
  int64_t last = INT64_MIN;
  while (!heap.empty()) {
    HeapItem& top = heap.top();
    EXPECT_LE(last, top.deadline_ns);
    last = top.deadline_ns;
    heap.Remove(top);
    EXPECT_EQ(top.heap_index, TimerHeap<HeapItem>::kNotInHeap);
    ++left;
  }
  EXPECT_EQ(left, items.size() - (items.size() + 2) / 3);
}

TEST(Offload, RunsInlineWithoutAFiberAndElsewhereWithOne) {
  int here = host::Gettid();
  int ran_on = 0;
  Offload([&] { ran_on = host::Gettid(); });
  EXPECT_EQ(ran_on, here);

  StartOffloadThreads(2);
  constexpr int kJobs = 64;
  std::atomic<int> done{0};
  std::atomic<int> elsewhere{0};
  for (int i = 0; i < kJobs; ++i) {
    Executor::Get().Run([&] {
      int tid = 0;
      bool on_fiber = true;
      Offload([&] { tid = host::Gettid(), on_fiber = Fiber::Current() != nullptr; });
      elsewhere += tid != here && tid != 0 && !on_fiber;
      ++done;
    });
  }
  Executor::Get().RunUntil([&] { return done == kJobs; });
  EXPECT_EQ(elsewhere, kJobs);
}

TEST(HostWatch, ReportsReadinessOnAWorkerUntilUnwatched) {
  EXPECT_EQ(WatchHostFd(0, abi::kEPOLLIN, [](uint32_t) {}).error(), kENXIO) << "not started yet";
  ASSERT_TRUE(StartHostWatch().ok());
  UniqueFd event = std::move(*host::Eventfd2(0, 0));
  std::atomic<uint32_t> seen{0};
  bool on_fiber = false;
  int times = 0;
  ASSERT_TRUE(WatchHostFd(event.get(), abi::kEPOLLIN, [&](uint32_t events) {
                on_fiber = Fiber::Current() != nullptr;
                ++times;
                seen = events;
              }).ok());
  EXPECT_EQ(WatchHostFd(event.get(), abi::kEPOLLIN, [](uint32_t) {}).error(), kEEXIST);
  Executor::Get().RunReady();
  EXPECT_EQ(seen, 0u);
  uint64_t one = 1;
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(host::Write(event.get(), &one, sizeof one).ok());
    Executor::Get().RunUntil([&] { return times == i; });
  }
  EXPECT_EQ(seen, abi::kEPOLLIN);
  EXPECT_TRUE(on_fiber);

  UnwatchHostFd(event.get());
  ASSERT_TRUE(host::Write(event.get(), &one, sizeof one).ok());
  ASSERT_TRUE(host::ClockNanosleep(abi::kCLOCK_MONOTONIC, 0, {0, 5 * kMs}).ok());
  Executor::Get().RunReady();
  EXPECT_EQ(times, 3);
  UnwatchHostFd(event.get());  // unknown: ignored
}

TEST(HostWatch, RegularFilesAreRefused) {
  UniqueFd file = std::move(*host::Openat(abi::kAT_FDCWD, "/proc/self/exe", abi::kO_RDONLY));
  EXPECT_EQ(WatchHostFd(file.get(), abi::kEPOLLIN, [](uint32_t) {}).error(), kEPERM);
}

}  // namespace
}  // namespace moat
