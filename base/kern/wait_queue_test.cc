#include "base/kern/wait_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace moat {
namespace {

constexpr EventMask kIn = 0x1, kOut = 0x4, kErr = 0x8, kHup = 0x10;

class Recorder final : public Waiter {
 public:
  Recorder(EventMask mask, bool exclusive, std::vector<Recorder*>* order = nullptr, bool takes = true)
      : Waiter(mask, exclusive), order_(order), takes_(takes) {}
  bool OnWake(EventMask events) override {
    ++wakes;
    last = events;
    if (order_) order_->push_back(this);
    return takes_;
  }
  int wakes = 0;
  EventMask last = 0;

 private:
  std::vector<Recorder*>* order_;
  bool takes_;
};

TEST(WaitQueue, WakesThoseWhoseMaskMeets) {
  WaitQueue queue;
  EXPECT_TRUE(queue.empty());
  Recorder in(kIn, false), out(kOut, false);
  queue.Add(in);
  queue.Add(out);
  EXPECT_FALSE(queue.empty());
  queue.Wake(kIn);
  EXPECT_EQ(in.wakes, 1);
  EXPECT_EQ(in.last, kIn);
  EXPECT_EQ(out.wakes, 0);
  queue.Wake(kErr);
  queue.Wake(kHup);
  EXPECT_EQ(in.wakes, 3);
  EXPECT_EQ(out.wakes, 2);
  queue.Remove(in);
  queue.Remove(out);
  EXPECT_TRUE(queue.empty());
  queue.Wake(kIn | kOut);
  EXPECT_EQ(in.wakes, 3);
}

TEST(WaitQueue, ExclusiveWaitersShareAWake) {
  WaitQueue queue;
  std::vector<Recorder*> order;
  Recorder first(kIn, true, &order), second(kIn, true, &order), all(kIn, false, &order);
  queue.Add(first);
  queue.Add(second);
  queue.Add(all);
  queue.Wake(kIn);
  EXPECT_EQ(order, (std::vector<Recorder*>{&all, &first}));
  order.clear();
  queue.Wake(kIn, 2);
  EXPECT_EQ(order, (std::vector<Recorder*>{&all, &first, &second}));
  for (Recorder* r : {&first, &second, &all}) queue.Remove(*r);
}

TEST(WaitQueue, AWakeThatIsNotTakenGoesToTheNext) {
  WaitQueue queue;
  Recorder refuses(kIn, true, nullptr, false), takes(kIn, true), third(kIn, true);
  for (Recorder* r : {&refuses, &takes, &third}) queue.Add(*r);
  queue.Wake(kIn);
  EXPECT_EQ(refuses.wakes, 1);
  EXPECT_EQ(takes.wakes, 1);
  EXPECT_EQ(third.wakes, 0);
  for (Recorder* r : {&refuses, &takes, &third}) queue.Remove(*r);
}

TEST(WaitQueueStress, NoWakeAfterRemove) {
  WaitQueue queue;
  std::atomic<bool> stop{false};
  std::thread waker([&] {
    while (!stop) queue.Wake(kIn, 100);
  });
  for (int round = 0; round < 2000; ++round) {
    Recorder r(kIn, round % 2 == 1);  // not atomic: TSan sees a wake that comes too late
    queue.Add(r);
    queue.Remove(r);
    int wakes = r.wakes;
    EXPECT_EQ(wakes, r.wakes);
  }
  stop = true;
  waker.join();
}

}  // namespace
}  // namespace moat
