#include "base/fiber/offload.h"

#include "base/fiber/fiber.h"
#include "base/fiber/host_thread.h"
#include "base/sync/mutex.h"
#include "base/util/intrusive_list.h"
#include "base/util/no_destructor.h"

namespace moat {

namespace {

// Lives on the stack of the fiber that waits for it, so the queue needs no memory and is as long as there are fibers.
struct Job {
  const std::function<void()>& work;
  Completion done;
  ListNode node;
};

struct Pool {
  Mutex mu;
  CondVar not_empty;
  IntrusiveList<Job, &Job::node> jobs MOAT_GUARDED_BY(mu);
  std::atomic<bool> started{false};

  Job& Take() {
    MutexLock lock(mu);
    while (jobs.empty()) not_empty.Wait(mu);
    return *jobs.PopFront();
  }
  void Serve() {
    for (;;) {
      Job& job = Take();
      job.work();
      job.done.Complete();
    }
  }
};

Pool& ThePool() {
  static NoDestructor<Pool> pool;
  return *pool;
}

}  // namespace

void StartOffloadThreads(int count) {
  for (int i = 0; i < count; ++i) {
    StartHostThread("offload", [] { ThePool().Serve(); });
  }
  ThePool().started.store(count > 0, std::memory_order_release);
}

void Offload(const std::function<void()>& work) {
  Pool& pool = ThePool();
  if (!pool.started.load(std::memory_order_acquire) || !Fiber::Current()) {
    work();
    return;
  }
  Job job{work, {}, {}};
  {
    MutexLock lock(pool.mu);
    pool.jobs.PushBack(job);
    pool.not_empty.NotifyOne();
  }
  job.done.Wait();
}

}  // namespace moat
