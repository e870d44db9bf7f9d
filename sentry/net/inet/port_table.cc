#include "sentry/net/inet/port_table.h"

#include <algorithm>
#include <random>

#include "base/host/time.h"
#include "base/kern/tunables.h"
#include "base/util/no_destructor.h"

namespace moat {

BoundAddresses BoundAddresses::Of(int family, const IpAddress& address, bool v6_only) {
  BoundAddresses b;
  b.address = address;
  b.v4 = family == abi::kAF_INET || address.is_v4() || (address.is_any() && !v6_only);
  b.v6 = family == abi::kAF_INET6 && !address.is_v4();
  return b;
}

bool BoundAddresses::Overlaps(const BoundAddresses& o) const {
  if (!(v4 && o.v4) && !(v6 && o.v6)) return false;
  return address.is_any() || o.address.is_any() || address == o.address;
}

bool BoundAddresses::Has(const IpAddress& a) const {
  if (!(a.is_v4() ? v4 : v6)) return false;
  return address.is_any() || address == a;
}

PortTable& PortTable::Tcp() {
  static NoDestructor<PortTable> table;
  return *table;
}
PortTable& PortTable::Udp() {
  static NoDestructor<PortTable> table;
  return *table;
}

bool PortTable::Conflicts(const Request& request, const PortBinding& other) {
  if (!request.where.Overlaps(other.where)) return false;
  if (other.expires_ns_ && request.for_connect) return false;
  if (request.reuse_address && other.reuse_address.load(std::memory_order_relaxed) && !other.listening_) return false;
  if (request.reuse_port && other.reuse_port.load(std::memory_order_relaxed) && request.uid == other.uid) return false;
  return true;
}

bool PortTable::ConflictsLocked(const Request& request, uint16_t port) {
  auto it = ports_.find(port);
  if (it == ports_.end()) return false;
  return std::any_of(it->second.begin(), it->second.end(), [&](const auto& b) { return Conflicts(request, *b); });
}

ErrorOr<uint16_t> PortTable::ChooseLocked(const Request& request) {
  static NoDestructor<std::minstd_rand> random(std::random_device{}());
  const int64_t first = g_tunables.first_ephemeral.load(std::memory_order_relaxed);
  const int64_t last = std::max(g_tunables.last_ephemeral.load(std::memory_order_relaxed), first);  // two stores may show as one
  const uint32_t count = static_cast<uint32_t>(last - first + 1);
  uint32_t start = (*random)() % count;
  // A chosen port is nobody else's even if both would share it.
  Request alone = request;
  alone.reuse_address = alone.reuse_port = false;
  for (uint32_t i = 0; i < count; ++i) {
    uint16_t port = static_cast<uint16_t>(static_cast<uint32_t>(first) + (start + i) % count);
    if (!ConflictsLocked(alone, port)) return port;
  }
  return request.for_connect ? kEADDRNOTAVAIL : kEADDRINUSE;
}

ErrorOr<Ref<PortBinding>> PortTable::Bind(const Request& request) {
  MutexLock lock(mu_);
  ExpireLocked(host::NowMonotonicNs());
  uint16_t port = request.port;
  if (port == 0) {
    port = TRY(ChooseLocked(request));
  } else if (ConflictsLocked(request, port)) {
    return kEADDRINUSE;
  }
  Ref<PortBinding> binding = MakeRef<PortBinding>(request.where, port, request.uid, request.port != 0,
                                                  request.reuse_address, request.reuse_port);
  ports_[port].push_back(binding);
  return binding;
}

Ref<PortBinding> PortTable::Share(const PortBinding& binding, const BoundAddresses& where) {
  MutexLock lock(mu_);
  Ref<PortBinding> shared = MakeRef<PortBinding>(where, binding.port, binding.uid, binding.explicit_port,
                                                 binding.reuse_address.load(std::memory_order_relaxed),
                                                 binding.reuse_port.load(std::memory_order_relaxed));
  ports_[shared->port].push_back(shared);
  return shared;
}

Ref<PortBinding> PortTable::TakeLocked(PortBinding& binding) {
  Ref<PortBinding> taken;
  auto it = ports_.find(binding.port);
  if (it == ports_.end()) return taken;
  auto& users = it->second;
  auto user = std::find(users.begin(), users.end(), &binding);
  if (user == users.end()) return taken;
  taken = std::move(*user);
  users.erase(user);
  if (users.empty()) ports_.erase(it);
  return taken;
}

void PortTable::Unbind(PortBinding& binding) {
  Ref<RefCounted> target;
  Ref<PortBinding> taken;
  MutexLock lock(mu_);
  taken = TakeLocked(binding);
  target = std::move(binding.target_);
}

void PortTable::TimeWait(PortBinding& binding) {
  Ref<RefCounted> target;
  Ref<PortBinding> taken;
  MutexLock lock(mu_);
  int64_t now = host::NowMonotonicNs();
  ExpireLocked(now);
  // A server's connections linger as one: its port's table stays short.
  for (auto& other : ports_[binding.port]) {
    if (!other->expires_ns_ || other->where.address != binding.where.address ||
        other->reuse_address.load(std::memory_order_relaxed) != binding.reuse_address.load(std::memory_order_relaxed)) {
      continue;
    }
    other->expires_ns_ = now + kTimeWaitNs;
    taken = TakeLocked(binding);
    return;
  }
  target = std::move(binding.target_);
  binding.listening_ = false;
  binding.expires_ns_ = now + kTimeWaitNs;
  time_wait_.push_back({binding.expires_ns_, Ref<PortBinding>(&binding)});
}

void PortTable::ExpireLocked(int64_t now_ns) {
  while (!time_wait_.empty() && (time_wait_.front().due_ns <= now_ns || time_wait_.size() > kMaxTimeWait)) {
    Lingering first = std::move(time_wait_.front());
    time_wait_.pop_front();
    if (first.binding->expires_ns_ > first.due_ns && time_wait_.size() < kMaxTimeWait) {
      first.due_ns = first.binding->expires_ns_;  // prolonged
      time_wait_.push_back(std::move(first));
    } else {
      TakeLocked(*first.binding);
    }
  }
}

ErrorOr<void> PortTable::Listen(PortBinding& binding, Ref<RefCounted> listener) {
  MutexLock lock(mu_);
  for (auto& other : ports_[binding.port]) {
    if (other.get() == &binding || !other->listening_ || !other->where.Overlaps(binding.where)) continue;
    bool shared = binding.reuse_port.load(std::memory_order_relaxed) &&
                  other->reuse_port.load(std::memory_order_relaxed) && binding.uid == other->uid;
    if (!shared) return kEADDRINUSE;
  }
  binding.listening_ = true;
  binding.target_ = std::move(listener);
  return {};
}

void PortTable::StopListening(PortBinding& binding) {
  Ref<RefCounted> target;
  MutexLock lock(mu_);
  binding.listening_ = false;
  target = std::move(binding.target_);
}

void PortTable::SetTarget(PortBinding& binding, Ref<RefCounted> target) {
  MutexLock lock(mu_);
  binding.target_ = std::move(target);
}

void PortTable::SetPeer(PortBinding& binding, const InetName* peer) {
  MutexLock lock(mu_);
  binding.has_peer_ = peer != nullptr;
  if (peer) binding.peer_ = *peer;
}

// The binding with the best score above zero; among equals those of SO_REUSEPORT take turns, else the latest has it.
template <class Score>
PortBinding* PortTable::FindLocked(uint16_t port, Score score) {
  auto it = ports_.find(port);
  if (it == ports_.end()) return nullptr;
  std::vector<PortBinding*> best;
  int best_score = 0;
  for (auto& binding : it->second) {
    int s = binding->target_ ? score(*binding) : 0;
    if (s == 0 || s < best_score) continue;
    if (s > best_score) best.clear();
    best_score = s;
    best.push_back(binding.get());
  }
  if (best.empty()) return nullptr;
  bool take_turns = std::all_of(best.begin(), best.end(), [](PortBinding* b) { return b->reuse_port.load(); });
  return take_turns ? best[turn_++ % best.size()] : best.back();
}

Ref<RefCounted> PortTable::FindListener(const InetName& to, Ref<PortBinding>* binding) {
  MutexLock lock(mu_);
  PortBinding* found = FindLocked(to.port, [&](PortBinding& b) {
    if (!b.listening_ || !b.where.Has(to.address)) return 0;
    return 1 + (b.where.address.is_any() ? 0 : 4) + (b.where.v4 != b.where.v6 ? 1 : 0);
  });
  if (!found) return nullptr;
  *binding = Ref<PortBinding>(found);
  return found->target_;
}

Ref<RefCounted> PortTable::FindReceiver(const InetName& to, const InetName& from) {
  MutexLock lock(mu_);
  PortBinding* found = FindLocked(to.port, [&](PortBinding& b) {
    if (!b.where.Has(to.address) || (b.has_peer_ && b.peer_ != from)) return 0;
    return 1 + (b.has_peer_ ? 8 : 0) + (b.where.address.is_any() ? 0 : 4) + (b.where.v4 != b.where.v6 ? 1 : 0);
  });
  return found ? found->target_ : nullptr;
}

}  // namespace moat
