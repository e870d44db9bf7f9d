#include "runtime/util/files.h"

#include <gtest/gtest.h>

#include "base/host/file.h"

namespace moat {
namespace {

TEST(NormalPathTest, ResolvesDotsSlashesAndTheBase) {
  EXPECT_EQ(NormalPath("a/./b/../c", "/x"), "/x/a/c");
  EXPECT_EQ(NormalPath("/a//b/", "/x"), "/a/b");
  EXPECT_EQ(NormalPath("..", "/"), "/");
  EXPECT_EQ(NormalPath("../../..", "/x/y"), "/");
  EXPECT_EQ(NormalPath("", "/x/"), "/x");
  EXPECT_EQ(NormalPath("//a", "/x"), "/a");
}

TEST(IsWithinTest, ComparesWholeComponents) {
  EXPECT_TRUE(IsWithin("/a/b", "/a"));
  EXPECT_TRUE(IsWithin("/a", "/a"));
  EXPECT_FALSE(IsWithin("/ab", "/a"));
  EXPECT_FALSE(IsWithin("/", "/a"));
  EXPECT_TRUE(IsWithin("/a", "/"));
}

TEST(SealedFileTest, HoldsTheBytesAndRefusesWrites) {
  const ErrorOr<UniqueFd> fd = SealedFile("test", "hello");
  ASSERT_TRUE(fd.ok());
  char buffer[8] = {};
  EXPECT_EQ(*host::Read(fd->get(), buffer, sizeof(buffer)), 5u);
  EXPECT_STREQ(buffer, "hello");
  EXPECT_EQ(host::Pwrite(fd->get(), "x", 1, 0).error(), kEPERM);
}

}  // namespace
}  // namespace moat
