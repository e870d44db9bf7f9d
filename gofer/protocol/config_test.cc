#include "gofer/protocol/config.h"

#include <gtest/gtest.h>

namespace moat {
namespace {

const GoferConfig kSample{
    .roots = {{"/", false}, {"/home/u/src", true}}, .hidden = {"/home/u/.ssh"}, .privileged = true};

TEST(GoferConfigTest, DecodesToWhatWasEncoded) {
  const ErrorOr<GoferConfig> decoded = DecodeGoferConfig(EncodeGoferConfig(kSample));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, kSample);
}

TEST(GoferConfigTest, TruncatedOrPaddedIsRefused) {
  const std::string bytes = EncodeGoferConfig(kSample);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeGoferConfig(std::string_view(bytes).substr(0, size)).error(), kEINVAL) << size;
  }
  EXPECT_EQ(DecodeGoferConfig(bytes + '\0').error(), kEINVAL);
}

TEST(GoferConfigTest, NoRootOrRelativePathsAreRefused) {
  EXPECT_EQ(DecodeGoferConfig(EncodeGoferConfig({})).error(), kEINVAL);
  EXPECT_EQ(DecodeGoferConfig(EncodeGoferConfig({.roots = {{"etc"}}})).error(), kEINVAL);
  EXPECT_EQ(DecodeGoferConfig(EncodeGoferConfig({.roots = {{"/"}}, .hidden = {"x"}})).error(), kEINVAL);
}

}  // namespace
}  // namespace moat
