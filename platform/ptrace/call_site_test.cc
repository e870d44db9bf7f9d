#include "platform/ptrace/call_site.h"

#include <gtest/gtest.h>

#include <cstring>

#include "abi/elf.h"

namespace moat::ptrace {
namespace {

constexpr uint64_t kBase = 0x400000, kTrampoline = 0x408010, kGateway = 0x408000;

// `code` in the middle of a window of ordinary instructions; `ret` is where its last byte ends.
struct Window {
  explicit Window(std::vector<uint8_t> code, std::vector<uint8_t> behind = {}) {
    bytes.assign(kSiteReach, 0x55);
    bytes.insert(bytes.end(), code.begin(), code.end());
    ret = kBase + bytes.size();
    bytes.insert(bytes.end(), behind.begin(), behind.end());
    bytes.resize(bytes.size() + kSiteReach, 0x55);
  }
  std::optional<SitePlan> Plan(uint64_t nr) { return PlanSite({kBase, bytes}, ret, nr, kTrampoline, kGateway); }
  void Apply(const SitePlan& plan) {
    for (const Edit& edit : plan.edits) {
      ASSERT_EQ(memcmp(&bytes[edit.addr - kBase], edit.before.data(), edit.size), 0);
      memcpy(&bytes[edit.addr - kBase], edit.after.data(), edit.size);
    }
  }
  int32_t Int(uint64_t addr) {
    int32_t value;
    memcpy(&value, &bytes[addr - kBase], sizeof value);
    return value;
  }
  uint8_t At(uint64_t addr) { return bytes[addr - kBase]; }

  std::vector<uint8_t> bytes;
  uint64_t ret;
};

const std::vector<uint8_t> kMovSyscall = {0xb8, 39, 0, 0, 0, 0x0f, 0x05};
const std::vector<uint8_t> kReturnAndGap = {0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0};

TEST(PlanSite, JumpsOverTheMovAndLeavesTheSyscall) {
  Window w(kMovSyscall);
  auto plan = w.Plan(39);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->edits.size(), 1u);
  w.Apply(*plan);
  EXPECT_EQ(w.At(w.ret - 7), 0xe9);
  EXPECT_EQ(w.ret - 2 + static_cast<uint64_t>(w.Int(w.ret - 6)), kTrampoline);
  EXPECT_EQ(w.At(w.ret - 2), 0x0f);
  // mov $39, %eax; lea ret(%rip), %rcx; jmp gateway
  ASSERT_EQ(plan->trampoline.size(), 17u);
  int32_t number, distance, jump;
  memcpy(&number, &plan->trampoline[1], 4);
  memcpy(&distance, &plan->trampoline[8], 4);
  memcpy(&jump, &plan->trampoline[13], 4);
  EXPECT_EQ(number, 39);
  EXPECT_EQ(kTrampoline + 12 + static_cast<uint64_t>(static_cast<int64_t>(distance)), w.ret);
  EXPECT_EQ(kTrampoline + 17 + static_cast<uint64_t>(static_cast<int64_t>(jump)), kGateway);
}

TEST(PlanSite, TakesNoOtherRegisterForEax) {
  std::vector<uint8_t> code = kMovSyscall;
  code.insert(code.begin(), 0x41);  // mov $39, %r8d
  EXPECT_FALSE(Window(code).Plan(39));
}

TEST(PlanSite, TakesNoMovOfAnotherNumber) { EXPECT_FALSE(Window(kMovSyscall).Plan(40)); }

TEST(PlanSite, UsesTheGapBehindAFunction) {
  Window w({0x31, 0xc0, 0x0f, 0x05}, kReturnAndGap);
  auto plan = w.Plan(0);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->edits.size(), 2u);
  const uint64_t gap = w.ret + 1;
  w.Apply(*plan);
  EXPECT_EQ(w.At(w.ret - 2), 0xeb);
  EXPECT_EQ(w.ret + w.At(w.ret - 1), gap + 2);
  EXPECT_EQ(w.At(gap), 0xeb) << "whoever runs into the gap jumps over it";
  EXPECT_EQ(gap + 2 + w.At(gap + 1), gap + 10);
  EXPECT_EQ(w.At(gap + 2), 0xe9);
  EXPECT_EQ(gap + 7 + static_cast<uint64_t>(w.Int(gap + 3)), kTrampoline);
  // The gap is used now.
  w.bytes[w.ret - 2 - kBase] = 0x0f;
  w.bytes[w.ret - 1 - kBase] = 0x05;
  EXPECT_FALSE(w.Plan(0));
}

TEST(PlanSite, UsesAGapBeforeTheSite) {
  std::vector<uint8_t> code = kReturnAndGap;
  code.insert(code.end(), {0x31, 0xc0, 0x0f, 0x05});
  Window w(code);
  auto plan = w.Plan(0);
  ASSERT_TRUE(plan);
  w.Apply(*plan);
  EXPECT_EQ(w.ret + static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(w.At(w.ret - 1)))), w.ret - 4 - 10 + 2);
}

TEST(PlanSite, LeavesAlignmentInsideAFunctionAlone) {
  EXPECT_FALSE(Window({0x31, 0xc0, 0x0f, 0x05}, {0x90, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}).Plan(0));
}

TEST(PlanSite, LeavesShortGapsAlone) {
  EXPECT_FALSE(Window({0x31, 0xc0, 0x0f, 0x05}, {0xc3, 0x0f, 0x1f, 0x44, 0, 0}).Plan(0));
}

TEST(PlanSite, ReachesNoGapFurtherThanAShortJump) {
  std::vector<uint8_t> behind(124, 0x55);
  behind.insert(behind.end(), kReturnAndGap.begin(), kReturnAndGap.end());
  EXPECT_TRUE(Window({0x31, 0xc0, 0x0f, 0x05}, behind).Plan(0));
  behind.insert(behind.begin(), 0x55);
  EXPECT_FALSE(Window({0x31, 0xc0, 0x0f, 0x05}, behind).Plan(0));
}

TEST(PlanSite, WantsASyscallThere) {
  EXPECT_FALSE(Window({0xb8, 39, 0, 0, 0, 0xcd, 0x80}).Plan(39));
  EXPECT_FALSE(PlanSite({kBase, {}}, kBase, 39, kTrampoline, kGateway));
}

TEST(PlanSite, WantsTheTrampolineNear) {
  Window w(kMovSyscall);
  EXPECT_FALSE(PlanSite({kBase, w.bytes}, w.ret, 39, kBase + (uint64_t{1} << 32), kGateway));
  EXPECT_FALSE(PlanSite({kBase, w.bytes}, w.ret, 39, kTrampoline, kBase + (uint64_t{1} << 32)));
}

// An ELF file with one code segment.
std::vector<uint8_t> File(uint64_t offset, uint64_t filesz, uint32_t flags = abi::kPF_R | abi::kPF_X) {
  abi::Elf64Ehdr head{};
  memcpy(head.e_ident, "\177ELF", 4);
  head.e_phoff = sizeof head;
  head.e_phentsize = sizeof(abi::Elf64Phdr);
  head.e_phnum = 1;
  abi::Elf64Phdr segment{};
  segment.p_type = abi::kPT_LOAD;
  segment.p_flags = flags;
  segment.p_offset = offset;
  segment.p_filesz = segment.p_memsz = filesz;
  std::vector<uint8_t> file(sizeof head + sizeof segment);
  memcpy(file.data(), &head, sizeof head);
  memcpy(file.data() + sizeof head, &segment, sizeof segment);
  return file;
}

TEST(CodeLength, IsTheSegments) {
  EXPECT_EQ(CodeLength(File(0x1000, 0x2345), 0x1000, 0x3000), 0x2345u);
  EXPECT_EQ(CodeLength(File(0x1230, 0x100), 0x1000, 0x1000), 0x330u);
}

TEST(CodeLength, WantsASegmentThatIsMappedWhole) {
  EXPECT_FALSE(CodeLength(File(0x1000, 0x2345), 0x1000, 0x2000));
  EXPECT_FALSE(CodeLength(File(0x1000, 0x2345), 0, 0x3000));
  EXPECT_FALSE(CodeLength(File(0x1000, 0x2345, abi::kPF_R), 0x1000, 0x3000));
  EXPECT_FALSE(CodeLength(File(0x1ff0, ~uint64_t{0}), 0x1000, 0x3000));
}

TEST(CodeLength, TakesNothingFromDamagedFiles) {
  std::vector<uint8_t> file = File(0x1000, 0x100);
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(CodeLength({file.data(), size}, 0x1000, 0x1000));
  }
  file[0] = 'x';
  EXPECT_FALSE(CodeLength(file, 0x1000, 0x1000));
  file = File(0x1000, 0x100);
  file[32] = 0xff;  // e_phoff
  file[39] = 0xff;
  EXPECT_FALSE(CodeLength(file, 0x1000, 0x1000));
}

}  // namespace
}  // namespace moat::ptrace
