#include "base/seccomp/bpf_eval.h"

#include <string.h>

#include <optional>

namespace moat::seccomp {

namespace {

class Machine {
 public:
  explicit Machine(const abi::SeccompData& call) : call_(call) {}

  // The action if `op` returned; `jump` gets how many instructions to skip.
  ErrorOr<std::optional<uint32_t>> Step(const abi::SockFilter& op, size_t& jump) {
    jump = 0;
    switch (op.code & 7) {
      case abi::kBPF_LD: TRY(Load(op, a_)); return {std::nullopt};
      case abi::kBPF_LDX: TRY(Load(op, x_)); return {std::nullopt};
      case abi::kBPF_ST: TRY(Store(op, a_)); return {std::nullopt};
      case abi::kBPF_STX: TRY(Store(op, x_)); return {std::nullopt};
      case abi::kBPF_ALU: TRY(Alu(op)); return {std::nullopt};
      case abi::kBPF_JMP: TRY(Jump(op, jump)); return {std::nullopt};
      case abi::kBPF_RET: return Return(op);
      default: TRY(Misc(op)); return {std::nullopt};
    }
  }

 private:
  using Register = std::optional<uint32_t>;

  static ErrorOr<uint32_t> Get(const Register& r) {
    if (!r) return kENODATA;
    return *r;
  }
  ErrorOr<uint32_t> Operand(const abi::SockFilter& op) {
    if (op.code & abi::kBPF_X) return Get(x_);
    return op.k;
  }

  ErrorOr<void> Load(const abi::SockFilter& op, Register& to) {
    bool is_a = &to == &a_;
    switch (op.code & ~7) {
      case abi::kBPF_W | abi::kBPF_ABS:
        if (!is_a) return kEINVAL;
        if (op.k % 4 != 0 || op.k > sizeof call_ - 4) return kEFAULT;
        to = 0;
        memcpy(&*to, reinterpret_cast<const char*>(&call_) + op.k, 4);
        return {};
      case abi::kBPF_W | abi::kBPF_LEN:
        to = sizeof call_;
        return {};
      case abi::kBPF_IMM:
        to = op.k;
        return {};
      case abi::kBPF_MEM:
        if (op.k >= abi::kBPF_MEMWORDS) return kEFAULT;
        to = TRY(Get(memory_[op.k]));
        return {};
    }
    return kEINVAL;
  }
  ErrorOr<void> Store(const abi::SockFilter& op, const Register& from) {
    if (op.code & ~7) return kEINVAL;
    if (op.k >= abi::kBPF_MEMWORDS) return kEFAULT;
    memory_[op.k] = TRY(Get(from));
    return {};
  }
  ErrorOr<void> Alu(const abi::SockFilter& op) {
    uint32_t a = TRY(Get(a_));
    if ((op.code & 0xf0) == abi::kBPF_NEG) {
      if (op.code & abi::kBPF_X) return kEINVAL;
      a_ = -a;
      return {};
    }
    a_ = TRY(Compute(op.code & 0xf0, a, TRY(Operand(op))));
    return {};
  }
  static ErrorOr<uint32_t> Compute(int operation, uint32_t a, uint32_t b) {
    switch (operation) {
      case abi::kBPF_ADD: return a + b;
      case abi::kBPF_SUB: return a - b;
      case abi::kBPF_MUL: return a * b;
      case abi::kBPF_OR: return a | b;
      case abi::kBPF_AND: return a & b;
      case abi::kBPF_XOR: return a ^ b;
      case abi::kBPF_DIV:
        if (b == 0) return kEDOM;
        return a / b;
      case abi::kBPF_LSH:
      case abi::kBPF_RSH:
        if (b > 31) return kEDOM;
        return operation == abi::kBPF_LSH ? a << b : a >> b;
    }
    return kEINVAL;
  }
  ErrorOr<void> Jump(const abi::SockFilter& op, size_t& jump) {
    if ((op.code & 0xf0) == abi::kBPF_JA) {
      if (op.code & abi::kBPF_X) return kEINVAL;
      jump = op.k;
      return {};
    }
    uint32_t a = TRY(Get(a_));
    uint32_t b = TRY(Operand(op));
    bool yes = false;
    switch (op.code & 0xf0) {
      case abi::kBPF_JEQ: yes = a == b; break;
      case abi::kBPF_JGT: yes = a > b; break;
      case abi::kBPF_JGE: yes = a >= b; break;
      case abi::kBPF_JSET: yes = (a & b) != 0; break;
      default: return kEINVAL;
    }
    jump = yes ? op.jt : op.jf;
    return {};
  }
  ErrorOr<std::optional<uint32_t>> Return(const abi::SockFilter& op) {
    if ((op.code & ~7) == abi::kBPF_K) return {op.k};
    if ((op.code & ~7) == abi::kBPF_A) return {TRY(Get(a_))};
    return kEINVAL;
  }
  ErrorOr<void> Misc(const abi::SockFilter& op) {
    if ((op.code & ~7) == abi::kBPF_TAX) {
      x_ = TRY(Get(a_));
    } else if ((op.code & ~7) == abi::kBPF_TXA) {
      a_ = TRY(Get(x_));
    } else {
      return kEINVAL;
    }
    return {};
  }

  const abi::SeccompData& call_;
  Register a_, x_;
  Register memory_[abi::kBPF_MEMWORDS];
};

}  // namespace

ErrorOr<uint32_t> Evaluate(std::span<const abi::SockFilter> program, const abi::SeccompData& call) {
  Machine machine(call);
  for (size_t at = 0; at < program.size(); ++at) {  // jumps go forward only, so it ends
    size_t jump = 0;
    std::optional<uint32_t> action = TRY(machine.Step(program[at], jump));
    if (action) return *action;
    at += jump;
  }
  return kEFAULT;
}

}  // namespace moat::seccomp
