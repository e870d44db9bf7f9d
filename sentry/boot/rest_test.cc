#include "sentry/boot/rest.h"

#include <gtest/gtest.h>

namespace moat {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMost = kSecond / RestMeter::kRestShare;  // CPU time of a second at rest
constexpr int64_t kWork = RestMeter::kWorkNs;

TEST(RestMeter, TheFirstQuestionOnlyStartsTheMeasure) {
  RestMeter meter;
  EXPECT_FALSE(meter.CameToRest(100 * kSecond, 0));
  EXPECT_TRUE(meter.CameToRest(101 * kSecond, 0));
}

TEST(RestMeter, CountsTheTimeSinceTheLastAnswerAlone) {
  RestMeter meter;
  meter.CameToRest(100 * kSecond, 5 * kSecond);
  EXPECT_FALSE(meter.CameToRest(101 * kSecond, 5 * kSecond + kMost + 1));
  EXPECT_TRUE(meter.CameToRest(102 * kSecond, 5 * kSecond + 2 * kMost + 1));
}

TEST(RestMeter, ARestCountsOnceUntilThereWasWork) {
  RestMeter meter;
  meter.CameToRest(100 * kSecond, 0);
  EXPECT_TRUE(meter.CameToRest(101 * kSecond, 0));
  EXPECT_FALSE(meter.CameToRest(102 * kSecond, kWork / 2));
  EXPECT_FALSE(meter.CameToRest(103 * kSecond, kWork - 1));
  EXPECT_TRUE(meter.CameToRest(104 * kSecond, kWork));
  EXPECT_FALSE(meter.CameToRest(105 * kSecond, kWork));
}

TEST(RestMeter, QuestionsInQuickSuccessionCountTogether) {
  RestMeter meter;
  meter.CameToRest(100 * kSecond, 0);
  constexpr int64_t kStep = RestMeter::kShortestNs / 4;
  int64_t now = 100 * kSecond;
  for (int i = 1; i < 4; ++i) EXPECT_FALSE(meter.CameToRest(now += kStep, 0));
  EXPECT_TRUE(meter.CameToRest(now += kStep, 0));
}

}  // namespace
}  // namespace moat
