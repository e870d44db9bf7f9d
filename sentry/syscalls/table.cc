#include "sentry/syscalls/table.h"

#include <array>

#include "base/util/check.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/strace.h"

namespace moat {

namespace {

constexpr size_t kTableSize = 512;  // above the highest number Linux has

std::array<const SyscallRow*, kTableSize> BuildTable() {
  std::array<const SyscallRow*, kTableSize> table{};
  for (const SyscallFamily* family : AllFamilies()) {
    for (const SyscallRow& row : family->rows) {
      CHECK(static_cast<size_t>(row.nr) < kTableSize);
      CHECK(table[static_cast<size_t>(row.nr)] == nullptr);  // a call listed twice
      table[static_cast<size_t>(row.nr)] = &row;
    }
  }
  return table;
}

bool AllowedInStrictMode(int64_t nr) {
  return nr == abi::kNr_read || nr == abi::kNr_write || nr == abi::kNr_exit || nr == abi::kNr_rt_sigreturn;
}

}  // namespace

const SyscallRow* FindSyscall(int64_t nr) {
  static const std::array<const SyscallRow*, kTableSize> table = BuildTable();
  if (nr < 0 || nr >= static_cast<int64_t>(kTableSize)) return nullptr;
  return table[static_cast<size_t>(nr)];
}

ErrorOr<uint64_t> DispatchSyscall(Task& t, int64_t nr, const uint64_t* args) {
  const SyscallRow* row = FindSyscall(nr);
  if (t.seccomp_strict && !AllowedInStrictMode(nr)) [[unlikely]] {
    t.group().ExitAll(abi::kSIGKILL);
    return kEINTR;
  }
  if (StraceEnabled()) [[unlikely]] return StraceCall(t, row, nr, args);
  if (!row) return kENOSYS;
  return row->call(t, args);
}

}  // namespace moat
