#include "base/kern/held.h"

#include <gtest/gtest.h>

namespace moat {
namespace {

TEST(HeldMemoryTest, TakesUpToTheLimitAndNotBeyond) {
  const uint64_t before = HeldMemory::used();
  HeldMemory::SetLimit(before + 100);
  EXPECT_TRUE(HeldMemory::Take(60));
  EXPECT_FALSE(HeldMemory::Take(41));
  EXPECT_FALSE(HeldMemory::full());
  EXPECT_TRUE(HeldMemory::Take(40));
  EXPECT_TRUE(HeldMemory::full());
  HeldMemory::TakeAlways(5);
  EXPECT_FALSE(HeldMemory::Take(1));
  EXPECT_FALSE(HeldMemory::Take(UINT64_MAX)) << "no overflow";
  HeldMemory::Give(105);
  EXPECT_EQ(HeldMemory::used(), before);
  EXPECT_TRUE(HeldMemory::Take(1));
  HeldMemory::Give(1);
  HeldMemory::SetLimit(INT64_MAX);
}

TEST(HeldCountTest, FullAtTheLimitOverBeyondIt) {
  using Count = HeldCount<struct TestTag>;
  Count::SetLimit(2);
  Count::Add();
  EXPECT_FALSE(Count::full());
  Count::Add();
  EXPECT_TRUE(Count::full());
  EXPECT_FALSE(Count::over());
  Count::Add();
  EXPECT_TRUE(Count::over());
  Count::Drop();
  EXPECT_FALSE(Count::over());
}

}  // namespace
}  // namespace moat
