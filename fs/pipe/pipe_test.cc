#include "fs/pipe/pipe_file.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <string>

#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/poll.h"
#include "base/kern/fake_user_memory.h"
#include "fs/vfs/test_tree.h"

namespace moat {
namespace {

constexpr EventMask kIn = abi::kPOLLIN | abi::kPOLLRDNORM;
constexpr EventMask kOut = abi::kPOLLOUT | abi::kPOLLWRNORM;

ErrorOr<size_t> Write(FileDescription& file, std::string_view text) {
  BufferSource source(std::as_bytes(std::span(text)));
  return file.TryWrite(source, nullptr, {});
}
ErrorOr<std::string> Read(FileDescription& file, size_t n) {
  std::string text(n, '\0');
  BufferSink sink(std::as_writable_bytes(std::span(text)));
  text.resize(TRY(file.TryRead(sink, nullptr, {})));
  return text;
}

class CountingWaiter final : public Waiter {
 public:
  explicit CountingWaiter(EventMask mask) : Waiter(mask) {}
  bool OnWake(EventMask events) override {
    ++count;
    last = events;
    return true;
  }
  int count = 0;
  EventMask last = 0;
};

TEST(Pipe, BytesComeOutInOrder) {
  PipeEnds p = MakePipe(0, 0, 0);
  EXPECT_EQ(Read(*p.read, 10).error(), kEAGAIN);
  EXPECT_EQ(*Write(*p.write, "hello "), 6u);
  EXPECT_EQ(*Write(*p.write, "world"), 5u);
  EXPECT_EQ(*Read(*p.read, 3), "hel");
  EXPECT_EQ(*Read(*p.read, 100), "lo world");
}

TEST(Pipe, HoldsItsCapacityThenIsFull) {
  PipeEnds p = MakePipe(0, 0, 0);
  EXPECT_EQ(*Write(*p.write, std::string(100000, 'x')), 65536u);
  EXPECT_EQ(Write(*p.write, "y").error(), kEAGAIN);
  EXPECT_EQ(p.write->Readiness(), 0u);
  EXPECT_EQ(Read(*p.read, 1)->size(), 1u);
  EXPECT_EQ(Write(*p.write, "y").error(), kEAGAIN) << "no slot is free yet";
  EXPECT_EQ(Read(*p.read, 4095)->size(), 4095u);
  EXPECT_EQ(p.write->Readiness(), kOut);
  EXPECT_EQ(*Write(*p.write, "y"), 1u);
}

TEST(Pipe, SmallWritesAreAllOrNothing) {
  PipeEnds p = MakePipe(0, 0, 0);
  ASSERT_EQ(*Write(*p.write, std::string(65536 - 100, 'x')), 65536u - 100);
  EXPECT_EQ(Write(*p.write, std::string(101, 'y')).error(), kEAGAIN);
  EXPECT_EQ(*Write(*p.write, std::string(100, 'y')), 100u) << "fits behind the last bytes";
}

TEST(Pipe, EndOfFileAfterTheLastWriterAndEpipeAfterTheLastReader) {
  PipeEnds p = MakePipe(0, 0, 0);
  ASSERT_EQ(*Write(*p.write, "z"), 1u);
  p.write = nullptr;
  EXPECT_EQ(p.read->Readiness(), kIn | abi::kPOLLHUP);
  EXPECT_EQ(*Read(*p.read, 10), "z");
  EXPECT_EQ(p.read->Readiness(), abi::kPOLLHUP);
  EXPECT_EQ(*Read(*p.read, 10), "");

  PipeEnds q = MakePipe(0, 0, 0);
  q.read = nullptr;
  EXPECT_EQ(q.write->Readiness(), kOut | abi::kPOLLERR);
  EXPECT_EQ(Write(*q.write, "z").error(), kEPIPE);
  EXPECT_EQ(*Write(*q.write, ""), 0u);
}

TEST(Pipe, PacketsStayApartAndTheRestOfOneIsDropped) {
  PipeEnds p = MakePipe(abi::kO_DIRECT, 0, 0);
  ASSERT_EQ(*Write(*p.write, "one"), 3u);
  ASSERT_EQ(*Write(*p.write, "three"), 5u);
  ASSERT_EQ(*Write(*p.write, std::string(5000, 'x')), 5000u);
  EXPECT_EQ(*Read(*p.read, 100), "one");
  EXPECT_EQ(*Read(*p.read, 2), "th");
  EXPECT_EQ(Read(*p.read, 8000)->size(), 4096u);
  EXPECT_EQ(Read(*p.read, 8000)->size(), 904u);
  EXPECT_EQ(Read(*p.read, 1).error(), kEAGAIN);
}

TEST(Pipe, WakesReadersAtEveryWriteAndWritersWhenRoomComes) {
  PipeEnds p = MakePipe(0, 0, 0);
  CountingWaiter readers(kIn), writers(kOut);
  p.read->wait_queue()->Add(readers);
  p.write->wait_queue()->Add(writers);
  (void)Write(*p.write, "a");
  (void)Write(*p.write, "b");
  EXPECT_EQ(readers.count, 2);
  (void)Read(*p.read, 1);
  EXPECT_EQ(writers.count, 0);
  (void)Write(*p.write, std::string(70000, 'x'));
  (void)Read(*p.read, 8192);
  EXPECT_EQ(writers.count, 1);
  p.read->wait_queue()->Remove(writers);
  p.write = nullptr;
  EXPECT_TRUE(readers.last & abi::kPOLLHUP);
  p.read->wait_queue()->Remove(readers);
}

TEST(Pipe, ResizeKeepsContentAndRefusesTooMuch) {
  PipeEnds p = MakePipe(0, 0, 0);
  EXPECT_EQ(*p.read->Fcntl(abi::kF_GETPIPE_SZ, 0), 65536u);
  ASSERT_EQ(*Write(*p.write, std::string(5000, 'a')), 5000u);
  ASSERT_EQ(Read(*p.read, 4500)->size(), 4500u);
  ASSERT_EQ(*Write(*p.write, std::string(8192, 'b')), 8192u);
  EXPECT_EQ(p.write->Fcntl(abi::kF_SETPIPE_SZ, 4096).error(), kEBUSY);
  EXPECT_EQ(*p.write->Fcntl(abi::kF_SETPIPE_SZ, 3 * 4096), 4u * 4096);
  EXPECT_EQ(*Read(*p.read, 100000), std::string(500, 'a') + std::string(8192, 'b'));
  EXPECT_EQ(*p.write->Fcntl(abi::kF_SETPIPE_SZ, 0), 4096u);
  EXPECT_EQ(*p.write->Fcntl(abi::kF_SETPIPE_SZ, 1 << 20), 1u << 20);
  EXPECT_EQ(p.write->Fcntl(abi::kF_SETPIPE_SZ, (1 << 20) + 1).error(), kEPERM);
  EXPECT_EQ(p.write->Fcntl(abi::kF_SETPIPE_SZ, (1u << 31) + 1).error(), kEINVAL);
  EXPECT_EQ(*Write(*p.write, std::string(2 << 20, 'x')), 1u << 20);
}

TEST(Pipe, CanBeOpenedAgainByItsPath) {
  RegisterFifos();
  PipeEnds p = MakePipe(0, 0, 0);
  Ref<FileDescription> again = *p.read->inode().Open(p.read->path(), abi::kO_WRONLY | abi::kO_NONBLOCK);
  ASSERT_EQ(*Write(*again, "x"), 1u);
  EXPECT_EQ(*Read(*p.read, 9), "x");
}

TEST(Pipe, FionreadCountsBytes) {
  PipeEnds p = MakePipe(0, 0, 0);
  FakeUserMemory memory(0x1000, 16);
  (void)Write(*p.write, std::string(4097, 'x'));
  (void)Read(*p.read, 7);
  ASSERT_TRUE(p.read->Ioctl(abi::kFIONREAD, 0x1000, memory).ok());
  EXPECT_EQ(*memory.Read<int32_t>(0x1000), 4090);
}

TEST(Pipe, AFullTransferIsOneCopy) {
  PipeEnds p = MakePipe(0, 0, 0);
  FakeUserMemory memory(0x10000, 65536);
  UserSource source(memory, {{0x10000, 65536}});
  ASSERT_EQ(*p.write->TryWrite(source, nullptr, {}), 65536u);
  EXPECT_EQ(memory.copies, 1);
  UserSink sink(memory, {{0x10000, 65536}});
  ASSERT_EQ(*p.read->TryRead(sink, nullptr, {}), 65536u);
  EXPECT_EQ(memory.copies, 2);
}

TEST(Pipe, AFaultLeavesWhatWasNotCopied) {
  PipeEnds p = MakePipe(0, 0, 0);
  FakeUserMemory memory(0x10000, 10);
  UserSource source(memory, {{0x10000, 100}});
  EXPECT_EQ(*p.write->TryWrite(source, nullptr, {}), 10u);
  UserSource nowhere(memory, {{0x1, 100}});
  EXPECT_EQ(p.write->TryWrite(nowhere, nullptr, {}).error(), kEFAULT);
  UserSink bad(memory, {{0x1, 100}});
  EXPECT_EQ(p.read->TryRead(bad, nullptr, {}).error(), kEFAULT);
  EXPECT_EQ(Read(*p.read, 100)->size(), 10u);
}

TEST(Pipe, RandomTransfersKeepTheStream) {
  PipeEnds p = MakePipe(0, 0, 0);
  std::mt19937 random(7);
  uint8_t next_in = 0, next_out = 0;
  size_t balance = 0;
  for (int i = 0; i < 20000; ++i) {
    size_t n = random() % (random() % 8 == 0 ? 70000 : 3000) + 1;
    if (random() % 2) {
      std::string text(n, '\0');
      std::iota(text.begin(), text.end(), static_cast<char>(next_in));
      ErrorOr<size_t> w = Write(*p.write, text);
      if (!w.ok()) continue;
      next_in = static_cast<uint8_t>(next_in + *w);
      balance += *w;
    } else {
      ErrorOr<std::string> r = Read(*p.read, n);
      if (!r.ok()) {
        ASSERT_EQ(balance, 0u);
        continue;
      }
      for (char c : *r) ASSERT_EQ(static_cast<uint8_t>(c), next_out++);
      balance -= r->size();
    }
    ASSERT_EQ(p.read->pipe().bytes(), balance);
  }
}

TEST(Pipe, TeeCopiesAndMoveTakes) {
  PipeEnds a = MakePipe(0, 0, 0), b = MakePipe(0, 0, 0);
  EXPECT_EQ(Pipe::Tee(a.read->pipe(), b.write->pipe(), 10).error(), kEAGAIN);
  (void)Write(*a.write, "hello");
  EXPECT_EQ(*Pipe::Tee(a.read->pipe(), b.write->pipe(), 4), 4u);
  EXPECT_EQ(*Pipe::Move(a.read->pipe(), b.write->pipe(), 100), 5u);
  EXPECT_EQ(*Read(*b.read, 100), "hellhello");
  EXPECT_EQ(Read(*a.read, 1).error(), kEAGAIN);
  (void)Write(*a.write, "x");
  (void)Write(*b.write, std::string(70000, 'y'));
  EXPECT_EQ(Pipe::Move(a.read->pipe(), b.write->pipe(), 1).error(), kEAGAIN);
  b.read = nullptr;
  EXPECT_EQ(Pipe::Move(a.read->pipe(), b.write->pipe(), 1).error(), kEPIPE);
  a.write = nullptr;
  (void)Read(*a.read, 10);
  PipeEnds c = MakePipe(0, 0, 0);
  EXPECT_EQ(*Pipe::Tee(a.read->pipe(), c.write->pipe(), 1), 0u);
}

class Fifo : public testing::Test {
 protected:
  void SetUp() override {
    RegisterFifos();
    WalkContext c = tree_.context();
    ASSERT_TRUE(vfs::Mknod(c, tree_.cwd, "f", 0010000 | 0644, 0, 0).ok());
  }
  ErrorOr<Ref<FileDescription>> Open(uint32_t flags) { return tree_.Open("f", flags); }
  TestTree tree_;
};

TEST_F(Fifo, OpensWaitForEachOther) {
  Ref<FileDescription> reader = *Open(abi::kO_RDONLY);
  EXPECT_EQ(reader->FinishOpen().error(), kEAGAIN);
  CountingWaiter waiter(~0u);
  reader->wait_queue()->Add(waiter);
  Ref<FileDescription> writer = *Open(abi::kO_WRONLY);
  EXPECT_GE(waiter.count, 1);
  reader->wait_queue()->Remove(waiter);
  EXPECT_TRUE(writer->FinishOpen().ok());
  EXPECT_TRUE(reader->FinishOpen().ok());
  ASSERT_EQ(*Write(*writer, "hi"), 2u);
  EXPECT_EQ(*Read(*reader, 10), "hi");
}

TEST_F(Fifo, APartnerThatLeftAgainStillLetsTheOpenFinish) {
  Ref<FileDescription> writer = *Open(abi::kO_WRONLY);
  EXPECT_EQ(writer->FinishOpen().error(), kEAGAIN);
  (void)*Open(abi::kO_RDONLY | abi::kO_NONBLOCK);
  EXPECT_TRUE(writer->FinishOpen().ok());
}

TEST_F(Fifo, NonblockingWriterNeedsAReaderAndReadWriteNeedsNobody) {
  EXPECT_EQ(Open(abi::kO_WRONLY | abi::kO_NONBLOCK).error(), kENXIO);
  Ref<FileDescription> both = *Open(abi::kO_RDWR);
  EXPECT_TRUE(both->FinishOpen().ok());
  EXPECT_EQ(both->Readiness(), kOut);
  EXPECT_TRUE(Open(abi::kO_WRONLY | abi::kO_NONBLOCK).ok());
  ASSERT_EQ(*Write(*both, "x"), 1u);
  EXPECT_EQ(*Read(*both, 1), "x");
}

TEST_F(Fifo, NoHangupBeforeTheFirstWriter) {
  Ref<FileDescription> reader = *Open(abi::kO_RDONLY | abi::kO_NONBLOCK);
  EXPECT_TRUE(reader->FinishOpen().ok());
  EXPECT_EQ(reader->Readiness(), 0u);
  EXPECT_EQ(*Read(*reader, 1), "");
  Ref<FileDescription> writer = *Open(abi::kO_WRONLY);
  writer = nullptr;
  EXPECT_EQ(reader->Readiness(), abi::kPOLLHUP);
}

TEST_F(Fifo, ForgetsItsContentWhenNobodyHasItOpen) {
  Ref<FileDescription> both = *Open(abi::kO_RDWR);
  (void)Write(*both, "old");
  both = *Open(abi::kO_RDWR);
  EXPECT_EQ(*Read(*both, 10), "old");
  (void)Write(*both, "old");
  both = nullptr;
  both = *Open(abi::kO_RDWR);
  EXPECT_EQ(Read(*both, 10).error(), kEAGAIN);
}

}  // namespace
}  // namespace moat
