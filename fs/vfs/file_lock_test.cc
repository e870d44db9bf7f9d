#include "fs/vfs/file_lock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace moat {
namespace {

int a_owner, b_owner, c_owner;
const void *A = &a_owner, *B = &b_owner, *C = &c_owner;

RecordLock Lock(const void* owner, int64_t start, int64_t end, bool exclusive) {
  return {{start, end}, exclusive, owner, 1};
}

TEST(FileLockTest, RangesFromFlock) {
  EXPECT_EQ(MakeFileRange(10, 5)->end, 14);
  EXPECT_EQ(MakeFileRange(10, 0)->end, INT64_MAX);
  EXPECT_EQ(MakeFileRange(10, -5)->start, 5);
  EXPECT_EQ(MakeFileRange(10, -5)->end, 9);
  EXPECT_EQ(MakeFileRange(3, -5).error(), kEINVAL);
  EXPECT_EQ(MakeFileRange(-1, 5).error(), kEINVAL);
  EXPECT_EQ(MakeFileRange(INT64_MAX, 2).error(), kEOVERFLOW);
}

TEST(FileLockTest, SharedAndExclusive) {
  FileLocks l;
  EXPECT_TRUE(l.Set(Lock(A, 0, 9, false)).ok());
  EXPECT_TRUE(l.Set(Lock(B, 5, 14, false)).ok());
  EXPECT_EQ(l.Set(Lock(B, 0, 3, true)).error(), kEAGAIN);
  EXPECT_TRUE(l.Set(Lock(B, 10, 14, true)).ok());
  EXPECT_EQ(l.Set(Lock(A, 0, 10, false)).error(), kEAGAIN);
  std::optional<RecordLock> found = l.Test(Lock(A, 0, 100, false));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->range.start, 10);
  EXPECT_EQ(found->owner, B);
}

TEST(FileLockTest, SplitsAndJoins) {
  FileLocks l;
  ASSERT_TRUE(l.Set(Lock(A, 0, 99, true)).ok());
  ASSERT_TRUE(l.Unlock(A, {40, 59}).ok());
  EXPECT_EQ(l.List().size(), 2u);
  EXPECT_TRUE(l.Set(Lock(B, 40, 59, true)).ok());
  EXPECT_EQ(l.Set(Lock(B, 39, 59, true)).error(), kEAGAIN);
  ASSERT_TRUE(l.Unlock(B, {0, INT64_MAX}).ok());
  ASSERT_TRUE(l.Set(Lock(A, 40, 59, true)).ok());
  ASSERT_EQ(l.List().size(), 1u);
  EXPECT_EQ(l.List().front().lock.range.end, 99);
  ASSERT_TRUE(l.Set(Lock(A, 10, 19, false)).ok());  // converts a part
  EXPECT_EQ(l.List().size(), 3u);
  l.ReleaseOwner(A);
  EXPECT_TRUE(l.List().empty());
}

TEST(FileLockTest, DeadlocksAreSeen) {
  FileLocks one, two;
  LockWait wait_a, wait_b, wait_c;
  ASSERT_TRUE(one.Set(Lock(A, 0, 0, true)).ok());
  ASSERT_TRUE(two.Set(Lock(B, 0, 0, true)).ok());
  EXPECT_EQ(two.Set(Lock(A, 0, 0, true), &wait_a).error(), kEAGAIN);   // A waits for B
  EXPECT_EQ(two.Set(Lock(C, 0, 0, true), &wait_c).error(), kEAGAIN);   // so does C: no cycle
  EXPECT_EQ(one.Set(Lock(B, 0, 0, true), &wait_b).error(), kEDEADLK);  // B for A
  two.ReleaseOwner(B);
  EXPECT_TRUE(two.Set(Lock(A, 0, 0, true), &wait_a).ok());
  EXPECT_EQ(one.Set(Lock(B, 0, 0, true), &wait_b).error(), kEAGAIN);
}

TEST(FileLockTest, FlockIsByOpenFile) {
  FileLocks l;
  EXPECT_TRUE(l.Flock(A, false).ok());
  EXPECT_TRUE(l.Flock(B, false).ok());
  EXPECT_EQ(l.Flock(A, true).error(), kEAGAIN);  // and A's shared lock is gone
  EXPECT_TRUE(l.Flock(B, true).ok());
  EXPECT_EQ(l.Flock(A, false).error(), kEAGAIN);
  l.FlockUnlock(B);
  EXPECT_TRUE(l.Flock(A, true).ok());
  EXPECT_TRUE(l.Set(Lock(B, 0, 9, true)).ok());  // record locks do not mix with it
}

TEST(FileLockTest, LocksAreBounded) {
  FileLocks l;
  size_t n = 0;
  while (l.Set(Lock(A, static_cast<int64_t>(n) * 2, static_cast<int64_t>(n) * 2, n % 2 == 0)).ok() && n < 20000) ++n;
  EXPECT_EQ(n, kMaxLocksPerInode);
}

// A host that remembers what it was told, byte by byte, and may hold something itself.
class FakeHost final : public HostLocks {
 public:
  ErrorOr<void> SetRange(FileRange range, Type type) override {
    if (type != Type::kNone && busy.start <= range.end && range.start <= busy.end) return kEAGAIN;
    for (int64_t at = range.start; at <= std::min<int64_t>(range.end, kBytes - 1); ++at) {
      bytes[static_cast<size_t>(at)] = "-RW"[static_cast<int>(type)];
    }
    return {};
  }
  ErrorOr<void> SetFlock(Type type) override {
    flock = Type::kNone;
    if (flock_busy && type != Type::kNone) return kEAGAIN;
    flock = type;
    return {};
  }
  std::optional<RecordLock> Test(const RecordLock& lock) override {
    if (busy.start > lock.range.end || lock.range.start > busy.end) return std::nullopt;
    return RecordLock{busy, true, nullptr, 0};
  }

  static constexpr int64_t kBytes = 10;
  std::string bytes = std::string(kBytes, '-');
  FileRange busy{100, 99};  // nothing
  bool flock_busy = false;
  Type flock = Type::kNone;
};

TEST(FileLockTest, HostHasWhatGuestsHoldTogether) {
  FileLocks l;
  Ref<FakeHost> host = MakeRef<FakeHost>();
  ASSERT_TRUE(l.Set(Lock(A, 0, 5, false), nullptr, host).ok());
  ASSERT_TRUE(l.Set(Lock(B, 3, 7, false), nullptr, host).ok());
  ASSERT_TRUE(l.Set(Lock(C, 8, 9, true), nullptr, host).ok());
  EXPECT_EQ(host->bytes, "RRRRRRRRWW");
  ASSERT_TRUE(l.Unlock(A, {0, 9}).ok());
  EXPECT_EQ(host->bytes, "---RRRRRWW");
  ASSERT_TRUE(l.Set(Lock(C, 9, 9, false), nullptr, host).ok());
  EXPECT_EQ(host->bytes, "---RRRRRWR");
  l.ReleaseOwner(B);
  l.ReleaseOwner(C);
  EXPECT_EQ(host->bytes, "----------");
  EXPECT_EQ(l.host(), nullptr);
}

TEST(FileLockTest, HostsLocksAreInTheWay) {
  FileLocks l;
  Ref<FakeHost> host = MakeRef<FakeHost>();
  host->busy = {4, 5};
  EXPECT_EQ(l.Set(Lock(A, 0, 9, false), nullptr, host).error(), kEAGAIN);
  EXPECT_EQ(l.host(), nullptr);
  EXPECT_EQ(l.Test(Lock(A, 5, 9, true), host)->range.start, 4);
  EXPECT_FALSE(l.Test(Lock(A, 6, 9, true), host));
  EXPECT_TRUE(l.Set(Lock(A, 6, 9, true), nullptr, host).ok());
  EXPECT_EQ(l.Test(Lock(B, 6, 9, true), host)->owner, A);
}

TEST(FileLockTest, FlocksOfTheHost) {
  FileLocks l;
  Ref<FakeHost> host = MakeRef<FakeHost>();
  ASSERT_TRUE(l.Flock(A, false, 1, host).ok());
  ASSERT_TRUE(l.Flock(B, false, 1, host).ok());
  EXPECT_EQ(host->flock, HostLocks::Type::kShared);
  EXPECT_EQ(l.Flock(A, true, 1, host).error(), kEAGAIN);  // B's; A lost its own
  EXPECT_EQ(host->flock, HostLocks::Type::kShared);
  l.FlockUnlock(B);
  EXPECT_EQ(host->flock, HostLocks::Type::kNone);
  ASSERT_TRUE(l.Flock(A, true, 1, host).ok());
  EXPECT_EQ(host->flock, HostLocks::Type::kExclusive);
  ASSERT_TRUE(l.Flock(A, false, 1, host).ok());
  EXPECT_EQ(host->flock, HostLocks::Type::kShared);
  host->flock_busy = true;
  EXPECT_EQ(l.Flock(A, true, 1, host).error(), kEAGAIN);
  EXPECT_TRUE(l.List().empty());
}

}  // namespace
}  // namespace moat
