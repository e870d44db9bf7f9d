#include "base/util/log.h"

#include <gtest/gtest.h>

#include <string>

#include "base/host/file.h"
#include "base/util/check.h"

namespace moat {
namespace {

class LogTest : public testing::Test {
 protected:
  void SetUp() override { SetLog(pipe_.write.get(), "unit", LogLevel::kInfo); }
  void TearDown() override { SetLog(2, "moat", LogLevel::kWarning); }
  // What was logged, at most one pipe full.
  std::string Logged() {
    char buffer[4096];
    ErrorOr<size_t> n = host::Read(pipe_.read.get(), buffer, sizeof buffer);
    return n.ok() ? std::string(buffer, *n) : "";
  }
  host::PipeEnds pipe_ = std::move(*host::Pipe2(abi::kO_NONBLOCK | abi::kO_CLOEXEC));
};

TEST_F(LogTest, OneLineARecordWithProgramAndLevel) {
  LOG(kError, "%s is %d", "x", 5);
  LOG(kInfo, "more");
  EXPECT_EQ(Logged(), "unit: E x is 5\nunit: I more\n");
}

TEST_F(LogTest, RecordsAboveTheLevelCostNothing) {
  bool evaluated = false;
  LOG(kDebug, "%d", (evaluated = true));
  EXPECT_EQ(Logged(), "");
  EXPECT_FALSE(evaluated);
}

TEST_F(LogTest, LongRecordsAreCutButEndTheirLine) {
  std::string longer(5000, 'x');
  LOG(kWarning, "%s", longer.c_str());
  std::string line = Logged();
  EXPECT_EQ(line.size(), 1023u);
  EXPECT_EQ(line.substr(0, 10), "unit: W xx");
  EXPECT_EQ(line.back(), '\n');
  EXPECT_EQ(line.find('\0'), std::string::npos);
}

using CheckDeathTest = testing::Test;
TEST(CheckDeathTest, NamesTheConditionAndEndsTheProcess) {
  CHECK(1 + 1 == 2);
  EXPECT_EXIT(CHECK(1 + 1 == 3), testing::ExitedWithCode(134), "log_test.cc:[0-9]+: check failed: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace moat
