#include "base/util/cpu_list.h"

#include <gtest/gtest.h>

namespace moat {
namespace {

TEST(CpuListTest, RunsAreRanges) {
  EXPECT_EQ(CpuList(0), "");
  EXPECT_EQ(CpuList(1), "0");
  EXPECT_EQ(CpuList(0b1011), "0-1,3");
  EXPECT_EQ(CpuList(~uint64_t{0}), "0-63");
  EXPECT_EQ(CpuList(uint64_t{1} << 63 | 1), "0,63");
}

}  // namespace
}  // namespace moat
