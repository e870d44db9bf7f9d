#include "platform/ptrace/write_decode.h"

namespace moat::ptrace {
namespace {

// What the opcode tables need to know of an instruction.
struct Instruction {
  int map = 1;  // 1: one byte, 2: 0f, 3: 0f 38, 4: 0f 3a
  uint8_t opcode = 0;
  uint8_t reg = 0;  // ModRM.reg without its extension: the opcode's extension
  bool prefix_f2 = false, prefix_f3 = false;
};

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> code) : code_(code) {}
  uint8_t Next() { return at_ < code_.size() ? code_[at_++] : (failed_ = true, uint8_t{0}); }
  uint8_t Peek() const { return at_ < code_.size() ? code_[at_] : 0; }
  bool failed() const { return failed_; }

 private:
  std::span<const uint8_t> code_;
  size_t at_ = 0;
  bool failed_ = false;
};

bool IsLegacyPrefix(uint8_t b) {
  switch (b) {
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3:
      return true;
    default: return false;
  }
}

void ReadVex(Reader& in, Instruction& i, uint8_t first) {
  uint8_t last;
  if (first == 0xc5) {
    i.map = 2;
    last = in.Next();
  } else {
    i.map = (in.Next() & (first == 0x62 ? 7 : 31)) + 1;
    last = in.Next();
    if (first == 0x62) (void)in.Next();
  }
  i.prefix_f3 = (last & 3) == 2;
  i.prefix_f2 = (last & 3) == 3;
  i.opcode = in.Next();
}

Instruction Read(Reader& in) {
  Instruction i;
  uint8_t b = in.Next();
  for (; IsLegacyPrefix(b); b = in.Next()) {
    i.prefix_f2 |= b == 0xf2;
    i.prefix_f3 |= b == 0xf3;
  }
  if (b == 0xc4 || b == 0xc5 || b == 0x62) {  // VEX and EVEX: 64-bit code has no LDS, LES, BOUND
    ReadVex(in, i, b);
  } else {
    if ((b & 0xf0) == 0x40) b = in.Next();  // REX
    if (b == 0x0f) {
      i.map = 2;
      b = in.Next();
      if (b == 0x38 || b == 0x3a) {
        i.map = b == 0x38 ? 3 : 4;
        b = in.Next();
      }
    }
    i.opcode = b;
  }
  i.reg = in.Peek() >> 3 & 7;
  return i;
}

constexpr uint8_t Bit(int n) { return static_cast<uint8_t>(1u << n); }

// The x87 stores: by opcode, a bit for each /reg that stores.
uint8_t X87Stores(uint8_t opcode) {
  switch (opcode) {
    case 0xd9: return Bit(2) | Bit(3) | Bit(6) | Bit(7);
    case 0xdb: return Bit(1) | Bit(2) | Bit(3) | Bit(7);
    case 0xdd: return Bit(1) | Bit(2) | Bit(3) | Bit(6) | Bit(7);
    case 0xdf: return Bit(1) | Bit(2) | Bit(3) | Bit(6) | Bit(7);
    default: return 0;
  }
}

bool OneByteWrites(const Instruction& i) {
  const uint8_t op = i.opcode;
  if (op < 0x38) return (op & 7) < 2;  // ALU operations on r/m
  switch (op) {
    case 0x80: case 0x81: case 0x83: return i.reg != 7;  // all but CMP
    case 0x86: case 0x87: case 0x88: case 0x89: case 0x8c: case 0x8f:
    case 0xa2: case 0xa3: case 0xaa: case 0xab: case 0x6c: case 0x6d:
    case 0xc0: case 0xc1: case 0xc6: case 0xc7: case 0xd0: case 0xd1: case 0xd2: case 0xd3: return true;
    case 0xf6: case 0xf7: return i.reg == 2 || i.reg == 3;
    case 0xfe: case 0xff: return i.reg < 2;
    default: return (X87Stores(op) >> i.reg & 1) != 0;
  }
}

bool TwoByteWrites(const Instruction& i) {
  const uint8_t op = i.opcode;
  if (op >= 0x90 && op <= 0x9f) return true;  // SETcc
  switch (op) {
    case 0x11: case 0x13: case 0x17: case 0x29: case 0x2b: case 0x7f: case 0xd6: case 0xe7: case 0xf7: case 0xc3:
    case 0xa4: case 0xa5: case 0xac: case 0xad: case 0xab: case 0xb3: case 0xbb:
    case 0xb0: case 0xb1: case 0xc0: case 0xc1: return true;
    case 0x7e: return !i.prefix_f3;
    case 0xba: return i.reg >= 5;
    case 0xae: return i.reg == 0 || i.reg == 3 || i.reg == 4 || i.reg == 6;
    case 0xc7: return i.reg == 1 || i.reg == 4 || i.reg == 5;
    default: return false;
  }
}

bool ThreeByteWrites(const Instruction& i) {
  const uint8_t op = i.opcode;
  if (i.map == 3) return (op == 0xf1 && !i.prefix_f2) || op == 0x2e || op == 0x2f || op == 0x8e;
  return (op >= 0x14 && op <= 0x17) || op == 0x19 || op == 0x39 || op == 0x1b || op == 0x3b || op == 0x1d;
}

// Instructions that push are told by where they faulted.
bool IsPush(uint64_t addr, const abi::UserRegs& regs) {
  constexpr uint64_t kRedZone = 128;
  return addr < regs.rsp && regs.rsp - addr <= kRedZone;
}

bool Pushes(const Instruction& i) {
  const uint8_t op = i.opcode;
  if (i.map == 2) return op == 0xa0 || op == 0xa8;
  if (i.map != 1) return false;
  return (op >= 0x50 && op <= 0x57) || op == 0x68 || op == 0x6a || op == 0xe8 || op == 0x9c || op == 0xc8 ||
         (op == 0xff && (i.reg == 2 || i.reg == 6));
}

}  // namespace

bool WritesMemory(std::span<const uint8_t> code, uint64_t addr, const abi::UserRegs& regs) {
  Reader in(code);
  const Instruction i = Read(in);
  if (in.failed()) return false;
  if (Pushes(i)) return IsPush(addr, regs);
  if (i.map == 1 && (i.opcode == 0xa4 || i.opcode == 0xa5)) return addr - regs.rdi < 8;  // MOVS: which side?
  if (i.map == 1) return OneByteWrites(i);
  return i.map == 2 ? TwoByteWrites(i) : ThreeByteWrites(i);
}

}  // namespace moat::ptrace
