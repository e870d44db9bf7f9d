#include "sentry/syscalls/doc.h"

#include <array>

namespace moat {

namespace {

constexpr SyscallName kNames[] = {
#define MOAT_SYSCALL(nr, name) {nr, #name},
#include "abi/syscall_nr.inc"
#undef MOAT_SYSCALL
};

struct Counts {
  int full = 0, partial = 0, refused = 0;
};

Counts Count() {
  Counts n;
  for (const SyscallFamily* family : AllFamilies()) {
    for (const SyscallRow& row : family->rows) {
      ++(row.support == Support::kFull ? n.full : row.support == Support::kPartial ? n.partial : n.refused);
    }
  }
  return n;
}

std::string Word(const SyscallRow& row) {
  switch (row.support) {
    case Support::kFull: return "full";
    case Support::kPartial: return "partial";
    case Support::kRefused: return std::string("refused: ") + ErrnoName(row.error);
  }
  return "";
}

// Names written in the table's language, not in Markdown's.
std::string Escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|' || c == '_' || c == '*' || c == '<') out += '\\';
    out += c;
  }
  return out;
}

std::string Section(const SyscallFamily& family) {
  std::string text = "## " + std::string(family.title) + "\n\n| nr | call | support | note |\n|---:|---|---|---|\n";
  for (const SyscallRow& row : family.rows) {
    text += "| " + std::to_string(row.nr) + " | `" + row.name + "` | " + Word(row) + " | " +
            Escaped(row.note) + " |\n";
  }
  return text + "\n";
}

}  // namespace

std::span<const SyscallName> AllSyscallNames() { return kNames; }

std::string SyscallDoc() {
  Counts n = Count();
  std::string missing;
  int missing_count = 0;
  for (const SyscallName& call : AllSyscallNames()) {
    if (FindSyscall(call.nr)) continue;
    missing += (missing.empty() ? "`" : ", `") + std::string(call.name) + "`";
    ++missing_count;
  }
  std::string text =
      "# System calls\n\n"
      "What Moat's kernel answers to each system call of x86-64 Linux. Generated from the table in `sentry/syscalls` by\n"
      "`moat-syscalls-doc`; do not edit.\n\n"
      "* **full**: everything that its man page documents.\n"
      "* **partial**: the note says what is missing.\n"
      "* **refused**: always an error, the one that Linux gives without the feature or the privilege; the note says which.\n\n";
  text += std::to_string(n.full) + " full, " + std::to_string(n.partial) + " partial, " + std::to_string(n.refused) +
          " refused, " + std::to_string(missing_count) + " not implemented.\n\n";
  for (const SyscallFamily* family : AllFamilies()) text += Section(*family);
  text += "## not implemented\n\n`ENOSYS`, as on a kernel from before the call:\n" + missing + ".\n";
  return text;
}

}  // namespace moat
