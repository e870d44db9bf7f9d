#include "base/fiber/fiber.h"

#include <utility>
#include <vector>

#include "abi/mman.h"
#include "base/fiber/executor.h"
#include "base/fiber/fiber_ops.h"
#include "base/host/memory.h"
#include "base/sync/mutex.h"
#include "base/util/check.h"
#include "base/util/no_destructor.h"
#include "base/util/sanitizers.h"

#ifdef MOAT_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef MOAT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

// Boost.Context's two assembly routines. jump_fcontext saves the callee-saved registers on the running stack and goes on at
// `to`, where the matching call returns the handle of what was left and `data`.
struct Transfer {
  void* context;
  void* data;
};
extern "C" Transfer jump_fcontext(void* to, void* data);
extern "C" void* make_fcontext(void* stack_top, size_t size, void (*entry)(Transfer));

namespace moat {

namespace {

constexpr size_t kPage = 4096;
#if defined(MOAT_ASAN) || defined(MOAT_TSAN)
constexpr size_t kStackSize = 256 * 1024;
#else
constexpr size_t kStackSize = 64 * 1024;
#endif
// What an idle fiber of the cold pool keeps of its stack: its suspended frames. The rest is given back to the host.
[[maybe_unused]] constexpr size_t kKeptStack = 2 * kPage;

// Fibers that no worker holds ready, so that a burst of blocked tasks does not keep its stacks' memory for ever.
struct ColdPool {
  Mutex mu;
  std::vector<Fiber*> fibers MOAT_GUARDED_BY(mu);
};
ColdPool& Cold() {
  static NoDestructor<ColdPool> pool;
  return *pool;
}

char* NewStack() {
  ErrorOr<void*> base = host::Mmap(nullptr, kPage + kStackSize, abi::kPROT_READ | abi::kPROT_WRITE,
                                   abi::kMAP_PRIVATE | abi::kMAP_ANONYMOUS | abi::kMAP_NORESERVE | abi::kMAP_STACK, -1, 0);
  CHECK(base.ok());  // the number of blocked tasks is bounded far below vm.max_map_count / 2
  CHECK(host::Mprotect(*base, kPage, abi::kPROT_NONE).ok());
  return static_cast<char*>(*base) + kPage;
}

}  // namespace

// Not inlined, so that no compiler keeps a thread's address over a switch to another thread.
__attribute__((noinline)) Worker& ThisWorker() {
  static thread_local Worker worker;
  asm volatile("");
  return worker;
}

Worker::~Worker() {
  for (int i = 0; i < spare_count; ++i) FiberOps::KeepCold(*spares[i]);
}

void FiberOps::SwitchTo(Fiber& fiber) {
#ifdef MOAT_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, fiber.stack_, kStackSize);
#endif
#ifdef MOAT_TSAN
  fiber.tsan_caller_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(fiber.tsan_fiber_, 0);
#endif
  Transfer transfer = jump_fcontext(fiber.context_, &fiber);
#ifdef MOAT_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
  fiber.context_ = transfer.context;
}

void FiberOps::SwitchBack(Fiber& fiber) {
#ifdef MOAT_ASAN
  __sanitizer_start_switch_fiber(&fiber.fake_stack_, fiber.caller_stack_, fiber.caller_stack_size_);
#endif
#ifdef MOAT_TSAN
  __tsan_switch_to_fiber(fiber.tsan_caller_, 0);
#endif
  Transfer transfer = jump_fcontext(fiber.caller_, &fiber);
#ifdef MOAT_ASAN
  __sanitizer_finish_switch_fiber(fiber.fake_stack_, &fiber.caller_stack_, &fiber.caller_stack_size_);
#endif
  fiber.caller_ = transfer.context;
}

template <>
void FiberOps::Entry(Transfer transfer) {
  Fiber& fiber = *static_cast<Fiber*>(transfer.data);
#ifdef MOAT_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &fiber.caller_stack_, &fiber.caller_stack_size_);
#endif
  fiber.caller_ = transfer.context;
  Main(fiber);
}

void FiberOps::Main(Fiber& fiber) {
  for (;;) {
    fiber.body_();
    fiber.body_ = nullptr;
    fiber.state_.store(kSpare, std::memory_order_release);
    SwitchBack(fiber);
  }
}

Fiber* FiberOps::NewFiber() {
  Fiber* fiber = new Fiber;
  fiber->stack_ = NewStack();
  fiber->context_ = make_fcontext(fiber->stack_ + kStackSize, kStackSize, &FiberOps::Entry<Transfer>);
#ifdef MOAT_TSAN
  fiber->tsan_fiber_ = __tsan_create_fiber(0);
#endif
  return fiber;
}

Fiber& FiberOps::TakeSpare(Worker& worker) {
  if (worker.spare_count > 0) return *worker.spares[--worker.spare_count];
  {
    MutexLock lock(Cold().mu);
    std::vector<Fiber*>& cold = Cold().fibers;
    if (!cold.empty()) {
      Fiber* fiber = cold.back();
      cold.pop_back();
      return *fiber;
    }
  }
  return *NewFiber();
}

void FiberOps::KeepSpare(Worker& worker, Fiber& fiber) {
  if (worker.spare_count < Worker::kMaxSpares) {
    worker.spares[worker.spare_count++] = &fiber;
  } else {
    KeepCold(fiber);
  }
}

void FiberOps::KeepCold(Fiber& fiber) {
#ifndef MOAT_ASAN  // ASan's idea of the frames would no longer match
  (void)host::Madvise(fiber.stack_, kStackSize - kKeptStack, abi::kMADV_DONTNEED);
#endif
  MutexLock lock(Cold().mu);
  Cold().fibers.push_back(&fiber);
}

void FiberOps::Start(std::function<void()> body) {
  Fiber& fiber = TakeSpare(ThisWorker());
  fiber.body_ = std::move(body);
  fiber.killed_.store(false, std::memory_order_relaxed);
  fiber.rank_count_ = 0;
  Run(fiber);
}

void FiberOps::Resume(Fiber& fiber) { Run(fiber); }

void FiberOps::Run(Fiber& fiber) {
  Worker& worker = ThisWorker();
  Fiber* outer = std::exchange(worker.current, &fiber);
  for (;;) {
    // An exchange: what the waker did before its Unpark is seen by the fiber, even if the Unpark found it kReady already.
    fiber.state_.exchange(kRunning, std::memory_order_seq_cst);
    SwitchTo(fiber);
    if (fiber.state_.load(std::memory_order_acquire) == kSpare) {
      KeepSpare(worker, fiber);
      break;
    }
    int state = kParking;
    if (fiber.state_.compare_exchange_strong(state, kParked, std::memory_order_seq_cst)) break;
    // Woken before it was switched out.
  }
  worker.current = outer;
}

Fiber* Fiber::Current() { return ThisWorker().current; }

void Fiber::Park() {
  Fiber* fiber = Current();
  CHECK(fiber != nullptr);
  DCHECK(LocksHeld() == 0);
  int state = FiberOps::kRunning;
  if (!fiber->state_.compare_exchange_strong(state, FiberOps::kParking, std::memory_order_seq_cst)) {
    fiber->state_.exchange(FiberOps::kRunning, std::memory_order_seq_cst);  // takes the token
    return;
  }
  FiberOps::SwitchBack(*fiber);
}

void Fiber::Unpark() {
  int state = state_.load(std::memory_order_relaxed);
  for (;;) {
    int next = state;
    if (state == FiberOps::kRunning) next = FiberOps::kRunningWoken;
    if (state == FiberOps::kParking) next = FiberOps::kParkingWoken;
    if (state == FiberOps::kParked) next = FiberOps::kReady;
    // Also where nothing changes: the fiber's own exchange then orders our writes before what it reads.
    if (state_.compare_exchange_weak(state, next, std::memory_order_seq_cst)) break;
  }
  if (state == FiberOps::kParked) Executor::Get().PushReady(*this);
}

void Fiber::Kill() {
  killed_.store(true, std::memory_order_release);
  Unpark();
}

void Completion::Complete() {
  uintptr_t waiter = waiter_.exchange(kDone, std::memory_order_seq_cst);
  CHECK(waiter != kDone);
  // From here on the Completion may be gone. The waiter, if something else woke it, may even have ended: fibers are never
  // destroyed and bear a wake too many.
  if (waiter) reinterpret_cast<Fiber*>(waiter)->Unpark();
}

void Completion::Wait() {
  Fiber* self = Fiber::Current();
  CHECK(self != nullptr);
  uintptr_t none = 0;
  if (!waiter_.compare_exchange_strong(none, reinterpret_cast<uintptr_t>(self), std::memory_order_seq_cst)) {
    CHECK(none == kDone);
    return;
  }
  while (!done()) Fiber::Park();
}

ErrorOr<void> Completion::WaitKillable() {
  Fiber* self = Fiber::Current();
  CHECK(self != nullptr);
  uintptr_t expected = 0;
  if (!waiter_.compare_exchange_strong(expected, reinterpret_cast<uintptr_t>(self), std::memory_order_seq_cst)) {
    CHECK(expected == kDone);
    return {};
  }
  while (!done()) {
    if (self->killed()) {
      // Withdraw, unless it completes right now.
      expected = reinterpret_cast<uintptr_t>(self);
      if (waiter_.compare_exchange_strong(expected, 0, std::memory_order_seq_cst)) return kEINTR;
      return {};
    }
    Fiber::Park();
  }
  return {};
}

}  // namespace moat
