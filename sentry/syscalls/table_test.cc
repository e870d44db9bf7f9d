// Every system call number is accounted for.
#include "sentry/syscalls/table.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "sentry/syscalls/doc.h"

namespace moat {
namespace {

// Numbers without a row: new calls whose callers all have a way without them.
const std::set<std::string> kUnimplemented = {
    "cachestat", "futex_wait", "futex_wake", "futex_requeue", "process_mrelease",
};

TEST(SyscallTable, EveryNumberHasARowOrIsListedAsUnimplemented) {
  std::set<std::string> without;
  for (const SyscallName& call : AllSyscallNames()) {
    if (!FindSyscall(call.nr)) without.emplace(call.name);
  }
  EXPECT_EQ(without, kUnimplemented);
}

TEST(SyscallTable, EveryRowIsOneOfLinuxsCallsUnderItsNameAndOnlyOnce) {
  std::map<int, std::string> names;
  for (const SyscallName& call : AllSyscallNames()) names.emplace(call.nr, call.name);
  std::set<int> seen;
  for (const SyscallFamily* family : AllFamilies()) {
    for (const SyscallRow& row : family->rows) {
      EXPECT_EQ(names[row.nr], row.name);
      EXPECT_TRUE(seen.insert(row.nr).second) << row.name << " is listed twice";
      EXPECT_EQ(FindSyscall(row.nr), &row);
    }
  }
}

TEST(SyscallTable, WhatIsNotFullySupportedSaysWhy) {
  for (const SyscallFamily* family : AllFamilies()) {
    for (const SyscallRow& row : family->rows) {
      EXPECT_EQ(row.support == Support::kFull, std::string_view(row.note).empty()) << row.name;
    }
  }
}

TEST(SyscallTable, WhatIsRefusedSaysWithWhichError) {
  for (const SyscallFamily* family : AllFamilies()) {
    for (const SyscallRow& row : family->rows) {
      EXPECT_EQ(row.support == Support::kRefused, row.error != Errno{0}) << row.name;
    }
  }
}

TEST(SyscallTable, NumbersOutsideOfItAreNone) {
  EXPECT_EQ(FindSyscall(-1), nullptr);
  EXPECT_EQ(FindSyscall(400), nullptr);  // the gap that the common numbers leave
  EXPECT_EQ(FindSyscall(INT64_MAX), nullptr);
}

TEST(SyscallDoc, NamesEveryCallOnce) {
  std::string doc = SyscallDoc();
  for (const SyscallName& call : AllSyscallNames()) {
    std::string quoted = "`" + std::string(call.name) + "`";
    size_t first = doc.find(quoted);
    ASSERT_NE(first, std::string::npos) << call.name;
    EXPECT_EQ(doc.find(quoted, first + 1), std::string::npos) << call.name;
  }
}

}  // namespace
}  // namespace moat
