#include "fs/mqueue/mqueue.h"

#include <gtest/gtest.h>

#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/poll.h"

namespace moat {
namespace {

constexpr uint64_t kLimit = 819200;  // RLIMIT_MSGQUEUE's default

class MqueueTest : public testing::Test {
 protected:
  static Ref<Credentials> User(uint32_t id) {
    Ref<Credentials> c = MakeRef<Credentials>();
    c->uid = c->euid = c->suid = c->fsuid = id;
    c->gid = c->egid = c->sgid = c->fsgid = id;
    return c;
  }
  Ref<MqueueFile> Make(std::string_view name, int64_t messages = 2, int64_t size = 8, uint32_t flags = 0) {
    abi::MqAttr attr{.mq_maxmsg = messages, .mq_msgsize = size};
    auto file = fs_.Open(*me_, name, abi::kO_RDWR | abi::kO_CREAT | flags, 0600, &attr, kLimit);
    EXPECT_TRUE(file.ok());
    return file.ok() ? *file : Ref<MqueueFile>();
  }
  static Errno Send(Mqueue& q, std::string text, uint32_t priority = 0) { return q.TrySend(text, priority, 7, 42).error(); }

  MqueueFs fs_;
  Ref<Credentials> me_ = User(5);
};

TEST_F(MqueueTest, TheHighestPriorityComesFirstAndTheOldestOfIt) {
  Ref<MqueueFile> file = Make("q", 4);
  Mqueue& q = file->queue();
  for (auto [text, priority] : {std::pair{"a", 1u}, {"b", 9u}, {"c", 9u}, {"d", 0u}}) EXPECT_EQ(Send(q, text, priority), Errno{0});
  std::string order;
  uint32_t priority = 0;
  for (int i = 0; i < 4; ++i) order += *q.TryReceive(8, &priority);
  EXPECT_EQ(order, "bcad");
  EXPECT_EQ(priority, 0u);
  EXPECT_EQ(q.TryReceive(8, &priority).error(), kEAGAIN);
}

TEST_F(MqueueTest, AFullQueueAndSizesAreChecked) {
  Ref<MqueueFile> file = Make("q");
  Mqueue& q = file->queue();
  EXPECT_EQ(Send(q, "123456789"), kEMSGSIZE);
  EXPECT_EQ(Send(q, "1"), Errno{0});
  EXPECT_EQ(q.Readiness() & (abi::kPOLLIN | abi::kPOLLOUT), abi::kPOLLIN | abi::kPOLLOUT);
  EXPECT_EQ(Send(q, "2"), Errno{0});
  EXPECT_EQ(Send(q, "3"), kEAGAIN);
  EXPECT_EQ(q.Readiness() & (abi::kPOLLIN | abi::kPOLLOUT), abi::kPOLLIN);
  uint32_t priority;
  EXPECT_EQ(q.TryReceive(7, &priority).error(), kEMSGSIZE);
}

TEST_F(MqueueTest, NotificationIsOnceAndOnlyForAnEmptyQueueWithoutReceivers) {
  Ref<MqueueFile> file = Make("q", 4);
  Mqueue& q = file->queue();
  int told = 0, sender = 0;
  auto registration = [&] { return MqNotification{.pid = 3, .notify = [&](int pid, uint32_t) { ++told, sender = pid; }}; };
  EXPECT_EQ(q.Register(registration()).error(), Errno{0});
  EXPECT_EQ(q.Register(registration()).error(), kEBUSY);
  q.CountReceiver(1);
  Send(q, "x");
  EXPECT_EQ(told, 0);
  q.CountReceiver(-1);
  Send(q, "y");
  EXPECT_EQ(told, 0) << "it was not empty";
  uint32_t priority;
  (void)q.TryReceive(8, &priority);
  (void)q.TryReceive(8, &priority);
  Send(q, "z");
  EXPECT_EQ(told, 1);
  EXPECT_EQ(sender, 7);
  (void)q.TryReceive(8, &priority);
  Send(q, "again");
  EXPECT_EQ(told, 1);
}

TEST_F(MqueueTest, CloseOfTheOwnersDescriptorEndsTheRegistration) {
  Ref<MqueueFile> file = Make("q");
  int mine, other;
  EXPECT_TRUE(file->queue().Register({.pid = 3, .owner = &mine}).ok());
  EXPECT_TRUE(file->Flush(&other).ok());
  EXPECT_EQ(file->queue().Register({.pid = 4, .owner = &other}).error(), kEBUSY);
  EXPECT_TRUE(file->Flush(&mine).ok());
  EXPECT_TRUE(file->queue().Register({.pid = 4, .owner = &other}).ok());
}

TEST_F(MqueueTest, NamesAndModesAreChecked) {
  Ref<MqueueFile> file = Make("q");
  EXPECT_EQ(fs_.Open(*me_, "q", abi::kO_CREAT | abi::kO_EXCL, 0600, nullptr, kLimit).error(), kEEXIST);
  EXPECT_EQ(fs_.Open(*me_, "a/b", 0, 0, nullptr, kLimit).error(), kEACCES);
  EXPECT_EQ(fs_.Open(*me_, "none", 0, 0, nullptr, kLimit).error(), kENOENT);
  EXPECT_EQ(fs_.Open(*me_, std::string(256, 'x'), 0, 0, nullptr, kLimit).error(), kENAMETOOLONG);
  Ref<Credentials> stranger = User(6);
  EXPECT_EQ(fs_.Open(*stranger, "q", abi::kO_RDONLY, 0, nullptr, kLimit).error(), kEACCES);
  EXPECT_EQ(fs_.Unlink(*stranger, "q").error(), kEPERM);
  EXPECT_TRUE(fs_.Unlink(*me_, "q").ok());
  EXPECT_EQ(Send(file->queue(), "x"), Errno{0}) << "open files keep it";
}

TEST_F(MqueueTest, TheLimitOfTheUserCountsUnlinkedQueuesUntilTheyAreClosed) {
  abi::MqAttr attr{.mq_maxmsg = 10, .mq_msgsize = 8192};
  constexpr uint64_t kOne = 10 * (96 + 8192);
  auto open = [&](std::string_view name) { return fs_.Open(*me_, name, abi::kO_CREAT | abi::kO_RDWR, 0600, &attr, kOne); };
  {
    ErrorOr<Ref<MqueueFile>> first = open("a");
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(open("b").error(), kEMFILE);
    EXPECT_TRUE(fs_.Unlink(*me_, "a").ok());
    EXPECT_EQ(open("b").error(), kEMFILE);
  }
  EXPECT_TRUE(open("b").ok());
  attr.mq_maxmsg = 11;
  EXPECT_EQ(fs_.Open(*me_, "c", abi::kO_CREAT, 0600, &attr, kLimit).error(), kEINVAL) << "needs CAP_SYS_RESOURCE";
}

}  // namespace
}  // namespace moat
