#include "base/util/ref.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace moat {
namespace {

struct Base : RefCounted {};
struct Counted : Base {
  explicit Counted(int* deaths) : deaths(deaths) {}
  ~Counted() override { ++*deaths; }
  int* deaths;
};
struct Other : Base {};

TEST(Ref, LastOneDestroys) {
  int deaths = 0;
  Ref<Counted> a = MakeRef<Counted>(&deaths);
  EXPECT_EQ(a->ref_count(), 1u);
  {
    Ref<Counted> b = a;
    EXPECT_EQ(a->ref_count(), 2u);
    Ref<Counted> c = std::move(b);
    EXPECT_EQ(a->ref_count(), 2u);
    EXPECT_EQ(b, nullptr);
    EXPECT_EQ(c, a);
  }
  EXPECT_EQ(deaths, 0);
  a = nullptr;
  EXPECT_EQ(deaths, 1);
}

TEST(Ref, SelfAssignmentKeepsTheObject) {
  int deaths = 0;
  Ref<Counted> a = MakeRef<Counted>(&deaths);
  Ref<Counted>& alias = a;
  a = alias;
  EXPECT_EQ(deaths, 0);
  EXPECT_EQ(a->ref_count(), 1u);
}

TEST(Ref, ConvertsToTheBaseAndCastsBack) {
  int deaths = 0;
  Ref<Base> base = MakeRef<Counted>(&deaths);
  EXPECT_EQ(RefCast<Counted>(base)->ref_count(), 2u);
  EXPECT_EQ(RefCast<Other>(base), nullptr);
  base = MakeRef<Other>();
  EXPECT_EQ(deaths, 1);
}

TEST(Ref, BorrowedPointerGetsAFurtherReference) {
  int deaths = 0;
  Ref<Counted> a = MakeRef<Counted>(&deaths);
  Counted* borrowed = a.get();
  Ref<Counted> b(borrowed);
  a = nullptr;
  EXPECT_EQ(deaths, 0);
  b = nullptr;
  EXPECT_EQ(deaths, 1);
}

TEST(Ref, LeakAndAdoptKeepTheCount) {
  int deaths = 0;
  Counted* raw = MakeRef<Counted>(&deaths).Leak();
  EXPECT_EQ(raw->ref_count(), 1u);
  Ref<Counted>(raw, AdoptRef{});
  EXPECT_EQ(deaths, 1);
}

// A weak cache: its destructor unlinks the object under the lock that finders hold.
TEST(Ref, TryAddRefFailsOnceTheLastReferenceIsGone) {
  struct Dying : RefCounted {
    explicit Dying(bool* revived) : revived(revived) {}
    ~Dying() override { *revived = TryAddRef(); }
    bool* revived;
  };
  bool revived = true;
  MakeRef<Dying>(&revived) = nullptr;
  EXPECT_FALSE(revived);
  int deaths = 0;
  Ref<Counted> alive = MakeRef<Counted>(&deaths);
  ASSERT_TRUE(alive->TryAddRef());
  EXPECT_EQ(alive->ref_count(), 2u);
  alive->Release();
}

TEST(RefStress, ThreadsShareAnObject) {
  int deaths = 0;
  {
    Ref<Counted> shared = MakeRef<Counted>(&deaths);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([shared] {
        for (int round = 0; round < 10000; ++round) Ref<Counted> copy = shared;
      });
    }
    shared = nullptr;
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(deaths, 1);
}

}  // namespace
}  // namespace moat
