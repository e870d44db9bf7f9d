#include "sentry/loader/vdso_clock.h"

#include <cpuid.h>

#include <algorithm>

#include "abi/fcntl.h"
#include "abi/mman.h"
#include "base/host/file.h"
#include "base/host/memory.h"
#include "base/host/time.h"
#include "base/util/log.h"
#include "fs/vfs/anon.h"
#include "sentry/loader/vdso.h"

namespace moat {

namespace {

constexpr int kSamples = 4;  // the quickest of so many counts

// The counter, read after everything before it is done, stores that others must see included.
uint64_t ReadTsc() {
  uint32_t low, high;
  asm volatile("mfence\n\tlfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
  return uint64_t{high} << 32 | low;
}

ClockSample TakeSample() {
  ClockSample best{};
  uint64_t best_ticks = UINT64_MAX;
  for (int i = 0; i < kSamples; ++i) {
    uint64_t before = ReadTsc();
    int64_t monotonic = host::NowMonotonicNs();
    uint64_t after = ReadTsc();
    int64_t realtime = host::NowRealtimeNs();
    int64_t later = host::NowMonotonicNs();
    if (after - before >= best_ticks) continue;
    best_ticks = after - before;
    best = {before + best_ticks / 2, monotonic, realtime - later, realtime - monotonic};
  }
  return best;
}

bool HasInvariantTsc() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kPowerLeaf = 0x80000007, kInvariantTsc = 1u << 8;
  return __get_cpuid(kPowerLeaf, &a, &b, &c, &d) && (d & kInvariantTsc);
}

bool HasRdtscp() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kFeatureLeaf = 0x80000001, kRdtscp = 1u << 27;
  return __get_cpuid(kFeatureLeaf, &a, &b, &c, &d) && (d & kRdtscp);
}

// Ticks of the quickest of some calls of `f`.
template <class F>
uint64_t Quickest(F f) {
  constexpr int kTries = 20;
  uint64_t best = UINT64_MAX;
  for (int i = 0; i < kTries; ++i) {
    uint64_t before = ReadTsc();
    f();
    best = std::min(best, ReadTsc() - before);
  }
  return best;
}

// Whether the host's kernel trusts the counter: only then does its own vDSO answer without a system call.
bool HostClockIsTsc() {
  uint64_t read = Quickest([] { host::NowMonotonicNs(); });
  uint64_t call = Quickest([] { (void)host::ClockGetres(abi::kCLOCK_MONOTONIC); });
  return read < call;
}

// The clock page and the image behind it, for MemoryManager::Mmap.
class VdsoFile final : public FileDescription {
 public:
  explicit VdsoFile(UniqueFd fd) : FileDescription(MakeAnonPath("[vdso]", 0), abi::kO_RDONLY), fd_(std::move(fd)) {}
  bool seekable() const override { return false; }
  ErrorOr<HostBacking> Map(uint64_t offset, uint64_t, bool shared_writable) override {
    if (shared_writable) return kEACCES;
    return HostBacking{.fd = fd_.get(), .offset = offset};
  }

 private:
  const UniqueFd fd_;
};

}  // namespace

VdsoClock::VdsoClock() {
  if (!HasInvariantTsc() || !HostClockIsTsc()) {
    LOG(kInfo, "no vDSO: the host's clock is not the time stamp counter");
    return;
  }
  ErrorOr<void> made = MakeFile();
  if (!made.ok()) {
    LOG(kWarning, "no vDSO: %s", ErrnoName(made.error()));
    return;
  }
  MutexLock lock(mu_);
  model_.emplace(TakeSample());
}

VdsoClock::~VdsoClock() {
  if (page_) (void)host::Munmap(page_, kVdsoPage);
}

ErrorOr<void> VdsoClock::MakeFile() {
  std::span<const std::byte> image = VdsoImage();
  UniqueFd fd = TRY(host::MemfdCreate("moat-vdso", abi::kMFD_CLOEXEC | abi::kMFD_ALLOW_SEALING));
  TRY(host::Ftruncate(fd.get(), kVdsoPage + VdsoImageBytes()));
  if (TRY(host::Pwrite(fd.get(), image.data(), image.size(), kVdsoPage)) != image.size()) return kENOSPC;
  void* page = TRY(host::Mmap(nullptr, kVdsoPage, abi::kPROT_READ | abi::kPROT_WRITE, abi::kMAP_SHARED, fd.get(), 0));
  page_ = static_cast<vdso::ClockPage*>(page);
  page_->has_rdtscp = HasRdtscp();
  // The guest's process gets this descriptor to map it: from now on nothing but the mapping above can write.
  TRY(host::FcntlAddSeals(fd.get(), abi::kF_SEAL_FUTURE_WRITE | abi::kF_SEAL_SHRINK | abi::kF_SEAL_GROW | abi::kF_SEAL_SEAL));
  file_ = MakeRef<VdsoFile>(std::move(fd));
  return {};
}

void VdsoClock::Publish(const vdso::ClockParameters& p) {
  auto set = [](auto& field, auto value) { __atomic_store_n(&field, value, __ATOMIC_RELAXED); };
  vdso::ClockParameters& shared = page_->parameters;
  set(shared.base_tsc, p.base_tsc);
  set(shared.valid_ticks, p.valid_ticks);
  set(shared.rate, p.rate);
  set(shared.monotonic_ns, p.monotonic_ns);
  set(shared.realtime_offset, p.realtime_offset);
}

VdsoClock::Now VdsoClock::Read() {
  MutexLock lock(mu_);
  if (!model_) return {host::NowMonotonicNs(), host::NowRealtimeNs()};
  const vdso::ClockParameters& p = model_->parameters();
  uint64_t ticks = ReadTsc() - p.base_tsc;
  int64_t monotonic;
  if (ticks < p.valid_ticks) {
    monotonic = vdso::MonotonicAfter(p, ticks);
  } else {
    // Readers stop before the sample is taken: none of them can have seen the counter later than the sample did.
    uint32_t sequence = page_->sequence;
    __atomic_store_n(&page_->sequence, sequence + 1, __ATOMIC_SEQ_CST);
    monotonic = model_->Refresh(TakeSample()).monotonic_ns;
    Publish(p);
    __atomic_store_n(&page_->sequence, sequence + 2, __ATOMIC_RELEASE);
  }
  return {monotonic, monotonic + p.realtime_offset};
}

}  // namespace moat
