// System V message queues: msgget, msgsnd, msgrcv, msgctl.
#include <sys/ipc.h>
#include <sys/msg.h>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
#ifndef MSG_EXCEPT
#define MSG_EXCEPT 020000
#endif

namespace moat::test {
namespace {

struct Message {
  long type;
  char text[64];
};

class Queue {
 public:
  explicit Queue(int flags = IPC_CREAT | 0600, key_t key = IPC_PRIVATE) : id_(msgget(key, flags)) {
    EXPECT_THAT(id_, SyscallSucceeds());
  }
  ~Queue() { Remove(); }
  int id() const { return id_; }
  int Remove() { return msgctl(id_, IPC_RMID, nullptr); }
  int Send(long type, const std::string& text, int flags = IPC_NOWAIT) const {
    Message message = {type, {}};
    memcpy(message.text, text.data(), text.size());
    return msgsnd(id_, &message, text.size(), flags);
  }
  // The text received, or "errno N".
  std::string Receive(long type, int flags = IPC_NOWAIT, size_t size = 64) const {
    Message message = {};
    const ssize_t got = msgrcv(id_, &message, size, type, flags);
    last_type_ = message.type;
    return got < 0 ? "errno " + std::to_string(errno) : std::string(message.text, got);
  }
  long last_type() const { return last_type_; }
  msqid_ds Stat() const {
    msqid_ds ds = {};
    EXPECT_THAT(msgctl(id_, IPC_STAT, &ds), SyscallSucceeds());
    return ds;
  }

 private:
  int id_;
  mutable long last_type_ = 0;
};

std::string Errno(int error) { return "errno " + std::to_string(error); }
key_t UnusedKey() { return 0x4d510000 ^ getpid(); }

TEST(MsgTest, MessagesComeOutInOrder) {
  Queue queue;
  EXPECT_THAT(queue.Send(3, "one"), SyscallSucceeds());
  EXPECT_THAT(queue.Send(1, "two"), SyscallSucceeds());
  EXPECT_EQ(queue.Receive(0), "one");
  EXPECT_EQ(queue.last_type(), 3);
  EXPECT_EQ(queue.Receive(0), "two");
  EXPECT_EQ(queue.Receive(0), Errno(ENOMSG));
}

TEST(MsgTest, PositiveTypeSelectsTheFirstOfThatType) {
  Queue queue;
  queue.Send(1, "a");
  queue.Send(2, "b");
  queue.Send(2, "c");
  EXPECT_EQ(queue.Receive(2), "b");
  EXPECT_EQ(queue.Receive(2), "c");
  EXPECT_EQ(queue.Receive(2), Errno(ENOMSG));
  EXPECT_EQ(queue.Receive(1), "a");
}

TEST(MsgTest, NegativeTypeSelectsTheLowestTypeUpToIt) {
  Queue queue;
  queue.Send(5, "five");
  queue.Send(3, "three");
  queue.Send(4, "four");
  EXPECT_EQ(queue.Receive(-4), "three");
  EXPECT_EQ(queue.Receive(-4), "four");
  EXPECT_EQ(queue.Receive(-4), Errno(ENOMSG));
}

TEST(MsgTest, ExceptSelectsOtherTypes) {
  Queue queue;
  queue.Send(1, "a");
  queue.Send(2, "b");
  EXPECT_EQ(queue.Receive(1, IPC_NOWAIT | MSG_EXCEPT), "b");
}

TEST(MsgTest, TooLongMessageIsE2bigOrCut) {
  Queue queue;
  queue.Send(1, "0123456789");
  EXPECT_EQ(queue.Receive(0, IPC_NOWAIT, 4), Errno(E2BIG));
  EXPECT_EQ(queue.Receive(0, IPC_NOWAIT | MSG_NOERROR, 4), "0123");
  EXPECT_EQ(queue.Receive(0), Errno(ENOMSG));
}

TEST(MsgTest, EmptyMessageIsAllowed) {
  Queue queue;
  EXPECT_THAT(queue.Send(9, ""), SyscallSucceeds());
  EXPECT_EQ(queue.Receive(0), "");
  EXPECT_EQ(queue.last_type(), 9);
}

TEST(MsgTest, SendErrors) {
  Queue queue;
  EXPECT_THAT(queue.Send(0, "x"), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(queue.Send(-1, "x"), SyscallFailsWithErrno(EINVAL));
  Message message = {1, {}};
  EXPECT_THAT(msgsnd(queue.id(), &message, 1 << 20, IPC_NOWAIT), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msgsnd(-1, &message, 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msgsnd(queue.id(), BadPointer(), 1, 0), SyscallFailsWithErrno(EFAULT));
}

TEST(MsgTest, FullQueueIsEagainAndBlocksOtherwise) {
  Queue queue;
  msqid_ds ds = queue.Stat();
  ds.msg_qbytes = 20;
  ASSERT_THAT(msgctl(queue.id(), IPC_SET, &ds), SyscallSucceeds());
  EXPECT_THAT(queue.Send(1, "0123456789012345"), SyscallSucceeds());
  EXPECT_THAT(queue.Send(1, "01234567"), SyscallFailsWithErrno(EAGAIN));
  ScopedChild sender([&]() -> int { return queue.Send(2, "01234567", 0); });
  WaitUntilAsleep(sender.pid());
  EXPECT_EQ(queue.Receive(1), "0123456789012345");
  EXPECT_THAT(sender.Wait(), ExitedWith(0));
  EXPECT_EQ(queue.Receive(2), "01234567");
}

TEST(MsgTest, ReceiverBlocksUntilItsTypeArrives) {
  Queue queue;
  ScopedChild receiver([&]() -> int { return queue.Receive(7, 0) == "seven" ? 0 : 1; });
  WaitUntilAsleep(receiver.pid());
  queue.Send(1, "other");
  queue.Send(7, "seven");
  EXPECT_THAT(receiver.Wait(), ExitedWith(0));
  EXPECT_EQ(queue.Receive(0), "other");
}

TEST(MsgTest, RemovalWakesWithEidrm) {
  Queue queue;
  ScopedChild receiver([&]() -> int { return queue.Receive(0, 0) == Errno(EIDRM) ? 0 : 1; });
  WaitUntilAsleep(receiver.pid());
  SleepMs(20);
  EXPECT_THAT(queue.Remove(), SyscallSucceeds());
  EXPECT_THAT(receiver.Wait(), ExitedWith(0));
  EXPECT_THAT(queue.Send(1, "x"), SyscallFailsWithErrno(EINVAL));
}

TEST(MsgTest, HandlerInterruptsEvenUnderRestart) {
  Queue queue;
  SignalCounter counter(SIGUSR1, SA_RESTART);
  Nudger nudger(SIGUSR1);
  EXPECT_EQ(queue.Receive(0, 0), Errno(EINTR));
}

TEST(MsgTest, KeysFindTheSameQueue) {
  EXPECT_THAT(msgget(UnusedKey(), 0), SyscallFailsWithErrno(ENOENT));
  Queue queue(IPC_CREAT | IPC_EXCL | 0600, UnusedKey());
  EXPECT_THAT(msgget(UnusedKey(), 0), SyscallSucceedsWithValue(queue.id()));
  EXPECT_THAT(msgget(UnusedKey(), IPC_CREAT | IPC_EXCL), SyscallFailsWithErrno(EEXIST));
}

TEST(MsgTest, StatCountsMessagesAndBytes) {
  Queue queue;
  queue.Send(1, "12345");
  queue.Send(1, "678");
  msqid_ds ds = queue.Stat();
  EXPECT_EQ(ds.msg_qnum, 2u);
  EXPECT_EQ(ds.__msg_cbytes, 8u);
  EXPECT_EQ(ds.msg_lspid, getpid());
  EXPECT_EQ(ds.msg_lrpid, 0);
  EXPECT_NE(ds.msg_stime, 0);
  EXPECT_EQ(queue.Receive(0), "12345");
  ds = queue.Stat();
  EXPECT_EQ(ds.msg_qnum, 1u);
  EXPECT_EQ(ds.msg_lrpid, getpid());
}

TEST(MsgTest, ModeIsCheckedForOthers) {
  SKIP_IF_NOT_ROOT();
  Queue hidden(IPC_CREAT | 0600), write_only(IPC_CREAT | 0602);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(hidden.Send(1, "x"), SyscallFailsWithErrno(EACCES));
                EXPECT_EQ(hidden.Receive(0), Errno(EACCES));
                EXPECT_THAT(hidden.Remove(), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(write_only.Send(1, "x"), SyscallSucceeds());
                EXPECT_EQ(write_only.Receive(0), Errno(EACCES));
              }),
              ExitedWith(0));
}

TEST(MsgTest, ControlErrors) {
  Queue queue;
  EXPECT_THAT(msgctl(queue.id(), 9999, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msgctl(queue.id(), IPC_STAT, BadPointer<msqid_ds>()), SyscallFailsWithErrno(EFAULT));
  msqid_ds ds;
  EXPECT_THAT(msgctl(-1, IPC_STAT, &ds), SyscallFailsWithErrno(EINVAL));
}

TEST(MsgTest, BadReceiveBufferIsEfault) {
  Queue queue;
  queue.Send(1, "lost");
  EXPECT_THAT(msgrcv(queue.id(), BadPointer(), 10, 0, IPC_NOWAIT), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(msgrcv(queue.id(), BadPointer(), static_cast<size_t>(-1), 0, IPC_NOWAIT),
              SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace moat::test
