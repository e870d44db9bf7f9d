#include "sentry/boot/config.h"

#include <gtest/gtest.h>

namespace moat {
namespace {

SandboxConfig Sample() {
  SandboxConfig c;
  c.argv = {"sh", "-c", "echo hi"};
  c.env = {"A=1", "EMPTY=", std::string("ODD=\xff\n")};
  c.cwd = "/home/u";
  c.uid = 1000, c.gid = 1001, c.groups = {4, 24, 4000000000u}, c.umask = 077, c.nice = -7;
  c.ignored_signals = 1, c.blocked_signals = uint64_t{1} << 63;
  c.rlimits[7] = {1024, 4096};
  c.stdio = {StdioKind::kTty, StdioKind::kFile, StdioKind::kClosed};
  c.tty = {true, 0, {1, 2, 3}};
  c.mounts = {{.kind = MountKind::kOverlay, .target = "/"},
              {.kind = MountKind::kTmpfs, .locked = true, .mode = 01777, .size = 1 << 20, .target = "/tmp"}};
  c.platform = PlatformChoice::kPtrace;
  c.strace = true;
  c.max_tasks = 77, c.memory_bytes = uint64_t{1} << 40, c.layer_bytes = 1 << 30;
  c.host_uid = 65533;
  return c;
}

TEST(SandboxConfigTest, DecodesToWhatWasEncoded) {
  const ErrorOr<SandboxConfig> decoded = DecodeConfig(EncodeConfig(Sample()));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, Sample());
}

TEST(SandboxConfigTest, EveryTruncationIsRefused) {
  const std::string bytes = EncodeConfig(Sample());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeConfig(std::string_view(bytes).substr(0, size)).error(), kEINVAL) << size;
  }
}

TEST(SandboxConfigTest, TrailingBytesAreRefused) {
  EXPECT_EQ(DecodeConfig(EncodeConfig(Sample()) + '\0').error(), kEINVAL);
}

TEST(SandboxConfigTest, OtherVersionIsRefused) {
  std::string bytes = EncodeConfig(Sample());
  bytes[0] ^= 1;
  EXPECT_EQ(DecodeConfig(bytes).error(), kEINVAL);
}

TEST(SandboxConfigTest, HugeCountIsRefusedWithoutAllocating) {
  std::string bytes = EncodeConfig(Sample());
  bytes.replace(4, 4, "\xff\xff\xff\xff");  // number of arguments
  EXPECT_EQ(DecodeConfig(bytes).error(), kEINVAL);
}

TEST(SandboxConfigTest, NoCommandIsRefused) {
  SandboxConfig c = Sample();
  c.argv.clear();
  EXPECT_EQ(DecodeConfig(EncodeConfig(c)).error(), kEINVAL);
}

TEST(SandboxConfigTest, FirstMountMustBeTheRoot) {
  SandboxConfig c = Sample();
  std::swap(c.mounts[0], c.mounts[1]);
  EXPECT_EQ(DecodeConfig(EncodeConfig(c)).error(), kEINVAL);
}

TEST(SandboxConfigTest, RelativeOrCutTargetIsRefused) {
  for (const std::string& target : {std::string("tmp"), std::string("/a\0b", 4), std::string()}) {
    SandboxConfig c = Sample();
    c.mounts[1].target = target;
    EXPECT_EQ(DecodeConfig(EncodeConfig(c)).error(), kEINVAL);
  }
}

TEST(SandboxConfigTest, FlippedBytesNeverDecodeToSomethingUnsound) {
  const std::string bytes = EncodeConfig(Sample());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string bad = bytes;
    bad[i] = static_cast<char>(bad[i] ^ 0x80);
    const ErrorOr<SandboxConfig> decoded = DecodeConfig(bad);
    if (!decoded.ok()) continue;
    EXPECT_FALSE(decoded->argv.empty());
    EXPECT_EQ(decoded->mounts.at(0).target, "/");
    EXPECT_LE(decoded->mounts[1].kind, MountKind::kEmptyFile);
  }
}

}  // namespace
}  // namespace moat
