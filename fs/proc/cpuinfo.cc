#include <cpuid.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "fs/proc/format.h"
#include "fs/proc/system_text.h"

namespace moat::proc {

namespace {

struct Leaf {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Leaf Cpuid(uint32_t leaf, uint32_t sub = 0) {
  Leaf l;
  __get_cpuid_count(leaf, sub, &l.a, &l.b, &l.c, &l.d);
  return l;
}

// Names of feature bits as Linux shows them; null: no name or not shown.
struct FlagName {
  uint8_t word, bit;
  const char* name;
};
enum : uint8_t { k1D, k1C, k81D, k81C, k7B, k7C, k7D, kD1A, kWords };
constexpr FlagName kFlags[] = {
    {k1D, 0, "fpu"}, {k1D, 1, "vme"}, {k1D, 2, "de"}, {k1D, 3, "pse"}, {k1D, 4, "tsc"}, {k1D, 5, "msr"}, {k1D, 6, "pae"},
    {k1D, 7, "mce"}, {k1D, 8, "cx8"}, {k1D, 9, "apic"}, {k1D, 11, "sep"}, {k1D, 12, "mtrr"}, {k1D, 13, "pge"},
    {k1D, 14, "mca"}, {k1D, 15, "cmov"}, {k1D, 16, "pat"}, {k1D, 17, "pse36"}, {k1D, 19, "clflush"}, {k1D, 23, "mmx"},
    {k1D, 24, "fxsr"}, {k1D, 25, "sse"}, {k1D, 26, "sse2"}, {k1D, 27, "ss"}, {k1D, 28, "ht"}, {k81D, 11, "syscall"},
    {k81D, 20, "nx"}, {k81D, 22, "mmxext"}, {k81D, 25, "fxsr_opt"}, {k81D, 26, "pdpe1gb"}, {k81D, 27, "rdtscp"},
    {k81D, 29, "lm"}, {k1C, 0, "pni"}, {k1C, 1, "pclmulqdq"}, {k1C, 9, "ssse3"}, {k1C, 12, "fma"}, {k1C, 13, "cx16"},
    {k1C, 17, "pcid"}, {k1C, 19, "sse4_1"}, {k1C, 20, "sse4_2"}, {k1C, 21, "x2apic"}, {k1C, 22, "movbe"},
    {k1C, 23, "popcnt"}, {k1C, 25, "aes"}, {k1C, 26, "xsave"}, {k1C, 28, "avx"}, {k1C, 29, "f16c"}, {k1C, 30, "rdrand"},
    {k1C, 31, "hypervisor"}, {k81C, 0, "lahf_lm"}, {k81C, 1, "cmp_legacy"}, {k81C, 4, "cr8_legacy"}, {k81C, 5, "abm"},
    {k81C, 6, "sse4a"}, {k81C, 7, "misalignsse"}, {k81C, 8, "3dnowprefetch"}, {k81C, 11, "xop"}, {k81C, 16, "fma4"},
    {k81C, 21, "tbm"}, {k7B, 0, "fsgsbase"}, {k7B, 3, "bmi1"}, {k7B, 4, "hle"}, {k7B, 5, "avx2"}, {k7B, 7, "smep"},
    {k7B, 8, "bmi2"}, {k7B, 9, "erms"}, {k7B, 10, "invpcid"}, {k7B, 11, "rtm"}, {k7B, 14, "mpx"}, {k7B, 16, "avx512f"},
    {k7B, 17, "avx512dq"}, {k7B, 18, "rdseed"}, {k7B, 19, "adx"}, {k7B, 20, "smap"}, {k7B, 21, "avx512ifma"},
    {k7B, 23, "clflushopt"}, {k7B, 24, "clwb"}, {k7B, 26, "avx512pf"}, {k7B, 27, "avx512er"}, {k7B, 28, "avx512cd"},
    {k7B, 29, "sha_ni"}, {k7B, 30, "avx512bw"}, {k7B, 31, "avx512vl"}, {kD1A, 0, "xsaveopt"}, {kD1A, 1, "xsavec"},
    {kD1A, 2, "xgetbv1"}, {kD1A, 3, "xsaves"}, {k7C, 1, "avx512vbmi"}, {k7C, 2, "umip"}, {k7C, 3, "pku"}, {k7C, 4, "ospke"},
    {k7C, 6, "avx512_vbmi2"}, {k7C, 8, "gfni"}, {k7C, 9, "vaes"}, {k7C, 10, "vpclmulqdq"}, {k7C, 11, "avx512_vnni"},
    {k7C, 12, "avx512_bitalg"}, {k7C, 14, "avx512_vpopcntdq"}, {k7C, 22, "rdpid"}, {k7C, 25, "cldemote"},
    {k7C, 27, "movdiri"}, {k7C, 28, "movdir64b"}, {k7D, 4, "fsrm"}, {k7D, 8, "avx512_vp2intersect"}, {k7D, 10, "md_clear"},
    {k7D, 14, "serialize"}, {k7D, 22, "amx_bf16"}, {k7D, 23, "avx512_fp16"}, {k7D, 24, "amx_tile"}, {k7D, 25, "amx_int8"},
};

std::string Flags() {
  std::array<uint32_t, kWords> words{};
  Leaf one = Cpuid(1), ext = Cpuid(0x80000001), seven = Cpuid(7), d1 = Cpuid(0xd, 1);
  words[k1D] = one.d;
  words[k1C] = one.c;
  words[k81D] = ext.d;
  words[k81C] = ext.c;
  words[k7B] = seven.b;
  words[k7C] = seven.c;
  words[k7D] = seven.d;
  words[kD1A] = d1.a;
  std::string out;
  for (const FlagName& f : kFlags) {
    if (!((words[f.word] >> f.bit) & 1)) continue;
    if (!out.empty()) out += ' ';
    out += f.name;
  }
  return out;
}

std::string Vendor(const Leaf& zero) {
  char text[13] = {};
  memcpy(text, &zero.b, 4);
  memcpy(text + 4, &zero.d, 4);
  memcpy(text + 8, &zero.c, 4);
  return text;
}

std::string ModelName() {
  if (Cpuid(0x80000000).a < 0x80000004) return "unknown";
  char text[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    Leaf l = Cpuid(0x80000002 + i);
    memcpy(text + 16 * i, &l, sizeof l);
  }
  std::string name = text;
  name.erase(0, name.find_first_not_of(' '));
  return name.empty() ? "unknown" : name;
}

// MHz as the processor says it was made for, 0 if it does not say.
double Megahertz() {
  if (Cpuid(0).a >= 0x16) {
    Leaf l = Cpuid(0x16);
    if (l.a) return l.a & 0xffff;
  }
  if (Cpuid(0).a >= 0x15) {
    Leaf l = Cpuid(0x15);
    if (l.a && l.b && l.c) return static_cast<double>(l.c) * l.b / l.a / 1e6;
  }
  constexpr double kUnknown = 2000;
  return kUnknown;
}

}  // namespace

std::string CpuInfo(uint64_t online_cpus) {
  Leaf zero = Cpuid(0), one = Cpuid(1), sizes = Cpuid(0x80000008), cache = Cpuid(0x80000006);
  uint32_t family = (one.a >> 8) & 15, model = (one.a >> 4) & 15;
  if (family == 15) family += (one.a >> 20) & 255;
  if (family >= 6) model |= ((one.a >> 16) & 15) << 4;
  double mhz = Megahertz();
  std::string flags = Flags(), vendor = Vendor(zero), name = ModelName();
  int count = __builtin_popcountll(online_cpus);
  std::string out;
  for (int cpu = 0, index = 0; cpu < 64; ++cpu) {
    if (!((online_cpus >> cpu) & 1)) continue;
    Appendf(out, "processor\t: %d\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\nstepping\t: %u\n", cpu,
            vendor.c_str(), family, model, name.c_str(), one.a & 15);
    Appendf(out, "microcode\t: 0x1\ncpu MHz\t\t: %.3f\ncache size\t: %u KB\n", mhz, cache.c >> 16);
    Appendf(out, "physical id\t: 0\nsiblings\t: %d\ncore id\t\t: %d\ncpu cores\t: %d\napicid\t\t: %d\ninitial apicid\t: %d\n", count,
            index, count, cpu, cpu);
    Appendf(out, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\nflags\t\t: %s\nbugs\t\t:\nbogomips\t: %.2f\n",
            zero.a, flags.c_str(), mhz * 2);
    Appendf(out, "clflush size\t: %u\ncache_alignment\t: 64\naddress sizes\t: %u bits physical, %u bits virtual\npower management:\n\n",
            ((one.b >> 8) & 255) * 8, sizes.a & 255, (sizes.a >> 8) & 255);
    ++index;
  }
  return out;
}

}  // namespace moat::proc
