#include "base/seccomp/compile.h"

#include <stddef.h>

#include <utility>

namespace moat::seccomp {

namespace {

using Program = std::vector<abi::SockFilter>;

constexpr uint32_t kArchOffset = offsetof(abi::SeccompData, arch);
constexpr uint32_t kNrOffset = offsetof(abi::SeccompData, nr);
constexpr uint32_t kIpOffset = offsetof(abi::SeccompData, instruction_pointer);
constexpr uint32_t kArgsOffset = offsetof(abi::SeccompData, args);
constexpr size_t kLongestShortJump = 255;

uint32_t Low(uint64_t v) { return static_cast<uint32_t>(v); }
uint32_t High(uint64_t v) { return static_cast<uint32_t>(v >> 32); }

// The code of one row. Its conditions jump to two places only: the next condition, or out of the row (kFail).
class RowCode {
 public:
  enum Target { kNext, kPass, kFail };  // the next instruction; the end of this condition; the end of the row

  void Load(uint32_t offset) { Add(abi::kBPF_LD | abi::kBPF_W | abi::kBPF_ABS, offset); }
  void And(uint32_t mask) { Add(abi::kBPF_ALU | abi::kBPF_AND | abi::kBPF_K, mask); }
  void Return(uint32_t action) { Add(abi::kBPF_RET | abi::kBPF_K, action); }
  void If(uint16_t comparison, uint32_t k, Target yes, Target no) {
    code_.push_back({{static_cast<uint16_t>(abi::kBPF_JMP | comparison | abi::kBPF_K), 0, 0, k}, yes, no});
  }
  // Gives the kPass jumps since the last call their place.
  void EndCondition() {
    for (; resolved_ < code_.size(); ++resolved_) {
      Instruction& i = code_[resolved_];
      if (i.yes == kPass) i.op.jt = static_cast<uint8_t>(code_.size() - resolved_ - 1);
      if (i.no == kPass) i.op.jf = static_cast<uint8_t>(code_.size() - resolved_ - 1);
    }
  }
  // Gives the kFail jumps their place, the end.
  ErrorOr<Program> Finish() {
    Program program;
    for (size_t at = 0; at < code_.size(); ++at) {
      Instruction& i = code_[at];
      size_t to_end = code_.size() - at - 1;
      if ((i.yes == kFail || i.no == kFail) && to_end > kLongestShortJump) return kE2BIG;
      if (i.yes == kFail) i.op.jt = static_cast<uint8_t>(to_end);
      if (i.no == kFail) i.op.jf = static_cast<uint8_t>(to_end);
      program.push_back(i.op);
    }
    return program;
  }

 private:
  struct Instruction {
    abi::SockFilter op;
    Target yes, no;
  };
  void Add(uint32_t code, uint32_t k) { code_.push_back({{static_cast<uint16_t>(code), 0, 0, k}, kNext, kNext}); }
  std::vector<Instruction> code_;
  size_t resolved_ = 0;
};

void EmitMaskedWord(RowCode& code, uint32_t offset, uint32_t mask, uint32_t value) {
  if (mask == 0) return;
  code.Load(offset);
  if (mask != ~uint32_t{0}) code.And(mask);
  code.If(abi::kBPF_JEQ, value, RowCode::kNext, RowCode::kFail);
}

// first <= the 64-bit word at `offset` <= last.
void EmitRange(RowCode& code, uint32_t offset, uint64_t first, uint64_t last) {
  code.Load(offset + 4);
  code.If(abi::kBPF_JGT, High(first), RowCode::kPass, RowCode::kNext);
  code.If(abi::kBPF_JEQ, High(first), RowCode::kNext, RowCode::kFail);
  code.Load(offset);
  code.If(abi::kBPF_JGE, Low(first), RowCode::kNext, RowCode::kFail);
  code.EndCondition();
  code.Load(offset + 4);
  code.If(abi::kBPF_JGT, High(last), RowCode::kFail, RowCode::kNext);
  code.If(abi::kBPF_JEQ, High(last), RowCode::kNext, RowCode::kPass);
  code.Load(offset);
  code.If(abi::kBPF_JGT, Low(last), RowCode::kFail, RowCode::kNext);
  code.EndCondition();
}

void EmitCondition(RowCode& code, const ArgCondition& c) {
  uint32_t offset = kArgsOffset + c.index * uint32_t{sizeof(uint64_t)};
  switch (c.op) {
    case ArgCondition::Op::kMaskedEqual:
      EmitMaskedWord(code, offset, Low(c.mask), Low(c.value));
      EmitMaskedWord(code, offset + 4, High(c.mask), High(c.value));
      break;
    case ArgCondition::Op::kNotEqual:
      code.Load(offset);
      code.If(abi::kBPF_JEQ, Low(c.value), RowCode::kNext, RowCode::kPass);
      code.Load(offset + 4);
      code.If(abi::kBPF_JEQ, High(c.value), RowCode::kFail, RowCode::kNext);
      break;
    case ArgCondition::Op::kInRange:
      EmitRange(code, offset, c.value, c.last);
      break;
  }
  code.EndCondition();
}

bool CanBeMet(const Rule& rule) {
  if (rule.nr < 0 || rule.nr >= abi::kX32_SYSCALL_BIT) return false;
  if (rule.ip && rule.ip->begin >= rule.ip->end) return false;
  for (const ArgCondition& c : rule.conditions) {
    if (c.index > 5) return false;
    if (c.op == ArgCondition::Op::kMaskedEqual && (c.value & ~c.mask)) return false;
    if (c.op == ArgCondition::Op::kInRange && c.value > c.last) return false;
  }
  return true;
}

// Ends in the rule's action, or falls off its end if the rule does not match.
ErrorOr<Program> CompileRow(const Rule& rule) {
  if (!CanBeMet(rule)) return kEINVAL;
  RowCode code;
  if (rule.ip) EmitRange(code, kIpOffset, rule.ip->begin, rule.ip->end - 1);
  for (const ArgCondition& c : rule.conditions) EmitCondition(code, c);
  code.Return(rule.action);
  return code.Finish();
}

void Append(Program& to, const Program& more) { to.insert(to.end(), more.begin(), more.end()); }

// All rows of one call; always returns.
ErrorOr<Program> CompileCall(const Filter& filter, size_t first_row) {
  Program body;
  bool unconditional = false;
  for (size_t i = first_row; i < filter.rules.size() && !unconditional; ++i) {
    const Rule& rule = filter.rules[i];
    if (rule.nr != filter.rules[first_row].nr) continue;
    Append(body, TRY(CompileRow(rule)));
    unconditional = rule.conditions.empty() && !rule.ip;
  }
  if (!unconditional) body.push_back({abi::kBPF_RET | abi::kBPF_K, 0, 0, filter.default_action});
  return body;
}

bool IsFirstRowOfCall(const Filter& filter, size_t row) {
  for (size_t i = 0; i < row; ++i) {
    if (filter.rules[i].nr == filter.rules[row].nr) return false;
  }
  return true;
}

}  // namespace

ErrorOr<Program> CompileFilter(const Filter& filter) {
  constexpr uint16_t kLoad = abi::kBPF_LD | abi::kBPF_W | abi::kBPF_ABS;
  constexpr uint16_t kReturn = abi::kBPF_RET | abi::kBPF_K;
  constexpr uint16_t kIfEqual = abi::kBPF_JMP | abi::kBPF_JEQ | abi::kBPF_K;
  constexpr uint16_t kIfAtLeast = abi::kBPF_JMP | abi::kBPF_JGE | abi::kBPF_K;
  Program program = {
      {kLoad, 0, 0, kArchOffset},
      {kIfEqual, 1, 0, abi::kAUDIT_ARCH_X86_64},
      {kReturn, 0, 0, filter.foreign_action},
      {kLoad, 0, 0, kNrOffset},
      {kIfAtLeast, 0, 1, static_cast<uint32_t>(abi::kX32_SYSCALL_BIT)},
      {kReturn, 0, 0, filter.foreign_action},
  };
  for (size_t row = 0; row < filter.rules.size(); ++row) {
    if (!IsFirstRowOfCall(filter, row)) continue;
    Program body = TRY(CompileCall(filter, row));
    uint32_t nr = static_cast<uint32_t>(filter.rules[row].nr);
    uint32_t size = static_cast<uint32_t>(body.size());
    if (size <= kLongestShortJump) {
      program.push_back({kIfEqual, 0, static_cast<uint8_t>(size), nr});
    } else {
      program.push_back({kIfEqual, 1, 0, nr});
      program.push_back({abi::kBPF_JMP | abi::kBPF_JA, 0, 0, size});
    }
    Append(program, body);
  }
  program.push_back({kReturn, 0, 0, filter.default_action});
  if (program.size() > abi::kBPF_MAXINSNS) return kE2BIG;
  return program;
}

}  // namespace moat::seccomp
