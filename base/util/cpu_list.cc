#include "base/util/cpu_list.h"

namespace moat {

std::string CpuList(uint64_t mask) {
  constexpr int kBits = 64;
  std::string out;
  for (int i = 0; i < kBits; ++i) {
    if (!((mask >> i) & 1)) continue;
    int last = i;
    while (last + 1 < kBits && ((mask >> (last + 1)) & 1)) ++last;
    if (!out.empty()) out += ',';
    out += std::to_string(i);
    if (last > i) out += '-' + std::to_string(last);
    i = last;
  }
  return out;
}

}  // namespace moat
