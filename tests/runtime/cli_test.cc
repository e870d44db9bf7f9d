// The command line: what needs no sandbox.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/util/moat_process.h"

namespace moat::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Moat() { return std::string(getenv("MOAT_PROGRAMS")) + "/moat"; }

// A usage error: 125 and exactly one line that names the program.
void ExpectRefused(std::vector<std::string> args, const std::string& text) {
  MoatProcess moat(Moat(), args);
  EXPECT_EQ(moat.Wait(), 125);
  EXPECT_THAT(moat.out(), IsEmpty());
  EXPECT_THAT(moat.err(), testing::StartsWith("moat: "));
  EXPECT_THAT(moat.err(), HasSubstr(text));
  EXPECT_EQ(std::ranges::count(moat.err(), '\n'), 1) << moat.err();
}

TEST(CliTest, HelpNamesEveryFlagOnStandardOutput) {
  MoatProcess moat(Moat(), {"do", "--help"});
  EXPECT_EQ(moat.Wait(), 0);
  EXPECT_THAT(moat.err(), IsEmpty());
  for (const char* flag :
       {"--rootfs", "--rw", "--ro", "--tmpfs", "--hide", "--no-default-hide", "--env", "--clearenv", "--cwd",
        "--user", "--hostname", "--timeout", "--platform", "--strace", "--log", "--debug"}) {
    EXPECT_THAT(moat.out(), HasSubstr(flag));
  }
  EXPECT_THAT(moat.out(), HasSubstr("Examples:"));
}

TEST(CliTest, VersionIsPrinted) {
  MoatProcess moat(Moat(), {"--version"});
  EXPECT_EQ(moat.Wait(), 0);
  EXPECT_THAT(moat.out(), testing::MatchesRegex("moat [0-9]+\\.[0-9]+\\.[0-9]+( \\(unsafe: built for sanitizers\\))?\n"));
}

TEST(CliTest, UnknownFlagsAndSubcommandsAreRefused) {
  ExpectRefused({"do", "--frobnicate", "--", "exit", "0"}, "--frobnicate");
  ExpectRefused({"frobnicate"}, "frobnicate");
  ExpectRefused({}, "subcommand");
}

TEST(CliTest, MissingCommandIsRefused) {
  ExpectRefused({"do"}, "no command");
  ExpectRefused({"do", "--"}, "no command");
  ExpectRefused({"do", "--debug", "--"}, "no command");
}

TEST(CliTest, BadValuesAreRefused) {
  ExpectRefused({"do", "--platform", "abacus", "--", "exit", "0"}, "--platform");
  ExpectRefused({"do", "--timeout", "-1", "--", "exit", "0"}, "--timeout");
  ExpectRefused({"do", "--timeout", "soon", "--", "exit", "0"}, "--timeout");
  ExpectRefused({"do", "--env", "NOVALUE", "--", "exit", "0"}, "NOVALUE");
  ExpectRefused({"do", "--cwd", "relative", "--", "exit", "0"}, "relative");
  ExpectRefused({"do", "--user", "no-such-user", "--", "exit", "0"}, "no-such-user");
}

TEST(CliTest, MissingPathsAreRefusedByName) {
  ExpectRefused({"do", "--rootfs", "/no/such/root", "--", "exit", "0"}, "/no/such/root");
  ExpectRefused({"do", "--rootfs", "/dev/null", "--", "exit", "0"}, "Not a directory");
  ExpectRefused({"do", "--rw", "/no/such/dir", "--", "exit", "0"}, "/no/such/dir");
  ExpectRefused({"do", "--ro", "/no/such/dir", "--", "exit", "0"}, "/no/such/dir");
  ExpectRefused({"do", "--ro", "/dev/null", "--", "exit", "0"}, "is a device");
  ExpectRefused({"do", "--hide", "/no/such/dir", "--", "exit", "0"}, "/no/such/dir");
  ExpectRefused({"do", "--log", "/no/such/dir/log", "--", "exit", "0"}, "/no/such/dir/log");
}

TEST(CliTest, CommandNeedsNoDashesAndKeepsItsOwnFlags) {
  MoatProcess plain(Moat(), {"do", "exit", "3"});
  EXPECT_EQ(plain.Wait(), 3);
  MoatProcess own_dashes(Moat(), {"do", "exit", "4", "--", "--timeout", "x"});
  EXPECT_EQ(own_dashes.Wait(), 4);
  MoatProcess own_flag(Moat(), {"do", "--timeout", "60", "--", "exit", "5", "--help"});
  EXPECT_EQ(own_flag.Wait(), 5);
}

TEST(CliTest, BareStraceDoesNotSwallowTheCommand) {
  MoatProcess moat(Moat(), {"do", "--strace", "exit", "6"});
  EXPECT_EQ(moat.Wait(), 6);
}

}  // namespace
}  // namespace moat::test
