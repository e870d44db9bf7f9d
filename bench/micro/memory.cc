// Mappings, page faults, and computing without any call.
#include <sys/mman.h>

#include <thread>

#include "bench/micro/harness.h"

namespace moat::bench {
namespace {

constexpr size_t kPage = 4096;

char* Map(size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Check(p != MAP_FAILED, "mmap");
  return static_cast<char*>(p);
}

void MmapMunmap(Round& r) {
  while (r.Next()) munmap(Map(kPage), kPage);
}
void MmapTouchMunmap(Round& r) {
  while (r.Next()) {
    char* p = Map(kPage);
    *p = 1;
    munmap(p, kPage);
  }
}
void MprotectPair(Round& r) {
  char* p = Map(kPage);
  *p = 1;
  while (r.Next()) {
    Check(mprotect(p, kPage, PROT_READ) == 0, "mprotect");
    Check(mprotect(p, kPage, PROT_READ | PROT_WRITE) == 0, "mprotect");
  }
  munmap(p, kPage);
}
// First touches of 4 KiB pages.
void FaultPages256(Round& r) {
  constexpr size_t kBytes = 256 * kPage;
  while (r.Next()) {
    char* p = Map(kBytes);
    madvise(p, kBytes, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < kBytes; i += kPage) p[i] = 1;
    munmap(p, kBytes);
  }
}

void Compute() {
  uint64_t x = 1;
  for (int i = 0; i < 1'000'000; ++i) x = x * 6364136223846793005u + 1442695040888963407u;
  Keep(x);
}
void Compute1Thread(Round& r) {
  while (r.Next()) Compute();
}
// The same work in each of two threads at once: as long as one alone, if two CPUs are free.
void Compute2Threads(Round& r) {
  constexpr int kRepeats = 20;
  auto work = [] {
    for (int i = 0; i < kRepeats; ++i) Compute();
  };
  while (r.Next()) {
    std::thread other(work);
    work();
    other.join();
  }
}
void Compute20InOneThread(Round& r) {
  while (r.Next()) {
    for (int i = 0; i < 20; ++i) Compute();
  }
}

const Registration kRegistered{
    {"mmap_munmap", MmapMunmap},       {"mmap_touch_munmap", MmapTouchMunmap}, {"mprotect_pair", MprotectPair},
    {"fault_256_pages", FaultPages256}, {"compute", Compute1Thread},           {"compute_x20", Compute20InOneThread},
    {"compute_x20_two_threads", Compute2Threads},
};

}  // namespace
}  // namespace moat::bench
