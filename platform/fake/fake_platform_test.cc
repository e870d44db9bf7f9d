#include "platform/fake/fake_platform.h"

#include <gtest/gtest.h>

#include "abi/mman.h"
#include "abi/signal.h"
#include "abi/syscall_nr.h"

namespace moat {
namespace {

constexpr int kReadWrite = abi::kPROT_READ | abi::kPROT_WRITE;

class Recorder final : public TrapSink {
 public:
  explicit Recorder(FakePlatform& platform, size_t stop_after) : platform_(platform), stop_after_(stop_after) {}
  Verdict OnTrap(GuestThread& thread, const Trap& trap) override {
    traps.push_back(trap);
    if (trap.kind == TrapKind::kSyscall) thread.SetResult(static_cast<uint64_t>(trap.nr) + 1);
    if (traps.size() == stop_after_) platform_.Stop();
    return Verdict::kResume;
  }
  std::vector<Trap> traps;

 private:
  FakePlatform& platform_;
  const size_t stop_after_;
};

TEST(FakePlatform, DeliversItsScriptAndInterrupts) {
  FakePlatform platform;
  auto made = platform.NewAddressSpace();
  ASSERT_TRUE(made.ok());
  auto& thread = static_cast<FakeThread&>(*made->thread);
  thread.Push(FakeThread::Syscall(abi::kNr_read, {3, 4}));
  thread.Push(FakeThread::Exception(abi::kSIGSEGV, 1, 0x1234));
  thread.Resume();
  Recorder first(platform, 2);
  platform.Run(first);
  ASSERT_EQ(first.traps.size(), 2u);
  EXPECT_EQ(first.traps[0].args[1], 4u);
  EXPECT_EQ(first.traps[1].addr, 0x1234u);
  EXPECT_EQ(thread.results(), std::vector<uint64_t>{abi::kNr_read + 1});
  thread.Interrupt();
  Recorder second(platform, 1);
  platform.Run(second);
  EXPECT_EQ(second.traps[0].kind, TrapKind::kInterrupted);
  EXPECT_TRUE(second.traps[0].interrupted);
}

TEST(FakePlatform, MemoryForksByCopyAndThreadsShareIt) {
  FakePlatform platform;
  int made_threads = 0;
  platform.on_new_thread = [&](FakeThread&) { ++made_threads; };
  auto made = platform.NewAddressSpace();
  AddressSpace& space = *made->space;
  ASSERT_TRUE(space.Map(0x10000, 8192, kReadWrite, 0, {}).ok());
  ASSERT_TRUE(space.Map(0x20000, 4096, kReadWrite, 0, {.shared = true}).ok());
  EXPECT_EQ(*space.Atomic(AtomicOp::kAdd, 0x10ffc, 5, 0), 0u);
  EXPECT_EQ(*space.Atomic(AtomicOp::kAdd, 0x20000, 6, 0), 0u);
  auto forked = space.Fork(*made->thread);
  ASSERT_TRUE(forked.ok());
  EXPECT_EQ(*space.Atomic(AtomicOp::kExchange, 0x10ffc, 9, 0), 5u);
  EXPECT_EQ(*space.Atomic(AtomicOp::kExchange, 0x20000, 9, 0), 6u);
  EXPECT_EQ(*forked->space->Atomic(AtomicOp::kLoad, 0x10ffc, 0, 0), 5u);
  EXPECT_EQ(*forked->space->Atomic(AtomicOp::kLoad, 0x20000, 0, 0), 9u);
  EXPECT_TRUE(space.NewThread(*made->thread).ok());
  EXPECT_EQ(made_threads, 3);
}

TEST(FakePlatform, CopiesStopAtHolesAndProtections) {
  FakePlatform platform;
  auto made = platform.NewAddressSpace();
  AddressSpace& space = *made->space;
  ASSERT_TRUE(space.Map(0x10000, 8192, kReadWrite, 0, {}).ok());
  std::vector<std::byte> bytes(3 * 4096);
  EXPECT_EQ(*space.CopyOut(0x10010, bytes), 8192u - 16);
  ASSERT_TRUE(space.Protect(0x11000, 4096, abi::kPROT_READ).ok());
  EXPECT_EQ(*space.CopyOut(0x10010, bytes), 4096u - 16);
  EXPECT_EQ(space.CopyOut(0x11000, bytes).error(), kEFAULT);
  ASSERT_TRUE(space.Remap(0x10000, 8192, 0x40000, 4096, 0).ok());
  EXPECT_EQ(space.Touch(0x10000).error(), kEFAULT);
  EXPECT_TRUE(space.Touch(0x40000).ok());
  EXPECT_EQ(space.Touch(0x41000).error(), kEFAULT);
}

}  // namespace
}  // namespace moat
