// The stub's pages as the tracer sees them: [text r-x][scratch rw-][express rw-, in some], at one address in all stubs of a
// platform. The guest can read them all and write the latter two: what the tracer believes never depends on their contents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "abi/mman.h"

namespace moat::ptrace {

// The routines of stub_x86_64.S.
enum class StubEntry : uint8_t {
  kStart, kSyscall, kMapFd, kMapList, kSetStackLimit, kTouch, kCompareExchange, kExchange, kAdd, kOr, kAnd, kXor,
};

// What a stub takes at most in one kMapList: it has descriptors 1 to kMaxMapFds for them.
inline constexpr size_t kMaxMapList = 32, kMaxMapFds = 7;
inline constexpr uint64_t kMapListOffset = 1024;  // on the scratch page
// Length of a control message with so many descriptors, as the kMap routines want it.
constexpr uint64_t ControlLength(size_t fds) { return 16 + 4 * fds; }

// True if a fault inside the routine is the guest's memory's, not ours.
constexpr bool MayFault(StubEntry entry) { return entry >= StubEntry::kTouch; }

// Where a thread on the express path is; each part begins at the label of its name in stub_x86_64.S.
enum class ExpressPart : uint8_t {
  kNone,      // elsewhere
  kEntry,     // before its first instruction
  kEntered,   // nothing but the page's rsp is changed
  kSwitched,  // rsp is the stub's
  kStored,    // all that the page holds is there
  kPosted,    // the page's state tells
  kSlow,      // withdrawn, about to make the call
  kCalled,    // behind the call: rax is its result
};

// The machine code; fits a page.
std::span<const uint8_t> StubCode();

// What every stub has: text and scratch. With the place of the express page behind them, which is kept free.
inline constexpr uint64_t kStubSize = 2 * abi::kPAGE_SIZE, kStubRange = 3 * abi::kPAGE_SIZE;

struct StubLayout {
  uint64_t text = 0;

  uint64_t scratch() const { return text + abi::kPAGE_SIZE; }
  uint64_t express() const { return text + 2 * abi::kPAGE_SIZE; }
  bool OnExpressPage(uint64_t addr) const { return addr - express() < abi::kPAGE_SIZE; }
  uint64_t end() const { return text + kStubRange; }
  uint64_t Address(StubEntry entry) const;
  uint64_t ExpressEntry() const;
  ExpressPart PartOf(uint64_t ip) const;
  // True if a thread that stopped with `ip` has just executed the int3 at a routine's end.
  bool IsEnd(uint64_t ip) const;
};

}  // namespace moat::ptrace
