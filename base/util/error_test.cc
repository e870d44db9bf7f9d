#include "base/util/error.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/util/no_destructor.h"
#include "base/util/unique_fd.h"

namespace moat {
namespace {

ErrorOr<int> Half(int n) {
  if (n % 2) return kEINVAL;
  return n / 2;
}
ErrorOr<int> Quarter(int n) { return TRY(Half(TRY(Half(n)))); }
ErrorOr<void> MustBeEven(int n) {
  TRY(Half(n));
  return {};
}

TEST(ErrorOr, TryUnwrapsOrReturns) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_EQ(Quarter(6).error(), kEINVAL);
  EXPECT_TRUE(MustBeEven(2).ok());
  EXPECT_EQ(MustBeEven(3).error(), kEINVAL);
  EXPECT_EQ(MustBeEven(2).error(), Errno{0});
}

TEST(ErrorOr, CarriesMoveOnlyValues) {
  auto make = [](bool good) -> ErrorOr<std::unique_ptr<int>> {
    if (!good) return kENOMEM;
    return std::make_unique<int>(5);
  };
  auto use = [&](bool good) -> ErrorOr<int> {
    std::unique_ptr<int> p = TRY(make(good));
    return *p;
  };
  EXPECT_EQ(*use(true), 5);
  EXPECT_EQ(use(false).error(), kENOMEM);
}

TEST(ErrorOr, ZeroIsAValue) {
  ErrorOr<int> zero = 0;
  EXPECT_TRUE(zero.ok());
  ErrorOr<Errno> an_errno_as_error = kEPERM;
  EXPECT_FALSE(an_errno_as_error.ok());
}

TEST(ErrorOr, SyscallReturnIsNegative) { EXPECT_EQ(ToSyscallReturn(kENOENT), -2); }

TEST(ErrnoName, KnowsNamesAndSaysWhenItDoesNot) {
  EXPECT_STREQ(ErrnoName(kENOENT), "ENOENT");
  EXPECT_STREQ(ErrnoName(kEHWPOISON), "EHWPOISON");
  EXPECT_STREQ(ErrnoName(Errno{4000}), "EUNKNOWN");
}

TEST(UniqueFd, MovesOwnership) {
  UniqueFd a(1 << 29);  // not an open descriptor: closing it does no harm
  UniqueFd b = std::move(a);
  EXPECT_FALSE(a.valid());
  EXPECT_EQ(b.get(), 1 << 29);
  EXPECT_EQ(b.Release(), 1 << 29);
  EXPECT_FALSE(b.valid());
}

TEST(NoDestructor, NeverDestroys) {
  struct Counter {
    explicit Counter(int& n) : n(n) {}
    ~Counter() { ++n; }
    int& n;
  };
  int destroyed = 0;
  {
    NoDestructor<Counter> counter(destroyed);
    EXPECT_EQ(&counter->n, &destroyed);
  }
  EXPECT_EQ(destroyed, 0);
}

}  // namespace
}  // namespace moat
