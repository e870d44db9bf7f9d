#include "fs/vfs/file_async.h"

#include <gtest/gtest.h>

#include <string>

#include "abi/poll.h"
#include "abi/signal.h"

namespace moat {
namespace {

// Writes down what it was sent: "signo:code:fd " or "urgent ".
class Recorder final : public FileOwner {
 public:
  void Signal(int signo, int code, int fd) override {
    text += std::to_string(signo) + ":" + std::to_string(code) + ":" + std::to_string(fd) + " ";
  }
  void SignalUrgent() override { text += "urgent "; }
  std::string Take() { return std::exchange(text, {}); }
  std::string text;
};

constexpr EventMask kIn = abi::kPOLLIN | abi::kPOLLRDNORM, kOut = abi::kPOLLOUT | abi::kPOLLWRNORM;

TEST(FileAsyncTest, SaysNothingUntilItHasAnOwnerAndIsOn) {
  WaitQueue queue;
  FileAsync async(AsyncKind::kPlain, true, true, &queue);
  Ref<Recorder> owner = MakeRef<Recorder>();
  queue.Wake(kIn);
  async.Enable(3);
  queue.Wake(kIn);
  async.SetOwner(owner);
  queue.Wake(kIn);
  EXPECT_EQ(owner->Take(), "0:1:3 ");
  async.SetSignal(40);
  async.Enable(5);
  queue.Wake(kIn | abi::kPOLLHUP);
  EXPECT_EQ(owner->Take(), "40:1:5 ");
  async.Disable();
  queue.Wake(kIn);
  EXPECT_EQ(owner->Take(), "");
}

TEST(FileAsyncTest, RoomIsNewsOnlyAfterItWasMissed) {
  WaitQueue queue;
  FileAsync async(AsyncKind::kPlain, true, true, &queue);
  Ref<Recorder> owner = MakeRef<Recorder>();
  async.SetOwner(owner);
  async.Enable(3);
  queue.Wake(kOut);
  EXPECT_EQ(owner->Take(), "");
  async.MissedRoom();
  queue.Wake(kOut);
  queue.Wake(kOut);
  EXPECT_EQ(owner->Take(), "0:2:3 ");
}

TEST(FileAsyncTest, EndsOfPipesHearOfTheirOwnSideOnly) {
  WaitQueue queue;
  FileAsync reader(AsyncKind::kPipe, true, false, &queue), writer(AsyncKind::kPipe, false, true, &queue);
  Ref<Recorder> in = MakeRef<Recorder>(), out = MakeRef<Recorder>();
  reader.SetOwner(in);
  writer.SetOwner(out);
  reader.Enable(3);
  writer.Enable(4);
  queue.Wake(kIn);
  queue.Wake(kOut | abi::kPOLLERR);
  queue.Wake(kAsyncOut);
  EXPECT_EQ(in->Take(), "0:1:3 ");
  EXPECT_EQ(out->Take(), "0:2:4 0:2:4 ");
}

TEST(FileAsyncTest, BitsSayWhatEventsDoNot) {
  WaitQueue queue;
  FileAsync async(AsyncKind::kSocket, true, true, &queue);
  Ref<Recorder> owner = MakeRef<Recorder>();
  async.SetOwner(owner);
  constexpr EventMask kAll = kIn | kOut | abi::kPOLLPRI | abi::kPOLLERR | abi::kPOLLHUP;
  queue.Wake(kIn | abi::kPOLLPRI);
  EXPECT_EQ(owner->Take(), "urgent ");
  async.Enable(3);
  queue.Wake(kAll | kAsyncNothing);
  EXPECT_EQ(owner->Take(), "");
  queue.Wake(kAll | kAsyncError);
  queue.Wake(kAll | kAsyncHangup);
  queue.Wake(kAll | kAsyncOut);
  EXPECT_EQ(owner->Take(), "0:4:3 0:6:3 0:2:3 ");
  async.SetSignal(40);
  queue.Wake(kIn | abi::kPOLLPRI);
  EXPECT_EQ(owner->Take(), "urgent 40:5:3 40:1:3 ");
}

TEST(FileAsyncTest, LeavesTheQueueWithTheFile) {
  WaitQueue queue;
  {
    FileAsync async(AsyncKind::kPlain, true, true, &queue);
    EXPECT_FALSE(queue.empty());
  }
  EXPECT_TRUE(queue.empty());
  FileAsync none(AsyncKind::kNone, true, true, &queue);
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace moat
