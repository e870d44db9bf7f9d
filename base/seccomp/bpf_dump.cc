#include "base/seccomp/bpf_dump.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

namespace moat::seccomp {

namespace {

__attribute__((format(printf, 2, 3))) void Appendf(std::string& out, const char* format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  out += text;
}

void AppendCondition(std::string& out, const ArgCondition& c) {
  auto value = static_cast<unsigned long long>(c.value);
  switch (c.op) {
    case ArgCondition::Op::kMaskedEqual:
      if (c.mask == ~uint64_t{0}) {
        Appendf(out, "arg%d == 0x%llx", c.index, value);
      } else {
        Appendf(out, "arg%d & 0x%llx == 0x%llx", c.index, static_cast<unsigned long long>(c.mask), value);
      }
      break;
    case ArgCondition::Op::kNotEqual:
      Appendf(out, "arg%d != 0x%llx", c.index, value);
      break;
    case ArgCondition::Op::kInRange:
      Appendf(out, "0x%llx <= arg%d <= 0x%llx", value, c.index, static_cast<unsigned long long>(c.last));
      break;
  }
}

std::string FieldName(uint32_t offset) {
  if (offset == offsetof(abi::SeccompData, nr)) return "nr";
  if (offset == offsetof(abi::SeccompData, arch)) return "arch";
  const char* half = offset % 8 ? ".high" : ".low";
  if (offset < offsetof(abi::SeccompData, args)) return std::string("ip") + half;
  return "arg" + std::to_string((offset - offsetof(abi::SeccompData, args)) / 8) + half;
}

const char* Comparison(uint16_t code) {
  switch (code & 0xf0) {
    case abi::kBPF_JEQ: return "==";
    case abi::kBPF_JGT: return ">";
    case abi::kBPF_JGE: return ">=";
    case abi::kBPF_JSET: return "&";
  }
  return "?";
}

// `loaded` is what the last load brought, to name what a comparison compares with.
void AppendInstruction(std::string& out, size_t at, const abi::SockFilter& op, std::string& loaded) {
  constexpr uint16_t kLoad = abi::kBPF_LD | abi::kBPF_W | abi::kBPF_ABS;
  constexpr uint16_t kAnd = abi::kBPF_ALU | abi::kBPF_AND | abi::kBPF_K;
  Appendf(out, "%4zu: ", at);
  if (op.code == kLoad) {
    loaded = FieldName(op.k);
    out += "load " + loaded;
  } else if (op.code == kAnd) {
    Appendf(out, "and 0x%x", op.k);
  } else if (op.code == (abi::kBPF_RET | abi::kBPF_K)) {
    out += "return " + ActionName(op.k);
  } else if (op.code == (abi::kBPF_JMP | abi::kBPF_JA)) {
    Appendf(out, "goto %zu", at + 1 + op.k);
  } else if ((op.code & 7) == abi::kBPF_JMP) {
    Appendf(out, "if %s 0x%x", Comparison(op.code), op.k);
    if (loaded == "nr") Appendf(out, " (%s)", SyscallName(static_cast<int>(op.k)));
    Appendf(out, " goto %zu else %zu", at + 1 + op.jt, at + 1 + op.jf);
  } else {
    Appendf(out, "code 0x%x jt %u jf %u k 0x%x", op.code, op.jt, op.jf, op.k);
  }
  out += '\n';
}

}  // namespace

std::string ActionName(uint32_t action) {
  uint32_t data = action & abi::kSECCOMP_RET_DATA;
  std::string name;
  switch (action & abi::kSECCOMP_RET_ACTION_FULL) {
    case abi::kSECCOMP_RET_KILL_PROCESS: name = "KILL_PROCESS"; break;
    case abi::kSECCOMP_RET_KILL_THREAD: name = "KILL_THREAD"; break;
    case abi::kSECCOMP_RET_TRAP: name = "TRAP"; break;
    case abi::kSECCOMP_RET_ERRNO: name = "ERRNO"; break;
    case abi::kSECCOMP_RET_USER_NOTIF: name = "USER_NOTIF"; break;
    case abi::kSECCOMP_RET_TRACE: name = "TRACE"; break;
    case abi::kSECCOMP_RET_LOG: name = "LOG"; break;
    case abi::kSECCOMP_RET_ALLOW: name = "ALLOW"; break;
    default: name = "unknown"; break;
  }
  if (data) name += "(" + std::to_string(data) + ")";
  return name;
}

std::string DumpRules(const Filter& filter) {
  std::string out = "default " + ActionName(filter.default_action) + ", foreign " + ActionName(filter.foreign_action) + "\n";
  for (const Rule& rule : filter.rules) {
    out += SyscallName(rule.nr);
    out += '(';
    for (size_t i = 0; i < rule.conditions.size(); ++i) {
      if (i) out += ", ";
      AppendCondition(out, rule.conditions[i]);
    }
    out += ") ";
    if (rule.ip) {
      Appendf(out, "at [0x%llx, 0x%llx) ", static_cast<unsigned long long>(rule.ip->begin),
              static_cast<unsigned long long>(rule.ip->end));
    }
    out += ActionName(rule.action) + "; " + rule.call_site + "; " + rule.reason + "; " + rule.gain + "\n";
  }
  return out;
}

std::string DumpProgram(std::span<const abi::SockFilter> program) {
  std::string out;
  std::string loaded;
  for (size_t at = 0; at < program.size(); ++at) AppendInstruction(out, at, program[at], loaded);
  return out;
}

}  // namespace moat::seccomp
