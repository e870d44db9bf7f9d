#include "base/fiber/executor.h"

#include <utility>

#include "abi/time.h"
#include "base/fiber/fiber_ops.h"
#include "base/fiber/timer_heap.h"
#include "base/host/futex.h"
#include "base/host/time.h"
#include "base/util/check.h"
#include "base/util/no_destructor.h"

namespace moat {

struct Timer::State {
  std::function<void()> on_expiry;
  int64_t deadline_ns = 0;
  size_t heap_index = TimerHeap<State>::kNotInHeap;  // guarded by the executor's mutex
  std::atomic<bool> due{false};                      // taken out of the heap to run; Cancel clears it
};

struct Executor::Impl {
  Mutex mu;
  IntrusiveList<Fiber, &Fiber::ready_node_> ready MOAT_GUARDED_BY(mu);
  std::deque<std::function<void()>> posted MOAT_GUARDED_BY(mu);
  TimerHeap<Timer::State> timers MOAT_GUARDED_BY(mu);
  // What HasReady and NextDeadline look at without the lock.
  std::atomic<size_t> waiting{0};  // ready fibers and posted bodies
  std::atomic<int64_t> next_deadline{INT64_MAX};

  void (*kick)(void*) = nullptr;
  void* kick_arg = nullptr;
  // Where RunUntil sleeps: counts kicks.
  std::atomic<uint32_t> kicks{0};
  std::atomic<int> sleepers{0};

  void UpdateNextDeadlineLocked() MOAT_REQUIRES(mu) {
    next_deadline.store(timers.empty() ? INT64_MAX : timers.top().deadline_ns, std::memory_order_release);
  }

  // A worker looks for work itself before it sleeps.
  void KickUnlessWorker() {
    if (ThisWorker().depth > 0) return;
    if (kick) kick(kick_arg);
    kicks.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) (void)host::FutexWake(&kicks, INT32_MAX, false);
  }

  Fiber* TakeReady() {
    MutexLock lock(mu);
    Fiber* fiber = ready.PopFront();
    if (fiber) waiting.fetch_sub(1, std::memory_order_relaxed);
    return fiber;
  }
  bool TakePosted(std::function<void()>& body) {
    MutexLock lock(mu);
    if (posted.empty()) return false;
    body = std::move(posted.front());
    posted.pop_front();
    waiting.fetch_sub(1, std::memory_order_relaxed);
    return true;
  }
  bool TimerIsDue() const {
    int64_t next = next_deadline.load(std::memory_order_acquire);
    return next != INT64_MAX && next <= host::NowMonotonicNs();
  }
  std::shared_ptr<Timer::State> TakeDueTimer(int64_t now_ns) {
    MutexLock lock(mu);
    if (timers.empty() || timers.top().deadline_ns > now_ns) return nullptr;
    std::shared_ptr<Timer::State> timer = timers.Remove(timers.top());
    timer->due.store(true, std::memory_order_relaxed);
    UpdateNextDeadlineLocked();
    return timer;
  }
  void RunDueTimers() {
    int64_t now_ns = host::NowMonotonicNs();
    while (std::shared_ptr<Timer::State> timer = TakeDueTimer(now_ns)) {
      FiberOps::Start([&timer_ref = timer] {
        std::shared_ptr<Timer::State> state = std::move(timer_ref);
        if (state->due.exchange(false, std::memory_order_acq_rel)) state->on_expiry();
      });
    }
  }
};

Executor::Executor() : impl_(std::make_unique<Impl>()) {}
Executor::~Executor() = default;

Executor& Executor::Get() {
  static NoDestructor<Executor> executor;
  return *executor;
}

void Executor::Run(std::function<void()> body) {
  ++ThisWorker().depth;
  FiberOps::Start(std::move(body));
  --ThisWorker().depth;
}

void Executor::Post(std::function<void()> body) {
  {
    MutexLock lock(impl_->mu);
    impl_->posted.push_back(std::move(body));
    impl_->waiting.fetch_add(1, std::memory_order_release);
  }
  impl_->KickUnlessWorker();
}

void Executor::PushReady(Fiber& fiber) {
  {
    MutexLock lock(impl_->mu);
    impl_->ready.PushBack(fiber);
    impl_->waiting.fetch_add(1, std::memory_order_release);
  }
  impl_->KickUnlessWorker();
}

void Executor::RunReady() {
  if (!HasReady()) return;
  ++ThisWorker().depth;
  do {
    if (impl_->TimerIsDue()) impl_->RunDueTimers();
    if (Fiber* fiber = impl_->TakeReady()) FiberOps::Resume(*fiber);
    if (std::function<void()> body; impl_->TakePosted(body)) FiberOps::Start(std::move(body));
  } while (HasReady());
  --ThisWorker().depth;
}

bool Executor::HasReady() const {
  return impl_->waiting.load(std::memory_order_acquire) != 0 || impl_->TimerIsDue();
}

int64_t Executor::NextDeadline() const { return impl_->next_deadline.load(std::memory_order_acquire); }

void Executor::SetKick(void (*kick)(void* arg), void* arg) {
  impl_->kick = kick;
  impl_->kick_arg = arg;
}

void Executor::RunUntil(const std::function<bool()>& done) {
  constexpr int64_t kLongestSleep = 10 * abi::kNSEC_PER_MSEC;  // `done` may change without a kick
  for (;;) {
    uint32_t kicks = impl_->kicks.load(std::memory_order_seq_cst);
    RunReady();
    if (done()) return;
    impl_->sleepers.fetch_add(1, std::memory_order_seq_cst);
    if (!HasReady()) {
      int64_t until = std::min(NextDeadline(), host::NowMonotonicNs() + kLongestSleep);
      abi::Timespec deadline{until / abi::kNSEC_PER_SEC, until % abi::kNSEC_PER_SEC};
      (void)host::FutexWait(&impl_->kicks, kicks, &deadline, false);
    }
    impl_->sleepers.fetch_sub(1, std::memory_order_seq_cst);
  }
}

Timer::Timer(std::function<void()> on_expiry) : state_(std::make_shared<State>()) {
  state_->on_expiry = std::move(on_expiry);
}

Timer::~Timer() { Cancel(); }

void Timer::Arm(int64_t deadline_ns) {
  Executor::Impl& impl = *Executor::Get().impl_;
  bool earlier;
  {
    MutexLock lock(impl.mu);
    state_->due.store(false, std::memory_order_relaxed);
    if (state_->heap_index != TimerHeap<State>::kNotInHeap) (void)impl.timers.Remove(*state_);
    earlier = impl.timers.empty() || deadline_ns < impl.timers.top().deadline_ns;
    state_->deadline_ns = deadline_ns;
    impl.timers.Add(state_);
    impl.UpdateNextDeadlineLocked();
  }
  if (earlier) impl.KickUnlessWorker();
}

void Timer::Cancel() {
  Executor::Impl& impl = *Executor::Get().impl_;
  MutexLock lock(impl.mu);
  state_->due.store(false, std::memory_order_relaxed);
  if (state_->heap_index == TimerHeap<State>::kNotInHeap) return;
  (void)impl.timers.Remove(*state_);
  impl.UpdateNextDeadlineLocked();
}

bool Timer::armed() const {
  MutexLock lock(Executor::Get().impl_->mu);
  return state_->heap_index != TimerHeap<State>::kNotInHeap;
}

}  // namespace moat
