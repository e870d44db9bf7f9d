#include "sentry/loader/clock_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>

namespace moat {
namespace {

constexpr int64_t kMs = 1'000'000, kSecond = 1'000'000'000;
constexpr int64_t kOffset = 1'700'000'000 * kSecond;

// A host whose counter ticks at 2.6 GHz while its clock runs `ppm` too fast by it.
class FakeHost {
 public:
  void Advance(int64_t ns) {
    tsc_ += static_cast<double>(ns) * kGhz;
    monotonic_ += static_cast<double>(ns) * (1 + ppm / 1e6);
  }
  // Reads are up to `noise` ns wrong.
  ClockSample Sample() {
    std::uniform_int_distribution<int64_t> wrong(-noise, noise);
    return {tsc(), monotonic() + wrong(random_), kOffset + step - 50, kOffset + step + 50};
  }
  uint64_t tsc() const { return static_cast<uint64_t>(tsc_); }
  int64_t monotonic() const { return static_cast<int64_t>(monotonic_); }
  void RestartCounter() { tsc_ = 1000; }

  double ppm = 0;
  int64_t noise = 20;
  int64_t step = 0;

 private:
  static constexpr double kGhz = 2.6;
  double tsc_ = 5e12;
  double monotonic_ = 77e9;
  std::mt19937_64 random_{1};
};

// What a guest reads; refreshes as the system call does.
int64_t Read(ClockModel& model, FakeHost& host) {
  uint64_t ticks = host.tsc() - model.parameters().base_tsc;
  if (ticks < model.parameters().valid_ticks) return vdso::MonotonicAfter(model.parameters(), ticks);
  return model.Refresh(host.Sample()).monotonic_ns;
}

int64_t IntervalNs(const ClockModel& model) {
  return static_cast<int64_t>(static_cast<double>(model.parameters().valid_ticks) / 2.6);
}

// Reads for `total_ns` every `every_ns`; returns the largest distance to the host's clock. Fails if time went backwards.
int64_t RunFor(ClockModel& model, FakeHost& host, int64_t total_ns, int64_t every_ns) {
  int64_t last = Read(model, host), worst = 0;
  for (int64_t t = 0; t < total_ns; t += every_ns) {
    host.Advance(every_ns);
    int64_t now = Read(model, host);
    EXPECT_GE(now, last);
    worst = std::max(worst, std::abs(now - host.monotonic()));
    last = now;
  }
  return worst;
}

TEST(ClockModelTest, PromisesNothingBeforeTheRateIsKnown) {
  FakeHost host;
  ClockModel model(host.Sample());
  EXPECT_EQ(model.parameters().valid_ticks, 0u);
  host.Advance(10'000);
  EXPECT_EQ(model.Refresh(host.Sample()).valid_ticks, 0u);
  host.Advance(kMs);
  EXPECT_GT(model.Refresh(host.Sample()).valid_ticks, 0u);
}

TEST(ClockModelTest, IntervalsGrowFromAMillisecondToASecond) {
  FakeHost host;
  ClockModel model(host.Sample());
  host.Advance(3 * kMs);
  model.Refresh(host.Sample());
  EXPECT_NEAR(static_cast<double>(IntervalNs(model)), kMs, kMs / 100);
  RunFor(model, host, 10 * kSecond, kMs / 2);
  EXPECT_NEAR(static_cast<double>(IntervalNs(model)), kSecond, kSecond / 100);
}

TEST(ClockModelTest, StaysCloseToTheHostsClock) {
  FakeHost host;
  host.ppm = 37;
  ClockModel model(host.Sample());
  host.Advance(3 * kMs);
  EXPECT_LT(RunFor(model, host, kSecond, 10'000), 200);
  EXPECT_LT(RunFor(model, host, 60 * kSecond, kMs), 200);
}

TEST(ClockModelTest, FollowsAChangeOfTheHostsRateWithoutGoingBackwards) {
  FakeHost host;
  ClockModel model(host.Sample());
  host.Advance(3 * kMs);
  RunFor(model, host, 20 * kSecond, kMs);
  for (double ppm : {500.0, -500.0, 0.0}) {
    host.ppm = ppm;
    // Until the end of the promise that was made before the change, at most: 500 us in a second, twice after a turn.
    EXPECT_LT(RunFor(model, host, 2 * kSecond, kMs / 10), 1'100'000) << ppm;
    RunFor(model, host, 3 * kSecond, kMs / 10);
    EXPECT_LT(RunFor(model, host, kSecond, kMs / 10), 5'000) << ppm;
  }
}

TEST(ClockModelTest, AClockThatIsAheadSlowsDownInsteadOfJumping) {
  FakeHost host;
  host.noise = 0;
  ClockModel model(host.Sample());
  host.Advance(3 * kMs);
  RunFor(model, host, 5 * kSecond, kMs);
  // A sample that was read late by 300 ns, as when the host interrupted it.
  ClockSample late = host.Sample();
  late.monotonic_ns += 300;
  model.Refresh(late);
  host.Advance(100);
  ClockSample good = host.Sample();
  vdso::ClockParameters p = model.Refresh(good);
  EXPECT_GE(p.monotonic_ns, late.monotonic_ns);
  EXPECT_GT(p.monotonic_ns, good.monotonic_ns);
  int64_t interval = IntervalNs(model);
  host.Advance(interval - 10);
  EXPECT_NEAR(static_cast<double>(Read(model, host)), static_cast<double>(host.monotonic()), 60);
}

TEST(ClockModelTest, RealtimeKeepsItsDistanceUntilTheHostsClockIsSet) {
  FakeHost host;
  ClockModel model(host.Sample());
  host.Advance(3 * kMs);
  int64_t offset = model.Refresh(host.Sample()).realtime_offset;
  host.step = 30;  // within what a sample can tell
  host.Advance(kSecond);
  EXPECT_EQ(model.Refresh(host.Sample()).realtime_offset, offset);
  host.step = -3 * kSecond;
  host.Advance(kSecond);
  EXPECT_EQ(model.Refresh(host.Sample()).realtime_offset, kOffset - 3 * kSecond);
}

TEST(ClockModelTest, AFullPromiseIsNeverTakenBackWhenTheCounterRestarts) {
  FakeHost host;
  ClockModel model(host.Sample());
  host.Advance(3 * kMs);
  RunFor(model, host, 20 * kSecond, kMs);
  vdso::ClockParameters before = model.parameters();
  int64_t last_shown = vdso::MonotonicAfter(before, before.valid_ticks);
  host.RestartCounter();
  EXPECT_GE(Read(model, host), last_shown);
  EXPECT_EQ(model.parameters().valid_ticks, 0u) << "the rate is unknown again";
  host.Advance(kMs);
  EXPECT_GE(Read(model, host), last_shown);
  EXPECT_GT(model.parameters().valid_ticks, 0u);
}

TEST(ClockModelTest, SurvivesLongSilence) {
  FakeHost host;
  ClockModel model(host.Sample());
  host.Advance(3 * kMs);
  RunFor(model, host, kSecond, kMs);
  host.Advance(30 * 24 * 3600 * kSecond);
  EXPECT_LT(RunFor(model, host, 5 * kSecond, kMs), 500);
}

}  // namespace
}  // namespace moat
