#include "base/seccomp/verify.h"

#include <stdio.h>

#include "base/seccomp/bpf_dump.h"
#include "base/seccomp/bpf_eval.h"

namespace moat::seccomp {

namespace {

class Verifier {
 public:
  Verifier(const Filter& filter, std::span<const abi::SockFilter> program) : filter_(filter), program_(program) {}

  void Try(const abi::SeccompData& call) {
    uint32_t expected = Decide(filter_, call);
    ErrorOr<uint32_t> actual = Evaluate(program_, call);
    if (actual.ok() && *actual == expected) return;
    char text[256];
    snprintf(text, sizeof text, "%s(%#llx, %#llx, %#llx, %#llx, %#llx, %#llx) arch %#x ip %#llx: rows %s, program %s",
             SyscallName(call.nr), Word(call.args[0]), Word(call.args[1]), Word(call.args[2]), Word(call.args[3]),
             Word(call.args[4]), Word(call.args[5]), call.arch, Word(call.instruction_pointer),
             ActionName(expected).c_str(), actual.ok() ? ActionName(*actual).c_str() : ErrnoName(actual.error()));
    problems_.push_back(text);
  }

  void TryAround(const abi::SeccompData& good) {
    Try(good);
    for (uint64_t wrong : Around(good.instruction_pointer)) {
      abi::SeccompData call = good;
      call.instruction_pointer = wrong;
      Try(call);
    }
    for (int i = 0; i < 6; ++i) {
      for (uint64_t wrong : Around(good.args[i])) {
        abi::SeccompData call = good;
        call.args[i] = wrong;
        Try(call);
      }
    }
    abi::SeccompData call = good;
    call.arch = abi::kAUDIT_ARCH_I386;
    Try(call);
    call = good;
    call.nr |= abi::kX32_SYSCALL_BIT;
    Try(call);
  }

  std::vector<std::string> TakeProblems() { return std::move(problems_); }

 private:
  static unsigned long long Word(uint64_t v) { return v; }
  static std::vector<uint64_t> Around(uint64_t good) {
    std::vector<uint64_t> words = {0, 1, ~uint64_t{0}, good + 1, good - 1, ~good, good << 32, good >> 32};
    for (int bit = 0; bit < 64; ++bit) words.push_back(good ^ (uint64_t{1} << bit));
    return words;
  }
  const Filter& filter_;
  std::span<const abi::SockFilter> program_;
  std::vector<std::string> problems_;
};

}  // namespace

abi::SeccompData MatchingCall(const Rule& rule) {
  abi::SeccompData call{};
  call.nr = rule.nr;
  call.arch = abi::kAUDIT_ARCH_X86_64;
  if (rule.ip) call.instruction_pointer = rule.ip->begin;
  for (const ArgCondition& c : rule.conditions) {
    uint64_t& arg = call.args[c.index];
    switch (c.op) {
      case ArgCondition::Op::kMaskedEqual: arg = (arg & ~c.mask) | c.value; break;
      case ArgCondition::Op::kNotEqual: if (arg == c.value) arg = ~c.value; break;
      case ArgCondition::Op::kInRange: if (arg < c.value || arg > c.last) arg = c.value; break;
    }
  }
  return call;
}

std::vector<std::string> VerifyFilter(const Filter& filter, std::span<const abi::SockFilter> program) {
  Verifier verifier(filter, program);
  for (const Rule& rule : filter.rules) {
    verifier.TryAround(MatchingCall(rule));
    for (const ArgCondition& c : rule.conditions) {
      if (c.op != ArgCondition::Op::kInRange) continue;
      abi::SeccompData at_end = MatchingCall(rule);
      at_end.args[c.index] = c.last;
      verifier.TryAround(at_end);
    }
    if (rule.ip) {
      abi::SeccompData at_end = MatchingCall(rule);
      at_end.instruction_pointer = rule.ip->end - 1;
      verifier.TryAround(at_end);
    }
  }
  abi::SeccompData call{};
  call.arch = abi::kAUDIT_ARCH_X86_64;
  for (call.nr = -1; call.nr < 1024; ++call.nr) verifier.Try(call);
  return verifier.TakeProblems();
}

}  // namespace moat::seccomp
