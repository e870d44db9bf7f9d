#include "sentry/loader/script.h"

#include <gtest/gtest.h>

namespace moat {
namespace {

TEST(ScriptTest, AFileWithoutTheMarkIsNoScript) {
  auto r = ParseScript("\177ELF");
  ASSERT_TRUE(r.ok());
  EXPECT_FALSE(r->has_value());
}

TEST(ScriptTest, TheInterpreterMayFollowBlanks) {
  auto r = ParseScript("#! \t/bin/sh\necho");
  ASSERT_TRUE(r.ok() && r->has_value());
  EXPECT_EQ((*r)->interpreter, "/bin/sh");
  EXPECT_FALSE((*r)->argument);
}

TEST(ScriptTest, TheRestOfTheLineIsOneArgument) {
  auto r = ParseScript("#!/usr/bin/env -S python3 -u  \n");
  ASSERT_TRUE(r.ok() && r->has_value());
  EXPECT_EQ((*r)->interpreter, "/usr/bin/env");
  EXPECT_EQ((*r)->argument, "-S python3 -u");
}

TEST(ScriptTest, AnEmptyLineIsRefused) {
  EXPECT_EQ(ParseScript("#!  \n").error(), kENOEXEC);
  EXPECT_EQ(ParseScript("#!").error(), kENOEXEC);
}

TEST(ScriptTest, ANameCutOffByTheBufferIsRefused) {
  EXPECT_EQ(ParseScript("#!/" + std::string(252, 'a')).error(), kENOEXEC);
  EXPECT_TRUE(ParseScript("#!/bin/sh").ok());
}

}  // namespace
}  // namespace moat
