#include "base/kern/io.h"

#include <gtest/gtest.h>

#include "base/kern/fake_user_memory.h"

namespace moat {
namespace {

constexpr UserAddr kBase = 0x10000;
constexpr size_t kSize = 0x1000;

std::span<const std::byte> Bytes(const char* s) { return std::as_bytes(std::span(s, strlen(s))); }
std::string Text(FakeUserMemory& memory, size_t offset, size_t n) {
  return std::string(reinterpret_cast<char*>(memory.data()) + offset, n);
}

TEST(BufferSink, TakesWhatFits) {
  std::byte buffer[5];
  BufferSink sink(buffer);
  EXPECT_EQ(*sink.Put(Bytes("abc")), 3u);
  EXPECT_EQ(sink.remaining(), 2u);
  EXPECT_EQ(*sink.Put(Bytes("def")), 2u);
  EXPECT_EQ(*sink.Put(Bytes("g")), 0u);
  EXPECT_EQ(sink.done(), 5u);
  EXPECT_EQ(memcmp(buffer, "abcde", 5), 0);
}

TEST(UserSource, UngetGoesBackOverRanges) {
  FakeUserMemory memory(kBase, kSize);
  memcpy(memory.data(), "abcdef", 6);
  UserSource source(memory, {{kBase, 2}, {kBase + 2, 0}, {kBase + 2, 4}});
  std::byte buffer[5];
  ASSERT_EQ(*source.Get(buffer), 5u);
  source.Unget(4);
  EXPECT_EQ(source.remaining(), 5u);
  ASSERT_EQ(*source.Get(buffer), 5u);
  EXPECT_EQ(memcmp(buffer, "bcdef", 5), 0);
  EXPECT_EQ(source.remaining(), 0u);
}

TEST(BufferSink, PutZerosStopsAtTheEnd) {
  std::vector<std::byte> buffer(10000, std::byte{1});
  BufferSink sink(buffer);
  EXPECT_EQ(*sink.PutZeros(9000), 9000u);
  EXPECT_EQ(*sink.PutZeros(9000), 1000u);
  for (std::byte b : buffer) ASSERT_EQ(b, std::byte{0});
}

TEST(BufferSource, GivesWhatItHas) {
  BufferSource source(Bytes("abcde"));
  std::byte out[3];
  EXPECT_EQ(*source.Get(out), 3u);
  EXPECT_EQ(source.remaining(), 2u);
  EXPECT_EQ(*source.Get(out), 2u);
  EXPECT_EQ(memcmp(out, "dec", 3), 0);
  EXPECT_EQ(*source.Get(out), 0u);
}

TEST(UserSink, WalksItsRangesAcrossPuts) {
  FakeUserMemory memory(kBase, kSize);
  UserSink sink(memory, {{kBase, 2}, {kBase + 100, 0}, {kBase + 10, 3}, {kBase + 20, 10}});
  EXPECT_EQ(sink.remaining(), 15u);
  EXPECT_EQ(*sink.Put(Bytes("a")), 1u);
  EXPECT_EQ(*sink.Put(Bytes("bcdefgh")), 7u);
  EXPECT_EQ(sink.remaining(), 7u);
  EXPECT_EQ(Text(memory, 0, 2), "ab");
  EXPECT_EQ(Text(memory, 10, 3), "cde");
  EXPECT_EQ(Text(memory, 20, 3), "fgh");
  EXPECT_EQ(*sink.Put(Bytes("0123456789")), 7u);
  EXPECT_EQ(*sink.Put(Bytes("x")), 0u);
}

TEST(UserSink, AFaultAfterSomeBytesIsAShortCount) {
  FakeUserMemory memory(kBase, kSize);
  UserSink sink(memory, {{kBase, 2}, {0, 10}});
  EXPECT_EQ(*sink.Put(Bytes("abcd")), 2u);
  EXPECT_EQ(sink.remaining(), 10u);
  EXPECT_EQ(sink.Put(Bytes("cd")).error(), kEFAULT);
  UserSink at_the_end(memory, {{kBase + kSize - 1, 4}});
  EXPECT_EQ(*at_the_end.Put(Bytes("abcd")), 1u);
  EXPECT_EQ(at_the_end.Put(Bytes("bcd")).error(), kEFAULT);
}

TEST(UserSink, ZerosCrossRanges) {
  FakeUserMemory memory(kBase, kSize);
  memset(memory.data(), 1, kSize);
  UserSink sink(memory, {{kBase, 3}, {kBase + 8, 3}});
  EXPECT_EQ(*sink.PutZeros(100), 6u);
  EXPECT_EQ(memory.data()[2], std::byte{0});
  EXPECT_EQ(memory.data()[3], std::byte{1});
  EXPECT_EQ(memory.data()[10], std::byte{0});
  EXPECT_EQ(memory.data()[11], std::byte{1});
}

TEST(UserSource, WalksItsRangesAndFaultsLikeTheSink) {
  FakeUserMemory memory(kBase, kSize);
  memcpy(memory.data(), "abcdefgh", 8);
  UserSource source(memory, {{kBase, 2}, {kBase + 4, 2}, {1, 1}});
  std::byte out[8];
  EXPECT_EQ(*source.Get({out, 3}), 3u);
  EXPECT_EQ(memcmp(out, "abe", 3), 0);
  EXPECT_EQ(*source.Get(out), 1u);
  EXPECT_EQ(out[0], std::byte{'f'});
  EXPECT_EQ(source.Get(out).error(), kEFAULT);
  EXPECT_EQ(source.remaining(), 1u);
}

}  // namespace
}  // namespace moat
