#include "sentry/net/unix/in_flight.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/util/no_destructor.h"
#include "sentry/net/unix/endpoint.h"
#include "sentry/net/unix/unix_socket.h"

namespace moat {

namespace {

// Whoever sends them: open files cost the sentry memory and descriptors of the host.
constexpr size_t kMaxFiles = 65536;

struct Registry {
  Mutex mu;
  std::unordered_map<UnixSocket*, uint32_t> sockets MOAT_GUARDED_BY(mu);  // how often each is in flight
  std::unordered_map<uint32_t, uint64_t> by_user MOAT_GUARDED_BY(mu);     // files of each user
  size_t files MOAT_GUARDED_BY(mu) = 0;   // of all users
  size_t closes MOAT_GUARDED_BY(mu) = 0;  // of sockets since circles were looked for
};

Registry& TheRegistry() {
  static NoDestructor<Registry> registry;
  return *registry;
}

UnixSocket* AsUnixSocket(const Ref<FileDescription>& file) { return dynamic_cast<UnixSocket*>(file.get()); }

void Leave(Registry& r, const std::vector<Ref<FileDescription>>& files, uint32_t uid) MOAT_REQUIRES(r.mu) {
  for (const Ref<FileDescription>& file : files) {
    UnixSocket* socket = AsUnixSocket(file);
    if (!socket) continue;
    auto it = r.sockets.find(socket);
    if (--it->second == 0) r.sockets.erase(it);
  }
  auto user = r.by_user.find(uid);
  user->second -= files.size();
  r.files -= files.size();
  if (user->second == 0) r.by_user.erase(user);
}

// Sockets that wait for their turn to be closed.
struct DropQueue {
  Mutex mu;
  bool busy MOAT_GUARDED_BY(mu) = false;
  std::vector<Ref<FileDescription>> sockets MOAT_GUARDED_BY(mu);
};

}  // namespace

ErrorOr<FilesInFlight> FilesInFlight::Send(std::vector<Ref<FileDescription>>& files, uint32_t uid, uint64_t limit,
                                           bool privileged) {
  FilesInFlight out;
  if (files.empty()) return out;
  Registry& r = TheRegistry();
  MutexLock lock(r.mu);
  if (r.files + files.size() > kMaxFiles) return kETOOMANYREFS;
  uint64_t& mine = r.by_user[uid];
  if (mine > limit && !privileged) return kETOOMANYREFS;
  mine += files.size();
  r.files += files.size();
  for (const Ref<FileDescription>& file : files) {
    if (UnixSocket* socket = AsUnixSocket(file)) ++r.sockets[socket];
  }
  out.files_ = std::move(files);
  files.clear();
  out.uid_ = uid;
  return out;
}

FilesInFlight& FilesInFlight::operator=(FilesInFlight&& o) noexcept {
  std::swap(files_, o.files_);
  std::swap(uid_, o.uid_);
  return *this;
}

FilesInFlight::~FilesInFlight() {
  if (!files_.empty()) DropFiles(Land());
}

std::vector<Ref<FileDescription>> FilesInFlight::Land() {
  if (files_.empty()) return {};
  Registry& r = TheRegistry();
  MutexLock lock(r.mu);
  Leave(r, files_, uid_);
  return std::exchange(files_, {});
}

std::vector<Ref<FileDescription>> FilesInFlight::Copy() const {
  MutexLock lock(TheRegistry().mu);
  return files_;
}

void DropFiles(std::vector<Ref<FileDescription>> files) {
  static NoDestructor<DropQueue> queue;
  std::vector<Ref<FileDescription>> sockets;
  for (Ref<FileDescription>& file : files) {
    if (AsUnixSocket(file)) {
      sockets.push_back(std::move(file));
    } else {
      file = nullptr;
    }
  }
  if (sockets.empty()) return;
  {
    MutexLock lock(queue->mu);
    std::move(sockets.begin(), sockets.end(), std::back_inserter(queue->sockets));
    if (queue->busy) return;  // whoever is at it goes on with these
    queue->busy = true;
  }
  for (;;) {
    Ref<FileDescription> next;
    {
      MutexLock lock(queue->mu);
      if (queue->sockets.empty()) {
        queue->busy = false;
        return;
      }
      next = std::move(queue->sockets.back());
      queue->sockets.pop_back();
    }
  }
}

// The search for circles. The registry's lock keeps references in flight from landing or starting meanwhile.
class InFlightCollector {
 public:
  void Run() {
    Registry& r = TheRegistry();
    MutexLock lock(r.mu);
    // A look costs as much as there are sockets in flight: with many of them not every close looks.
    constexpr size_t kSocketsPerClose = 16;
    if (++r.closes * kSocketsPerClose < r.sockets.size() || r.sockets.empty()) return;
    r.closes = 0;
    for (auto [socket, count] : r.sockets) {
      if (socket->ref_count() == count) outside_[socket] = count;
    }
    if (outside_.empty()) return;
    for (auto& [socket, count] : outside_) {
      VisitQueued(*socket, [&](UnixSocket& queued) {
        auto it = outside_.find(&queued);
        if (it != outside_.end()) --it->second;
      });
    }
    FindReachable();
    for (auto& [socket, count] : outside_) {
      if (!reachable_.contains(socket)) TakeQueued(r, *socket);
    }
  }
  // After Run, without locks: drops what was taken.
  void Drop() {
    endpoints_.clear();
    DropFiles(std::move(garbage_));
  }

 private:
  void FindReachable() {
    std::vector<UnixSocket*> work;
    for (auto& [socket, count] : outside_) {
      if (count > 0) work.push_back(socket);
    }
    reachable_.insert(work.begin(), work.end());
    while (!work.empty()) {
      UnixSocket* socket = work.back();
      work.pop_back();
      VisitQueued(*socket, [&](UnixSocket& queued) {
        if (outside_.contains(&queued) && reachable_.insert(&queued).second) work.push_back(&queued);
      });
    }
  }
  // Every set of files in the queue of `socket` and of connections that it has not accepted yet.
  template <class F>
  void VisitSets(UnixSocket& socket, F visit) {
    // References that may become the last ones are dropped after the locks.
    size_t first = endpoints_.size();
    endpoints_.push_back(Ref<UnixEndpoint>(&socket.endpoint()));
    socket.endpoint().AppendUnaccepted(endpoints_);
    for (size_t i = first; i < endpoints_.size(); ++i) endpoints_[i]->VisitQueuedFiles(visit);
  }
  template <class F>
  void VisitQueued(UnixSocket& socket, F visit) {
    VisitSets(socket, [&](FilesInFlight& set) {
      for (const Ref<FileDescription>& file : set.files_) {
        if (UnixSocket* queued = AsUnixSocket(file)) visit(*queued);
      }
    });
  }
  void TakeQueued(Registry& r, UnixSocket& socket) MOAT_REQUIRES(r.mu) {
    VisitSets(socket, [&](FilesInFlight& set) MOAT_NO_THREAD_SAFETY_ANALYSIS {
      if (set.files_.empty()) return;
      Leave(r, set.files_, set.uid_);
      std::move(set.files_.begin(), set.files_.end(), std::back_inserter(garbage_));
      set.files_.clear();
    });
  }

  // Candidates: every reference is in flight; how many of them lie in queues of others than candidates.
  std::unordered_map<UnixSocket*, uint32_t> outside_;
  std::unordered_set<UnixSocket*> reachable_;
  std::vector<Ref<UnixEndpoint>> endpoints_;
  std::vector<Ref<FileDescription>> garbage_;
};

void CollectInFlightGarbage() {
  InFlightCollector collector;
  collector.Run();
  collector.Drop();
}

}  // namespace moat
