// Linux's numbers of wait4(2) and waitid(2), and the encoding of a wait status.
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint32_t kWNOHANG = 0x1;
inline constexpr uint32_t kWUNTRACED = 0x2;
inline constexpr uint32_t kWSTOPPED = 0x2;
inline constexpr uint32_t kWEXITED = 0x4;
inline constexpr uint32_t kWCONTINUED = 0x8;
inline constexpr uint32_t kWNOWAIT = 0x1000000;
inline constexpr uint32_t k__WNOTHREAD = 0x20000000;
inline constexpr uint32_t k__WALL = 0x40000000;
inline constexpr uint32_t k__WCLONE = 0x80000000;
// The same, without the two underscores that C++ reserves.
inline constexpr uint32_t kWNOTHREAD = 0x20000000;
inline constexpr uint32_t kWALL = 0x40000000;
inline constexpr uint32_t kWCLONE = 0x80000000;
inline constexpr int kP_ALL = 0;
inline constexpr int kP_PID = 1;
inline constexpr int kP_PGID = 2;
inline constexpr int kP_PIDFD = 3;

inline constexpr int32_t kWCOREFLAG = 0x80;

// Wait statuses: of an exit with `code`, a death by `signo`, a stop by `signo` (with the ptrace event above
// it), and a continue.
constexpr int32_t WaitStatusExited(int32_t code) { return (code & 0xff) << 8; }
constexpr int32_t WaitStatusSignaled(int32_t signo, bool core) {
  return (signo & 0x7f) | (core ? kWCOREFLAG : 0);
}
constexpr int32_t WaitStatusStopped(int32_t signo) { return (signo << 8) | 0x7f; }
inline constexpr int32_t kWAIT_STATUS_CONTINUED = 0xffff;

// Their inverses, WIFEXITED and so on of wait(2).
constexpr bool WaitIfExited(int32_t status) { return (status & 0x7f) == 0; }
constexpr int32_t WaitExitStatus(int32_t status) { return (status >> 8) & 0xff; }
constexpr bool WaitIfSignaled(int32_t status) { return (status & 0x7f) != 0 && (status & 0x7f) != 0x7f; }
constexpr int32_t WaitTermSig(int32_t status) { return status & 0x7f; }
constexpr bool WaitCoreDump(int32_t status) { return (status & kWCOREFLAG) != 0; }
constexpr bool WaitIfStopped(int32_t status) { return (status & 0xff) == 0x7f; }
constexpr int32_t WaitStopSig(int32_t status) { return (status >> 8) & 0xff; }
constexpr int32_t WaitPtraceEvent(int32_t status) { return status >> 16; }
constexpr bool WaitIfContinued(int32_t status) { return status == kWAIT_STATUS_CONTINUED; }

}  // namespace moat::abi
