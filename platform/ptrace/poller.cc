#include "platform/ptrace/poller.h"

#include <algorithm>

#include "platform/ptrace/express.h"
#include "platform/ptrace/guest_thread.h"
#include "platform/ptrace/pinner.h"
#include "platform/ptrace/tracer.h"

namespace moat::ptrace {
namespace {

constexpr int64_t kQuickNs = 50'000;
constexpr int kStopPrice = 3, kBalance = 48, kWanted = 16;
// How long a thread stays with the tracer when being apart did not pay, and when others want our CPUs.
constexpr int64_t kRestNs = 5'000'000, kYieldNs = 20'000'000;

ExpressPage* PageOf(PtraceThread& thread) {
  Express* express = thread.host().express;
  return express == nullptr ? nullptr : express->page();
}

}  // namespace

bool Poller::possible() const { return pinner_.cpus() > 1; }

Poller::Candidate* Poller::Find(PtraceThread& thread) {
  auto it = std::find_if(threads_.begin(), threads_.end(), [&](const Candidate& c) { return c.thread == &thread; });
  return it == threads_.end() ? nullptr : &*it;
}

void Poller::Remove(PtraceThread& thread) {
  std::erase_if(threads_, [&](const Candidate& c) { return c.thread == &thread; });
}

void Poller::Join(Candidate& c, int64_t until_ns) {
  pinner_.Join(c.thread->placement());
  c.balance = 0;
  c.not_before_ns = until_ns;
}

bool Poller::HasCpuFor(int running, int64_t now_ns) const { return running < pinner_.cpus() && now_ns >= not_before_ns_; }

void Poller::OnStop(PtraceThread& thread, bool on_path, int64_t now_ns) {
  if (threads_.empty()) return;
  Candidate* c = Find(thread);
  if (c == nullptr) return;
  Placement& place = thread.placement();
  const bool quick = now_ns - place.last_call_ns < kQuickNs;
  c->balance = std::clamp(c->balance + (on_path && quick && !place.apart ? 1 : -kStopPrice), -kBalance, kBalance);
  if (place.apart) {
    if (c->balance == -kBalance) Join(*c, now_ns + kRestNs);
  } else if (c->balance >= kWanted && now_ns >= c->not_before_ns && HasCpuFor(tracer_.running() + 1, now_ns)) {
    (void)pinner_.Separate(place);
  }
}

bool Poller::Begin(int64_t now_ns) {
  bool any = false;
  if (threads_.empty() || !HasCpuFor(tracer_.running(), now_ns)) {
    End();
    return false;
  }
  for (Candidate& c : threads_) {
    if (!c.thread->placement().apart || !c.thread->host().running() || PageOf(*c.thread) == nullptr) continue;
    any = true;
    if (!c.polled) PageOf(*c.thread)->SetPolled(true);
    c.polled = true;
  }
  if (!any) End();
  return any;
}

void Poller::End() {
  for (Candidate& c : threads_) {
    if (c.polled && PageOf(*c.thread) != nullptr) PageOf(*c.thread)->SetPolled(false);
    c.polled = false;
  }
}

PtraceThread* Poller::Posted() const {
  for (const Candidate& c : threads_) {
    if (c.thread->host().running() && PageOf(*c.thread) != nullptr && PageOf(*c.thread)->HasPost()) return c.thread;
  }
  return nullptr;
}

void Poller::OnServed(PtraceThread& thread) {
  if (Candidate* c = Find(thread)) c->balance = std::min(c->balance + 1, kBalance);
}

void Poller::OnPreempted(int64_t now_ns) {
  not_before_ns_ = now_ns + kYieldNs;
  for (Candidate& c : threads_) {
    if (c.thread->placement().apart) Join(c, not_before_ns_);
  }
}

}  // namespace moat::ptrace
