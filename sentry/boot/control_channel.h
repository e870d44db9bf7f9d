// The sentry's end of the connection to `moat`.
#pragma once

#include <functional>

#include "base/util/error.h"
#include "sentry/control/protocol.h"

namespace moat {

// Sends one message; false if `moat` is gone.
bool SendControl(const ControlMessage& message);

// Calls `on_message` on a worker for each message, and `on_end` when `moat` is gone.
ErrorOr<void> ListenControl(std::function<void(const ControlMessage&)> on_message, std::function<void()> on_end);

}  // namespace moat
