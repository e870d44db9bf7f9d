#include <algorithm>
#include <cstring>

#include "abi/mman.h"
#include "abi/syscall_nr.h"
#include "base/host/file.h"
#include "platform/fake/fake_platform.h"

namespace moat {
namespace {

constexpr uint64_t kPage = abi::kPAGE_SIZE;

uint64_t PagesOf(uint64_t length) { return (length + kPage - 1) / kPage; }

}  // namespace

ErrorOr<void> FakeAddressSpace::Map(UserAddr addr, uint64_t length, int prot, int, const MapSource& source) {
  if (addr % kPage != 0 || length == 0 || source.offset % kPage != 0) return kEINVAL;
  if (addr > platform_.info().task_size || length > platform_.info().task_size - addr) return kENOMEM;
  for (uint64_t i = 0; i < PagesOf(length); ++i) {
    Mapping mapping{nullptr, prot, source.shared};
    if (source.fd >= 0 && source.shared) {
      mapping.page = platform_.SharedPage(source.fd, source.offset + i * kPage);
    } else {
      mapping.page = std::make_shared<FakePage>();
      if (source.fd >= 0) TRY(host::Pread(source.fd, mapping.page->bytes.data(), kPage, source.offset + i * kPage));
    }
    pages_[addr / kPage + i] = std::move(mapping);
  }
  return {};
}

ErrorOr<void> FakeAddressSpace::Unmap(UserAddr addr, uint64_t length) {
  if (addr % kPage != 0 || length == 0) return kEINVAL;
  pages_.erase(pages_.lower_bound(addr / kPage), pages_.lower_bound(addr / kPage + PagesOf(length)));
  return {};
}

ErrorOr<void> FakeAddressSpace::Protect(UserAddr addr, uint64_t length, int prot) {
  if (addr % kPage != 0) return kEINVAL;
  for (uint64_t i = 0; i < PagesOf(length); ++i) {
    auto it = pages_.find(addr / kPage + i);
    if (it == pages_.end()) return kENOMEM;
    it->second.prot = prot;
  }
  return {};
}

ErrorOr<void> FakeAddressSpace::Remap(UserAddr addr, uint64_t old_length, UserAddr new_addr, uint64_t new_length,
                                      int flags) {
  std::vector<Mapping> moved;
  for (uint64_t i = 0; i < PagesOf(old_length); ++i) {
    auto it = pages_.find(addr / kPage + i);
    if (it == pages_.end()) return kEFAULT;
    moved.push_back(it->second);
  }
  if (moved.empty()) return kEINVAL;
  const Mapping last = moved.back();
  TRY(Unmap(addr, old_length));
  if ((static_cast<uint32_t>(flags) & abi::kMREMAP_DONTUNMAP) != 0) TRY(Map(addr, old_length, last.prot, 0, {}));
  for (uint64_t i = 0; i < PagesOf(new_length); ++i) {
    pages_[new_addr / kPage + i] = i < moved.size() ? moved[i] : Mapping{std::make_shared<FakePage>(), last.prot, last.shared};
  }
  return {};
}

ErrorOr<void> FakeAddressSpace::Advise(UserAddr addr, uint64_t length, int advice) {
  for (uint64_t i = 0; i < PagesOf(length); ++i) {
    auto it = pages_.find(addr / kPage + i);
    if (it == pages_.end()) return kENOMEM;
    if (advice == abi::kMADV_DONTNEED && !it->second.shared) it->second.page = std::make_shared<FakePage>();
  }
  return {};
}

// Calls `move(bytes of the page, offset in the copy, count)` page by page while they are mapped with `need`.
ErrorOr<size_t> FakeAddressSpace::Copy(UserAddr addr, size_t size, int need,
                                       const std::function<void(std::byte*, size_t, size_t)>& move) {
  size_t done = 0;
  while (done < size) {
    auto it = pages_.find((addr + done) / kPage);
    if (it == pages_.end() || (it->second.prot & need) != need) break;
    const size_t within = (addr + done) % kPage;
    const size_t n = std::min<size_t>(size - done, kPage - within);
    move(it->second.page->bytes.data() + within, done, n);
    done += n;
  }
  return done == 0 && size != 0 ? ErrorOr<size_t>(kEFAULT) : done;
}

ErrorOr<size_t> FakeAddressSpace::CopyIn(UserAddr src, std::span<std::byte> dst) {
  return Copy(src, dst.size(), abi::kPROT_READ,
              [&](std::byte* page, size_t at, size_t n) { memcpy(dst.data() + at, page, n); });
}

ErrorOr<size_t> FakeAddressSpace::CopyOut(UserAddr dst, std::span<const std::byte> src) {
  return Copy(dst, src.size(), abi::kPROT_WRITE,
              [&](std::byte* page, size_t at, size_t n) { memcpy(page, src.data() + at, n); });
}

ErrorOr<void> FakeAddressSpace::Touch(UserAddr addr) {
  std::byte byte;
  TRY(CopyIn(addr, {&byte, 1}));
  return {};
}

ErrorOr<uint32_t> FakeAddressSpace::Atomic(AtomicOp op, UserAddr addr, uint32_t arg, uint32_t expected) {
  uint32_t old = 0;
  if (addr % sizeof old != 0) return kEFAULT;
  TRY(CopyIn(addr, std::as_writable_bytes(std::span(&old, 1))));
  uint32_t value = old;
  switch (op) {
    case AtomicOp::kLoad: return old;
    case AtomicOp::kCompareExchange: value = old == expected ? arg : old; break;
    case AtomicOp::kExchange: value = arg; break;
    case AtomicOp::kAdd: value = old + arg; break;
    case AtomicOp::kOr: value = old | arg; break;
    case AtomicOp::kAnd: value = old & arg; break;
    case AtomicOp::kAndNot: value = old & ~arg; break;
    case AtomicOp::kXor: value = old ^ arg; break;
  }
  TRY(CopyOut(addr, std::as_bytes(std::span(&value, 1))));
  return old;
}

ErrorOr<uint64_t> FakeAddressSpace::HostCall(GuestThread*, int nr, std::span<const uint64_t>) {
  switch (nr) {
    case abi::kNr_msync: case abi::kNr_mlock2: case abi::kNr_munlock: case abi::kNr_rseq: case abi::kNr_membarrier:
      return uint64_t{0};
    default: return kENOSYS;
  }
}

ErrorOr<void> FakeAddressSpace::Residency(UserAddr addr, std::span<uint8_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    if (!pages_.contains(addr / kPage + i)) return kENOMEM;
    out[i] = 1;
  }
  return {};
}

ErrorOr<std::unique_ptr<GuestThread>> FakeAddressSpace::NewThread(GuestThread& from) {
  return std::unique_ptr<GuestThread>(platform_.MakeThread(*this, &from));
}

ErrorOr<AddressSpace::Forked> FakeAddressSpace::Fork(GuestThread& from) {
  auto space = std::make_unique<FakeAddressSpace>(platform_);
  for (auto& [number, mapping] : pages_) {
    Mapping copy = mapping;
    if (!mapping.shared) copy.page = std::make_shared<FakePage>(*mapping.page);
    space->pages_.emplace(number, std::move(copy));
  }
  auto thread = platform_.MakeThread(*space, &from);
  return Forked{std::move(space), std::move(thread)};
}

}  // namespace moat
