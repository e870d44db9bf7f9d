#include "base/kern/user_memory.h"

#include <gtest/gtest.h>

#include "base/kern/fake_user_memory.h"

namespace moat {
namespace {

constexpr UserAddr kBase = 0x10000;
constexpr size_t kSize = 0x3000;
constexpr UserAddr kEnd = kBase + kSize;

TEST(UserMemory, WholeCopiesOrFault) {
  FakeUserMemory memory(kBase, kSize);
  EXPECT_TRUE(memory.Write(kEnd - 8, uint64_t{0x1122334455667788}).ok());
  EXPECT_EQ(*memory.Read<uint64_t>(kEnd - 8), 0x1122334455667788u);
  EXPECT_EQ(*memory.Read<uint32_t>(kEnd - 8), 0x55667788u);
  EXPECT_EQ(memory.Read<uint64_t>(kEnd - 7).error(), kEFAULT);
  EXPECT_EQ(memory.Write(kEnd - 7, uint64_t{0}).error(), kEFAULT);
  EXPECT_EQ(memory.Read<uint8_t>(0).error(), kEFAULT);
}

TEST(UserMemory, NothingIsCopiedForLengthZero) {
  FakeUserMemory memory(kBase, kSize);
  EXPECT_TRUE(memory.CopyIn(0, nullptr, 0).ok());
  EXPECT_TRUE(memory.CopyOut(0, nullptr, 0).ok());
  EXPECT_TRUE(memory.ReadArray<int>(0, 0, 10)->empty());
  EXPECT_EQ(memory.copies, 0);
}

TEST(UserMemory, ArraysAreLimitedBeforeTheyAreAllocated) {
  FakeUserMemory memory(kBase, kSize);
  EXPECT_EQ(memory.ReadArray<uint64_t>(kBase, ~size_t{0}, 1024).error(), kEINVAL);
  EXPECT_EQ(memory.ReadArray<uint64_t>(kBase, 1025, 1024).error(), kEINVAL);
  EXPECT_EQ(memory.ReadArray<uint64_t>(kBase, 4, 4)->size(), 4u);
  EXPECT_EQ(memory.ReadArray<uint64_t>(kEnd - 8, 2, 4).error(), kEFAULT);
}

std::string Put(FakeUserMemory& memory, UserAddr at, size_t length) {
  std::string s(length, 'a');
  for (size_t i = 0; i < length; ++i) s[i] = static_cast<char>('a' + i % 26);
  memcpy(memory.data() + (at - kBase), s.c_str(), length + 1);
  return s;
}

TEST(UserMemory, StringsOfEveryPlaceAndLength) {
  for (UserAddr at : {kBase, kBase + 0xffe, kBase + 0xfff, kBase + 0xf00}) {
    for (size_t length : {0u, 1u, 255u, 256u, 257u, 4095u}) {
      FakeUserMemory memory(kBase, kSize);
      std::string s = Put(memory, at, length);
      EXPECT_EQ(*memory.ReadString(at, 8192), s) << at << " " << length;
      EXPECT_EQ(*memory.ReadString(at, length + 1), s);
      EXPECT_EQ(memory.ReadString(at, length).error(), kENAMETOOLONG);
    }
  }
}

TEST(UserMemory, AStringMayEndAtTheLastMappedByte) {
  FakeUserMemory memory(kBase, kSize);
  std::string s = Put(memory, kEnd - 6, 5);
  EXPECT_EQ(*memory.ReadString(kEnd - 6, 4096), s);
  memset(memory.data() + kSize - 6, 'x', 6);
  EXPECT_EQ(memory.ReadString(kEnd - 6, 4096).error(), kEFAULT);
  EXPECT_EQ(memory.ReadPath(0).error(), kEFAULT);
}

TEST(UserMemory, PathsHavePathMaxBytesWithTheirNul) {
  FakeUserMemory memory(kBase, kSize);
  EXPECT_EQ(*memory.ReadPath(kBase), "");
  std::string s = Put(memory, kBase, 4095);
  EXPECT_EQ(*memory.ReadPath(kBase), s);
  Put(memory, kBase, 4096);
  EXPECT_EQ(memory.ReadPath(kBase).error(), kENAMETOOLONG);
}

TEST(UserMemory, ZeroClearsExactlyTheRange) {
  FakeUserMemory memory(kBase, kSize);
  memset(memory.data(), 1, kSize);
  ASSERT_TRUE(memory.Zero(kBase + 1, 0x2001).ok());
  EXPECT_EQ(memory.data()[0], std::byte{1});
  for (size_t i = 1; i <= 0x2001; ++i) ASSERT_EQ(memory.data()[i], std::byte{0}) << i;
  EXPECT_EQ(memory.data()[0x2002], std::byte{1});
  EXPECT_EQ(memory.Zero(kBase, kSize + 1).error(), kEFAULT);
}

}  // namespace
}  // namespace moat
