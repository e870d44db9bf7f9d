// The vDSO: runs in guest mode, in every guest program. Freestanding; see vdso(7) for what programs expect of it.
#include "abi/time.h"
#include "sentry/loader/vdso/clock_page.h"

namespace abi = moat::abi;
using moat::vdso::ClockPage;
using moat::vdso::ClockParameters;

// The page before the image (vdso.lds).
extern "C" __attribute__((visibility("hidden"))) const volatile ClockPage vdso_clock_page;

namespace {

constexpr long kClockGettime = 228, kClockGetres = 229, kGettimeofday = 96, kTime = 201, kGetcpu = 309;
// How often a reader tries again before it asks the sentry, which then waits for the change to end.
constexpr int kTries = 200;

long Call(long nr, long a, long b = 0, long c = 0) {
  long result;
  asm volatile("syscall" : "=a"(result) : "0"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}
template <class T>
long Address(T* p) {
  return reinterpret_cast<long>(p);
}

// The counter, read after the loads that stand before it.
uint64_t ReadTsc() {
  uint32_t low, high;
  asm volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
  return uint64_t{high} << 32 | low;
}

// The sequence number, loaded after `tsc` was read: its address depends on it.
uint32_t SequenceAfter(uint64_t tsc) {
  asm volatile("and $0, %0" : "+r"(tsc) : : "memory");
  auto* sequence = reinterpret_cast<const volatile char*>(&vdso_clock_page.sequence) + tsc;
  return *reinterpret_cast<const volatile uint32_t*>(sequence);
}

struct Now {
  bool known;
  int64_t monotonic_ns, realtime_ns;
};

Now ReadClocks() {
  const volatile ClockParameters& shared = vdso_clock_page.parameters;
  for (int i = 0; i < kTries; ++i) {
    uint32_t sequence = __atomic_load_n(&vdso_clock_page.sequence, __ATOMIC_ACQUIRE);
    if (sequence & 1) {
      __builtin_ia32_pause();
      continue;
    }
    ClockParameters p{.base_tsc = shared.base_tsc,
                      .valid_ticks = shared.valid_ticks,
                      .rate = shared.rate,
                      .monotonic_ns = shared.monotonic_ns,
                      .realtime_offset = shared.realtime_offset};
    uint64_t tsc = ReadTsc();
    if (SequenceAfter(tsc) != sequence) continue;
    uint64_t ticks = tsc - p.base_tsc;
    if (ticks >= p.valid_ticks) break;  // also a counter below the base: the difference wraps
    int64_t monotonic = moat::vdso::MonotonicAfter(p, ticks);
    return {true, monotonic, monotonic + p.realtime_offset};
  }
  return {false, 0, 0};
}

}  // namespace

extern "C" {

int __vdso_clock_gettime(int clock, abi::Timespec* out) {
  if (clock == abi::kCLOCK_MONOTONIC || clock == abi::kCLOCK_REALTIME) {
    Now now = ReadClocks();
    if (now.known) {
      auto ns = static_cast<uint64_t>(clock == abi::kCLOCK_MONOTONIC ? now.monotonic_ns : now.realtime_ns);
      out->tv_sec = static_cast<int64_t>(ns / abi::kNSEC_PER_SEC);
      out->tv_nsec = static_cast<int64_t>(ns % abi::kNSEC_PER_SEC);
      return 0;
    }
  }
  return static_cast<int>(Call(kClockGettime, clock, Address(out)));
}

int __vdso_clock_getres(int clock, abi::Timespec* out) {
  if (clock != abi::kCLOCK_MONOTONIC && clock != abi::kCLOCK_REALTIME) {
    return static_cast<int>(Call(kClockGetres, clock, Address(out)));
  }
  if (out) *out = {0, 1};
  return 0;
}

int __vdso_gettimeofday(abi::Timeval* tv, abi::Timezone* tz) {
  Now now = ReadClocks();
  if (!now.known) return static_cast<int>(Call(kGettimeofday, Address(tv), Address(tz)));
  if (tv) {
    auto us = static_cast<uint64_t>(now.realtime_ns) / 1000;
    tv->tv_sec = static_cast<int64_t>(us / abi::kUSEC_PER_SEC);
    tv->tv_usec = static_cast<int64_t>(us % abi::kUSEC_PER_SEC);
  }
  if (tz) *tz = {0, 0};  // UTC, as the system call says
  return 0;
}

int64_t __vdso_time(int64_t* out) {
  Now now = ReadClocks();
  if (!now.known) return Call(kTime, Address(out));
  auto seconds = static_cast<int64_t>(static_cast<uint64_t>(now.realtime_ns) / abi::kNSEC_PER_SEC);
  if (out) *out = seconds;
  return seconds;
}

long __vdso_getcpu(uint32_t* cpu, uint32_t* node, void*) {
  if (!vdso_clock_page.has_rdtscp) return Call(kGetcpu, Address(cpu), Address(node));
  // Linux keeps node << 12 | cpu in TSC_AUX.
  constexpr uint32_t kCpuBits = 12;
  uint32_t aux;
  asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
  if (cpu) *cpu = aux & ((1u << kCpuBits) - 1);
  if (node) *node = aux >> kCpuBits;
  return 0;
}

}  // extern "C"
