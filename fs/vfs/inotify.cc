#include "fs/vfs/inotify.h"

#include <algorithm>
#include <cstring>

#include "abi/inotify.h"
#include "abi/ioctl.h"
#include "abi/poll.h"
#include "base/kern/tunables.h"
#include "fs/vfs/anon.h"

namespace moat {

namespace {

// Watches of the whole sandbox: the hooks look no further while there are none.
std::atomic<int> g_watches{0};
std::atomic<uint32_t> g_move_cookie{1};

constexpr uint32_t kWatchFlags = abi::kIN_EXCL_UNLINK | abi::kIN_ONESHOT;
constexpr size_t kHeader = sizeof(abi::InotifyEvent);

bool NobodyWatches() { return g_watches.load(std::memory_order_relaxed) == 0; }

}  // namespace

void InotifyMarks::Report(uint32_t mask, uint32_t cookie, std::string_view name, bool unlinked_child) {
  std::vector<Ref<InotifyWatch>> ended;  // dropped after the lock
  MutexLock lock(mu_);
  for (size_t i = 0; i < watches_.size();) {
    InotifyWatch& w = *watches_[i];
    bool wanted = (w.mask & mask & abi::kIN_ALL_EVENTS) && !(unlinked_child && (w.mask & abi::kIN_EXCL_UNLINK));
    if (wanted) w.instance->Queue(w.wd, mask, cookie, name);
    if (wanted && (w.mask & abi::kIN_ONESHOT)) {
      w.instance->Queue(w.wd, abi::kIN_IGNORED, 0, {});
      w.instance->Forget(w.wd);
      ended.push_back(std::move(watches_[i]));
      watches_.erase(watches_.begin() + static_cast<ptrdiff_t>(i));
      continue;
    }
    ++i;
  }
}

void InotifyMarks::ReportGone() {
  Report(abi::kIN_DELETE_SELF, 0, {}, false);
  std::vector<Ref<InotifyWatch>> ended;
  MutexLock lock(mu_);
  ended.swap(watches_);
  for (Ref<InotifyWatch>& w : ended) {
    w->instance->Queue(w->wd, abi::kIN_IGNORED, 0, {});
    w->instance->Forget(w->wd);
  }
}

void InotifyMarks::Unpin() {
  std::vector<Ref<Dentry>> pinned;
  MutexLock lock(mu_);
  for (Ref<InotifyWatch>& w : watches_) pinned.push_back(std::move(w->pinned));
}

bool InotifyMarks::empty() const {
  MutexLock lock(mu_);
  return watches_.empty();
}

Ref<InotifyInstance> InotifyInstance::Create(uint32_t flags) {
  Path path = MakeAnonPath("anon_inode:inotify", 0);
  return Ref<InotifyInstance>(new InotifyInstance(path, flags), AdoptRef{});
}

InotifyInstance::InotifyInstance(const Path& path, uint32_t flags) : FileDescription(path, flags) {}

InotifyInstance::~InotifyInstance() {
  std::map<int, Ref<InotifyWatch>> watches;
  {
    MutexLock lock(mu_);
    watches.swap(watches_);
  }
  for (auto& [wd, w] : watches) {
    InotifyMarks& marks = w->inode->EnsureMarks();
    Ref<InotifyWatch> dropped;
    MutexLock lock(marks.mu_);
    auto it = std::find(marks.watches_.begin(), marks.watches_.end(), w);
    if (it == marks.watches_.end()) continue;
    dropped = std::move(*it);
    marks.watches_.erase(it);
  }
  g_watches.fetch_sub(static_cast<int>(watches.size()), std::memory_order_relaxed);
}

ErrorOr<int> InotifyInstance::AddWatch(const Path& path, uint32_t mask) {
  if (!(mask & abi::kIN_ALL_EVENTS)) return kEINVAL;
  if ((mask & abi::kIN_MASK_ADD) && (mask & abi::kIN_MASK_CREATE)) return kEINVAL;
  uint32_t kept = mask & (abi::kIN_ALL_EVENTS | kWatchFlags);
  Ref<Inode> inode(path.dentry->inode());
  InotifyMarks& marks = inode->EnsureMarks();
  MutexLock marks_lock(marks.mu_);
  for (Ref<InotifyWatch>& w : marks.watches_) {
    if (w->instance != this) continue;
    if (mask & abi::kIN_MASK_CREATE) return kEEXIST;
    w->mask = mask & abi::kIN_MASK_ADD ? w->mask | kept : kept;
    return w->wd;
  }
  Ref<InotifyWatch> w = MakeRef<InotifyWatch>();
  w->instance = this;
  w->mask = kept;
  w->inode = inode;
  if (!path.dentry->unhashed()) w->pinned = path.dentry;
  MutexLock lock(mu_);
  const int64_t allowed = g_tunables.max_inotify_watches.load(std::memory_order_relaxed);
  if (watches_.size() >= kMaxWatches || static_cast<int64_t>(watches_.size()) >= allowed) return kENOSPC;
  w->wd = next_wd_++;
  watches_[w->wd] = w;
  marks.watches_.push_back(w);
  g_watches.fetch_add(1, std::memory_order_relaxed);
  return w->wd;
}

ErrorOr<void> InotifyInstance::RemoveWatch(int wd) {
  Ref<InotifyWatch> w, dropped;
  {
    MutexLock lock(mu_);
    auto it = watches_.find(wd);
    if (it == watches_.end()) return kEINVAL;
    w = it->second;
  }
  InotifyMarks& marks = w->inode->EnsureMarks();
  {
    MutexLock lock(marks.mu_);
    auto it = std::find(marks.watches_.begin(), marks.watches_.end(), w);
    if (it == marks.watches_.end()) return kEINVAL;  // it ended meanwhile
    dropped = std::move(*it);
    marks.watches_.erase(it);
  }
  Forget(wd);
  Queue(wd, abi::kIN_IGNORED, 0, {});
  return {};
}

// The marks' reference must still be held: the watch does not end under mu_.
void InotifyInstance::Forget(int wd) {
  MutexLock lock(mu_);
  if (watches_.erase(wd)) g_watches.fetch_sub(1, std::memory_order_relaxed);
}

size_t InotifyInstance::Event::Size() const {
  constexpr size_t kAlign = sizeof(abi::InotifyEvent);
  if (name.empty()) return kHeader;
  return kHeader + (name.size() + 1 + kAlign - 1) / kAlign * kAlign;
}

void InotifyInstance::Queue(int wd, uint32_t mask, uint32_t cookie, std::string_view name) {
  {
    MutexLock lock(mu_);
    if (!events_.empty()) {
      const Event& last = events_.back();
      if (last.mask & abi::kIN_Q_OVERFLOW) return;
      if (last.wd == wd && last.mask == mask && last.cookie == cookie && last.name == name) return;
    }
    if (events_.size() >= kMaxQueuedEvents) {
      events_.push_back({-1, abi::kIN_Q_OVERFLOW, 0, {}});
    } else {
      events_.push_back({wd, mask, cookie, std::string(name)});
    }
    queued_bytes_ += events_.back().Size();
  }
  queue_.Wake(abi::kPOLLIN | abi::kPOLLRDNORM);
}

ErrorOr<size_t> InotifyInstance::TryRead(IoSink& dst, int64_t*, IoFlags) {
  size_t done = 0;
  for (;;) {
    Event e;
    {
      MutexLock lock(mu_);
      if (events_.empty()) return done ? ErrorOr<size_t>(done) : kEAGAIN;
      if (events_.front().Size() > dst.remaining()) return done ? ErrorOr<size_t>(done) : kEINVAL;
      e = std::move(events_.front());
      events_.pop_front();
      queued_bytes_ -= e.Size();
    }
    std::string bytes(e.Size(), '\0');
    abi::InotifyEvent head{e.wd, e.mask, e.cookie, static_cast<uint32_t>(e.Size() - kHeader)};
    memcpy(bytes.data(), &head, sizeof head);
    memcpy(bytes.data() + kHeader, e.name.data(), e.name.size());
    ErrorOr<size_t> put = dst.Put(std::as_bytes(std::span(bytes)));
    if (!put.ok() || *put < bytes.size()) return done ? ErrorOr<size_t>(done) : kEFAULT;
    done += bytes.size();
  }
}

EventMask InotifyInstance::Readiness() {
  MutexLock lock(mu_);
  return events_.empty() ? 0 : abi::kPOLLIN | abi::kPOLLRDNORM;
}

ErrorOr<uint64_t> InotifyInstance::Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) {
  if (command != abi::kFIONREAD) return kENOTTY;
  int32_t bytes;
  {
    MutexLock lock(mu_);
    bytes = static_cast<int32_t>(queued_bytes_);
  }
  TRY(memory.Write(arg, bytes));
  return uint64_t{0};
}

std::string InotifyInstance::FdInfo() {
  std::vector<Ref<InotifyWatch>> watches;
  {
    MutexLock lock(mu_);
    for (auto& [wd, w] : watches_) watches.push_back(w);
  }
  std::string out;
  for (Ref<InotifyWatch>& w : watches) {
    ErrorOr<Attr> attr = w->inode->GetAttr();
    char line[128];
    snprintf(line, sizeof line, "inotify wd:%x ino:%llx sdev:%llx mask:%x ignored_mask:0\n",
             static_cast<unsigned>(w->wd), static_cast<unsigned long long>(attr.ok() ? attr->ino : 0),
             static_cast<unsigned long long>(attr.ok() ? attr->dev : 0), w->mask);
    out += line;
  }
  return out;
}

void NotifyFile(const Path& path, uint32_t mask) {
  if (NobodyWatches()) return;
  Inode& inode = *path.dentry->inode();
  if (inode.is_dir()) mask |= abi::kIN_ISDIR;
  if (!path.dentry->anonymous() && !path.dentry->is_root()) {
    Ref<Dentry> parent = path.dentry->parent();
    if (InotifyMarks* marks = parent->inode()->marks()) {
      marks->Report(mask, 0, path.dentry->name(), path.dentry->unhashed());
    }
  }
  if (InotifyMarks* marks = inode.marks()) marks->Report(mask, 0, {}, false);
}

void NotifyName(Inode& dir, std::string_view name, Inode* child, uint32_t mask, uint32_t cookie) {
  if (NobodyWatches()) return;
  if (child && child->is_dir()) mask |= abi::kIN_ISDIR;
  if (InotifyMarks* marks = dir.marks()) marks->Report(mask, cookie, name, false);
}

void NotifyInode(Inode& inode, uint32_t mask) {
  if (NobodyWatches()) return;
  if (InotifyMarks* marks = inode.marks()) marks->Report(mask, 0, {}, false);
}

uint32_t NextMoveCookie() { return g_move_cookie.fetch_add(1, std::memory_order_relaxed); }

}  // namespace moat
