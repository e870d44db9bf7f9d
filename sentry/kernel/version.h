// What this kernel says it is: a recent long-term version, so that programs use what it has.
#pragma once

namespace moat {

inline constexpr char kKernelRelease[] = "6.12.0";
inline constexpr char kKernelVersion[] = "#1 SMP PREEMPT_DYNAMIC Moat";

}  // namespace moat
