// When the sandbox rests, so does the memory of its kernel.
#pragma once

#include <cstdint>

namespace moat {

// Decides from the CPU time that this process used whether it came to rest. `moat` asks about once a second.
class RestMeter {
 public:
  // At rest: of the time since the last answer at most one part in so many was used.
  static constexpr int64_t kRestShare = 50;
  // A shorter time says nothing: the question counts as not asked.
  static constexpr int64_t kShortestNs = 500'000'000;
  // Work since the last rest below which this is still the same rest: the answers to `moat` themselves take about 0.1 ms.
  static constexpr int64_t kWorkNs = 5'000'000;

  // `now_ns`: a clock that never stops; `cpu_ns`: CPU time of the process so far. True once a rest. The first question only
  // starts the measure.
  bool CameToRest(int64_t now_ns, int64_t cpu_ns);

 private:
  int64_t asked_ns_ = 0;  // 0: never
  int64_t cpu_ns_ = 0;
  int64_t rested_cpu_ns_ = -kWorkNs;  // when it was last true
};

// If the process came to rest, gives back unused memory of the heap and the image's pages (host::ReleaseImagePages). One
// thread.
void GiveBackAtRest();

}  // namespace moat
