// For tests: an address space whose pages are a map, with a stack that grows as a host's does. One thread uses it.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "abi/mman.h"
#include "platform/platform.h"

namespace moat::test {

class FakeThread final : public GuestThread {
 public:
  explicit FakeThread(AddressSpace& space) : space_(space) {}
  AddressSpace& space() override { return space_; }
  const abi::UserRegs& regs() override { return regs_; }
  void SetRegs(const abi::UserRegs& regs) override { regs_ = regs; }
  void SetResult(uint64_t) override {}
  ErrorOr<size_t> GetXState(std::span<std::byte>) override { return size_t{0}; }
  ErrorOr<void> SetXState(std::span<const std::byte>) override { return {}; }
  void Resume() override {}
  void ResumeSingleStep() override {}
  void Interrupt() override {}
  uint64_t CpuTimeNs() override { return 0; }
  void SetAffinity(uint64_t) override {}

 private:
  AddressSpace& space_;
  abi::UserRegs regs_{};
};

class FakeSpace final : public AddressSpace {
 public:
  static constexpr uint64_t kPage = abi::kPAGE_SIZE;
  struct Page {
    int prot = 0;
    bool shared = false, grows_down = false, resident = false;
    int fd = -1;
    uint64_t offset = 0;
    std::array<std::byte, kPage> bytes{};
  };
  using Pages = std::map<UserAddr, Page>;

  Pages pages;
  uint64_t stack_limit = 1 << 20;
  Errno fail_next{0};  // what the next change answers
  std::vector<int> advices;
  int calls = 0;  // changes

  ErrorOr<void> Map(UserAddr addr, uint64_t length, int prot, int flags, const MapSource& source) override {
    if (Errno e = Begin(); e != Errno{0}) return e;
    for (uint64_t i = 0; i < length; i += kPage) {
      Page p;
      p.prot = prot;
      p.shared = source.shared;
      p.grows_down = flags & static_cast<int>(abi::kMAP_GROWSDOWN);
      p.resident = flags & static_cast<int>(abi::kMAP_POPULATE);
      p.fd = source.fd;
      p.offset = source.offset + i;
      pages[addr + i] = p;
    }
    return {};
  }
  ErrorOr<void> Unmap(UserAddr addr, uint64_t length) override {
    if (Errno e = Begin(); e != Errno{0}) return e;
    pages.erase(pages.lower_bound(addr), pages.lower_bound(addr + length));
    return {};
  }
  ErrorOr<void> Protect(UserAddr addr, uint64_t length, int prot) override {
    if (Errno e = Begin(); e != Errno{0}) return e;
    for (uint64_t i = 0; i < length; i += kPage) {
      if (!pages.count(addr + i)) return kENOMEM;
      pages[addr + i].prot = prot;
    }
    return {};
  }
  ErrorOr<void> Remap(UserAddr addr, uint64_t old_length, UserAddr new_addr, uint64_t new_length, int flags) override {
    if (Errno e = Begin(); e != Errno{0}) return e;
    if (!pages.count(addr)) return kEFAULT;
    const Page first = pages[addr];
    Pages moved;
    for (uint64_t i = 0; i < new_length; i += kPage) {
      Page p = first;
      p.bytes = {};
      if (old_length == 0 || i < old_length) p = pages[addr + i];
      p.offset = first.offset + i;
      moved[new_addr + i] = p;
    }
    if (old_length != 0 && !(flags & static_cast<int>(abi::kMREMAP_DONTUNMAP)) && new_addr != addr) {
      pages.erase(pages.lower_bound(addr), pages.lower_bound(addr + old_length));
    }
    for (auto& [a, p] : moved) pages[a] = p;
    return {};
  }
  ErrorOr<void> Advise(UserAddr addr, uint64_t length, int advice) override {
    if (Errno e = Begin(); e != Errno{0}) return e;
    advices.push_back(advice);
    for (uint64_t i = 0; i < length; i += kPage) {
      if (!pages.count(addr + i)) return kENOMEM;
      Page& p = pages[addr + i];
      if (advice == abi::kMADV_POPULATE_READ || advice == abi::kMADV_POPULATE_WRITE) p.resident = true;
      if (advice == abi::kMADV_DONTNEED) p.resident = false, p.bytes = {};
    }
    return {};
  }
  ErrorOr<size_t> CopyIn(UserAddr src, std::span<std::byte> dst) override {
    return Copy(src, dst.size(), abi::kPROT_READ, [&](std::byte& b, size_t i) { dst[i] = b; });
  }
  ErrorOr<size_t> CopyOut(UserAddr dst, std::span<const std::byte> src) override {
    return Copy(dst, src.size(), abi::kPROT_WRITE, [&](std::byte& b, size_t i) { b = src[i]; });
  }
  ErrorOr<void> Touch(UserAddr addr) override {
    UserAddr page = addr & ~(kPage - 1);
    auto it = pages.lower_bound(page);
    if (it != pages.end() && it->first == page) return it->second.prot ? ErrorOr<void>() : ErrorOr<void>(kEFAULT);
    if (it == pages.end() || !it->second.grows_down) return kEFAULT;
    UserAddr top = it->first;
    while (pages.count(top)) top += kPage;
    if (top - page > stack_limit) return kEFAULT;
    Page grown = it->second;
    grown.bytes = {};
    for (UserAddr a = page; a < it->first; a += kPage) pages[a] = grown;
    return {};
  }
  ErrorOr<uint32_t> Atomic(AtomicOp op, UserAddr addr, uint32_t arg, uint32_t expected) override {
    uint32_t old = 0;
    size_t done = TRY(CopyIn(addr, std::as_writable_bytes(std::span(&old, 1))));
    if (done != sizeof old) return kEFAULT;
    if (op == AtomicOp::kExchange || (op == AtomicOp::kCompareExchange && old == expected)) {
      TRY(CopyOut(addr, std::as_bytes(std::span(&arg, 1))));
    }
    return old;
  }
  ErrorOr<uint64_t> HostCall(GuestThread*, int, std::span<const uint64_t>) override { return uint64_t{0}; }
  ErrorOr<void> Residency(UserAddr addr, std::span<uint8_t> out) override {
    for (size_t i = 0; i < out.size(); ++i) {
      auto it = pages.find(addr + i * kPage);
      if (it == pages.end()) return kENOMEM;
      out[i] = it->second.resident;
    }
    return {};
  }
  uint64_t CpuTimeNs() override { return 0; }
  ErrorOr<void> SetStackLimit(uint64_t bytes) override {
    stack_limit = bytes;
    return {};
  }
  ErrorOr<std::unique_ptr<GuestThread>> NewThread(GuestThread&) override { return kENOSYS; }
  ErrorOr<Forked> Fork(GuestThread&) override {
    auto copy = std::make_unique<FakeSpace>();
    copy->pages = pages;
    auto thread = std::make_unique<FakeThread>(*copy);
    return Forked{std::move(copy), std::move(thread)};
  }

 private:
  Errno Begin() {
    ++calls;
    return std::exchange(fail_next, Errno{0});
  }
  template <class F>
  ErrorOr<size_t> Copy(UserAddr addr, size_t n, uint32_t need, F&& byte) {
    for (size_t i = 0; i < n; ++i) {
      auto it = pages.find((addr + i) & ~(kPage - 1));
      if (it == pages.end() || !(it->second.prot & static_cast<int>(need))) return i ? ErrorOr<size_t>(i) : kEFAULT;
      byte(it->second.bytes[(addr + i) % kPage], i);
    }
    return n;
  }
};

}  // namespace moat::test
