#include "sentry/mm/vma_book.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace moat {
namespace {

constexpr uint64_t kPage = 4096;

Vma Anonymous(uint64_t first, uint64_t end, int prot = 3) {
  return Vma{.start = first * kPage, .end = end * kPage, .prot = prot};
}

std::vector<std::pair<uint64_t, uint64_t>> Pages(const VmaBook& book) {
  std::vector<std::pair<uint64_t, uint64_t>> v;
  for (const auto& [start, vma] : book.all()) v.emplace_back(vma.start / kPage, vma.end / kPage);
  return v;
}

using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

TEST(VmaBookTest, EqualNeighboursMergeOnBothSides) {
  VmaBook book;
  book.Insert(Anonymous(10, 12));
  book.Insert(Anonymous(14, 16));
  EXPECT_EQ(Pages(book), (Ranges{{10, 12}, {14, 16}}));
  book.Insert(Anonymous(12, 14));
  EXPECT_EQ(Pages(book), (Ranges{{10, 16}}));
  EXPECT_EQ(book.total_bytes(), 6 * kPage);
}

TEST(VmaBookTest, DifferentNeighboursStayApart) {
  VmaBook book;
  book.Insert(Anonymous(10, 12, 3));
  book.Insert(Anonymous(12, 14, 1));
  Vma named = Anonymous(14, 15, 1);
  named.name = "[heap]";
  book.Insert(named);
  EXPECT_EQ(Pages(book), (Ranges{{10, 12}, {12, 14}, {14, 15}}));
  EXPECT_EQ(book.data_bytes(), 2 * kPage);
}

TEST(VmaBookTest, RemovingTheMiddleSplits) {
  VmaBook book;
  book.Insert(Anonymous(10, 20));
  EXPECT_EQ(book.CountChangeOfRemove(12 * kPage, 15 * kPage), 1);
  std::vector<Vma> gone = book.Remove(12 * kPage, 15 * kPage);
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_EQ(gone[0].start, 12 * kPage);
  EXPECT_EQ(gone[0].end, 15 * kPage);
  EXPECT_EQ(Pages(book), (Ranges{{10, 12}, {15, 20}}));
}

TEST(VmaBookTest, UpdateSplitsAndMergesAgain) {
  VmaBook book;
  book.Insert(Anonymous(10, 20));
  book.Update(12 * kPage, 15 * kPage, [](Vma& v) { v.prot = 1; });
  EXPECT_EQ(Pages(book), (Ranges{{10, 12}, {12, 15}, {15, 20}}));
  book.Update(12 * kPage, 15 * kPage, [](Vma& v) { v.prot = 3; });
  EXPECT_EQ(Pages(book), (Ranges{{10, 20}}));
}

TEST(VmaBookTest, MappedUntilStopsAtTheFirstHole) {
  VmaBook book;
  book.Insert(Anonymous(10, 12, 3));
  book.Insert(Anonymous(12, 14, 1));
  book.Insert(Anonymous(15, 16, 1));
  EXPECT_EQ(book.MappedUntil(11 * kPage, 20 * kPage), 14 * kPage);
  EXPECT_EQ(book.MappedUntil(10 * kPage, 13 * kPage), 13 * kPage);
  EXPECT_EQ(book.MappedUntil(14 * kPage, 20 * kPage), 14 * kPage);
}

TEST(VmaBookTest, RoomIsTakenFromTheTop) {
  VmaBook book;
  auto first = book.FindTopDown(4 * kPage, 0, 100 * kPage);
  ASSERT_TRUE(first);
  EXPECT_EQ(*first, 96 * kPage);
  book.Insert(Anonymous(96, 100));
  EXPECT_EQ(book.FindTopDown(2 * kPage, 0, 100 * kPage), 94 * kPage);
  book.Remove(97 * kPage, 99 * kPage);
  EXPECT_EQ(book.FindTopDown(2 * kPage, 0, 100 * kPage), 97 * kPage);
  EXPECT_EQ(book.FindTopDown(3 * kPage, 0, 100 * kPage), 93 * kPage);
  EXPECT_FALSE(book.FindTopDown(97 * kPage, 0, 100 * kPage));
}

TEST(VmaBookTest, StacksKeepTheirGuardGap) {
  VmaBook book;
  Vma stack = Anonymous(1000, 1010);
  stack.grows_down = true;
  book.Insert(stack);
  EXPECT_EQ(book.FindTopDown(kPage, 0, 1000 * kPage), (1000 - 256 - 1) * kPage);
  EXPECT_FALSE(book.Fits(800 * kPage, kPage));
  EXPECT_TRUE(book.Fits(700 * kPage, kPage));
  EXPECT_EQ(book.FindBottomUp(kPage, 900 * kPage, 2000 * kPage), 1010 * kPage);
}

TEST(VmaBookTest, BottomUpTakesTheLowestRoom) {
  VmaBook book;
  book.Insert(Anonymous(10, 12));
  book.Insert(Anonymous(14, 20));
  EXPECT_EQ(book.FindBottomUp(2 * kPage, 10 * kPage, 100 * kPage), 12 * kPage);
  EXPECT_EQ(book.FindBottomUp(3 * kPage, 10 * kPage, 100 * kPage), 20 * kPage);
  EXPECT_FALSE(book.FindBottomUp(81 * kPage, 10 * kPage, 100 * kPage));
}

// Against a model of single pages, the search included.
TEST(VmaBookTest, AgreesWithAPageMapUnderRandomChanges) {
  constexpr uint64_t kPages = 200;
  std::mt19937 random(7);
  VmaBook book;
  std::map<uint64_t, int> model;  // page -> prot
  auto pick = [&](uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random); };
  for (int step = 0; step < 20000; ++step) {
    uint64_t start = pick(kPages), end = start + 1 + pick(std::min<uint64_t>(kPages - start, 30));
    int prot = pick(2) ? 3 : 1;
    switch (pick(4)) {
      case 0:
        book.Remove(start * kPage, end * kPage);
        for (uint64_t p = start; p < end; ++p) model.erase(p);
        break;
      case 1:
        book.Update(start * kPage, end * kPage, [prot](Vma& v) { v.prot = prot; });
        for (uint64_t p = start; p < end; ++p) {
          if (model.count(p)) model[p] = prot;
        }
        break;
      default: {
        uint64_t length = 1 + pick(12);
        auto at = book.FindTopDown(length * kPage, 0, kPages * kPage);
        std::optional<uint64_t> expected;
        uint64_t run = 0;
        for (uint64_t p = kPages; p-- > 0 && !expected;) {
          run = model.count(p) ? 0 : run + 1;
          if (run == length) expected = p;
        }
        ASSERT_EQ(at.has_value(), expected.has_value()) << step;
        if (!at) break;
        ASSERT_EQ(*at / kPage, *expected) << step;
        book.Insert(Vma{.start = *at, .end = *at + length * kPage, .prot = prot});
        for (uint64_t p = *expected; p < *expected + length; ++p) model[p] = prot;
      }
    }
    uint64_t data = 0, entries = 0;
    for (const auto& [p, prot_of] : model) {
      const Vma* v = book.Find(p * kPage);
      ASSERT_TRUE(v) << p;
      ASSERT_EQ(v->prot, prot_of);
      data += prot_of == 3;
      auto before = model.find(p - 1);
      entries += before == model.end() || before->second != prot_of;
    }
    ASSERT_EQ(book.total_bytes(), model.size() * kPage);
    ASSERT_EQ(book.data_bytes(), data * kPage);
    if (step % 16 == 0) ASSERT_LE(book.count(), model.size());
    (void)entries;
  }
}

}  // namespace
}  // namespace moat
