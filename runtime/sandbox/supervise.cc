#include "runtime/sandbox/supervise.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "abi/poll.h"
#include "abi/signal.h"
#include "abi/socket.h"
#include "abi/wait.h"
#include "base/host/file.h"
#include "base/host/memory.h"
#include "base/host/poll.h"
#include "base/host/process.h"
#include "base/host/signal.h"
#include "base/host/socket.h"
#include "base/host/time.h"
#include "runtime/sandbox/memory_guard.h"
#include "runtime/util/failure.h"
#include "sentry/control/protocol.h"

namespace moat {
namespace {

constexpr int kRelayed[] = {abi::kSIGHUP,  abi::kSIGINT,  abi::kSIGQUIT, abi::kSIGTERM,
                            abi::kSIGUSR1, abi::kSIGUSR2, abi::kSIGALRM, abi::kSIGWINCH,
                            abi::kSIGCONT, abi::kSIGTSTP, abi::kSIGURG,  abi::kSIGPIPE};

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kGraceAfterTerm = 2 * kNsPerSecond;  // from SIGTERM of the time limit to SIGKILL
constexpr int64_t kGraceAtEnd = 2 * kNsPerSecond;      // for the programs to end by themselves
constexpr int64_t kGraceForBlame = kNsPerSecond / 5;   // when the gofer ends: is it because the sentry did?
constexpr int64_t kGraceForAnswer = 5 * kNsPerSecond;  // for the sentry to pass on a signal that asks for the end
constexpr int64_t kGraceForRepeat = kNsPerSecond;      // the same if the user asks again
constexpr int64_t kRest = kNsPerSecond / 2;            // a wait after which the image's pages are let go
constexpr int64_t kNever = INT64_MAX;

// Signals by which users and supervisors ask for the end.
bool AsksForEnd(int signo) {
  return signo == abi::kSIGTERM || signo == abi::kSIGINT || signo == abi::kSIGHUP || signo == abi::kSIGQUIT;
}

class Supervisor {
 public:
  Supervisor(Sandbox& sandbox, int signals, bool job_control, uint64_t memory_bytes)
      : sandbox_(sandbox), signals_(signals), job_control_(job_control), memory_(sandbox.sentry_pid, memory_bytes) {}

  int Run(double timeout_s) {
    if (timeout_s > 0) deadline_ = host::NowMonotonicNs() + std::llround(timeout_s * kNsPerSecond);
    while (!result_) Step();
    WindUp();
    // Without its files the command may well have failed by itself before we knew.
    if (gofer_status_ != 0) throw GoferFailure();
    if (!refusal_.empty()) PrintLine(refusal_);
    return timed_out_ ? kExitTimeout : *result_;
  }

 private:
  bool SentryGone() const { return sandbox_.sentry_pid < 0; }
  bool GoferGone() const { return sandbox_.gofer_pid < 0; }
  Failure GoferFailure() const {
    return Failure("the file server ended unexpectedly: " + DescribeEnd(gofer_status_));
  }

  // Waits for something to happen and handles it.
  void Step() {
    const bool control_open = sandbox_.control.valid();
    abi::Pollfd fds[] = {{signals_, abi::kPOLLIN, 0},
                         {control_open ? sandbox_.control.get() : -1, abi::kPOLLIN, 0}};
    const int64_t until = std::min({deadline_, answer_by_, memory_due_});
    const int64_t wait_ns = std::max<int64_t>(0, until - host::NowMonotonicNs());
    const abi::Timespec timeout{wait_ns / kNsPerSecond, wait_ns % kNsPerSecond};
    const ErrorOr<size_t> ready = host::Ppoll(fds, 2, until == kNever ? nullptr : &timeout);
    if (!ready.ok() && ready.error() != kEINTR) throw Failure("poll: " + ErrorText(ready.error()));
    if (host::NowMonotonicNs() >= memory_due_) CheckMemory();
    if (ready.value_or(0) == 0) {
      OnDeadline();
      if (wait_ns >= kRest) Rest();
      return;
    }
    if (fds[1].revents != 0) ReadControl();
    if (fds[0].revents != 0) ReadSignals();
  }

  // Nothing has happened for a while. Once only: looking at the memory every second is not worth mapping its code each time.
  void Rest() {
    if (!resting_) host::ReleaseImagePages();
    resting_ = true;
  }

  void OnDeadline() {
    const int64_t now = host::NowMonotonicNs();
    if (now >= answer_by_) throw Silence();
    if (now < deadline_) return;
    if (gofer_blamed_) throw GoferFailure();
    if (timed_out_) {
      result_ = kExitTimeout;  // WindUp kills
      kill_at_once_ = true;
      return;
    }
    timed_out_ = true;
    deadline_ = host::NowMonotonicNs() + kGraceAfterTerm;
    SendSignal(abi::kSIGTERM, SignalTarget::kCommand);
  }

  static Failure Silence() { return Failure("the sandbox kernel does not answer: the sandbox was killed"); }

  // Measures, and lets the sentry know and answer with what it holds: the next check counts that.
  void CheckMemory() {
    const MemoryGuard::Result result = memory_.Check();
    memory_due_ = host::NowMonotonicNs() + result.next_ns;
    constexpr int kMiB = 20;
    const auto mib = static_cast<int32_t>(std::min<uint64_t>(result.guest_bytes >> kMiB, INT32_MAX));
    Tell({ControlType::kMemory, mib, result.tight ? 1 : 0, ""});
  }

  void SendSignal(int signo, SignalTarget target) {
    if (Tell({ControlType::kSignal, signo, static_cast<int32_t>(target), ""})) ++sent_;
    if (AsksForEnd(signo) && !timed_out_ && sandbox_.control.valid()) ExpectAnswer();
  }

  bool Tell(const ControlMessage& message) {
    const std::string bytes = EncodeControl(message);
    if (!sandbox_.control.valid()) return false;
    // A full socket means a sentry that has not read for long: then an answer is awaited already, or nobody cares.
    return host::Sendto(sandbox_.control.get(), bytes.data(), bytes.size(), abi::kMSG_DONTWAIT | abi::kMSG_NOSIGNAL).ok();
  }

  // The sentry has to deliver what was sent up to now, whatever the command makes of it.
  void ExpectAnswer() {
    const int64_t now = host::NowMonotonicNs();
    if (answer_by_ == kNever) {
      awaited_ = sent_;
      answer_by_ = now + kGraceForAnswer;
    } else if (now > answer_by_ - kGraceForAnswer + kGraceForRepeat) {
      throw Silence();
    }
  }

  // All that is there, without waiting.
  void ReadControl() {
    while (sandbox_.control.valid()) {
      char buffer[kMaxControlBytes];
      const ErrorOr<size_t> got =
          host::Recvfrom(sandbox_.control.get(), buffer, sizeof(buffer), abi::kMSG_DONTWAIT);
      if (got.error() == kEAGAIN || got.error() == kEINTR) return;
      // It ended without reading all that we sent: unix(7) says so once, before what it sent.
      if (got.error() == kECONNRESET) continue;
      if (got.value_or(0) == 0) return sandbox_.control.Reset();  // its end is near: SIGCHLD tells the rest
      const ErrorOr<ControlMessage> message = DecodeControl({buffer, *got});
      if (!message.ok()) throw Failure("the sandbox kernel sent a malformed message");
      OnMessage(*message);
    }
  }

  void OnMessage(const ControlMessage& message) {
    switch (message.type) {
      case ControlType::kExecFailed:
        refusal_ = message.text + ": " + ErrorText(static_cast<Errno>(message.value));
        result_ = static_cast<Errno>(message.value) == kENOENT ? kExitNotFound : kExitCannotExecute;
        break;
      case ControlType::kExited:
        result_ = message.detail != 0 ? 128 + (message.detail & 0x7f) : message.value & 0xff;
        break;
      case ControlType::kStopped:
        // For the shell we are the command. It goes on with SIGCONT, which is relayed.
        if (job_control_) (void)host::Kill(host::Getpid(), abi::kSIGSTOP);
        break;
      case ControlType::kNotice:
        if (started_) PrintLine(message.text);
        else refusal_ = message.text;
        break;
      case ControlType::kDelivered:
        if (message.value >= awaited_) answer_by_ = kNever;
        break;
      case ControlType::kStarted:
        started_ = true;
        SpareSentry(sandbox_);
        memory_due_ = 0;
        break;
      case ControlType::kMemory:
        memory_.SetFileBytes(static_cast<uint64_t>(std::max(message.value, 0)) << 20);
        break;
      case ControlType::kSignal:
      case ControlType::kGo:
        break;
    }
  }

  void ReadSignals() {
    abi::SignalfdSiginfo info;
    resting_ = false;
    while (host::Read(signals_, &info, sizeof(info)).value_or(0) == sizeof(info)) {
      const auto signo = static_cast<int>(info.ssi_signo);
      if (signo == abi::kSIGCHLD) {
        ReapChildren();
        continue;
      }
      // The terminal's own signals are for whoever runs in its foreground, and so is going on after a stop.
      const bool from_terminal = info.ssi_code == abi::kSI_KERNEL || signo == abi::kSIGCONT;
      SendSignal(signo, from_terminal ? SignalTarget::kForeground : SignalTarget::kCommand);
    }
  }

  // Clears the pid of a child that ended.
  static bool Reap(int& pid, int& status) {
    if (pid < 0) return false;
    if (host::Wait4(pid, &status, abi::kWNOHANG).value_or(0) != pid) return false;
    pid = -1;
    return true;
  }

  void ReapChildren() {
    const bool sentry_ended = Reap(sandbox_.sentry_pid, sentry_status_);
    const bool gofer_ended = Reap(sandbox_.gofer_pid, gofer_status_);
    if (!sentry_ended && !gofer_ended) return;
    ReadControl();  // what the sentry said before
    if (result_) return;
    if (SentryGone() && !refusal_.empty() && sentry_status_ == kExitSandboxFailed << 8) {
      result_ = kExitSandboxFailed;  // it could not start, and said why
      return;
    }
    if (SentryGone()) throw Failure("the sandbox kernel ended unexpectedly: " + DescribeEnd(sentry_status_));
    gofer_blamed_ = true;
    deadline_ = host::NowMonotonicNs() + kGraceForBlame;
  }

  // The command has ended: lets the programs end, then makes them.
  void WindUp() {
    sandbox_.control.Reset();
    const int64_t end = host::NowMonotonicNs() + (kill_at_once_ ? 0 : kGraceAtEnd);
    for (;;) {
      Reap(sandbox_.sentry_pid, sentry_status_);
      Reap(sandbox_.gofer_pid, gofer_status_);
      const int64_t left = end - host::NowMonotonicNs();
      if ((SentryGone() && GoferGone()) || left <= 0) break;
      abi::SigInfo info;
      (void)host::SigTimedWait(abi::SigMask(abi::kSIGCHLD), &info, left);
    }
    Destroy(sandbox_);
  }

  Sandbox& sandbox_;
  const int signals_;
  const bool job_control_;
  MemoryGuard memory_;
  int64_t deadline_ = kNever;
  int64_t answer_by_ = kNever;
  int sent_ = 0;     // kSignal messages
  int awaited_ = 0;  // the one that has to be answered until `answer_by_`
  int64_t memory_due_ = kNever;
  bool timed_out_ = false;
  bool gofer_blamed_ = false;
  bool started_ = false;
  bool resting_ = false;
  std::string refusal_;  // why the sentry or the command could not start; said at the end, unless the gofer is to blame
  bool kill_at_once_ = false;
  int sentry_status_ = 0;
  int gofer_status_ = 0;
  std::optional<int> result_;
};

}  // namespace

UniqueFd TakeSignals(const Caller& caller) {
  uint64_t mask = abi::SigMask(abi::kSIGCHLD);
  for (const int signo : kRelayed) mask |= abi::SigMask(signo);
  mask &= ~caller.ignored_signals | abi::SigMask(abi::kSIGCHLD);
  // An inherited "ignore" would reap our children for us.
  Must(host::SigActionDefault(abi::kSIGCHLD), "sigaction");
  // SIGTTOU only so that restoring the terminal from the background cannot stop us.
  Must(host::SigProcMask(abi::kSIG_BLOCK, mask | abi::SigMask(abi::kSIGTTOU)), "sigprocmask");
  return Must(host::Signalfd4(-1, mask, abi::kSFD_CLOEXEC | abi::kSFD_NONBLOCK), "signalfd");
}

int Supervise(Sandbox& sandbox, const UniqueFd& signals, const Caller& caller, const SuperviseLimits& limits) {
  try {
    return Supervisor(sandbox, signals.get(), caller.tty.present, limits.memory_bytes).Run(limits.timeout_s);
  } catch (...) {
    Destroy(sandbox);
    throw;
  }
}

}  // namespace moat
