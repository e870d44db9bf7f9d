#include "platform/ptrace/write_decode.h"

#include <gtest/gtest.h>

#include <vector>

namespace moat::ptrace {
namespace {

bool Writes(std::vector<uint8_t> code, uint64_t addr = 0x1000) {
  abi::UserRegs regs{};
  regs.rsp = 0x8000;
  regs.rdi = 0x1000;
  regs.rsi = 0x2000;
  code.resize(15, 0x90);
  return WritesMemory(code, addr, regs);
}

TEST(WriteDecode, TellsStoresFromLoads) {
  EXPECT_TRUE(Writes({0x48, 0x89, 0x37}));              // mov %rsi,(%rdi)
  EXPECT_FALSE(Writes({0x48, 0x8b, 0x07}));             // mov (%rdi),%rax
  EXPECT_TRUE(Writes({0xc6, 0x07, 0x01}));              // movb $1,(%rdi)
  EXPECT_TRUE(Writes({0xf0, 0xff, 0x07}));              // lock incl (%rdi)
  EXPECT_TRUE(Writes({0xf0, 0x0f, 0xb1, 0x37}));        // lock cmpxchg %esi,(%rdi)
  EXPECT_TRUE(Writes({0x48, 0x83, 0x07, 0x01}));        // addq $1,(%rdi)
  EXPECT_FALSE(Writes({0x48, 0x83, 0x3f, 0x01}));       // cmpq $1,(%rdi)
  EXPECT_FALSE(Writes({0x48, 0x39, 0x37}));             // cmp %rsi,(%rdi)
  EXPECT_FALSE(Writes({0x48, 0x85, 0x37}));             // test %rsi,(%rdi)
  EXPECT_TRUE(Writes({0x66, 0x0f, 0x7f, 0x07}));        // movdqa %xmm0,(%rdi)
  EXPECT_FALSE(Writes({0x66, 0x0f, 0x6f, 0x07}));       // movdqa (%rdi),%xmm0
  EXPECT_FALSE(Writes({0xf3, 0x0f, 0x7e, 0x07}));       // movq (%rdi),%xmm0
  EXPECT_TRUE(Writes({0x66, 0x0f, 0x7e, 0x07}));        // movd %xmm0,(%rdi)
  EXPECT_TRUE(Writes({0xc5, 0xfe, 0x7f, 0x07}));        // vmovdqu %ymm0,(%rdi)
  EXPECT_FALSE(Writes({0xc5, 0xfe, 0x6f, 0x07}));       // vmovdqu (%rdi),%ymm0
  EXPECT_TRUE(Writes({0x62, 0xf1, 0xfe, 0x48, 0x7f, 0x07}));   // vmovdqu64 %zmm0,(%rdi)
  EXPECT_FALSE(Writes({0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x07}));  // vmovdqu64 (%rdi),%zmm0
  EXPECT_TRUE(Writes({0xdd, 0x1f}));                    // fstpl (%rdi)
  EXPECT_FALSE(Writes({0xdd, 0x07}));                   // fldl (%rdi)
}

TEST(WriteDecode, StringAndStackInstructionsGoByTheAddress) {
  EXPECT_TRUE(Writes({0xf3, 0x48, 0xa5}, 0x1000));   // rep movsq
  EXPECT_FALSE(Writes({0xf3, 0x48, 0xa5}, 0x2000));
  EXPECT_TRUE(Writes({0x55}, 0x7ff8));               // push %rbp
  EXPECT_TRUE(Writes({0xe8, 0, 0, 0, 0}, 0x7ff8));   // call
  EXPECT_FALSE(Writes({0xff, 0x17}, 0x1000));        // call *(%rdi): the load faulted
  EXPECT_TRUE(Writes({0xff, 0x17}, 0x7ff8));
}

TEST(WriteDecode, TruncatedCodeIsNotAWrite) {
  abi::UserRegs regs{};
  const uint8_t code[] = {0x48};
  EXPECT_FALSE(WritesMemory(code, 0x1000, regs));
  EXPECT_FALSE(WritesMemory({}, 0x1000, regs));
}

}  // namespace
}  // namespace moat::ptrace
