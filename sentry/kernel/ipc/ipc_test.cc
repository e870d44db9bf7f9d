// The rules of System V IPC, without tasks.
#include <gtest/gtest.h>

#include "abi/capability.h"
#include "sentry/kernel/ipc/message_queue.h"
#include "sentry/kernel/ipc/semaphore.h"
#include "sentry/kernel/ipc/shared_memory.h"

namespace moat {
namespace {

constexpr int kMode = abi::kIPC_CREAT | 0600;

Ref<Credentials> User(uint32_t id) {
  Ref<Credentials> c = MakeRef<Credentials>();
  c->uid = c->euid = c->suid = c->fsuid = id;
  c->gid = c->egid = c->sgid = c->fsgid = id;
  return c;
}

abi::Sembuf Op(uint16_t index, int16_t change, int flags = 0) { return {index, change, static_cast<int16_t>(flags)}; }

class SemaphoreTest : public testing::Test {
 protected:
  Errno Do(std::vector<abi::Sembuf> ops, Ref<SemUndoList> undo = nullptr) {
    SemOperation op(std::move(ops), 11, std::move(undo));
    Ref<SemaphoreSet> queued;
    Errno error = sets_.Begin(*me_, id_, op, &queued).error();
    if (queued) EXPECT_TRUE(SemaphoreSets::Cancel(*queued, op));
    return error;
  }
  int Value(int index = 0) { return *sets_.GetOne(*me_, id_, index, abi::kGETVAL); }
  void Set(int value, int index = 0) { EXPECT_TRUE(sets_.SetOne(*me_, id_, index, value, 1).ok()); }

  Ref<Credentials> me_ = User(5);
  SemaphoreSets sets_;
  int id_ = *sets_.Get(*me_, abi::kIPC_PRIVATE, 3, kMode);
};

// A queued operation, as a sleeping semop has it.
struct Sleeper {
  Sleeper(SemaphoreSets& sets, const Credentials& creds, int id, std::vector<abi::Sembuf> ops) : op(std::move(ops), 12, nullptr) {
    EXPECT_EQ(sets.Begin(creds, id, op, &set).error(), kEAGAIN);
    EXPECT_TRUE(set);
  }
  ~Sleeper() {
    if (set) SemaphoreSets::Cancel(*set, op);
  }
  bool done() { return SemaphoreSets::Finished(*set, op, &result); }
  SemOperation op;
  Ref<SemaphoreSet> set;
  Errno result{0};
};

TEST_F(SemaphoreTest, NothingOfACallHappensUnlessAllOfItCan) {
  Set(3);
  EXPECT_EQ(Do({Op(0, -2), Op(1, 1), Op(2, -1, abi::kIPC_NOWAIT)}), kEAGAIN);
  EXPECT_EQ(Value(0), 3);
  EXPECT_EQ(Value(1), 0);
  EXPECT_EQ(Do({Op(0, -2), Op(1, 1), Op(1, -1), Op(2, 0)}), Errno{0});
  EXPECT_EQ(Value(0), 1);
  EXPECT_EQ(*sets_.GetOne(*me_, id_, 1, abi::kGETPID), 11);
}

TEST_F(SemaphoreTest, RangesAreChecked) {
  EXPECT_EQ(Do({Op(3, 1)}), kEFBIG);
  Set(abi::kSEMVMX);
  EXPECT_EQ(Do({Op(0, 1)}), kERANGE);
  EXPECT_EQ(sets_.SetOne(*me_, id_, 0, abi::kSEMVMX + 1, 1).error(), kERANGE);
  EXPECT_EQ(sets_.SetOne(*me_, id_, 3, 1, 1).error(), kEINVAL);
}

TEST_F(SemaphoreTest, SleepersGoInTheOrderTheyCameIfTheyFit) {
  Sleeper big(sets_, *me_, id_, {Op(0, -3)}), first(sets_, *me_, id_, {Op(0, -1)}), second(sets_, *me_, id_, {Op(0, -1)});
  EXPECT_EQ(*sets_.GetOne(*me_, id_, 0, abi::kGETNCNT), 3);
  EXPECT_EQ(Do({Op(0, 1)}), Errno{0});
  EXPECT_TRUE(first.done());
  EXPECT_FALSE(second.done());
  EXPECT_FALSE(big.done());
  EXPECT_EQ(Value(), 0) << "taken on the sleeper's behalf";
  Set(4);
  EXPECT_TRUE(big.done());
  EXPECT_TRUE(second.done());
  EXPECT_EQ(Value(), 0);
}

TEST_F(SemaphoreTest, OneSleeperCanFreeAnEarlierOne) {
  Sleeper taker(sets_, *me_, id_, {Op(1, -1)}), giver(sets_, *me_, id_, {Op(0, -1), Op(1, 1)});
  EXPECT_EQ(Do({Op(0, 1)}), Errno{0});
  EXPECT_TRUE(giver.done());
  EXPECT_TRUE(taker.done());
  EXPECT_EQ(Value(1), 0);
}

TEST_F(SemaphoreTest, WaitersForZeroAreCountedApart) {
  Set(1);
  Sleeper zero(sets_, *me_, id_, {Op(0, 0)});
  EXPECT_EQ(*sets_.GetOne(*me_, id_, 0, abi::kGETZCNT), 1);
  EXPECT_EQ(*sets_.GetOne(*me_, id_, 0, abi::kGETNCNT), 0);
  EXPECT_EQ(Do({Op(0, -1)}), Errno{0});
  EXPECT_TRUE(zero.done());
}

TEST_F(SemaphoreTest, ASleeperThatMayNotWaitFailsWhenItsTurnComes) {
  // Blocked by its first operation, which may wait; when that fits, the second may not.
  Sleeper both(sets_, *me_, id_, {Op(0, -1), Op(1, -1, abi::kIPC_NOWAIT)});
  EXPECT_EQ(Do({Op(0, 1)}), Errno{0});
  EXPECT_TRUE(both.done());
  EXPECT_EQ(both.result, kEAGAIN);
  EXPECT_EQ(Value(), 1);
}

TEST_F(SemaphoreTest, RemovalEndsSleepers) {
  Sleeper sleeper(sets_, *me_, id_, {Op(0, -1)});
  EXPECT_EQ(sets_.Remove(*User(6), id_).error(), kEPERM);
  EXPECT_TRUE(sets_.Remove(*me_, id_).ok());
  EXPECT_TRUE(sleeper.done());
  EXPECT_EQ(sleeper.result, kEIDRM);
  EXPECT_EQ(Do({Op(0, 1)}), kEINVAL);
}

TEST_F(SemaphoreTest, UndoHappensWithTheLastReferenceAndStaysInRange) {
  Set(5);
  Ref<SemUndoList> list = MakeRef<SemUndoList>(sets_, 77);
  EXPECT_EQ(Do({Op(0, -3, abi::kSEM_UNDO), Op(1, 2, abi::kSEM_UNDO)}, list), Errno{0});
  EXPECT_EQ(Do({Op(1, -1)}), Errno{0});
  Ref<SemUndoList> shared = list;
  list = nullptr;
  EXPECT_EQ(Value(0), 2);
  shared = nullptr;
  EXPECT_EQ(Value(0), 5);
  EXPECT_EQ(Value(1), 0) << "1 - 2 is not below 0";
  EXPECT_EQ(*sets_.GetOne(*me_, id_, 0, abi::kGETPID), 77);
}

TEST_F(SemaphoreTest, UndoWakesAndSetvalForgetsIt) {
  Ref<SemUndoList> list = MakeRef<SemUndoList>(sets_, 77);
  Set(1);
  EXPECT_EQ(Do({Op(0, -1, abi::kSEM_UNDO), Op(1, 1, abi::kSEM_UNDO)}, list), Errno{0});
  Set(9, 1);
  Sleeper sleeper(sets_, *me_, id_, {Op(0, -1)});
  list = nullptr;
  EXPECT_TRUE(sleeper.done());
  EXPECT_EQ(Value(1), 9);
}

TEST_F(SemaphoreTest, AdjustmentsHaveARange) {
  Ref<SemUndoList> list = MakeRef<SemUndoList>(sets_, 77);
  EXPECT_EQ(Do({Op(0, abi::kSEMVMX, abi::kSEM_UNDO)}, list), Errno{0});
  EXPECT_EQ(Do({Op(0, -1)}), Errno{0});
  EXPECT_EQ(Do({Op(0, 1, abi::kSEM_UNDO)}, list), Errno{0}) << "-32768 is the last one";
  EXPECT_EQ(Do({Op(0, -1)}), Errno{0});
  EXPECT_EQ(Do({Op(0, 1, abi::kSEM_UNDO)}, list), kERANGE);
  EXPECT_EQ(Value(), abi::kSEMVMX - 1) << "and nothing happened";
}

TEST_F(SemaphoreTest, AStaleIdentifierIsNobodysElse) {
  EXPECT_TRUE(sets_.Remove(*me_, id_).ok());
  for (int i = 0; i < 100; ++i) {
    int id = *sets_.Get(*me_, abi::kIPC_PRIVATE, 1, kMode);
    EXPECT_NE(id, id_);
    EXPECT_TRUE(sets_.Remove(*me_, id).ok());
  }
}

TEST_F(SemaphoreTest, KeysAndPermissions) {
  int id = *sets_.Get(*me_, 99, 2, kMode);
  EXPECT_EQ(*sets_.Get(*me_, 99, 1, 0600), id);
  EXPECT_EQ(sets_.Get(*me_, 99, 3, 0600).error(), kEINVAL);
  EXPECT_EQ(sets_.Get(*me_, 99, 2, kMode | abi::kIPC_EXCL).error(), kEEXIST);
  EXPECT_EQ(sets_.Get(*User(6), 99, 2, 0600).error(), kEACCES);
  EXPECT_EQ(*sets_.Get(*User(6), 99, 2, 0), id);
  EXPECT_EQ(sets_.GetOne(*User(6), id, 0, abi::kGETVAL).error(), kEACCES);
  Ref<Credentials> owner = User(6);
  owner->effective = 1ull << abi::kCAP_IPC_OWNER;
  EXPECT_EQ(*sets_.GetOne(*owner, id, 0, abi::kGETVAL), 0);
}

class QueueTest : public testing::Test {
 protected:
  Errno Send(int64_t type, std::string text) {
    SysvMessage m{type, std::move(text)};
    return queue_->TrySend(*me_, m, 1).error();
  }
  std::string Receive(int64_t type, int flags = 0, uint64_t size = 100) {
    ErrorOr<SysvMessage> m = queue_->TryReceive(*me_, size, type, flags, 2);
    return m.ok() ? m->text : ErrnoName(m.error());
  }
  Ref<Credentials> me_ = User(5);
  MessageQueues queues_;
  int id_ = *queues_.Get(*me_, abi::kIPC_PRIVATE, kMode);
  Ref<SysvQueue> queue_ = *queues_.Find(id_);
};

TEST_F(QueueTest, TypesChooseTheMessage) {
  for (auto [type, text] : {std::pair{3, "c"}, {1, "a"}, {2, "b"}, {1, "a2"}, {3, "c2"}}) EXPECT_EQ(Send(type, text), Errno{0});
  EXPECT_EQ(Receive(2), "b");
  EXPECT_EQ(Receive(-2), "a");
  EXPECT_EQ(Receive(3, abi::kMSG_EXCEPT), "a2");
  EXPECT_EQ(Receive(0), "c");
  EXPECT_EQ(Receive(-2), "EAGAIN");
  EXPECT_EQ(Receive(INT64_MIN), "c2");
}

TEST_F(QueueTest, SizeIsCheckedOrCut) {
  Send(1, "0123456789");
  EXPECT_EQ(Receive(0, abi::kMSG_COPY, 4), "E2BIG");
  EXPECT_EQ(Receive(0, abi::kMSG_COPY | abi::kMSG_NOERROR, 4), "0123");
  EXPECT_EQ(Receive(1, abi::kMSG_COPY), "ENOMSG");
  EXPECT_EQ(Receive(0, 0, 4), "E2BIG");
  EXPECT_EQ(Receive(0, abi::kMSG_NOERROR, 4), "0123");
  EXPECT_EQ(Receive(0), "EAGAIN") << "the rest is lost";
}

TEST_F(QueueTest, AFullQueueTakesNoMore) {
  EXPECT_EQ(Send(1, std::string(8192, 'x')), Errno{0});
  EXPECT_EQ(Send(1, std::string(8192, 'x')), Errno{0});
  EXPECT_EQ(Send(1, "y"), kEAGAIN);
  EXPECT_EQ(Send(1, ""), Errno{0}) << "an empty one needs no room";
  EXPECT_EQ(queues_.Stat(*me_, id_)->msg_cbytes, 16384u);
  abi::Msqid64Ds ds = *queues_.Stat(*me_, id_);
  ds.msg_qbytes = 16385;
  EXPECT_EQ(queues_.Set(*me_, id_, ds).error(), kEPERM);
  EXPECT_TRUE(queues_.Remove(*me_, id_).ok());
  EXPECT_EQ(Send(1, ""), kEIDRM);
  EXPECT_EQ(Receive(0), "EIDRM");
}

TEST(SharedSegmentsTest, ARemovedSegmentLivesUntilTheLastAttachmentIsGone) {
  Ref<Credentials> me = User(5);
  SharedSegments segments;
  int id = *segments.Get(*me, 42, 100, kMode, 1);
  EXPECT_EQ(segments.Get(*me, 42, 5000, 0, 1).error(), kEINVAL);
  {
    Ref<ShmAttachment> a = *segments.Attach(*me, id, 0600, 2);
    a->OnMapped(1);
    a->OnMapped(1);
    EXPECT_EQ(segments.Stat(*me, id)->shm_nattch, 2u);
    EXPECT_TRUE(segments.Remove(*me, id).ok());
    EXPECT_EQ(segments.Get(*me, 42, 100, 0, 1).error(), kENOENT);
    EXPECT_NE(segments.Stat(*me, id)->shm_perm.mode & static_cast<uint32_t>(abi::kSHM_DEST), 0u);
    a->OnMapped(-2);
    EXPECT_TRUE(segments.Stat(*me, id).ok());
  }
  EXPECT_EQ(segments.Stat(*me, id).error(), kEINVAL);
  EXPECT_EQ(segments.Info().used_ids, 0);
}

TEST(SharedSegmentsTest, FormatsLikeProc) {
  Ref<Credentials> me = User(5);
  SharedSegments segments;
  int id = *segments.Get(*me, 42, 100, kMode, 1);
  std::string text = segments.Format();
  EXPECT_EQ(text.substr(0, 28), "        42 " + std::string(10 - std::to_string(id).size(), ' ') + std::to_string(id) + "   600 ");
  EXPECT_EQ(text.back(), '\n');
}

}  // namespace
}  // namespace moat
