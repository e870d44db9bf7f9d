#include "base/fiber/host_thread.h"

#include <pthread.h>

#include <atomic>
#include <memory>
#include <utility>

#include "abi/prctl.h"
#include "abi/signal.h"
#include "base/host/futex.h"
#include "base/host/process.h"
#include "base/host/signal.h"
#include "base/util/check.h"
#include "base/util/sanitizers.h"

namespace moat {

namespace {

#if defined(MOAT_ASAN) || defined(MOAT_TSAN)
constexpr size_t kThreadStack = 2 << 20;
#else
constexpr size_t kThreadStack = 128 * 1024;
#endif

struct Start {
  const char* name;
  std::function<void()> body;
};

std::atomic<uint32_t> starting{0};  // threads whose body has not begun

void* Main(void* arg) {
  std::unique_ptr<Start> start(static_cast<Start*>(arg));
  (void)host::Prctl(abi::kPR_SET_NAME, reinterpret_cast<uint64_t>(start->name));
  if (starting.fetch_sub(1, std::memory_order_acq_rel) == 1) (void)host::FutexWake(&starting, 1, /*shared=*/false);
  start->body();
  return nullptr;
}

}  // namespace

void StartHostThread(const char* name, std::function<void()> body) {
  starting.fetch_add(1, std::memory_order_relaxed);
  auto start = std::make_unique<Start>(Start{name, std::move(body)});
  pthread_attr_t attr;
  CHECK(pthread_attr_init(&attr) == 0);
  CHECK(pthread_attr_setstacksize(&attr, kThreadStack) == 0);
  CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
  // The thread inherits the mask.
  uint64_t old_mask = host::BlockAllSignals();
  pthread_t thread;
  int error = pthread_create(&thread, &attr, &Main, start.get());
  CHECK(host::SigProcMask(abi::kSIG_SETMASK, old_mask).ok());
  CHECK(error == 0);
  (void)start.release();
  CHECK(pthread_attr_destroy(&attr) == 0);
}

void AwaitHostThreads() {
  for (uint32_t left; (left = starting.load(std::memory_order_acquire)) != 0;) {
    (void)host::FutexWait(&starting, left, nullptr, /*shared=*/false);
  }
}

}  // namespace moat
