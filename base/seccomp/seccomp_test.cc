#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "abi/prctl.h"
#include "abi/signal.h"
#include "abi/wait.h"
#include "base/host/file.h"
#include "base/host/process.h"
#include "base/host/raw.h"
#include "base/seccomp/bpf_dump.h"
#include "base/seccomp/bpf_eval.h"
#include "base/seccomp/compile.h"
#include "base/seccomp/install.h"
#include "base/seccomp/rule.h"
#include "base/seccomp/verify.h"
#include "base/util/sanitizers.h"

namespace moat::seccomp {
namespace {

constexpr uint32_t kAllow = abi::kSECCOMP_RET_ALLOW;
constexpr uint32_t kKill = abi::kSECCOMP_RET_KILL_PROCESS;
constexpr uint32_t kTrap = abi::kSECCOMP_RET_TRAP;

Rule Row(abi::Nr nr, std::vector<ArgCondition> conditions = {}, uint32_t action = kAllow) {
  return {nr, std::move(conditions), "a_test", "because", "nothing", action, std::nullopt};
}

// A list with one row of every kind.
Filter Example() {
  Filter filter;
  filter.rules = {
      Row(abi::kNr_read),
      Row(abi::kNr_mmap, {ArgLacks(2, 4), ArgMaskedIs(3, 0x3, 0x2)}),
      Row(abi::kNr_fcntl, {ArgIs(1, 3)}),
      Row(abi::kNr_write),
      Row(abi::kNr_fcntl, {ArgIs(1, 4), ArgMaskedIs(2, ~uint64_t{0x800}, 0)}),
      Row(abi::kNr_openat, {ArgIs(0, static_cast<uint64_t>(-100))}),
      Row(abi::kNr_ioctl, {ArgIs32(1, 0x5413)}),
      Row(abi::kNr_kill, {ArgIsNot(0, 1), ArgInRange(1, 1, 15)}),
      Row(abi::kNr_lseek, {ArgInRange(1, 0x1'0000'0000, 0x3'8000'0000)}),
      Row(abi::kNr_clone, {}, abi::kSECCOMP_RET_ERRNO | 38),
  };
  return filter;
}

abi::SeccompData Call(int nr, std::initializer_list<uint64_t> args = {}) {
  abi::SeccompData call{};
  call.nr = nr;
  call.arch = abi::kAUDIT_ARCH_X86_64;
  size_t i = 0;
  for (uint64_t arg : args) call.args[i++] = arg;
  return call;
}

uint32_t Act(const Filter& filter, const abi::SeccompData& call) {
  ErrorOr<std::vector<abi::SockFilter>> program = CompileFilter(filter);
  EXPECT_TRUE(program.ok());
  ErrorOr<uint32_t> action = Evaluate(*program, call);
  EXPECT_TRUE(action.ok()) << ErrnoName(action.error());
  return *action;
}

TEST(Compile, ArgumentsDecideOneByOne) {
  Filter f = Example();
  EXPECT_EQ(Act(f, Call(abi::kNr_read, {1, 2, 3})), kAllow);
  EXPECT_EQ(Act(f, Call(abi::kNr_execve)), kKill);
  EXPECT_EQ(Act(f, Call(abi::kNr_mmap, {0, 0, 3, 0x22})), kAllow);
  EXPECT_EQ(Act(f, Call(abi::kNr_mmap, {0, 0, 7, 0x22})), kKill) << "PROT_EXEC";
  EXPECT_EQ(Act(f, Call(abi::kNr_mmap, {0, 0, 3, 0x21})), kKill) << "MAP_SHARED";
  EXPECT_EQ(Act(f, Call(abi::kNr_fcntl, {9, 3})), kAllow);
  EXPECT_EQ(Act(f, Call(abi::kNr_fcntl, {9, 4, 0x800})), kAllow);
  EXPECT_EQ(Act(f, Call(abi::kNr_fcntl, {9, 4, 0x801})), kKill);
  EXPECT_EQ(Act(f, Call(abi::kNr_fcntl, {9, 0})), kKill);
  EXPECT_EQ(Act(f, Call(abi::kNr_openat, {static_cast<uint64_t>(-100)})), kAllow);
  EXPECT_EQ(Act(f, Call(abi::kNr_openat, {0xffffff9c})), kKill) << "the high half counts";
  EXPECT_EQ(Act(f, Call(abi::kNr_ioctl, {0, 0xdeadbeef'00005413})), kAllow) << "the high half does not count";
  EXPECT_EQ(Act(f, Call(abi::kNr_ioctl, {0, 0x5412})), kKill);
  EXPECT_EQ(Act(f, Call(abi::kNr_kill, {2, 15})), kAllow);
  EXPECT_EQ(Act(f, Call(abi::kNr_kill, {1, 15})), kKill);
  EXPECT_EQ(Act(f, Call(abi::kNr_kill, {2, 0})), kKill);
  EXPECT_EQ(Act(f, Call(abi::kNr_kill, {2, 16})), kKill);
  EXPECT_EQ(Act(f, Call(abi::kNr_kill, {2, 0x1'0000'0002})), kKill);
  EXPECT_EQ(Act(f, Call(abi::kNr_clone)), abi::kSECCOMP_RET_ERRNO | 38);
}

TEST(Compile, ForeignArchitecturesNeverReachTheRows) {
  Filter f = Example();
  abi::SeccompData call = Call(abi::kNr_read);
  call.arch = abi::kAUDIT_ARCH_I386;
  EXPECT_EQ(Act(f, call), kKill);
  f.foreign_action = kTrap;
  EXPECT_EQ(Act(f, call), kTrap);
  EXPECT_EQ(Act(f, Call(abi::kNr_read | abi::kX32_SYSCALL_BIT)), kTrap);
  EXPECT_EQ(Act(f, Call(-1)), kTrap);
}

TEST(Compile, StubFilterAllowsOnlyFromItsPage) {
  constexpr uint64_t kPage = 0x7fff'0000'1000;
  Filter f;
  f.default_action = f.foreign_action = kTrap;
  f.rules = {Row(abi::kNr_munmap), Row(abi::kNr_mmap, {ArgLacks(2, 4)})};
  for (Rule& rule : f.rules) rule.ip = IpRange{kPage, kPage + 0x1000};
  for (const auto& [ip, expected] : {std::pair{kPage - 1, kTrap}, std::pair{kPage, kAllow}, std::pair{kPage + 0xfff, kAllow},
                                     std::pair{kPage + 0x1000, kTrap}, std::pair{kPage + 0x1'0000'0000, kTrap}}) {
    for (int nr : {abi::kNr_munmap, abi::kNr_mmap}) {
      abi::SeccompData call = Call(nr);
      call.instruction_pointer = ip;
      EXPECT_EQ(Act(f, call), expected) << std::hex << ip;
    }
  }
  EXPECT_TRUE(VerifyFilter(f, *CompileFilter(f)).empty());
}

TEST(Compile, RowsThatNeverMatchAreRefused) {
  for (const ArgCondition& bad : {ArgIs(6, 0), ArgMaskedIs(0, 1, 2), ArgInRange(0, 2, 1)}) {
    Filter f;
    f.rules = {Row(abi::kNr_read, {bad})};
    EXPECT_EQ(CompileFilter(f).error(), kEINVAL);
  }
  Filter f;
  f.rules = {Row(abi::kNr_read)};
  f.rules[0].ip = IpRange{5, 5};
  EXPECT_EQ(CompileFilter(f).error(), kEINVAL);
}

TEST(Compile, CallsWithManyRowsNeedLongJumps) {
  Filter f;
  for (uint64_t command = 0; command < 200; ++command) f.rules.push_back(Row(abi::kNr_ioctl, {ArgIs(1, command * 3)}));
  f.rules.push_back(Row(abi::kNr_read));
  EXPECT_EQ(Act(f, Call(abi::kNr_ioctl, {0, 597})), kAllow);
  EXPECT_EQ(Act(f, Call(abi::kNr_ioctl, {0, 598})), kKill);
  EXPECT_EQ(Act(f, Call(abi::kNr_read)), kAllow);
  EXPECT_EQ(Act(f, Call(abi::kNr_write)), kKill);
  for (uint64_t command = 0; command < 1000; ++command) f.rules.push_back(Row(abi::kNr_fcntl, {ArgIs(1, command)}));
  EXPECT_EQ(CompileFilter(f).error(), kE2BIG);
}

TEST(Compile, UnconditionalCallsLookAtNumberAndArchitectureOnly) {
  Filter f;
  f.rules = {Row(abi::kNr_fcntl, {ArgIs(1, 3)}), Row(abi::kNr_read)};
  std::vector<abi::SockFilter> program = *CompileFilter(f);
  // With the argument loads made faulty, read still passes: it never ran them.
  for (abi::SockFilter& op : program) {
    if (op.code == (abi::kBPF_LD | abi::kBPF_W | abi::kBPF_ABS) && op.k >= 8) op.k = 64;
  }
  EXPECT_EQ(*Evaluate(program, Call(abi::kNr_read)), kAllow);
  EXPECT_EQ(Evaluate(program, Call(abi::kNr_fcntl)).error(), kEFAULT);
}

ArgCondition RandomCondition(std::mt19937_64& random) {
  constexpr uint64_t kWords[] = {0, 1, 0xffffffff, 0x1'0000'0000, 0xffffffff'00000000, ~uint64_t{0}, 0x80000000};
  auto word = [&] { return random() % 2 ? kWords[random() % std::size(kWords)] : random(); };
  int index = static_cast<int>(random() % 6);
  switch (random() % 5) {
    case 0: return ArgIs(index, word());
    case 1: return ArgIs32(index, static_cast<uint32_t>(word()));
    case 2: return ArgIsNot(index, word());
    case 3: {
      uint64_t mask = word();
      return ArgMaskedIs(index, mask, word() & mask);
    }
    default: {
      uint64_t a = word(), b = word();
      return ArgInRange(index, std::min(a, b), std::max(a, b));
    }
  }
}

TEST(Verify, CompiledProgramsOfRandomRowsMeanWhatTheRowsMean) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    Filter f;
    f.default_action = random() % 2 ? kKill : kTrap;
    for (uint64_t i = random() % 8; i < 9; ++i) {
      Rule rule = Row(static_cast<abi::Nr>(random() % 4));
      for (uint64_t c = random() % 4; c > 0; --c) rule.conditions.push_back(RandomCondition(random));
      if (random() % 4 == 0) rule.action = abi::kSECCOMP_RET_ERRNO | 1;
      if (random() % 4 == 0) rule.ip = IpRange{random() >> 20, (uint64_t{1} << 44) + (random() >> 20)};
      f.rules.push_back(rule);
    }
    std::vector<std::string> problems = VerifyFilter(f, *CompileFilter(f));
    ASSERT_TRUE(problems.empty()) << problems[0] << "\n" << DumpRules(f) << DumpProgram(*CompileFilter(f));
  }
}

// The verifier itself: every change of one instruction's constant or jump that matters must be noticed.
TEST(Verify, DamagedProgramsAreNoticed) {
  Filter f = Example();
  std::vector<abi::SockFilter> good = *CompileFilter(f);
  EXPECT_TRUE(VerifyFilter(f, good).empty());
  int unnoticed = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    std::vector<abi::SockFilter> bad = good;
    if ((bad[i].code & 7) == abi::kBPF_JMP) {
      std::swap(bad[i].jt, bad[i].jf);
    } else {
      bad[i].k ^= 1;
    }
    unnoticed += VerifyFilter(f, bad).empty();
  }
  EXPECT_EQ(unnoticed, 0);
}

TEST(Evaluate, RefusesWhatWasNeverSetAndWhatIsOutOfRange) {
  using P = std::vector<abi::SockFilter>;
  abi::SeccompData call = Call(0);
  constexpr uint16_t kLd = abi::kBPF_LD | abi::kBPF_W | abi::kBPF_ABS;
  constexpr uint16_t kRetA = abi::kBPF_RET | abi::kBPF_A;
  EXPECT_EQ(Evaluate(P{}, call).error(), kEFAULT);
  EXPECT_EQ(Evaluate(P{{kRetA, 0, 0, 0}}, call).error(), kENODATA);
  EXPECT_EQ(Evaluate(P{{kLd, 0, 0, 4}, {kRetA, 0, 0, 0}}, call).value(), abi::kAUDIT_ARCH_X86_64);
  EXPECT_EQ(Evaluate(P{{kLd, 0, 0, 64}, {kRetA, 0, 0, 0}}, call).error(), kEFAULT);
  EXPECT_EQ(Evaluate(P{{kLd, 0, 0, 2}, {kRetA, 0, 0, 0}}, call).error(), kEFAULT);
  EXPECT_EQ(Evaluate(P{{kLd, 0, 0, 0}}, call).error(), kEFAULT) << "no end";
  EXPECT_EQ(Evaluate(P{{abi::kBPF_JMP | abi::kBPF_JA, 0, 0, 5}}, call).error(), kEFAULT);
  EXPECT_EQ(Evaluate(P{{abi::kBPF_JMP | abi::kBPF_JEQ, 0, 0, 5}}, call).error(), kENODATA);
  EXPECT_EQ(Evaluate(P{{abi::kBPF_LD | abi::kBPF_MEM, 0, 0, 3}}, call).error(), kENODATA);
  EXPECT_EQ(Evaluate(P{{abi::kBPF_LD | abi::kBPF_MEM, 0, 0, 16}}, call).error(), kEFAULT);
  EXPECT_EQ(Evaluate(P{{abi::kBPF_LD | abi::kBPF_B | abi::kBPF_ABS, 0, 0, 0}}, call).error(), kEINVAL);
}

TEST(Evaluate, KnowsArithmeticMemoryAndIndex) {
  using P = std::vector<abi::SockFilter>;
  P program = {
      {abi::kBPF_LD | abi::kBPF_IMM, 0, 0, 7},   {abi::kBPF_ST, 0, 0, 2},
      {abi::kBPF_LDX | abi::kBPF_IMM, 0, 0, 3},  {abi::kBPF_ALU | abi::kBPF_LSH | abi::kBPF_X, 0, 0, 0},  // 56
      {abi::kBPF_MISC | abi::kBPF_TAX, 0, 0, 0}, {abi::kBPF_LD | abi::kBPF_MEM, 0, 0, 2},
      {abi::kBPF_ALU | abi::kBPF_ADD | abi::kBPF_X, 0, 0, 0},  // 63
      {abi::kBPF_JMP | abi::kBPF_JSET | abi::kBPF_K, 0, 1, 32},
      {abi::kBPF_ALU | abi::kBPF_XOR | abi::kBPF_K, 0, 0, 1},  // 62
      {abi::kBPF_RET | abi::kBPF_A, 0, 0, 0}};
  EXPECT_EQ(*Evaluate(program, Call(0)), 62u);
  program[2].k = 32;
  EXPECT_EQ(Evaluate(program, Call(0)).error(), kEDOM);
}

TEST(Dump, IsReadable) {
  Filter f;
  f.rules = {Row(abi::kNr_read), Row(abi::kNr_fcntl, {ArgIs(1, 3), ArgLacks(2, 8)})};
  f.rules[1].ip = IpRange{0x1000, 0x2000};
  EXPECT_EQ(DumpRules(f),
            "default KILL_PROCESS, foreign KILL_PROCESS\n"
            "read() ALLOW; a_test; because; nothing\n"
            "fcntl(arg1 == 0x3, arg2 & 0x8 == 0x0) at [0x1000, 0x2000) ALLOW; a_test; because; nothing\n");
  f.rules = {Row(abi::kNr_read), Row(abi::kNr_kill, {ArgIs32(1, 9)})};
  EXPECT_EQ(DumpProgram(*CompileFilter(f)),
            "   0: load arch\n"
            "   1: if == 0xc000003e goto 3 else 2\n"
            "   2: return KILL_PROCESS\n"
            "   3: load nr\n"
            "   4: if >= 0x40000000 (?) goto 5 else 6\n"
            "   5: return KILL_PROCESS\n"
            "   6: if == 0x0 (read) goto 7 else 8\n"
            "   7: return ALLOW\n"
            "   8: if == 0x3e (kill) goto 9 else 13\n"
            "   9: load arg1.low\n"
            "  10: if == 0x9 goto 11 else 12\n"
            "  11: return ALLOW\n"
            "  12: return KILL_PROCESS\n"
            "  13: return KILL_PROCESS\n");
}

// In a child: installs a list that allows exit_group and getpid (on a condition), then runs `body` and exits with what it returns. The wait
// status. No noreturn function is called under the list: ASan makes calls of its own before one.
int InChild(bool all_threads, int (*body)()) {
  Filter f;
  f.rules = {Row(abi::kNr_exit_group), Row(abi::kNr_getpid, {ArgIs(0, 7)}),
             Row(abi::kNr_getuid, {}, abi::kSECCOMP_RET_ERRNO | static_cast<uint32_t>(kEXDEV))};
  std::vector<abi::SockFilter> program = *CompileFilter(f);
  int pid = *host::Fork(0);
  if (pid == 0) {
    (void)host::PrlimitSet(0, 4 /* RLIMIT_CORE */, {0, 0});
    if (!InstallFilter(program, all_threads).ok()) host::ExitGroup(99);
    host::RawSyscall(abi::kNr_exit_group, body());
  }
  int status = 0;
  EXPECT_EQ(*host::RetryEintr([&] { return host::Wait4(pid, &status, 0); }), pid);
  return status;
}

TEST(Install, TheKernelTakesTheProgramAndEnforcesIt) {
  for (bool all_threads : {false, true}) {
    int status = InChild(all_threads, [] {
      host::RawSyscall(abi::kNr_getpid, 7);
      return host::RawSyscall(abi::kNr_getuid) == ToSyscallReturn(kEXDEV) ? 0 : 1;
    });
    EXPECT_TRUE(abi::WaitIfExited(status));
    EXPECT_EQ(abi::WaitExitStatus(status), 0);
    status = InChild(all_threads, [] { return static_cast<int>(host::RawSyscall(abi::kNr_getpid, 8)); });
    EXPECT_TRUE(abi::WaitIfSignaled(status));
    EXPECT_EQ(abi::WaitTermSig(status), abi::kSIGSYS);
    status = InChild(all_threads, [] { return static_cast<int>(host::RawSyscall(abi::kNr_write, 1, 0, 0)); });
    EXPECT_EQ(abi::WaitTermSig(status), abi::kSIGSYS);
  }
}

TEST(Install, RefusesIfAThreadHasAFilterOfItsOwn) {
#if defined(MOAT_TSAN)
  GTEST_SKIP() << "TSan's runtime cannot go on in a child of a process with threads";
#endif
  // All in a child, whose threads may die with their filters.
  int pid = *host::Fork(0);
  if (pid == 0) {
    Filter f;
    f.default_action = kAllow;
    std::vector<abi::SockFilter> program = *CompileFilter(f);
    std::atomic<int> step{0};
    std::thread other([&] {
      step = InstallFilter(program, false).ok() ? 1 : 2;
      while (step != 3) {
      }
    });
    while (step == 0) {
    }
    bool refused = step == 1 && InstallFilter(program, true).error() == kEBUSY;
    host::ExitGroup(refused ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(*host::RetryEintr([&] { return host::Wait4(pid, &status, 0); }), pid);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace moat::seccomp
