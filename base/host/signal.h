// Host signals of this process, past libc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/signal.h"
#include "base/util/error.h"

namespace moat::host {

// `info` is the kernel's siginfo, `context` its ucontext (abi::SigInfo, abi::UContext).
using SignalHandler = void (*)(int signo, abi::SigInfo* info, void* context);

// Installs `handler` with SA_SIGINFO, `flags` (SA_*) and `mask` blocked while it runs.
ErrorOr<void> SigAction(int signo, SignalHandler handler, uint64_t flags, uint64_t mask);
ErrorOr<void> SigActionDefault(int signo);
ErrorOr<void> SigActionIgnore(int signo);
bool SigActionIsIgnored(int signo);
// Bit signo-1 is a signal. `how` SIG_*; returns the old mask.
ErrorOr<uint64_t> SigProcMask(int how, uint64_t mask);
// Blocks every signal but the unblockable; returns the old mask.
uint64_t BlockAllSignals();
// `stack` null size 0 disables it.
ErrorOr<void> Sigaltstack(void* stack, size_t size);
// Waits for a signal of `mask`; its number. EAGAIN after `timeout_ns` (-1: never). EINTR is returned.
ErrorOr<int> SigTimedWait(uint64_t mask, abi::SigInfo* info, int64_t timeout_ns);

}  // namespace moat::host
