#include "platform/ptrace/pinner.h"

#include <x86intrin.h>

#include <algorithm>
#include <bit>

#include "base/host/process.h"
#include "base/host/time.h"

namespace moat::ptrace {
namespace {

constexpr uint8_t kChattyCalls = 16;
constexpr int64_t kChattyGapNs = 100'000;
constexpr int64_t kQuietNs = 2'000'000;
constexpr int64_t kCrowdedNs = 300'000;  // the same when several want the CPU

// Linux keeps the CPU's number in the low bits of TSC_AUX.
int CurrentCpu() {
  unsigned aux = 0;
  (void)__rdtscp(&aux);
  return static_cast<int>(aux & 0xfff);
}

bool Has(std::span<const uint64_t> mask, int cpu) {
  size_t word = static_cast<size_t>(cpu) / 64;
  return word < mask.size() && (mask[word] >> (cpu % 64) & 1) != 0;
}

}  // namespace

Pinner::Pinner(int zygote_tid) : zygote_tid_(zygote_tid), timer_([this] { Tick(); }) {
  if (!host::SchedGetaffinity(0, allowed_).ok())
    std::fill(std::begin(allowed_), std::end(allowed_), ~uint64_t{0});
}

void Pinner::OnTrap(Placement& p, int64_t now_ns) {
  SetRunning(p, false);
  int64_t gap = now_ns - p.last_call_ns;
  p.last_call_ns = now_ns;
  if (p.pinned) return;
  if (gap >= kChattyGapNs) {
    p.quick_calls = 0;
  } else if (++p.quick_calls >= kChattyCalls) {
    p.quick_calls = 0;
    Pin(p);
  }
}

void Pinner::OnClone(const Placement& parent, Placement& child, int64_t now_ns) {
  child.mask = parent.mask;
  child.last_call_ns = now_ns;
  if (!parent.pinned) return;
  if (parent.apart) return Pin(child);
  AddPinned(child, false);
}

void Pinner::AddPinned(Placement& p, bool apart) {
  if (!p.pinned) pinned_.push_back(&p);
  Update(p, [&] {
    p.pinned = true;
    p.apart = apart;
  });
}

void Pinner::BeforeSpawn() {
  if (tracer_cpu_ < 0) PinTracer();
}

void Pinner::OnSpawn(Placement& p, int64_t now_ns) {
  p.last_call_ns = now_ns;
  if (tracer_cpu_ >= 0) AddPinned(p, false);
}

void Pinner::SetMask(Placement& p, uint64_t mask) {
  p.mask = mask;
  if (p.pinned) Drop(p);
  ApplyMask(p);
}

void Pinner::Forget(Placement& p) {
  if (p.pinned) Drop(p);
}

bool Pinner::Separate(Placement& p) {
  if (tracer_cpu_ < 0) PinTracer();
  if (tracer_cpu_ < 0) return false;
  uint64_t mask[16];
  MaskOf(p, mask);
  mask[tracer_cpu_ / 64] &= ~(uint64_t{1} << (tracer_cpu_ % 64));
  if (std::all_of(std::begin(mask), std::end(mask), [](uint64_t word) { return word == 0; })) return false;
  if (!host::SchedSetaffinity(p.tid, mask).ok()) return false;
  AddPinned(p, true);
  return true;
}

void Pinner::Join(Placement& p) {
  if (p.pinned) Leave(p);
  Pin(p);
  if (!p.pinned) ApplyMask(p);
}

int Pinner::cpus() const {
  int n = 0;
  for (uint64_t word : allowed_) n += std::popcount(word);
  return n;
}

void Pinner::Pin(Placement& p) {
  if (tracer_cpu_ < 0) PinTracer();
  if (tracer_cpu_ < 0 || (p.mask != ~uint64_t{0} && (tracer_cpu_ >= 64 || (p.mask >> tracer_cpu_ & 1) == 0)))
    return;
  uint64_t mask[16] = {};
  mask[tracer_cpu_ / 64] = uint64_t{1} << (tracer_cpu_ % 64);
  if (host::SchedSetaffinity(p.tid, mask).ok()) AddPinned(p, false);
}

void Pinner::PinTracer() {
  int cpu = CurrentCpu();
  if (cpu >= 1024 || !Has(allowed_, cpu)) return;
  uint64_t mask[16] = {};
  mask[cpu / 64] = uint64_t{1} << (cpu % 64);
  if (!host::SchedSetaffinity(0, mask).ok()) return;
  tracer_cpu_ = cpu;
  (void)host::SchedSetaffinity(zygote_tid_, mask);
}

void Pinner::MaskOf(const Placement& p, std::span<uint64_t, 16> mask) const {
  std::copy(std::begin(allowed_), std::end(allowed_), mask.begin());
  if (p.mask == ~uint64_t{0}) return;
  mask[0] &= p.mask;
  std::fill(mask.begin() + 1, mask.end(), 0);
}

void Pinner::ApplyMask(const Placement& p) {
  uint64_t mask[16];
  MaskOf(p, mask);
  (void)host::SchedSetaffinity(p.tid, mask);
}

void Pinner::Leave(Placement& p) {
  std::erase(pinned_, &p);
  Update(p, [&] { p.pinned = p.apart = false; });
}

void Pinner::Drop(Placement& p) {
  Leave(p);
  p.quick_calls = 0;
  if (!pinned_.empty() || tracer_cpu_ < 0) return;
  (void)host::SchedSetaffinity(0, allowed_);
  (void)host::SchedSetaffinity(zygote_tid_, allowed_);
  tracer_cpu_ = -1;
}

void Pinner::Unpin(Placement& p) {
  Drop(p);
  ApplyMask(p);
}

void Pinner::StartTicking() {
  ticking_ = true;
  hurried_ = here_ > 1;
  timer_.Arm(host::NowMonotonicNs() + (hurried_ ? kCrowdedNs : kQuietNs));
}

void Pinner::Tick() {
  ticking_ = false;
  const int64_t now = host::NowMonotonicNs(), quiet_ns = hurried_ ? kCrowdedNs : kQuietNs;
  bool running = false;
  std::vector<Placement*> quiet;
  for (Placement* p : pinned_) {
    // A parked thread burns no CPU where it is.
    if (!p->running) continue;
    if (now - p->last_call_ns >= quiet_ns)
      quiet.push_back(p);
    else
      running = true;
  }
  for (Placement* p : quiet) Unpin(*p);
  if (running) StartTicking();
}

}  // namespace moat::ptrace
