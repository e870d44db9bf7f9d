#include "sentry/control/protocol.h"

#include <gtest/gtest.h>

namespace moat {
namespace {

TEST(ControlProtocolTest, DecodesToWhatWasEncoded) {
  for (const ControlMessage& message :
       {ControlMessage{ControlType::kSignal, 15, 1, ""}, ControlMessage{ControlType::kStarted, 0, 0, ""},
        ControlMessage{ControlType::kExecFailed, 2, 0, "no such file"},
        ControlMessage{ControlType::kExited, 0, 9, ""}, ControlMessage{ControlType::kNotice, 0, 0, "a\nb"},
        ControlMessage{ControlType::kDelivered, 3, 0, ""}, ControlMessage{ControlType::kGo, 0, 0, ""},
        ControlMessage{ControlType::kMemory, 1 << 20, 1, ""}}) {
    const ErrorOr<ControlMessage> decoded = DecodeControl(EncodeControl(message));
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ(*decoded, message);
  }
}

TEST(ControlProtocolTest, LongTextIsCut) {
  const std::string bytes = EncodeControl({ControlType::kNotice, 0, 0, std::string(5000, 'x')});
  EXPECT_EQ(bytes.size(), kMaxControlBytes);
  const ErrorOr<ControlMessage> decoded = DecodeControl(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->text, std::string(kMaxControlText, 'x'));
}

TEST(ControlProtocolTest, TruncatedOrPaddedIsRefused) {
  const std::string bytes = EncodeControl({ControlType::kNotice, 0, 0, "hello"});
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeControl(std::string_view(bytes).substr(0, size)).error(), kEINVAL);
  }
  EXPECT_EQ(DecodeControl(bytes + "x").error(), kEINVAL);
}

TEST(ControlProtocolTest, UnknownTypeAndStrayTextAreRefused) {
  EXPECT_EQ(DecodeControl(EncodeControl({static_cast<ControlType>(0), 0, 0, ""})).error(), kEINVAL);
  EXPECT_EQ(DecodeControl(EncodeControl({static_cast<ControlType>(10), 0, 0, ""})).error(), kEINVAL);
  EXPECT_EQ(DecodeControl(EncodeControl({ControlType::kExited, 0, 0, "text"})).error(), kEINVAL);
}

}  // namespace
}  // namespace moat
