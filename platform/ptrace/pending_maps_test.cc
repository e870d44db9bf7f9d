#include "platform/ptrace/pending_maps.h"

#include <gtest/gtest.h>

namespace moat::ptrace {
namespace {

PendingMap File(UserAddr start, UserAddr end, uint64_t offset, int prot = 1) {
  return {.start = start, .end = end, .prot = prot, .flags = 0x12, .fd = 5, .offset = offset};
}

TEST(PendingMapsTest, ARangeIsCoveredOnlyWithoutHoles) {
  PendingMaps maps;
  EXPECT_TRUE(maps.empty());
  maps.Add(File(0x3000, 0x5000, 0));
  maps.Add(File(0x1000, 0x3000, 0));
  maps.Add(File(0x6000, 0x7000, 0));
  EXPECT_TRUE(maps.Covers(0x1000, 0x5000));
  EXPECT_TRUE(maps.Covers(0x2000, 0x4000));
  EXPECT_FALSE(maps.Covers(0x2000, 0x7000));
  EXPECT_FALSE(maps.Covers(0x0, 0x2000));
  EXPECT_TRUE(maps.Overlaps(0x4fff, 0x6000));
  EXPECT_FALSE(maps.Overlaps(0x5000, 0x6000));
}

TEST(PendingMapsTest, ReplacedPartsKeepTheirPlaceInTheFile) {
  PendingMaps maps;
  maps.Add(File(0x1000, 0x5000, 0x10000));
  maps.Add({.start = 0x2000, .end = 0x3000, .prot = 3, .flags = 0x12});
  std::vector<PendingMap> all = maps.TakeAll();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_TRUE(maps.empty());
  EXPECT_EQ(all[0].end, 0x2000u);
  EXPECT_EQ(all[0].offset, 0x10000u);
  EXPECT_EQ(all[1].start, 0x2000u);
  EXPECT_EQ(all[1].fd, -1);
  EXPECT_EQ(all[2].start, 0x3000u);
  EXPECT_EQ(all[2].end, 0x5000u);
  EXPECT_EQ(all[2].offset, 0x12000u);
}

TEST(PendingMapsTest, ProtectChangesExactlyItsRange) {
  PendingMaps maps;
  maps.Add({.start = 0x1000, .end = 0x4000, .prot = 0});
  maps.Protect(0x2000, 0x3000, 3);
  std::vector<PendingMap> all = maps.TakeAll();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].prot, 0);
  EXPECT_EQ(all[1].prot, 3);
  EXPECT_EQ(all[1].start, 0x2000u);
  EXPECT_EQ(all[2].prot, 0);
  EXPECT_EQ(all[2].start, 0x3000u);
}

TEST(PendingMapsTest, RemoveCutsAtBothEnds) {
  PendingMaps maps;
  maps.Add(File(0x1000, 0x2000, 0));
  maps.Add(File(0x2000, 0x4000, 0x8000));
  maps.Remove(0x1800, 0x3000);
  EXPECT_FALSE(maps.Overlaps(0x1800, 0x3000));
  EXPECT_TRUE(maps.Covers(0x1000, 0x1800));
  EXPECT_TRUE(maps.Covers(0x3000, 0x4000));
  EXPECT_EQ(maps.TakeAll()[1].offset, 0x9000u);
}

TEST(PendingMapsTest, WaitingStopsWhenEveryMappingIsTouchedAtOnce) {
  PendingMaps maps;
  int waited = 0;
  for (int i = 0; i < 160; ++i) {
    if (!maps.Worthwhile()) continue;
    ++waited;
    maps.Add({.start = 0x1000, .end = 0x2000});
    maps.NoteFault();
    maps.TakeAll();
  }
  EXPECT_LT(waited, 20);
  EXPECT_GT(waited, 4) << "it is tried again now and then";
  for (int i = 0; i < 16; ++i) {
    if (maps.Worthwhile()) maps.NoteSaved();
  }
  EXPECT_TRUE(maps.Worthwhile());
}

}  // namespace
}  // namespace moat::ptrace
