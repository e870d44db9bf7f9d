#include "sentry/kernel/sandbox_memory.h"

#include <algorithm>
#include <atomic>

#include "abi/mman.h"
#include "abi/sysinfo.h"
#include "base/host/process.h"
#include "base/kern/held.h"
#include "fs/tmpfs/memory_limit.h"

namespace moat {

namespace {

// An open file with what is behind it (inode, pipe, socket) takes one to two KiB of ours.
constexpr uint64_t kBytesPerOpenFile = 8 * 1024;
constexpr uint64_t kFewestOpenFiles = 1024, kMostOpenFiles = 1 << 20;
// Epoll, eventfds, sockets to `moat` and the gofer, descriptors on their way to stubs.
constexpr uint64_t kOwnHostFds = 64;

std::atomic<uint64_t> g_limit{0};
std::atomic<uint64_t> g_guest_bytes{0};

}  // namespace

void SandboxMemory::SetLimit(uint64_t bytes) {
  g_limit.store(bytes, std::memory_order_relaxed);
  if (bytes == 0) return;
  MemoryLimit::SetTotalLimit(bytes / 2 / abi::kPAGE_SIZE);
  HeldMemory::SetLimit(bytes / 4);
  OpenFiles::SetLimit(static_cast<int64_t>(std::clamp(bytes / kBytesPerOpenFile, kFewestOpenFiles, kMostOpenFiles)));
}

void SandboxMemory::SetHostFdLimit(uint64_t count) {
  HostFds::SetLimit(static_cast<int64_t>(std::max(count, 2 * kOwnHostFds) - kOwnHostFds));
}

void SandboxMemory::SetGuestBytes(uint64_t bytes) { g_guest_bytes.store(bytes, std::memory_order_relaxed); }

ErrorOr<SandboxMemory::State> SandboxMemory::Look() {
  abi::Sysinfo host_info{};
  TRY(host::Sysinfo(&host_info));
  const uint64_t unit = std::max<uint64_t>(host_info.mem_unit, 1);
  State s;
  s.total = host_info.totalram * unit;
  s.free = host_info.freeram * unit;
  s.available = s.free + host_info.bufferram * unit;
  s.files = MemoryLimit::total_used() * abi::kPAGE_SIZE;
  const uint64_t limit = g_limit.load(std::memory_order_relaxed);
  if (limit == 0 || limit >= s.total) return s;
  const uint64_t used = s.files + HeldMemory::used() + g_guest_bytes.load(std::memory_order_relaxed);
  s.total = limit;
  s.free = std::min(s.free, limit - std::min(limit, used));
  s.available = std::min(s.available, limit - std::min(limit, used));
  return s;
}

}  // namespace moat
