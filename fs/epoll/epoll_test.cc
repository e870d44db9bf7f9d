#include "fs/epoll/epoll.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "abi/poll.h"
#include "fs/vfs/anon.h"

namespace moat {
namespace {

// A file whose readiness the test sets. Its wait queue dies with it, as those of real files do.
class FakeFile final : public FileDescription {
 public:
  FakeFile() : FileDescription(MakeAnonPath("fake", 0), 2) {}
  EventMask Readiness() override { return ready.load(); }
  WaitQueue* wait_queue() override { return &queue; }
  bool pollable() const override { return pollable_now; }
  void Become(EventMask events) {
    ready = events;
    if (events) queue.Wake(events);
  }
  std::atomic<EventMask> ready{0};
  WaitQueue queue;
  bool pollable_now = true;
};

abi::EpollEvent Event(uint32_t events, uint64_t data = 0) { return {events, data}; }

std::vector<std::pair<uint32_t, uint64_t>> Collect(Epoll& e, size_t max = 16) {
  std::vector<abi::EpollEvent> buffer(max);
  buffer.resize(e.Collect(buffer));
  std::vector<std::pair<uint32_t, uint64_t>> out;
  for (const abi::EpollEvent& event : buffer) out.emplace_back(uint32_t{event.events}, uint64_t{event.data});  // copies: the struct is packed
  return out;
}
using Events = std::vector<std::pair<uint32_t, uint64_t>>;

TEST(Epoll, LevelTriggeredReportsWhileReady) {
  Ref<Epoll> e = Epoll::Create();
  Ref<FakeFile> f = MakeRef<FakeFile>();
  ASSERT_TRUE(e->Add(*f, 3, Event(abi::kEPOLLIN, 7)).ok());
  EXPECT_TRUE(Collect(*e).empty());
  f->Become(abi::kPOLLIN | abi::kPOLLOUT);
  EXPECT_EQ(Collect(*e), (Events{{abi::kEPOLLIN, 7}}));
  EXPECT_EQ(Collect(*e), (Events{{abi::kEPOLLIN, 7}}));
  EXPECT_EQ(e->Readiness(), abi::kPOLLIN | abi::kPOLLRDNORM);
  f->Become(0);
  EXPECT_EQ(e->Readiness(), 0u);
  EXPECT_TRUE(Collect(*e).empty());
}

TEST(Epoll, EdgeTriggeredReportsOncePerWake) {
  Ref<Epoll> e = Epoll::Create();
  Ref<FakeFile> f = MakeRef<FakeFile>();
  f->Become(abi::kPOLLIN);
  ASSERT_TRUE(e->Add(*f, 3, Event(abi::kEPOLLIN | abi::kEPOLLET)).ok());
  EXPECT_EQ(Collect(*e).size(), 1u) << "ready when added";
  EXPECT_TRUE(Collect(*e).empty());
  f->Become(abi::kPOLLIN);
  f->Become(abi::kPOLLIN);
  EXPECT_EQ(Collect(*e).size(), 1u);
  EXPECT_TRUE(Collect(*e).empty());
  f->Become(abi::kPOLLHUP);
  EXPECT_EQ(Collect(*e), (Events{{abi::kEPOLLHUP, 0}})) << "always reported";
}

TEST(Epoll, OneshotIsSilentUntilModified) {
  Ref<Epoll> e = Epoll::Create();
  Ref<FakeFile> f = MakeRef<FakeFile>();
  ASSERT_TRUE(e->Add(*f, 3, Event(abi::kEPOLLIN | abi::kEPOLLONESHOT)).ok());
  f->Become(abi::kPOLLIN);
  EXPECT_EQ(Collect(*e).size(), 1u);
  f->Become(abi::kPOLLIN | abi::kPOLLHUP);
  EXPECT_TRUE(Collect(*e).empty());
  ASSERT_TRUE(e->Modify(*f, 3, Event(abi::kEPOLLIN | abi::kEPOLLONESHOT, 9)).ok());
  EXPECT_EQ(Collect(*e), (Events{{abi::kEPOLLIN | abi::kEPOLLHUP, 9}}));
}

TEST(Epoll, ControlErrors) {
  Ref<Epoll> e = Epoll::Create();
  Ref<FakeFile> f = MakeRef<FakeFile>();
  EXPECT_EQ(e->Modify(*f, 3, Event(1)).error(), kENOENT);
  EXPECT_EQ(e->Remove(*f, 3).error(), kENOENT);
  ASSERT_TRUE(e->Add(*f, 3, Event(1)).ok());
  EXPECT_EQ(e->Add(*f, 3, Event(1)).error(), kEEXIST);
  EXPECT_TRUE(e->Add(*f, 4, Event(1)).ok()) << "another descriptor of the same file";
  EXPECT_EQ(e->Add(*e, 5, Event(1)).error(), kEINVAL);
  EXPECT_TRUE(e->Remove(*f, 3).ok());
  EXPECT_EQ(e->item_count(), 1u);
  Ref<FakeFile> regular = MakeRef<FakeFile>();
  regular->pollable_now = false;
  EXPECT_EQ(e->Add(*regular, 6, Event(1)).error(), kEPERM);
  EXPECT_EQ(e->Add(*f, 7, Event(abi::kEPOLLEXCLUSIVE | abi::kEPOLLONESHOT)).error(), kEINVAL);
  ASSERT_TRUE(e->Add(*f, 7, Event(abi::kEPOLLEXCLUSIVE | abi::kEPOLLIN)).ok());
  EXPECT_EQ(e->Modify(*f, 7, Event(1)).error(), kEINVAL);
}

TEST(Epoll, TheLastCloseOfAFileRemovesIt) {
  Ref<Epoll> e = Epoll::Create();
  Ref<FakeFile> f = MakeRef<FakeFile>();
  ASSERT_TRUE(e->Add(*f, 3, Event(abi::kEPOLLIN)).ok());
  f->Become(abi::kPOLLIN);
  f = nullptr;
  EXPECT_EQ(e->item_count(), 0u);
  EXPECT_TRUE(Collect(*e).empty());
}

TEST(Epoll, ClosingTheEpollLetsGoOfFiles) {
  Ref<Epoll> e = Epoll::Create();
  Ref<FakeFile> f = MakeRef<FakeFile>();
  ASSERT_TRUE(e->Add(*f, 3, Event(abi::kEPOLLIN)).ok());
  f->Become(abi::kPOLLIN);
  e = nullptr;
  EXPECT_TRUE(f->queue.empty());
  f->Become(abi::kPOLLIN);
}

TEST(Epoll, ReadyFilesTakeTurns) {
  Ref<Epoll> e = Epoll::Create();
  std::vector<Ref<FakeFile>> files;
  for (int i = 0; i < 4; ++i) {
    files.push_back(MakeRef<FakeFile>());
    ASSERT_TRUE(e->Add(*files.back(), i, Event(abi::kEPOLLIN, static_cast<uint64_t>(i))).ok());
    files.back()->Become(abi::kPOLLIN);
  }
  std::vector<uint64_t> seen;
  for (int i = 0; i < 6; ++i) seen.push_back(Collect(*e, 1).at(0).second);
  EXPECT_EQ(seen, (std::vector<uint64_t>{0, 1, 2, 3, 0, 1}));
  EXPECT_EQ(Collect(*e).size(), 4u) << "each at most once a call";
}

TEST(Epoll, NestedEpollsPassReadinessOn) {
  Ref<Epoll> inner = Epoll::Create(), outer = Epoll::Create();
  Ref<FakeFile> f = MakeRef<FakeFile>();
  ASSERT_TRUE(outer->Add(*inner, 4, Event(abi::kEPOLLIN, 1)).ok());
  ASSERT_TRUE(inner->Add(*f, 3, Event(abi::kEPOLLIN, 2)).ok());
  EXPECT_TRUE(Collect(*outer).empty());
  f->Become(abi::kPOLLIN);
  EXPECT_EQ(Collect(*outer), (Events{{abi::kEPOLLIN, 1}}));
  EXPECT_EQ(Collect(*inner), (Events{{abi::kEPOLLIN, 2}}));
  inner = nullptr;
  EXPECT_EQ(outer->item_count(), 0u);
}

TEST(Epoll, LoopsAndLongChainsAreRefused) {
  std::vector<Ref<Epoll>> chain;
  for (int i = 0; i < 6; ++i) chain.push_back(Epoll::Create());
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(chain[static_cast<size_t>(i)]->Add(*chain[static_cast<size_t>(i + 1)], i, Event(1)).ok()) << i;
  }
  EXPECT_EQ(chain[4]->Add(*chain[5], 9, Event(1)).error(), kELOOP) << "too deep below";
  EXPECT_EQ(chain[5]->Add(*chain[0], 9, Event(1)).error(), kELOOP) << "too deep above";
  EXPECT_EQ(chain[2]->Add(*chain[0], 9, Event(1)).error(), kELOOP) << "a loop";
  ASSERT_TRUE(chain[0]->Remove(*chain[1], 0).ok());
  EXPECT_TRUE(chain[4]->Add(*chain[5], 9, Event(1)).ok());
}

class Sleeper final : public Waiter {
 public:
  Sleeper() : Waiter(abi::kPOLLIN, true) {}
  bool OnWake(EventMask) override {
    ++count;
    return true;
  }
  int count = 0;
};

TEST(Epoll, OneWakeWakesOneSleeper) {
  Ref<Epoll> e = Epoll::Create();
  Ref<FakeFile> f = MakeRef<FakeFile>();
  Sleeper a, b;
  e->sleepers().Add(a);
  e->sleepers().Add(b);
  ASSERT_TRUE(e->Add(*f, 3, Event(abi::kEPOLLIN)).ok());
  f->Become(abi::kPOLLIN);
  EXPECT_EQ(a.count + b.count, 1);
  e->sleepers().Remove(a);
  e->sleepers().Remove(b);
}

TEST(Epoll, ExclusiveWatchersShareAWake) {
  Ref<FakeFile> f = MakeRef<FakeFile>();
  Ref<Epoll> e[2] = {Epoll::Create(), Epoll::Create()};
  Sleeper s[2];
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(e[i]->Add(*f, 3, Event(abi::kEPOLLIN | abi::kEPOLLEXCLUSIVE)).ok());
    e[i]->sleepers().Add(s[i]);
  }
  f->Become(abi::kPOLLIN);
  EXPECT_EQ(s[0].count + s[1].count, 1);
  for (int i = 0; i < 2; ++i) e[i]->sleepers().Remove(s[i]);
}

TEST(Epoll, FilesAndEpollsMayGoWhileOthersWakeAndCollect) {
  constexpr int kRounds = 2000;
  Ref<Epoll> e = Epoll::Create();
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop) (void)Collect(*e);
  });
  for (int i = 0; i < kRounds; ++i) {
    Ref<FakeFile> f = MakeRef<FakeFile>();
    Ref<Epoll> other = Epoll::Create();
    ASSERT_TRUE(e->Add(*f, 3, Event(abi::kEPOLLIN)).ok());
    ASSERT_TRUE(other->Add(*f, 3, Event(abi::kEPOLLIN)).ok());
    std::thread waker([f] { f->Become(abi::kPOLLIN); });
    other = nullptr;
    f = nullptr;
    waker.join();
  }
  stop = true;
  collector.join();
  EXPECT_EQ(e->item_count(), 0u);
}

}  // namespace
}  // namespace moat
