#include "sentry/loader/vdso_clock.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <string>
#include <thread>

#include "abi/mman.h"
#include "abi/time.h"
#include "base/host/memory.h"
#include "base/host/time.h"
#include "sentry/loader/vdso.h"

namespace moat {
namespace {

constexpr int64_t kMs = 1'000'000;

const std::byte* Image() { return VdsoImage().data(); }

template <class T>
const T* At(const std::byte* base, uint64_t offset) {
  return reinterpret_cast<const T*>(base + offset);
}

const Elf64_Phdr* ProgramHeader(const std::byte* base, uint32_t type) {
  auto* header = At<Elf64_Ehdr>(base, 0);
  for (int i = 0; i < header->e_phnum; ++i) {
    auto* p = At<Elf64_Phdr>(base, header->e_phoff + static_cast<uint64_t>(i) * sizeof(Elf64_Phdr));
    if (p->p_type == type) return p;
  }
  return nullptr;
}

std::map<int64_t, uint64_t> Dynamic(const std::byte* base) {
  std::map<int64_t, uint64_t> out;
  for (auto* d = At<Elf64_Dyn>(base, ProgramHeader(base, PT_DYNAMIC)->p_vaddr); d->d_tag != DT_NULL; ++d) {
    out[d->d_tag] = d->d_un.d_val;
  }
  return out;
}

// Address of `name` in an image that lies at `base`, found as programs find it; 0 if it has none.
uint64_t Symbol(const std::byte* base, const std::string& name) {
  std::map<int64_t, uint64_t> dynamic = Dynamic(base);
  uint32_t count = At<uint32_t>(base, dynamic[DT_HASH])[1];
  auto* symbols = At<Elf64_Sym>(base, dynamic[DT_SYMTAB]);
  for (uint32_t i = 0; i < count; ++i) {
    if (name == At<char>(base, dynamic[DT_STRTAB] + symbols[i].st_name)) return symbols[i].st_value;
  }
  return 0;
}

// The file of `clock` mapped as guests have it.
class Mapped {
 public:
  explicit Mapped(VdsoClock& clock) {
    int fd = clock.file()->Map(0, kVdsoPage, false)->fd;
    size_t bytes = kVdsoPage + VdsoImageBytes();
    void* at = *host::Mmap(nullptr, bytes, abi::kPROT_READ | abi::kPROT_EXEC, abi::kMAP_PRIVATE, fd, 0);
    image_ = static_cast<const std::byte*>(at) + kVdsoPage;
    uint64_t gettime = reinterpret_cast<uint64_t>(image_) + Symbol(image_, "__vdso_clock_gettime");
    gettime_ = reinterpret_cast<int (*)(int, abi::Timespec*)>(gettime);
  }
  int64_t Now(int clock) const {
    abi::Timespec ts;
    EXPECT_EQ(gettime_(clock, &ts), 0);
    return ts.tv_sec * abi::kNSEC_PER_SEC + ts.tv_nsec;
  }
  const std::byte* image() const { return image_; }

 private:
  const std::byte* image_;
  int (*gettime_)(int, abi::Timespec*);
};

TEST(VdsoImageTest, HasWhatProgramsLookFor) {
  std::map<int64_t, uint64_t> dynamic = Dynamic(Image());
  EXPECT_STREQ(At<char>(Image(), dynamic[DT_STRTAB] + dynamic[DT_SONAME]), "linux-vdso.so.1");
  for (const char* name : {"clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu"}) {
    EXPECT_NE(Symbol(Image(), std::string("__vdso_") + name), 0u) << name;
  }
  auto* version = At<Elf64_Verdef>(Image(), dynamic[DT_VERDEF]);
  version = reinterpret_cast<const Elf64_Verdef*>(reinterpret_cast<const std::byte*>(version) + version->vd_next);
  auto* aux = reinterpret_cast<const Elf64_Verdaux*>(reinterpret_cast<const std::byte*>(version) + version->vd_aux);
  EXPECT_STREQ(At<char>(Image(), dynamic[DT_STRTAB] + aux->vda_name), "LINUX_2.6");
}

TEST(VdsoImageTest, CanBeSharedAsItLiesInTheFile) {
  std::map<int64_t, uint64_t> dynamic = Dynamic(Image());
  for (int64_t tag : {DT_RELA, DT_REL, DT_JMPREL, DT_NEEDED, DT_TEXTREL, DT_INIT}) EXPECT_EQ(dynamic.count(tag), 0u) << tag;
  auto* load = ProgramHeader(Image(), PT_LOAD);
  EXPECT_EQ(load->p_vaddr, 0u);
  EXPECT_EQ(load->p_offset, 0u);
  EXPECT_EQ(load->p_flags, static_cast<uint32_t>(PF_R | PF_X));
  EXPECT_EQ(load->p_memsz, load->p_filesz);
}

class VdsoClockTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!clock_.file()) GTEST_SKIP() << "the host's clock is not the time stamp counter";
  }
  // Long enough to know the counter's rate.
  void Settle() {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    clock_.Read();
  }
  VdsoClock clock_;
};

TEST_F(VdsoClockTest, ShowsTheHostsClocks) {
  Settle();
  Mapped guest(clock_);
  constexpr int64_t kTolerance = 20'000;
  int64_t before = host::NowMonotonicNs();
  int64_t monotonic = guest.Now(abi::kCLOCK_MONOTONIC);
  EXPECT_GE(monotonic, before - kTolerance);
  EXPECT_LE(monotonic, host::NowMonotonicNs() + kTolerance);
  before = host::NowRealtimeNs();
  int64_t realtime = guest.Now(abi::kCLOCK_REALTIME);
  EXPECT_GE(realtime, before - kTolerance);
  EXPECT_LE(realtime, host::NowRealtimeNs() + kTolerance);
  EXPECT_GT(guest.Now(abi::kCLOCK_MONOTONIC_RAW), 0) << "other clocks are calls";
}

TEST_F(VdsoClockTest, CallsAndReadersAreOrderedAcrossThreads) {
  Settle();
  Mapped guest(clock_);
  // Each thread publishes what it read; nobody may then read less. A page that expires makes the vDSO ask the host here,
  // where there is no sentry to ask: a thread that reads often keeps it fresh, and what is left is let pass.
  std::atomic<int64_t> latest{0};
  std::atomic<bool> stop{false};
  std::atomic<int> violations{0};
  constexpr int64_t kAskedTheHost = 1'000;
  auto check = [&](auto read) {
    while (!stop) {
      int64_t floor = latest.load();
      int64_t now = read();
      if (now < floor - kAskedTheHost) ++violations;
      for (int64_t seen = floor; now > seen && !latest.compare_exchange_weak(seen, now);) {
      }
    }
  };
  std::thread caller([&] { check([&] { return clock_.Read().monotonic_ns; }); });
  std::thread reader([&] { check([&] { return guest.Now(abi::kCLOCK_MONOTONIC); }); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  stop = true;
  caller.join();
  reader.join();
  EXPECT_EQ(violations, 0);
}

TEST_F(VdsoClockTest, ItsPageExpiresAndACallMakesTheNext) {
  Settle();
  Mapped guest(clock_);
  auto* page = reinterpret_cast<const vdso::ClockPage*>(guest.image() - kVdsoPage);
  uint32_t first = page->sequence;
  EXPECT_GT(page->parameters.valid_ticks, 0u);
  EXPECT_EQ(first % 2, 0u);
  clock_.Read();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(page->sequence, first) << "nothing ticks";
  int64_t last = guest.Now(abi::kCLOCK_MONOTONIC);
  int64_t next = clock_.Read().monotonic_ns;
  EXPECT_EQ(page->sequence, first + 2);
  EXPECT_GE(next, last - kMs / 100);
}

TEST_F(VdsoClockTest, NobodyButTheClockCanWriteItsFile) {
  int fd = clock_.file()->Map(0, kVdsoPage, false)->fd;
  EXPECT_EQ(host::Mmap(nullptr, kVdsoPage, abi::kPROT_READ | abi::kPROT_WRITE, abi::kMAP_SHARED, fd, 0).error(), kEPERM);
  void* shared = *host::Mmap(nullptr, kVdsoPage, abi::kPROT_READ, abi::kMAP_SHARED, fd, 0);
  EXPECT_EQ(host::Mprotect(shared, kVdsoPage, abi::kPROT_READ | abi::kPROT_WRITE).error(), kEACCES);
  EXPECT_EQ(clock_.file()->Map(0, kVdsoPage, true).error(), kEACCES);
}

}  // namespace
}  // namespace moat
