#include "sentry/boot/signal_relay.h"

#include "abi/signal.h"
#include "base/fiber/executor.h"
#include "sentry/boot/control_channel.h"
#include "sentry/kernel/kernel.h"

namespace moat {

void SignalRelay::OnMessage(const ControlMessage& message) {
  if (message.type != ControlType::kSignal || message.value < 1 || message.value > abi::kNSIG) return;
  const bool to_command = message.detail == static_cast<int32_t>(SignalTarget::kCommand);
  const SignalTarget target = to_command ? SignalTarget::kCommand : SignalTarget::kForeground;
  MutexLock lock(mu_);
  ++received_;
  if (!started_) {
    kept_[to_command ? 0 : 1] |= abi::SigMask(message.value);
    return;
  }
  Deliver(message.value, target);
  Answer(received_);
}

void SignalRelay::Start() {
  MutexLock lock(mu_);
  started_ = true;
  for (int signo = 1; signo <= abi::kNSIG; ++signo) {
    if (kept_[0] & abi::SigMask(signo)) Deliver(signo, SignalTarget::kCommand);
    if (kept_[1] & abi::SigMask(signo)) Deliver(signo, SignalTarget::kForeground);
  }
  if (received_ > 0) Answer(received_);
}

void SignalRelay::Answer(int count) {
  Executor::Get().Post([count] { SendControl({.type = ControlType::kDelivered, .value = count}); });
}

void SignalRelay::Deliver(int signo, SignalTarget target) {
  abi::SigInfo info = MakeSigInfo(signo, abi::kSI_USER);
  MutexLock lock(kernel_.tasks_lock);
  ThreadGroup* init = kernel_.init();
  if (!init || init->exited) return;
  if (target == SignalTarget::kCommand) {
    init->SendSignal(info);
    return;
  }
  int pgid = init->process_group->session->foreground_pgid;
  Ref<ProcessGroup> foreground = init->process_group;
  kernel_.ForEachGroup([&](ThreadGroup& g) {
    if (g.process_group->pgid == pgid) foreground = g.process_group;
  });
  kernel_.SignalGroupLocked(*foreground, info);
}

}  // namespace moat
