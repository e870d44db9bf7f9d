#include "fs/eventfd/eventfd.h"

#include <gtest/gtest.h>

#include "abi/epoll.h"
#include "abi/poll.h"

namespace moat {
namespace {

ErrorOr<uint64_t> Read(EventFd& e) {
  uint64_t value = 0;
  BufferSink sink(std::as_writable_bytes(std::span(&value, 1)));
  TRY(e.TryRead(sink, nullptr, {}));
  return value;
}
ErrorOr<size_t> Write(EventFd& e, uint64_t value) {
  BufferSource source(std::as_bytes(std::span(&value, 1)));
  return e.TryWrite(source, nullptr, {});
}

TEST(EventFd, ReadTakesTheWholeCounter) {
  Ref<EventFd> e = EventFd::Create(3, 0);
  EXPECT_EQ(*Write(*e, 4), 8u);
  EXPECT_EQ(*Read(*e), 7u);
  EXPECT_EQ(Read(*e).error(), kEAGAIN);
  EXPECT_EQ(e->Readiness(), abi::kPOLLOUT);
}

TEST(EventFd, SemaphoreReadTakesOne) {
  Ref<EventFd> e = EventFd::Create(2, abi::kEFD_SEMAPHORE);
  EXPECT_EQ(*Read(*e), 1u);
  EXPECT_EQ(e->Readiness(), abi::kPOLLIN | abi::kPOLLOUT);
  EXPECT_EQ(*Read(*e), 1u);
  EXPECT_EQ(Read(*e).error(), kEAGAIN);
}

TEST(EventFd, AWriteThatDoesNotFitWaitsWithItsValue) {
  Ref<EventFd> e = EventFd::Create(1, 0);
  uint64_t most = ~0ull - 1;
  EXPECT_EQ(Write(*e, ~0ull).error(), kEINVAL);
  BufferSource source(std::as_bytes(std::span(&most, 1)));
  EXPECT_EQ(e->TryWrite(source, nullptr, {}).error(), kEAGAIN);
  EXPECT_EQ(*Read(*e), 1u);
  EXPECT_EQ(*e->TryWrite(source, nullptr, {}), 8u) << "the same source, tried again";
  EXPECT_EQ(e->Readiness(), abi::kPOLLIN);
  EXPECT_EQ(Write(*e, 1).error(), kEAGAIN);
  EXPECT_EQ(*Write(*e, 0), 8u);
}

TEST(EventFd, ShortBuffersAreRefused) {
  Ref<EventFd> e = EventFd::Create(1, 0);
  std::byte seven[7];
  BufferSink sink(seven);
  EXPECT_EQ(e->TryRead(sink, nullptr, {}).error(), kEINVAL);
  BufferSource source(seven);
  EXPECT_EQ(e->TryWrite(source, nullptr, {}).error(), kEINVAL);
  EXPECT_EQ(e->count(), 1u);
}

}  // namespace
}  // namespace moat
