#include "platform/ptrace/call_site.h"

#include <algorithm>
#include <cstring>

#include "abi/elf.h"
#include "abi/mman.h"
#include "base/util/check.h"

namespace moat::ptrace {
namespace {

constexpr uint8_t kMovEax = 0xb8, kJump = 0xe9, kShortJump = 0xeb, kCall = 0xe8, kReturn = 0xc3;
constexpr uint64_t kSyscallSize = 2, kMovSize = 5, kJumpSize = 5, kShortJumpSize = 2;
constexpr uint8_t kSyscall[kSyscallSize] = {0x0f, 0x05};

class Assembler {
 public:
  explicit Assembler(uint64_t addr) : addr_(addr) {}
  Assembler& Bytes(std::initializer_list<uint8_t> bytes) {
    code_.insert(code_.end(), bytes);
    return *this;
  }
  template <class T>
  Assembler& Value(T value) {
    uint8_t raw[sizeof value];
    memcpy(raw, &value, sizeof value);
    code_.insert(code_.end(), raw, raw + sizeof value);
    return *this;
  }
  // A 32-bit distance from the end of this field, where the instruction ends.
  Assembler& Distance(uint64_t target) {
    int64_t distance = static_cast<int64_t>(target - (addr_ + code_.size() + 4));
    fits_ = fits_ && distance == static_cast<int32_t>(distance);
    return Value(static_cast<int32_t>(distance));
  }
  Assembler& Jump(uint64_t target) { return Bytes({kJump}).Distance(target); }
  bool fits() const { return fits_; }
  std::vector<uint8_t> Take() { return std::move(code_); }

 private:
  uint64_t addr_;
  std::vector<uint8_t> code_;
  bool fits_ = true;
};

bool Has(const CodeWindow& code, uint64_t addr, uint64_t size) {
  return addr >= code.start && addr - code.start <= code.bytes.size() && size <= code.bytes.size() - (addr - code.start);
}
const uint8_t* At(const CodeWindow& code, uint64_t addr) { return code.bytes.data() + (addr - code.start); }

Edit MakeEdit(const CodeWindow& code, uint64_t addr, const std::vector<uint8_t>& after) {
  Edit edit{.addr = addr, .size = static_cast<uint8_t>(after.size())};
  CHECK(after.size() <= edit.after.size() && Has(code, addr, after.size()));
  memcpy(edit.before.data(), At(code, addr), after.size());
  memcpy(edit.after.data(), after.data(), after.size());
  return edit;
}

// `mov $nr, %eax` right before the site. A REX prefix would make it another register's, and a byte that looks like one may
// belong to the instruction before: such a site is left alone.
bool HasMov(const CodeWindow& code, uint64_t site, uint64_t nr) {
  const uint64_t mov = site - kMovSize;
  if (!Has(code, mov - 1, kMovSize + 1) || (*At(code, mov - 1) & 0xf0) == 0x40 || *At(code, mov) != kMovEax) return false;
  uint32_t number;
  memcpy(&number, At(code, mov) + 1, sizeof number);
  return number == nr;
}

struct Gap {
  uint64_t addr;
  uint64_t size;
};

// The length of the no-op at `p`, one that compilers fill gaps with and in which two jumps have room; 0 if there is none.
uint64_t LongNop(const uint8_t* p, uint64_t available) {
  static constexpr uint8_t kWithDisp[] = {0x0f, 0x1f, 0x80, 0, 0, 0, 0}, kWithSib[] = {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0};
  uint64_t n = 0;
  while (n < 3 && n < available && p[n] == 0x66) ++n;
  if (n < available && n > 0 && p[n] == 0x2e) ++n;
  if (available - n >= sizeof kWithSib && memcmp(p + n, kWithSib, sizeof kWithSib) == 0) return n + sizeof kWithSib;
  if (available - n >= sizeof kWithDisp && memcmp(p + n, kWithDisp, sizeof kWithDisp) == 0) return n + sizeof kWithDisp;
  return 0;
}

// An instruction ends at `addr` that never goes on to the next. It may only look like one; then what follows is executed, which
// the jump around the gap allows for.
bool FlowEnds(const CodeWindow& code, uint64_t addr) {
  if (!Has(code, addr - kJumpSize, kJumpSize)) return false;
  const uint8_t* p = At(code, addr - kJumpSize);
  return p[4] == kReturn || p[3] == kShortJump || p[0] == kJump || p[0] == kCall;
}

// A gap whose third byte a short jump from the site reaches.
std::optional<Gap> FindGap(const CodeWindow& code, uint64_t site) {
  const uint64_t from = site + kShortJumpSize;
  for (uint64_t addr = from - 128 - kShortJumpSize; addr <= from + 127 - kShortJumpSize; ++addr) {
    if (!Has(code, addr, kShortJumpSize + kJumpSize) || !FlowEnds(code, addr)) continue;
    uint64_t size = LongNop(At(code, addr), code.bytes.size() - (addr - code.start));
    if (size != 0) return Gap{addr, size};
  }
  return std::nullopt;
}

}  // namespace

std::optional<SitePlan> PlanSite(const CodeWindow& code, uint64_t ret, uint64_t nr, uint64_t trampoline, uint64_t gateway) {
  const uint64_t site = ret - kSyscallSize;
  if (!Has(code, site, kSyscallSize) || memcmp(At(code, site), kSyscall, kSyscallSize) != 0) return std::nullopt;
  SitePlan plan;
  Assembler tramp(trampoline);
  if (HasMov(code, site, nr)) {
    const uint64_t mov = site - kMovSize;
    Assembler jump(mov);
    jump.Jump(trampoline);
    if (!jump.fits()) return std::nullopt;
    plan.edits.push_back(MakeEdit(code, mov, jump.Take()));
    tramp.Bytes({kMovEax}).Value(static_cast<uint32_t>(nr));
  } else if (auto gap = FindGap(code, site)) {
    Assembler in_gap(gap->addr);
    in_gap.Bytes({kShortJump, static_cast<uint8_t>(gap->size - kShortJumpSize)}).Jump(trampoline);
    if (!in_gap.fits()) return std::nullopt;
    plan.edits.push_back(MakeEdit(code, gap->addr, in_gap.Take()));
    const auto distance = static_cast<uint8_t>(gap->addr + kShortJumpSize - ret);
    plan.edits.push_back(MakeEdit(code, site, {kShortJump, distance}));
  } else {
    return std::nullopt;
  }
  tramp.Bytes({0x48, 0x8d, 0x0d}).Distance(ret).Jump(gateway);  // lea ret(%rip), %rcx
  if (!tramp.fits()) return std::nullopt;
  plan.trampoline = tramp.Take();
  return plan;
}

std::vector<uint8_t> GatewayCode(uint64_t target) {
  return Assembler(0).Bytes({0x49, 0xbb}).Value(target).Bytes({0x41, 0xff, 0xe3}).Take();  // movabs target, %r11; jmp *%r11
}

std::optional<uint64_t> CodeLength(std::span<const uint8_t> file, uint64_t file_offset, uint64_t mapped) {
  abi::Elf64Ehdr head;
  if (file.size() < sizeof head) return std::nullopt;
  memcpy(&head, file.data(), sizeof head);
  if (memcmp(head.e_ident, "\177ELF", 4) != 0 || head.e_phentsize != sizeof(abi::Elf64Phdr)) return std::nullopt;
  for (uint64_t i = 0; i < head.e_phnum; ++i) {
    abi::Elf64Phdr segment;
    if (head.e_phoff > file.size() || (i + 1) * sizeof segment > file.size() - head.e_phoff) return std::nullopt;
    memcpy(&segment, file.data() + head.e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_type != abi::kPT_LOAD || (segment.p_flags & abi::kPF_X) == 0) continue;
    const uint64_t skipped = segment.p_offset % abi::kPAGE_SIZE;
    if (segment.p_offset - skipped != file_offset || segment.p_filesz > mapped || segment.p_memsz != segment.p_filesz) continue;
    const uint64_t length = skipped + segment.p_filesz;
    if (length <= mapped) return length;
  }
  return std::nullopt;
}

}  // namespace moat::ptrace
