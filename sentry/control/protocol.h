// Messages between `moat` and the sentry: one datagram each on a SOCK_SEQPACKET socket. A leaf, like
// boot/config.h.
//
//   moat -> sentry   kGo, then any of kSignal kMemory
//   sentry -> moat   kStarted | kExecFailed, then any of kStopped kNotice kDelivered kMemory, at last kExited
//
// Either side treats the end of the socket as the death of the other: the sentry then ends the sandbox,
// `moat` reports a failure if there was no kExited or kExecFailed before.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/util/error.h"

namespace moat {

enum class ControlType : uint32_t {
  kSignal = 1,      // value: signal number; detail: SignalTarget
  kStarted = 2,     // the command's image is loaded and runs
  kExecFailed = 3,  // value: Errno; text: what it is about, such as argv[0]. No guest code ran; the sentry exits
  kExited = 4,      // value: exit code; detail: the signal that ended the command, or 0. The sentry exits
  kStopped = 5,     // value: the signal that stopped the command (job control)
  kNotice = 6,      // text: one line for the user
  kDelivered = 7,   // value: how many kSignal messages took effect so far. `moat` gives up on a sentry that stays silent
  kGo = 8,          // both programs are executed: guest code may run
  // moat -> sentry: value: MiB that guest processes use; detail: 1 if the sandbox is near its limit.
  // sentry -> moat, as the answer: value: MiB in memfds, which no process's own numbers tell.
  kMemory = 9,
};

// Whom kSignal reaches. The command counts as an ordinary process here: default actions apply to it although
// it is the guest's pid 1, as users expect from `timeout 5 moat do -- CMD`.
enum class SignalTarget : int32_t {
  kCommand = 0,  // the command's process, as by kill(2)
  kForeground =
      1,  // the foreground process group of its terminal (the command's group if none), as by a key press
};

struct ControlMessage {
  ControlType type = ControlType::kNotice;
  int32_t value = 0;
  int32_t detail = 0;
  std::string text;  // at most kMaxControlText bytes; longer is cut

  bool operator==(const ControlMessage&) const = default;
};

inline constexpr size_t kMaxControlText = 1024;
inline constexpr size_t kMaxControlBytes =
    16 + kMaxControlText;  // receive buffers of this size always suffice

std::string EncodeControl(const ControlMessage& message);

// EINVAL: unknown type, wrong length, or text where there should be none.
ErrorOr<ControlMessage> DecodeControl(std::string_view datagram);

}  // namespace moat
